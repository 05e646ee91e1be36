#include "archive/like.h"

#include <lmodel/audit.h>

#include "archive/deeplock.h"
#include "archive/member.h"
#include "archive/shard.h"
#include "crypto/secret.h"

static int check_tiers(const struct lm_like *like, const struct lm_manifest *new,
		       struct lmodel_error *error)
{
	const struct lm_manifest *m = &like->old->manifest;
	bool same = m->tier_count == new->tier_count;

	for (size_t i = 0; i < m->tier_count && same; i++)
		same = strcmp(m->tiers[i].name, new->tiers[i].name) == 0;
	if (!same)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: its tiers are not those of the new archive, by "
			       "name and order", like->old->label);
	/* A tier has one mask, and this one says how its shards are read. */
	for (size_t i = 0; i < m->tier_count; i++)
		if (lm_tier_is_locked(&m->tiers[i]) != lm_tier_is_locked(&new->tiers[i]))
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s: its mask is %s: what is locked as a whole cannot be "
				       "taken over into another mask, nor the reverse",
				       like->old->label, m->tiers[i].mask);
	for (size_t i = 0; i < m->tier_count; i++)
		if (!like->old->tiers[i].open || m->tiers[i].absent)
			return lm_fail(error, LMODEL_ENOKEY,
				       "%s: tier %s is not open: it takes an owner's "
				       "key and the whole archive",
				       like->old->label, m->tiers[i].name);
	return LMODEL_OK;
}

/* The old tensor of that name, if it can be equal; LM_NONE. */
static size_t find_old(const struct lm_like *like, const struct lm_source_tensor *t)
{
	const struct lm_manifest *m = &like->old->manifest;
	const struct lmodel_tensor *found = lmodel_tensor_find(like->old, t->name);
	size_t index = found != NULL ? lm_archive_tensor_index(like->old, found) : LM_NONE;
	const struct lm_tensor_row *row = index != LM_NONE ? &m->tensors[index] : NULL;

	if (row == NULL || row->dtype != t->dtype || row->rank != t->rank ||
	    row->bytes != t->bytes ||
	    (t->rank > 0 && memcmp(row->shape, t->shape, t->rank * sizeof(*t->shape)) != 0))
		return LM_NONE;
	return lm_manifest_original(m, index);
}

static int is_equal(struct lm_like *like, const struct lm_model *model, size_t tensor, size_t old,
		    bool *equal, struct lmodel_error *error)
{
	enum { PIECE = 1 << 20 };
	uint64_t bytes = model->tensors[tensor].bytes;
	uint8_t *truth = malloc(bytes + 1), *piece = malloc(PIECE);
	int r = truth == NULL || piece == NULL ? lm_fail_memory(error) :
		lmodel_tensor_read(like->old, &like->old->tensors[old], 0, truth, bytes, error);

	*equal = r == LMODEL_OK;
	for (uint64_t at = 0; at < bytes && r == LMODEL_OK && *equal; at += PIECE) {
		size_t n = (size_t)LM_MIN(bytes - at, (uint64_t)PIECE);

		r = lm_model_read(model, tensor, at, piece, n, error);
		*equal = r == LMODEL_OK && memcmp(piece, truth + at, n) == 0;
	}
	if (truth != NULL)
		lm_wipe(truth, bytes);
	free(truth);
	free(piece);
	return r;
}

struct marking {
	struct lm_taken_tensor *t;
	uint8_t tier;
	bool twice;
};

static int mark(void *context, uint64_t first, uint64_t count)
{
	struct marking *m = context;

	for (uint64_t i = first; i < first + count; i++) {
		m->twice |= m->t->tiers[i] != LM_NO_TIER;
		m->t->tiers[i] = m->tier;
	}
	return 0;
}

static int take(struct lm_like *like, const struct lm_source_tensor *source, size_t tensor,
		size_t old, struct lmodel_error *error)
{
	const struct lm_manifest *m = &like->old->manifest;
	struct lm_taken_tensor *t = &like->taken[tensor];
	uint64_t hidden = 0;

	t->taken = true;
	for (size_t tier = 0; tier < m->tier_count; tier++) {
		size_t shard = lm_shard_find(m, tier, old);
		struct marking marking = { .t = t, .tier = (uint8_t)tier };
		struct lmodel_positions about;
		enum lm_unit_kind kind;
		int r;

		if (shard != LM_NONE && t->tiers == NULL) {
			if (!lm_unit_parse(m->shards[shard].unit, &kind) ||
			    lm_units_make(&t->selected.units, kind, source->dtype, source->rank,
					  source->shape, source->bytes, source->name, error))
				return LMODEL_ECORRUPT;
			t->tiers = malloc(t->selected.units.count);
			if (t->tiers == NULL)
				return lm_fail_memory(error);
			memset(t->tiers, LM_NO_TIER, t->selected.units.count);
			t->selected.eligible = true;
			t->selected.candidates = t->selected.units.count;
		}
		if (shard != LM_NONE) {
			r = lmodel_positions(like->old, &like->old->tensors[old],
					     m->tiers[tier].name, &about, mark, &marking, error);
			if (r != LMODEL_OK)
				return r;
			if (marking.twice || about.unit_count != t->selected.units.count)
				return lm_fail(error, LMODEL_ECORRUPT,
					       "%s: tensor %s: its tiers overlap", like->old->label,
					       LM_QUOTE(source->name));
			hidden += about.hidden;
			if (lm_tier_is_locked(&m->tiers[tier])) {
				r = lm_lock_read_key(like->old, shard, t->lock_key, error);
				if (r != LMODEL_OK)
					return r;
			}
		}
		t->selected.upto[tier] = hidden;
	}
	return LMODEL_OK;
}

int lm_like_begin(struct lm_like *like, const char *path, const struct lmodel_keyring *ring,
		  const struct lm_model *model, const size_t *alias,
		  const struct lm_manifest *manifest, struct lmodel_error *error)
{
	int r;

	*like = (struct lm_like){ .count = model->tensor_count };
	like->taken = calloc(model->tensor_count + 1, sizeof(*like->taken));
	like->old_tensor = calloc(model->tensor_count + 1, sizeof(*like->old_tensor));
	if (like->taken == NULL || like->old_tensor == NULL)
		return lm_fail_memory(error);
	if (ring == NULL)
		return lm_fail(error, LMODEL_EUSAGE, "the earlier release takes an owner's key");
	r = lmodel_open(&like->old, path, error);
	if (r == LMODEL_OK)
		r = lmodel_unlock(like->old, ring, error);
	if (r == LMODEL_OK)
		r = check_tiers(like, manifest, error);
	for (size_t i = 0; i < model->tensor_count && r == LMODEL_OK; i++) {
		size_t old = alias[i] == SIZE_MAX && model->tensors[i].bytes > 0 ?
				     find_old(like, &model->tensors[i]) : LM_NONE;
		bool equal = false;

		if (old == LM_NONE)
			continue;
		like->old_tensor[i] = old;
		r = is_equal(like, model, i, old, &equal, error);
		if (r == LMODEL_OK && equal)
			r = take(like, &model->tensors[i], i, old, error);
	}
	return r;
}

int lm_like_read(void *context, size_t tensor, uint64_t offset, void *buffer, size_t len,
		 struct lmodel_error *error)
{
	const struct lm_like *like = context;
	struct lmodel_archive *a = like->old;
	int r;

	/* One reader for all workers: base chunks are small, and this is not the common way. */
	pthread_mutex_lock(&a->lock);
	if (a->reader == NULL)
		a->reader = lm_reader_new(a, error);
	r = a->reader == NULL ? LMODEL_EFAILED :
				lm_reader_range(a->reader,
						lm_manifest_member_of(&a->manifest,
								      like->old_tensor[tensor]),
						offset, buffer, len, error);
	pthread_mutex_unlock(&a->lock);
	return r;
}

void lm_like_release(struct lm_like *like)
{
	for (size_t i = 0; like->taken != NULL && i < like->count; i++) {
		lm_wipe(like->taken[i].lock_key, sizeof(like->taken[i].lock_key));
		free(like->taken[i].tiers);
	}
	free(like->taken);
	free(like->old_tensor);
	lmodel_close(like->old);
}
