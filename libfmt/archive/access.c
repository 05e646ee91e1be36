/* lmodel_grant(), lmodel_revoke(): who may open an archive. Only the manifest changes, by one
 * commit; nothing else of the file is read or written. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/archive.h"
#include "archive/options.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "base/publish.h"
#include "container/lock.h"
#include "crypto/secret.h"
#include "keys/book.h"
#include "keys/slots.h"

/* An archive open for a change of its manifest, under the writer lock, by its owner. */
struct change {
	int fd;
	struct lmodel_archive *archive;
	struct lm_grant *owner;      /* secret memory */
};

/* What an owner would be granted now, from what the slot has opened. */
static int make_owner(struct change *c, struct lmodel_error *error)
{
	const struct lmodel_archive *a = c->archive;
	const struct lm_manifest *m = &a->manifest;
	bool all = a->unlocked->owner;

	for (size_t i = 0; i < m->tier_count; i++)
		all &= a->unlocked->tier[i].values;
	if (!all)
		return lm_fail(error, LMODEL_ENOKEY, "%s: none of the keys is an owner's", a->label);
	if (a->book == NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the customer book is not the one that its "
			       "owner sealed", a->label);
	c->owner = lm_secret_alloc(sizeof(*c->owner), error);
	if (c->owner == NULL)
		return LMODEL_EFAILED;
	memcpy(c->owner->owner, m->owner.public_key, sizeof(c->owner->owner));
	memcpy(c->owner->archive, m->id, sizeof(m->id));
	c->owner->role = LMODEL_OWNER;
	memcpy(c->owner->owner_key, a->unlocked->owner_key, LM_KEY);
	memcpy(c->owner->owner_seed, a->unlocked->owner_seed, LM_KEY);
	c->owner->tier_count = m->tier_count;
	for (size_t i = 0; i < m->tier_count; i++) {
		struct lm_grant_tier *t = &c->owner->tiers[i];

		memcpy(t->name, m->tiers[i].name, strlen(m->tiers[i].name) + 1);
		t->generation = m->tiers[i].generation;
		memcpy(t->key, a->unlocked->tier[i].key, LM_KEY);
	}
	return LMODEL_OK;
}

/* What was locked is what was opened: the name may have been given to another file meanwhile. */
static int check_same(const struct change *c, struct lmodel_error *error)
{
	struct stat locked, opened;

	if (fstat(c->fd, &locked) != 0 || fstat(c->archive->fd, &opened) != 0)
		return lm_fail_errno(error, "%s", c->archive->label);
	if (locked.st_dev != opened.st_dev || locked.st_ino != opened.st_ino)
		return lm_fail(error, LMODEL_EFAILED, "%s: was replaced meanwhile; try again",
			       c->archive->label);
	return LMODEL_OK;
}

static int begin(struct change *c, const char *path, const struct lmodel_keyring *ring, bool write,
		 struct lmodel_error *error)
{
	LM_FREE char *real = NULL;
	uint64_t size;
	int r = LMODEL_OK;

	*c = (struct change){ .fd = -1 };
	if (write) {
		if (strcmp(path, "-") == 0)
			return lm_fail(error, LMODEL_EUSAGE, "standard input cannot be changed");
		real = realpath(path, NULL);
		if (real == NULL)
			return lm_fail_errno(error, "%s", LM_QUOTE(path));
		r = lm_open_regular(real, O_RDWR, &c->fd, &size, error);
		if (r == LMODEL_OK)
			r = lm_lock_writer(c->fd, real, error);
	}
	/* Opened after the lock is held: this is the state that will be changed. */
	if (r == LMODEL_OK)
		r = lmodel_open(&c->archive, real != NULL ? real : path, error);
	if (r == LMODEL_OK && write)
		r = check_same(c, error);
	if (r == LMODEL_OK)
		r = lmodel_unlock(c->archive, ring, error);
	if (r == LMODEL_OK)
		r = make_owner(c, error);
	return r;
}

static void end(struct change *c)
{
	lm_secret_free(c->owner);
	lmodel_close(c->archive);
	if (c->fd >= 0)
		close(c->fd);
}

/* What is about to replace both slots must open again. */
static int check_image(const struct lmodel_archive *a, const uint8_t *image, uint64_t len,
		       struct lmodel_error *error)
{
	struct lm_manifest again;
	int r = lm_manifest_load(&again, image, len, lm_slots_end(a->slots.slot_size),
				 a->footer.committed_len, a->label, error);

	if (r != LMODEL_OK)
		return r;
	if (strcmp(again.statement, a->manifest.statement) != 0)
		r = lm_fail(error, LMODEL_EFAILED, "%s: the manifest did not store", a->label);
	lm_manifest_free(&again);
	return r;
}

/* The book goes with every change: its counter rises, so that an older one beside a newer manifest
 * is seen. */
static int commit(struct change *c, struct lmodel_error *error)
{
	struct lmodel_archive *a = c->archive;
	uint8_t *image;
	uint64_t len;
	int r;

	a->manifest.owner.book_counter++;
	r = lm_book_seal(a->book, &a->manifest, c->owner->owner_key, NULL, error);
	if (r == LMODEL_OK)
		r = lm_manifest_store(&a->manifest, &image, &len, error);
	if (r != LMODEL_OK)
		return r;
	r = check_image(a, image, len, error);
	if (r == LMODEL_OK)
		r = lm_slots_commit(c->fd, a->label, &a->slots, image, len, a->footer.committed_len, error);
	lm_manifest_image_free(image);
	return r;
}

/* ---- grant ---- */

static int add_slot(struct change *c, const struct lmodel_grantee *who, unsigned *id,
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
		return lm_fail(error, LMODEL_ELIMIT, "%s: slot %u has the highest number that there is: "
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

static int write_detached(const struct change *c, const struct lmodel_grantee *who,
			  const struct lmodel_grant_options *o, struct lmodel_error *error)
{
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	LM_FREE char *text = NULL;
	size_t len;
	int r;

	if (grant == NULL)
		return LMODEL_EFAILED;
	r = lm_grant_for(grant, c->owner, who, error);
	if (r == LMODEL_OK)
		r = lm_grant_wrap(grant, who->recipient, &text, &len, error);
	if (r != LMODEL_OK)
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
		 const struct lmodel_grant_options *given, unsigned *slots, struct lmodel_error *error)
{
	struct lmodel_grant_options options = LMODEL_GRANT_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct change c;
	int r = LMODEL_OK;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	if (count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "nobody to let in");
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = lm_grantee_check(&grantees[i], error);
	if (r == LMODEL_OK && options.detached != NULL && (count != 1 || grantees[0].recipient == NULL))
		r = lm_fail(error, LMODEL_EUSAGE, "a detached grant is for one recipient");
	if (r != LMODEL_OK)
		return r;
	r = begin(&c, archive, ring, options.detached == NULL, error);
	if (r == LMODEL_OK && options.detached != NULL) {
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
	end(&c);
	return r;
}

/* ---- revoke ---- */

static bool picks(const struct lmodel_revocation *r, const struct lmodel_slot *s)
{
	if (r->slot != 0)
		return s->id == r->slot;
	if (r->label != NULL)
		return s->label != NULL && strcmp(s->label, r->label) == 0;
	return s->recipient != NULL && r->recipient != NULL && strcmp(s->recipient, r->recipient) == 0;
}

/* Marks the slots to go; each revocation has to pick one at least. */
static int choose(const struct lmodel_archive *a, const struct lmodel_revocation *revocations,
		  size_t count, bool *gone, struct lmodel_error *error)
{
	bool owner_stays = false;

	for (size_t i = 0; i < count; i++) {
		bool any = false;

		for (size_t s = 0; s < a->manifest.slot_count; s++)
			if (picks(&revocations[i], &a->slots_shown[s]))
				any = gone[s] = true;
		if (!any && revocations[i].slot != 0)
			return lm_fail(error, LMODEL_EUSAGE, "%s: has no slot %u", a->label,
				       revocations[i].slot);
		if (!any)
			return lm_fail(error, LMODEL_EUSAGE, "%s: no slot in the customer book has %s %s",
				       a->label, revocations[i].label != NULL ? "the label" :
										"the recipient",
				       LM_QUOTE(revocations[i].label != NULL ?
							revocations[i].label :
							revocations[i].recipient != NULL ?
							revocations[i].recipient : ""));
	}
	for (size_t s = 0; s < a->manifest.slot_count; s++)
		owner_stays |= !gone[s] && a->slots_shown[s].known &&
			       a->slots_shown[s].role == LMODEL_OWNER;
	if (!owner_stays)
		return lm_fail(error, LMODEL_EUSAGE, "%s: the last owner cannot be taken out", a->label);
	return LMODEL_OK;
}

static void remove_slots(struct lmodel_archive *a, const bool *gone, size_t *removed)
{
	struct lm_manifest *m = &a->manifest;
	size_t kept = 0;

	for (size_t s = 0; s < m->slot_count; s++) {
		const struct lm_book_entry *e;

		if (!gone[s]) {
			m->slots[kept++] = m->slots[s];
			continue;
		}
		e = lm_book_find(a->book, &m->slots[s]);
		if (e != NULL)
			lm_book_remove(a->book, (size_t)(e - a->book->entries));
		lm_slot_row_free(&m->slots[s]);
		++*removed;
	}
	m->slot_count = kept;
}

int lmodel_revoke(const char *archive, const struct lmodel_keyring *ring,
		  const struct lmodel_revocation *revocations, size_t count, size_t *removed,
		  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_FREE bool *gone = NULL;
	size_t number = 0;
	struct change c;
	int r;

	error = error != NULL ? error : &local;
	if (count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "nobody to take out");
	r = begin(&c, archive, ring, true, error);
	if (r == LMODEL_OK) {
		gone = calloc(c.archive->manifest.slot_count + 1, sizeof(*gone));
		r = gone == NULL ? lm_fail_memory(error) :
				   choose(c.archive, revocations, count, gone, error);
	}
	if (r == LMODEL_OK) {
		remove_slots(c.archive, gone, &number);
		r = commit(&c, error);
	}
	if (r == LMODEL_OK && removed != NULL)
		*removed = number;
	end(&c);
	return r;
}
