#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

struct lm_age_identity *lm_age_identity_new(const struct lm_age_kind *kind, size_t passphrase_len,
					    struct lmodel_error *error)
{
	struct lm_age_identity *identity;

	if (lm_crypto_init(error))
		return NULL;
	identity = lm_secret_alloc(sizeof(*identity) + passphrase_len, error);
	if (identity == NULL)
		return NULL;
	identity->kind = kind;
	identity->passphrase_len = passphrase_len;
	return identity;
}

int lm_age_identity_from_scalar(struct lm_age_identity **out, const uint8_t scalar[32],
				struct lmodel_error *error)
{
	struct lm_age_identity *identity = lm_age_identity_new(&lm_age_x25519, 0, error);

	if (identity == NULL)
		return LMODEL_EFAILED;
	if (lm_age_x25519_identity(identity, scalar, error)) {
		lm_age_identity_free(identity);
		return LMODEL_EFAILED;
	}
	*out = identity;
	return LMODEL_OK;
}

int lm_age_identity_generate(struct lm_age_identity **out, struct lmodel_error *error)
{
	LM_SECRET uint8_t *scalar = NULL;

	if (lm_crypto_init(error))
		return LMODEL_EFAILED;
	scalar = lm_secret_alloc(32, error);
	if (scalar == NULL)
		return LMODEL_EFAILED;
	lm_random(scalar, 32);
	return lm_age_identity_from_scalar(out, scalar, error);
}

const char *lm_age_identity_kind(const struct lm_age_identity *identity)
{
	return identity->kind->name;
}

const char *lm_age_identity_recipient(const struct lm_age_identity *identity)
{
	return identity->text[0] == '\0' ? NULL : identity->text;
}

void lm_age_identity_free(struct lm_age_identity *identity)
{
	lm_secret_free(identity);
}
