/* The header of a GGUF file, version 3: key-values, then what the tensors are. */
#include "export/export.h"

enum {
	GGUF_VERSION = 3, DEFAULT_ALIGNMENT = 32,
	ALIGNMENT_LIMIT = 1 << 20,
	KEY_LIMIT = 65535,
	HEADER_LIMIT = 100000000, /* as for reading (spec: 9) */
	TYPE_U32 = 4, TYPE_STRING = 8,
};

static const char alignment_key[] = "general.alignment";

/* The header's bytes; counted alone while there is no memory for them. */
struct header {
	uint8_t *bytes;
	uint64_t len;
};

static void put(struct header *h, const void *bytes, size_t len)
{
	if (h->bytes != NULL && len > 0)
		memcpy(h->bytes + h->len, bytes, len);
	h->len += len;
}

static void put_u32(struct header *h, uint32_t number)
{
	uint8_t bytes[4];

	lm_put_u32(bytes, number);
	put(h, bytes, sizeof(bytes));
}

static void put_u64(struct header *h, uint64_t number)
{
	uint8_t bytes[8];

	lm_put_u64(bytes, number);
	put(h, bytes, sizeof(bytes));
}

static void put_string(struct header *h, const char *string)
{
	put_u64(h, strlen(string));
	put(h, string, strlen(string));
}

/* ---- key-values ---- */

struct pairs {
	const struct lm_export_pair *pairs;
	const struct lm_export_value *values;
	size_t count;
	bool *left_out;
	uint64_t kept;
	uint32_t alignment;
};

bool lm_export_gguf_has_key(const char *key)
{
	return key[0] != '\0' && strlen(key) <= KEY_LIMIT;
}

/* A string of that key would be no alignment, so a pair from elsewhere is left out. */
static bool is_misleading(const struct pairs *p, size_t i)
{
	return strcmp(p->pairs[i].key, alignment_key) == 0 &&
	       (p->values == NULL || p->values[i].bytes == NULL);
}

static int read_alignment(struct pairs *p, size_t i, struct lmodel_error *error)
{
	const size_t place = 8 + sizeof(alignment_key) - 1;
	const struct lm_export_value *v = &p->values[i];

	if (v->len != place + 8 || lm_get_u32(v->bytes + place) != TYPE_U32)
		return lm_fail(error, LMODEL_ECORRUPT, "%s is not of type u32", alignment_key);
	p->alignment = lm_get_u32(v->bytes + place + 4);
	if (p->alignment == 0 || (p->alignment & (p->alignment - 1)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s is %u, no power of two", alignment_key,
			       p->alignment);
	if (p->alignment > ALIGNMENT_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s is %u; GGUF files are made with at most %d", alignment_key,
			       p->alignment, ALIGNMENT_LIMIT);
	return LMODEL_OK;
}

/* The first of equal keys that can be one is kept. */
static int choose_pairs(struct pairs *p, struct lmodel_error *error)
{
	LM_FREE struct lm_export_pair *usable = calloc(p->count + 1, sizeof(*usable));
	LM_FREE size_t *place = calloc(p->count + 1, sizeof(*place));
	LM_FREE bool *repeated = NULL;
	size_t n = 0;
	int r = LMODEL_OK;

	p->left_out = calloc(p->count + 1, sizeof(*p->left_out));
	if (usable == NULL || place == NULL || p->left_out == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < p->count; i++) {
		p->left_out[i] = !lm_export_gguf_has_key(p->pairs[i].key) || is_misleading(p, i);
		if (p->left_out[i])
			continue;
		place[n] = i;
		usable[n++] = p->pairs[i];
	}
	repeated = lm_export_repeated(usable, n);
	if (repeated == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n && r == LMODEL_OK; i++) {
		p->left_out[place[i]] = repeated[i];
		p->kept += !repeated[i];
		if (!repeated[i] && strcmp(usable[i].key, alignment_key) == 0)
			r = read_alignment(p, place[i], error);
	}
	return r;
}

static void put_pair(struct header *h, const struct pairs *p, size_t i)
{
	if (p->values != NULL && p->values[i].bytes != NULL) {
		put(h, p->values[i].bytes, p->values[i].len);
		return;
	}
	put_string(h, p->pairs[i].key);
	put_u32(h, TYPE_STRING);
	put_string(h, p->pairs[i].value);
}

/* ---- tensors ---- */

/* GGUF names the dimension that varies fastest first. */
static void put_tensor(struct header *h, const struct lm_export_tensor *t)
{
	uint32_t type = 0;

	lm_dtype_ggml(t->dtype, &type);
	put_string(h, t->name);
	put_u32(h, t->rank);
	for (unsigned i = t->rank; i > 0; i--)
		put_u64(h, t->shape[i - 1]);
	put_u32(h, type);
	put_u64(h, t->offset);
}

/* In the data, of which nothing is known here but where it begins in the end. */
static int place_tensors(struct lm_export_tensor *tensors, size_t count, uint32_t alignment,
			 uint64_t *size, struct lmodel_error *error)
{
	*size = 0;
	for (size_t i = 0; i < count; i++) {
		struct lm_export_tensor *t = &tensors[i];
		uint32_t type;

		if (!lm_dtype_ggml(t->dtype, &type))
			return lm_fail(error, LMODEL_EUNSUPPORTED, "tensor %s: GGUF has no type %s",
				       LM_QUOTE(t->name), t->dtype->name);
		if (t->rank > LM_EXPORT_GGUF_RANK)
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "tensor %s: %u dimensions; GGUF has %u", LM_QUOTE(t->name),
				       t->rank, LM_EXPORT_GGUF_RANK);
		t->offset = *size;
		if (t->bytes > INT64_MAX - *size || /* and the padding: */
		    *size + t->bytes > (uint64_t)INT64_MAX - alignment)
			return lm_fail(error, LMODEL_ELIMIT, "tensor %s would end beyond any file",
				       LM_QUOTE(t->name));
		*size = lm_align(*size + t->bytes, alignment);
	}
	return LMODEL_OK;
}

/* ---- */

/* False when it is over the limit. */
static bool put_header(struct header *h, const struct lm_export_tensor *tensors, size_t count,
		       const struct pairs *p)
{
	put(h, "GGUF", 4);
	put_u32(h, GGUF_VERSION);
	put_u64(h, count);
	put_u64(h, p->kept);
	for (size_t i = 0; i < p->count && h->len <= HEADER_LIMIT; i++)
		if (!p->left_out[i])
			put_pair(h, p, i);
	for (size_t i = 0; i < count && h->len <= HEADER_LIMIT; i++)
		put_tensor(h, &tensors[i]);
	return h->len <= HEADER_LIMIT;
}

static int make_header(struct lm_export_tensor *tensors, size_t count, const struct pairs *p,
		       uint8_t **header, size_t *header_len, struct lmodel_error *error)
{
	struct header h = { 0 };
	uint64_t len;

	if (!put_header(&h, tensors, count, p))
		return lm_fail(error, LMODEL_ELIMIT, "the GGUF header would be over %d bytes",
			       HEADER_LIMIT);
	len = lm_align(h.len, p->alignment);
	h = (struct header){ .bytes = calloc(1, (size_t)len) };
	if (h.bytes == NULL)
		return lm_fail_memory(error);
	put_header(&h, tensors, count, p);
	*header = h.bytes;
	*header_len = (size_t)len;
	return LMODEL_OK;
}

int lm_export_gguf(struct lm_export_tensor *tensors, size_t tensor_count,
		   const struct lm_export_pair *metadata, const struct lm_export_value *values,
		   size_t metadata_count, uint8_t **header, size_t *header_len,
		   uint64_t *file_size, struct lmodel_error *error)
{
	struct pairs pairs = { .pairs = metadata, .values = values, .count = metadata_count,
			       .alignment = DEFAULT_ALIGNMENT };
	uint64_t size = 0;
	int r = choose_pairs(&pairs, error);

	if (r == LMODEL_OK)
		r = place_tensors(tensors, tensor_count, pairs.alignment, &size, error);
	if (r == LMODEL_OK)
		r = make_header(tensors, tensor_count, &pairs, header, header_len, error);
	free(pairs.left_out);
	if (r != LMODEL_OK)
		return r;
	if (size > INT64_MAX - *header_len) {
		free(*header);
		*header = NULL;
		return lm_fail(error, LMODEL_ELIMIT, "the file would be over 2^63-1 bytes");
	}
	for (size_t i = 0; i < tensor_count; i++)
		tensors[i].offset += *header_len;
	*file_size = *header_len + size;
	return LMODEL_OK;
}
