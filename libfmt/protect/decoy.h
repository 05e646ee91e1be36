/* Drawing decoys from donors (spec: 7.5): place and key decide, in any order and cut. */
#ifndef LM_DECOY_H
#define LM_DECOY_H

#include "crypto/aead.h"
#include "protect/donors.h"

/* Draws cells [first, first+n) into `bytes`, which holds all of them; with `tiers` (one a cell)
 * only those that are not LM_NO_TIER. Not for slices. */
void lm_decoy_cells(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		    size_t n, const uint8_t *tiers, uint8_t *bytes);

/* Draws the kernel slices [first, first+n), the same way by unit. `scratch` takes
 * LM_DECOY_SCRATCH(donors) doubles. */
#define LM_DECOY_SCRATCH(donors) ((size_t)(donors)->length)
void lm_decoy_slices(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		     size_t n, const uint8_t *tiers, double *scratch, uint8_t *bytes);

#endif
