/* A tensor that is small enough, in memory: what of it is public, as pieces in rows and columns,
 * all of one scale (spec: 7.5). */
#ifndef LM_GRID_H
#define LM_GRID_H

#include "crypto/aead.h"
#include "protect/sample.h"

/* Elements of a grid at most, and of a piece. */
enum { LM_GRID_MOST = 1 << 20, LM_GRID_INNER = 128 };

enum lm_piece_state {
	LM_PIECE_HIDDEN,
	LM_PIECE_OPEN,
	LM_PIECE_HELD,   /* public, but treated like a hidden one: shows what predictions miss */
};

/* Piece p is row p / columns, column p % columns, and elements p * inner .. on of the tensor. */
struct lm_grid {
	size_t rows, columns, inner;
	size_t pieces;
	float *values;           /* inner a piece: by the scale, less the mean; 0 for hidden ones */
	uint8_t *state;          /* enum lm_piece_state */
	float *row, *column;     /* scale: row[i] * column[j]; 0 where all is zero */
	double mean[LM_GRID_INNER];         /* of the scaled values, by place in a piece */
	size_t held;
	uint64_t *digests;       /* of public pieces, ascending: decoys are to be no copies */
	size_t digest_count;     /* 0: copies are no matter */
};

/* Whether the tensor is to be had as a grid; `grid` gets its form. A kernel slice is a piece, or a
 * block of a matrix that is a unit. Else an element is: of a matrix, or where the dimensions behind
 * the second are no kernel, in rows and columns of about equal number. Where a unit
 * is a whole row of elements nothing beside it would tell of it: no grid. */
bool lm_grid_form(struct lm_grid *grid, const struct lm_units *units);

/* Reads the public units of `sample`, which has the form `grid`. `*usable` says whether there are
 * enough of them, and few enough zeros, to predict from. Frees nothing on failure. */
int lm_grid_load(struct lm_grid *grid, const struct lm_sample *sample, struct lm_keystream *random,
		 bool *usable, struct lmodel_error *error) LM_MUST_CHECK;

/* Scales of rows and columns by the open pieces of `values`, a number for each element: the root of
 * the mean square is row[i] * column[j]. */
int lm_grid_scales(const struct lm_grid *grid, const float *values, float *row, float *column,
		   struct lm_keystream *random, struct lmodel_error *error) LM_MUST_CHECK;

/* Of the values of a piece, as floats. */
uint64_t lm_grid_digest(const float *values, size_t n);
void lm_grid_free(struct lm_grid *grid);

#endif
