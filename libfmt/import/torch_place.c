/* Where tensors lie in a file, and the skeleton around them. */
#include "import/torch.h"

#include "base/permute.h"
#include "import/skeleton.h"

/* A tensor whose elements fill a range of the file. */
struct range {
	uint64_t begin, end;         /* bytes of the file */
	const struct lm_torch_tensor *tensor;
	size_t order;                /* in the pickle */
	bool permuted;
	uint8_t axes[LM_RANK_LIMIT]; /* axis i of the file is this axis of the tensor */
};

/* ---- strides ---- */

struct axis {
	uint64_t stride;
	uint8_t axis;
	bool one;                    /* of one element: its stride means nothing */
};

/* Widest stride first; axes of one element stay where they are among equals. */
static int compare_axes(const void *a, const void *b)
{
	const struct axis *x = a, *y = b;

	if (x->stride != y->stride)
		return x->stride > y->stride ? -1 : 1;
	return x->axis < y->axis ? -1 : x->axis > y->axis;
}

/* Whether the elements, with their axes in some order, are a range without holes; which order. */
static bool find_axes(const struct lm_torch_tensor *t, uint8_t *axes)
{
	struct axis all[LM_RANK_LIMIT];
	unsigned n = 0, at = 0;
	uint64_t expected = 1;

	for (unsigned i = 0; i < t->rank; i++)
		if (t->shape[i] != 1)
			all[n++] = (struct axis){ .stride = t->stride[i], .axis = (uint8_t)i };
	qsort(all, n, sizeof(*all), compare_axes);
	for (unsigned i = n; i-- > 0;) {
		if (all[i].stride != expected)
			return false;
		expected *= t->shape[all[i].axis]; /* at most the elements, which fit */
	}
	for (unsigned i = 0; i < t->rank; i++)
		if (t->shape[i] == 1)
			axes[at++] = (uint8_t)i;
	for (unsigned i = 0; i < n; i++)
		axes[at++] = all[i].axis;
	return true;
}

static int measure(const struct lm_torch *torch, size_t index, struct range *range,
		   struct lmodel_error *error)
{
	const struct lm_torch_tensor *t = &torch->tensors[index];
	const struct lm_torch_storage *s = &torch->storages[t->storage];
	uint64_t elements, bytes;

	if (!lm_dtype_bytes(t->dtype, t->rank, t->shape, &elements, &bytes))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: its size overflows",
			       torch->label, LM_QUOTE(t->name));
	*range = (struct range){ .tensor = t, .order = index };
	/* An empty tensor has no place: it stands where the storage begins. */
	range->begin = s->offset + (elements > 0 ? t->begin * t->dtype->block_bytes : 0);
	range->end = range->begin + bytes;
	for (unsigned i = 0; i < t->rank; i++)
		range->axes[i] = (uint8_t)i;
	if (elements == 0)
		return LMODEL_OK;
	if (!find_axes(t, range->axes))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: tensor %s: a view whose strides repeat elements or leave gaps: "
			       "save tensor.contiguous()", torch->label, LM_QUOTE(t->name));
	range->permuted = !lm_permutation_idle(t->rank, t->shape, range->axes);
	return LMODEL_OK;
}

/* ---- ranges ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Whether two tensors are the same bytes in the same order. */
static bool same_bytes(const struct range *a, const struct range *b)
{
	return a->begin == b->begin && a->end == b->end && !a->permuted && !b->permuted &&
	       a->tensor->dtype == b->tensor->dtype;
}

static int check_ranges(const struct lm_torch *torch, const struct range *ranges,
			struct lmodel_error *error)
{
	uint64_t end = 0;

	for (size_t i = 0; i < torch->tensor_count; i++) {
		if (ranges[i].begin < end &&
		    (ranges[i].end > ranges[i].begin) && !same_bytes(&ranges[i - 1], &ranges[i]))
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "%s: tensors %s and %s share a part of their bytes: save "
				       "tensor.clone()", torch->label,
				       LM_QUOTE(ranges[i - 1].tensor->name),
				       LM_QUOTE(ranges[i].tensor->name));
		end = LM_MAX(end, ranges[i].end);
	}
	return LMODEL_OK;
}

/* Bytes of storages beside all tensors, as when a part of a larger tensor was saved: they stay in
 * the file, and no tier hides them. */
static void tell_rest(const struct lm_torch *torch, const struct range *ranges)
{
	uint64_t rest = 0, end = 0;

	for (size_t i = 0; i < torch->storage_count; i++)
		rest += torch->storages[i].bytes;
	for (size_t i = 0; i < torch->tensor_count; i++)
		if (ranges[i].end > ranges[i].begin && ranges[i].begin >= end) {
			rest -= ranges[i].end - ranges[i].begin;
			end = ranges[i].end;
		}
	if (rest > 0 && !torch->model->layout_only)
		lm_notice(torch->model->run,
			  "%s: %ju bytes of its storages belong to no tensor: they are packed, and "
			  "not protected", torch->label, (uintmax_t)rest);
}

/* ---- into the model ---- */

/* The tensor's elements in the order of its axes, in a spool of its own. */
static int put_in_order(struct lm_torch *torch, const struct range *range,
			struct lm_source_tensor *t, struct lmodel_error *error)
{
	const struct lm_source *source = &torch->model->sources[torch->source];
	uint64_t shape[LM_RANK_LIMIT];
	uint8_t inverse[LM_RANK_LIMIT];
	const struct lm_permutation p = {
		.rank = t->rank, .shape = shape, .axes = inverse, .width = t->dtype->block_bytes,
	};

	t->axes = malloc(t->rank);
	if (t->axes == NULL)
		return lm_fail_memory(error);
	memcpy(t->axes, range->axes, t->rank);
	t->offset = range->begin;
	if (torch->model->layout_only)
		return LMODEL_OK;
	for (unsigned i = 0; i < t->rank; i++)
		shape[i] = t->shape[range->axes[i]];
	lm_permutation_inverse(t->rank, range->axes, inverse);
	t->spool = lm_model_add_spool(torch->model, error);
	if (t->spool < 0)
		return LMODEL_EFAILED;
	t->offset = 0;
	return lm_permute_file(&p, source->fd, torch->label, range->begin, t->spool,
			       "temporary file", 0, error);
}

static int add_tensor(struct lm_torch *torch, const struct range *range, struct lmodel_error *error)
{
	struct lm_source_tensor *t = lm_model_add_tensor(torch->model, error);

	if (t == NULL)
		return LMODEL_EFAILED;
	t->source = torch->source;
	t->dtype = range->tensor->dtype;
	t->rank = range->tensor->rank;
	t->bytes = range->end - range->begin;
	t->offset = range->begin;
	t->name = lm_strdup(range->tensor->name, error);
	t->shape = calloc(t->rank + 1u, sizeof(*t->shape));
	if (t->name == NULL)
		return LMODEL_EFAILED;
	if (t->shape == NULL)
		return lm_fail_memory(error);
	if (t->rank > 0)
		memcpy(t->shape, range->tensor->shape, t->rank * sizeof(*t->shape));
	return range->permuted ? put_in_order(torch, range, t, error) : LMODEL_OK;
}

/* ---- skeleton ---- */

static int compare_crcs(const void *a, const void *b)
{
	const struct lm_torch_crc *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

struct writing {
	struct lm_source *source;
	const struct lm_torch_crc *crcs;
	size_t crc_count, crc;
	uint64_t at;
};

/* Bytes of the file up to `to`: literals, and the CRCs among them. */
static int write_up_to(struct writing *w, uint64_t to, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	while (r == LMODEL_OK && w->crc < w->crc_count && w->crcs[w->crc].at < to) {
		const struct lm_torch_crc *crc = &w->crcs[w->crc++];

		if (crc->at < w->at || to - crc->at < 4)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: a CRC lies within a tensor",
				       w->source->label);
		r = lm_skeleton_literal(w->source, w->at, crc->at - w->at, error);
		if (r == LMODEL_OK)
			r = lm_skeleton_crc(w->source, crc->begin, crc->end, error);
		w->at = crc->at + 4;
	}
	if (r == LMODEL_OK)
		r = lm_skeleton_literal(w->source, w->at, to - w->at, error);
	w->at = to;
	return r;
}

static int write_skeleton(struct lm_torch *torch, const struct range *ranges, size_t first,
			  struct lm_torch_crc *crcs, size_t crc_count, struct lmodel_error *error)
{
	struct writing w = {
		.source = &torch->model->sources[torch->source], .crcs = crcs,
		.crc_count = crc_count,
	};
	int r = LMODEL_OK;

	if (crc_count > 0)
		qsort(crcs, crc_count, sizeof(*crcs), compare_crcs);
	for (size_t i = 0; i < torch->tensor_count && r == LMODEL_OK; i++) {
		const struct range *range = &ranges[i];

		if (range->begin == range->end || range->begin < w.at)
			continue; /* the same bytes as the one before */
		r = write_up_to(&w, range->begin, error);
		if (r != LMODEL_OK)
			break;
		r = range->permuted ? lm_skeleton_axes(w.source, first + i, range->tensor->rank,
						       range->axes, error) :
				      lm_skeleton_tensors(w.source, first + i, 1, error);
		w.at = range->end;
	}
	return r == LMODEL_OK ? write_up_to(&w, w.source->size, error) : r;
}

int lm_torch_place(struct lm_torch *torch, struct lm_torch_crc *crcs, size_t crc_count,
		   struct lmodel_error *error)
{
	LM_FREE struct range *ranges = calloc(torch->tensor_count + 1, sizeof(*ranges));
	size_t first = torch->model->tensor_count;
	int r = LMODEL_OK;

	if (ranges == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < torch->tensor_count && r == LMODEL_OK; i++)
		r = measure(torch, i, &ranges[i], error);
	if (r != LMODEL_OK)
		return r;
	qsort(ranges, torch->tensor_count, sizeof(*ranges), compare_ranges);
	r = check_ranges(torch, ranges, error);
	if (r == LMODEL_OK)
		tell_rest(torch, ranges);
	for (size_t i = 0; i < torch->tensor_count && r == LMODEL_OK; i++)
		r = add_tensor(torch, &ranges[i], error);
	return r == LMODEL_OK ? write_skeleton(torch, ranges, first, crcs, crc_count, error) : r;
}
