/* What the pieces of a grid are by those of their row and of their column (spec: 7.5). */
#ifndef LM_PREDICT_H
#define LM_PREDICT_H

#include "protect/grid.h"

/* Predicts each piece, in the form of the grid's values, from open pieces other than itself: by the
 * other rows and by the other columns, and as much of both as is right for the held pieces. Then
 * again, as long as that helps: the more can be told at all, the more it matters that hidden pieces
 * are not taken for zeros. */
int lm_predict(const struct lm_grid *grid, float *guess, struct lmodel_error *error) LM_MUST_CHECK;

#endif
