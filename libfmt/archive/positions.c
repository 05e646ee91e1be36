/* lmodel_positions(): where a tier hides something. */
#include <lmodel/audit.h>

#include "archive/hidden.h"

static size_t find_tier(const struct lm_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->tier_count; i++)
		if (strcmp(m->tiers[i].name, name) == 0)
			return i;
	return LM_NONE;
}

static int walk(struct lm_hidden *h, size_t tier, lmodel_positions_fn *each, void *context,
		struct lmodel_error *error)
{
	uint64_t first, count;
	int r;

	while ((r = lm_hidden_next(h, tier, &first, &count, error)) == LMODEL_OK && count > 0)
		if (each != NULL && each(context, first, count) != 0)
			return lm_fail(error, LMODEL_EFAILED, "interrupted");
	return r;
}

int lmodel_positions(const struct lmodel_archive *a, const struct lmodel_tensor *tensor,
		     const char *name, struct lmodel_positions *about, lmodel_positions_fn *each,
		     void *context, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	const struct lm_manifest *m = &a->manifest;
	size_t index = lm_archive_tensor_index(a, tensor), tier = find_tier(m, name);
	LM_FREE struct lm_hidden *h = NULL;
	int r;

	error = error != NULL ? error : &local;
	*about = (struct lmodel_positions){ 0 };
	if (index == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "tensor of another archive");
	if (tier == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "%s: has no tier %s", a->label,
			       LM_QUOTE(name));
	index = lm_manifest_original(m, index);
	if (lm_shard_find(m, tier, index) == LM_NONE)
		return LMODEL_OK;
	if (!a->tiers[tier].positions_open)
		return lm_fail(error, LMODEL_ENOKEY,
			       "%s: none of the keys opens the positions of tier %s",
			       a->label, m->tiers[tier].name);
	if (a->tiers[tier].absent)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: the shards of tier %s are not in this file",
			       a->label, m->tiers[tier].name);
	h = malloc(sizeof(*h));
	if (h == NULL)
		return lm_fail_memory(error);
	r = lm_hidden_open(h, a, index, tier, error);
	if (r == LMODEL_OK) {
		about->unit = lm_unit_name(h->units.kind);
		about->unit_count = h->units.count;
		about->unit_bytes = h->units.unit_bytes;
		r = walk(h, tier, each, context, error);
		about->hidden = h->tier[tier].units;
	}
	lm_hidden_close(h);
	return r;
}
