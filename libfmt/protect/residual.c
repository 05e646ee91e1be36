#include "protect/residual.h"

#include "protect/draw.h"
#include "protect/ridge.h"

enum {
	MIX = LM_RESIDUAL_MIX,
	REACH = 40,        /* neighbours by size of the guess, on either side */
};

/* A share of others' directions, so that what is missed is nobody's own: .6 was about the least at
 * which decoys are no nearer to a public piece than pieces are to each other (measured). */
#define SHARE 0.6

/* Of the length, so that no two are alike. */
#define SPREAD 0.02

/* What lies outside counts as this when predictions are weighed: a few large numbers of a tensor
 * with heavy tails would decide. */
#define CLIP 6.0

/* ---- predictions ---- */

/* Piece p's value k stands in row `across ? column : row` ... of a table whose rows are what one
 * regression sees. */
struct side {
	bool rows;               /* from the other rows */
	size_t width, count, stride;
};

static size_t place(const struct side *s, const struct lm_grid *g, size_t piece, size_t k)
{
	size_t row = piece / g->columns, column = piece % g->columns;
	size_t line = (s->rows ? column : row) * g->inner + k;

	return line * s->stride + (s->rows ? row : column);
}

/* From the other rows, or the other columns; zeros where there are too many of them. */
static int predict(const struct lm_grid *g, bool rows, float *out, struct lmodel_error *error)
{
	struct side s = { .rows = rows, .width = rows ? g->rows : g->columns,
			  .count = (rows ? g->columns : g->rows) * g->inner };
	LM_FREE float *data = NULL, *found = NULL;
	int r;

	if (s.width > LM_RIDGE_MOST) {
		memset(out, 0, g->pieces * g->inner * sizeof(*out));
		return LMODEL_OK;
	}
	s.stride = lm_ridge_stride(s.width);
	data = calloc(s.count * s.stride, sizeof(*data));
	found = malloc(s.count * s.stride * sizeof(*found));
	if (data == NULL || found == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++)
		for (size_t k = 0; k < g->inner && g->state[p] == LM_PIECE_OPEN; k++)
			data[place(&s, g, p, k)] = g->values[p * g->inner + k];
	r = lm_ridge_predict(data, s.count, s.width, found, error);
	for (size_t p = 0; p < g->pieces && r == LMODEL_OK; p++)
		for (size_t k = 0; k < g->inner; k++)
			out[p * g->inner + k] = found[place(&s, g, p, k)];
	return r;
}

/* How much of either prediction is right for the held pieces, by least squares. */
static void weigh(const struct lm_grid *g, const float *a, const float *b, double share[2])
{
	double aa = 0, ab = 0, bb = 0, av = 0, bv = 0, determinant;

	for (size_t i = 0; i < g->pieces * g->inner; i++) {
		double v, x = (double)a[i], y = (double)b[i];

		if (g->state[i / g->inner] != LM_PIECE_HELD)
			continue;
		v = fmax(-CLIP, fmin(CLIP, (double)g->values[i]));
		aa += x * x;
		ab += x * y;
		bb += y * y;
		av += x * v;
		bv += y * v;
	}
	aa += 1e-3 * (aa + bb) + 1e-12;
	bb += 1e-3 * (aa + bb) + 1e-12;
	determinant = aa * bb - ab * ab;
	share[0] = determinant > 0 ? (av * bb - bv * ab) / determinant : 0;
	share[1] = determinant > 0 ? (bv * aa - av * ab) / determinant : 0;
}

static int guess(struct lm_residual *e, struct lmodel_error *error)
{
	const struct lm_grid *g = e->grid;
	const size_t n = g->pieces * g->inner;
	LM_FREE float *other = malloc(n * sizeof(*other));
	double share[2];
	int r;

	e->guess = malloc(n * sizeof(*e->guess));
	if (e->guess == NULL || other == NULL)
		return lm_fail_memory(error);
	r = predict(g, true, e->guess, error);
	if (r == LMODEL_OK)
		r = predict(g, false, other, error);
	if (r != LMODEL_OK)
		return r;
	weigh(g, e->guess, other, share);
	for (size_t i = 0; i < n; i++) {
		double v = share[0] * (double)e->guess[i] + share[1] * (double)other[i];

		e->guess[i] = isfinite((float)v) ? (float)v : 0;
	}
	return LMODEL_OK;
}

/* ---- what they miss ---- */

static float size_of(const struct lm_residual *e, size_t piece)
{
	const size_t n = e->grid->inner;
	double sum = 0;

	for (size_t k = 0; k < n; k++)
		sum += (double)e->guess[piece * n + k] * (double)e->guess[piece * n + k];
	return (float)sqrt(sum);
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
	if (order == NULL || e->missed == NULL || e->norm == NULL || e->size == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++)
		if (g->state[p] == LM_PIECE_HELD)
			order[e->count++] = (struct ranked){ size_of(e, p), (uint32_t)p };
	qsort(order, e->count, sizeof(*order), by_size);
	for (size_t i = 0; i < e->count; i++) {
		size_t from = order[i].piece * n;
		double sum = 0;

		for (size_t k = 0; k < n; k++) {
			float d = g->values[from + k] - e->guess[from + k];

			e->missed[i * n + k] = d;
			sum += (double)d * (double)d;
		}
		e->norm[i] = (float)sqrt(sum);
		e->size[i] = order[i].size;
	}
	return LMODEL_OK;
}

int lm_residual_make(struct lm_residual *e, const struct lm_grid *grid, struct lmodel_error *error)
{
	int r;

	*e = (struct lm_residual){ .grid = grid };
	r = guess(e, error);
	return r == LMODEL_OK ? miss(e, error) : r;
}

/* ---- a decoy ---- */

/* Where in the table guesses are as large as that of `piece`: `*count` of them. */
static size_t neighbours(const struct lm_residual *e, size_t piece, uint32_t *count)
{
	size_t low = 0, high = e->count, reach = LM_MIN(e->count / 4, (size_t)REACH);
	float size = size_of(e, piece);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->size[middle] < size)
			low = middle + 1;
		else
			high = middle;
	}
	*count = (uint32_t)(2 * reach + 1);
	low = low > reach ? low - reach : 0;
	return LM_MIN(low, e->count - *count);
}

/* Adds a direction of each of MIX neighbours, N(0, 1) / 4 of it. */
static void mix(const struct lm_residual *e, size_t from, uint32_t count, const uint8_t *random,
		double *values)
{
	const size_t n = e->grid->inner;

	for (size_t m = 0; m < MIX; m++) {
		size_t i = from + lm_draw_index(lm_get_u32(random + 8 * m), count);
		double w = lm_draw_weight(lm_get_u32(random + 8 * m + 4)) / 4 * SHARE;

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
	double spread = SPREAD * (1 + attempt) * lm_draw_weight(lm_get_u32(random + 4));
	double own, sum = 0, length;
	uint32_t count;
	size_t from = neighbours(e, piece, &count), i;

	i = from + lm_draw_index(lm_get_u32(random), count);
	length = (double)e->norm[i] * (1 + spread);
	own = e->norm[i] > 0 ? (n > 1 ? sqrt(1 - SHARE * SHARE) : 1) / (double)e->norm[i] : 0;
	for (size_t k = 0; k < n; k++)
		values[k] = own * (double)e->missed[i * n + k];
	if (n > 1) /* of one value the direction is its sign */
		mix(e, from, count, random + 16, values);
	for (size_t k = 0; k < n; k++)
		sum += values[k] * values[k];
	length = sum > 0 ? length / sqrt(sum) : 0;
	for (size_t k = 0; k < n; k++)
		values[k] = (g->mean[k] + (double)e->guess[piece * n + k] + values[k] * length) *
			    scale;
}

void lm_residual_free(struct lm_residual *e)
{
	free(e->guess);
	free(e->missed);
	free(e->norm);
	free(e->size);
	*e = (struct lm_residual){ 0 };
}
