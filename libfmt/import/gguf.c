/* GGUF versions 2 and 3, little-endian: header, key-values, what the tensors are, then their bytes,
 * each at the next multiple of an alignment. As ggml's own reader does, tensors are taken in the
 * order of their data alone, without holes but the padding. */
#include "import/gguf.h"

#include "base/io.h"
#include "import/skeleton.h"

enum { DEFAULT_ALIGNMENT = 32, RANK_LIMIT = 4, KEYS_LIMIT = 262144 };

/* ---- reading ---- */

int lm_gguf_string(struct lm_gguf *g, size_t most, const char *what, char **out, size_t *len,
		   struct lmodel_error *error)
{
	LM_FREE char *text = NULL;
	uint64_t n;
	int r = lm_window_u64(&g->in, &n, error);

	if (r != LMODEL_OK)
		return r;
	if (n > g->in.size - g->in.at)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: %s at %ju of %ju bytes, but the file has %ju", g->in.label, what,
			       (uintmax_t)g->in.at, (uintmax_t)n, (uintmax_t)g->in.size);
	if (n > most)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: %s at %ju of %ju bytes; the limit is %zu", g->in.label, what,
			       (uintmax_t)g->in.at, (uintmax_t)n, most);
	text = malloc((size_t)n + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	r = lm_window_take(&g->in, text, (size_t)n, error);
	if (r != LMODEL_OK)
		return r;
	text[n] = '\0';
	*len = (size_t)n;
	*out = text;
	text = NULL;
	return LMODEL_OK;
}

/* ---- header ---- */

static int read_start(struct lm_gguf *g, uint64_t *tensors, uint64_t *values,
		      struct lmodel_error *error)
{
	uint8_t magic[4];
	uint32_t version;
	int r = lm_window_take(&g->in, magic, sizeof(magic), error);

	if (r == LMODEL_OK && memcmp(magic, "GGUF", sizeof(magic)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: does not begin with GGUF", g->in.label);
	if (r == LMODEL_OK)
		r = lm_window_u32(&g->in, &version, error);
	if (r != LMODEL_OK)
		return r;
	if (version != 0 && (version & 0xffff) == 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: a big-endian GGUF file; lmodel reads little-endian ones",
			       g->in.label);
	if (version != 2 && version != 3)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: GGUF version %u; lmodel reads versions 2 and 3", g->in.label,
			       version);
	r = lm_window_u64(&g->in, tensors, error);
	if (r == LMODEL_OK)
		r = lm_window_u64(&g->in, values, error);
	if (r != LMODEL_OK)
		return r;
	if (*tensors > LM_TENSOR_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju tensors; the limit is %u", g->in.label,
			       (uintmax_t)*tensors, LM_TENSOR_LIMIT);
	if (*values > KEYS_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju key-values; the limit is %d",
			       g->in.label, (uintmax_t)*values, KEYS_LIMIT);
	return LMODEL_OK;
}

/* ---- tensors ---- */

static int read_name(struct lm_gguf *g, uint64_t number, struct lm_source_tensor *t,
		     struct lmodel_error *error)
{
	size_t len;
	int r = lm_gguf_string(g, LM_NAME_LIMIT, "a tensor's name", &t->name, &len, error);

	if (r != LMODEL_OK)
		return r;
	if (strlen(t->name) != len || !lm_utf8_valid(t->name, len))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor number %ju: its name is not UTF-8 without NUL",
			       g->in.label, (uintmax_t)number);
	return LMODEL_OK;
}

/* GGUF has the dimension that varies fastest first. */
static int read_shape(struct lm_gguf *g, struct lm_source_tensor *t, struct lmodel_error *error)
{
	uint32_t rank;
	int r = lm_window_u32(&g->in, &rank, error);

	if (r != LMODEL_OK)
		return r;
	if (rank > RANK_LIMIT)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: %u dimensions; GGUF has %d",
			       g->in.label, LM_QUOTE(t->name), rank, RANK_LIMIT);
	t->rank = rank;
	t->shape = calloc(rank + 1u, sizeof(*t->shape));
	if (t->shape == NULL)
		return lm_fail_memory(error);
	for (uint32_t i = 0; i < rank && r == LMODEL_OK; i++)
		r = lm_window_u64(&g->in, &t->shape[rank - 1 - i], error);
	for (uint32_t i = 0; i < rank && r == LMODEL_OK; i++)
		if (t->shape[i] > INT64_MAX)
			r = lm_fail(error, LMODEL_ECORRUPT,
				    "%s: tensor %s: dimension %u is negative: %jd", g->in.label,
				    LM_QUOTE(t->name), rank - 1 - i, (intmax_t)t->shape[i]);
	return r;
}

static int read_type(struct lm_gguf *g, struct lm_source_tensor *t, struct lmodel_error *error)
{
	uint32_t type;
	int r = lm_window_u32(&g->in, &type, error);

	if (r != LMODEL_OK)
		return r;
	t->dtype = lm_dtype_of_ggml(type);
	if (t->dtype == NULL)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: tensor %s: unknown type number %u",
			       g->in.label, LM_QUOTE(t->name), type);
	if (lm_dtype_bytes(t->dtype, t->rank, t->shape, NULL, &t->bytes))
		return LMODEL_OK;
	if (lm_dtype_is_quantised(t->dtype) &&
	    (t->rank == 0 || t->shape[t->rank - 1] % t->dtype->block != 0))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: rows of %ju are no whole number of blocks of %u, as "
			       "%s has them", g->in.label, LM_QUOTE(t->name),
			       (uintmax_t)(t->rank == 0 ? 1 : t->shape[t->rank - 1]),
			       t->dtype->block, t->dtype->name);
	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: the shape overflows", g->in.label,
		       LM_QUOTE(t->name));
}

/* The place is that of the data section until place_tensors() knows where this begins. */
static int read_tensor(struct lm_gguf *g, uint64_t number, struct lmodel_error *error)
{
	struct lm_source_tensor *t = lm_model_add_tensor(g->model, error);
	int r;

	if (t == NULL)
		return LMODEL_EFAILED;
	t->source = g->source;
	r = read_name(g, number, t, error);
	if (r == LMODEL_OK)
		r = read_shape(g, t, error);
	if (r == LMODEL_OK)
		r = read_type(g, t, error);
	if (r == LMODEL_OK)
		r = lm_window_u64(&g->in, &t->offset, error);
	return r;
}

static int place_tensors(struct lm_gguf *g, size_t first, uint64_t data, struct lmodel_error *error)
{
	struct lm_source *source = &g->model->sources[g->source];
	uint64_t place = 0, room = g->in.size - data, end = data;
	int r = lm_skeleton_literal(source, 0, data, error);

	for (size_t i = first; i < g->model->tensor_count && r == LMODEL_OK; i++) {
		struct lm_source_tensor *t = &g->model->tensors[i];

		if (t->offset != place)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: is at %ju of the data, expected at %ju",
				       g->in.label, LM_QUOTE(t->name), (uintmax_t)t->offset,
				       (uintmax_t)place);
		if (place > room || t->bytes > room - place)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: truncated: tensor %s has %ju bytes at %ju of the data, "
				       "which has %ju", g->in.label, LM_QUOTE(t->name),
				       (uintmax_t)t->bytes, (uintmax_t)place, (uintmax_t)room);
		r = lm_skeleton_literal(source, end, data + place - end, error);
		if (r == LMODEL_OK)
			r = lm_skeleton_tensors(source, i, 1, error);
		t->offset = data + place;
		end = t->offset + t->bytes;
		place = lm_align(place + t->bytes, g->alignment);
	}
	if (r == LMODEL_OK && g->in.size - end > g->alignment)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the last %ju bytes belong to no tensor",
			       g->in.label, (uintmax_t)(g->in.size - end));
	return r == LMODEL_OK ? lm_skeleton_literal(source, end, g->in.size - end, error) : r;
}

static int read_file(struct lm_gguf *g, struct lmodel_error *error)
{
	size_t first = g->model->tensor_count;
	uint64_t tensors, values;
	int r = read_start(g, &tensors, &values, error);

	if (r == LMODEL_OK)
		r = lm_gguf_values(g, values, error);
	for (uint64_t i = 0; i < tensors && r == LMODEL_OK; i++)
		r = read_tensor(g, i, error);
	if (r != LMODEL_OK)
		return r;
	/* A file without tensors may end before its padding. */
	return place_tensors(g, first, LM_MIN(lm_align(g->in.at, g->alignment), g->in.size), error);
}

int lm_import_gguf(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error)
{
	struct lm_source *source = lm_model_add_source(model, error);
	LM_FREE struct lm_gguf *g = malloc(sizeof(*g));

	if (source == NULL || g == NULL) {
		close(fd);
		if (source != NULL)
			lm_fail_memory(error);
		return LMODEL_EFAILED;
	}
	source->fd = fd;
	source->size = size;
	source->format = "gguf";
	source->name = lm_strdup(name, error);
	source->label = lm_strdup(label, error);
	if (source->name == NULL || source->label == NULL)
		return LMODEL_EFAILED;
	g->model = model;
	g->source = model->source_count - 1;
	lm_window_start(&g->in, fd, source->label, 0, size);
	g->alignment = DEFAULT_ALIGNMENT;
	return read_file(g, error);
}
