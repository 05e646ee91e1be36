#include "protect/predict.h"

#include <math.h>

#include "protect/ridge.h"

enum { ROUNDS = 4 };

/* Of the held pieces' squares: where more is missed another round would not pay. */
#define ENOUGH 0.8

/* What lies outside counts as this when predictions are weighed: a few large numbers of a tensor
 * with heavy tails would decide. */
#define CLIP 6.0

/* One regression. Its table has a row for each place in a piece and each line across: the numbers
 * in it predict each other. */
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
static int predict(const struct lm_grid *g, const float *before, bool rows, float *out,
		   struct lmodel_error *error)
{
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
	for (size_t p = 0; p < g->pieces; p++) {
		const float *from = g->state[p] == LM_PIECE_OPEN ? g->values : before;

		for (size_t k = 0; k < g->inner; k++)
			data[place(&s, g, p, k)] = from[p * g->inner + k];
	}
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
static int predict_once(const struct lm_grid *g, const float *before, float *next, double *missed,
			struct lmodel_error *error)
{
	const size_t n = g->pieces * g->inner;
	LM_FREE float *other = malloc(n * sizeof(*other));
	double share[2], all = 0, left = 0;
	int r;

	if (other == NULL)
		return lm_fail_memory(error);
	r = predict(g, before, true, next, error);
	if (r == LMODEL_OK)
		r = predict(g, before, false, other, error);
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

int lm_predict(const struct lm_grid *g, float *guess, struct lmodel_error *error)
{
	const size_t n = g->pieces * g->inner;
	LM_FREE float *next = malloc(n * sizeof(*next));
	double before = 1, missed = ENOUGH;

	if (next == NULL)
		return lm_fail_memory(error);
	memset(guess, 0, n * sizeof(*guess));
	for (int round = 0; round < ROUNDS && missed <= ENOUGH; round++) {
		int r = predict_once(g, guess, next, &missed, error);

		if (r != LMODEL_OK)
			return r;
		if (round > 0 && missed > before)
			break;
		memcpy(guess, next, n * sizeof(*guess));
		before = missed;
	}
	return LMODEL_OK;
}
