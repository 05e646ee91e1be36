/* lmodel_unlock(): grants open slots, keys prove themselves and the archive. */
#include "archive/unlock.h"

#include "crypto/chunked.h"
#include "crypto/curve.h"
#include "crypto/secret.h"
#include "keys/book.h"

static struct lm_key_scope scope_of(const struct lm_manifest *m, size_t tier)
{
	return (struct lm_key_scope){ .archive = m->id, .tier = m->tiers[tier].name,
				      .generation = m->tiers[tier].generation };
}

void lm_unlocked_stream_key(const struct lmodel_archive *a, size_t tier, enum lm_stream kind,
			    uint8_t key[LM_KEY])
{
	const struct lm_key_scope scope = scope_of(&a->manifest, tier);

	if (kind == LM_POSITIONS)
		memcpy(key, a->unlocked->tier[tier].position_key, LM_KEY);
	else
		lm_derive(key, a->unlocked->tier[tier].key, LM_LABEL_VALUES, &scope);
}

void lm_statement_mac(uint8_t mac[LM_SHA256_SIZE], const uint8_t key[LM_KEY], const char *label,
		      const struct lm_manifest *m, size_t tier)
{
	const struct lm_key_scope scope = scope_of(m, tier);
	uint8_t mac_key[LM_KEY];

	lm_derive(mac_key, key, label, &scope);
	lm_hmac_sha256(mac, mac_key, sizeof(mac_key), m->statement, strlen(m->statement));
	lm_wipe(mac_key, sizeof(mac_key));
}

char *lm_owner_message(const char *statement, size_t *len, struct lmodel_error *error)
{
	char *text = lm_format(error, "lmodel-owner-signature-v1\n%s", statement);

	if (text != NULL)
		*len = strlen(text);
	return text;
}

/* ---- taking a grant in ---- */

struct opening {
	struct lmodel_archive *archive;
	struct lm_unlocked *u;
	bool any;
	uint64_t outdated, current;   /* generations, where a grant of an earlier one was met */
	char outdated_tier[LM_TIER_NAME_LIMIT + 1];
};

static bool commits(const uint8_t key[LM_KEY], const char *label, const struct lm_key_scope *scope,
		    const uint8_t commitment[LM_SHA256_SIZE])
{
	uint8_t made[LM_KEY];

	lm_derive(made, key, label, scope);
	return lm_secret_equal(made, commitment, sizeof(made));
}

static bool take_tier(struct opening *o, const struct lm_grant_tier *given, bool audit)
{
	const struct lm_manifest *m = &o->archive->manifest;

	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_key_scope scope = scope_of(m, i);

		if (strcmp(m->tiers[i].name, given->name) != 0)
			continue;
		if (given->generation < m->tiers[i].generation) {
			o->outdated = given->generation;
			o->current = m->tiers[i].generation;
			memcpy(o->outdated_tier, given->name, sizeof(o->outdated_tier));
		}
		if (given->generation != m->tiers[i].generation ||
		    !commits(given->key, audit ? LM_LABEL_POSITION_COMMITMENT : LM_LABEL_COMMITMENT,
			     &scope, audit ? m->tiers[i].position_commitment :
					     m->tiers[i].key_commitment))
			return false;
		if (!audit) {
			memcpy(o->u->tier[i].key, given->key, LM_KEY);
			o->u->tier[i].values = true;
			lm_derive(o->u->tier[i].position_key, given->key, LM_LABEL_POSITIONS, &scope);
		} else if (!o->u->tier[i].positions) {
			memcpy(o->u->tier[i].position_key, given->key, LM_KEY);
		}
		o->u->tier[i].positions = true;
		return true;
	}
	return false;
}

/* Keys that are not what the archive has committed to are not taken: a forged slot is no key. */
static void take(struct opening *o, const struct lm_grant *g)
{
	const struct lm_manifest *m = &o->archive->manifest;
	bool any = false;

	if (strcmp(g->archive, m->id) != 0)
		return;
	for (size_t i = 0; i < g->tier_count; i++)
		any |= take_tier(o, &g->tiers[i], g->role == LMODEL_AUDITOR);
	if (g->role == LMODEL_OWNER) {
		uint8_t public_key[LM_CURVE_KEY];

		if (lm_ed25519_public(public_key, g->owner_seed, NULL) == LMODEL_OK &&
		    lm_secret_equal(public_key, m->owner.public_key, sizeof(public_key))) {
			memcpy(o->u->owner_key, g->owner_key, LM_KEY);
			memcpy(o->u->owner_seed, g->owner_seed, LM_KEY);
			o->u->owner = any = true;
		}
	}
	o->any |= any;
}

static int try_all(struct opening *o, const struct lmodel_keyring *ring, struct lm_grant *g,
		   struct lmodel_error *error)
{
	const struct lm_manifest *m = &o->archive->manifest;
	int r;

	for (size_t i = 0; i < ring->detached_count; i++) {
		r = lm_keyring_open_detached(ring, i, g, error);
		if (r == LMODEL_OK)
			take(o, g);
		else if (r != LMODEL_ENOKEY)
			return r;
	}
	for (size_t i = 0; i < m->slot_count; i++) {
		/* A passphrase costs a second a slot, so what is open already is enough. */
		if (m->slots[i].identity != NULL && ring->identity_count == 0 && o->any)
			continue;
		r = lm_keyring_open_slot(ring, &m->slots[i], g, error);
		if (r == LMODEL_OK)
			take(o, g);
		else if (r != LMODEL_ENOKEY)
			return r;
	}
	return LMODEL_OK;
}

int lm_unlock_keys(struct lmodel_archive *a, const struct lmodel_keyring *ring,
		   struct lmodel_error *error)
{
	struct opening o = { .archive = a };
	LM_SECRET struct lm_grant *g = NULL;
	int r;

	if (a->manifest.tier_count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "%s: nothing in it is encrypted", a->label);
	if (a->unlocked == NULL)
		a->unlocked = lm_secret_alloc(sizeof(*a->unlocked), error);
	g = lm_secret_alloc(sizeof(*g), error);
	if (a->unlocked == NULL || g == NULL)
		return LMODEL_EFAILED;
	o.u = a->unlocked;
	r = try_all(&o, ring, g, error);
	if (r != LMODEL_OK || o.any)
		return r;
	if (o.outdated > 0)
		return lm_fail(error, LMODEL_ENOKEY, "%s: outdated grant: tier %s: generation %ju, the "
			       "archive has %ju", a->label, LM_QUOTE(o.outdated_tier),
			       (uintmax_t)o.outdated, (uintmax_t)o.current);
	return lm_fail(error, LMODEL_ENOKEY, "%s: none of the keys opens it", a->label);
}

/* ---- proving the archive ---- */

static int check_macs(const struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	uint8_t mac[LM_SHA256_SIZE];

	for (size_t i = 0; i < m->tier_count; i++) {
		bool good = true;

		if (a->unlocked->tier[i].values) {
			lm_statement_mac(mac, a->unlocked->tier[i].key, LM_LABEL_MAC, m, i);
			good = lm_secret_equal(mac, m->tiers[i].key_mac, sizeof(mac));
		}
		if (a->unlocked->tier[i].positions) {
			lm_statement_mac(mac, a->unlocked->tier[i].position_key, LM_LABEL_POSITION_MAC,
					 m, i);
			good &= lm_secret_equal(mac, m->tiers[i].position_mac, sizeof(mac));
		}
		if (!good)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: is not what was packed: the MAC of tier %s is wrong",
				       a->label, m->tiers[i].name);
	}
	return LMODEL_OK;
}

static int open_book(struct lmodel_archive *a, struct lmodel_error *error)
{
	int r;

	if (!a->unlocked->owner || a->book != NULL)
		return LMODEL_OK;
	a->book = calloc(1, sizeof(*a->book));
	if (a->book == NULL)
		return lm_fail_memory(error);
	r = lm_book_open(a->book, &a->manifest, a->unlocked->owner_key, error);
	for (size_t i = 0; i < a->manifest.slot_count && r == LMODEL_OK; i++) {
		const struct lm_book_entry *e = lm_book_find(a->book, &a->manifest.slots[i]);
		struct lmodel_slot *s = &a->slots_shown[i];

		if (e == NULL)
			continue;
		s->known = true;
		s->role = e->role;
		s->tier = e->role == LMODEL_HOLDER ? e->tier : NULL;
		s->label = e->label[0] != '\0' ? e->label : NULL;
		s->recipient = a->manifest.slots[i].identity == NULL ? e->recipient : NULL;
	}
	return r;
}

static void show_open(struct lmodel_archive *a)
{
	const struct lm_manifest *m = &a->manifest;
	bool ladder = true;

	a->level = 0;
	a->absent = LM_NONE;
	for (size_t i = 0; i < m->tier_count; i++) {
		a->tiers[i].open = a->unlocked->tier[i].values;
		a->tiers[i].positions_open = a->unlocked->tier[i].positions;
		ladder = ladder && a->tiers[i].open;
		if (!ladder)
			continue;
		a->level = i + 1;
		if (m->tiers[i].absent && a->absent == LM_NONE)
			a->absent = i;
	}
}

int lmodel_unlock(struct lmodel_archive *a, const struct lmodel_keyring *ring,
		  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	r = lm_unlock_keys(a, ring, error);
	if (r == LMODEL_OK)
		r = check_macs(a, error);
	if (r == LMODEL_OK)
		r = open_book(a, error);
	if (r == LMODEL_OK) {
		show_open(a);
		return r;
	}
	/* What is not proven is not used. */
	lm_secret_free(a->unlocked);
	a->unlocked = NULL;
	return r;
}

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
	if (a->absent != LM_NONE)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the keys open tier %s, whose shards are not "
			       "in this file", a->label, a->tiers[a->absent].name);
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
	a->absent = LM_NONE;
	return LMODEL_OK;
}

void lmodel_use_highest_present(struct lmodel_archive *a)
{
	a->level = 0;
	a->absent = LM_NONE;
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
	*shard = (struct lmodel_shard){
		.tensor = m->tensors[s->tensor].name, .tier = m->tiers[s->tier].name,
		.unit = s->unit,
		.stored_bytes = s->stream[0].length + s->stream[1].length,
		.most_bytes = LM_MIN(plain - LM_FRAME_HEAD, m->tensors[s->tensor].bytes),
	};
	return LMODEL_OK;
}

int lm_archive_make_tiers(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	a->absent = LM_NONE;
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
			.absent = t->absent,
		};
	}
	for (size_t i = 0; i < m->slot_count; i++)
		a->slots_shown[i] = (struct lmodel_slot){ .id = m->slots[i].id,
							  .kind = m->slots[i].kind };
	return LMODEL_OK;
}
