/* What detectors look at in a unit. */
#include "protect/detect.h"

#include <math.h>

enum {
	RANK = 4, ROUNDS = 4,
	LINE = 256,    /* units of a row or column whose median is its scale */
	LINE_LEAST = 16, /* in a shorter one the unit itself would count too much */
	POOL = 4000,   /* units whose distance is taken */
	REACH = 64,    /* values of them that are compared */
};

struct lm_detect_state {
	const struct lm_detect_view *view;
	uint8_t label;
	bool rows, columns;         /* long enough to have a scale */
	double *norm;               /* of each unit */
	double *row_scale, *column_scale;
	double *row_sum, *column_sum; /* of unit vectors */
	uint32_t *row_hidden, *column_hidden, *row_open, *column_open;
	bool factored;
	double *left, *right;       /* rows x RANK, columns * inner x RANK */
	double *sorted;             /* all values, when units have one each */
	size_t *pool, pool_count;
};

/* ---- scales ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double line_median(const double *at, size_t count, size_t stride)
{
	double some[LINE];
	size_t step = (count + LINE - 1) / LINE, n = 0;

	for (size_t i = 0; i < count; i += step)
		some[n++] = at[i * stride];
	qsort(some, n, sizeof(*some), by_value);
	return some[n / 2];
}

static void scales(struct lm_detect_state *s)
{
	const struct lm_detect_view *v = s->view;

	for (size_t i = 0; i < v->rows * v->columns; i++) {
		double sum = 0;

		for (size_t k = 0; k < v->inner; k++)
			sum += v->values[i * v->inner + k] * v->values[i * v->inner + k];
		s->norm[i] = sqrt(sum);
	}
	for (size_t i = 0; i < v->rows; i++)
		s->row_scale[i] = line_median(s->norm + i * v->columns, v->columns, 1);
	for (size_t j = 0; j < v->columns; j++)
		s->column_scale[j] = line_median(s->norm + j, v->rows, v->columns);
}

static void sums(struct lm_detect_state *s)
{
	const struct lm_detect_view *v = s->view;
	const double *w = v->values;

	for (size_t i = 0; i < v->rows; i++)
		for (size_t j = 0; j < v->columns; j++) {
			uint8_t label = v->labels[i * v->columns + j];

			for (size_t k = 0; k < v->inner; k++, w++) {
				if (s->row_sum != NULL)
					s->row_sum[i * v->inner + k] += *w;
				s->column_sum[j * v->inner + k] += *w;
			}
			s->row_hidden[i] += label == s->label;
			s->column_hidden[j] += label == s->label;
			s->row_open[i] += label == 0;
			s->column_open[j] += label == 0;
		}
}

/* ---- a low rank, by power iteration ---- */

/* Orthonormal columns, in place; what vanishes stays zero. */
static void orthonormal(double *m, size_t n)
{
	for (int k = 0; k < RANK; k++) {
		double norm = 0;

		for (int l = 0; l < k; l++) {
			double dot = 0;

			for (size_t i = 0; i < n; i++)
				dot += m[i * RANK + (size_t)k] * m[i * RANK + (size_t)l];
			for (size_t i = 0; i < n; i++)
				m[i * RANK + (size_t)k] -= dot * m[i * RANK + (size_t)l];
		}
		for (size_t i = 0; i < n; i++)
			norm += m[i * RANK + (size_t)k] * m[i * RANK + (size_t)k];
		norm = norm > 0 && isfinite(norm) ? 1 / sqrt(norm) : 0;
		for (size_t i = 0; i < n; i++)
			m[i * RANK + (size_t)k] *= norm;
	}
}

static void factor(struct lm_detect_state *s)
{
	const struct lm_detect_view *v = s->view;
	const size_t width = v->columns * v->inner;
	uint64_t seed = 1;

	for (size_t i = 0; i < width * RANK; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		s->right[i] = (double)(seed >> 33) / 0x1p31 - 0.5;
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < v->rows; i++) {
			const double *w = v->values + i * width;
			double dot[RANK] = { 0 };

			for (size_t j = 0; j < width; j++)
				for (size_t k = 0; k < RANK; k++)
					dot[k] += w[j] * s->right[j * RANK + k];
			memcpy(s->left + i * RANK, dot, sizeof(dot));
		}
		orthonormal(s->left, v->rows);
		memset(s->right, 0, width * RANK * sizeof(*s->right));
		for (size_t i = 0; i < v->rows; i++)
			for (size_t j = 0; j < width; j++)
				for (size_t k = 0; k < RANK; k++)
					s->right[j * RANK + k] += v->values[i * width + j] *
								  s->left[i * RANK + k];
	}
	s->factored = true;
}

/* ---- all of it ---- */

void lm_detect_state_free(struct lm_detect_state *s)
{
	if (s == NULL)
		return;
	free(s->norm);
	free(s->row_scale);
	free(s->column_scale);
	free(s->row_sum);
	free(s->column_sum);
	free(s->row_hidden);
	free(s->column_hidden);
	free(s->row_open);
	free(s->column_open);
	free(s->left);
	free(s->right);
	free(s->sorted);
	free(s->pool);
	free(s);
}

static bool allocate(struct lm_detect_state *s)
{
	const struct lm_detect_view *v = s->view;
	const size_t all = v->rows * v->columns, width = v->columns * v->inner;

	s->norm = calloc(all, sizeof(double));
	s->row_scale = calloc(v->rows, sizeof(double));
	s->column_scale = calloc(v->columns, sizeof(double));
	s->column_sum = calloc(width, sizeof(double));
	s->row_hidden = calloc(v->rows, sizeof(uint32_t));
	s->column_hidden = calloc(v->columns, sizeof(uint32_t));
	s->row_open = calloc(v->rows, sizeof(uint32_t));
	s->column_open = calloc(v->columns, sizeof(uint32_t));
	s->left = calloc(v->rows, RANK * sizeof(double));
	s->right = calloc(width, RANK * sizeof(double));
	s->pool = calloc(POOL, sizeof(size_t));
	s->row_sum = v->columns > 1 ? calloc(v->rows * v->inner, sizeof(double)) : NULL;
	s->sorted = v->inner == 1 ? malloc(all * sizeof(double)) : NULL;
	return s->norm != NULL && s->row_scale != NULL && s->column_scale != NULL &&
	       s->column_sum != NULL && s->row_hidden != NULL && s->column_hidden != NULL &&
	       s->row_open != NULL && s->column_open != NULL && s->left != NULL &&
	       s->right != NULL && s->pool != NULL && (s->row_sum != NULL || v->columns == 1) &&
	       (s->sorted != NULL || v->inner > 1);
}

struct lm_detect_state *lm_detect_state_new(const struct lm_detect_view *v, uint8_t label,
					    struct lmodel_error *error)
{
	struct lm_detect_state *s = calloc(1, sizeof(*s));
	const size_t all = v->rows * v->columns;

	if (s == NULL || (s->view = v, !allocate(s))) {
		lm_fail_memory(error);
		lm_detect_state_free(s);
		return NULL;
	}
	s->label = label;
	s->rows = v->columns >= LINE_LEAST && v->rows > 1;
	s->columns = v->rows >= LINE_LEAST && v->columns > 1;
	scales(s);
	sums(s);
	if (v->rows >= 4 * RANK && v->columns * v->inner >= 4 * RANK)
		factor(s);
	if (s->sorted != NULL) {
		memcpy(s->sorted, v->values, all * sizeof(double));
		qsort(s->sorted, all, sizeof(double), by_value);
	}
	/* Spread evenly, and not in step with the columns. */
	s->pool_count = LM_MIN(all, (size_t)POOL);
	for (size_t i = 0; i < s->pool_count; i++)
		s->pool[i] = all <= POOL ? i : (size_t)((double)i * 0.6180339887498949 * (double)all) % all;
	return s;
}

/* ---- one unit ---- */

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
		return ratio(s->row_hidden[row] - self, s->row_hidden[row] + s->row_open[row] - 1.0);
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
