/* "-> scrypt SALT LOG2N" (c2sp.org/age, "The scrypt recipient type"). */
#include "crypto/age/base64.h"
#include "crypto/age/stanza.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#include <stdio.h>

enum { SALT = 16 };

static const char label[] = "age-encryption.org/v1/scrypt";

/* What stands before the salt is part of scrypt's own. */
static int derive(uint8_t key[32], const char *passphrase, size_t len, const uint8_t salt[SALT],
		  unsigned log2_n, struct lmodel_error *error)
{
	uint8_t full[sizeof(label) - 1 + SALT];

	memcpy(full, label, sizeof(label) - 1);
	memcpy(full + sizeof(label) - 1, salt, SALT);
	return lm_scrypt(key, 32, passphrase, len, full, sizeof(full), log2_n, error);
}

/* Decimal digits, the first not 0. A number too long to matter comes out as UINT32_MAX. */
static bool get_number(const struct lm_age_argument *text, unsigned *number)
{
	uint64_t n = 0;

	if (text->at[0] == '0')
		return false;
	for (size_t i = 0; i < text->len; i++) {
		if (text->at[i] < '0' || text->at[i] > '9')
			return false;
		n = LM_MIN(n * 10 + (uint64_t)(text->at[i] - '0'), (uint64_t)UINT32_MAX);
	}
	*number = (unsigned)n;
	return true;
}

static bool get_arguments(const struct lm_age_stanza *stanza, uint8_t salt[SALT], unsigned *log2_n)
{
	return stanza->arguments == 3 &&
	       lm_base64_decode_exact(salt, SALT, stanza->argument[1].at,
				      stanza->argument[1].len) &&
	       get_number(&stanza->argument[2], log2_n);
}

bool lm_age_scrypt_factor(const struct lm_age_stanza *stanza, unsigned *log2_n)
{
	uint8_t salt[SALT];

	return lm_age_argument_is(&stanza->argument[0], "scrypt") &&
	       get_arguments(stanza, salt, log2_n);
}

static int check(const struct lm_age_stanza *stanza, struct lmodel_error *error)
{
	uint8_t salt[SALT];
	unsigned log2_n = 0;

	if (!get_arguments(stanza, salt, &log2_n))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: a scrypt stanza is malformed");
	if (log2_n > LM_AGE_SCRYPT_READ)
		return lm_fail(error, LMODEL_ELIMIT,
			       "age file: a work factor of %u; the limit is %d", log2_n,
			       LM_AGE_SCRYPT_READ);
	return LMODEL_OK;
}

static int wrap(const struct lm_age_recipient *recipient, const struct lm_age_draw *draw,
		size_t index, const uint8_t file_key[LM_AGE_FILE_KEY],
		struct lm_age_wrapped *wrapped, struct lmodel_error *error)
{
	LM_SECRET uint8_t *key = lm_secret_alloc(32, error);
	char text[23] = "";
	uint8_t salt[SALT];

	if (key == NULL)
		return LMODEL_EFAILED;
	lm_age_draw(draw, "salt", index, salt, sizeof(salt));
	if (derive(key, recipient->passphrase, recipient->passphrase_len, salt, recipient->log2_n,
		   error))
		return LMODEL_EFAILED;
	lm_base64_encode(text, salt, sizeof(salt));
	snprintf(wrapped->arguments, sizeof(wrapped->arguments), "%s %s %u", lm_age_scrypt.name,
		 text, recipient->log2_n);
	return lm_age_seal_key(key, file_key, wrapped->body, error);
}

static int unwrap(const struct lm_age_identity *identity, const struct lm_age_stanza *stanza,
		  uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
{
	LM_SECRET uint8_t *key = lm_secret_alloc(32, error);
	uint8_t salt[SALT];
	unsigned log2_n = 0;
	int r;

	if (key == NULL)
		return LMODEL_EFAILED;
	r = check(stanza, error);
	if (r != LMODEL_OK)
		return r;
	(void)get_arguments(stanza, salt, &log2_n);
	if (derive(key, identity->passphrase, identity->passphrase_len, salt, log2_n, error))
		return LMODEL_EFAILED;
	return lm_age_open_key(key, stanza->body, file_key) ? LMODEL_OK : LMODEL_ENOKEY;
}

static int check_passphrase(size_t len, struct lmodel_error *error)
{
	if (len == 0)
		return lm_fail(error, LMODEL_EUSAGE, "the passphrase is empty");
	if (len > LM_AGE_PASSPHRASE_LIMIT)
		return lm_fail(error, LMODEL_EUSAGE, "a passphrase of %zu bytes; the limit is %d",
			       len, LM_AGE_PASSPHRASE_LIMIT);
	return LMODEL_OK;
}

int lm_age_recipient_passphrase(struct lm_age_recipient **out, const char *passphrase, size_t len,
				unsigned log2_n, struct lmodel_error *error)
{
	struct lm_age_recipient *recipient;

	if (check_passphrase(len, error))
		return LMODEL_EUSAGE;
	if (log2_n < 1 || log2_n > LM_AGE_SCRYPT_READ)
		return lm_fail(error, LMODEL_EUSAGE, "a work factor of %u; 1 to %d are possible",
			       log2_n, LM_AGE_SCRYPT_READ);
	recipient = lm_age_recipient_new(&lm_age_scrypt, len, error);
	if (recipient == NULL)
		return LMODEL_EFAILED;
	recipient->log2_n = log2_n;
	memcpy(recipient->passphrase, passphrase, len);
	*out = recipient;
	return LMODEL_OK;
}

int lm_age_identity_passphrase(struct lm_age_identity **out, const char *passphrase, size_t len,
			       struct lmodel_error *error)
{
	struct lm_age_identity *identity;

	if (check_passphrase(len, error))
		return LMODEL_EUSAGE;
	identity = lm_age_identity_new(&lm_age_scrypt, len, error);
	if (identity == NULL)
		return LMODEL_EFAILED;
	memcpy(identity->passphrase, passphrase, len);
	*out = identity;
	return LMODEL_OK;
}

const struct lm_age_kind lm_age_scrypt = {
	.name = "scrypt",
	.alone = true,
	.check = check,
	.wrap = wrap,
	.unwrap = unwrap,
};
