/* import/gguf.c, import/gguf_values.c, and the quantised and opaque types of base/dtype.c. */
#include "import/source.h"

#include <stdio.h>
#include <sys/mman.h>

#include "lib/tap.h"

/* A file that grows. */
struct bytes {
	uint8_t at[1 << 16];
	size_t len;
};

static void put(struct bytes *b, const void *from, size_t len)
{
	memcpy(b->at + b->len, from, len);
	b->len += len;
}

static void put32(struct bytes *b, uint32_t v)
{
	lm_put_u32(b->at + b->len, v);
	b->len += 4;
}

static void put64(struct bytes *b, uint64_t v)
{
	lm_put_u64(b->at + b->len, v);
	b->len += 8;
}

static void put_string(struct bytes *b, const char *text)
{
	put64(b, strlen(text));
	put(b, text, strlen(text));
}

static void start(struct bytes *b, uint32_t version, uint64_t tensors, uint64_t values)
{
	*b = (struct bytes){ .len = 0 };
	put(b, "GGUF", 4);
	put32(b, version);
	put64(b, tensors);
	put64(b, values);
}

static void tensor(struct bytes *b, const char *name, uint32_t rank, const uint64_t *dims,
		   uint32_t type, uint64_t offset)
{
	put_string(b, name);
	put32(b, rank);
	for (uint32_t i = 0; i < rank; i++)
		put64(b, dims[i]);
	put32(b, type);
	put64(b, offset);
}

static void pad(struct bytes *b, size_t to)
{
	while (b->len % to != 0)
		b->at[b->len++] = 0xaa;
}

static int import(struct lm_model *model, const struct bytes *b, struct lmodel_error *error)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, b->at, b->len) != (ssize_t)b->len)
		abort();
	*model = (struct lm_model){ 0 };
	return lm_import_gguf(model, fd, b->len, "m.gguf", "'m'", error);
}

static void refused(const struct bytes *b, enum lmodel_code code, const char *part)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_model model;
	int r = import(&model, b, &e);

	is_error(&e, code, part, part);
	if (r != (int)e.code)
		ok(0, "the call returned %d", r);
	lm_model_free(&model);
}

static void test_dtypes(void)
{
	const struct lm_dtype *q = lm_dtype_find("Q4_K"), *v = lm_dtype_find("V16");
	uint64_t shape[] = { 3, 512 }, bytes = 0, elements = 0;

	ok(lm_dtype_bytes(q, 2, shape, &elements, &bytes), "whole blocks");
	is_int((intmax_t)bytes, 3 * 2 * 144, "bytes of Q4_K");
	is_int((intmax_t)elements, 3 * 512, "elements of Q4_K");
	is_int((intmax_t)lm_dtype_elements(q, 288), 512, "elements of two blocks");
	shape[1] = 128;
	ok(!lm_dtype_bytes(q, 2, shape, NULL, &bytes), "half blocks are none");
	ok(!lm_dtype_bytes(q, 0, NULL, NULL, &bytes), "no scalar");
	ok(v != NULL && v->bits == 128 && lm_dtype_is_opaque(v), "V16");
	is_str(v->name, "V16", "its name");
	is_str(v->npy, "|V16", "its NumPy type");
	ok(lm_dtype_find("V0") == NULL && lm_dtype_find("V4097") == NULL &&
	   lm_dtype_find("V01") == NULL && lm_dtype_find("V") == NULL &&
	   lm_dtype_find("V1x") == NULL && lm_dtype_find("V99999999999999999999") == NULL,
	   "names that are none");
	ok(!lm_dtype_in_safetensors(q) && !lm_dtype_in_safetensors(v), "not in safetensors");
	is_int((intmax_t)lm_dtype_elements(lm_dtype_find("F6_E2M3"), 3), 4, "elements of F6");
	is_int((intmax_t)lm_dtype_elements(lm_dtype_find("F4"), 3), 6, "elements of F4");
	is_int((intmax_t)lm_dtype_elements(lm_dtype_find("BF16"), 6), 3, "elements of BF16");
}

static const char *value_of(const struct lm_model *model, const char *key)
{
	for (size_t i = 0; i < model->metadata_count; i++)
		if (strcmp(model->metadata[i].key, key) == 0)
			return model->metadata[i].value;
	return "(none)";
}

static void test_good(void)
{
	static const uint64_t dims[] = { 512, 3 }, vector[] = { 5 };
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_model model;
	struct bytes b;
	uint8_t read[40];
	size_t data;

	start(&b, 3, 2, 6);
	put_string(&b, "general.name"), put32(&b, 8), put_string(&b, "a model");
	put_string(&b, "general.alignment"), put32(&b, 4), put32(&b, 64);
	put_string(&b, "short"), put32(&b, 9), put32(&b, 5), put64(&b, 2);
	put32(&b, 7), put32(&b, (uint32_t)-1);
	put_string(&b, "words"), put32(&b, 9), put32(&b, 8), put64(&b, 2);
	put_string(&b, "x"), put_string(&b, "");
	put_string(&b, "yes"), put32(&b, 7), put(&b, "\1", 1);
	put_string(&b, "raw"), put32(&b, 8), put_string(&b, "\xff\xfe");
	tensor(&b, "w", 2, dims, 12, 0);
	tensor(&b, "v", 1, vector, 0, 896);
	pad(&b, 64);
	data = b.len;
	for (int i = 0; i < 864; i++)
		b.at[b.len++] = (uint8_t)i;
	pad(&b, 64);
	for (int i = 0; i < 20; i++)
		b.at[b.len++] = (uint8_t)(100 + i);
	is_int(import(&model, &b, &e), LMODEL_OK, "a file of two tensors");
	is_str(e.message, "", "no message");
	is_int((intmax_t)model.tensor_count, 2, "tensors");
	is_str(model.tensors[0].dtype->name, "Q4_K", "type");
	is_int(model.tensors[0].rank, 2, "rank");
	is_int((intmax_t)model.tensors[0].shape[0], 3, "the slow dimension comes first");
	is_int((intmax_t)model.tensors[0].shape[1], 512, "the fast one last");
	is_int((intmax_t)model.tensors[0].offset, (intmax_t)data, "place");
	is_int(lm_model_read(&model, 1, 0, read, 20, &e), LMODEL_OK, "read");
	is_int(read[19], 119, "bytes");
	is_str(value_of(&model, "general.name"), "a model", "string");
	is_str(value_of(&model, "general.alignment"), "64", "number");
	is_str(value_of(&model, "short"), "[7, -1]", "short array");
	is_str(value_of(&model, "words"), "(2 values of type string)", "array of strings");
	is_str(value_of(&model, "yes"), "true", "bool");
	is_str(value_of(&model, "raw"), "(2 bytes that are no text)", "no text");
	/* literal, tensor, literal (padding), tensor */
	is_int((intmax_t)model.sources[0].skeleton_len - (intmax_t)data, 9 + 17 + 9 + 32 + 17, "skeleton");
	lm_model_free(&model);

	b.len -= 1;
	refused(&b, LMODEL_ECORRUPT, "truncated: tensor 'v' has 20 bytes at 896");
	b.len += 66;
	refused(&b, LMODEL_ECORRUPT, "the last 65 bytes belong to no tensor");
	for (size_t n = 0; n < data; n++) {
		struct lmodel_error why = LMODEL_ERROR_INIT;

		b.len = n;
		if (import(&model, &b, &why) != LMODEL_ECORRUPT)
			ok(0, "cut to %zu: %s", n, why.message);
		lm_model_free(&model);
	}
	ok(1, "cut anywhere: corrupt");
}

static void test_bad(void)
{
	static const uint64_t dims[] = { 32, 1, 1, 1, 1 }, huge[] = { UINT64_C(1) << 62, 4 };
	struct bytes b;

	start(&b, 1, 0, 0);
	refused(&b, LMODEL_EUNSUPPORTED, "GGUF version 1");
	start(&b, 3 << 24, 0, 0);
	refused(&b, LMODEL_EUNSUPPORTED, "big-endian");
	start(&b, 3, UINT64_MAX, 0);
	refused(&b, LMODEL_ELIMIT, "18446744073709551615 tensors");
	start(&b, 3, 0, UINT64_MAX);
	refused(&b, LMODEL_ELIMIT, "key-values");
	start(&b, 3, 1, 0);
	tensor(&b, "t", 5, dims, 0, 0);
	refused(&b, LMODEL_ECORRUPT, "5 dimensions");
	start(&b, 3, 1, 0);
	tensor(&b, "t", 2, huge, 0, 0);
	refused(&b, LMODEL_ECORRUPT, "the shape overflows");
	start(&b, 3, 1, 0);
	tensor(&b, "t", 1, dims, 4, 0);
	refused(&b, LMODEL_EUNSUPPORTED, "unknown type number 4");
	start(&b, 3, 1, 0);
	tensor(&b, "t", 1, dims, 12, 0);
	refused(&b, LMODEL_ECORRUPT, "no whole number of blocks of 256");
	start(&b, 3, 1, 0);
	tensor(&b, "t", 1, dims, 0, 32);
	refused(&b, LMODEL_ECORRUPT, "is at 32 of the data, expected at 0");
	start(&b, 3, 0, 1);
	put_string(&b, "k"), put32(&b, 9), put32(&b, 9), put64(&b, 1);
	for (int i = 0; i < 8; i++)
		put32(&b, 9), put64(&b, 1);
	refused(&b, LMODEL_ELIMIT, "arrays within arrays");
	start(&b, 3, 0, 2);
	put_string(&b, "k"), put32(&b, 0), put(&b, "\1", 1);
	put_string(&b, "k"), put32(&b, 0), put(&b, "\2", 1);
	refused(&b, LMODEL_ECORRUPT, "key 'k' twice");
	start(&b, 3, 0, 1);
	put_string(&b, ""), put32(&b, 0), put(&b, "\1", 1);
	refused(&b, LMODEL_ECORRUPT, "empty");
	start(&b, 3, 0, 1);
	put_string(&b, "general.alignment"), put32(&b, 4), put32(&b, 24);
	refused(&b, LMODEL_ECORRUPT, "no power of two");
}

int main(void)
{
	test_dtypes();
	test_good();
	test_bad();
	return done();
}
