/* Finding tensors with equal dtype and bytes, which are stored once (spec: 3.5). */
#ifndef LM_DUPLICATES_H
#define LM_DUPLICATES_H

#include "import/source.h"

/* Sets alias[i] to the first tensor that tensor i equals, or to SIZE_MAX. Reads a few samples
 * of each tensor, and all of those whose samples agree. Empty tensors are no one's alias. */
int lm_find_duplicates(const struct lm_model *model, size_t *alias, struct lmodel_error *error)
	LM_MUST_CHECK;

/* The same whatever the dtype: bytes that are hidden in one tensor may not be public in another.
 * Tensors of equal bytes throughout (zeros) are left out: there is nothing to hide in them. */
int lm_find_twins(const struct lm_model *model, size_t *twin, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
