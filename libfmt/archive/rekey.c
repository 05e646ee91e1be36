/* lmodel_rekey(): new keys for tiers, in proportion to their shards (spec: 8.10). The new shards
 * are appended, one commit puts them in force, and then the old ones are zeroed. */
#include "archive/content.h"
#include "archive/deeplock.h"
#include "archive/detached.h"
#include "archive/options.h"
#include "archive/protect.h"
#include "archive/rekey.h"
#include "archive/sign.h"
#include "crypto/secret.h"
#include "keys/slots.h"


/* ---- which tiers ---- */

static int choose(struct rekeying *k, const char *const *tiers, size_t count,
		  struct lmodel_error *error)
{
	const struct lmodel_archive *a = k->change.archive;
	const struct lm_manifest *m = &a->manifest;
	bool any = false, owner = false;

	for (size_t i = 0; i < count; i++) {
		size_t t = 0;

		while (t < m->tier_count && strcmp(m->tiers[t].name, tiers[i]) != 0)
			t++;
		if (t == m->tier_count)
			return lm_fail(error, LMODEL_EUSAGE, "%s: has no tier %s", a->label,
				       LM_QUOTE(tiers[i]));
		k->turn[t] = true;
	}
	for (size_t t = 0; t < m->tier_count; t++) {
		for (size_t i = 0; i < a->book->exposed_count && count == 0; i++)
			k->turn[t] |= strcmp(a->book->exposed[i], m->tiers[t].name) == 0;
		if (k->turn[t] && m->tiers[t].absent)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s: the shards of tier %s are not in this "
				       "file", a->label, m->tiers[t].name);
		any |= k->turn[t];
	}
	for (size_t s = 0; s < m->slot_count; s++)
		owner |= a->slots_shown[s].known && a->slots_shown[s].role == LMODEL_OWNER;
	if (!owner)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: no slot of an owner is in the customer book: "
			       "nobody could change it any more; grant one first", a->label);
	if (m->signature_count > 0 && k->options->sign_key == NULL && !k->options->unsigned_after)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: is signed: the signature does not hold after a "
			       "rekey, and no key to sign with was given", a->label);
	if (!any)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: nobody was taken out since the keys were made: "
			       "name the tiers", a->label);
	return LMODEL_OK;
}

/* ---- the new rows ---- */

static void *duplicate(const void *array, size_t count, size_t extra, size_t element,
		       struct lmodel_error *error)
{
	void *copy = calloc(count + extra + 1, element);

	if (copy == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	if (count > 0)
		memcpy(copy, array, count * element);
	return copy;
}

static int copy_rows(struct rekeying *k, struct lmodel_error *error)
{
	const struct lm_manifest *m = &k->change.archive->manifest;
	struct lm_manifest *n = &k->next;

	*n = *m;
	n->statement = NULL;
	n->signatures = NULL;
	n->signature_count = 0;
	n->owner.book = NULL;
	n->tiers = duplicate(m->tiers, m->tier_count, 0, sizeof(*m->tiers), error);
	n->shards = duplicate(m->shards, m->shard_count, 0, sizeof(*m->shards), error);
	n->sealed = duplicate(m->sealed, m->sealed_count, 0, sizeof(*m->sealed), error);
	n->slots = duplicate(m->slots, m->slot_count, 0, sizeof(*m->slots), error);
	n->dead = duplicate(m->dead, m->dead_count, 2 * m->tier_count, sizeof(*m->dead), error);
	if (n->tiers == NULL || n->shards == NULL || n->sealed == NULL || n->slots == NULL ||
	    n->dead == NULL)
		return LMODEL_EFAILED;
	/* Grants are the next state's own or the old one's: told apart by their address. */
	n->content_generation++;
	return LMODEL_OK;
}

/* Who has read a lock key has what opens the base, which stays. */
static void tell_locked(const struct rekeying *k)
{
	for (size_t t = 0; t < k->next.tier_count; t++)
		if (k->turn[t] && lm_tier_is_locked(&k->next.tiers[t]))
			lm_notice(&k->options->run,
				  "tier %s: the base stays locked as it was: who has read the lock "
				  "keys opens this file, too; packing anew makes others",
				  k->next.tiers[t].name);
}

static void make_key(struct rekeying *k, size_t t)
{
	struct lm_tier_row *row = &k->next.tiers[t];
	struct lm_grant_tier *given = &k->owner->tiers[t];
	struct lm_key_scope scope;
	uint8_t positions[LM_KEY];

	row->generation++;
	given->generation = row->generation;
	lm_random(given->key, LM_KEY);
	scope = (struct lm_key_scope){ .archive = k->next.id, .tier = row->name,
				       .generation = row->generation };
	lm_derive(row->key_commitment, given->key, LM_LABEL_COMMITMENT, &scope);
	lm_derive(positions, given->key, LM_LABEL_POSITIONS, &scope);
	lm_derive(row->position_commitment, positions, LM_LABEL_POSITION_COMMITMENT, &scope);
	lm_wipe(positions, sizeof(positions));
}

static int by_offset(const void *a, const void *b)
{
	const struct lm_dead_row *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void bury(struct rekeying *k)
{
	const struct lm_manifest *m = &k->change.archive->manifest;
	struct lm_manifest *n = &k->next;

	for (size_t t = 0; t < m->tier_count; t++)
		for (int kind = 0; kind < 2 && k->turn[t]; kind++)
			n->dead[n->dead_count++] = (struct lm_dead_row){
				.offset = m->tiers[t].offset[kind],
				.length = m->tiers[t].length[kind],
				.pending = true,
			};
	qsort(n->dead, n->dead_count, sizeof(*n->dead), by_offset);
}

/* ---- the new grants ---- */

/* Whether the entry's grant names a tier that gets a new key. */
static bool concerned(const struct rekeying *k, const struct lm_book_entry *e)
{
	for (size_t t = 0; t < k->next.tier_count; t++) {
		if (k->turn[t])
			return true;
		if (e->role == LMODEL_HOLDER && strcmp(k->next.tiers[t].name, e->tier) == 0)
			break;
	}
	return false;
}

/* To the recipient in the book and to nobody else: slots that the book does not
 * know get nothing. */
static int reissue(struct rekeying *k, struct lm_slot_row *slot, struct lm_book_entry *e,
		   struct lmodel_error *error)
{
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	const struct lmodel_grantee who = {
		.recipient = e->recipient, .role = e->role,
		.tier = e->role == LMODEL_HOLDER ? e->tier : NULL,
	};
	int r;

	if (grant == NULL)
		return LMODEL_EFAILED;
	r = lm_grant_for(grant, k->owner, &who, error);
	if (r == LMODEL_OK)
		r = lm_grant_wrap(grant, e->recipient, false, &slot->grant, &slot->grant_len,
				  error);
	if (r == LMODEL_OK)
		lm_slot_digest(slot, e->slot);
	return r;
}

static int reissue_all(struct rekeying *k, struct lmodel_error *error)
{
	struct lm_book *book = k->change.archive->book;
	struct lm_manifest *n = &k->next;
	size_t kept = 0;

	for (size_t i = 0; i < n->slot_count; i++) {
		const struct lm_book_entry *found = lm_book_find(book, &n->slots[i]);
		struct lm_book_entry *e;

		if (found == NULL) {
			lm_notice(&k->options->run,
				  "slot %u is not in the customer book: it is left out",
				  n->slots[i].id);
			continue;
		}
		e = &book->entries[found - book->entries];
		n->slots[kept] = n->slots[i];
		if (concerned(k, e) && reissue(k, &n->slots[kept], e, error))
			return (int)error->code;
		kept++;
	}
	n->slot_count = kept;
	for (size_t t = 0; t < n->tier_count; t++)
		if (k->turn[t])
			lm_book_expose(book, n->tiers[t].name, false);
	return LMODEL_OK;
}

/* ---- detached grants ---- */

/* After the commit: before it these grants would open nothing. One that cannot be written does not
 * keep the others from it. */
static int write_grants(struct rekeying *k, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < k->detached.count; i++) {
		const struct lm_book_entry *e = &k->detached.entries[i];

		if (e->since < 0 || !concerned(k, e))
			continue;
		if (k->options->grants == NULL)
			lm_notice(&k->options->run, "the detached grant for %s is outdated now",
				  e->recipient);
		else if (lm_detached_write(k->owner, e, k->options->grants, i, &k->options->run,
					   error))
			r = LMODEL_EFAILED;
	}
	return r;
}

/* ---- all together ---- */

static int seal(struct rekeying *k, struct lmodel_error *error)
{
	uint8_t root[LM_SHA256_SIZE];

	if (lm_content_root(&k->next, k->next.id, root, error))
		return LMODEL_EFAILED;
	k->next.statement = lm_content_statement(&k->next, root, error);
	if (k->next.statement == NULL)
		return LMODEL_EFAILED;
	if (lm_manifest_sign(&k->next, k->options->sign_key, error))
		return (int)error->code;
	return lm_owner_seal(&k->next, k->owner, error);
}

static int run(struct rekeying *k, const char *const *tiers, size_t count,
	       struct lmodel_error *error)
{
	struct lmodel_error late = LMODEL_ERROR_INIT;
	LM_FREE char *path = NULL;
	int r = choose(k, tiers, count, error);

	/* Read now: a book that does not open is a failure before anything is changed. */
	if (r == LMODEL_OK)
		r = lm_change_grants_book(&k->change, k->options->book, &k->detached, &path, error);
	if (r == LMODEL_OK)
		r = copy_rows(k, error);
	if (r != LMODEL_OK)
		return r;
	k->owner = lm_secret_alloc(sizeof(*k->owner), error);
	if (k->owner == NULL)
		return LMODEL_EFAILED;
	*k->owner = *k->change.owner;
	for (size_t t = 0; t < k->next.tier_count; t++)
		if (k->turn[t])
			make_key(k, t);
	r = lm_rekey_append(k, error);
	if (r == LMODEL_OK) {
		bury(k);
		r = reissue_all(k, error);
	}
	if (r == LMODEL_OK)
		r = seal(k, error);
	/* The space back: the disk may be full. A failing commit may be in force all the same. */
	if (r != LMODEL_OK)
		(void)!lm_rekey_clear_end(k, k->change.archive->footer.committed_len, LM_TAR_END, NULL);
	if (r == LMODEL_OK)
		r = lm_change_commit(&k->change, &k->next, k->end, false, error);
	if (r != LMODEL_OK)
		return r;
	tell_locked(k);
	/* The new keys are in force: whoever needs a new grant gets it, whatever else fails. */
	r = lm_change_bury(&k->change, &k->next, k->end, &k->options->run, error);
	if (write_grants(k, &late))
		return lm_fail(error, late.code, "%s", late.message);
	return r;
}

/* What is the next state's own. */
static void release(struct rekeying *k)
{
	const struct lm_manifest *m =
		k->change.archive != NULL ? &k->change.archive->manifest : NULL;

	for (size_t i = 0; k->next.slots != NULL && i < k->next.slot_count; i++) {
		bool old = false;

		for (size_t o = 0; o < m->slot_count; o++)
			old |= m->slots[o].grant == k->next.slots[i].grant;
		if (!old)
			free(k->next.slots[i].grant);
	}
	free(k->next.tiers);
	free(k->next.shards);
	free(k->next.sealed);
	free(k->next.slots);
	free(k->next.dead);
	lm_book_free(&k->detached);
	free(k->next.statement);
	for (size_t i = 0; i < k->next.signature_count; i++)
		lm_signature_row_free(&k->next.signatures[i]);
	free(k->next.signatures);
	free(k->next.owner.book);
	lm_secret_free(k->owner);
}

int lmodel_rekey(const char *archive, const struct lmodel_keyring *ring, const char *const *tiers,
		 size_t count, const struct lmodel_rekey_options *given, struct lmodel_error *error)
{
	struct lmodel_rekey_options options = LMODEL_REKEY_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct rekeying k = { .options = &options };
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	r = lm_change_begin(&k.change, archive, ring, true, error);
	if (r == LMODEL_OK)
		r = run(&k, tiers, count, error);
	release(&k);
	lm_change_end(&k.change);
	return r;
}
