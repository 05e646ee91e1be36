/* Drawing decoys from donors (spec: 7.5): place and key decide, in any order and cut. */
#ifndef LM_DECOY_H
#define LM_DECOY_H

#include "crypto/aead.h"
#include "protect/donors.h"

/* Draws cells into `bytes`, which holds all from cell `first` on: number at[0], at[1], ... of them,
 * `count` in all; at NULL: 0, 1, ... . Not for slices. */
void lm_decoy_cells(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		    const uint32_t *at, size_t count, uint8_t *bytes);

/* Draws kernel slices the same way by unit. `scratch` takes LM_DECOY_SCRATCH(donors) doubles. */
#define LM_DECOY_SCRATCH(donors) ((size_t)(donors)->length)
void lm_decoy_slices(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		     const uint32_t *at, size_t count, double *scratch, uint8_t *bytes);

#endif
