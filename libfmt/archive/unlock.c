/* lmodel_unlock(): grants open slots, keys prove themselves and the archive. */
#include "archive/unlock.h"

#include "archive/attachments.h"
#include "crypto/chunked.h"
#include "crypto/curve.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "keys/book.h"
#include "keys/memory.h"

static struct lm_key_scope scope_of(const struct lm_manifest *m, size_t tier)
{
	return (struct lm_key_scope){ .archive = m->id, .tier = m->tiers[tier].name,
				      .generation = m->tiers[tier].generation };
}

void lm_unlocked_stream_key(const struct lmodel_archive *a, size_t tier, enum lm_stream kind,
			    uint8_t key[LM_KEY])
{
	memcpy(key, kind == LM_POSITIONS ? a->unlocked->tier[tier].position_key :
					   a->unlocked->tier[tier].value_key, LM_KEY);
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
	uint64_t outdated[LM_TIER_ROW_LIMIT]; /* generation of a grant that is too old; 0: none */
};

static bool commits(const uint8_t key[LM_KEY], const char *label, const struct lm_key_scope *scope,
		    const uint8_t commitment[LM_SHA256_SIZE])
{
	uint8_t made[LM_KEY];

	lm_derive(made, key, label, scope);
	return lm_secret_equal(made, commitment, sizeof(made));
}

static size_t find_tier(const struct lm_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->tier_count; i++)
		if (strcmp(m->tiers[i].name, name) == 0)
			return i;
	return LM_NONE;
}

/* A tier of an earlier generation is outdated; anything else that differs from the archive means
 * that one of the two is forged. */
enum fit { FITS, OUTDATED, FORGED };

static enum fit fit_tier(const struct lm_manifest *m, const struct lm_grant_tier *given, bool audit)
{
	size_t i = find_tier(m, given->name);
	struct lm_key_scope scope;

	if (i == LM_NONE)
		return FORGED;
	scope = scope_of(m, i);
	if (given->generation != m->tiers[i].generation)
		return given->generation < m->tiers[i].generation ? OUTDATED : FORGED;
	return commits(given->key, audit ? LM_LABEL_POSITION_COMMITMENT : LM_LABEL_COMMITMENT,
		       &scope,
		       audit ? m->tiers[i].position_commitment : m->tiers[i].key_commitment) ?
		       FITS : FORGED;
}

static void take_tier(struct opening *o, const struct lm_grant_tier *given, bool audit)
{
	const struct lm_manifest *m = &o->archive->manifest;
	size_t i = find_tier(m, given->name);
	const struct lm_key_scope scope = scope_of(m, i);

	if (!audit) {
		memcpy(o->u->tier[i].key, given->key, LM_KEY);
		o->u->tier[i].values = true;
		lm_derive(o->u->tier[i].position_key, given->key, LM_LABEL_POSITIONS, &scope);
		lm_derive(o->u->tier[i].value_key, given->key, LM_LABEL_VALUES, &scope);
	} else if (!o->u->tier[i].positions) {
		memcpy(o->u->tier[i].position_key, given->key, LM_KEY);
	}
	o->u->tier[i].positions = true;
	o->any = true;
}

static int forged(const struct lmodel_archive *a, const char *what, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: is not the archive that the grant is for: %s",
		       a->label, what);
}

/* A grant is for one archive, whole: what it says of owner and tiers has to be so. Otherwise a
 * holder of a lower tier could take the upper ones away, or give the archive another owner,
 * and nobody would be told. */
static int take(struct opening *o, const struct lm_grant *g, struct lmodel_error *error)
{
	const struct lm_manifest *m = &o->archive->manifest;
	bool audit = g->role == LMODEL_AUDITOR;

	if (strcmp(g->archive, m->id) != 0)
		return LMODEL_OK;
	if (memcmp(g->owner, m->owner.public_key, sizeof(g->owner)) != 0)
		return forged(o->archive, "it has another owner", error);
	for (size_t i = 0; i < g->tier_count; i++) {
		const struct lm_grant_tier *t = &g->tiers[i];
		enum fit fit = fit_tier(m, t, audit);

		if (fit == FORGED)
			return forged(o->archive, "a tier is not the granted one", error);
		if (fit == OUTDATED) {
			o->outdated[find_tier(m, t->name)] = t->generation;
		} else {
			take_tier(o, t, audit);
		}
	}
	if (g->role != LMODEL_OWNER)
		return LMODEL_OK;
	memcpy(o->u->owner_key, g->owner_key, LM_KEY);
	memcpy(o->u->owner_seed, g->owner_seed, LM_KEY);
	o->u->owner = o->any = true;
	return LMODEL_OK;
}

/* Detached grants came from the owner, slots came with the file: where there is a grant for this
 * archive, slots are not asked. */
static int try_detached(struct opening *o, const struct lmodel_keyring *ring, struct lm_grant *g,
			bool *found, struct lmodel_error *error)
{
	for (size_t i = 0; i < ring->detached_count; i++) {
		int r = lm_keyring_open_detached(ring, i, g, error);

		if (r == LMODEL_ENOKEY)
			continue;
		if (r == LMODEL_OK && strcmp(g->archive, o->archive->manifest.id) == 0) {
			*found = true;
			r = take(o, g, error);
		}
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* The newest first: with a passphrase, which opens one slot, that is the one that counts. */
static int try_slots(struct opening *o, const struct lmodel_keyring *ring, struct lm_grant *g,
		     struct lmodel_error *error)
{
	const struct lm_manifest *m = &o->archive->manifest;
	struct lm_passphrase_work work = { 0 };
	int r = LMODEL_OK;

	for (size_t i = m->slot_count; i-- > 0 && r == LMODEL_OK;) {
		r = lm_keyring_open_slot(ring, &m->slots[i], &work, g, error);
		if (r == LMODEL_OK)
			r = take(o, g, error);
		else if (r == LMODEL_ENOKEY)
			r = LMODEL_OK;
	}
	free(work.used);
	return r;
}

int lm_unlock_keys(struct lmodel_archive *a, const struct lmodel_keyring *ring,
		   struct lm_unlocked *unlocked, struct lmodel_error *error)
{
	struct opening o = { .archive = a, .u = unlocked };
	LM_SECRET struct lm_grant *g = lm_secret_alloc(sizeof(*g), error);
	bool detached = false;
	int r;

	if (g == NULL)
		return LMODEL_EFAILED;
	if (a->manifest.tier_count == 0)
		return lm_fail(error, LMODEL_ENOKEY,
			       "%s: none of the keys opens it: nothing in it is "
			       "encrypted", a->label);
	r = try_detached(&o, ring, g, &detached, error);
	if (r == LMODEL_OK && !detached)
		r = try_slots(&o, ring, g, error);
	if (r != LMODEL_OK)
		return r;
	/* An old grant does no harm beside a new one; alone it would silently open less. */
	for (size_t i = 0; i < a->manifest.tier_count; i++)
		if (o.outdated[i] > 0 && !unlocked->tier[i].positions)
			return lm_fail(error, LMODEL_ENOKEY,
				       "%s: outdated grant: tier %s: generation %ju, "
				       "the archive has %ju",
				       a->label, LM_QUOTE(a->manifest.tiers[i].name),
				       (uintmax_t)o.outdated[i],
				       (uintmax_t)a->manifest.tiers[i].generation);
	return o.any ? LMODEL_OK :
		       lm_fail(error, LMODEL_ENOKEY, "%s: none of the keys opens it", a->label);
}

/* ---- proving the archive ---- */

static int check_macs(const struct lmodel_archive *a, const struct lm_unlocked *u,
		      struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	uint8_t mac[LM_SHA256_SIZE];

	for (size_t i = 0; i < m->tier_count; i++) {
		bool good = true;

		if (u->tier[i].values) {
			lm_statement_mac(mac, u->tier[i].key, LM_LABEL_MAC, m, i);
			good = lm_secret_equal(mac, m->tiers[i].key_mac, sizeof(mac));
		}
		if (u->tier[i].positions) {
			lm_statement_mac(mac, u->tier[i].position_key, LM_LABEL_POSITION_MAC, m,
					 i);
			good &= lm_secret_equal(mac, m->tiers[i].position_mac, sizeof(mac));
		}
		if (!good)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: is not what was packed: the MAC of tier %s is wrong",
				       a->label, m->tiers[i].name);
	}
	return LMODEL_OK;
}

/* Anyone can spoil the book, which nothing but its own seal covers: that keeps its owner from
 * granting, not from reading. NULL when it does not open. */
static struct lm_book *open_book(const struct lmodel_archive *a, const struct lm_unlocked *u)
{
	struct lm_book *book = u->owner ? calloc(1, sizeof(*book)) : NULL;

	if (book != NULL && lm_book_open(book, &a->manifest, u->owner_key, NULL)) {
		free(book);
		return NULL;
	}
	return book;
}

static void show_book(struct lmodel_archive *a, struct lm_book *book)
{
	if (a->book != NULL)
		lm_book_free(a->book);
	free(a->book);
	a->book = book;
	for (size_t i = 0; i < a->manifest.slot_count; i++) {
		const struct lm_book_entry *e = lm_book_find(book, &a->manifest.slots[i]);
		struct lmodel_slot *s = &a->slots_shown[i];

		if (e == NULL)
			continue;
		s->known = true;
		s->role = e->role;
		s->tier = e->role == LMODEL_HOLDER ? e->tier : NULL;
		s->label = e->label[0] != '\0' ? e->label : NULL;
		s->recipient = a->manifest.slots[i].identity == NULL ? e->recipient : NULL;
	}
}

static void show_open(struct lmodel_archive *a)
{
	const struct lm_manifest *m = &a->manifest;
	bool ladder = true;

	a->level = 0;
	for (size_t i = 0; i < m->tier_count; i++) {
		a->tiers[i].open = a->unlocked->tier[i].values;
		a->tiers[i].positions_open = a->unlocked->tier[i].positions;
		ladder = ladder && a->tiers[i].open;
		if (ladder)
			a->level = i + 1;
	}
	a->level_chosen = false;
	lm_archive_show_attachments(a);
}

/* A writer may have come after the archive was opened: then it was not old when it was read. It is
 * not taken all the same, but read again it will be. */
static bool was_changed(const struct lmodel_archive *a)
{
	struct lm_slot found[2];
	bool newer = false;

	if (a->file.ops != NULL || lm_slots_examine(&a->file, &a->slots, found, NULL) != LMODEL_OK)
		return false;
	for (size_t i = 0; i < 2; i++)
		newer |= found[i].valid &&
			 found[i].footer.commit_counter > a->footer.commit_counter;
	return newer;
}

/* Whether this is no step back from what was seen before; then it is what was seen last. The
 * book's counter counts only with a `book` that opened: nothing else covers it. Where nothing can
 * be written nothing is remembered: the proof of the archive itself stands. */
static int remember(const struct lmodel_archive *a, const struct lmodel_keyring *ring, bool book,
		    struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	struct lm_memory now;
	int r;

	if (ring->memory == NULL)
		return LMODEL_OK;
	r = lm_memory_load(&now, ring->memory, m->id, error);
	if (r != LMODEL_OK)
		return r;
	if (memcmp(now.owner, m->owner.public_key, sizeof(now.owner)) != 0 && ring->allow_rollback)
		now.book_counter = 0;
	if (now.known && !ring->allow_rollback) {
		if (memcmp(now.owner, m->owner.public_key, sizeof(now.owner)) != 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: has another owner than when it was "
				       "read before", a->label);
		if ((m->content_generation < now.generation ||
		     (book && m->owner.book_counter < now.book_counter)) && was_changed(a))
			return lm_fail(error, LMODEL_EFAILED,
				       "%s: was changed meanwhile; try again", a->label);
		if (m->content_generation < now.generation)
			return lm_fail(
				error, LMODEL_ECORRUPT,
				"%s: is older than what was read before: "
				"content generation %ju, not %ju (--allow-rollback takes it)",
				a->label, (uintmax_t)m->content_generation,
				(uintmax_t)now.generation);
		if (book && m->owner.book_counter < now.book_counter)
			return lm_fail(
				error, LMODEL_ECORRUPT,
				"%s: is older than what its owner saw "
				"before: customer book %ju, not %ju (--allow-rollback takes it)",
				a->label, (uintmax_t)m->owner.book_counter,
				(uintmax_t)now.book_counter);
	}
	memcpy(now.owner, m->owner.public_key, sizeof(now.owner));
	now.generation = m->content_generation;
	if (book)
		now.book_counter = m->owner.book_counter;
	(void)lm_memory_store(&now, ring->allow_rollback, ring->memory, m->id, NULL);
	return LMODEL_OK;
}

/* For whom no slot is: by a grant that lies beside the archive (spec: 16.5). Looking costs requests
 * for each grant there, so that it waits until nothing else opens. */
static int unlock_from_afar(struct lmodel_archive *a, const struct lmodel_keyring *ring,
			    struct lm_unlocked *unlocked, struct lmodel_error *error)
{
	struct lmodel_error own = *error;
	struct lmodel_keyring with = *ring;
	struct lm_sealed_grant one = { .file = NULL };
	int r;

	/* The first failure would stay. */
	*error = (struct lmodel_error)LMODEL_ERROR_INIT;
	r = a->find_grant(a, ring, &one.file, &one.len, error);
	if (r == LMODEL_OK && one.file == NULL)
		r = lm_fail(error, LMODEL_ENOKEY, "%s", own.message);
	if (r == LMODEL_OK) {
		with.detached = &one;
		with.detached_count = 1;
		r = lm_unlock_keys(a, &with, unlocked, error);
	}
	free(one.file);
	return r;
}

int lmodel_unlock(struct lmodel_archive *a, const struct lmodel_keyring *ring,
		  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_SECRET struct lm_unlocked *fresh = NULL;
	struct lm_book *book = NULL;
	int r;

	error = error != NULL ? error : &local;
	fresh = lm_secret_alloc(sizeof(*fresh), error);
	if (fresh == NULL)
		return LMODEL_EFAILED;
	r = lm_unlock_keys(a, ring, fresh, error);
	if (r == LMODEL_ENOKEY && a->find_grant != NULL && a->manifest.tier_count > 0) {
		lm_wipe(fresh, sizeof(*fresh));
		r = unlock_from_afar(a, ring, fresh, error);
	}
	if (r == LMODEL_OK)
		r = check_macs(a, fresh, error);
	if (r == LMODEL_OK) {
		book = open_book(a, fresh);
		r = remember(a, ring, book != NULL, error);
	}
	/* What is not proven is not used; what was open before stays so. */
	if (r != LMODEL_OK) {
		if (book != NULL)
			lm_book_free(book);
		free(book);
		return r;
	}
	lm_secret_free(a->unlocked);
	a->unlocked = fresh;
	fresh = NULL;
	if (book != NULL)
		show_book(a, book);
	show_open(a);
	return LMODEL_OK;
}
