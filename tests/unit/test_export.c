/* export/safetensors.c, export/npy.c, export/gguf.c: layouts, and that the importer reads what is written. */
#include "export/export.h"

#include <stdio.h>
#include <sys/mman.h>

#include "import/source.h"
#include "lib/tap.h"

#define is_failure(call, wanted, part, what)                          \
	do {                                                          \
		struct lmodel_error e = LMODEL_ERROR_INIT;            \
		int r = (call);                                       \
		is_error(&e, wanted, part, what);                     \
		if (r != (int)e.code)                                 \
			ok(0, "%s: the call returned %d", what, r);   \
	} while (0)

static const uint64_t three[] = { 3 }, two_by_three[] = { 2, 3 };

static struct lm_export_tensor tensor(const char *name, const char *dtype, unsigned rank,
				      const uint64_t *shape)
{
	struct lm_export_tensor t = {
		.name = name, .dtype = lm_dtype_find(dtype), .rank = rank, .shape = shape,
	};

	if (t.dtype == NULL || !lm_dtype_bytes(t.dtype, rank, shape, NULL, &t.bytes))
		abort();
	return t;
}

static void test_safetensors(void)
{
	static const char wanted[] =
		"{\"__metadata__\":{\"b\":\"1\",\"a\":\"q\\\"\\\\\\n\\u0001\"},"
		"\"wide\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
		"\"f\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
		"\"g\":{\"dtype\":\"I32\",\"shape\":[3],\"data_offsets\":[32,44]},"
		"\"\xc3\xa9\x7f\xf0\x9f\x98\x80\":{\"dtype\":\"U8\",\"shape\":[3],"
		"\"data_offsets\":[44,47]}}";
	struct lm_export_tensor tensors[] = {
		tensor("\xc3\xa9\x7f\xf0\x9f\x98\x80", "U8", 1, three),
		tensor("f", "F32", 2, two_by_three), tensor("wide", "F64", 0, NULL),
		tensor("g", "I32", 1, three),
	};
	static const struct lm_export_pair pairs[] = {
		{ "b", "1" }, { "a", "q\"\\\n\1" }, { "b", "2" }, { "a", "3" },
	};
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint64_t size = 0;
	LM_FREE uint8_t *header = NULL;
	uint8_t *empty = NULL;
	size_t len = 0;

	is_int(lm_export_safetensors(tensors, 4, pairs, 4, &header, &len, &size, &error), LMODEL_OK,
	       "header");
	is_int((intmax_t)len % 8, 0, "padded to 8");
	is_int((intmax_t)lm_get_u64(header), (intmax_t)len - 8, "its length");
	ok(len - 8 >= sizeof(wanted) - 1 && len - 8 < sizeof(wanted) + 7 &&
	   memcmp(header + 8, wanted, sizeof(wanted) - 1) == 0,
	   "metadata first, wide before narrow, else in order; repeated keys left out; escapes");
	for (size_t i = 8 + sizeof(wanted) - 1; i < len; i++)
		ok(header[i] == ' ', "padded with spaces");
	is_int((intmax_t)size, (intmax_t)len + 47, "size of the file");
	is_int((intmax_t)tensors[2].offset, (intmax_t)len, "offset of the first");
	is_int((intmax_t)tensors[0].offset, (intmax_t)len + 44, "offset of the last");

	is_int(lm_export_safetensors(NULL, 0, NULL, 0, &empty, &len, &size, &error), LMODEL_OK,
	       "no tensor");
	ok(len == 16 && size == 16 && memcmp(empty + 8, "{}      ", 8) == 0, "an empty object");
	free(empty);
	empty = NULL;
	is_int(lm_export_safetensors(tensors, 1, NULL, 0, &empty, &len, &size, &error), LMODEL_OK,
	       "no metadata");
	ok(memcmp(empty + 8, "{\"\xc3\xa9", 4) == 0, "no __metadata__ without pairs");
	free(empty);

	tensors[0].name = "__metadata__";
	is_failure(lm_export_safetensors(tensors, 1, NULL, 0, &empty, &len, &size, &e),
		   LMODEL_EUNSUPPORTED, "cannot have a tensor '__metadata__'", "reserved name");
	tensors[0].name = "x";
	tensors[0].bytes = tensors[1].bytes = INT64_MAX;
	is_failure(lm_export_safetensors(tensors, 2, NULL, 0, &empty, &len, &size, &e),
		   LMODEL_ELIMIT, "tensor 'x' would end beyond any file", "sum over 2^63-1");
	is_failure(lm_export_safetensors(tensors, 1, NULL, 0, &empty, &len, &size, &e),
		   LMODEL_ELIMIT, "the file would be over 2^63-1 bytes", "with the header");
}

/* 1,600 names of 65,000 bytes are too much for one header. */
static void test_header_limit(void)
{
	enum { COUNT = 1600, LENGTH = 65000 };
	struct lm_export_tensor *tensors = calloc(COUNT, sizeof(*tensors));
	char *name = malloc(LENGTH + 1);
	uint8_t *header = NULL;
	uint64_t size;
	size_t len;

	if (tensors == NULL || name == NULL)
		abort();
	memset(name, 'n', LENGTH);
	name[LENGTH] = '\0';
	for (size_t i = 0; i < COUNT; i++)
		tensors[i] = tensor(name, "U8", 1, three);
	is_failure(lm_export_safetensors(tensors, COUNT, NULL, 0, &header, &len, &size, &e),
		   LMODEL_ELIMIT, "header would be over 100000000 bytes", "header over the limit");
	ok(header == NULL, "no header then");
	free(name);
	free(tensors);
}

static void test_index(void)
{
	static const char wanted[] =
		"{\n  \"metadata\": {\n    \"total_size\": 30\n  },\n  \"weight_map\": {\n"
		"    \"A\": \"2.safetensors\",\n    \"a\": \"1.safetensors\",\n"
		"    \"\\u00e9\\ud83d\\ude00\": \"2.safetensors\"\n  }\n}\n";
	struct lm_export_tensor tensors[] = {
		tensor("\xc3\xa9\xf0\x9f\x98\x80", "U8", 1, three),
		tensor("a", "F32", 2, two_by_three), tensor("A", "U8", 1, three),
	};
	static const char *const files[] = { "2.safetensors", "1.safetensors", "2.safetensors" };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *text = NULL;
	size_t len = 0;

	is_int(lm_export_index(tensors, 3, files, &text, &len, &error), LMODEL_OK, "index");
	is_str(text, wanted, "keys sorted, two spaces, ASCII");
	is_int((intmax_t)len, sizeof(wanted) - 1, "its length");
	free(text);
	is_int(lm_export_index(NULL, 0, NULL, &text, &len, &error), LMODEL_OK, "empty index");
	is_str(text, "{\n  \"metadata\": {\n    \"total_size\": 0\n  },\n  \"weight_map\": {}\n}\n",
	       "an empty map");
	free(text);
}

static void test_gguf(void)
{
	static const uint8_t value[] = "\x01\0\0\0\0\0\0\0" "b\x04\0\0\0\x07\0\0\0";
	static const uint8_t alignment[] =
		"\x11\0\0\0\0\0\0\0" "general.alignment\x04\0\0\0\x40\0\0\0";
	static const struct lm_export_pair pairs[] = {
		{ "", "x" }, { "general.alignment", "8" }, { "b", "7" }, { "a", "1" },
		{ "b", "2" }, { "general.alignment", "64" }, { "general.alignment", "128" },
	};
	struct lm_export_value values[LM_COUNT(pairs)] = {
		[2] = { value, sizeof(value) - 1 }, [5] = { alignment, sizeof(alignment) - 1 },
		[6] = { alignment, 3 },
	};
	struct lm_export_tensor tensors[] = {
		tensor("f", "F32", 2, two_by_three), tensor("s", "I64", 0, NULL),
	};
	static const char wanted[] =
		"GGUF\3\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0"
		"\1\0\0\0\0\0\0\0b\4\0\0\0\7\0\0\0"
		"\1\0\0\0\0\0\0\0a\x08\0\0\0\1\0\0\0\0\0\0\0" "1"
		"\x11\0\0\0\0\0\0\0general.alignment\4\0\0\0\x40\0\0\0"
		"\1\0\0\0\0\0\0\0f\2\0\0\0\3\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
		"\0\0\0\0\0\0\0\0\0\0\0\0"
		"\1\0\0\0\0\0\0\0s\0\0\0\0\x1b\0\0\0\x40\0\0\0\0\0\0\0";
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_FREE uint8_t *header = NULL;
	uint8_t *none = NULL;
	uint64_t size = 0;
	size_t len = 0;

	is_int(lm_export_gguf(tensors, 2, pairs, values, LM_COUNT(pairs), &header, &len, &size,
			      &error), LMODEL_OK, "GGUF");
	ok(len % 64 == 0 && len >= sizeof(wanted) - 1 &&
	   memcmp(header, wanted, sizeof(wanted) - 1) == 0,
	   "values as they are, strings, repeated keys left out, dimensions the other way round");
	is_int((intmax_t)tensors[0].offset, (intmax_t)len, "the first tensor");
	is_int((intmax_t)tensors[1].offset, (intmax_t)len + 64, "the next, aligned");
	is_int((intmax_t)size, (intmax_t)len + 128, "padding behind the last");

	is_failure(lm_export_gguf(tensors, 1, pairs + 6, values + 6, 1, &none, &len, &size, &e),
		   LMODEL_ECORRUPT, "general.alignment is not of type u32", "alignment cut short");
	tensors[1] = tensor("x", "U8", 1, three);
	is_failure(lm_export_gguf(tensors, 2, NULL, NULL, 0, &none, &len, &size, &e),
		   LMODEL_EUNSUPPORTED, "tensor 'x': GGUF has no type U8", "a type of others");
	tensors[1].dtype = tensors[0].dtype;
	tensors[1].rank = 5;
	is_failure(lm_export_gguf(tensors, 2, NULL, NULL, 0, &none, &len, &size, &e),
		   LMODEL_EUNSUPPORTED, "5 dimensions; GGUF has 4", "dimensions");
	tensors[1].rank = 1;
	tensors[0].bytes = tensors[1].bytes = INT64_MAX / 2;
	is_failure(lm_export_gguf(tensors, 2, NULL, NULL, 0, &none, &len, &size, &e),
		   LMODEL_ELIMIT, "tensor 'x' would end beyond any file", "sum over 2^63-1");
	tensors[0].bytes = INT64_MAX - 32;
	is_failure(lm_export_gguf(tensors, 1, NULL, NULL, 0, &none, &len, &size, &e),
		   LMODEL_ELIMIT, "the file would be over 2^63-1 bytes", "with the header");
	ok(none == NULL, "no header then");
}

static void npy(const char *dtype, unsigned rank, const uint64_t *shape, const char *wanted)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_FREE uint8_t *header = NULL;
	size_t len = 0, n = strlen(wanted), field;

	if (lm_export_npy(lm_dtype_find(dtype), rank, shape, &header, &len, &error) != LMODEL_OK) {
		ok(0, "%s: %s", wanted, error.message);
		return;
	}
	field = header[8] | (size_t)header[9] << 8;
	ok(len % 64 == 0 && memcmp(header, "\x93NUMPY\1\0", 8) == 0 && field == len - 10 &&
	   len > 10 + n && memcmp(header + 10, wanted, n) == 0 && header[10 + n] == ' ' &&
	   header[len - 1] == '\n' && header[len - 2] == ' ', "%s", wanted);
}

static void test_npy(void)
{
	static const uint64_t big[] = { UINT64_MAX, 1, 0 };
	uint64_t *ones = malloc(30000 * sizeof(*ones));
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *header = NULL;
	size_t len = 0;

	npy("F32", 2, two_by_three, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
	npy("BOOL", 0, NULL, "{'descr': '|b1', 'fortran_order': False, 'shape': (), }");
	npy("I64", 1, three, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }");
	npy("F64", 3, big, "{'descr': '<f8', 'fortran_order': False, "
	    "'shape': (18446744073709551615, 1, 0), }");
	is_failure(lm_export_npy(lm_dtype_find("F4"), 1, three, &header, &len, &e),
		   LMODEL_EUNSUPPORTED, "NumPy has no type for F4", "below a byte");

	if (ones == NULL)
		abort();
	for (size_t i = 0; i < 30000; i++)
		ones[i] = 1;
	is_int(lm_export_npy(lm_dtype_find("U8"), 30000, ones, &header, &len, &error), LMODEL_OK,
	       "shape over 65,535 bytes");
	ok(len % 64 == 0 && header[6] == 2 && lm_get_u32(header + 8) == len - 12 &&
	   header[12] == '{' && header[len - 1] == '\n', "version 2.0");
	free(header);
	free(ones);
}

/* ---- random models: what is written is read back the same ---- */

static uint64_t state = 1;

static uint64_t below(uint64_t n)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (state >> 33) % n;
}

/* A name that no other of the model has, with whatever UTF-8 may hold. */
static char *random_name(size_t number)
{
	static const char *const parts[] = {
		"layers.", "\"", "\\", "\n", "\t", "\x7f", "\1", "/", "\xc3\xa9", "\xe2\x80\xae",
		"\xf0\x9f\x98\x80", "\xef\xbf\xbf", " ", "'", "__metadata__", "\b\f\r",
	};
	char text[200];
	size_t n = (size_t)below(6);

	snprintf(text, sizeof(text), "%zu", number);
	for (size_t i = 0; i < n; i++)
		strcat(text, parts[below(LM_COUNT(parts))]);
	return strdup(text);
}

enum { TENSORS = 24, PAIRS = 6, RANK = 5 };

struct random_model {
	struct lm_export_tensor tensors[TENSORS];
	uint64_t shapes[TENSORS][RANK];
	struct lm_export_pair pairs[PAIRS];
	size_t tensor_count, pair_count;
};

static void make_random(struct random_model *m)
{
	static const char *const dtypes[] = {
		"BOOL", "U8", "I16", "BF16", "F16", "F32", "I64", "F64", "C64", "F8_E4M3", "F4",
		"F6_E2M3",
	};

	m->tensor_count = (size_t)below(TENSORS + 1);
	m->pair_count = (size_t)below(PAIRS + 1);
	for (size_t i = 0; i < m->tensor_count; i++) {
		unsigned rank = (unsigned)below(RANK);

		for (unsigned k = 0; k < rank; k++)
			m->shapes[i][k] = below(6);
		m->shapes[i][rank] = 8; /* whole bytes, whatever the width */
		m->tensors[i] = tensor(random_name(i), dtypes[below(LM_COUNT(dtypes))], rank + 1,
				       m->shapes[i]);
	}
	for (size_t i = 0; i < m->pair_count; i++)
		m->pairs[i] = (struct lm_export_pair){ random_name(i), random_name(i) };
}

static void free_random(struct random_model *m)
{
	for (size_t i = 0; i < m->tensor_count; i++)
		free((char *)(uintptr_t)m->tensors[i].name);
	for (size_t i = 0; i < m->pair_count; i++) {
		free((char *)(uintptr_t)m->pairs[i].key);
		free((char *)(uintptr_t)m->pairs[i].value);
	}
}

static bool same_tensor(const struct lm_export_tensor *a, const struct lm_source_tensor *b)
{
	return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->rank == b->rank &&
	       memcmp(a->shape, b->shape, a->rank * sizeof(*a->shape)) == 0 &&
	       a->bytes == b->bytes && a->offset == b->offset;
}

/* The number of faults. */
static size_t compare_models(const struct random_model *m, const struct lm_model *model)
{
	size_t wrong = m->tensor_count != model->tensor_count;

	wrong += m->pair_count != model->metadata_count;

	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_export_tensor *t = &m->tensors[i];
		size_t found = 0;

		for (size_t k = 0; k < model->tensor_count; k++)
			found += same_tensor(t, &model->tensors[k]);
		wrong += found != 1;
		if (t->dtype->bits >= 8)
			wrong += t->offset % (t->dtype->bits / 8) != 0;
	}
	for (size_t i = 0; wrong == 0 && i < m->pair_count; i++)
		wrong += strcmp(m->pairs[i].key, model->metadata[i].key) != 0 ||
			 strcmp(m->pairs[i].value, model->metadata[i].value) != 0;
	return wrong;
}

static size_t round_trip(struct random_model *m, struct lmodel_error *error)
{
	struct lm_model model = { 0 };
	LM_FREE uint8_t *header = NULL;
	size_t len, wrong;
	uint64_t size;
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (lm_export_safetensors(m->tensors, m->tensor_count, m->pairs, m->pair_count, &header,
				  &len, &size, error) != LMODEL_OK)
		return 1;
	if (fd < 0 || write(fd, header, len) != (ssize_t)len || ftruncate(fd, (off_t)size) != 0)
		abort();
	wrong = lm_import_safetensors(&model, fd, size, "m", "'m'", error) != LMODEL_OK ||
		lm_model_check(&model, error) != LMODEL_OK;
	wrong += compare_models(m, &model);
	lm_model_free(&model);
	return wrong;
}

static void test_round_trips(void)
{
	static struct random_model m;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	size_t wrong = 0, tensors = 0;

	for (int i = 0; i < 500; i++) {
		make_random(&m);
		wrong += round_trip(&m, &error);
		tensors += m.tensor_count;
		free_random(&m);
	}
	ok(tensors > 1000, "enough tensors");
	is_int((intmax_t)wrong, 0, "500 models come back: names, shapes, places, alignment");
	is_str(error.message, "", "no message");
}

int main(void)
{
	test_safetensors();
	test_header_limit();
	test_index();
	test_gguf();
	test_npy();
	test_round_trips();
	return done();
}
