/* What each number of a row is by the others of the row: ridge regression, each number left out in
 * turn (spec: 7.5). */
#ifndef LM_RIDGE_H
#define LM_RIDGE_H

#include "base/base.h"

/* Widest row that is regressed; the work is in proportion to count * width. */
enum { LM_RIDGE_MOST = 512, LM_RIDGE_LANES = 4 };

/* Numbers from one row of a table to the next; those behind `width` have to be zero. */
static inline size_t lm_ridge_stride(size_t width)
{
	return (width + LM_RIDGE_LANES - 1) / LM_RIDGE_LANES * LM_RIDGE_LANES;
}

/* `data` is `count` rows of `width` numbers, the hidden ones 0: that is a guess for a number that
 * is centred. `out`, of the same form, becomes the prediction of each number from the others of its
 * row, which itself has no part in. `width` is 2 to LM_RIDGE_MOST. */
int lm_ridge_predict(const float *data, size_t count, size_t width, float *out,
		     struct lmodel_error *error) LM_MUST_CHECK;

#endif
