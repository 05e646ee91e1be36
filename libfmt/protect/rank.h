/* The keys that divide tiers (spec: 7.3 "Thresholds"): exact, by counting keys in streaming
 * passes. */
#ifndef LM_RANK_H
#define LM_RANK_H

#include "protect/picks.h"
#include "protect/score.h"

struct lm_tie {
	size_t tensor; /* lm_scorer.tensor */
	uint64_t unit;
};

/* A unit is on the upper side when its key is above `key`, or equal to it and, where several
 * units have that very key and the line runs between them, one of `ties`. */
struct lm_threshold {
	uint64_t key;
	bool tied;
	struct lm_tie *ties;
	size_t tie_count;
};

/* Units ranked against each other. */
struct lm_ranking {
	struct lm_scorer *const *scorers;
	const uint64_t *candidates; /* of each scorer */
	size_t count;
	unsigned workers;
	struct lm_meter *meter;     /* NULL: none */
	struct lm_picks *picks;     /* NULL: nothing is kept */
};

/* thresholds[t] has wanted[t] units on its upper side; wanted rises, or stays. upto[i * tiers + t]
 * says how many of those are scorer i's. EFAILED when the data change meanwhile. */
int lm_rank(const struct lm_ranking *ranking, const uint64_t *wanted, size_t tiers,
	    struct lm_threshold *thresholds, uint64_t *upto, struct lmodel_error *error)
	LM_MUST_CHECK;

static inline bool lm_threshold_has(const struct lm_threshold *threshold, size_t tensor,
				    uint64_t unit, uint64_t key)
{
	if (key != threshold->key || !threshold->tied)
		return key >= threshold->key;
	for (size_t i = 0; i < threshold->tie_count; i++)
		if (threshold->ties[i].tensor == tensor && threshold->ties[i].unit == unit)
			return true;
	return false;
}

#endif
