/* Decoys as a prediction from what is public around them, and what such predictions miss elsewhere
 * (spec: 7.5). */
#ifndef LM_RESIDUAL_H
#define LM_RESIDUAL_H

#include "protect/grid.h"

struct lm_residual {
	const struct lm_grid *grid; /* borrowed */
	float *guess;            /* of all pieces, as the grid's values */
	float *row, *column;     /* scale of what guesses miss: row[i] * column[j] */
	float *missed;           /* of held pieces, by that scale; in order of: */
	float *size;             /* of the guess, by that scale, ascending */
	float *norm;             /* of what is missed */
	float *share;            /* of others' directions that a decoy from it has */
	size_t count;
};

/* Predicts each piece from others of its row and of its column; how much of both to take, and what
 * is missed, is seen in the held pieces. Frees nothing on failure. */
int lm_residual_make(struct lm_residual *residual, const struct lm_grid *grid,
		     struct lm_keystream *random, struct lmodel_error *error) LM_MUST_CHECK;

/* Draws a decoy of piece `piece`, on the tensor's own scale. `random` is LM_RESIDUAL_DRAW bytes;
 * `attempt` is how many before this were copies. */
enum { LM_RESIDUAL_MIX = 16, LM_RESIDUAL_DRAW = 8 * LM_RESIDUAL_MIX + 16 };
void lm_residual_draw(const struct lm_residual *residual, size_t piece, const uint8_t *random,
		      unsigned attempt, double *values);
void lm_residual_free(struct lm_residual *residual);

#endif
