/* lmodel_grant(), lmodel_revoke(): who may open an archive. Only the manifest changes, by one
 * commit; nothing else of the file is read or written. */
#include <stdio.h>
#include <time.h>

#include "archive/change.h"
#include "archive/options.h"
#include "base/io.h"
#include "base/publish.h"
#include "crypto/secret.h"
#include "keys/memory.h"
#include "keys/slots.h"

/* Each writer finishes what a rekey before it could not. */
static int commit(struct lm_change *c, struct lmodel_error *error)
{
	const struct lmodel_run silent = { 0 };
	struct lm_manifest *m = &c->archive->manifest;
	uint64_t end = c->archive->footer.committed_len;
	int r = lm_change_commit(c, m, end, true, error);

	return r == LMODEL_OK ? lm_change_bury(c, m, end, &silent, error) : r;
}

/* ---- grant ---- */

static int add_slot(struct lm_change *c, const struct lmodel_grantee *who, unsigned *id,
		    struct lmodel_error *error)
{
	struct lm_manifest *m = &c->archive->manifest;
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	LM_FREE char *recipient = NULL;
	struct lm_slot_row *row, *grown;
	uint8_t digest[LM_SHA256_SIZE];
	int r;

	if (grant == NULL)
		return LMODEL_EFAILED;
	if (m->slot_count == LM_SLOT_ROW_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: has %u key slots, the limit",
			       c->archive->label, LM_SLOT_ROW_LIMIT);
	if (m->slot_count > 0 && m->slots[m->slot_count - 1].id >= LM_SLOT_ID_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: slot %u has the highest number that there is: "
			       "revoke it first", c->archive->label, LM_SLOT_ID_LIMIT);
	grown = realloc(m->slots, (m->slot_count + 1) * sizeof(*m->slots));
	if (grown == NULL)
		return lm_fail_memory(error);
	m->slots = grown;
	row = &grown[m->slot_count];
	*row = (struct lm_slot_row){ .id = m->slot_count > 0 ? row[-1].id + 1 : 1 };
	m->slot_count++;
	r = lm_grant_for(grant, c->owner, who, error);
	if (r == LMODEL_OK)
		r = lm_slot_make(row, &recipient, grant, who, NULL, error);
	if (r != LMODEL_OK)
		return r;
	*id = row->id;
	lm_slot_digest(row, digest);
	return lm_book_add(c->archive->book, digest, who, recipient, (int64_t)time(NULL), error);
}

/* So that a rekey can make it anew, and a revocation knows what it opened. */
static int record(const struct lm_change *c, const struct lmodel_grantee *who,
		  const struct lmodel_grant_options *o, struct lmodel_error *error)
{
	static const uint8_t no_slot[LM_SHA256_SIZE];
	LM_FREE char *path = NULL;
	struct lm_book book;
	int r = lm_change_grants_book(c, o->book, &book, &path, error);

	if (r == LMODEL_OK && path != NULL)
		r = lm_book_add(&book, no_slot, who, who->recipient, (int64_t)time(NULL), error);
	if (r == LMODEL_OK && path != NULL)
		r = lm_grants_book_store(&book, path, c->owner->archive, c->owner->owner_key,
					 error);
	lm_book_free(&book);
	return r;
}

static int write_detached(const struct lm_change *c, const struct lmodel_grantee *who,
			  const struct lmodel_grant_options *o, struct lmodel_error *error)
{
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	LM_FREE uint8_t *text = NULL;
	size_t len;
	int r;

	if (grant == NULL)
		return LMODEL_EFAILED;
	r = lm_grant_for(grant, c->owner, who, error);
	if (r == LMODEL_OK)
		r = lm_grant_wrap(grant, who->recipient, true, &text, &len, error);
	if (r == LMODEL_OK)
		r = record(c, who, o, error);
	if (r == LMODEL_OK && o->text != NULL) {
		*o->text = lm_format(error, "%.*s", (int)len, (const char *)text);
		r = *o->text == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	if (r != LMODEL_OK || o->detached == NULL)
		return r;
	if (strcmp(o->detached, "-") == 0)
		return lm_write_all(STDOUT_FILENO, "standard output", text, len, error);
	r = lm_output_begin(&out, o->detached, o->overwrite, error);
	if (r == LMODEL_OK)
		r = lm_write_all(out.fd, lm_quote(label, o->detached), text, len, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

int lmodel_grant(const char *archive, const struct lmodel_keyring *ring,
		 const struct lmodel_grantee *grantees, size_t count,
		 const struct lmodel_grant_options *given, unsigned *slots,
		 struct lmodel_error *error)
{
	struct lmodel_grant_options options = LMODEL_GRANT_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_change c;
	bool detached;
	int r = LMODEL_OK;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	detached = options.detached != NULL || options.text != NULL;
	if (count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "nobody to let in");
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = lm_grantee_check(&grantees[i], error);
	if (r == LMODEL_OK && detached &&
	    (count != 1 || grantees[0].recipient == NULL))
		r = lm_fail(error, LMODEL_EUSAGE, "a detached grant is for one recipient");
	if (r != LMODEL_OK)
		return r;
	r = lm_change_begin(&c, archive, ring, !detached, error);
	if (r == LMODEL_OK && detached) {
		r = write_detached(&c, &grantees[0], &options, error);
	} else {
		for (size_t i = 0; i < count && r == LMODEL_OK; i++) {
			unsigned id = 0;

			r = add_slot(&c, &grantees[i], &id, error);
			if (slots != NULL && r == LMODEL_OK)
				slots[i] = id;
		}
		if (r == LMODEL_OK)
			r = commit(&c, error);
	}
	lm_change_end(&c);
	return r;
}

/* ---- revoke ---- */

struct revoking {
	struct lm_change change;
	const struct lmodel_revocation *list;
	size_t count;
	struct lm_book detached;     /* the owner's book of detached grants */
	char *detached_path;         /* NULL: there is none */
	bool *gone;                  /* one a slot */
	bool *taken;                 /* one a detached grant */
	size_t removed, removed_detached;
	bool owner_gone;
};

static bool picks(const struct lmodel_revocation *r, const char *label, const char *recipient)
{
	if (r->label != NULL)
		return label != NULL && strcmp(label, r->label) == 0;
	return recipient != NULL && r->recipient != NULL && strcmp(recipient, r->recipient) == 0;
}

static bool choose_one(struct revoking *v, const struct lmodel_revocation *r)
{
	const struct lmodel_archive *a = v->change.archive;
	bool any = false;

	for (size_t s = 0; s < a->manifest.slot_count; s++) {
		const struct lmodel_slot *slot = &a->slots_shown[s];

		if (r->slot != 0 ? slot->id == r->slot : picks(r, slot->label, slot->recipient))
			any = v->gone[s] = true;
	}
	for (size_t d = 0; d < v->detached.count && r->slot == 0; d++)
		if (picks(r, v->detached.entries[d].label, v->detached.entries[d].recipient))
			any = v->taken[d] = true;
	return any;
}

/* Marks who is to go; each revocation has to pick one at least. */
static int choose(struct revoking *v, struct lmodel_error *error)
{
	const struct lmodel_archive *a = v->change.archive;
	bool owner_stays = false;

	for (size_t i = 0; i < v->count; i++) {
		const struct lmodel_revocation *r = &v->list[i];
		const char *what = r->label != NULL ? r->label : r->recipient;

		if (choose_one(v, r))
			continue;
		if (r->slot != 0)
			return lm_fail(error, LMODEL_EUSAGE, "%s: has no slot %u", a->label,
				       r->slot);
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: nobody in the customer book has the %s %s", a->label,
			       r->label != NULL ? "label" : "recipient",
			       LM_QUOTE(what != NULL ? what : ""));
	}
	for (size_t s = 0; s < a->manifest.slot_count; s++)
		owner_stays |= !v->gone[s] && a->slots_shown[s].known &&
			       a->slots_shown[s].role == LMODEL_OWNER;
	if (!owner_stays)
		return lm_fail(error, LMODEL_EUSAGE, "%s: the last owner cannot be taken out",
			       a->label);
	return LMODEL_OK;
}

/* What the one who goes could open is for the next rekey to lock anew. */
static void expose(struct lmodel_archive *a, const struct lm_book_entry *e)
{
	for (size_t i = 0; i < a->manifest.tier_count; i++) {
		lm_book_expose(a->book, a->manifest.tiers[i].name, true);
		if (e->role == LMODEL_HOLDER && strcmp(a->manifest.tiers[i].name, e->tier) == 0)
			break;
	}
}

static void remove_slots(struct revoking *v)
{
	struct lmodel_archive *a = v->change.archive;
	struct lm_manifest *m = &a->manifest;
	size_t kept = 0;

	for (size_t s = 0; s < m->slot_count; s++) {
		const struct lm_book_entry *e;

		if (!v->gone[s]) {
			m->slots[kept++] = m->slots[s];
			continue;
		}
		e = lm_book_find(a->book, &m->slots[s]);
		if (e != NULL) {
			v->owner_gone |= e->role == LMODEL_OWNER;
			expose(a, e);
			lm_book_remove(a->book, (size_t)(e - a->book->entries));
		}
		lm_slot_row_free(&m->slots[s]);
		v->removed++;
	}
	m->slot_count = kept;
}

static void remove_detached(struct revoking *v)
{
	for (size_t d = v->detached.count; d-- > 0;)
		if (v->taken[d]) {
			expose(v->change.archive, &v->detached.entries[d]);
			lm_book_remove(&v->detached, d);
			v->removed_detached++;
		}
}

static int take_out(struct revoking *v, const struct lmodel_revoke_options *o,
		    struct lmodel_error *error)
{
	const struct lm_change *c = &v->change;
	bool any_detached = false;
	int r = lm_change_grants_book(c, o->book, &v->detached, &v->detached_path, error);

	if (r != LMODEL_OK)
		return r;
	v->gone = calloc(c->archive->manifest.slot_count + 1, sizeof(*v->gone));
	v->taken = calloc(v->detached.count + 1, sizeof(*v->taken));
	if (v->gone == NULL || v->taken == NULL)
		return lm_fail_memory(error);
	r = choose(v, error);
	if (r != LMODEL_OK)
		return r;
	/* First it says in the grants book who goes: were it the last, a crash in between would
	 * leave someone who is out for a rekey to write a new grant for. */
	for (size_t d = 0; d < v->detached.count; d++)
		if (v->taken[d]) {
			v->detached.entries[d].since = -1;
			any_detached = true;
		}
	if (any_detached)
		r = lm_grants_book_store(&v->detached, v->detached_path, c->owner->archive,
					 c->owner->owner_key, error);
	if (r != LMODEL_OK)
		return r;
	remove_slots(v);
	remove_detached(v);
	r = commit(&v->change, error);
	if (r == LMODEL_OK && v->owner_gone)
		lm_notice(&o->run,
			  "the owner's keys stay what they are: who was an owner can still read "
			  "the customer book of any copy, and sign as the owner; packing anew ends that");
	if (r == LMODEL_OK && v->removed_detached > 0) {
		lm_notice(&o->run, "a detached grant opens the archive until the next rekey");
		r = lm_grants_book_store(&v->detached, v->detached_path, c->owner->archive,
					 c->owner->owner_key, error);
	}
	return r;
}

int lmodel_revoke(const char *archive, const struct lmodel_keyring *ring,
		  const struct lmodel_revocation *revocations, size_t count,
		  const struct lmodel_revoke_options *given, size_t *removed,
		  struct lmodel_error *error)
{
	struct lmodel_revoke_options options = LMODEL_REVOKE_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct revoking v = { .list = revocations, .count = count };
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	if (count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "nobody to take out");
	r = lm_change_begin(&v.change, archive, ring, true, error);
	if (r == LMODEL_OK)
		r = take_out(&v, &options, error);
	if (r == LMODEL_OK && removed != NULL)
		*removed = v.removed + v.removed_detached;
	free(v.gone);
	free(v.taken);
	free(v.detached_path);
	lm_book_free(&v.detached);
	lm_change_end(&v.change);
	return r;
}
