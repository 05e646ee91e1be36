/* The tables of protection: tiers, shards, side files in tiers (spec: 3.9). */
#include "container/layout.h"
#include "crypto/chunked.h"
#include "manifest/rows.h"

/* Where the tier's members are; both or none. Their lengths are not known before the shards. */
static int read_places(struct lm_load *l, struct lm_table *t, struct lm_tier_row *tier)
{
	tier->absent = lm_is_null(t, 12);
	if (tier->absent)
		return lm_is_null(t, 13) ? LMODEL_OK : lm_table_bad(t, "absent in part");
	for (int k = 0; k < 2; k++)
		if (lm_get_int(t, 12 + k, "offset", l->committed_len, &tier->offset[k]) ||
		    tier->offset[k] % LM_TAR_BLOCK != 0 ||
		    tier->offset[k] < l->members_begin + LM_TAR_BLOCK)
			return lm_table_bad(t, "offset is out of range");
	return LMODEL_OK;
}

static int read_tier(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_tier_row *tier = &l->m->tiers[index];

	if (index >= LM_TIER_ROW_LIMIT)
		return lm_fail(t->error, LMODEL_ELIMIT, "%s: more than %u tiers", t->label,
			       LM_TIER_ROW_LIMIT);
	if (lm_get_text(t, 1, "name", LM_TIER_NAME_LIMIT, &tier->name) ||
	    lm_get_int(t, 2, "generation", 1000000000, &tier->generation) ||
	    lm_get_word(t, 3, "selection", "pss magnitude random all reference", &tier->selection) ||
	    lm_get_word(t, 4, "mask", "dprm zero reference " LM_MASK_DEEP_LOCK " " LM_MASK_PERTURB,
		     &tier->mask) ||
	    lm_get_word(t, 5, "unit", "default element slice row column block", &tier->unit) ||
	    lm_get_word(t, 6, "scope", "equal model layer", &tier->scope) ||
	    lm_get_text(t, 7, "amount", LM_AMOUNT_LIMIT, &tier->amount) ||
	    lm_get_bytes(t, 8, "key commitment", tier->key_commitment, LM_SHA256_SIZE) ||
	    lm_get_bytes(t, 9, "position commitment", tier->position_commitment, LM_SHA256_SIZE) ||
	    lm_get_bytes(t, 10, "key MAC", tier->key_mac, LM_SHA256_SIZE) ||
	    lm_get_bytes(t, 11, "position MAC", tier->position_mac, LM_SHA256_SIZE))
		return LMODEL_ECORRUPT;
	if (!lm_tier_name_valid(tier->name))
		return lm_table_bad(t, "name");
	for (size_t i = 0; i < index; i++)
		if (strcmp(l->m->tiers[i].name, tier->name) == 0)
			return lm_table_bad(t, "name is that of another tier");
	if (tier->generation == 0)
		return lm_table_bad(t, "generation");
	if (!lm_amount_valid(tier->amount))
		return lm_table_bad(t, "amount");
	return read_places(l, t, tier);
}

/* Streams are back to back, so a stream's place follows from those before it. */
static int read_stream(struct lm_load *l, struct lm_table *t, int column, const char *what,
		       struct lm_tier_row *tier, enum lm_stream kind, struct lm_stream_row *stream)
{
	uint64_t plain, *length = &tier->length[kind];

	(void)l;
	if (lm_get_int(t, column, what, LM_SEALED_LIMIT * 2, &stream->length) ||
	    lm_get_bytes(t, column + 1, what, stream->digest, LM_SHA256_SIZE))
		return LMODEL_ECORRUPT;
	if (!lm_sealed_plain_len(stream->length, &plain))
		return lm_table_bad(t, what);
	stream->offset = *length;
	if (!lm_add(*length, stream->length, length) || *length > INT64_MAX)
		return lm_table_bad(t, what);
	return LMODEL_OK;
}

static int read_shard(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_manifest *m = l->m;
	struct lm_shard_row *s = &m->shards[index];
	struct lm_tier_row *tier;

	if (lm_get_row(t, 1, "tier", m->tier_count, false, &s->tier) ||
	    lm_get_row(t, 2, "tensor", m->tensor_count, false, &s->tensor) ||
	    lm_copy_text(t, 3, "unit", s->unit, sizeof(s->unit)))
		return LMODEL_ECORRUPT;
	/* Mostly the one before has it, too. */
	if ((index == 0 || strcmp(s->unit, s[-1].unit) != 0) &&
	    !lm_is_one_of(s->unit, "element slice row column block tensor"))
		return lm_table_bad(t, "unit");
	if (m->tensors[s->tensor].alias != LM_NONE)
		return lm_table_bad(t, "of an alias");
	if (index > 0 && (s->tier < s[-1].tier ||
			  (s->tier == s[-1].tier && s->tensor <= s[-1].tensor)))
		return lm_table_bad(t, "is out of order");
	tier = &m->tiers[s->tier];
	if (tier->shard_count++ == 0)
		tier->first_shard = index;
	return read_stream(l, t, 4, "positions", tier, LM_POSITIONS, &s->stream[LM_POSITIONS]) ||
	       read_stream(l, t, 6, "values", tier, LM_VALUES, &s->stream[LM_VALUES]) ?
		       (int)t->error->code : LMODEL_OK;
}

static int read_sealed(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_manifest *m = l->m;
	struct lm_sealed_row *s = &m->sealed[index];
	struct lm_tier_row *tier;

	if (lm_get_text(t, 1, "name", LM_PATH_LIMIT, &s->name) ||
	    lm_get_row(t, 2, "tier", m->tier_count, false, &s->tier))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(s->name))
		return lm_table_bad(t, "name is not a safe relative path");
	if (index > 0 && s->tier < s[-1].tier)
		return lm_table_bad(t, "is out of order");
	tier = &m->tiers[s->tier];
	if (tier->sealed_count++ == 0)
		tier->first_sealed = index;
	return read_stream(l, t, 3, "content", tier, LM_VALUES, &s->stream);
}

/* Now that the lengths are known: the tier's members are within the file. */
static int check_places(const struct lm_load *l)
{
	for (size_t i = 0; i < l->m->tier_count; i++) {
		const struct lm_tier_row *tier = &l->m->tiers[i];

		for (int k = 0; k < 2 && !tier->absent; k++)
			if (tier->length[k] > l->committed_len - tier->offset[k])
				return lm_fail(l->error, LMODEL_ECORRUPT,
					       "%s: manifest: tier %s: reaches past the end",
					       l->label, tier->name);
		if (tier->shard_count == 0 && tier->sealed_count == 0)
			return lm_fail(l->error, LMODEL_ECORRUPT,
				       "%s: manifest: tier %s: has neither shard nor side file",
				       l->label, tier->name);
	}
	return LMODEL_OK;
}

/* A tensor that is locked whole has no place for another tier. */
static int check_locked(const struct lm_load *l)
{
	const struct lm_manifest *m = l->m;

	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_tier_row *t = &m->tiers[i];

		if (strcmp(t->mask, LM_MASK_DEEP_LOCK) != 0)
			continue;
		if (m->tier_count > 1)
			return lm_fail(l->error, LMODEL_ECORRUPT,
				       "%s: manifest: tier %s: locks all, and is not alone",
				       l->label, t->name);
		for (size_t s = t->first_shard; s < t->first_shard + t->shard_count; s++)
			if (strcmp(m->shards[s].unit, "tensor") != 0)
				return lm_fail(l->error, LMODEL_ECORRUPT,
					       "%s: manifest: tier %s: a shard locks units of %s",
					       l->label, t->name, m->shards[s].unit);
	}
	return LMODEL_OK;
}

/* What a reader has to know is named, and nothing else is. */
static int check_feature(const struct lm_load *l, const char *name, const char *of, bool used)
{
	if (lm_feature_in(l->m->must_understand, name) == used)
		return LMODEL_OK;
	return lm_fail(l->error, LMODEL_ECORRUPT, "%s: manifest: the feature %s %s%s", l->label, name,
		       used ? "is not named" : "without a ", used ? "" : of);
}

static int check_features(const struct lm_load *l)
{
	static const char *const masks[] = { LM_MASK_DEEP_LOCK, LM_MASK_PERTURB };
	int r = check_feature(l, LM_FEATURE_TIERS, "tier", l->m->tier_count > 0);

	if (r == LMODEL_OK)
		r = check_feature(l, LM_FEATURE_FORMATS, "file that needs it",
				  lm_manifest_has_formats(l->m));
	for (size_t k = 0; k < LM_COUNT(masks) && r == LMODEL_OK; k++) {
		bool used = false;

		for (size_t i = 0; i < l->m->tier_count; i++)
			used |= strcmp(l->m->tiers[i].mask, masks[k]) == 0;
		r = check_feature(l, masks[k], "tier", used);
	}
	return r;
}

int lm_load_tiers(struct lm_load *l)
{
	struct lm_manifest *m = l->m;

	if (lm_read_list(l, "tier",
			 "SELECT id, name, generation, selection, mask, unit, scope, amount, "
			 "key_commitment, position_commitment, key_mac, position_mac, "
			 "positions_offset, values_offset FROM tier ORDER BY id",
			 &m->tiers, sizeof(*m->tiers), &m->tier_count, read_tier) ||
	    lm_read_list(l, "shard",
			 "SELECT id, tier, tensor, unit, positions_length, "
			 "positions_digest, values_length, values_digest FROM shard ORDER BY id",
			 &m->shards, sizeof(*m->shards), &m->shard_count, read_shard) ||
	    lm_read_list(l, "sealed",
			 "SELECT id, name, tier, length, digest FROM sealed ORDER BY id",
			 &m->sealed, sizeof(*m->sealed), &m->sealed_count, read_sealed) ||
	    check_places(l) || lm_load_keys(l))
		return (int)l->error->code;
	if (check_features(l) || check_locked(l))
		return (int)l->error->code;
	if (m->slot_count > 0 && m->tier_count == 0)
		return lm_fail(l->error, LMODEL_ECORRUPT, "%s: manifest: key slots without a tier",
			       l->label);
	return LMODEL_OK;
}
