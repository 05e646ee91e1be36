/* The public bytes of a tensor: true where nothing is protected, the mask's elsewhere (spec: 7.5). */
#ifndef LM_PUBLIC_BYTES_H
#define LM_PUBLIC_BYTES_H

#include "protect/mask.h"

struct lm_protected_model {
	const struct lm_model *model;
	size_t tier_count;
	struct lm_selection *selection;
	struct lm_mask *mask;
};

/* Whether any unit of the tensor is in a tier. */
bool lm_is_protected(const struct lm_protected_model *p, size_t tensor);

/* Public bytes [offset, offset + len) of a tensor. Thread-safe. */
int lm_public_read(const struct lm_protected_model *p, size_t tensor, uint64_t offset, void *buffer,
		   size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* Walks all units of a protected tensor in windows: calls `window` with units [first, first+count), their
 * tiers and their true bytes. Column units: one row of the tensor a call, first = 0, count = columns. */
typedef int lm_window_fn(void *context, uint64_t first, uint64_t count, const uint8_t *tiers,
			 const uint8_t *bytes, size_t len, struct lmodel_error *error);
int lm_protected_walk(const struct lm_protected_model *p, size_t tensor, lm_window_fn *window,
		      void *context, struct lmodel_error *error) LM_MUST_CHECK;

#endif
