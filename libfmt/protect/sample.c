#include "protect/sample.h"

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

/* A tensor of up to SMALL bytes is read whole. A larger one is divided into strata of equal size,
 * one a row where that is possible (each row then has a scale of its own), with one window in
 * each; in all at most a sixteenth of the tensor, and not less than SMALL. */
enum {
	SMALL = 1 << 20,
	WINDOW = 32768,
	WINDOW_ELEMENTS = 64,
	STRATA_MIN = 64,
	STRATA_MAX = 1 << 17,
	PART = 16,
	TIERS = LM_UNIT_WINDOW,
};

struct walk {
	const struct lm_sample *sample;
	struct lm_keystream *places;
	uint8_t *bytes, *tiers;
	struct lm_chosen chosen;
	bool columns_known;   /* tiers[] holds those of all columns */
	lm_sample_visit *visit;
	void *context;
};

int lm_sample_key(uint8_t out[32], const uint8_t key[32], const char *label, const char *name,
		  struct lmodel_error *error)
{
	size_t label_len = strlen(label) + 1, name_len = strlen(name);
	LM_FREE uint8_t *text = malloc(label_len + name_len);

	if (text == NULL)
		return lm_fail_memory(error);
	memcpy(text, label, label_len);
	memcpy(text + label_len, name, name_len);
	lm_hmac_sha256(out, key, 32, text, label_len + name_len);
	return LMODEL_OK;
}

void lm_sample_init(struct lm_sample *sample, const uint8_t key[32], const struct lm_model *model,
		    const struct lm_selection *selection, size_t tensor)
{
	const struct lm_selected_tensor *selected = lm_selection_of(selection, tensor);
	uint64_t most = 0;

	for (size_t t = 0; t < LM_TIER_LIMIT; t++)
		most = LM_MAX(most, selected->upto[t]);
	*sample = (struct lm_sample){
		.model = model,
		.selection = selection,
		.tensor = tensor,
		.units = selected->units,
		.all_public = most == 0,
		.cell = selected->units.element_bytes,
	};
	if (sample->cell == 0)
		sample->cell = selected->units.dtype->block_bytes;
	memcpy(sample->key, key, sizeof(sample->key));
}

/* floor(a * b / c) for a < c: fits. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)a * b / c);
}

/* Piece number `i` of `strata` among `total` pieces: `*n` of them, at most `window`, from the
 * result on. */
static uint64_t place(struct walk *walk, uint64_t i, uint64_t strata, uint64_t total,
		      uint64_t window, uint64_t *n)
{
	uint64_t from = scale(i, total, strata), to = scale(i + 1, total, strata);
	uint8_t random[8];

	if (i + 1 == strata)
		to = total;
	*n = LM_MIN(window, to - from);
	if (*n == to - from)
		return from;
	lm_keystream_read(walk->places, 8 * i, random, sizeof(random));
	return from + lm_get_u64(random) % (to - from - *n + 1);
}

static bool is_seen_whole(const struct lm_sample *sample)
{
	return sample->units.bytes <= SMALL || sample->whole;
}

static uint64_t count_strata(const struct lm_sample *sample, uint64_t piece, uint64_t total,
			     uint64_t *window)
{
	const struct lm_units *units = &sample->units;
	uint64_t rows = units->rank >= 2 ? units->shape[0] : 1, strata, bytes, budget;

	if (is_seen_whole(sample)) {
		*window = LM_MAX(WINDOW / piece, 1);
		return total / *window + (total % *window != 0);
	}
	budget = LM_MAX(units->bytes / PART, SMALL);
	strata = LM_MIN(LM_MAX(rows, STRATA_MIN), STRATA_MAX);
	bytes = LM_MAX(SMALL / strata, WINDOW_ELEMENTS * sample->cell);
	bytes = LM_MAX(LM_MIN(bytes, WINDOW), piece);
	*window = bytes / piece;
	return LM_MIN(LM_MIN(strata, LM_MAX(budget / bytes, 1)), total);
}

/* Hands on the pieces of `piece` bytes whose tier is none. */
static int visit_public(struct walk *walk, const uint8_t *tiers, uint64_t n, uint64_t piece,
			uint64_t offset, size_t len, struct lmodel_error *error)
{
	uint64_t i = 0, end;

	while (i < n) {
		int r;

		if (tiers != NULL && tiers[i] != LM_NO_TIER) {
			i++;
			continue;
		}
		for (end = i + 1; end < n; end++)
			if (tiers != NULL && tiers[end] != LM_NO_TIER)
				break;
		r = walk->visit(walk->context, offset + i * piece, walk->bytes + i * piece,
				(size_t)(LM_MIN(end * piece, len) - i * piece), error);
		if (r != LMODEL_OK)
			return r;
		i = end;
	}
	return LMODEL_OK;
}

/* Hands on what lies between the chosen units. */
static int visit_between(struct walk *walk, uint64_t n, uint64_t unit, uint64_t offset, size_t len,
			 struct lmodel_error *error)
{
	const struct lm_chosen *chosen = &walk->chosen;
	uint64_t from = 0;
	int r = LMODEL_OK;

	for (size_t i = 0; i <= chosen->count && r == LMODEL_OK; i++) {
		const uint64_t to = i < chosen->count ? chosen->at[i] : n;

		if (to > from)
			r = walk->visit(walk->context, offset + from * unit,
					walk->bytes + from * unit,
					(size_t)(LM_MIN(to * unit, len) - from * unit), error);
		from = to + 1;
	}
	return r;
}

/* Units [first, first+n), LM_UNIT_WINDOW bytes at most. */
static int walk_units(struct walk *walk, uint64_t first, uint64_t n, struct lmodel_error *error)
{
	const struct lm_sample *sample = walk->sample;
	uint64_t unit = sample->units.unit_bytes, offset = first * unit;
	size_t len = (size_t)LM_MIN(n * unit, sample->units.bytes - offset);
	int r;

	r = lm_model_read(sample->model, sample->tensor, offset, walk->bytes, len, error);
	walk->chosen.count = 0;
	if (r == LMODEL_OK && !sample->all_public)
		r = lm_selection_list(sample->selection, sample->tensor, first, n, walk->bytes,
				      &walk->chosen, error);
	return r == LMODEL_OK ? visit_between(walk, n, unit, offset, len, error) : r;
}

/* Cells [first, first+n) of a tensor whose units are larger than a window. */
static int walk_large(struct walk *walk, uint64_t first, uint64_t n, struct lmodel_error *error)
{
	const struct lm_sample *sample = walk->sample;
	uint64_t cell = sample->cell, size = sample->units.unit_bytes;
	uint64_t unit = first * cell / size, left;
	uint8_t tier = LM_NO_TIER;
	int r = LMODEL_OK;

	left = LM_MIN(size, sample->units.bytes - unit * size) - (first * cell - unit * size);
	n = LM_MIN(n, left / cell);
	if (!sample->all_public)
		r = lm_selection_tiers(sample->selection, sample->tensor, unit, 1, NULL, &tier,
				       error);
	if (r != LMODEL_OK || tier != LM_NO_TIER || n == 0)
		return r;
	r = lm_model_read(sample->model, sample->tensor, first * cell, walk->bytes,
			  (size_t)(n * cell), error);
	if (r != LMODEL_OK)
		return r;
	return visit_public(walk, NULL, n, cell, first * cell, (size_t)(n * cell), error);
}

/* Elements [first, first+n) of a tensor protected by columns. */
static int walk_columns(struct walk *walk, uint64_t first, uint64_t n, struct lmodel_error *error)
{
	const struct lm_sample *sample = walk->sample;
	uint64_t cell = sample->cell, columns = sample->units.columns;

	while (n > 0) {
		uint64_t column = first % columns, run = LM_MIN(n, columns - column);
		const uint8_t *tiers = walk->tiers;
		int r = LMODEL_OK;

		if (sample->all_public)
			tiers = NULL;
		else if (walk->columns_known)
			tiers += column;
		else
			r = lm_selection_tiers(sample->selection, sample->tensor, column, run,
					       NULL, walk->tiers, error);
		if (r == LMODEL_OK)
			r = lm_model_read(sample->model, sample->tensor, first * cell,
					  walk->bytes, (size_t)(run * cell), error);
		if (r == LMODEL_OK)
			r = visit_public(walk, tiers, run, cell, first * cell,
					 (size_t)(run * cell), error);
		if (r != LMODEL_OK)
			return r;
		first += run;
		n -= run;
	}
	return LMODEL_OK;
}

static int walk_all(struct walk *walk, struct lmodel_error *error)
{
	const struct lm_sample *sample = walk->sample;
	const struct lm_units *units = &sample->units;
	bool columns = !lm_units_contiguous(units);
	bool whole = !columns && units->unit_bytes <= LM_UNIT_WINDOW;
	uint64_t piece = whole ? units->unit_bytes : sample->cell;
	uint64_t total = whole ? units->count : units->bytes / piece, strata, window, n;
	int r = LMODEL_OK;

	if (columns && units->columns <= TIERS && !sample->all_public) {
		r = lm_selection_tiers(sample->selection, sample->tensor, 0, units->columns, NULL,
				       walk->tiers, error);
		walk->columns_known = true;
	}
	strata = count_strata(sample, piece, total, &window);
	for (uint64_t i = 0; r == LMODEL_OK && i < strata; i++) {
		uint64_t first = place(walk, i, strata, total, window, &n);

		if (whole)
			r = walk_units(walk, first, n, error);
		else if (columns)
			r = walk_columns(walk, first, n, error);
		else
			r = walk_large(walk, first, n, error);
	}
	return r;
}

int lm_sample_run(const struct lm_sample *sample, lm_sample_visit *visit, void *context,
		  struct lmodel_error *error)
{
	LM_FREE uint8_t *bytes = malloc(LM_UNIT_WINDOW), *tiers = malloc(TIERS);
	struct walk walk = { .sample = sample, .bytes = bytes, .tiers = tiers, .visit = visit,
			     .context = context };
	uint8_t key[32];
	int r;

	if (bytes == NULL || tiers == NULL)
		return lm_fail_memory(error);
	if (!is_seen_whole(sample)) { /* else there is nothing to be drawn */
		r = lm_sample_key(key, sample->key, "lmodel donors v1",
				  sample->model->tensors[sample->tensor].name, error);
		if (r != LMODEL_OK)
			return r;
		walk.places = lm_keystream_new(key, error);
		lm_wipe(key, sizeof(key));
		if (walk.places == NULL)
			return LMODEL_EFAILED;
	}
	r = walk_all(&walk, error);
	lm_keystream_free(walk.places);
	lm_chosen_free(&walk.chosen);
	return r;
}
