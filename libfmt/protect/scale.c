#include "protect/scale.h"

#include <float.h>
#include <math.h>

#include "protect/kernels.h"
#include "protect/key.h"
#include "protect/score.h"

enum {
	SAMPLE = 256,     /* elements a row or column, where there are as many */
	FEWEST_ROWS = 32, /* that are read, however many elements a slice has */
	LONG_SLICE = 256, /* elements of a slice above which only its start is read */
	SLICE_START = 64,
};

/* The scale of a row that is a billion times the mean is a defect of the sample. */
static const double extreme = LM_SCALE_EXTREME;

enum { FEWEST = LM_SCALE_FEWEST };

struct sampler {
	struct lm_scale *scale;
	const struct lm_model *model;
	size_t tensor;
	const struct lm_units *units;
	const uint8_t *whole;       /* NULL: read */
	uint8_t bytes[LM_KEY_BATCH * 8];
	float magnitudes[LM_KEY_BATCH] LM_KEY_ALIGNED;
	double means[LM_KEY_BATCH]; /* of slices; negative where that is not known */
	double *sums;               /* of the columns, as they are estimated */
	uint32_t *counts;
	double total;               /* over all of those */
	uint64_t total_count;
};

/* The mean of the finite ones. */
static double mean_of(const float *magnitudes, size_t n)
{
	double sum = 0;
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		if (magnitudes[i] <= FLT_MAX) {
			sum += (double)magnitudes[i];
			count++;
		}
	return count == 0 ? -1 : sum / (double)count;
}

static int read_magnitudes(struct sampler *s, uint64_t element, size_t n,
			   struct lmodel_error *error)
{
	const uint64_t size = s->units->element_bytes;
	int r;

	if (s->whole != NULL) {
		lm_score_magnitudes(s->units->dtype, s->whole + element * size, n, s->magnitudes);
		return LMODEL_OK;
	}
	r = lm_model_read(s->model, s->tensor, element * size, s->bytes, n * (size_t)size,
			  error);

	if (r == LMODEL_OK)
		lm_score_magnitudes(s->units->dtype, s->bytes, n, s->magnitudes);
	return r;
}

/* How many slices measure() takes at a time. */
static size_t slices_at_once(const struct lm_scale *scale)
{
	return scale->inner <= LONG_SLICE ? (size_t)(LM_KEY_BATCH / scale->inner) : LM_KEY_BATCH;
}

/* The means of `n` slices in a row, from slice `first` of the tensor on. */
static int measure(struct sampler *s, uint64_t first, size_t n, struct lmodel_error *error)
{
	const uint64_t inner = s->scale->inner;
	int r;

	if (inner > LONG_SLICE) {
		for (size_t i = 0; i < n; i++) {
			r = read_magnitudes(s, (first + i) * inner, SLICE_START, error);
			if (r != LMODEL_OK)
				return r;
			s->means[i] = mean_of(s->magnitudes, SLICE_START);
		}
		return LMODEL_OK;
	}
	r = read_magnitudes(s, first * inner, n * (size_t)inner, error);
	if (r != LMODEL_OK)
		return r;
	if (inner == 1) {
		for (size_t i = 0; i < n; i++)
			s->means[i] = s->magnitudes[i] <= FLT_MAX ? (double)s->magnitudes[i] : -1;
		return LMODEL_OK;
	}
	for (size_t i = 0; i < n; i++)
		s->means[i] = mean_of(s->magnitudes + i * inner, (size_t)inner);
	return LMODEL_OK;
}

/* How many slices of a row, or rows of a column, are looked at. */
static uint64_t sample_of(uint64_t inner, uint64_t available)
{
	uint64_t wanted = LM_MAX(SAMPLE / LM_MIN(inner, (uint64_t)SAMPLE), (uint64_t)FEWEST_ROWS);

	return LM_MIN(wanted, available);
}

/* Whole rows, evenly spread, give the columns and the tensor. */
static int sample_columns(struct sampler *s, struct lmodel_error *error)
{
	const struct lm_scale *scale = s->scale;
	const uint64_t rows = sample_of(scale->inner, scale->rows);
	const size_t step = slices_at_once(scale);

	for (uint64_t k = 0; k < rows; k++) {
		const uint64_t row = (uint64_t)((long double)k * (long double)scale->rows /
						(long double)rows);

		for (uint64_t at = 0; at < scale->columns; at += step) {
			size_t n = (size_t)LM_MIN((uint64_t)step, scale->columns - at);
			int r = measure(s, row * scale->columns + at, n, error);

			if (r != LMODEL_OK)
				return r;
			for (size_t i = 0; i < n; i++) {
				if (s->means[i] < 0)
					continue;
				s->total += s->means[i];
				s->total_count++;
				if (s->sums != NULL) {
					s->sums[at + i] += s->means[i];
					s->counts[at + i]++;
				}
			}
		}
	}
	return LMODEL_OK;
}

static float factor(double mean, double wanted)
{
	double f = mean > 0 ? wanted / mean : 1;

	return (float)LM_MIN(LM_MAX(f, 1 / extreme), extreme);
}

/* 1 / mean, within what a float holds. */
static float inverse(double mean)
{
	return mean > 0 ? (float)LM_MIN(1 / mean, 0x1p120) : 1;
}

/* A row's mean over some of its slices, each by its column's scale; those are others in each
 * row, so that no error of a column is in all rows. */
static void row_factor(struct sampler *s, uint64_t row, uint64_t column, const double *means,
		       uint64_t n, double mean)
{
	struct lm_scale *scale = s->scale;
	double sum = 0;
	uint64_t count = 0;

	for (uint64_t i = 0; i < n; i++)
		if (means[i] >= 0) {
			sum += means[i] * (scale->column != NULL ?
					   (double)scale->column[column + i] : 1);
			count++;
		}
	if (count > 0 && sum > 0)
		mean *= LM_MIN(LM_MAX(sum / (double)count / mean, 1 / extreme), extreme);
	scale->row[row] = inverse(mean);
}

static int sample_rows(struct sampler *s, double mean, struct lmodel_error *error)
{
	struct lm_scale *scale = s->scale;
	const uint64_t columns = scale->columns, at_once = slices_at_once(scale);
	const uint64_t n = LM_MIN(sample_of(scale->inner, columns), at_once);
	const uint64_t group = n == columns ? at_once / n : 1; /* short rows: several in one read */

	for (uint64_t row = 0; row < scale->rows; row += group) {
		const uint64_t rows = LM_MIN(group, scale->rows - row);
		const uint64_t column = n == columns ? 0 : row % (columns / n) * n;
		int r = measure(s, row * columns + column, (size_t)(rows * n), error);

		if (r != LMODEL_OK)
			return r;
		for (uint64_t i = 0; i < rows; i++)
			row_factor(s, row + i, column, s->means + i * n, n, mean);
	}
	return LMODEL_OK;
}

/* Vectors, and tensors whose units have no place in a row and a column, count as one long row
 * of pieces: their scale is that of some of them. */
static int sample_all(struct sampler *s, uint64_t elements, double *mean,
		      struct lmodel_error *error)
{
	const uint64_t piece = LM_MIN(elements, (uint64_t)SAMPLE);
	const uint64_t pieces = LM_MIN((elements + piece - 1) / piece, (uint64_t)64);
	double sum = 0;
	unsigned count = 0;

	for (uint64_t k = 0; k < pieces; k++) {
		uint64_t first = (uint64_t)((long double)k * (long double)(elements - piece) /
					    (long double)(pieces > 1 ? pieces - 1 : 1));
		int r = read_magnitudes(s, first, (size_t)piece, error);
		double m;

		if (r != LMODEL_OK)
			return r;
		m = mean_of(s->magnitudes, (size_t)piece);
		if (m >= 0) {
			sum += m;
			count++;
		}
	}
	*mean = count > 0 ? sum / count : 0;
	return LMODEL_OK;
}

static bool has_places(const struct lm_units *units)
{
	return units->rank >= 2 &&
	       (units->kind == LM_UNIT_ELEMENT || units->kind == LM_UNIT_SLICE ||
		units->kind == LM_UNIT_BLOCK);
}

static int sample_places(struct sampler *s, struct lmodel_error *error)
{
	struct lm_scale *scale = s->scale;
	double mean;
	int r;

	if (scale->rows >= FEWEST) {
		s->sums = calloc(scale->columns, sizeof(*s->sums));
		s->counts = calloc(scale->columns, sizeof(*s->counts));
		scale->column = calloc(scale->columns, sizeof(*scale->column));
		if (s->sums == NULL || s->counts == NULL || scale->column == NULL)
			return lm_fail_memory(error);
	}
	r = sample_columns(s, error);
	if (r != LMODEL_OK)
		return r;
	mean = s->total_count > 0 ? s->total / (double)s->total_count : 0;
	scale->all = inverse(mean);
	for (uint64_t i = 0; scale->column != NULL && i < scale->columns; i++)
		scale->column[i] = s->counts[i] > 0 ?
				   factor(s->sums[i] / s->counts[i], mean) : 1;
	if (scale->columns < FEWEST || mean <= 0)
		return LMODEL_OK;
	scale->row = calloc(scale->rows, sizeof(*scale->row));
	if (scale->row == NULL)
		return lm_fail_memory(error);
	return sample_rows(s, mean, error);
}

static bool is_plain(const struct lm_units *units)
{
	const char *name = units->dtype->name;

	return strcmp(name, "BF16") == 0 || strcmp(name, "F32") == 0 || strcmp(name, "F16") == 0;
}

static int sample(struct sampler *s, struct lmodel_error *error)
{
	const struct lm_units *units = s->units;
	struct lm_scale *scale = s->scale;
	uint64_t elements = units->element_bytes == 0 ? 0 : units->bytes / units->element_bytes;
	double mean = 0;
	int r = LMODEL_OK;

	if (elements > 0 && has_places(units)) {
		scale->rows = units->shape[0];
		scale->columns = units->shape[1];
		scale->inner = elements / scale->rows / scale->columns;
		return is_plain(units) && scale->inner == 1 ?
			       lm_scale_all(scale, s->model, s->tensor, units, s->whole, error) :
			       sample_places(s, error);
	}
	scale->rows = scale->columns = 1;
	scale->inner = elements;
	if (elements > 0)
		r = sample_all(s, elements, &mean, error);
	scale->all = inverse(mean);
	return r;
}

int lm_scale_sample(struct lm_scale *scale, const struct lm_model *model, size_t tensor,
		    const struct lm_units *units, const uint8_t *bytes, struct lmodel_error *error)
{
	LM_FREE struct sampler *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return lm_fail_memory(error);
	*scale = (struct lm_scale){ .active = true };
	s->scale = scale;
	s->model = model;
	s->tensor = tensor;
	s->units = units;
	s->whole = bytes;
	r = sample(s, error);
	free(s->sums);
	free(s->counts);
	if (r != LMODEL_OK)
		lm_scale_free(scale);
	return r;
}

/* The product alone, slice by slice. */
static void multiply(const struct lm_kernels *kernels, const struct lm_scale *scale, uint64_t first,
		     size_t n, const float *in, float *out)
{
	uint64_t slice = first / scale->inner, within = first % scale->inner;
	uint64_t row = slice / scale->columns, column = slice % scale->columns;

	for (size_t i = 0; i < n;) {
		const float f = scale->row != NULL ? scale->row[row] : scale->all;

		if (scale->inner == 1) {
			size_t m = (size_t)LM_MIN((uint64_t)(n - i), scale->columns - column);

			kernels->multiply(in + i, f, scale->column == NULL ? NULL :
					  scale->column + column, m, out + i);
			i += m;
			column += m;
		} else {
			size_t m = (size_t)LM_MIN((uint64_t)(n - i), scale->inner - within);
			const float by = scale->column == NULL ? 1 : scale->column[column];

			for (size_t j = 0; j < m; j++)
				out[i + j] = in[i + j] * f * by;
			i += m;
			column++;
			within = 0;
		}
		if (column == scale->columns) {
			column = 0;
			row++;
		}
	}
}

/* Products leave the range of a float for absurd weights only; still, zero and infinity mean
 * something. */
void lm_scale_apply(const struct lm_scale *scale, uint64_t first, size_t n, const float *magnitudes,
		    float *out)
{
	const struct lm_kernels *kernels = lm_kernels();

	if (scale->row == NULL && scale->column == NULL)
		kernels->multiply(magnitudes, scale->all, NULL, n, out);
	else
		multiply(kernels, scale, first, n, magnitudes, out);
	kernels->bound(magnitudes, out, n);
}

void lm_scale_free(struct lm_scale *scale)
{
	free(scale->row);
	free(scale->column);
	scale->row = scale->column = NULL;
}
