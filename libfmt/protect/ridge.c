#include "protect/ridge.h"

#include <math.h>

#include "protect/kernels.h"

enum { LANES = LM_RIDGE_LANES, ROWS = 4 };

/* What is added to the covariance's diagonal, by its mean. Measured: 0.3 to 3 predict alike. */
#define PENALTY 1.0

/* The upper half of data^T data. */
static void covariance(const float *data, size_t count, size_t width, float *c)
{
	const struct lm_kernels *kernels = lm_kernels();
	const size_t stride = lm_ridge_stride(width);
	static const float zeros[LM_RIDGE_MOST];

	memset(c, 0, width * stride * sizeof(*c));
	for (size_t s = 0; s < count; s += ROWS) {
		const float *rows[ROWS];

		for (size_t k = 0; k < ROWS; k++)
			rows[k] = s + k < count ? data + (s + k) * stride : zeros;
		for (size_t i = 0; i < width; i++) {
			const float w[ROWS] = { rows[0][i], rows[1][i], rows[2][i], rows[3][i] };
			const size_t at = i / LANES * LANES;
			const float *const from[ROWS] = { rows[0] + at, rows[1] + at, rows[2] + at,
							  rows[3] + at };

			kernels->add_rows(c + i * stride + at, from, w, stride - at);
		}
	}
}

/* out[j] += the sum over k = first .. last-1 of w[k * step] * rows[k * n + j], in that order. */
static void add_products(double *out, const double *w, size_t step, const double *rows, size_t n,
			 size_t first, size_t last, size_t count, double sign)
{
	const struct lm_kernels *kernels = lm_kernels();

	for (size_t k = first, some; k < last; k += some) {
		const double *row[ROWS] = { NULL };
		double weight[ROWS] = { 0 };

		some = LM_MIN(last - k, (size_t)ROWS);
		for (size_t i = 0; i < some; i++) {
			row[i] = rows + (k + i) * n;
			weight[i] = sign * w[(k + i) * step];
		}
		kernels->add_in_turn(out, row, weight, some, count);
	}
}

/* The inverse of a positive definite matrix by its Cholesky factor L: L^T, of which `a` holds the
 * upper half, then 1/L in `m`, then its square in the lower half of `a`. All by rows, so that each
 * step is many sums side by side. */
static void invert(double *a, double *m, size_t n)
{
	for (size_t j = 0; j < n; j++) {
		double *row = a + j * n;
		double diagonal;

		add_products(row + j, a + j, n, a + j, n, 0, j, n - j, -1);
		diagonal = sqrt(fmax(row[j], 1e-12));
		row[j] = diagonal;
		for (size_t i = j + 1; i < n; i++)
			row[i] /= diagonal;
	}
	for (size_t i = 0; i < n; i++) {
		double *row = m + i * n;
		const double diagonal = 1 / a[i * n + i];

		memset(row, 0, n * sizeof(*row));
		/* Row k of 1/L has k + 1 numbers, and zeros behind them. */
		for (size_t k = 0; k < i; k += ROWS) {
			const size_t last = LM_MIN(k + ROWS, i);

			add_products(row, a + i, n, m, n, k, last, last, 1);
		}
		for (size_t j = 0; j < i; j++)
			row[j] = -row[j] * diagonal;
		row[i] = diagonal;
	}
	for (size_t i = 0; i < n; i++) {
		memset(a + i * n, 0, (i + 1) * sizeof(*a));
		add_products(a + i * n, m + i, n, m, n, i, n, i + 1, 1);
	}
}

/* weights[i][j]: what number i adds to the prediction of number j, -P_ij / P_jj for the inverse P
 * of the covariance; 0 on the diagonal. */
static bool weigh(const float *c, size_t n, float *weights)
{
	const size_t stride = lm_ridge_stride(n);
	LM_FREE double *p = malloc(n * n * sizeof(*p)), *m = malloc(n * n * sizeof(*m));
	double mean = 0;

	if (p == NULL || m == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		mean += (double)c[i * stride + i] / (double)n;
	if (!(mean > 0) || !isfinite(mean))
		mean = 1;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++)
			p[j * n + i] = (double)c[j * stride + i] / mean + (i == j ? PENALTY : 0);
	invert(p, m, n);
	memset(weights, 0, n * stride * sizeof(*weights));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			weights[i * stride + j] = (float)(-p[i * n + j] / p[j * n + j]);
			weights[j * stride + i] = (float)(-p[i * n + j] / p[i * n + i]);
		}
	return true;
}

int lm_ridge_predict(const float *data, size_t count, size_t width, float *out,
		     struct lmodel_error *error)
{
	const size_t stride = lm_ridge_stride(width), room = width + ROWS;
	LM_FREE float *c = calloc(room * stride, sizeof(*c));
	LM_FREE float *weights = calloc(room * stride, sizeof(*weights));
	const struct lm_kernels *kernels = lm_kernels();

	if (c == NULL || weights == NULL)
		return lm_fail_memory(error);
	covariance(data, count, width, c);
	if (!weigh(c, width, weights))
		return lm_fail_memory(error);
	memset(out, 0, count * stride * sizeof(*out));
	for (size_t s = 0; s < count; s++) {
		const float *from = data + s * stride;

		for (size_t i = 0; i < width; i += ROWS) {
			const float *w = weights + i * stride;
			const float *const rows[ROWS] = { w, w + stride, w + 2 * stride,
							  w + 3 * stride };
			float x[ROWS] = { 0 };

			memcpy(x, from + i, LM_MIN(width - i, (size_t)ROWS) * sizeof(*x));
			kernels->add_rows(out + s * stride, rows, x, stride);
		}
	}
	return LMODEL_OK;
}
