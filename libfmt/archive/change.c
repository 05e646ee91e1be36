/* Changing an archive in place: one writer, one commit. */
#include "archive/change.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "container/lock.h"
#include "crypto/curve.h"
#include "crypto/secret.h"
#include "keys/memory.h"

/* What an owner would be granted now, from what the slot has opened. */
static int make_owner(struct lm_change *c, struct lmodel_error *error)
{
	const struct lmodel_archive *a = c->archive;
	const struct lm_manifest *m = &a->manifest;
	bool all = a->unlocked->owner;
	uint8_t public_key[LM_CURVE_KEY];

	for (size_t i = 0; i < m->tier_count; i++)
		all &= a->unlocked->tier[i].values;
	if (!all)
		return lm_fail(error, LMODEL_ENOKEY, "%s: none of the keys is an owner's",
			       a->label);
	if (lm_ed25519_public(public_key, a->unlocked->owner_seed, error) ||
	    memcmp(public_key, m->owner.public_key, sizeof(public_key)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: has another owner", a->label);
	if (a->book == NULL)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: the customer book is not the one that its "
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
static int check_same(const struct lm_change *c, struct lmodel_error *error)
{
	struct stat locked, opened;

	if (fstat(c->fd, &locked) != 0 || fstat(c->archive->file.fd, &opened) != 0)
		return lm_fail_errno(error, "%s", c->archive->label);
	if (locked.st_dev != opened.st_dev || locked.st_ino != opened.st_ino)
		return lm_fail(error, LMODEL_EFAILED, "%s: was replaced meanwhile; try again",
			       c->archive->label);
	return LMODEL_OK;
}

/* Messages name the path as it was given. */
static int rename_label(struct lmodel_archive *a, const char *path, struct lmodel_error *error)
{
	char *label = lm_strdup(lm_quote((char[LM_QUOTE_SIZE]){ 0 }, path), error);

	if (label == NULL)
		return LMODEL_EFAILED;
	free(a->label);
	a->label = label;
	a->file.label = label;
	return LMODEL_OK;
}

int lm_change_open(struct lm_change *c, const char *path, bool write, struct lmodel_error *error)
{
	LM_FREE char *real = NULL;
	uint64_t size;
	int r = LMODEL_OK;

	*c = (struct lm_change){ .fd = -1 };
	if (!write)
		return lmodel_open(&c->archive, path, error);
	if (strcmp(path, "-") == 0)
		return lm_fail(error, LMODEL_EUSAGE, "standard input cannot be changed");
	real = realpath(path, NULL);
	if (real == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	r = lm_open_regular(real, O_RDWR, &c->fd, &size, error);
	if (r == LMODEL_OK)
		r = lm_lock_writer(c->fd, real, error);
	/* Opened after the lock is held: this is the state that will be changed. */
	if (r == LMODEL_OK)
		r = lm_archive_open_locked(&c->archive, real, error);
	if (r == LMODEL_OK)
		r = rename_label(c->archive, path, error);
	if (r == LMODEL_OK)
		r = check_same(c, error);
	return r;
}

int lm_change_begin(struct lm_change *c, const char *path, const struct lmodel_keyring *ring,
		    bool write, struct lmodel_error *error)
{
	bool changed;
	int r = lm_change_open(c, path, write, error);

	c->ring = ring;
	if (r == LMODEL_OK)
		r = lmodel_unlock(c->archive, ring, error);
	if (r == LMODEL_OK)
		r = make_owner(c, error);
	/* What an interrupted commit has left: else the slot that it was about to write over would
	 * keep what was taken out, when this change comes to nothing. Not before the owner's key
	 * has proven the newer slot, which a forger may have put there. */
	if (r == LMODEL_OK && write) {
		c->level = c->archive->footer;
		r = lm_slots_level(c->fd, c->archive->label, &c->archive->slots, c->archive->image,
				   &c->level, &changed, error);
	}
	return r;
}

int lm_change_bury(struct lm_change *c, struct lm_manifest *m, uint64_t committed_len,
		   const struct lmodel_run *run, struct lmodel_error *error)
{
	const char *label = c->archive->label;
	bool pending = false;
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->dead_count; i++)
		pending |= m->dead[i].pending;
	if (!pending)
		return LMODEL_OK;
	/* Our own reading is over. */
	lm_unlock_reader(c->archive->file.fd);
	if (!lm_lock_readers_out(c->fd)) {
		lm_notice(run,
			  "%s: somebody reads it: the old shards are zeroed by the next grant, revoke "
			  "or rekey", label);
		return LMODEL_OK;
	}
	for (size_t i = 0; i < m->dead_count && r == LMODEL_OK; i++) {
		if (!m->dead[i].pending)
			continue;
		r = lm_zero_range(c->fd, label, m->dead[i].offset, m->dead[i].length, error);
		m->dead[i].pending = false;
	}
	if (r == LMODEL_OK)
		r = lm_change_commit(c, m, committed_len, false, error);
	lm_unlock_reader(c->fd);
	return r;
}

int lm_change_grants_book(const struct lm_change *c, const char *path, struct lm_book *book,
			  char **found, struct lmodel_error *error)
{
	*book = (struct lm_book){ 0 };
	*found = NULL;
	if (path != NULL)
		*found = lm_strdup(path, error);
	else if (c->ring->memory != NULL)
		*found = lm_grants_book_path(c->ring->memory, c->owner->archive, error);
	else
		return LMODEL_OK;
	if (*found == NULL)
		return LMODEL_EFAILED;
	return lm_grants_book_load(book, *found, c->owner->archive, c->owner->owner_key, error);
}

void lm_change_end(struct lm_change *c)
{
	lm_secret_free(c->owner);
	lmodel_close(c->archive);
	if (c->fd >= 0)
		close(c->fd);
}

/* What is about to replace both slots must open again. */
static int check_image(const struct lmodel_archive *a, const struct lm_manifest *m,
		       uint64_t committed_len, const uint8_t *image, uint64_t len,
		       struct lmodel_error *error)
{
	struct lm_manifest again;
	int r = lm_manifest_load(&again, image, len, lm_slots_end(a->slots.slot_size),
				 committed_len, a->label, error);

	if (r != LMODEL_OK)
		return r;
	if (strcmp(again.statement, m->statement) != 0)
		r = lm_fail(error, LMODEL_EFAILED, "%s: the manifest did not store", a->label);
	lm_manifest_free(&again);
	return r;
}

/* A copy from before this change is to be noticed from now on. */
static void remember(const struct lm_change *c, const struct lm_manifest *m)
{
	struct lm_memory now = { .generation = m->content_generation,
				 .book_counter = m->owner.book_counter };

	memcpy(now.owner, m->owner.public_key, sizeof(now.owner));
	if (c->ring->memory != NULL)
		(void)lm_memory_store(&now, c->ring->allow_rollback, c->ring->memory, m->id, NULL);
}

/* Makes the image, and checks that it opens again. */
static int make_image(struct lmodel_archive *a, const struct lm_manifest *m, uint64_t committed_len,
		      uint8_t **image, uint64_t *len, struct lmodel_error *error)
{
	int r = lm_manifest_store(m, image, len, error);

	if (r != LMODEL_OK)
		return r;
	r = check_image(a, m, committed_len, *image, *len, error);
	if (r != LMODEL_OK)
		lm_manifest_image_free(*image);
	return r;
}

static int make_image_of_keys(struct lmodel_archive *a, const struct lm_manifest *m,
			      uint8_t **image, uint64_t *len, struct lmodel_error *error)
{
	int r;

	*image = NULL;
	if (a->image == NULL)
		return LMODEL_OK;
	r = lm_manifest_store_keys(m, a->image, a->footer.image_len, image, len, error);
	if (r != LMODEL_OK || *image == NULL)
		return r;
	r = lm_manifest_check_keys(m, *image, *len, a->label, error);
	if (r != LMODEL_OK)
		lm_manifest_image_free(*image);
	return r;
}

int lm_change_store(struct lm_change *c, const struct lm_manifest *m, uint64_t committed_len,
		    bool keys_only, struct lmodel_error *error)
{
	struct lmodel_archive *a = c->archive;
	uint8_t *image = NULL;
	uint64_t len;
	int r = LMODEL_OK;

	if (keys_only)
		r = make_image_of_keys(a, m, &image, &len, error);
	lm_archive_forget_image(a);
	if (r == LMODEL_OK && image == NULL)
		r = make_image(a, m, committed_len, &image, &len, error);
	if (r != LMODEL_OK)
		return r;
	r = lm_slots_commit(c->fd, a->label, &a->slots, image, len, committed_len, &c->level,
			    error);
	lm_manifest_image_free(image);
	return r;
}

/* The book goes with every change: its counter rises, so that an older one beside a newer manifest
 * is seen. */
int lm_change_commit(struct lm_change *c, struct lm_manifest *m, uint64_t committed_len,
		     bool keys_only, struct lmodel_error *error)
{
	int r;

	m->owner.book_counter++;
	r = lm_book_seal(c->archive->book, m, c->owner->owner_key, NULL, error);
	if (r == LMODEL_OK)
		r = lm_change_store(c, m, committed_len, keys_only, error);
	if (r == LMODEL_OK)
		remember(c, m);
	return r;
}
