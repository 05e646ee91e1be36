#include "crypto/age/age.h"

#include "crypto/age/armor.h"
#include "crypto/age/payload.h"
#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

#include <stdio.h>

#define HEADER LM_CLEANUP(lm_age_header_free) struct lm_age_header
#define DRAW LM_CLEANUP(free_draw) struct lm_age_draw

static void free_draw(struct lm_age_draw **draw)
{
	lm_age_draw_free(*draw);
}

/* ---- encryption ---- */

static int check_recipients(const struct lm_age_recipient *const *recipients, size_t count,
			    struct lmodel_error *error)
{
	if (count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "no recipient");
	if (count > LM_AGE_STANZA_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%zu recipients; the limit is %d", count,
			       LM_AGE_STANZA_LIMIT);
	for (size_t i = 0; i < count && count > 1; i++)
		if (recipients[i]->kind->alone)
			return lm_fail(error, LMODEL_EUSAGE,
				       "a passphrase cannot be beside other recipients");
	return LMODEL_OK;
}

/* Header and payload into `out`; `*out_len` is what they take. */
static int write_file(const struct lm_age_recipient *const *recipients, size_t count,
		      const void *plain, size_t len, const struct lm_age_draw *draw, uint8_t *out,
		      size_t *out_len, struct lmodel_error *error)
{
	LM_SECRET uint8_t *file_key = lm_secret_alloc(LM_AGE_FILE_KEY, error);
	char *header = (char *)out, *p = lm_age_header_begin(header);
	uint8_t *nonce;

	if (file_key == NULL)
		return LMODEL_EFAILED;
	lm_age_draw(draw, "file key", 0, file_key, LM_AGE_FILE_KEY);
	for (size_t i = 0; i < count; i++) {
		struct lm_age_wrapped wrapped;
		const struct lm_age_kind *kind = recipients[i]->kind;
		int r = kind->wrap(recipients[i], draw, i, file_key, &wrapped, error);

		if (r != LMODEL_OK)
			return r;
		p = lm_age_header_stanza(p, wrapped.arguments, wrapped.body);
	}
	if (lm_age_header_end(header, &p, file_key, error))
		return LMODEL_EFAILED;
	nonce = (uint8_t *)p;
	lm_age_draw(draw, "nonce", 0, nonce, LM_AGE_NONCE);
	if (lm_age_payload_seal(file_key, nonce, plain, len, nonce + LM_AGE_NONCE, error))
		return LMODEL_EFAILED;
	*out_len = (size_t)(nonce - out) + LM_AGE_NONCE + lm_age_payload_len(len);
	return LMODEL_OK;
}

int lm_age_encrypt(const struct lm_age_recipient *const *recipients, size_t count,
		   const void *plain, size_t len, bool armor, const uint8_t *entropy,
		   uint8_t **out, size_t *out_len, struct lmodel_error *error)
{
	DRAW *draw = NULL;
	LM_FREE uint8_t *bytes = NULL;
	size_t bytes_len = 0;
	int r = lm_crypto_init(error);

	if (r == LMODEL_OK)
		r = check_recipients(recipients, count, error);
	if (r != LMODEL_OK)
		return r;
	/* What is written can be read: armor takes 4 bytes for 3 and the ends of lines. */
	if (len > LM_AGE_FILE_LIMIT ||
	    (LM_AGE_HEADER_TEXT + count * LM_AGE_STANZA_TEXT + LM_AGE_NONCE +
	     lm_age_payload_len(len)) * (armor ? 65 : 48) / 48 + 100 > LM_AGE_FILE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%zu bytes for %zu recipients do not fit an age file of %ju bytes",
			       len, count, (uintmax_t)LM_AGE_FILE_LIMIT);
	bytes = malloc(LM_AGE_HEADER_TEXT + count * LM_AGE_STANZA_TEXT + LM_AGE_NONCE +
		       lm_age_payload_len(len));
	if (bytes == NULL)
		return lm_fail_memory(error);
	draw = lm_age_draw_new(entropy, recipients, count, plain, len, error);
	if (draw == NULL)
		return LMODEL_EFAILED;
	r = write_file(recipients, count, plain, len, draw, bytes, &bytes_len, error);
	if (r != LMODEL_OK)
		return r;
	if (armor)
		return lm_armor_encode(bytes, bytes_len, out, out_len, error);
	*out = bytes;
	*out_len = bytes_len;
	bytes = NULL;
	return LMODEL_OK;
}

/* ---- decryption ---- */

/* `*file` and `*len` become the binary file, `*armor` holds it if it had to be made. */
static int unarmor(const uint8_t **file, size_t *len, uint8_t **armor, struct lmodel_error *error)
{
	int r;

	if (*len > LM_AGE_FILE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "an age file of %zu bytes; the limit is %ju",
			       *len, (uintmax_t)LM_AGE_FILE_LIMIT);
	if (!lm_armor_begins(*file, *len))
		return LMODEL_OK;
	r = lm_armor_decode(*file, *len, armor, len, error);
	if (r == LMODEL_OK)
		*file = *armor;
	return r;
}

int lm_age_decrypt(const struct lm_age_identity *const *identities, size_t count,
		   const uint8_t *file, size_t len, uint8_t **out, size_t *out_len,
		   struct lmodel_error *error)
{
	LM_FREE uint8_t *armor = NULL;
	LM_SECRET uint8_t *file_key = NULL, *plain = NULL;
	HEADER header = { .count = 0 };
	size_t plain_len;
	int r = lm_crypto_init(error);

	if (r == LMODEL_OK)
		r = unarmor(&file, &len, &armor, error);
	if (r == LMODEL_OK)
		r = lm_age_header_parse(&header, file, len, error);
	if (r == LMODEL_OK)
		r = lm_age_stanzas_check(&header, error);
	if (r != LMODEL_OK)
		return r;
	file_key = lm_secret_alloc(LM_AGE_FILE_KEY, error);
	if (file_key == NULL)
		return LMODEL_EFAILED;
	r = lm_age_stanzas_unwrap(&header, identities, count, file_key, error);
	if (r == LMODEL_OK)
		r = lm_age_header_check(&header, file, file_key, error);
	if (r != LMODEL_OK)
		return r;
	if (!lm_age_payload_plain_len(len - header.len, &plain_len))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the payload is cut");
	plain = lm_secret_alloc(plain_len + 1, error);
	if (plain == NULL)
		return LMODEL_EFAILED;
	r = lm_age_payload_open(file_key, header.nonce, file + header.len, len - header.len, plain,
				error);
	if (r != LMODEL_OK)
		return r;
	*out = plain;
	*out_len = plain_len;
	plain = NULL;
	return LMODEL_OK;
}

int lm_age_inspect(const uint8_t *file, size_t len, char *kinds, size_t size,
		   struct lmodel_error *error)
{
	LM_FREE uint8_t *armor = NULL;
	HEADER header = { .count = 0 };
	size_t used = 0;
	int r = unarmor(&file, &len, &armor, error);

	if (r == LMODEL_OK)
		r = lm_age_header_parse(&header, file, len, error);
	if (r == LMODEL_OK)
		r = lm_age_stanzas_check(&header, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < header.count && used < size; i++) {
		const struct lm_age_argument *kind = &header.stanza[i].argument[0];
		int n = (int)LM_MIN(kind->len, size);

		used += (size_t)snprintf(kinds + used, size - used, "%s%.*s", i == 0 ? "" : ",", n,
					 (const char *)kind->at);
	}
	return LMODEL_OK;
}

bool lm_age_work_factor(const uint8_t *file, size_t len, unsigned *log2_n)
{
	LM_FREE uint8_t *armor = NULL;
	HEADER header = { .count = 0 };

	return unarmor(&file, &len, &armor, NULL) == LMODEL_OK &&
	       lm_age_header_parse(&header, file, len, NULL) == LMODEL_OK &&
	       lm_age_stanzas_check(&header, NULL) == LMODEL_OK && header.count == 1 &&
	       lm_age_scrypt_factor(&header.stanza[0], log2_n);
}
