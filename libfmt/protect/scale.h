/* How large the elements of each row and column of a tensor are (spec: 7.3 "Normalisation").
 * Rows with many hidden units betray where the large weights are, so scores are divided by the
 * scale of their row and of their column. */
#ifndef LM_SCALE_H
#define LM_SCALE_H

#include "import/source.h"
#include "protect/units.h"

/* Factors to multiply magnitudes by. Rows are the first dimension (output channels), columns the
 * second (input channels); `inner` elements have row and column in common. */
struct lm_scale {
	bool active;
	uint64_t rows, columns, inner;
	float all;            /* where there is no factor a row */
	float *row, *column;  /* NULL: none */
};

/* Slices in a row or column that say something of its scale; how far from the mean of all that may
 * be. */
#define LM_SCALE_FEWEST 16u
#define LM_SCALE_EXTREME 1e9

/* Estimates the factors. A matrix of a common type is read whole; of others a sample is: at most
 * about 256 elements a row and a column. A
 * tensor whose units have neither (vectors, rows, columns), a dtype below one byte or a dimension
 * too short to tell gets one factor in that place. `bytes` are those of the tensor, or NULL: they
 * are read. */
int lm_scale_sample(struct lm_scale *scale, const struct lm_model *model, size_t tensor,
		    const struct lm_units *units, const uint8_t *bytes,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* The same for matrices of whole bytes whose rows, columns and `inner`, which is 1, are told. */
int lm_scale_all(struct lm_scale *scale, const struct lm_model *model, size_t tensor,
		 const struct lm_units *units, const uint8_t *bytes, struct lmodel_error *error)
	LM_MUST_CHECK;

/* out[i] = magnitude of element first + i, scaled. Zero stays zero, what is positive and finite
 * stays so. Arrays as in protect/key.h: at most LM_KEY_BATCH long, aligned. */
void lm_scale_apply(const struct lm_scale *scale, uint64_t first, size_t n, const float *magnitudes,
		    float *out);

void lm_scale_free(struct lm_scale *scale); /* what it holds */

#endif
