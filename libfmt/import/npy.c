/* NumPy arrays: .npy files, and what they share with npz. */
#include "import/npy.h"

#include "base/io.h"
#include "base/permute.h"
#include "import/skeleton.h"

static const char magic[] = "\x93NUMPY";

enum { MAGIC_LEN = 6, PREFIX = 12 };

bool lm_npy_is_like(const uint8_t *head, size_t head_len)
{
	return head_len >= MAGIC_LEN && memcmp(head, magic, MAGIC_LEN) == 0;
}

/* Magic, version, and the length of the text: two bytes in version 1, four in 2 and 3. */
static int read_prefix(int fd, uint64_t at, uint64_t end, const char *label, const char *name,
		       unsigned *version, uint64_t *prefix, uint64_t *len,
		       struct lmodel_error *error)
{
	uint8_t b[PREFIX] = { 0 };
	size_t n = (size_t)LM_MIN(end - at, (uint64_t)PREFIX);
	int r = lm_read_at(fd, label, b, n, at, error);

	if (r != LMODEL_OK)
		return r;
	if (!lm_npy_is_like(b, n) || n < 10)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: %s: is no NumPy array", label,
			       LM_QUOTE(name));
	*version = b[6];
	if (b[6] < 1 || b[6] > 3 || b[7] != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: %s: version %u.%u of the NumPy format; 1.0, 2.0 and 3.0 are "
			       "known", label, LM_QUOTE(name), b[6], b[7]);
	*prefix = *version == 1 ? 10 : 12;
	*len = *version == 1 ? (uint64_t)b[8] | (uint64_t)b[9] << 8 : lm_get_u32(b + 8);
	if (*prefix + *len > end - at)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: %s: truncated: a header of %ju bytes in %ju", label,
			       LM_QUOTE(name), (uintmax_t)(*prefix + *len), (uintmax_t)(end - at));
	if (*len > LM_NPY_HEAD_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: %s: a header of %ju bytes; the limit is %u", label,
			       LM_QUOTE(name), (uintmax_t)*len, LM_NPY_HEAD_LIMIT);
	return LMODEL_OK;
}

int lm_npy_read(struct lm_npy *npy, int fd, uint64_t at, uint64_t end, const char *label,
		const char *name, struct lmodel_error *error)
{
	LM_FREE char *text = NULL;
	uint64_t prefix = 0, len = 0;
	unsigned version = 0;
	int r;

	*npy = (struct lm_npy){ 0 };
	r = read_prefix(fd, at, end, label, name, &version, &prefix, &len, error);
	if (r != LMODEL_OK)
		return r;
	text = malloc((size_t)len + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(fd, label, text, (size_t)len, at + prefix, error);
	if (r == LMODEL_OK)
		r = lm_npy_parse(npy, text, (size_t)len, version < 3, label, name, error);
	if (r != LMODEL_OK)
		return r;
	npy->head = prefix + len;
	if (npy->bytes > end - at - npy->head)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: %s: truncated: the array has %ju bytes, of which %ju are there",
			       label, LM_QUOTE(name), (uintmax_t)npy->bytes,
			       (uintmax_t)(end - at - npy->head));
	return LMODEL_OK;
}

void lm_npy_free(struct lm_npy *npy)
{
	free(npy->shape);
	free(npy->descr);
	*npy = (struct lm_npy){ 0 };
}

/* ---- as a tensor of the model ---- */

static int add_descr(struct lm_model *model, size_t source, const struct lm_npy *npy,
		     const char *name, struct lmodel_error *error)
{
	struct lm_source_metadata *m = lm_model_add_metadata(model, error);

	if (m == NULL)
		return LMODEL_EFAILED;
	m->source = source;
	m->key = lm_format(error, LM_NPY_DESCR_KEY "%s", name);
	m->value = lm_strdup(npy->descr, error);
	return m->key == NULL || m->value == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

/* Into the order in which the last axis varies fastest. */
static int put_in_order(struct lm_model *model, const struct lm_npy *npy,
			struct lm_source_tensor *t, int fd, uint64_t at, int *spool,
			uint64_t *spool_at, struct lmodel_error *error)
{
	uint64_t shape[LM_RANK_LIMIT];
	uint8_t inverse[LM_RANK_LIMIT];
	const struct lm_permutation p = {
		.rank = npy->rank, .shape = shape, .axes = inverse,
		.width = npy->dtype->block_bytes,
	};
	int r;

	for (unsigned i = 0; i < npy->rank; i++)
		shape[i] = npy->shape[npy->axes[i]];
	lm_permutation_inverse(npy->rank, npy->axes, inverse);
	if (*spool < 0)
		*spool = lm_model_add_spool(model, error);
	if (*spool < 0)
		return LMODEL_EFAILED;
	r = lm_permute_file(&p, fd, model->sources[t->source].label, at, *spool, "temporary file",
			    *spool_at, error);
	t->spool = *spool;
	t->offset = *spool_at;
	*spool_at += npy->bytes;
	return r;
}

int lm_npy_add(struct lm_model *model, const struct lm_npy *npy, const char *name, size_t name_len,
	       int fd, uint64_t at, int *spool, uint64_t *spool_at, struct lmodel_error *error)
{
	struct lm_source_tensor *t = lm_model_add_tensor(model, error);
	size_t source = model->source_count - 1;

	if (t == NULL)
		return LMODEL_EFAILED;
	t->source = source;
	t->dtype = npy->dtype;
	t->rank = npy->rank;
	t->bytes = npy->bytes;
	t->offset = at;
	t->name = strndup(name, name_len);
	t->shape = calloc(npy->rank + 1u, sizeof(*t->shape));
	t->axes = npy->permuted ? malloc(LM_RANK_LIMIT) : NULL;
	if (t->name == NULL || t->shape == NULL || (npy->permuted && t->axes == NULL))
		return lm_fail_memory(error);
	if (fd != model->sources[source].fd)
		t->spool = fd;
	if (npy->rank > 0)
		memcpy(t->shape, npy->shape, npy->rank * sizeof(*t->shape));
	if (npy->permuted) {
		memcpy(t->axes, npy->axes, npy->rank);
		if (!model->layout_only) {
			int r = put_in_order(model, npy, t, fd, at, spool, spool_at, error);

			if (r != LMODEL_OK)
				return r;
		}
	}
	return npy->descr != NULL ? add_descr(model, source, npy, t->name, error) : LMODEL_OK;
}

int lm_npy_skeleton(struct lm_model *model, const struct lm_npy *npy, size_t tensor,
		    struct lmodel_error *error)
{
	struct lm_source *source = &model->sources[model->source_count - 1];

	return npy->permuted ?
	       lm_skeleton_axes(source, tensor, npy->rank, npy->axes, error) :
	       lm_skeleton_tensors(source, tensor, 1, error);
}

/* ---- a file ---- */

/* np.save() can write several arrays into one file; np.load() of the file gives the first. */
static int read_file(struct lm_model *model, struct lm_npy *npy, const char *name, size_t name_len,
		     struct lmodel_error *error)
{
	struct lm_source *source = &model->sources[model->source_count - 1];
	size_t tensor = model->tensor_count;
	uint64_t end, spool_at = 0;
	int spool = -1, r;

	r = lm_npy_read(npy, source->fd, 0, source->size, source->label, name, error);
	if (r != LMODEL_OK)
		return r;
	end = npy->head + npy->bytes;
	if (end < source->size && !model->layout_only)
		lm_notice(model->run, "%s: the %ju bytes behind its array are kept as they are, in "
			  "the clear", source->label, (uintmax_t)(source->size - end));
	r = lm_npy_add(model, npy, name, name_len, source->fd, npy->head, &spool, &spool_at, error);
	if (r == LMODEL_OK)
		r = lm_skeleton_literal(source, 0, npy->head, error);
	if (r == LMODEL_OK)
		r = lm_npy_skeleton(model, npy, tensor, error);
	return r != LMODEL_OK ? r :
	       lm_skeleton_literal(source, end, source->size - end, error);
}

int lm_import_npy(struct lm_model *model, int fd, uint64_t size, const char *name,
		  const char *label, struct lmodel_error *error)
{
	const char *slash = strrchr(name, '/');
	struct lm_npy npy = { 0 };
	size_t len;
	int r;

	if (lm_model_open_source(model, "npy", fd, size, name, label, error) == NULL)
		return LMODEL_EFAILED;
	name = slash != NULL ? slash + 1 : name;
	len = strlen(name);
	if (len > 4 && strcmp(name + len - 4, ".npy") == 0)
		len -= 4;
	r = read_file(model, &npy, name, len, error);
	lm_npy_free(&npy);
	return r;
}
