#include "protect/residual.h"

#include "protect/draw.h"
#include "protect/ridge.h"

enum {
	MIX = LM_RESIDUAL_MIX,
	REACH = 40,        /* neighbours by size of the guess, on either side */
	OTHERS = 256,      /* pieces that are looked at for the nearest */
	ROUNDS = 4,        /* of guessing */
};

/* The most that a decoy takes of others' directions, so that what is missed is nobody's own: about
 * the least at which decoys are no nearer to a public piece than pieces are to each other
 * (measured). Pieces that are nearer to each other, like rows of an embedding's rare tokens, are to
 * stay so. */
#define SHARE 0.6

/* Of the length, so that no two are alike. */
#define SPREAD 0.02

/* Of the held pieces' squares: where more is missed another round would not pay. */
#define ENOUGH 0.8

/* What lies outside counts as this when predictions are weighed: a few large numbers of a tensor
 * with heavy tails would decide. */
#define CLIP 6.0

/* ---- predictions ---- */

/* One regression. Its table has a row for each place in a piece and each line across, and in that the
 * numbers that predict each other. */
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
static int predict(const struct lm_residual *e, bool rows, float *out, struct lmodel_error *error)
{
	const struct lm_grid *g = e->grid;
	struct side s = { .rows = rows, .width = rows ? g->rows : g->columns,
			  .count = (rows ? g->columns : g->rows) * g->inner };
	LM_FREE float *data = NULL, *found = NULL;
	int r;

	if (s.width < 2 || s.width > LM_RIDGE_MOST) {
		memset(out, 0, g->pieces * g->inner * sizeof(*out));
		return LMODEL_OK;
	}
	s.stride = lm_ridge_stride(s.width);
	data = calloc(s.count * s.stride, sizeof(*data));
	found = malloc(s.count * s.stride * sizeof(*found));
	if (data == NULL || found == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++)
		for (size_t k = 0; k < g->inner; k++)
			data[place(&s, g, p, k)] =
				(g->state[p] == LM_PIECE_OPEN ? g->values : e->guess)[p * g->inner + k];
	r = lm_ridge_predict(data, s.count, s.width, found, error);
	for (size_t p = 0; p < g->pieces && r == LMODEL_OK; p++)
		for (size_t k = 0; k < g->inner; k++)
			out[p * g->inner + k] = found[place(&s, g, p, k)];
	return r;
}

/* Takes of each line's predictions as much as fits its open pieces: some lines are predictable,
 * others are not. */
static int fit_lines(const struct lm_grid *g, bool rows, float *out, struct lmodel_error *error)
{
	const size_t n = g->pieces * g->inner, lines = rows ? g->rows : g->columns;
	LM_FREE double *sum = calloc(2 * lines, sizeof(*sum));

	if (sum == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++) {
		const size_t piece = i / g->inner;
		const size_t line = rows ? piece / g->columns : piece % g->columns;

		if (g->state[piece] != LM_PIECE_OPEN)
			continue;
		sum[2 * line] += (double)g->values[i] * (double)out[i];
		sum[2 * line + 1] += (double)out[i] * (double)out[i];
	}
	for (size_t i = 0; i < lines; i++)
		sum[2 * i] = sum[2 * i + 1] > 0 ? fmax(0, sum[2 * i] / sum[2 * i + 1]) : 0;
	for (size_t i = 0; i < n; i++) {
		const size_t piece = i / g->inner;
		const size_t line = rows ? piece / g->columns : piece % g->columns;

		out[i] *= (float)sum[2 * line];
	}
	return LMODEL_OK;
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

/* One guess of all pieces, in which those that are not open are as guessed before. `*missed` is its
 * share of the held pieces' squares that it does not explain. */
static int guess_once(struct lm_residual *e, float *next, double *missed,
		      struct lmodel_error *error)
{
	const struct lm_grid *g = e->grid;
	const size_t n = g->pieces * g->inner;
	LM_FREE float *other = malloc(n * sizeof(*other));
	double share[2], all = 0, left = 0;
	int r;

	if (other == NULL)
		return lm_fail_memory(error);
	r = predict(e, true, next, error);
	if (r == LMODEL_OK)
		r = predict(e, false, other, error);
	if (r == LMODEL_OK)
		r = fit_lines(g, true, next, error);
	if (r == LMODEL_OK)
		r = fit_lines(g, false, other, error);
	if (r != LMODEL_OK)
		return r;
	weigh(g, next, other, share);
	for (size_t i = 0; i < n; i++) {
		double v = share[0] * (double)next[i] + share[1] * (double)other[i], value;

		next[i] = isfinite((float)v) ? (float)v : 0;
		if (g->state[i / g->inner] != LM_PIECE_HELD)
			continue;
		value = fmax(-CLIP, fmin(CLIP, (double)g->values[i]));
		all += value * value;
		left += (value - v) * (value - v);
	}
	*missed = all > 0 ? left / all : 1;
	return LMODEL_OK;
}

/* Again as long as that helps: the more can be told at all, the more it matters that hidden pieces
 * are not taken for zeros. */
static int guess(struct lm_residual *e, struct lmodel_error *error)
{
	const size_t n = e->grid->pieces * e->grid->inner;
	double before = 1, missed = ENOUGH;
	int r = LMODEL_OK;

	e->guess = calloc(n, sizeof(*e->guess));
	if (e->guess == NULL)
		return lm_fail_memory(error);
	for (int round = 0; round < ROUNDS && missed <= ENOUGH; round++) {
		float *next = malloc(n * sizeof(*next));

		r = next == NULL ? lm_fail_memory(error) : guess_once(e, next, &missed, error);
		if (r != LMODEL_OK || (round > 0 && missed > before)) {
			free(next);
			break;
		}
		free(e->guess);
		e->guess = next;
		before = missed;
	}
	return r;
}

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

/* How near what one misses is to what another misses, by its norm. */
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
	r = guess(e, error);
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
