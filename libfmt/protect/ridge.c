#include "protect/ridge.h"

#include <math.h>

enum { LANES = LM_RIDGE_LANES, ROWS = 4 };

/* What is added to the covariance's diagonal, by its mean. Measured: 0.3 to 3 predict alike. */
#define PENALTY 1.0

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static inline lanes load(const float *at)
{
	lanes v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline void store(float *at, lanes v)
{
	memcpy(at, &v, sizeof(v));
}

/* out += the sum of w[k] * rows[k], four at a time: so `out` is read and written less often. */
static void add_four(float *out, const float *const rows[ROWS], const float w[ROWS], size_t from,
		     size_t stride)
{
	for (size_t j = from; j < stride; j += LANES)
		store(out + j, load(out + j) +
			       (w[0] * load(rows[0] + j) + w[1] * load(rows[1] + j)) +
			       (w[2] * load(rows[2] + j) + w[3] * load(rows[3] + j)));
}

/* The upper half of data^T data. */
static void covariance(const float *data, size_t count, size_t width, float *c)
{
	const size_t stride = lm_ridge_stride(width);
	static const float zeros[LM_RIDGE_MOST];

	memset(c, 0, width * stride * sizeof(*c));
	for (size_t s = 0; s < count; s += ROWS) {
		const float *rows[ROWS];

		for (size_t k = 0; k < ROWS; k++)
			rows[k] = s + k < count ? data + (s + k) * stride : zeros;
		for (size_t i = 0; i < width; i++) {
			const float w[ROWS] = { rows[0][i], rows[1][i], rows[2][i], rows[3][i] };

			add_four(c + i * stride, rows, w, i / LANES * LANES, stride);
		}
	}
}

/* The inverse of a positive definite matrix by its Cholesky factor L, in place: L, then 1/L, then
 * its square. Only lower halves are read. */
static void invert(double *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = a[i * n + j];

			for (size_t k = 0; k < j; k++)
				sum -= a[i * n + k] * a[j * n + k];
			a[i * n + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / a[j * n + j];
		}
	for (size_t i = 0; i < n; i++) {
		double *row = a + i * n;
		const double diagonal = 1 / row[i];

		for (size_t j = 0; j < i; j++) {
			double sum = 0;

			for (size_t k = j; k < i; k++)
				sum += row[k] * a[k * n + j];
			row[j] = -sum * diagonal;
		}
		row[i] = diagonal;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = 0;

			for (size_t k = i; k < n; k++)
				sum += a[k * n + i] * a[k * n + j];
			a[i * n + j] = sum;
		}
}

/* weights[i][j]: what number i adds to the prediction of number j, -P_ij / P_jj for the inverse P
 * of the covariance; 0 on the diagonal. */
static bool weigh(const float *c, size_t n, float *weights)
{
	const size_t stride = lm_ridge_stride(n);
	LM_FREE double *p = malloc(n * n * sizeof(*p));
	double mean = 0;

	if (p == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		mean += (double)c[i * stride + i] / (double)n;
	if (!(mean > 0) || !isfinite(mean))
		mean = 1;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++)
			p[i * n + j] = (double)c[j * stride + i] / mean + (i == j ? PENALTY : 0);
	invert(p, n);
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
			add_four(out + s * stride, rows, x, 0, stride);
		}
	}
	return LMODEL_OK;
}
