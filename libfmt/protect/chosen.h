/* The units of a stretch that are in a tier: they are few, and what is done is done to them. */
#ifndef LM_CHOSEN_H
#define LM_CHOSEN_H

#include "base/base.h"

#define LM_NO_TIER 0xff

struct lm_chosen {
	size_t count, capacity;
	uint32_t *at;    /* ascending, from the first unit of the stretch on */
	uint8_t *tier;
};

/* Makes room for `count` in all; those that are there stay. */
int lm_chosen_reserve(struct lm_chosen *chosen, size_t count, struct lmodel_error *error)
	LM_MUST_CHECK;

static inline void lm_chosen_add(struct lm_chosen *chosen, size_t at, uint8_t tier)
{
	chosen->at[chosen->count] = (uint32_t)at;
	chosen->tier[chosen->count++] = tier;
}

/* Of a tier for each unit: what is not LM_NO_TIER is added, `start` being the first one's place. */
int lm_chosen_add_tiers(struct lm_chosen *chosen, uint64_t start, const uint8_t *tiers,
			uint64_t count, struct lmodel_error *error) LM_MUST_CHECK;

void lm_chosen_free(struct lm_chosen *chosen); /* what it holds */

static inline void lm_chosen_cleanup(struct lm_chosen *chosen)
{
	lm_chosen_free(chosen);
}
#define LM_CHOSEN LM_CLEANUP(lm_chosen_cleanup)

#endif
