#include "protect/ahead.h"

#include "crypto/aead.h"
#include "crypto/secret.h"
#include "protect/draw.h"
#include "protect/residual.h"
#include "protect/ridge.h"

enum { ATTEMPTS = 8, DRAW = LM_RESIDUAL_DRAW };

/* Draws that follow a copy come from the upper half of the keystream; those of the grid, whose
 * words begin at 0, from the end of the lower one. */
#define DRAWS (UINT64_C(1) << 60)
#define REDRAWS (UINT64_C(1) << 62)

static uint64_t side_work(uint64_t elements, uint64_t width)
{
	return width > LM_RIDGE_MOST ? 0 : elements * width * 2 + width * width * width;
}

bool lm_ahead_cost(const struct lm_units *units, uint64_t hidden, uint64_t *work, uint64_t *bytes)
{
	struct lm_grid g;
	uint64_t piece, cut;

	*work = *bytes = 0;
	if (!lm_grid_form(&g, units))
		return false;
	piece = g.inner * units->element_bytes;
	/* A unit that begins or ends within a piece hides all of it. Columns are made of elements
	 * that lie apart. */
	cut = lm_units_contiguous(units) ? units->unit_bytes / piece + 2 : units->unit_bytes;
	*work = side_work(g.pieces * g.inner, g.rows) + side_work(g.pieces * g.inner, g.columns);
	*bytes = LM_MIN((uint64_t)g.pieces, hidden * cut) * (sizeof(uint32_t) + piece);
	return true;
}

/* ---- drawing ---- */

struct drawing {
	const struct lm_grid *grid;
	const struct lm_residual *residual;
	const struct lm_donors *donors;
	struct lm_keystream *random;
};

static bool is_copy(const struct lm_grid *g, const struct lm_donors *donors, const uint8_t *bytes)
{
	double values[LM_GRID_INNER];
	float floats[LM_GRID_INNER];
	size_t low = 0, high = g->digest_count;
	bool same = true;
	uint64_t digest;

	if (high == 0)
		return false;
	lm_dtype_values(donors->dtype, bytes, 0, g->inner, values);
	for (size_t k = 0; k < g->inner; k++) {
		floats[k] = (float)values[k];
		same &= !(values[k] > values[0]) && !(values[k] < values[0]);
	}
	if (same) /* constants are nobody's copy */
		return false;
	digest = lm_grid_digest(floats, g->inner);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (g->digests[middle] < digest)
			low = middle + 1;
		else
			high = middle;
	}
	return low < g->digest_count && g->digests[low] == digest;
}

static void draw(const struct drawing *d, size_t piece, uint8_t *bytes)
{
	const struct lm_grid *g = d->grid;
	uint8_t random[DRAW];
	double values[LM_GRID_INNER];
	unsigned attempt = 0;

	lm_keystream_read(d->random, DRAWS + (uint64_t)piece * DRAW, random, DRAW);
	for (;;) {
		double largest = 0, shrink;

		lm_residual_draw(d->residual, piece, random, attempt, values);
		for (size_t k = 0; k < g->inner; k++)
			largest = fmax(largest, fabs(values[k]));
		shrink = largest > d->donors->bound ? d->donors->bound / largest *
			 lm_draw_upper_half(lm_get_u32(random + 8)) : 1;
		for (size_t k = 0; k < g->inner; k++)
			values[k] = lm_draw_trim(values[k] * shrink, d->donors->keep);
		lm_dtype_store(d->donors->dtype, values, g->inner, bytes);
		if (attempt == ATTEMPTS || !is_copy(g, d->donors, bytes))
			break;
		lm_keystream_read(d->random,
				  REDRAWS + ((uint64_t)piece * ATTEMPTS + attempt) * DRAW, random,
				  DRAW);
		attempt++;
	}
	lm_wipe(random, sizeof(random));
}

static int draw_all(struct lm_ahead *a, const struct drawing *d, struct lmodel_error *error)
{
	const struct lm_grid *g = d->grid;
	size_t n = 0;

	for (size_t p = 0; p < g->pieces; p++)
		n += g->state[p] == LM_PIECE_HIDDEN;
	a->piece_bytes = g->inner * (size_t)d->donors->cell;
	a->pieces = malloc((n + 1) * sizeof(*a->pieces));
	a->bytes = malloc(n * a->piece_bytes + 1);
	if (a->pieces == NULL || a->bytes == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++) {
		if (g->state[p] != LM_PIECE_HIDDEN)
			continue;
		draw(d, p, a->bytes + a->count * a->piece_bytes);
		a->pieces[a->count++] = (uint32_t)p;
	}
	return LMODEL_OK;
}

static int make(struct lm_ahead *a, struct lm_grid *grid, struct lm_residual *residual,
		const struct lm_sample *sample, const struct drawing *d, struct lmodel_error *error)
{
	bool usable;
	int r = lm_grid_load(grid, sample, d->random, &usable, error);

	if (r != LMODEL_OK || !usable)
		return r;
	r = lm_residual_make(residual, grid, d->random, error);
	return r == LMODEL_OK ? draw_all(a, d, error) : r;
}

int lm_ahead_make(struct lm_ahead *a, const struct lm_sample *sample,
		  const struct lm_donors *donors, struct lmodel_error *error)
{
	struct lm_grid grid;
	struct lm_residual residual = { 0 };
	struct drawing d = { .grid = &grid, .residual = &residual, .donors = donors };
	uint8_t key[32];
	int r;

	*a = (struct lm_ahead){ 0 };
	if (!lm_grid_form(&grid, &sample->units))
		return LMODEL_OK;
	r = lm_sample_key(key, sample->key, "lmodel decoys ahead v1",
			  sample->model->tensors[sample->tensor].name, error);
	if (r != LMODEL_OK)
		return r;
	d.random = lm_keystream_new(key, error);
	lm_wipe(key, sizeof(key));
	if (d.random == NULL)
		return LMODEL_EFAILED;
	r = make(a, &grid, &residual, sample, &d, error);
	lm_residual_free(&residual);
	lm_grid_free(&grid);
	lm_keystream_free(d.random);
	if (r != LMODEL_OK)
		lm_ahead_free(a);
	return r;
}

/* ---- handing out ---- */

/* Number of the first piece at or behind `piece`. */
static size_t find(const struct lm_ahead *a, uint64_t piece)
{
	size_t low = 0, high = a->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (a->pieces[middle] < piece)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void lm_ahead_fill(const struct lm_ahead *a, uint64_t from, size_t len, uint8_t *out)
{
	uint64_t piece = from / a->piece_bytes;
	size_t in = (size_t)(from % a->piece_bytes), i = find(a, piece);

	for (; len > 0; piece++, in = 0) {
		size_t n = LM_MIN(a->piece_bytes - in, len);

		if (i < a->count && a->pieces[i] == piece)
			memcpy(out, a->bytes + i++ * a->piece_bytes + in, n);
		else
			memset(out, 0, n);
		out += n;
		len -= n;
	}
}

/* Where decoys are is what is hidden. */
void lm_ahead_free(struct lm_ahead *a)
{
	if (a->pieces != NULL)
		lm_wipe(a->pieces, a->count * sizeof(*a->pieces));
	free(a->pieces);
	free(a->bytes);
	*a = (struct lm_ahead){ 0 };
}
