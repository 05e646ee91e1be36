#include "protect/public_bytes.h"

#include "crypto/deeplock.h"
#include "crypto/secret.h"

enum { WINDOW = 1 << 20 };

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static bool is_taken(const struct lm_protected_model *p, size_t tensor)
{
	return p->taken != NULL && p->taken[tensor].taken;
}

const struct lm_selected_tensor *lm_protected_tensor(const struct lm_protected_model *p,
						     size_t tensor)
{
	static const struct lm_selected_tensor nothing;

	if (is_taken(p, tensor))
		return &p->taken[tensor].selected;
	return p->selection != NULL ? lm_selection_of(p->selection, tensor) : &nothing;
}

static int tiers_of(const struct lm_protected_model *p, size_t tensor, uint64_t first,
		    uint64_t count, const uint8_t *bytes, uint8_t **tiers,
		    struct lmodel_error *error)
{
	*tiers = malloc(count);
	if (*tiers == NULL)
		return lm_fail_memory(error);
	if (is_taken(p, tensor)) {
		memcpy(*tiers, p->taken[tensor].tiers + first, count);
		return LMODEL_OK;
	}
	return lm_selection_tiers(p->selection, tensor, first, count, bytes, *tiers, error);
}

static int list_of(const struct lm_protected_model *p, size_t tensor, uint64_t first,
		   uint64_t count, const uint8_t *bytes, struct lm_chosen *chosen,
		   struct lmodel_error *error)
{
	chosen->count = 0;
	if (is_taken(p, tensor))
		return lm_chosen_add_tiers(chosen, 0, p->taken[tensor].tiers + first, count, error);
	return lm_selection_list(p->selection, tensor, first, count, bytes, chosen, error);
}

/* ---- reading the base ---- */

/* Small units: whole ones are read, masked, and the wanted part is taken. */
static int read_small(const struct lm_protected_model *p, size_t tensor, const struct lm_units *u,
		      uint64_t offset, uint8_t *buffer, size_t len, struct lmodel_error *error)
{
	uint64_t first = offset / u->unit_bytes, last = ceil_div(offset + len, u->unit_bytes);
	uint64_t from = first * u->unit_bytes, to = LM_MIN(last * u->unit_bytes, u->bytes);
	bool direct = from == offset && to == offset + len;
	LM_FREE uint8_t *whole = direct ? NULL : malloc(to - from);
	uint8_t *bytes = direct ? buffer : whole;
	LM_CHOSEN struct lm_chosen chosen = { 0 };
	int r;

	if (bytes == NULL)
		return lm_fail_memory(error);
	r = lm_model_read(p->model, tensor, from, bytes, (size_t)(to - from), error);
	if (r == LMODEL_OK)
		r = list_of(p, tensor, first, last - first, bytes, &chosen, error);
	if (r == LMODEL_OK)
		r = lm_mask_apply(p->mask, tensor, first, &chosen, bytes, error);
	if (r == LMODEL_OK && !direct)
		memcpy(buffer, bytes + (offset - from), len);
	return r;
}

/* Large units, whose tiers are known without their bytes. */
static int read_large(const struct lm_protected_model *p, size_t tensor, const struct lm_units *u,
		      uint64_t offset, uint8_t *buffer, size_t len, struct lmodel_error *error)
{
	uint64_t first = offset / u->unit_bytes, last = ceil_div(offset + len, u->unit_bytes);
	LM_FREE uint8_t *tiers = NULL;
	int r = lm_model_read(p->model, tensor, offset, buffer, len, error);

	if (r == LMODEL_OK)
		r = tiers_of(p, tensor, first, last - first, NULL, &tiers, error);
	for (uint64_t i = first; i < last && r == LMODEL_OK; i++) {
		uint64_t from = LM_MAX(i * u->unit_bytes, offset);
		uint64_t to = LM_MIN((i + 1) * u->unit_bytes, offset + len);

		if (tiers[i - first] != LM_NO_TIER)
			r = lm_mask_fill(p->mask, tensor, from, (size_t)(to - from),
					 buffer + (from - offset), error);
	}
	return r;
}

static int read_columns(const struct lm_protected_model *p, size_t tensor, const struct lm_units *u,
			uint64_t offset, uint8_t *buffer, size_t len, struct lmodel_error *error)
{
	LM_FREE uint8_t *tiers = NULL;
	int r = lm_model_read(p->model, tensor, offset, buffer, len, error);

	if (r == LMODEL_OK)
		r = tiers_of(p, tensor, 0, u->columns, NULL, &tiers, error);
	for (uint64_t at = offset; at < offset + len && r == LMODEL_OK;) {
		uint64_t column = at / u->element_bytes % u->columns, n = 1;
		uint64_t rest = (offset + len - at) / u->element_bytes;

		/* A run of columns alike, at most to the end of the row. */
		while (n < rest && column + n < u->columns &&
		       (tiers[column + n] == LM_NO_TIER) == (tiers[column] == LM_NO_TIER))
			n++;
		if (tiers[column] != LM_NO_TIER)
			r = lm_mask_fill(p->mask, tensor, at, (size_t)(n * u->element_bytes),
					 buffer + (at - offset), error);
		at += n * u->element_bytes;
	}
	return r;
}

void lm_protected_lock_key(const struct lm_protected_model *p, size_t tensor, uint8_t key[32])
{
	if (is_taken(p, tensor))
		memcpy(key, p->taken[tensor].lock_key, LM_LOCK_KEY);
	else
		lm_lock_tensor_key(key, p->lock_key, p->model->tensors[tensor].name);
}

static int read_locked(const struct lm_protected_model *p, size_t tensor, uint64_t offset,
		       uint8_t *buffer, size_t len, struct lmodel_error *error)
{
	uint8_t key[LM_LOCK_KEY];
	int r = lm_model_read(p->model, tensor, offset, buffer, len, error);

	lm_protected_lock_key(p, tensor, key);
	if (r == LMODEL_OK)
		lm_lock(key, offset, buffer, len);
	lm_wipe(key, sizeof(key));
	return r;
}

bool lm_is_protected(const struct lm_protected_model *p, size_t tensor)
{
	const struct lm_selected_tensor *s = lm_protected_tensor(p, tensor);

	return s->eligible && s->upto[p->tier_count - 1] > 0;
}

int lm_public_read(const struct lm_protected_model *p, size_t tensor, uint64_t offset, void *buffer,
		   size_t len, struct lmodel_error *error)
{
	const struct lm_selected_tensor *s = lm_protected_tensor(p, tensor);

	if (len == 0 || !lm_is_protected(p, tensor))
		return lm_model_read(p->model, tensor, offset, buffer, len, error);
	if (is_taken(p, tensor))
		return p->read_taken(p->taken_context, tensor, offset, buffer, len, error);
	if (p->lock_key != NULL)
		return read_locked(p, tensor, offset, buffer, len, error);
	if (s->units.kind == LM_UNIT_COLUMN)
		return read_columns(p, tensor, &s->units, offset, buffer, len, error);
	if (s->units.unit_bytes > LM_UNIT_WINDOW)
		return read_large(p, tensor, &s->units, offset, buffer, len, error);
	return read_small(p, tensor, &s->units, offset, buffer, len, error);
}

/* ---- walking the units ---- */

static int walk_columns(const struct lm_protected_model *p, size_t tensor, const struct lm_units *u,
			lm_window_fn *window, void *context, struct lmodel_error *error)
{
	size_t row = (size_t)(u->columns * u->element_bytes);
	LM_FREE uint8_t *bytes = malloc(row);
	LM_CHOSEN struct lm_chosen chosen = { 0 };
	int r;

	if (bytes == NULL)
		return lm_fail_memory(error);
	r = list_of(p, tensor, 0, u->columns, NULL, &chosen, error);
	for (uint64_t at = 0; at < u->bytes && r == LMODEL_OK; at += row) {
		r = lm_model_read(p->model, tensor, at, bytes, row, error);
		if (r == LMODEL_OK)
			r = window(context, 0, u->columns, &chosen, bytes, row, error);
	}
	return r;
}

/* Whether tiers of whole windows are known without the bytes; `*step` becomes a number of these. */
static bool is_known(const struct lm_protected_model *p, size_t tensor, uint64_t *step)
{
	size_t window;

	if (is_taken(p, tensor) || !lm_selection_needs_bytes(p->selection, tensor))
		return true;
	window = lm_selection_window(p->selection, tensor);
	if (window > 0)
		*step = LM_MAX(*step / window, (uint64_t)1) * window;
	return window > 0;
}

int lm_protected_walk(const struct lm_protected_model *p, size_t tensor, bool values,
		      lm_window_fn *window, void *context, struct lmodel_error *error)
{
	const struct lm_units *u = &lm_protected_tensor(p, tensor)->units;
	uint64_t step = LM_MAX(WINDOW / u->unit_bytes, (uint64_t)1);
	bool reads;
	LM_CHOSEN struct lm_chosen chosen = { 0 };
	LM_FREE uint8_t *bytes = NULL;
	int r = LMODEL_OK;

	if (u->kind == LM_UNIT_COLUMN)
		return walk_columns(p, tensor, u, window, context, error);
	reads = !is_known(p, tensor, &step) || values;
	if (reads)
		bytes = malloc(LM_MIN(step * u->unit_bytes, u->bytes));
	if (reads && bytes == NULL)
		return lm_fail_memory(error);
	for (uint64_t first = 0; first < u->count && r == LMODEL_OK; first += step) {
		uint64_t count = LM_MIN(step, u->count - first), from = first * u->unit_bytes;
		size_t len = (size_t)(LM_MIN((first + count) * u->unit_bytes, u->bytes) - from);

		if (reads)
			r = lm_model_read(p->model, tensor, from, bytes, len, error);
		if (r == LMODEL_OK)
			r = list_of(p, tensor, first, count, bytes, &chosen, error);
		if (r == LMODEL_OK)
			r = window(context, first, count, &chosen, bytes, len, error);
	}
	return r;
}
