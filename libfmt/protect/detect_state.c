#include "protect/detect_state.h"

#include <math.h>

enum {
	RANK = LM_DETECT_RANK, ROUNDS = 4,
	LINE = 256,      /* units of a row or column whose median is its scale */
	LINE_LEAST = 16, /* in a shorter one the unit itself would count too much */
	POOL = 4000,     /* units whose distance is taken */
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
		s->pool[i] = all <= POOL ? i :
				    (size_t)((double)i * 0.6180339887498949 * (double)all) % all;
	return s;
}
