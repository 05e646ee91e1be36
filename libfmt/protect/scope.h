/* From the amounts of tiers to numbers of units (spec: 7.2 "Amounts"). */
#ifndef LM_SCOPE_H
#define LM_SCOPE_H

#include "protect/select.h"

/* A set of units that are ranked against each other: a tensor, or with LM_SCOPE_MODEL the model. */
struct lm_scope {
	const struct lm_select_amount *tiers;
	size_t tier_count;
	enum lm_select_scope scope;
	size_t sets;
	const uint64_t *candidates; /* of each set */
};

/* wanted[set * tier_count + t] = units of the set in tiers 0 .. t. EUSAGE for amounts that are no
 * amounts, do not rise, or ask for more than there is. */
int lm_scope_share_out(const struct lm_scope *scope, uint64_t *wanted, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
