#include "protect/residual.h"

#include "protect/draw.h"
#include "protect/predict.h"

enum {
	MIX = LM_RESIDUAL_MIX,
	REACH = 40,        /* neighbours by size of the guess, on either side */
	OTHERS = 256,      /* pieces that are looked at for the nearest */
};

/* Of the length, so that no two are alike. */
#define SPREAD 0.02

/* ---- what they miss ---- */

/* Some rows are predicted better than others: those of an embedding's rare tokens are all alike. */
static int find_scales(struct lm_residual *e, struct lm_keystream *random,
		       struct lmodel_error *error)
{
	const struct lm_grid *g = e->grid;
	const size_t n = g->pieces * g->inner;
	LM_FREE float *left = malloc(n * sizeof(*left));

	e->row = malloc(g->rows * sizeof(*e->row));
	e->column = malloc(g->columns * sizeof(*e->column));
	if (left == NULL || e->row == NULL || e->column == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		left[i] = g->values[i] - e->guess[i];
	return lm_grid_scales(g, left, e->row, e->column, random, error);
}

static double scale_of(const struct lm_residual *e, size_t piece)
{
	return (double)e->row[piece / e->grid->columns] *
	       (double)e->column[piece % e->grid->columns];
}

static float size_of(const struct lm_residual *e, size_t piece)
{
	const size_t n = e->grid->inner;
	double sum = 0, scale = scale_of(e, piece);

	for (size_t k = 0; k < n; k++)
		sum += (double)e->guess[piece * n + k] * (double)e->guess[piece * n + k];
	return scale > 0 ? (float)(sqrt(sum) / scale) : 0;
}

struct ranked {
	float size;
	uint32_t piece;
};

static int by_size(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->size > y->size || x->size < y->size)
		return x->size > y->size ? 1 : -1;
	return (x->piece > y->piece) - (x->piece < y->piece);
}

static int miss(struct lm_residual *e, struct lmodel_error *error)
{
	const struct lm_grid *g = e->grid;
	LM_FREE struct ranked *order = malloc(g->held * sizeof(*order));
	size_t n = g->inner;

	e->missed = malloc(g->held * n * sizeof(*e->missed));
	e->norm = malloc(g->held * sizeof(*e->norm));
	e->size = malloc(g->held * sizeof(*e->size));
	e->share = calloc(g->held, sizeof(*e->share));
	if (order == NULL || e->missed == NULL || e->norm == NULL || e->size == NULL ||
	    e->share == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++)
		if (g->state[p] == LM_PIECE_HELD)
			order[e->count++] = (struct ranked){ size_of(e, p), (uint32_t)p };
	qsort(order, e->count, sizeof(*order), by_size);
	for (size_t i = 0; i < e->count; i++) {
		size_t from = order[i].piece * n;
		double sum = 0, scale = scale_of(e, order[i].piece);

		for (size_t k = 0; k < n; k++) {
			double d = (double)g->values[from + k] - (double)e->guess[from + k];

			d = scale > 0 ? d / scale : 0;
			e->missed[i * n + k] = (float)d;
			sum += d * d;
		}
		e->norm[i] = (float)sqrt(sum);
		e->size[i] = order[i].size;
	}
	return LMODEL_OK;
}

/* How much of others' directions a decoy takes, so that what is missed is nobody's own: as much as
 * makes it as far from the piece that it is drawn from as that one is from its nearest. With less
 * it would be found as a near copy, with more as one of its own kind. */
static void find_shares(struct lm_residual *e)
{
	const size_t n = e->grid->inner, step = (e->count + OTHERS - 1) / OTHERS;

	for (size_t i = 0; i < e->count; i++) {
		const float *a = e->missed + i * n;
		double least = INFINITY;

		for (size_t j = i % step; j < e->count; j += step) {
			const float *b = e->missed + j * n;
			double sum = 0;

			if (j == i)
				continue;
			for (size_t k = 0; k < n; k++)
				sum += (double)(a[k] - b[k]) * (double)(a[k] - b[k]);
			least = fmin(least, sum);
		}
		/* Of a unit vector, cos t of one and sin t of another one at right angles are as
		 * far away as 2 - 2 cos t, in squares. */
		least /= (double)e->norm[i] * (double)e->norm[i];
		least = fmax(0, 1 - least / 2);
		e->share[i] = e->norm[i] > 0 ? (float)sqrt(1 - least * least) : 1;
	}
}

int lm_residual_make(struct lm_residual *e, const struct lm_grid *grid, struct lm_keystream *random,
		     struct lmodel_error *error)
{
	int r;

	*e = (struct lm_residual){ .grid = grid };
	e->guess = malloc(grid->pieces * grid->inner * sizeof(*e->guess));
	if (e->guess == NULL)
		return lm_fail_memory(error);
	r = lm_predict(grid, e->guess, error);
	if (r == LMODEL_OK)
		r = find_scales(e, random, error);
	if (r == LMODEL_OK)
		r = miss(e, error);
	if (r == LMODEL_OK && grid->inner > 1)
		find_shares(e);
	return r;
}

/* ---- a decoy ---- */

static size_t find(const struct lm_residual *e, float size, bool behind)
{
	size_t low = 0, high = e->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->size[middle] < size || (behind && e->size[middle] <= size))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where in the table guesses are about as large as that of `piece`: `*count` of them. */
static size_t neighbours(const struct lm_residual *e, size_t piece, uint32_t *count)
{
	const size_t reach = LM_MIN(e->count / 4, (size_t)REACH);
	const float size = size_of(e, piece);
	size_t from = find(e, size, false), to = LM_MIN(find(e, size, true) + reach, e->count);

	from = from > reach ? from - reach : 0;
	*count = (uint32_t)(to - from);
	return from;
}

/* Adds a direction of each of MIX neighbours, N(0, 1) / 4 of it. */
static void mix(const struct lm_residual *e, size_t from, uint32_t count, double share,
		const uint8_t *random, double *values)
{
	const size_t n = e->grid->inner;

	for (size_t m = 0; m < MIX; m++) {
		size_t i = from + lm_draw_index(lm_get_u32(random + 8 * m), count);
		double w = lm_draw_weight(lm_get_u32(random + 8 * m + 4)) / 4 * share;

		w = e->norm[i] > 0 ? w / (double)e->norm[i] : 0;
		for (size_t k = 0; k < n; k++)
			values[k] += w * (double)e->missed[i * n + k];
	}
}

void lm_residual_draw(const struct lm_residual *e, size_t piece, const uint8_t *random,
		      unsigned attempt, double *values)
{
	const struct lm_grid *g = e->grid;
	const size_t n = g->inner;
	double scale = (double)g->row[piece / g->columns] * (double)g->column[piece % g->columns];
	double own, share, sum = 0, length = SPREAD * lm_draw_weight(lm_get_u32(random + 4));
	uint32_t count;
	size_t from = neighbours(e, piece, &count), i;

	i = from + lm_draw_index(lm_get_u32(random), count);
	share = n > 1 ? fmin(1, (double)e->share[i] * (1 + attempt)) : 0;
	length *= n > 1 ? share : 1;
	length = (double)e->norm[i] * (1 + length * (1 + attempt));
	own = e->norm[i] > 0 ? sqrt(1 - share * share) / (double)e->norm[i] : 0;
	for (size_t k = 0; k < n; k++)
		values[k] = own * (double)e->missed[i * n + k];
	if (n > 1) /* of one value the direction is its sign */
		mix(e, from, count, share, random + 16, values);
	for (size_t k = 0; k < n; k++)
		sum += values[k] * values[k];
	length = sum > 0 ? length * scale_of(e, piece) / sqrt(sum) : 0;
	for (size_t k = 0; k < n; k++)
		values[k] = (g->mean[k] + (double)e->guess[piece * n + k] + values[k] * length) *
			    scale;
}

void lm_residual_free(struct lm_residual *e)
{
	free(e->guess);
	free(e->row);
	free(e->column);
	free(e->missed);
	free(e->norm);
	free(e->share);
	free(e->size);
	*e = (struct lm_residual){ 0 };
}
