/* The lines between tiers in one pass over the keys: a sample of them says about where each line
 * runs, and the pass counts what is above and takes out what is near (spec: 7.3 "Thresholds"). */
#ifndef LM_BRACKET_H
#define LM_BRACKET_H

#include "protect/rank.h"

/* As lm_rank(), for `all` candidates; wanted[] and thresholds[] of lines that are known already,
 * above or below everything, are left alone. `*found` false: a line was not where the sample had
 * said, as with many equal scores, or too much is near it; nothing is decided then. */
int lm_bracket(const struct lm_ranking *ranking, uint64_t all, const uint64_t *wanted, size_t tiers,
	       struct lm_threshold *thresholds, uint64_t *upto, bool *found,
	       struct lmodel_error *error) LM_MUST_CHECK;

#endif
