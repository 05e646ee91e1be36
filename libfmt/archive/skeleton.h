/* Skeletons: the program that writes an input file again (spec: 3.6). */
#ifndef LM_SKELETON_H
#define LM_SKELETON_H

#include "archive/scan.h"

/* A growing list of pieces to copy, and where each goes. */
struct lm_plan {
	struct lm_scan_item *items;
	uint64_t *to;          /* offset in the output */
	size_t *file;          /* which output */
	size_t count, capacity;
};

int lm_plan_add(struct lm_plan *plan, size_t member, uint64_t from, uint64_t len, size_t file,
		uint64_t to, struct lmodel_error *error) LM_MUST_CHECK;
void lm_plan_free(struct lm_plan *plan);

/* That the header in the skeleton of a safetensors source says what the rows say: the same
 * tensors in the same order, the same metadata. Otherwise the file written again would be
 * another model than the one listed. The skeleton has to be one literal, then one record of all
 * the source's tensors. ECORRUPT. Part of lm_skeleton_plan(). */
int lm_skeleton_check(const struct lmodel_archive *archive, size_t source,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Adds what makes up source `source` again, as output `file`, from offset 0 on. ECORRUPT when
 * the skeleton is not well-formed, names tensors of another source or twice, or does not
 * add up to the source's size. */
int lm_skeleton_plan(const struct lmodel_archive *archive, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error) LM_MUST_CHECK;

#endif
