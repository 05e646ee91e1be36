/* What is known of a tensor's public units: the material that decoys are made of (spec: 7.5). */
#ifndef LM_DONORS_H
#define LM_DONORS_H

#include "protect/sample.h"

enum lm_donors_form {
	LM_DONORS_NONE,    /* too few public units */
	LM_DONORS_CELLS,   /* bytes of public cells: integers, packed types, few distinct values */
	LM_DONORS_VALUES,  /* residuals of public elements */
	LM_DONORS_SLICES,  /* residuals of public kernel slices */
};

/* Below this many donors a tensor takes those of its class. */
#define LM_DONORS_MIN 32u

/* A value divided by its place's scale is a residual; the scale is that of its row (index of
 * the first dimension: mean of |w|) times that of its column (of the second: mean of
 * |w| / row scale). Above 2^18 rows or columns neighbours share one. Tensors of rank 1, and donors
 * of a class, have the scale 1 and no tables of them. */
struct lm_donors {
	enum lm_donors_form form;
	const struct lm_dtype *dtype;
	uint64_t cell;             /* bytes drawn together */
	unsigned components;       /* numbers an element: 2 for complex */

	uint64_t inner, columns;   /* elements below one column index; columns */
	uint64_t row_group, column_group;
	float *row, *column;       /* by group; NULL: all 1 */

	double bound;              /* largest public |component| */
	unsigned keep;             /* significant bits that public values use, of 53 */

	uint32_t count;
	float *table;              /* ascending: residuals; slices: their norms; complex: moduli */
	float *phases;             /* complex: unit vectors of the donors, by twos */
	uint8_t *cells;            /* CELLS: count cells */

	uint32_t length;           /* slices: components a unit */
	float *directions;         /* slices: by unit number, each of norm 1 */
	uint32_t direction_count;
	uint32_t *row_first;       /* directions row_first[g] .. row_first[g+1]-1: row group g */
	uint32_t *column_first, *by_column;
	uint64_t *digests;         /* ascending, of the donors' stored bytes */
	uint32_t digest_count;
};

/* Donors of one tensor. LM_DONORS_NONE (no failure) when there are less than LM_DONORS_MIN. */
int lm_donors_sample(struct lm_donors *donors, const struct lm_sample *sample,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* Donors of a class: the public elements of several tensors of one dtype, without scales. */
int lm_donors_pool(struct lm_donors *donors, const struct lm_sample *samples, size_t count,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Where nothing at all is public: N(0, 1/fan-in) for numbers, zero bytes for the rest. */
int lm_donors_default(struct lm_donors *donors, const struct lm_sample *sample,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Whether elements of `dtype` are drawn as numbers. */
bool lm_donors_numeric(const struct lm_dtype *dtype);

uint64_t lm_donors_digest(const uint8_t *bytes, size_t len);

void lm_donors_free(struct lm_donors *donors);

#endif
