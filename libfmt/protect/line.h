/* The line between two tiers, among the units whose keys are around it. */
#ifndef LM_LINE_H
#define LM_LINE_H

#include "protect/rank.h"

struct lm_entry {
	uint64_t key, unit;
	size_t part;
};

/* All units with keys of some range, and of each scorer how many have higher ones. */
struct lm_around {
	const struct lm_entry *entries;
	size_t count;
	const uint64_t *part_above;
};

/* The line that has `wanted` units on its upper side; it runs among the entries. How many of them
 * are scorer i's goes to upto[i * step]. EFAILED when the numbers do not add up: the data
 * changed. */
int lm_draw_line(const struct lm_ranking *ranking, const struct lm_around *around, uint64_t wanted,
		 struct lm_threshold *threshold, uint64_t *upto, size_t step,
		 struct lmodel_error *error) LM_MUST_CHECK;

#endif
