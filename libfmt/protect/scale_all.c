#include "protect/scale.h"

#include <float.h>
#include <math.h>

#include "protect/kernels.h"
#include "protect/score.h"

/* All of a matrix in one pass: to read it takes no longer than to read a piece of each of its rows. A
 * row's scale is the mean of its numbers by the scale of their columns, as far as it is known from
 * the rows before: what is wrong with that is wrong in all rows. The first window is gone through
 * twice. */

enum {
	WINDOW = 65536,         /* elements */
	SEGMENT = LM_KEY_BATCH,
	ENOUGH = 8,             /* rows that say something of columns */
};

struct pass {
	const struct lm_dtype *dtype;
	const struct lm_kernels *kernels;
	uint64_t columns;
	double *row_sums;
	uint64_t *row_counts;
	float *sums;               /* of columns, each number by the mean of what is beside it */
	uint32_t *counts;
	float *factor;             /* of columns, as far as they are known */
	float magnitudes[SEGMENT];
	float products[SEGMENT];
	uint16_t dropped[SEGMENT]; /* of a segment: not finite */
	size_t dropped_count;
};

static void drop_infinite(struct pass *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p->magnitudes[i] > FLT_MAX) {
			p->magnitudes[i] = 0;
			p->dropped[p->dropped_count++] = (uint16_t)i;
		}
}

/* By the columns' factors. */
static double sum_of(struct pass *p, const float *factor, size_t n)
{
	float largest;
	double sum;

	p->kernels->multiply(p->magnitudes, 1, factor, n, p->products);
	sum = (double)p->kernels->sum(p->products, n, &largest);
	if (sum <= (double)FLT_MAX)
		return sum;
	drop_infinite(p, n);
	sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)p->magnitudes[i] * (double)factor[i];
	return sum;
}

/* `n` elements side by side in a row. */
static void add_segment(struct pass *p, uint64_t row, uint64_t column, const uint8_t *bytes,
			size_t n)
{
	size_t finite;
	double sum;
	float by;

	lm_score_magnitudes(p->dtype, bytes, n, p->magnitudes);
	p->dropped_count = 0;
	sum = sum_of(p, p->factor + column, n);
	finite = n - p->dropped_count;
	p->row_sums[row] += sum;
	p->row_counts[row] += finite;
	by = sum > 0 ? (float)((double)finite / sum) : 0;
	if (!(by > 0 && by <= FLT_MAX))
		return; /* zeros, which say nothing of columns */
	p->kernels->add_shares(p->sums + column, p->counts + column, p->magnitudes, by, n);
	for (size_t i = 0; i < p->dropped_count; i++)
		p->counts[column + p->dropped[i]]--;
}

/* The inverse of a mean, where there is one; far from the mean of all it is a defect. */
static float inverse(double mean, double all)
{
	mean = mean > 0 ? LM_MIN(LM_MAX(mean, all / LM_SCALE_EXTREME), all * LM_SCALE_EXTREME) :
			  all;
	return mean > 0 ? (float)LM_MIN(1 / mean, 0x1p120) : 1;
}

static void add_window(struct pass *p, uint64_t first, size_t n, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0, m; i < n; i += m) {
		const uint64_t row = (first + i) / p->columns, column = (first + i) % p->columns;

		m = (size_t)LM_MIN(LM_MIN((uint64_t)(n - i), p->columns - column),
				   (uint64_t)SEGMENT);
		add_segment(p, row, column, bytes + i * size, m);
	}
}

static void learn_columns(struct pass *p)
{
	for (uint64_t i = 0; i < p->columns; i++)
		p->factor[i] = p->counts[i] == 0 ? 1 :
			       inverse((double)p->sums[i] / p->counts[i], 1);
}

static void forget(struct pass *p, size_t rows)
{
	memset(p->row_sums, 0, rows * sizeof(*p->row_sums));
	memset(p->row_counts, 0, rows * sizeof(*p->row_counts));
	memset(p->sums, 0, p->columns * sizeof(*p->sums));
	memset(p->counts, 0, p->columns * sizeof(*p->counts));
}

static int add_all(struct pass *p, const struct lm_model *model, size_t tensor,
		   const struct lm_units *units, const uint8_t *whole,
		   struct lmodel_error *error)
{
	const uint64_t size = units->element_bytes, elements = units->bytes / size;
	LM_FREE uint8_t *window = whole != NULL ? NULL :
				  malloc(LM_MIN(units->bytes, WINDOW * size));
	uint64_t next = 0;
	int r = LMODEL_OK;

	if (whole == NULL && window == NULL)
		return lm_fail_memory(error);
	for (uint64_t first = 0; first < elements && r == LMODEL_OK; first += WINDOW) {
		const size_t n = (size_t)LM_MIN(elements - first, (uint64_t)WINDOW);
		const uint64_t rows = (first + n) / p->columns;
		const uint8_t *bytes = whole != NULL ? whole + first * size : window;

		if (whole == NULL)
			r = lm_model_read(model, tensor, first * size, window, n * (size_t)size,
					  error);
		if (r != LMODEL_OK)
			return r;
		add_window(p, first, n, bytes, (size_t)size);
		if (first + n < next || rows < ENOUGH)
			continue;
		learn_columns(p);
		next = 2 * (first + n);
		if (first > 0)
			continue;
		forget(p, (size_t)LM_MIN(rows + 1, units->shape[0]));
		add_window(p, first, n, bytes, (size_t)size);
	}
	return r;
}

static int finish(struct lm_scale *scale, const struct pass *p, struct lmodel_error *error)
{
	double sum = 0, count = 0, mean;

	for (uint64_t i = 0; i < scale->rows; i++) {
		sum += p->row_sums[i];
		count += (double)p->row_counts[i];
	}
	mean = count > 0 ? sum / count : 0;
	scale->all = inverse(mean, mean);
	if (scale->columns >= LM_SCALE_FEWEST && mean > 0) {
		scale->row = malloc(scale->rows * sizeof(*scale->row));
		if (scale->row == NULL)
			return lm_fail_memory(error);
		for (uint64_t i = 0; i < scale->rows; i++)
			scale->row[i] = inverse(p->row_counts[i] == 0 ? 0 :
						p->row_sums[i] / (double)p->row_counts[i], mean);
	}
	if (scale->rows >= LM_SCALE_FEWEST) {
		scale->column = malloc(scale->columns * sizeof(*scale->column));
		if (scale->column == NULL)
			return lm_fail_memory(error);
		for (uint64_t i = 0; i < scale->columns; i++)
			scale->column[i] = inverse(p->counts[i] == 0 ? 0 :
						   (double)p->sums[i] / p->counts[i], 1);
	}
	return LMODEL_OK;
}

int lm_scale_all(struct lm_scale *scale, const struct lm_model *model, size_t tensor,
		 const struct lm_units *units, const uint8_t *bytes, struct lmodel_error *error)
{
	LM_FREE double *row_sums = calloc(scale->rows, sizeof(*row_sums));
	LM_FREE uint64_t *row_counts = calloc(scale->rows, sizeof(*row_counts));
	LM_FREE float *sums = calloc(scale->columns, sizeof(*sums));
	LM_FREE uint32_t *counts = calloc(scale->columns, sizeof(*counts));
	LM_FREE float *factor = malloc(scale->columns * sizeof(*factor));
	struct pass p = { .dtype = units->dtype, .kernels = lm_kernels(),
			  .columns = scale->columns, .row_sums = row_sums,
			  .row_counts = row_counts, .sums = sums, .counts = counts,
			  .factor = factor };
	int r;

	if (row_sums == NULL || row_counts == NULL || sums == NULL || counts == NULL ||
	    factor == NULL)
		return lm_fail_memory(error);
	for (uint64_t i = 0; i < scale->columns; i++)
		factor[i] = 1;
	r = add_all(&p, model, tensor, units, bytes, error);
	return r == LMODEL_OK ? finish(scale, &p, error) : r;
}
