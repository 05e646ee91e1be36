/* Which tensors are looked at (spec: 7.1 "Eligible tensors"). */
#ifndef LM_ELIGIBLE_H
#define LM_ELIGIBLE_H

#include "protect/select.h"

/* Sets eligible[i] for every tensor. EUSAGE for a pattern that picks nothing, and when nothing
 * is eligible. */
int lm_eligible(const struct lm_model *model, const size_t *alias,
		const struct lm_select_options *options, bool *eligible,
		struct lmodel_error *error) LM_MUST_CHECK;

/* Tensors of another model by name. */
struct lm_names;
struct lm_names *lm_names_new(const struct lm_model *model, struct lmodel_error *error);
size_t lm_names_find(const struct lm_names *names, const char *name); /* SIZE_MAX: none */
void lm_names_free(struct lm_names *names);                           /* NULL is allowed */

#endif
