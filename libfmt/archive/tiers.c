/* Tiers, shards and key slots as they show, and which tier is read. */
#include "archive/deeplock.h"
#include "archive/unlock.h"
#include "crypto/chunked.h"

/* ---- levels ---- */

size_t lmodel_tier_count(const struct lmodel_archive *a)
{
	return a->manifest.tier_count;
}

const struct lmodel_tier *lmodel_tier_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.tier_count ? &a->tiers[index] : NULL;
}

int lm_archive_check_level(const struct lmodel_archive *a, struct lmodel_error *error)
{
	if (a->unlocked == NULL || a->level_chosen)
		return LMODEL_OK;
	if (a->level == 0)
		return lm_fail(error, LMODEL_ENOKEY, "%s: the keys open no weights", a->label);
	for (size_t i = 0; i < a->level; i++)
		if (a->tiers[i].absent)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: the keys open tier %s, whose shards "
				       "are not in this file", a->label, a->tiers[i].name);
	return LMODEL_OK;
}

int lmodel_use_tier(struct lmodel_archive *a, const char *name, struct lmodel_error *error)
{
	size_t level = 0;

	if (name != NULL) {
		while (level < a->manifest.tier_count && strcmp(a->tiers[level].name, name) != 0)
			level++;
		if (level == a->manifest.tier_count)
			return lm_fail(error, LMODEL_EUSAGE, "%s: has no tier %s", a->label,
				       LM_QUOTE(name));
		level++;
	}
	for (size_t i = 0; i < level; i++)
		if (!a->tiers[i].open)
			return lm_fail(error, LMODEL_ENOKEY, "%s: none of the keys opens tier %s",
				       a->label, a->tiers[i].name);
	for (size_t i = 0; i < level; i++)
		if (a->tiers[i].absent)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: the shards of tier %s are not in this file", a->label,
				       a->tiers[i].name);
	a->level = level;
	a->level_chosen = true;
	return LMODEL_OK;
}

void lmodel_use_highest_present(struct lmodel_archive *a)
{
	a->level = 0;
	a->level_chosen = true;
	while (a->level < a->manifest.tier_count && a->tiers[a->level].open &&
	       !a->tiers[a->level].absent)
		a->level++;
}

const struct lmodel_tier *lmodel_tier_in_use(const struct lmodel_archive *a)
{
	return a->level > 0 ? &a->tiers[a->level - 1] : NULL;
}

/* ---- the public view ---- */

size_t lmodel_slot_count(const struct lmodel_archive *a)
{
	return a->manifest.slot_count;
}

const struct lmodel_slot *lmodel_slot_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.slot_count ? &a->slots_shown[index] : NULL;
}

size_t lmodel_shard_count(const struct lmodel_archive *a)
{
	return a->manifest.shard_count;
}

int lmodel_shard_at(const struct lmodel_archive *a, size_t index, struct lmodel_shard *shard)
{
	const struct lm_manifest *m = &a->manifest;
	const struct lm_shard_row *s;
	uint64_t plain = 0;

	if (index >= m->shard_count)
		return LMODEL_EUSAGE;
	s = &m->shards[index];
	if (!lm_sealed_plain_len(s->stream[LM_VALUES].length, &plain) || plain < LM_FRAME_HEAD)
		plain = LM_FRAME_HEAD;
	plain -= LM_FRAME_HEAD;
	if (lm_tier_is_locked(&m->tiers[s->tier]))
		plain = UINT64_MAX; /* a key stands for all of it */
	*shard = (struct lmodel_shard){
		.tensor = m->tensors[s->tensor].name, .tier = m->tiers[s->tier].name,
		.unit = s->unit, .recoverable = a->tiers[s->tier].recoverable,
		.stored_bytes = s->stream[0].length + s->stream[1].length,
		.most_bytes = LM_MIN(plain, m->tensors[s->tensor].bytes),
	};
	return LMODEL_OK;
}

int lm_archive_make_tiers(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	a->tiers = calloc(m->tier_count + 1, sizeof(*a->tiers));
	a->slots_shown = calloc(m->slot_count + 1, sizeof(*a->slots_shown));
	if (a->tiers == NULL || a->slots_shown == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_tier_row *t = &m->tiers[i];

		a->tiers[i] = (struct lmodel_tier){
			.name = t->name, .select = t->selection, .mask = t->mask, .unit = t->unit,
			.scope = t->scope, .amount = t->amount, .generation = t->generation,
			.stored_bytes = t->length[0] + t->length[1], .tensor_count = t->shard_count,
			.absent = t->absent, .attachment_count = t->sealed_count,
			.recoverable = lm_tier_is_locked(t) ||
				       strcmp(t->mask, LM_MASK_PERTURB) == 0 ||
				       strcmp(t->mask, LM_MASK_BY_REFERENCE) == 0,
		};
	}
	for (size_t i = 0; i < m->slot_count; i++)
		a->slots_shown[i] = (struct lmodel_slot){ .id = m->slots[i].id,
							  .kind = m->slots[i].kind };
	return LMODEL_OK;
}
