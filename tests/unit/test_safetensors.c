/* import/safetensors.c, import/json.c: what is refused and how, what comes out of a sound file. */
#include "import/source.h"

#include <stdio.h>
#include <sys/mman.h>

#include "lib/tap.h"

#define is_failure(call, wanted, part, what)                          \
	do {                                                          \
		struct lmodel_error e = LMODEL_ERROR_INIT;            \
		int r = (call);                                       \
		is_error(&e, wanted, part, what);                     \
		if (r != (int)e.code)                                 \
			ok(0, "%s: the call returned %d", what, r);   \
	} while (0)

static int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || (len > 0 && write(fd, bytes, len) != (ssize_t)len))
		abort();
	return fd;
}

/* The header and `data_len` bytes 0, 1, 2, ... behind it. */
static int safetensors_file(const char *json, size_t json_len, size_t data_len, uint64_t *size)
{
	size_t len = 8 + json_len + data_len;
	uint8_t *bytes = malloc(len);
	int fd;

	if (bytes == NULL)
		abort();
	lm_put_u64(bytes, json_len);
	memcpy(bytes + 8, json, json_len);
	for (size_t i = 0; i < data_len; i++)
		bytes[8 + json_len + i] = (uint8_t)i;
	fd = memory_file(bytes, len);
	free(bytes);
	*size = len;
	return fd;
}

static int import_json(struct lm_model *model, const char *json, size_t data_len,
		       struct lmodel_error *error)
{
	uint64_t size;
	int fd = safetensors_file(json, strlen(json), data_len, &size);

	return lm_import_safetensors(model, fd, size, "m.safetensors", "'m'", error);
}

static void refuse_bytes(const void *bytes, size_t len, enum lmodel_code code, const char *part,
			 const char *what)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r = lm_import_safetensors(&model, memory_file(bytes, len), len, "m.safetensors", "'m'",
				      &error);

	is_error(&error, code, part, what);
	if (r != (int)code)
		ok(0, "%s: returned %d", what, r);
	lm_model_free(&model);
}

static void refuse(const char *json, size_t data_len, enum lmodel_code code, const char *part)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r = import_json(&model, json, data_len, &error);

	is_error(&error, code, part, part);
	if (r != (int)code)
		ok(0, "%s: returned %d", part, r);
	if (strstr(error.message, "'m': ") != error.message)
		ok(0, "%s: the message does not start with the label", error.message);
	lm_model_free(&model);
}

static void accept(const char *json, size_t data_len, size_t tensors, const char *what)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	if (import_json(&model, json, data_len, &error) != LMODEL_OK ||
	    lm_model_check(&model, &error) != LMODEL_OK)
		ok(0, "%s: %s", what, error.message);
	else
		is_int((intmax_t)model.tensor_count, (intmax_t)tensors, what);
	lm_model_free(&model);
}

#define TENSOR(name, dtype, shape, begin, end) \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
	",\"data_offsets\":[" begin "," end "]}"

static void test_frame(void)
{
	static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
	struct lm_model model = { 0 };
	int fd;

	refuse_bytes("", 0, LMODEL_ECORRUPT, "'m': is empty", "empty file");
	refuse_bytes("\2\0\0\0\0\0\0\0{", 9, LMODEL_ECORRUPT, "truncated: 9 bytes", "9 bytes");
	refuse_bytes(lfs, sizeof(lfs) - 1, LMODEL_ECORRUPT,
		     "is a Git LFS pointer, not the model: fetch it with `git lfs pull`", "LFS");
	refuse_bytes("\3\0\0\0\0\0\0\0{}", 10, LMODEL_ECORRUPT,
		     "header length 3, but the file has 10 bytes", "header beyond the file");
	refuse_bytes("\0\0\0\0\0\0\0\x80{}", 10, LMODEL_ECORRUPT,
		     "header length 9223372036854775808", "header length 2^63");
	refuse_bytes("\377\377\377\377\377\377\377\377{}", 10, LMODEL_ECORRUPT,
		     "header length 18446744073709551615", "header length 2^64-1");
	refuse_bytes("\1\0\0\0\0\0\0\0{}", 10, LMODEL_ECORRUPT, "header length 1 holds no JSON",
		     "header of one byte");
	refuse_bytes("\0\0\0\0\0\0\0\0{}", 10, LMODEL_ECORRUPT, "header length 0 holds no JSON",
		     "header of no byte");

	/* 100,000,001, in a file that is long enough */
	fd = memory_file("\1\xe1\xf5\5\0\0\0\0{}", 10);
	if (ftruncate(fd, 100000100) != 0)
		abort();
	is_failure(lm_import_safetensors(&model, fd, 100000100, "m", "'m'", &e), LMODEL_ELIMIT,
		   "header length 100000001; the limit is 100000000", "header over the limit");
	lm_model_free(&model);

	fd = memory_file("\2\0\0\0\0\0\0\0{}", 10);
	if (ftruncate(fd, 9) != 0)
		abort();
	is_failure(lm_import_safetensors(&model, fd, 10, "m", "'m'", &e), LMODEL_ECORRUPT,
		   "'m': truncated", "file that shrinks");
	lm_model_free(&model);
}

static void test_json(void)
{
	char deep[5000] = "{\"a\":";

	refuse("[1]", 0, LMODEL_ECORRUPT, "byte 8: the header starts with 0x5B, not with '{'");
	refuse(" {}", 0, LMODEL_ECORRUPT, "byte 8: the header starts with 0x20, not with '{'");
	refuse("\xef\xbb\xbf{}", 0, LMODEL_ECORRUPT, "byte 8: byte order mark");
	refuse("{\"\xc0\x80\":1}", 0, LMODEL_ECORRUPT, "byte 10: 0xC0 is not valid UTF-8");
	refuse("{\"\xed\xa0\x80\":1}", 0, LMODEL_ECORRUPT, "byte 10: 0xED is not valid UTF-8");
	refuse("{\"\\ud800\":1}", 0, LMODEL_ECORRUPT, "not JSON: invalid Unicode");
	refuse("{\"a\":1,}", 0, LMODEL_ECORRUPT, "byte 16: not JSON");
	refuse("{\"a\":[012]}", 0, LMODEL_ECORRUPT, "not JSON: invalid token");
	refuse("{\"a\":NaN}", 0, LMODEL_ECORRUPT, "not JSON");
	refuse("{\"\1\":1}", 0, LMODEL_ECORRUPT, "not JSON: control character 0x1");
	refuse("{\"a\":{", 0, LMODEL_ECORRUPT, "the JSON ends before it is complete");
	refuse("{}{}", 0, LMODEL_ECORRUPT, "byte 11: something follows the JSON");
	refuse("{}x", 0, LMODEL_ECORRUPT, "something follows the JSON");
	refuse_bytes("\4\0\0\0\0\0\0\0{}\0\0", 12, LMODEL_ECORRUPT, "something follows the JSON",
		     "NULs behind the JSON");
	refuse("{\"a\\\"b\":1,\"a\\\"b\":1}", 0, LMODEL_ECORRUPT, "duplicate key 'a\\\\\"b'");
	refuse("{\"a\":{\"x\":1,\"x\":1}}", 0, LMODEL_ECORRUPT, "byte 20: duplicate key 'x'");
	refuse("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", 0, LMODEL_ECORRUPT,
	       "duplicate key 'k'");
	refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, LMODEL_ECORRUPT,
	       "duplicate key '__metadata__'");
	refuse("{\"a\\u0000b\":1}", 0, LMODEL_ECORRUPT, "NUL in a string");
	refuse("{\"__metadata__\":{\"k\":\"\\u0000\"}}", 0, LMODEL_ECORRUPT, "NUL in a string");
	refuse("{" TENSOR("t", "U8", "[18446744073709551616]", "0", "0") "}", 0, LMODEL_ECORRUPT,
	       "number out of range");
	refuse("{" TENSOR("t", "U8", "[1e400]", "0", "0") "}", 0, LMODEL_ECORRUPT,
	       "number out of range");
	refuse("{\"a\":{\"b\":[[]]}}", 0, LMODEL_ECORRUPT,
	       "byte 19: JSON nested deeper than the 3 of this format");
	memset(deep + 5, '[', 2047);
	refuse(deep, 0, LMODEL_ECORRUPT, "nested deeper than the 3 of this format");
	deep[5 + 2047] = '[';
	refuse(deep, 0, LMODEL_ELIMIT, "JSON nested deeper than 2048");
	refuse("{\"[[[[{{{{\\\"[[[[\":1}", 0, LMODEL_ECORRUPT, "is an integer, not an object");
}

static void test_entries(void)
{
	char *json, *name = malloc(65537);

	refuse("{\"__metadata__\":null}", 0, LMODEL_ECORRUPT,
	       "__metadata__ is null, not an object");
	refuse("{\"__metadata__\":[]}", 0, LMODEL_ECORRUPT, "is an array, not an object");
	refuse("{\"__metadata__\":{\"k\":1}}", 0, LMODEL_ECORRUPT,
	       "value of 'k' is an integer, not a string");
	refuse("{\"__metadata__\":{\"k\":null}}", 0, LMODEL_ECORRUPT,
	       "value of 'k' is null, not a string");
	refuse("{\"t\":1.5}", 0, LMODEL_ECORRUPT, "tensor 't': is a number that is no integer");
	refuse("{\"t\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': data_offsets is missing");
	refuse("{\"t\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': data_offsets is not an array of two");
	refuse("{\"t\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":{}}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': data_offsets is not an array of two");
	refuse("{" TENSOR("t", "U8", "[]", "-1", "0") "}", 1, LMODEL_ECORRUPT,
	       "data_offsets is not an array of two non-negative");
	refuse("{" TENSOR("t", "U8", "[1]", "0", "1.0") "}", 1, LMODEL_ECORRUPT,
	       "data_offsets is not an array of two non-negative");
	refuse("{" TENSOR("t", "U8", "[1]", "2", "1") "}", 2, LMODEL_ECORRUPT,
	       "tensor 't': data_offsets begin at 2 and end before, at 1");
	refuse("{" TENSOR("t", "U8", "[3]", "0", "3") "}", 2, LMODEL_ECORRUPT,
	       "tensor 't': data_offsets end at 3, but the file has 2 bytes of data");
	refuse("{\"t\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': shape is missing");
	refuse("{" TENSOR("t", "U8", "3", "0", "3") "}", 3, LMODEL_ECORRUPT,
	       "tensor 't': shape is an integer, not an array");
	refuse("{" TENSOR("t", "U8", "[3,-2]", "0", "3") "}", 3, LMODEL_ECORRUPT,
	       "tensor 't': dimension 1 is negative: -2");
	refuse("{" TENSOR("t", "U8", "[3.0]", "0", "3") "}", 3, LMODEL_ECORRUPT,
	       "tensor 't': dimension 0 is a number that is no integer");
	refuse("{" TENSOR("t", "U8", "[true]", "0", "1") "}", 1, LMODEL_ECORRUPT,
	       "tensor 't': dimension 0 is true, not an integer");
	refuse("{\"t\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': dtype is missing");
	refuse("{\"t\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,0]}}", 0, LMODEL_ECORRUPT,
	       "tensor 't': dtype is an integer, not a string");
	refuse("{" TENSOR("t", "f32", "[1]", "0", "4") "}", 4, LMODEL_EUNSUPPORTED,
	       "tensor 't': unknown dtype 'f32'");
	refuse("{\"t\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":0}}", 1,
	       LMODEL_ECORRUPT, "tensor 't': unknown field 'x'");
	refuse("{" TENSOR("a\\u001bb", "U8", "[2]", "0", "1") "}", 1, LMODEL_ECORRUPT,
	       "tensor 'a\\x1Bb': dtype and shape need 2 bytes, data_offsets give 1");
	refuse("{" TENSOR("t", "F32", "[2]", "0", "4") "}", 4, LMODEL_ECORRUPT,
	       "dtype and shape need 8 bytes, data_offsets give 4");
	refuse("{" TENSOR("t", "F6_E2M3", "[2]", "0", "1") "}", 1, LMODEL_ECORRUPT,
	       "tensor 't': 2 elements of F6_E2M3 are no whole number of bytes");
	refuse("{" TENSOR("t", "F4", "[4611686018427387904,16]", "0", "1") "}", 1, LMODEL_ECORRUPT,
	       "tensor 't': the shape overflows");
	refuse("{" TENSOR("t", "U8", "[4294967296,4294967296,0]", "0", "0") "}", 0, LMODEL_ECORRUPT,
	       "tensor 't': the shape overflows");
	refuse("{" TENSOR("t", "F64", "[2305843009213693952]", "0", "0") "}", 0, LMODEL_ECORRUPT,
	       "tensor 't': the shape overflows");
	refuse("{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[4]", "3", "7") "}", 7,
	       LMODEL_ECORRUPT,
	       "tensor 'b': begins at 3 of the data, but tensor 'a' ends at 4: they overlap");
	refuse("{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[0]", "2", "2") "}", 4,
	       LMODEL_ECORRUPT, "they overlap");
	refuse("{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[4]", "0", "4") "}", 4,
	       LMODEL_ECORRUPT, "they overlap");
	refuse("{" TENSOR("t", "U8", "[2]", "1", "3") "}", 3, LMODEL_ECORRUPT,
	       "tensor 't': 1 bytes before it, from 0 of the data, belong to no tensor");
	refuse("{" TENSOR("b", "U8", "[1]", "5", "6") "," TENSOR("a", "U8", "[2]", "0", "2") "}", 6,
	       LMODEL_ECORRUPT, "tensor 'b': 3 bytes before it, from 2 of the data");
	refuse("{" TENSOR("t", "U8", "[1]", "0", "1") "}", 3, LMODEL_ECORRUPT,
	       "the last 2 bytes belong to no tensor");
	refuse("{}", 1, LMODEL_ECORRUPT, "the last 1 bytes belong to no tensor");

	/* limits: 65 dimensions, a name of 65536 bytes */
	refuse("{" TENSOR("t", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
	       "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "0", "1")
	       "}", 1, LMODEL_ELIMIT, "tensor 't': 65 dimensions; the limit is 64");
	if (name == NULL)
		abort();
	memset(name, 'n', 65536);
	name[65536] = '\0';
	for (int i = 0; i < 2; i++) {
		json = NULL;
		if (asprintf(&json, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],"
			     "\"data_offsets\":[0,1]}}", name + i) < 0)
			abort();
		if (i == 0)
			refuse(json, 1, LMODEL_ELIMIT, "name of 65536 bytes; the limit is 65535");
		else
			accept(json, 1, 1, "a name of 65535 bytes");
		free(json);
	}
	free(name);
}

static void test_accepted(void)
{
	static const char *const dtypes[] = {
		"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32",
		"F64", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
		"F6_E2M3", "F6_E3M2", "F4",
	};

	accept("{}", 0, 0, "no tensor");
	accept("{}  \t\r\n ", 0, 0, "white space behind the JSON");
	accept("{\"__metadata__\":{}}", 0, 0, "empty metadata");
	accept("{" TENSOR("", "U8", "[1]", "0", "1") "}", 1, 1, "an empty name");
	accept("{ \"t\" :{ \"shape\":[ 1 ],\r\n\"data_offsets\":[0,\t4 ],"
	       "\"dtype\":\"F32\"} }", 4, 1, "white space and another order of fields");
	accept("{" TENSOR("a", "U8", "[0]", "0", "0") "," TENSOR("b", "U8", "[0]", "0", "0") "}", 0,
	       2, "only empty tensors");
	for (size_t i = 0; i < LM_COUNT(dtypes); i++) {
		const struct lm_dtype *dtype = lm_dtype_find(dtypes[i]);
		char json[200];

		snprintf(json, sizeof(json), "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,4],"
			 "\"data_offsets\":[0,%u]}}", dtypes[i], dtype == NULL ? 0 : dtype->bits);
		accept(json, dtype == NULL ? 0 : dtype->bits, 1, dtypes[i]);
	}
}

/* Order, offsets, metadata and skeleton of a sound file; then a second one behind it. */
static void test_content(void)
{
	static const char json[] =
		"{" TENSOR("last", "U16", "[2,1]", "4", "8") ",\"__metadata__\":{\"z\":\"1\","
		"\"a\":\"\\u00e9\"}," TENSOR("e2", "U8", "[0]", "4", "4") ","
		TENSOR("e1", "F32", "[0,7]", "4", "4") "," TENSOR("first", "F32", "[]", "0", "4")
		"} ";
	const size_t header = 8 + sizeof(json) - 1;
	static const char *const order[] = { "first", "e2", "e1", "last" };
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lm_source *source;
	uint8_t bytes[4] = { 0 };
	uint64_t n;

	is_int(import_json(&model, json, 8, &error), LMODEL_OK, "sound file");
	is_int((intmax_t)model.tensor_count, 4, "four tensors");
	for (size_t i = 0; i < 4 && i < model.tensor_count; i++)
		is_str(model.tensors[i].name, order[i], "order of the data, then of the header");
	is_int(model.tensors[0].rank, 0, "a scalar");
	is_int(model.tensors[3].rank, 2, "rank");
	ok(model.tensors[3].shape[0] == 2 && model.tensors[3].shape[1] == 1, "shape");
	is_int((intmax_t)model.tensors[3].offset, (intmax_t)header + 4, "offset in the file");
	is_int((intmax_t)model.tensors[3].bytes, 4, "bytes");
	is_str(model.metadata[0].key, "z", "metadata in the order of the file");
	is_str(model.metadata[1].value, "\xc3\xa9", "metadata is unescaped");

	is_int(lm_model_read(&model, 3, 1, bytes, 3, &error), LMODEL_OK, "read");
	ok(bytes[0] == 5 && bytes[2] == 7, "the tensor's bytes");
	is_int(lm_model_read(&model, 3, 2, bytes, 3, NULL), LMODEL_EUSAGE, "read beyond it");
	is_int(lm_model_read(&model, 3, UINT64_MAX, bytes, 2, NULL), LMODEL_EUSAGE, "overflow");
	is_int(lm_model_read(&model, 4, 0, bytes, 0, NULL), LMODEL_EUSAGE, "no such tensor");

	source = &model.sources[0];
	is_str(source->format, "safetensors", "format");
	is_int((intmax_t)source->skeleton_len, (intmax_t)(9 + header + 17), "skeleton: length");
	n = lm_get_u64(source->skeleton + 1);
	ok(source->skeleton[0] == 1 && n == header, "skeleton: literal");
	ok(lm_get_u64(source->skeleton + 9) == sizeof(json) - 1 &&
	   memcmp(source->skeleton + 17, json, sizeof(json) - 1) == 0, "skeleton: header");
	ok(source->skeleton[9 + n] == 2 && lm_get_u64(source->skeleton + 10 + n) == 0 &&
	   lm_get_u64(source->skeleton + 18 + n) == 4, "skeleton: all tensors");

	is_int(import_json(&model, "{" TENSOR("x", "U8", "[1]", "0", "1") "}", 1, &error),
	       LMODEL_OK, "second file");
	source = &model.sources[1];
	ok(lm_get_u64(source->skeleton + source->skeleton_len - 16) == 4, "its tensors come after");
	is_int((intmax_t)model.tensors[4].source, 1, "its number");
	is_int(import_json(&model, "{}", 0, &error), LMODEL_OK, "third file");
	source = &model.sources[2];
	is_int((intmax_t)source->skeleton_len, 9 + 8 + 2, "no range where there is no tensor");
	lm_model_free(&model);
	ok(model.sources == NULL && model.tensor_count == 0, "free leaves an empty model");
}

/* Each byte of a small file changed to each value: an answer, and sound tensors if any. */
static void test_damage(void)
{
	static const char json[] =
		"{\"__metadata__\":{\"k\":\"v\"}," TENSOR("a", "F32", "[2,1]", "0", "8") ","
		TENSOR("b", "U8", "[0]", "8", "8") "}";
	const size_t len = 8 + sizeof(json) - 1 + 8;
	uint8_t bytes[8 + sizeof(json) + 8] = { 0 };
	size_t accepted = 0, wrong = 0;
	int fd;

	lm_put_u64(bytes, sizeof(json) - 1);
	memcpy(bytes + 8, json, sizeof(json) - 1);
	fd = memory_file(bytes, len);
	for (size_t i = 0; i < len - 8; i++) {
		for (unsigned v = 0; v < 256; v++) {
			struct lm_model model = { 0 };
			struct lmodel_error error = LMODEL_ERROR_INIT;
			uint8_t byte = (uint8_t)v;
			int r;

			if (pwrite(fd, &byte, 1, (off_t)i) != 1)
				abort();
			r = lm_import_safetensors(&model, dup(fd), len, "m", "'m'", &error);
			accepted += r == LMODEL_OK;
			wrong += r != (int)error.code;
			wrong += (r != LMODEL_OK) != (error.message[0] != '\0');
			for (size_t t = 0; r == LMODEL_OK && t < model.tensor_count; t++)
				wrong += model.tensors[t].offset + model.tensors[t].bytes > len;
			lm_model_free(&model);
		}
		if (pwrite(fd, bytes + i, 1, (off_t)i) != 1)
			abort();
	}
	close(fd);
	ok(accepted > 0, "some changes are harmless (names)");
	is_int((intmax_t)wrong, 0, "every change gives a clean answer");
}

int main(void)
{
	test_frame();
	test_json();
	test_entries();
	test_accepted();
	test_content();
	test_damage();
	return done();
}
