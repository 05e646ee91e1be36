/* The header of a safetensors file, and the index of a sharded model. */
#include "export/export.h"

#include <stdio.h>

enum { PREFIX = 8, HEADER_LIMIT = 100000000 }; /* the format's own limit */

static const char metadata_key[] = "__metadata__";

/* Text that grows. A failure sticks, and is looked at once, at the end. */
struct text {
	char *bytes;
	size_t len, capacity;
	bool failed;
};

static void text_free(struct text *text)
{
	free(text->bytes);
}

static void put_bytes(struct text *text, const char *bytes, size_t len)
{
	if (text->failed || len == 0)
		return;
	if (len > text->capacity - text->len) {
		size_t wanted = text->capacity * 2 + len + 1024;
		char *grown = realloc(text->bytes, wanted);

		text->failed = grown == NULL;
		if (text->failed)
			return;
		text->bytes = grown;
		text->capacity = wanted;
	}
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
}

static void put(struct text *text, const char *string)
{
	put_bytes(text, string, strlen(string));
}

static void put_number(struct text *text, uint64_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%ju", (uintmax_t)number);
	put(text, digits);
}

static void put_escape(struct text *text, uint32_t unit)
{
	char escape[8];

	snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)unit & 0xffff);
	put(text, escape);
}

/* One character of a JSON string. With `ascii`, all others as \u escapes (RFC 8259, 7). */
static void put_char(struct text *text, const char *s, size_t len, uint32_t c, bool ascii)
{
	static const char named[][2] = {
		{ '"', '"' }, { '\\', '\\' }, { '\b', 'b' }, { '\f', 'f' },
		{ '\n', 'n' }, { '\r', 'r' }, { '\t', 't' },
	};

	for (size_t i = 0; i < LM_COUNT(named); i++) {
		if (c == (unsigned char)named[i][0]) {
			put(text, "\\");
			put_bytes(text, &named[i][1], 1);
			return;
		}
	}
	if (c < 0x20 || (ascii && c > 0x7f && c < 0x10000)) {
		put_escape(text, c);
	} else if (ascii && c >= 0x10000) {
		put_escape(text, 0xd800 + ((c - 0x10000) >> 10));
		put_escape(text, 0xdc00 + ((c - 0x10000) & 0x3ff));
	} else {
		put_bytes(text, s, len);
	}
}

/* A byte that is no UTF-8 becomes U+FFFD: the text is JSON whatever comes in. */
static void put_string(struct text *text, const char *s, bool ascii)
{
	size_t left = strlen(s);

	put(text, "\"");
	while (left > 0) {
		uint32_t c = 0;
		size_t n = lm_utf8_next((const unsigned char *)s, left, &c);

		if (n == 0)
			put_char(text, "\xef\xbf\xbd", 3, 0xfffd, ascii);
		else
			put_char(text, s, n, c, ascii);
		n = n == 0 ? 1 : n;
		s += n;
		left -= n;
	}
	put(text, "\"");
}

static int put_metadata(struct text *text, const struct lm_export_pair *pairs, size_t count,
			struct lmodel_error *error)
{
	LM_FREE bool *repeated = lm_export_repeated(pairs, count);

	if (repeated == NULL)
		return lm_fail_memory(error);
	put_string(text, metadata_key, false);
	put(text, ":{");
	for (size_t i = 0; i < count; i++) {
		if (repeated[i])
			continue;
		if (i > 0) /* the first is never a repetition */
			put(text, ",");
		put_string(text, pairs[i].key, false);
		put(text, ":");
		put_string(text, pairs[i].value, false);
	}
	put(text, "}");
	return LMODEL_OK;
}

static int too_large(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ELIMIT,
		       "the safetensors header would be over %d bytes; write several files",
		       HEADER_LIMIT);
}

/* Places the tensor behind `*end` bytes of data and writes its entry. */
static int put_tensor(struct text *text, struct lm_export_tensor *tensor, uint64_t *end,
		      struct lmodel_error *error)
{
	if (strcmp(tensor->name, metadata_key) == 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "a safetensors file cannot have a tensor %s",
			       LM_QUOTE(tensor->name));
	tensor->offset = *end;
	if (!lm_add(*end, tensor->bytes, end) || *end > INT64_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "tensor %s would end beyond any file",
			       LM_QUOTE(tensor->name));
	put_string(text, tensor->name, false);
	put(text, ":{\"dtype\":");
	put_string(text, tensor->dtype->name, false);
	put(text, ",\"shape\":[");
	for (unsigned i = 0; i < tensor->rank; i++) {
		if (i > 0)
			put(text, ",");
		put_number(text, tensor->shape[i]);
	}
	put(text, "],\"data_offsets\":[");
	put_number(text, tensor->offset);
	put(text, ",");
	put_number(text, *end);
	put(text, "]}");
	return LMODEL_OK;
}

static int compare_widths(const void *a, const void *b, void *context)
{
	const struct lm_export_tensor *tensors = context;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	unsigned width_x = tensors[x].dtype->bits, width_y = tensors[y].dtype->bits;

	return width_x != width_y ? (width_x < width_y) - (width_x > width_y) : (x > y) - (x < y);
}

static int put_header(struct text *text, struct lm_export_tensor *tensors, size_t tensor_count,
		      const struct lm_export_pair *metadata, size_t metadata_count,
		      uint64_t *data_size, struct lmodel_error *error)
{
	LM_FREE size_t *order = calloc(tensor_count + 1, sizeof(*order));
	int r = LMODEL_OK;

	if (order == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < tensor_count; i++)
		order[i] = i;
	qsort_r(order, tensor_count, sizeof(*order), compare_widths, tensors);
	*data_size = 0;
	put_bytes(text, "\0\0\0\0\0\0\0\0{", PREFIX + 1); /* the length comes at the end */
	if (metadata_count > 0)
		r = put_metadata(text, metadata, metadata_count, error);
	for (size_t i = 0; r == LMODEL_OK && i < tensor_count; i++) {
		if (i > 0 || metadata_count > 0)
			put(text, ",");
		r = put_tensor(text, &tensors[order[i]], data_size, error);
		if (r == LMODEL_OK && text->len > PREFIX + HEADER_LIMIT)
			r = too_large(error);
	}
	put(text, "}");
	while (text->len % 8 != 0 && !text->failed)
		put(text, " ");
	return r;
}

int lm_export_safetensors(struct lm_export_tensor *tensors, size_t tensor_count,
			  const struct lm_export_pair *metadata, size_t metadata_count,
			  uint8_t **header, size_t *header_len, uint64_t *file_size,
			  struct lmodel_error *error)
{
	LM_CLEANUP(text_free) struct text text = { 0 };
	uint64_t data_size = 0;
	int r;

	for (size_t i = 0; i < tensor_count; i++)
		if (!lm_dtype_in_safetensors(tensors[i].dtype))
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "tensor %s: safetensors has no type %s; the native format "
				       "keeps it",
				       LM_QUOTE(tensors[i].name), tensors[i].dtype->name);
	r = put_header(&text, tensors, tensor_count, metadata, metadata_count, &data_size,
			   error);

	if (r != LMODEL_OK)
		return r;
	if (text.failed)
		return lm_fail_memory(error);
	if (text.len > PREFIX + HEADER_LIMIT)
		return too_large(error);
	if (data_size > INT64_MAX - text.len)
		return lm_fail(error, LMODEL_ELIMIT, "the file would be over 2^63-1 bytes");
	lm_put_u64((uint8_t *)text.bytes, text.len - PREFIX);
	for (size_t i = 0; i < tensor_count; i++)
		tensors[i].offset += text.len;
	*header = (uint8_t *)text.bytes;
	*header_len = text.len;
	*file_size = text.len + data_size;
	text.bytes = NULL;
	return LMODEL_OK;
}

static int compare_names(const void *a, const void *b, void *context)
{
	const struct lm_export_tensor *tensors = context;

	return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

/* As Python's json.dumps(..., indent=2, sort_keys=True) and a newline write it, which is what
 * Hugging Face's libraries do. */
int lm_export_index(const struct lm_export_tensor *tensors, size_t tensor_count,
		    const char *const *file_of, char **out, size_t *len,
		    struct lmodel_error *error)
{
	LM_CLEANUP(text_free) struct text text = { 0 };
	LM_FREE size_t *order = calloc(tensor_count + 1, sizeof(*order));
	uint64_t total = 0;

	if (order == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < tensor_count; i++) {
		order[i] = i;
		if (!lm_add(total, tensors[i].bytes, &total))
			return lm_fail(error, LMODEL_ELIMIT, "the sum of all tensors overflows");
	}
	qsort_r(order, tensor_count, sizeof(*order), compare_names, (void *)(uintptr_t)tensors);
	put(&text, "{\n  \"metadata\": {\n    \"total_size\": ");
	put_number(&text, total);
	put(&text, "\n  },\n  \"weight_map\": {");
	for (size_t i = 0; i < tensor_count; i++) {
		put(&text, i > 0 ? ",\n    " : "\n    ");
		put_string(&text, tensors[order[i]].name, true);
		put(&text, ": ");
		put_string(&text, file_of[order[i]], true);
	}
	put(&text, tensor_count > 0 ? "\n  }\n}\n" : "}\n}\n");
	put_bytes(&text, "", 1); /* a NUL, for the caller's convenience */
	if (text.failed)
		return lm_fail_memory(error);
	*out = text.bytes;
	*len = text.len - 1;
	text.bytes = NULL;
	return LMODEL_OK;
}
