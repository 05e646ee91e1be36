/* Keys of a new archive, and who gets them. */
#include "archive/protect.h"

#include <stdio.h>
#include <time.h>

#include "archive/unlock.h"
#include "base/io.h"
#include "crypto/curve.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "keys/slots.h"

void lm_protection_key(const struct lm_protection *p, const char *purpose, const char *name,
		       uint8_t key[LM_KEY])
{
	const struct lm_key_scope scope = { .archive = p->manifest->id, .tier = name };

	lm_derive(key, p->master, purpose, &scope);
}

/* ---- the master key ---- */

static void add_text(struct lm_hash *hash, const char *text)
{
	uint8_t len[8];

	lm_put_u64(len, text != NULL ? strlen(text) : UINT64_MAX);
	lm_hash_add(hash, len, sizeof(len));
	if (text != NULL)
		lm_hash_add(hash, text, strlen(text));
}

static void add_options(const struct lm_protection *p, struct lm_hash *hash)
{
	const struct lmodel_protect_options *o = p->options;
	char line[256];

	for (size_t i = 0; i < o->tier_count; i++) {
		snprintf(line, sizeof(line), "%a %ju", o->tiers[i].share,
			 (uintmax_t)o->tiers[i].units);
		add_text(hash, o->tiers[i].name);
		add_text(hash, o->tiers[i].text);
		add_text(hash, line);
	}
	snprintf(line, sizeof(line), "%d %d %d %d %d", (int)o->select, (int)o->mask, (int)o->unit,
		 (int)o->scope, (int)o->raw_scores);
	add_text(hash, line);
	for (size_t i = 0; i < o->include_count; i++)
		add_text(hash, o->includes[i]);
	add_text(hash, NULL);
	for (size_t i = 0; i < o->exclude_count; i++)
		add_text(hash, o->excludes[i]);
	add_text(hash, NULL);
	for (size_t i = 0; i < o->grantee_count; i++) {
		add_text(hash, o->grantees[i].recipient);
		add_text(hash, lm_role_name(o->grantees[i].role));
		add_text(hash, o->grantees[i].tier);
		add_text(hash, o->grantees[i].label);
		if (o->grantees[i].recipient == NULL)
			lm_hash_add(hash, o->grantees[i].passphrase, o->grantees[i].passphrase_len);
	}
}

static int add_attachment(const struct lm_source_attachment *a, struct lm_hash *hash,
			  struct lmodel_error *error)
{
	uint8_t buffer[4096];
	int r = LMODEL_OK;

	add_text(hash, a->name);
	add_text(hash, a->tier);
	for (uint64_t at = 0; at < a->size && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(a->size - at, (uint64_t)sizeof(buffer));

		r = lm_read_at(a->fd, a->label, buffer, n, at, error);
		if (r == LMODEL_OK)
			lm_hash_add(hash, buffer, n);
		at += n;
	}
	return r;
}

static int add_tensors(const struct lm_model *model, struct lm_hash *hash,
		       struct lmodel_error *error)
{
	enum { BUFFER = 1 << 20 };
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	int r = LMODEL_OK;

	if (buffer == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < model->tensor_count; i++) {
		const struct lm_source_tensor *t = &model->tensors[i];

		add_text(hash, t->name);
		add_text(hash, t->dtype->name);
		for (uint64_t at = 0; at < t->bytes && r == LMODEL_OK; at += BUFFER) {
			size_t n = (size_t)LM_MIN(t->bytes - at, (uint64_t)BUFFER);

			r = lm_model_read(model, i, at, buffer, n, error);
			if (r == LMODEL_OK)
				lm_hash_add(hash, buffer, n);
		}
		if (r != LMODEL_OK)
			return r;
	}
	return r;
}

/* Everything that is packed goes in, so that no key ever serves two different contents. */
static int seed_master(struct lm_protection *p, const struct lmodel_pack_options *given,
		       struct lmodel_error *error)
{
	struct lm_hash *hash = lm_hash_new(error);
	uint8_t digest[LM_SHA256_SIZE];
	char line[64];
	int r = LMODEL_OK;

	if (hash == NULL)
		return LMODEL_EFAILED;
	add_text(hash, p->manifest->tool);
	snprintf(line, sizeof(line), "%d %ju", (int)given->level, (uintmax_t)given->chunk_bytes);
	add_text(hash, line);
	add_options(p, hash);
	for (size_t i = 0; i < p->model.model->source_count; i++) {
		const struct lm_source *s = &p->model.model->sources[i];

		add_text(hash, s->name);
		lm_hash_add(hash, s->skeleton, s->skeleton_len);
	}
	for (size_t i = 0; i < p->model.model->attachment_count && r == LMODEL_OK; i++)
		r = add_attachment(&p->model.model->attachments[i], hash, error);
	if (r == LMODEL_OK)
		r = add_tensors(p->model.model, hash, error);
	if (r == LMODEL_OK && p->has_scores)
		r = add_tensors(&p->scores, hash, error);
	if (r == LMODEL_OK && p->has_reference)
		r = add_tensors(&p->reference, hash, error);
	if (r == LMODEL_OK && p->has_ancestor)
		r = add_tensors(&p->ancestor, hash, error);
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	lm_hmac_sha256(p->master, given->seed, given->seed_len, digest, sizeof(digest));
	return r;
}

static int make_master(struct lm_protection *p, const struct lmodel_pack_options *o,
		       struct lmodel_error *error)
{
	p->master = lm_secret_alloc(LM_KEY, error);
	if (p->master == NULL)
		return LMODEL_EFAILED;
	if (o->seed_len == 0) {
		lm_random(p->master, LM_KEY);
		return LMODEL_OK;
	}
	p->seeded = true;
	return seed_master(p, o, error);
}

/* ---- keys ---- */

static int make_tier(struct lm_protection *p, size_t index, struct lm_grant_tier *given)
{
	struct lm_tier_row *row = &p->manifest->tiers[index];
	const struct lm_key_scope scope = { .archive = p->manifest->id, .tier = row->name,
					    .generation = row->generation };
	uint8_t positions[LM_KEY];

	memcpy(given->name, row->name, strlen(row->name) + 1);
	given->generation = row->generation;
	lm_protection_key(p, "tier key", row->name, given->key);
	lm_derive(row->key_commitment, given->key, LM_LABEL_COMMITMENT, &scope);
	lm_derive(positions, given->key, LM_LABEL_POSITIONS, &scope);
	lm_derive(row->position_commitment, positions, LM_LABEL_POSITION_COMMITMENT, &scope);
	lm_wipe(positions, sizeof(positions));
	return LMODEL_OK;
}

int lm_protection_keys(struct lm_protection *p, const struct lmodel_pack_options *options,
		       struct lmodel_error *error)
{
	struct lm_manifest *m = p->manifest;
	uint8_t id[LM_KEY];

	if (make_master(p, options, error))
		return (int)error->code;
	p->owner = lm_secret_alloc(sizeof(*p->owner), error);
	if (p->owner == NULL)
		return LMODEL_EFAILED;
	/* The id comes first: all other keys are bound to it. */
	memset(m->id, 0, sizeof(m->id));
	lm_protection_key(p, "archive id", "", id);
	lm_uuid_format(m->id, id);
	memcpy(p->owner->archive, m->id, sizeof(m->id));
	p->owner->role = LMODEL_OWNER;
	p->owner->tier_count = m->tier_count;
	for (size_t i = 0; i < m->tier_count; i++)
		make_tier(p, i, &p->owner->tiers[i]);
	lm_protection_key(p, "owner key", "", p->owner->owner_key);
	lm_protection_key(p, "owner seed", "", p->owner->owner_seed);
	m->owner.present = true;
	m->owner.book_counter = 1;
	if (lm_ed25519_public(m->owner.public_key, p->owner->owner_seed, error))
		return LMODEL_EFAILED;
	memcpy(p->owner->owner, m->owner.public_key, sizeof(p->owner->owner));
	return LMODEL_OK;
}

/* ---- slots ---- */

static int add_slot(struct lm_protection *p, size_t index, struct lm_book *book,
		    struct lmodel_error *error)
{
	const struct lmodel_grantee *who = &p->options->grantees[index];
	struct lm_slot_row *row = &p->manifest->slots[index];
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), error);
	LM_FREE char *recipient = NULL;
	uint8_t entropy[LM_KEY], digest[LM_SHA256_SIZE];
	char number[24];
	int r;

	if (grant == NULL)
		return LMODEL_EFAILED;
	snprintf(number, sizeof(number), "%zu", index);
	lm_protection_key(p, "slot", number, entropy);
	r = lm_grant_for(grant, p->owner, who, error);
	p->manifest->slot_count++;
	row->id = (unsigned)index + 1;
	if (r == LMODEL_OK)
		r = lm_slot_make(row, &recipient, grant, who, p->seeded ? entropy : NULL, error);
	lm_wipe(entropy, sizeof(entropy));
	if (r != LMODEL_OK)
		return r;
	lm_slot_digest(row, digest);
	return lm_book_add(book, digest, who, recipient, p->manifest->created, error);
}

int lm_protection_slots(struct lm_protection *p, struct lmodel_error *error)
{
	struct lm_manifest *m = p->manifest;
	struct lm_book book = { 0 };
	uint8_t salt[LM_KEY];
	int r = LMODEL_OK;

	m->slots = calloc(p->options->grantee_count + 1, sizeof(*m->slots));
	if (m->slots == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < p->options->grantee_count && r == LMODEL_OK; i++)
		r = add_slot(p, i, &book, error);
	lm_protection_key(p, "book salt", "", salt);
	if (r == LMODEL_OK)
		r = lm_book_seal(&book, m, p->owner->owner_key, p->seeded ? salt : NULL, error);
	lm_book_free(&book);
	return r;
}

/* ---- sealing the statement ---- */

int lm_owner_seal(struct lm_manifest *m, const struct lm_grant *owner, struct lmodel_error *error)
{
	LM_FREE char *message = NULL;
	size_t len;

	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_key_scope scope = { .archive = m->id, .tier = m->tiers[i].name,
						    .generation = m->tiers[i].generation };
		uint8_t positions[LM_KEY];

		lm_statement_mac(m->tiers[i].key_mac, owner->tiers[i].key, LM_LABEL_MAC, m, i);
		lm_derive(positions, owner->tiers[i].key, LM_LABEL_POSITIONS, &scope);
		lm_statement_mac(m->tiers[i].position_mac, positions, LM_LABEL_POSITION_MAC, m, i);
		lm_wipe(positions, sizeof(positions));
	}
	message = lm_owner_message(m->statement, &len, error);
	if (message == NULL)
		return LMODEL_EFAILED;
	return lm_ed25519_sign(m->owner.signature, owner->owner_seed, message, len, error);
}

int lm_protection_seal(void *protection, struct lm_manifest *manifest, struct lmodel_error *error)
{
	const struct lm_protection *p = protection;

	return lm_owner_seal(manifest, p->owner, error);
}
