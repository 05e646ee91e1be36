#include "protect/mask.h"

#include "crypto/secret.h"
#include "protect/decoy.h"
#include "protect/mask_state.h"

enum { PIECE = 65536 }; /* of the reference, read at once */

int lm_mask_new(struct lm_mask **out, enum lm_mask_method method, const uint8_t key[32],
		const struct lm_model *model, const struct lm_selection *selection,
		const struct lm_model *reference, const struct lmodel_run *run,
		struct lmodel_error *error)
{
	struct lm_mask *mask = calloc(1, sizeof(*mask));
	int r;

	*out = NULL;
	if (mask == NULL)
		return lm_fail_memory(error);
	mask->model = model;
	mask->reference = reference;
	mask->selection = selection;
	memcpy(mask->key, key, sizeof(mask->key));
	lm_streams_init(&mask->streams);
	mask->tensors = calloc(model->tensor_count + 1, sizeof(*mask->tensors));
	r = mask->tensors == NULL ? lm_fail_memory(error) : lm_mask_plan(mask, method, run, error);
	if (r != LMODEL_OK) {
		lm_mask_free(mask);
		return r;
	}
	*out = mask;
	return LMODEL_OK;
}

void lm_mask_free(struct lm_mask *mask)
{
	if (mask == NULL)
		return;
	for (size_t i = 0; mask->tensors != NULL && i < mask->model->tensor_count; i++) {
		lm_donors_free(&mask->tensors[i].own);
		lm_ahead_free(&mask->tensors[i].ahead);
	}
	while (mask->classes != NULL) {
		struct lm_class *class = mask->classes;

		mask->classes = class->next;
		lm_donors_free(&class->donors);
		free(class);
	}
	lm_streams_destroy(&mask->streams);
	if (mask->tensors != NULL) /* with the decoy key one could tell where decoys are */
		lm_wipe(mask->tensors, mask->model->tensor_count * sizeof(*mask->tensors));
	free(mask->tensors);
	lm_wipe(mask, sizeof(*mask));
	free(mask);
}

/* ---- one range ---- */

/* Whole pieces (cells, slices) of `size` bytes; the first and the last may be wanted in part. */
static void draw_pieces(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
			size_t n, double *scratch, uint8_t *out)
{
	if (donors->form == LM_DONORS_SLICES)
		lm_decoy_slices(donors, random, first, NULL, n, scratch, out);
	else
		lm_decoy_cells(donors, random, first, NULL, n, out);
}

static void draw_range(const struct lm_donors *donors, struct lm_keystream *random, size_t size,
		       uint64_t from, size_t len, double *scratch, uint8_t *whole, uint8_t *out)
{
	while (len > 0) {
		size_t in = (size_t)(from % size), n = LM_MIN(size - in, len);

		if (in == 0 && len >= size) {
			n = len - len % size;
			draw_pieces(donors, random, from / size, n / size, scratch, out);
		} else {
			draw_pieces(donors, random, from / size, 1, scratch, whole);
			memcpy(out, whole + in, n);
		}
		from += n;
		out += n;
		len -= n;
	}
}

static size_t piece_size(const struct lm_donors *donors)
{
	if (donors->form == LM_DONORS_SLICES)
		return (size_t)(donors->length / donors->components * donors->cell);
	return (size_t)donors->cell;
}

static int fill_drawn(struct lm_mask *mask, size_t tensor, uint64_t from, size_t len, uint8_t *out,
		      struct lmodel_error *error)
{
	const struct lm_donors *donors = mask->tensors[tensor].donors;
	size_t size = piece_size(donors), scratch_len = LM_DECOY_SCRATCH(donors);
	LM_FREE double *scratch = malloc(scratch_len * sizeof(double) + size);
	struct lm_keystream *random;

	if (scratch == NULL)
		return lm_fail_memory(error);
	random = lm_streams_take(&mask->streams, tensor, mask->tensors[tensor].key, error);
	if (random == NULL)
		return LMODEL_EFAILED;
	draw_range(donors, random, size, from, len, scratch, (uint8_t *)(scratch + scratch_len),
		   out);
	lm_streams_give(&mask->streams, tensor, random);
	return LMODEL_OK;
}

/* The mask does not change for its users; its keystreams do, under their lock. */
static struct lm_mask *unlocked(const struct lm_mask *mask)
{
	union {
		const struct lm_mask *from;
		struct lm_mask *to;
	} u = { mask };

	return u.to;
}

static int check_range(const struct lm_mask *mask, size_t tensor, uint64_t from, uint64_t len,
		       struct lmodel_error *error)
{
	const struct lm_masked *masked;

	if (tensor >= mask->model->tensor_count)
		return lm_fail(error, LMODEL_EUSAGE, "there is no tensor number %zu", tensor);
	masked = &mask->tensors[tensor];
	if (masked->base == LM_BASE_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "tensor %s is not protected: it has no decoy",
			       LM_QUOTE(mask->model->tensors[tensor].name));
	if (from > masked->sample.units.bytes || len > masked->sample.units.bytes - from)
		return lm_fail(error, LMODEL_EUSAGE, "tensor %s: %ju bytes at %ju are beyond it",
			       LM_QUOTE(mask->model->tensors[tensor].name), (uintmax_t)len,
			       (uintmax_t)from);
	return LMODEL_OK;
}

int lm_mask_fill(const struct lm_mask *mask, size_t tensor, uint64_t from, size_t len, uint8_t *out,
		 struct lmodel_error *error)
{
	int r = check_range(mask, tensor, from, len, error);

	if (r != LMODEL_OK || len == 0)
		return r;
	switch (mask->tensors[tensor].base) {
	case LM_BASE_REFERENCE:
		return lm_model_read(mask->reference, mask->tensors[tensor].reference, from, out,
				     len, error);
	case LM_BASE_DRAWN:
		if (mask->tensors[tensor].ahead.count != 0) {
			lm_ahead_fill(&mask->tensors[tensor].ahead, from, len, out);
			return LMODEL_OK;
		}
		return fill_drawn(unlocked(mask), tensor, from, len, out, error);
	default:
		memset(out, 0, len);
		return LMODEL_OK;
	}
}

/* ---- many units ---- */

/* Runs of neighbouring units, each in one call. */
static int fill_runs(const struct lm_mask *mask, size_t tensor, uint64_t first,
		     const struct lm_chosen *chosen, uint8_t *bytes, struct lmodel_error *error)
{
	const struct lm_units *units = &mask->tensors[tensor].sample.units;

	for (size_t i = 0, n; i < chosen->count; i += n) {
		const uint64_t at = chosen->at[i], from = (first + at) * units->unit_bytes;
		uint64_t to;
		int r;

		for (n = 1; i + n < chosen->count && chosen->at[i + n] == at + n;)
			n++;
		to = LM_MIN((first + at + n) * units->unit_bytes, units->bytes);
		r = lm_mask_fill(mask, tensor, from, (size_t)(to - from),
				 bytes + at * units->unit_bytes, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* Units that are drawn one by one: elements, slices. */
static int apply_drawn(struct lm_mask *mask, size_t tensor, uint64_t first,
		       const struct lm_chosen *chosen, uint8_t *bytes, struct lmodel_error *error)
{
	const struct lm_donors *donors = mask->tensors[tensor].donors;
	LM_FREE double *scratch = NULL;
	struct lm_keystream *random;

	if (donors->form == LM_DONORS_SLICES) {
		scratch = malloc(LM_DECOY_SCRATCH(donors) * sizeof(double));
		if (scratch == NULL)
			return lm_fail_memory(error);
	}
	random = lm_streams_take(&mask->streams, tensor, mask->tensors[tensor].key, error);
	if (random == NULL)
		return LMODEL_EFAILED;
	if (donors->form == LM_DONORS_SLICES)
		lm_decoy_slices(donors, random, first, chosen->at, chosen->count, scratch, bytes);
	else
		lm_decoy_cells(donors, random, first, chosen->at, chosen->count, bytes);
	lm_streams_give(&mask->streams, tensor, random);
	return LMODEL_OK;
}

/* The reference is read in pieces, not by single elements. */
static int apply_reference(const struct lm_mask *mask, size_t tensor, uint64_t first,
			   const struct lm_chosen *chosen, uint8_t *bytes,
			   struct lmodel_error *error)
{
	size_t size = (size_t)mask->tensors[tensor].sample.units.unit_bytes, each = PIECE / size;
	LM_FREE uint8_t *piece = malloc(PIECE);

	if (piece == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < chosen->count;) {
		const size_t from = chosen->at[i];
		size_t end = i;
		int r;

		while (end < chosen->count && chosen->at[end] - from < each)
			end++;
		r = lm_mask_fill(mask, tensor, (first + from) * size,
				 (chosen->at[end - 1] + (size_t)1 - from) * size, piece, error);
		if (r != LMODEL_OK)
			return r;
		for (; i < end; i++)
			memcpy(bytes + chosen->at[i] * size, piece + (chosen->at[i] - from) * size,
			       size);
	}
	return LMODEL_OK;
}

int lm_mask_apply(const struct lm_mask *mask, size_t tensor, uint64_t first,
		  const struct lm_chosen *chosen, uint8_t *bytes, struct lmodel_error *error)
{
	const struct lm_units *units;
	const struct lm_masked *masked;
	int r;

	if (chosen->count == 0)
		return LMODEL_OK;
	r = check_range(mask, tensor, 0, 0, error);
	if (r != LMODEL_OK)
		return r;
	masked = &mask->tensors[tensor];
	units = &masked->sample.units;
	if (!lm_units_contiguous(units) || first >= units->count ||
	    chosen->at[chosen->count - 1] >= units->count - first)
		return lm_fail(error, LMODEL_EUSAGE, "tensor %s: no such run of units",
			       LM_QUOTE(mask->model->tensors[tensor].name));
	if (masked->base == LM_BASE_DRAWN && masked->ahead.count == 0 &&
	    units->unit_bytes == piece_size(masked->donors))
		return apply_drawn(unlocked(mask), tensor, first, chosen, bytes, error);
	if (masked->base == LM_BASE_REFERENCE && units->kind == LM_UNIT_ELEMENT)
		return apply_reference(mask, tensor, first, chosen, bytes, error);
	return fill_runs(mask, tensor, first, chosen, bytes, error);
}
