/* The public bytes of a tensor: true where nothing is protected, the mask's
 * elsewhere (spec: 7.5). */
#ifndef LM_PUBLIC_BYTES_H
#define LM_PUBLIC_BYTES_H

#include "protect/mask.h"

/* A tensor whose sets and public bytes come from an earlier release (spec: 7.7). */
struct lm_taken_tensor {
	bool taken;
	uint8_t lock_key[32];    /* with the mask deep-lock: of that release */
	struct lm_selected_tensor selected;
	uint8_t *tiers;          /* one a unit; NULL: all of it is public */
};

/* Public bytes of a taken tensor. Thread-safe. */
typedef int lm_taken_read_fn(void *context, size_t tensor, uint64_t offset, void *buffer,
			     size_t len, struct lmodel_error *error);

struct lm_protected_model {
	const struct lm_model *model;
	size_t tier_count;
	struct lm_selection *selection;  /* NULL: every tensor is taken */
	struct lm_mask *mask;            /* NULL with a lock key, or without a selection */
	const uint8_t *lock_key;         /* NULL, or of the mask deep-lock; secret, borrowed */
	const struct lm_taken_tensor *taken; /* one a tensor; NULL: none is */
	lm_taken_read_fn *read_taken;
	void *taken_context;
};

/* What was decided for a tensor, by whichever of the two. */
const struct lm_selected_tensor *lm_protected_tensor(const struct lm_protected_model *p,
						     size_t tensor);

/* Whether any unit of the tensor is in a tier. */
bool lm_is_protected(const struct lm_protected_model *p, size_t tensor);

/* The lock key of one tensor, where there is one of the model. */
void lm_protected_lock_key(const struct lm_protected_model *p, size_t tensor, uint8_t key[32]);

/* Public bytes [offset, offset + len) of a tensor. Thread-safe. */
int lm_public_read(const struct lm_protected_model *p, size_t tensor, uint64_t offset, void *buffer,
		   size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* Walks all units of a protected tensor in windows: calls `window` with units [first,
 * first+count), those of them that are in a tier, and their true bytes. Column units: one row of
 * the tensor a call, first = 0, count = columns. Without `values`, `bytes` may be NULL. */
typedef int lm_window_fn(void *context, uint64_t first, uint64_t count,
			 const struct lm_chosen *chosen, const uint8_t *bytes, size_t len,
			 struct lmodel_error *error);
int lm_protected_walk(const struct lm_protected_model *p, size_t tensor, bool values,
		      lm_window_fn *window, void *context, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
