/* What detectors look at in a unit. */
#include "protect/detect_state.h"

#include <math.h>

enum { RANK = LM_DETECT_RANK, REACH = 64 /* values that a distance is taken over */ };

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double roughness(const double *w, size_t n, double norm)
{
	double sum = 0;

	for (size_t k = 1; k < n; k++)
		sum += fabs(w[k] - w[k - 1]);
	return ratio(sum, norm);
}

static double kurtosis(const double *w, size_t n)
{
	double mean = 0, second = 0, fourth = 0;

	for (size_t k = 0; k < n; k++)
		mean += w[k] / (double)n;
	for (size_t k = 0; k < n; k++) {
		double d = (w[k] - mean) * (w[k] - mean);

		second += d;
		fourth += d * d;
	}
	return ratio(fourth * (double)n, second * second);
}

static double peak(const double *w, size_t n, double norm)
{
	double most = 0;

	for (size_t k = 0; k < n; k++)
		most = fmax(most, fabs(w[k]));
	return ratio(most, norm);
}

static double sum_of(const double *w, size_t n)
{
	double sum = 0;

	for (size_t k = 0; k < n; k++)
		sum += w[k];
	return sum;
}

/* To a sum that has the unit in it. */
static double cosine(const double *w, const double *sum, size_t n)
{
	double dot = 0, a = 0, b = 0;

	for (size_t k = 0; k < n; k++) {
		double other = sum[k] - w[k];

		dot += w[k] * other;
		a += w[k] * w[k];
		b += other * other;
	}
	return ratio(dot, sqrt(a * b));
}

static double neighbour_cosine(const struct lm_detect_view *v, size_t unit)
{
	const size_t n = v->inner, all = v->rows * v->columns;
	const double *w = v->values + unit * n;
	const double *before = unit > 0 ? w - n : w + n, *after = unit + 1 < all ? w + n : w - n;
	double dot = 0, a = 0, b = 0;

	for (size_t k = 0; k < n; k++) {
		double other = before[k] + after[k];

		dot += w[k] * other;
		a += w[k] * w[k];
		b += other * other;
	}
	return ratio(dot, sqrt(a * b));
}

static double residual(const struct lm_detect_state *s, size_t unit)
{
	const struct lm_detect_view *v = s->view;
	const double *w = v->values + unit * v->inner;
	const double *left = s->left + unit / v->columns * RANK;
	const double *right = s->right + unit % v->columns * v->inner * RANK;
	double sum = 0;

	for (size_t k = 0; k < v->inner; k++) {
		double d = w[k];

		for (size_t l = 0; l < RANK; l++)
			d -= left[l] * right[k * RANK + l];
		sum += d * d;
	}
	/* One value by its own size would tell little but that. */
	if (v->inner == 1)
		return ratio(sqrt(sum), s->row_scale[unit / v->columns] +
					s->column_scale[unit % v->columns]);
	return ratio(sqrt(sum), s->norm[unit]);
}

static double nearest(const struct lm_detect_state *s, size_t unit)
{
	const struct lm_detect_view *v = s->view;
	const size_t n = LM_MIN(v->inner, (size_t)REACH);
	const double *w = v->values + unit * v->inner;
	double least = INFINITY;

	for (size_t i = 0; i < s->pool_count; i++) {
		const double *x = v->values + s->pool[i] * v->inner;
		double sum = 0;

		if (s->pool[i] == unit)
			continue;
		for (size_t k = 0; k < n; k++)
			sum += (w[k] - x[k]) * (w[k] - x[k]);
		least = fmin(least, sum);
	}
	return ratio(sqrt(least), s->norm[unit]);
}

static double gap(const struct lm_detect_state *s, double w)
{
	size_t low = 0, all = s->view->rows * s->view->columns, high = all;
	double least = INFINITY;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->sorted[middle] < w)
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0)
		least = w - s->sorted[low - 1];
	return low + 1 < all ? fmin(least, s->sorted[low + 1] - w) : least;
}

static double mantissa_zeros(double w)
{
	uint64_t bits;

	memcpy(&bits, &w, sizeof(bits));
	bits |= UINT64_C(1) << 52;
	return w != 0 ? (double)__builtin_ctzll(bits) : 53;
}

/* ---- */

static bool applies(const struct lm_detect_state *s, enum lm_detector d)
{
	const size_t inner = s->view->inner;

	switch (d) {
	case LM_DETECT_ROUGHNESS: return inner >= 2;
	case LM_DETECT_KURTOSIS: return inner >= 4;
	case LM_DETECT_PEAK: return inner >= 3;
	case LM_DETECT_ROW_COSINE: return inner >= 2 && s->rows;
	case LM_DETECT_COLUMN_COSINE: return inner >= 2;
	case LM_DETECT_NEIGHBOUR_COSINE: return inner >= 2 && s->view->columns == 1;
	case LM_DETECT_RESIDUAL: return s->factored;
	case LM_DETECT_NEAREST: return inner >= 2;
	case LM_DETECT_GAP:
	case LM_DETECT_MANTISSA: return inner == 1;
	case LM_DETECT_NORMALISED: return s->rows && s->columns;
	case LM_DETECT_ROW_SCALE:
	case LM_DETECT_ROW_DENSITY: return s->rows;
	case LM_DETECT_COLUMN_SCALE:
	case LM_DETECT_COLUMN_DENSITY: return s->columns;
	default: return true;
	}
}

static double feature(const struct lm_detect_state *s, enum lm_detector d, size_t unit)
{
	const struct lm_detect_view *v = s->view;
	const size_t row = unit / v->columns, column = unit % v->columns, n = v->inner;
	const double *w = v->values + unit * n;
	const uint32_t self = v->labels[unit] == s->label;

	switch (d) {
	case LM_DETECT_NORM: return s->norm[unit];
	case LM_DETECT_VALUE: return sum_of(w, n);
	case LM_DETECT_NORMALISED:
		return ratio(s->norm[unit], s->row_scale[row] * s->column_scale[column]);
	case LM_DETECT_ROUGHNESS: return roughness(w, n, s->norm[unit]);
	case LM_DETECT_KURTOSIS: return kurtosis(w, n);
	case LM_DETECT_PEAK: return peak(w, n, s->norm[unit]);
	case LM_DETECT_ROW_COSINE: return cosine(w, s->row_sum + row * n, n);
	case LM_DETECT_COLUMN_COSINE: return cosine(w, s->column_sum + column * n, n);
	case LM_DETECT_NEIGHBOUR_COSINE: return neighbour_cosine(v, unit);
	case LM_DETECT_RESIDUAL: return residual(s, unit);
	case LM_DETECT_NEAREST: return nearest(s, unit);
	case LM_DETECT_GAP: return gap(s, *w);
	case LM_DETECT_MANTISSA: return mantissa_zeros(*w);
	case LM_DETECT_ROW_SCALE: return s->row_scale[row];
	case LM_DETECT_COLUMN_SCALE: return s->column_scale[column];
	case LM_DETECT_ROW_DENSITY:
		return ratio(s->row_hidden[row] - self,
			     s->row_hidden[row] + s->row_open[row] - 1.0);
	case LM_DETECT_COLUMN_DENSITY:
		return ratio(s->column_hidden[column] - self,
			     s->column_hidden[column] + s->column_open[column] - 1.0);
	default: return 0;
	}
}

bool lm_detect_feature(const struct lm_detect_state *s, enum lm_detector d, const size_t *units,
		       size_t n, double *out)
{
	if (!applies(s, d))
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = feature(s, d, units[i]);
	return true;
}
