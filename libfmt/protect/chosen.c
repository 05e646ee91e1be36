#include "protect/chosen.h"

int lm_chosen_reserve(struct lm_chosen *c, size_t count, struct lmodel_error *error)
{
	size_t capacity = LM_MAX(count, c->capacity + c->capacity / 2);
	void *at, *tier;

	if (count <= c->capacity)
		return LMODEL_OK;
	at = realloc(c->at, capacity * sizeof(*c->at));
	if (at != NULL)
		c->at = at;
	tier = realloc(c->tier, capacity);
	if (tier != NULL)
		c->tier = tier;
	if (at == NULL || tier == NULL)
		return lm_fail_memory(error);
	c->capacity = capacity;
	return LMODEL_OK;
}

int lm_chosen_add_tiers(struct lm_chosen *c, uint64_t start, const uint8_t *tiers, uint64_t count,
			struct lmodel_error *error)
{
	if (count > UINT32_MAX || start > UINT32_MAX - count)
		return lm_fail(error, LMODEL_ELIMIT, "%ju units at once", (uintmax_t)count);
	for (uint64_t i = 0; i < count; i++) {
		if (tiers[i] == LM_NO_TIER)
			continue;
		if (lm_chosen_reserve(c, c->count + 1, error) != LMODEL_OK)
			return LMODEL_EFAILED;
		lm_chosen_add(c, (size_t)(start + i), tiers[i]);
	}
	return LMODEL_OK;
}

void lm_chosen_free(struct lm_chosen *c)
{
	free(c->at);
	free(c->tier);
	*c = (struct lm_chosen){ 0 };
}
