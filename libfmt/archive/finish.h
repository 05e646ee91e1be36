/* What is left of an extraction when all bytes are written and true values are over them. */
#ifndef LM_FINISH_H
#define LM_FINISH_H

#include "archive/skeleton.h"

/* The descriptor of output `file` of a plan; `*label` for messages. */
typedef int lm_plan_file_fn(void *context, size_t file, const char **label);

/* Puts the tensors of the scratch file to their places, their axes permuted; then the CRCs. */
int lm_plan_finish(const struct lmodel_archive *archive, const struct lm_plan *plan, int scratch,
		   lm_plan_file_fn *file, void *context, struct lmodel_error *error) LM_MUST_CHECK;

#endif
