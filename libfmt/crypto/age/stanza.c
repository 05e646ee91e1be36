#include "crypto/age/stanza.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

const struct lm_age_kind *const lm_age_kinds[] = {
	&lm_age_x25519, &lm_age_ssh_ed25519, &lm_age_scrypt, NULL,
};

static const struct lm_age_kind *kind_of(const struct lm_age_stanza *stanza)
{
	for (size_t i = 0; lm_age_kinds[i] != NULL; i++)
		if (lm_age_argument_is(&stanza->argument[0], lm_age_kinds[i]->name))
			return lm_age_kinds[i];
	return NULL;
}

int lm_age_stanzas_check(const struct lm_age_header *header, struct lmodel_error *error)
{
	for (size_t i = 0; i < header->count; i++) {
		const struct lm_age_stanza *stanza = &header->stanza[i];
		const struct lm_age_kind *kind = kind_of(stanza);
		int r;

		if (kind == NULL)
			continue;
		if (kind->alone && header->count > 1)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: a passphrase beside other recipients");
		/* A shorter body would let one stanza fit many keys (c2sp.org/age). */
		if (stanza->body_len != LM_AGE_BODY)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: a wrapped key of %zu bytes, not %d",
				       stanza->body_len, LM_AGE_BODY);
		r = kind->check(stanza, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

int lm_age_stanzas_unwrap(const struct lm_age_header *header,
			  const struct lm_age_identity *const *identities, size_t count,
			  uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
{
	bool passphrase = false;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < header->count; j++) {
			int r;

			if (identities[i]->kind != kind_of(&header->stanza[j]))
				continue;
			passphrase |= identities[i]->kind == &lm_age_scrypt;
			r = identities[i]->kind->unwrap(identities[i], &header->stanza[j], file_key,
							error);
			if (r != LMODEL_ENOKEY)
				return r;
		}
	if (passphrase)
		return lm_fail(error, LMODEL_ENOKEY, "wrong passphrase");
	return lm_fail(error, LMODEL_ENOKEY, "none of the %zu identities opens the age file",
		       count);
}

void lm_age_exchange_key(uint8_t key[32], const uint8_t shared[32], const uint8_t share[32],
			 const uint8_t point[32], const char *info)
{
	uint8_t salt[64];

	memcpy(salt, share, 32);
	memcpy(salt + 32, point, 32);
	lm_hkdf_sha256(key, 32, shared, 32, salt, sizeof(salt), info, strlen(info));
}

static const uint8_t zero_nonce[LM_AEAD_NONCE];

int lm_age_seal_key(const uint8_t key[32], const uint8_t file_key[LM_AGE_FILE_KEY],
		    uint8_t body[LM_AGE_BODY], struct lmodel_error *error)
{
	return lm_chacha_seal(key, zero_nonce, file_key, LM_AGE_FILE_KEY, body, error);
}

bool lm_age_open_key(const uint8_t key[32], const uint8_t body[LM_AGE_BODY],
		     uint8_t file_key[LM_AGE_FILE_KEY])
{
	return lm_chacha_open(key, zero_nonce, body, LM_AGE_BODY, file_key);
}
