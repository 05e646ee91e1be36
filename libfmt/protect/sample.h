/* Walks over a sample of a tensor's public (unselected) units: all of a small tensor, windows
 * spread over a large one. Where the windows lie depends on a key, not on the data. */
#ifndef LM_SAMPLE_H
#define LM_SAMPLE_H

#include "protect/select.h"

struct lm_sample {
	const struct lm_model *model;
	const struct lm_selection *selection;
	size_t tensor;
	struct lm_units units;
	bool all_public;      /* nothing of this tensor is selected */
	uint64_t cell;        /* bytes of the smallest piece with whole elements: one element, the 1
	                         (F4) or 3 (F6) bytes after which packed ones begin anew, or a
	                         quantised block */
	bool whole;           /* visits all of it, whatever its size */
	uint8_t key[32];
};

/* `len` bytes of the tensor from byte `offset` on: whole public units, or for columns and for units
 * above LM_UNIT_WINDOW whole cells of one. */
typedef int lm_sample_visit(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
			    struct lmodel_error *error);

/* `key` is the mask's; `tensor` must be eligible. */
void lm_sample_init(struct lm_sample *sample, const uint8_t key[32], const struct lm_model *model,
		    const struct lm_selection *selection, size_t tensor);

/* Visits the same pieces in the same order each time it is called. */
int lm_sample_run(const struct lm_sample *sample, lm_sample_visit *visit, void *context,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* Key of one use for one tensor: HMAC-SHA-256(key, label || 0x00 || name). */
int lm_sample_key(uint8_t out[32], const uint8_t key[32], const char *label, const char *name,
		  struct lmodel_error *error) LM_MUST_CHECK;

#endif
