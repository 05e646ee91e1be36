/* Decoys of one tensor that were drawn before they are asked for: they depend on more of the tensor
 * than lies about them (spec: 7.5). */
#ifndef LM_AHEAD_H
#define LM_AHEAD_H

#include "protect/donors.h"

struct lm_ahead {
	size_t count;            /* 0: not for this tensor */
	size_t piece_bytes;
	uint32_t *pieces;        /* ascending */
	uint8_t *bytes;          /* of each */
};

/* Multiplications that drawing for this tensor takes, about, and bytes that are kept of it when
 * `hidden` of its units are. False: it is too large, or of no form for it. */
bool lm_ahead_cost(const struct lm_units *units, uint64_t hidden, uint64_t *work, uint64_t *bytes);

/* Draws. `donors` tells range and precision of public values. `ahead` stays empty when too little
 * is public, or too much of it is zero. */
int lm_ahead_make(struct lm_ahead *ahead, const struct lm_sample *sample,
		  const struct lm_donors *donors, struct lmodel_error *error) LM_MUST_CHECK;

/* Bytes [from, from + len) of the tensor, zeros where no unit is hidden. */
void lm_ahead_fill(const struct lm_ahead *ahead, uint64_t from, size_t len, uint8_t *out);
void lm_ahead_free(struct lm_ahead *ahead);

#endif
