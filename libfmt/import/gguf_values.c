/* The key-values of a GGUF file. The skeleton keeps them to the byte; here they become text for
 * people: short arrays in full, of long ones what and how many. */
#include "import/gguf.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	KEY_LIMIT = 65535,
	TEXT_LIMIT = 1 << 20, /* of a string; longer ones are told by their length */
	SHOWN = 16,           /* items of an array */
	DEPTH_LIMIT = 4,      /* arrays of arrays */
	NUMBER_SIZE = 32,     /* as text */
};

static const struct { const char *name; unsigned bytes; } types[] = {
	[LM_GGUF_U8] = { "u8", 1 }, [LM_GGUF_I8] = { "i8", 1 },
	[LM_GGUF_U16] = { "u16", 2 }, [LM_GGUF_I16] = { "i16", 2 },
	[LM_GGUF_U32] = { "u32", 4 }, [LM_GGUF_I32] = { "i32", 4 },
	[LM_GGUF_F32] = { "f32", 4 }, [LM_GGUF_BOOL] = { "bool", 1 },
	[LM_GGUF_STRING] = { "string", 8 }, [LM_GGUF_ARRAY] = { "array", 12 }, /* at least */
	[LM_GGUF_U64] = { "u64", 8 }, [LM_GGUF_I64] = { "i64", 8 },
	[LM_GGUF_F64] = { "f64", 8 },
};

static int read_type(struct lm_gguf *g, uint32_t *type, struct lmodel_error *error)
{
	int r = lm_window_u32(&g->in, type, error);

	if (r == LMODEL_OK && *type >= LM_COUNT(types))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: a value at %ju of unknown type number %u", g->in.label,
			       (uintmax_t)g->in.at, *type);
	return r;
}

static void format_number(uint32_t type, const uint8_t *bytes, char text[NUMBER_SIZE])
{
	uint64_t bits = lm_get_u64(bytes);
	uint32_t half = lm_get_u32(bytes);
	float single;
	double wide;

	memcpy(&single, &half, sizeof(single));
	memcpy(&wide, &bits, sizeof(wide));
#define AS(...)                                        \
	snprintf(text, NUMBER_SIZE, __VA_ARGS__);      \
	break
	switch (type) {
	case LM_GGUF_U8: AS("%u", bytes[0]);
	case LM_GGUF_I8: AS("%d", (int8_t)bytes[0]);
	case LM_GGUF_U16: AS("%u", (unsigned)(half & 0xffff));
	case LM_GGUF_I16: AS("%d", (int16_t)(half & 0xffff));
	case LM_GGUF_U32: AS("%" PRIu32, half);
	case LM_GGUF_I32: AS("%" PRId32, (int32_t)half);
	case LM_GGUF_F32: AS("%.9g", (double)single);
	case LM_GGUF_BOOL: AS("%s", bytes[0] != 0 ? "true" : "false");
	case LM_GGUF_U64: AS("%" PRIu64, bits);
	case LM_GGUF_I64: AS("%" PRId64, (int64_t)bits);
	default: AS("%.17g", wide);
	}
}

static int read_number(struct lm_gguf *g, uint32_t type, char text[NUMBER_SIZE],
		       struct lmodel_error *error)
{
	uint8_t bytes[8] = { 0 };
	int r = lm_window_take(&g->in, bytes, types[type].bytes, error);

	if (r == LMODEL_OK)
		format_number(type, bytes, text);
	return r;
}

/* Text that is none for the manifest is told by its length. */
static int read_text(struct lm_gguf *g, char **out, struct lmodel_error *error)
{
	uint64_t begin = g->in.at, n;
	size_t len = 0;
	int r = lm_window_u64(&g->in, &n, error);

	if (r != LMODEL_OK)
		return r;
	if (n <= TEXT_LIMIT) {
		g->in.at = begin;
		r = lm_gguf_string(g, TEXT_LIMIT, "a string", out, &len, error);
		if (r != LMODEL_OK ||
		    (strlen(*out) == len && lm_utf8_valid(*out, len)))
			return r;
		free(*out);
		*out = lm_format(error, "(%ju bytes that are no text)", (uintmax_t)n);
	} else {
		r = lm_window_skip(&g->in, n, error);
		if (r != LMODEL_OK)
			return r;
		*out = lm_format(error, "(%ju bytes)", (uintmax_t)n);
	}
	return *out == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int skip_array(struct lm_gguf *g, unsigned depth, uint32_t *type, uint64_t *count,
		      struct lmodel_error *error);

static int skip_items(struct lm_gguf *g, unsigned depth, uint32_t type, uint64_t count,
		      struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (type != LM_GGUF_STRING && type != LM_GGUF_ARRAY)
		return lm_window_skip(&g->in, count * types[type].bytes, error);
	for (uint64_t i = 0; i < count && r == LMODEL_OK; i++) {
		uint64_t n;
		uint32_t inner;

		if (type == LM_GGUF_ARRAY) {
			r = skip_array(g, depth + 1, &inner, &n, error);
			continue;
		}
		r = lm_window_u64(&g->in, &n, error);
		if (r == LMODEL_OK)
			r = lm_window_skip(&g->in, n, error);
	}
	return r;
}

/* Type and count of an array, bounded by what the rest of the file can hold. */
static int array_head(struct lm_gguf *g, uint32_t *type, uint64_t *count,
		      struct lmodel_error *error)
{
	int r = read_type(g, type, error);

	if (r == LMODEL_OK)
		r = lm_window_u64(&g->in, count, error);
	if (r == LMODEL_OK && *count > (g->in.size - g->in.at) / types[*type].bytes)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: an array at %ju of %ju values of type %s, but the file has %ju "
			       "bytes", g->in.label, (uintmax_t)g->in.at, (uintmax_t)*count,
			       types[*type].name, (uintmax_t)g->in.size);
	return r;
}

static int skip_array(struct lm_gguf *g, unsigned depth, uint32_t *type, uint64_t *count,
		      struct lmodel_error *error)
{
	int r = array_head(g, type, count, error);

	if (r == LMODEL_OK && depth > DEPTH_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: arrays within arrays, over %d deep",
			       g->in.label, DEPTH_LIMIT);
	return r == LMODEL_OK ? skip_items(g, depth, *type, *count, error) : r;
}

static int read_array(struct lm_gguf *g, char **out, struct lmodel_error *error)
{
	char text[SHOWN * (NUMBER_SIZE + 2) + 3] = "[";
	size_t len = 1;
	uint64_t count;
	uint32_t type;
	int r = array_head(g, &type, &count, error);

	if (r != LMODEL_OK)
		return r;
	if (count > SHOWN || type == LM_GGUF_STRING || type == LM_GGUF_ARRAY) {
		r = skip_items(g, 1, type, count, error);
		if (r == LMODEL_OK)
			*out = lm_format(error, "(%ju values of type %s)", (uintmax_t)count,
					 types[type].name);
		return r == LMODEL_OK && *out == NULL ? LMODEL_EFAILED : r;
	}
	for (uint64_t i = 0; i < count && r == LMODEL_OK; i++) {
		char number[NUMBER_SIZE];

		r = read_number(g, type, number, error);
		if (r == LMODEL_OK)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						i > 0 ? ", " : "", number);
	}
	if (r != LMODEL_OK)
		return r;
	*out = lm_format(error, "%s]", text);
	return *out == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int read_value(struct lm_gguf *g, uint32_t type, char **out, struct lmodel_error *error)
{
	char number[NUMBER_SIZE];
	int r;

	if (type == LM_GGUF_STRING)
		return read_text(g, out, error);
	if (type == LM_GGUF_ARRAY)
		return read_array(g, out, error);
	r = read_number(g, type, number, error);
	if (r == LMODEL_OK)
		*out = lm_strdup(number, error);
	return r == LMODEL_OK && *out == NULL ? LMODEL_EFAILED : r;
}

static int read_alignment(struct lm_gguf *g, uint32_t type, const char *text,
			  struct lmodel_error *error)
{
	unsigned long alignment = strtoul(text, NULL, 10);

	if (type != LM_GGUF_U32)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: general.alignment is of type %s",
			       g->in.label, types[type].name);
	if (alignment == 0 || (alignment & (alignment - 1)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: general.alignment is %lu, no power of two", g->in.label,
			       alignment);
	g->alignment = (uint32_t)alignment;
	return LMODEL_OK;
}

static int read_pair(struct lm_gguf *g, uint64_t number, struct lmodel_error *error)
{
	struct lm_source_metadata *m = lm_model_add_metadata(g->model, error);
	size_t len;
	uint32_t type;
	int r;

	if (m == NULL)
		return LMODEL_EFAILED;
	m->source = g->source;
	m->begin = g->in.at;
	r = lm_gguf_string(g, KEY_LIMIT, "a key", &m->key, &len, error);
	if (r == LMODEL_OK &&
	    (len == 0 || strlen(m->key) != len || !lm_utf8_valid(m->key, len)))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: key number %ju is %s", g->in.label, (uintmax_t)number,
			       len == 0 ? "empty" : "not UTF-8 without NUL");
	if (r == LMODEL_OK)
		r = read_type(g, &type, error);
	if (r == LMODEL_OK)
		r = read_value(g, type, &m->value, error);
	if (r == LMODEL_OK && strcmp(m->key, "general.alignment") == 0)
		r = read_alignment(g, type, m->value, error);
	m->end = g->in.at;
	return r;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int lm_gguf_values(struct lm_gguf *g, uint64_t count, struct lmodel_error *error)
{
	size_t first = g->model->metadata_count, n;
	LM_FREE const char **keys = NULL;
	int r = LMODEL_OK;

	for (uint64_t i = 0; i < count && r == LMODEL_OK; i++)
		r = read_pair(g, i, error);
	if (r != LMODEL_OK)
		return r;
	n = g->model->metadata_count - first;
	keys = calloc(n + 1, sizeof(*keys));
	if (keys == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		keys[i] = g->model->metadata[first + i].key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: has key %s twice", g->in.label,
				       LM_QUOTE(keys[i]));
	return LMODEL_OK;
}
