/* What the base shows in the place of protected units (spec: 7.5). Decoys are a function of random
 * numbers and of units that are public anyway, never of what they hide. */
#ifndef LM_MASK_H
#define LM_MASK_H

#include "protect/select.h"

enum lm_mask_method {
	LM_MASK_DPRM,      /* decoys drawn from the unselected units (distribution-preserving) */
	LM_MASK_ZERO,      /* zero bytes */
	LM_MASK_REFERENCE, /* the bytes of the reference model */
};

struct lm_mask;

/* Samples the public units of each tensor. `key` is of the decoys; with LM_MASK_REFERENCE
 * `reference` is the public model, else NULL. Tensors that are protected whole get a constant
 * base. `model`, `selection` and `reference` are borrowed for as long as the mask lives. */
int lm_mask_new(struct lm_mask **out, enum lm_mask_method method, const uint8_t key[32],
		const struct lm_model *model, const struct lm_selection *selection,
		const struct lm_model *reference, const struct lmodel_run *run,
		struct lmodel_error *error) LM_MUST_CHECK;

/* Writes bytes [from, from+len) of tensor `tensor`'s decoy to `out`; EUSAGE for a tensor that has
 * nothing selected. Thread-safe; the answer does not depend on how a unit is cut into calls.
 * Costs a fraction of a microsecond a call: for many short units use lm_mask_apply(). */
int lm_mask_fill(const struct lm_mask *mask, size_t tensor, uint64_t from, size_t len, uint8_t *out,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* Overwrites the chosen units with their decoys. `bytes` holds those from unit `first` on, one behind
 * the other, to the last chosen one at least; contiguous kinds only. Thread-safe; the bytes are
 * those of lm_mask_fill(). */
int lm_mask_apply(const struct lm_mask *mask, size_t tensor, uint64_t first,
		  const struct lm_chosen *chosen, uint8_t *bytes, struct lmodel_error *error)
	LM_MUST_CHECK;

void lm_mask_free(struct lm_mask *mask);

#endif
