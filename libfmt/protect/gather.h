/* Two passes over the sample of a tensor: scales, then the raw material for lm_donors. */
#ifndef LM_GATHER_H
#define LM_GATHER_H

#include "protect/donors.h"

struct lm_gather_turns {
	uint64_t next, taken;
};

struct lm_gather {
	struct lm_donors *donors;     /* scales, bound and keep go there */
	const struct lm_units *units; /* of the tensor in work */
	bool numeric, scaled;
	bool second;                  /* pass */
	uint32_t length;              /* components of a slice that is drawn whole, else 0 */
	uint64_t base;                /* donors taken before this tensor's (pools) */

	uint64_t seen, wanted, at, taken;                 /* cells */
	uint64_t row, column, in;                         /* scaled: the place in work */
	struct lm_gather_turns turns, slice_turns;
	uint64_t slices_seen, slices_wanted, slices_at, slices_taken;

	double *row_sum, *column_sum;
	uint64_t *row_count, *column_count;
	uint64_t row_groups, column_groups;

	double *values;               /* numeric: components of the cells taken */
	uint64_t *elements;           /* their places */
	uint8_t *cells;               /* else: their bytes */
	float *slices;
	uint64_t *slice_units;
	uint64_t *digests;
};

/* Elements (cells) and bytes of whole slices that are kept of one tensor. */
enum { LM_GATHER_CELLS = 2048, LM_GATHER_BYTES = 262144 };

/* `scaled` false: donors of a class, scales 1. Frees nothing on failure: lm_gather_free() does. */
int lm_gather_run(struct lm_gather *gather, struct lm_donors *donors,
		  const struct lm_sample *samples, size_t count, bool scaled,
		  struct lmodel_error *error) LM_MUST_CHECK;
/* gather_all.c: a matrix of a common type in one pass over all of it, instead of two over a sample.
 * False: it is no such tensor. */
bool lm_gather_is_plain(const struct lm_gather *gather, const struct lm_sample *sample);
int lm_gather_all(struct lm_gather *gather, const struct lm_sample *sample,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* How large numbers are, and how many significant bits they use. */
void lm_gather_measure(struct lm_gather *gather, const double *values, size_t components);

double lm_gather_scale(const struct lm_donors *donors, uint64_t element);
void lm_gather_free(struct lm_gather *gather);

#endif
