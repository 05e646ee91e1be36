/* Side files under a tier, at pack time: their rows, and their streams (spec: 7.9). */
#include "archive/protect.h"

#include "archive/shard.h"
#include "base/io.h"
#include "crypto/chunked.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

static bool is_in(const struct lm_protection *p, size_t attachment, size_t tier)
{
	const char *name = p->model.model->attachments[attachment].tier;

	return name != NULL && strcmp(name, p->manifest->tiers[tier].name) == 0;
}

bool lm_protection_attaches(const struct lm_protection *p, const char *tier)
{
	const struct lm_model *in = p->model.model;

	for (size_t i = 0; i < in->attachment_count; i++)
		if (in->attachments[i].tier != NULL && strcmp(in->attachments[i].tier, tier) == 0)
			return true;
	return false;
}

static int add_row(struct lm_protection *p, size_t attachment, size_t tier,
		   struct lmodel_error *error)
{
	const struct lm_source_attachment *a = &p->model.model->attachments[attachment];
	struct lm_manifest *m = p->manifest;
	struct lm_sealed_row *row = &m->sealed[m->sealed_count++];

	p->sealed_from[m->sealed_count - 1] = attachment;
	row->tier = tier;
	row->name = lm_strdup(a->name, error);
	if (row->name == NULL)
		return LMODEL_EFAILED;
	if (a->size > LM_SEALED_LIMIT || lm_padded_len(a->size) > LM_SEALED_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju bytes; the limit of a tier is %ju",
			       a->label, (uintmax_t)a->size, (uintmax_t)LM_SEALED_LIMIT);
	row->stream.length = lm_sealed_len(lm_padded_len(a->size));
	m->tiers[tier].sealed_count++;
	return LMODEL_OK;
}

int lm_protection_add_sealed(struct lm_protection *p, struct lmodel_error *error)
{
	const size_t count = p->model.model->attachment_count;
	struct lm_manifest *m = p->manifest;
	int r = LMODEL_OK;

	m->sealed = calloc(count + 1, sizeof(*m->sealed));
	p->sealed_from = calloc(count + 1, sizeof(*p->sealed_from));
	if (m->sealed == NULL || p->sealed_from == NULL)
		return lm_fail_memory(error);
	for (size_t t = 0; t < m->tier_count; t++) {
		m->tiers[t].first_sealed = m->sealed_count;
		for (size_t i = 0; i < count && r == LMODEL_OK; i++)
			if (is_in(p, i, t))
				r = add_row(p, i, t, error);
	}
	return r;
}

/* The key that salts come from follows, with a seed, from all that is packed: so the salt does, and
 * never meets two contents. */
static void make_salt(const struct lm_protection *p, const uint8_t *context, size_t len,
		      uint8_t salt[LM_KEY])
{
	uint8_t key[LM_KEY];

	lm_protection_key(p, "attachment salt", "", key);
	lm_hmac_sha256(salt, key, sizeof(key), context, len);
	lm_wipe(key, sizeof(key));
}

static int write_one(const struct lm_protection *p, size_t index, const struct lm_writer *out,
		     uint8_t *buffer, size_t size, struct lmodel_error *error)
{
	struct lm_sealed_row *row = &p->manifest->sealed[index];
	const struct lm_source_attachment *a =
		&p->model.model->attachments[p->sealed_from[index]];
	const struct lm_tier_row *tier = &p->manifest->tiers[row->tier];
	const struct lm_key_scope scope = { .archive = p->manifest->id, .tier = tier->name,
					    .generation = tier->generation };
	struct lm_stream_writer stream = { .fd = -1 };
	uint8_t context[LM_ATTACHMENT_CONTEXT], key[LM_KEY], salt[LM_KEY];
	size_t n = lm_attachment_context(context, p->manifest, row, lm_padded_len(a->size));
	int r;

	lm_derive(key, p->owner->tiers[row->tier].key, LM_LABEL_VALUES, &scope);
	if (p->seeded)
		make_salt(p, context, n, salt);
	r = lm_stream_begin(&stream, out->fd, out->label,
			    tier->offset[LM_VALUES] + row->stream.offset, key, context, n,
			    p->seeded ? salt : NULL, a->size, error);
	lm_wipe(key, sizeof(key));
	for (uint64_t at = 0; at < a->size && r == LMODEL_OK; at += size) {
		size_t len = (size_t)LM_MIN(a->size - at, (uint64_t)size);

		r = lm_read_at(a->fd, a->label, buffer, len, at, error);
		if (r == LMODEL_OK)
			r = lm_stream_add(&stream, buffer, len, error);
	}
	if (r == LMODEL_OK)
		r = lm_stream_finish(&stream, row->stream.digest, error);
	lm_stream_release(&stream);
	return r;
}

int lm_protection_write_sealed(const struct lm_protection *p, const struct lm_writer *out,
			       struct lmodel_error *error)
{
	enum { BUFFER = 1 << 20 };
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	int r = buffer == NULL ? lm_fail_memory(error) : LMODEL_OK;

	for (size_t i = 0; i < p->manifest->sealed_count && r == LMODEL_OK; i++)
		r = write_one(p, i, out, buffer, BUFFER, error);
	if (buffer != NULL)
		lm_wipe(buffer, BUFFER);
	return r;
}
