/* import/npy_header.c, import/npy.c: headers of NumPy arrays. */
#include "import/npy.h"

#include <sys/mman.h>

#include "base/io.h"
#include "lib/tap.h"

static int parse(struct lm_npy *npy, const char *text, struct lmodel_error *error)
{
	*npy = (struct lm_npy){ 0 };
	return lm_npy_parse(npy, text, strlen(text), true, "'f'", "a", error);
}

/* "dtype [shape] axes" of a header, or the code and message. */
static void test_text(const char *text, const char *wanted)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_npy npy;
	char got[400];
	int n;

	if (parse(&npy, text, &error) != LMODEL_OK) {
		snprintf(got, sizeof(got), "%d %s", (int)error.code, error.message);
		ok(strstr(got, wanted) != NULL && got[0] == wanted[0], "%s", text);
		if (strstr(got, wanted) == NULL)
			printf("#   got %s, wanted %s\n", got, wanted);
	} else {
		n = snprintf(got, sizeof(got), "%s [", npy.dtype->name);
		for (unsigned i = 0; i < npy.rank; i++)
			n += snprintf(got + n, sizeof(got) - (size_t)n, "%s%ju", i > 0 ? "," : "",
				      (uintmax_t)npy.shape[i]);
		snprintf(got + n, sizeof(got) - (size_t)n, "]%s%s%s", npy.permuted ? " F" : "",
			 npy.descr != NULL ? " " : "", npy.descr != NULL ? npy.descr : "");
		is_str(got, wanted, text);
	}
	lm_npy_free(&npy);
}

#define WITH(descr, order, shape) \
	"{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }   \n"
#define TYPE(descr) WITH(descr, "False", "(2,)")

static void test_good(void)
{
	test_text(WITH("'<f4'", "False", "(2, 3)"), "F32 [2,3]");
	test_text(WITH("'<f4'", "True", "(2, 3)"), "F32 [2,3] F");
	test_text(WITH("'<f4'", "True", "(1, 3)"), "F32 [1,3]");
	test_text(WITH("'<f4'", "True", "(0, 3)"), "F32 [0,3]");
	test_text(WITH("'|b1'", "False", "()"), "BOOL []");
	test_text(WITH("'<i8'", "False", "(3L, 4L)"), "I64 [3,4]");
	test_text("{\"shape\":(7,),\"fortran_order\":False,\"descr\":'|u1'}", "U8 [7]");
	test_text(TYPE("'<f2'"), "F16 [2]");
	test_text(TYPE("'f8'"), "F64 [2]");
	test_text(TYPE("'<c8'"), "C64 [2]");
	test_text(TYPE("'<c16'"), "V16 [2] '<c16'");
	test_text(TYPE("'>i2'"), "V2 [2] '>i2'");
	test_text(TYPE("'>i1'"), "I8 [2]");
	test_text(TYPE("'<f16'"), "V16 [2] '<f16'");
	test_text(TYPE("'<U3'"), "V12 [2] '<U3'");
	test_text(TYPE("'|S5'"), "V5 [2] '|S5'");
	test_text(TYPE("'|V7'"), "V7 [2] '|V7'");
	test_text(TYPE("'|S0'"), "V1 [2,0] '|S0'");
	test_text(TYPE("'<U2000'"), "V1 [2,8000] '<U2000'");
	test_text(WITH("'<U2000'", "True", "(2, 3)"), "V1 [2,3,8000] F '<U2000'");
	test_text(TYPE("'<M8[ns]'"), "V8 [2] '<M8[ns]'");
	test_text(TYPE("'<m8[25s]'"), "V8 [2] '<m8[25s]'");
	test_text(TYPE("'<M8'"), "V8 [2] '<M8'");
	test_text(TYPE("[('a', '<f4'), ('b', '>i2', (2, 3)), (('t', 'c'), '|u1', 4)]"),
		  "V20 [2] [('a', '<f4'), ('b', '>i2', (2, 3)), (('t', 'c'), '|u1', 4)]");
	test_text(TYPE("[('a', [('b', '<f8'), ('', '|V4')]), ]"),
		  "V12 [2] [('a', [('b', '<f8'), ('', '|V4')]), ]");
	test_text(TYPE("[('it\\'s', '|u1')]"), "V1 [2] [('it\\'s', '|u1')]");
	test_text(TYPE("[('\xe7', '|u1')]"), "V1 [2] [('\xc3\xa7', '|u1')]");
}

static void test_bad(void)
{
	static const char *const corrupt[] = {
		"", "{", "{}", "[]", "'<f4'", "{'descr': '<f4'}", TYPE("'<f4'") "x",
		TYPE("'<q9'"), TYPE("'<f3'"), TYPE("'<'"), TYPE("''"), TYPE("'<f4 '"),
		TYPE("'<f04'"), TYPE("'<f4L'"), TYPE("'f'"), TYPE("'<M8[ns'"), TYPE("'<M4'"),
		TYPE("'<M8[x;]'"), TYPE("4"), TYPE("None"), TYPE("b'<f4'"), TYPE("'<f4"),
		TYPE("'<U999999999'"), TYPE("'<S4294967296'"), TYPE("'|V99999999999999999999'"),
		TYPE("[('a', '<f4')"), TYPE("[('a')]"), TYPE("[('a', '<f4', -1)]"),
		TYPE("[('a', '<f4', (1 2))]"), TYPE("[('a', '<i8', (99999, 99999))]"),
		TYPE("[(('a', 'b', 'c'), '<f4')]"),
		TYPE("[('a',[('a',[('a',[('a',[('a',[('a',[('a',[('a',[('a',[('a',[('a',[('a',"
		     "[('a',[('a',[('a',[('a',[('a','<f4')])])])])])])])])])])])])])])])])]"),
		WITH("'<f4'", "True", "(2)"), WITH("'<f4'", "True", "2"),
		WITH("'<f4'", "True", "(2, -3)"), WITH("'<f4'", "True", "(2, 3.0)"),
		WITH("'<f4'", "True", "(02,)"), WITH("'<f4'", "True", "(2 3)"),
		WITH("'<f4'", "1", "(2,)"), WITH("'<f4'", "None", "(2,)"),
		WITH("'<f4'", "True", "(18446744073709551616,)"),
		WITH("'<f4'", "True", "(4294967296, 4294967296)"),
		WITH("'<f4'", "True", "(4611686018427387904,)"),
		"{'descr': '<f4', 'fortran_order': True, 'shape': (2,), 'x': 1}",
		"{'descr': '<f4', 'fortran_order': True, 'shape': (2,), 'shape': (2,)}",
		"{'descr' '<f4', 'fortran_order': True, 'shape': (2,)}",
		"{'descr': '<f4' 'fortran_order': True, 'shape': (2,)}",
		"__import__('os').system('id')",
		"{'descr': __import__('os').system('id'), 'fortran_order': True, 'shape': (2,)}",
	};

	for (size_t i = 0; i < LM_COUNT(corrupt); i++)
		test_text(corrupt[i], "4 'f': 'a': header, at ");
	test_text(TYPE("'|O'"), "5 'f': 'a': is an array of Python objects");
	test_text(TYPE("'|O8'"), "5 'f': 'a': is an array of Python objects");
	test_text(TYPE("[('a', '<f4'), ('b', [('c', 'O')])]"), "5 'f': 'a': is an array of Python");
	test_text(WITH("'|u1'", "False",
		       "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
		       "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"),
		  "6 'f': 'a': more than 63 dimensions");
}

/* A whole file; `wanted` is part of the message, or NULL. */
static void file(const void *bytes, size_t len, int code, const char *wanted, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_model model = { 0 };
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || lm_write_at(fd, "t", bytes, len, 0, NULL) != LMODEL_OK)
		abort();
	is_int(lm_import_npy(&model, fd, len, "d/x.npy", "'f'", &error), code, what);
	if (wanted != NULL)
		is_error(&error, code, wanted, what);
	else
		is_str(model.tensors[0].name, "x", "name of the tensor");
	lm_model_free(&model);
}

static void test_files(void)
{
	static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
	const size_t n = sizeof(text) - 1;
	uint8_t b[200] = "\x93NUMPY\1";

	b[8] = (uint8_t)n;
	memcpy(b + 10, text, n);
	file(b, 10 + n + 8, LMODEL_OK, NULL, "version 1");
	file(b, 10 + n + 7, LMODEL_ECORRUPT, "the array has 8 bytes, of which 7", "cut data");
	file(b, 10 + n - 1, LMODEL_ECORRUPT, "truncated: a header of", "cut header");
	file(b, 9, LMODEL_ECORRUPT, "is no NumPy array", "cut before the length");
	b[7] = 1;
	file(b, 10 + n + 8, LMODEL_EUNSUPPORTED, "version 1.1", "version 1.1");
	b[6] = 0;
	b[7] = 0;
	file(b, 10 + n + 8, LMODEL_EUNSUPPORTED, "version 0.0", "version 0");
	b[6] = 4;
	file(b, 10 + n + 8, LMODEL_EUNSUPPORTED, "version 4.0", "version 4");
	memmove(b + 12, text, n);
	b[10] = b[11] = 0;
	for (b[6] = 2; b[6] < 4; b[6]++)
		file(b, 12 + n + 8, LMODEL_OK, NULL, b[6] == 2 ? "version 2" : "version 3");
	b[6] = 3;
	b[30] = 0xe7;
	file(b, 12 + n + 8, LMODEL_ECORRUPT, "is not text", "version 3 is UTF-8");
	b[30] = 0;
	file(b, 12 + n + 8, LMODEL_ECORRUPT, "is not text", "NUL");
	lm_put_u32(b + 8, 0xffffffff);
	file(b, 12 + n + 8, LMODEL_ECORRUPT, "truncated: a header of 4294967307", "a long header");
}

int main(void)
{
	test_good();
	test_bad();
	test_files();
	return done();
}
