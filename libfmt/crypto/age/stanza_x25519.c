/* "-> X25519 SHARE" (c2sp.org/age, "The X25519 recipient type"). */
#include "crypto/age/base64.h"
#include "crypto/age/bech32.h"
#include "crypto/age/stanza.h"
#include "crypto/curve.h"
#include "crypto/secret.h"

#include <stdio.h>

static const char label[] = "age-encryption.org/v1/X25519";
static const char recipient_hrp[] = "age";
static const char identity_hrp[] = "AGE-SECRET-KEY-";

struct exchange {
	uint8_t scalar[32], shared[32], key[32];
};

static bool get_share(const struct lm_age_stanza *stanza, uint8_t share[32])
{
	return stanza->arguments == 2 &&
	       lm_base64_decode_exact(share, 32, stanza->argument[1].at, stanza->argument[1].len);
}

static int check(const struct lm_age_stanza *stanza, struct lmodel_error *error)
{
	uint8_t share[32];

	if (!get_share(stanza, share))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: an X25519 stanza is malformed");
	return LMODEL_OK;
}

static int wrap(const struct lm_age_recipient *recipient, const struct lm_age_draw *draw,
		size_t index, const uint8_t file_key[LM_AGE_FILE_KEY],
		struct lm_age_wrapped *wrapped, struct lmodel_error *error)
{
	LM_SECRET struct exchange *x = lm_secret_alloc(sizeof(*x), error);
	char text[44] = "";
	uint8_t share[32];

	if (x == NULL)
		return LMODEL_EFAILED;
	lm_age_draw(draw, "share", index, x->scalar, sizeof(x->scalar));
	lm_x25519_public(share, x->scalar);
	if (!lm_x25519(x->shared, x->scalar, recipient->point))
		return lm_fail(error, LMODEL_EUSAGE, "recipient %s: is no usable key",
			       recipient->text);
	lm_age_exchange_key(x->key, x->shared, share, recipient->point, label);
	lm_base64_encode(text, share, sizeof(share));
	snprintf(wrapped->arguments, sizeof(wrapped->arguments), "%s %s", lm_age_x25519.name, text);
	return lm_age_seal_key(x->key, file_key, wrapped->body, error);
}

static int unwrap(const struct lm_age_identity *identity, const struct lm_age_stanza *stanza,
		  uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
{
	LM_SECRET struct exchange *x = lm_secret_alloc(sizeof(*x), error);
	uint8_t share[32];

	if (x == NULL)
		return LMODEL_EFAILED;
	if (!get_share(stanza, share) || !lm_x25519(x->shared, identity->scalar, share))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "age file: an X25519 stanza has a share of low order");
	lm_age_exchange_key(x->key, x->shared, share, identity->point, label);
	return lm_age_open_key(x->key, stanza->body, file_key) ? LMODEL_OK : LMODEL_ENOKEY;
}

static int parse_recipient(struct lm_age_recipient *recipient, const char *text, size_t len,
			   struct lmodel_error *error)
{
	static const uint8_t any[32] = { 1 };
	uint8_t shared[32];

	if (!lm_bech32_decode(recipient_hrp, recipient->point, sizeof(recipient->point), text, len))
		return lm_fail(error, LMODEL_EUSAGE,
			       "the recipient is not a whole age1 key: mistyped or cut");
	if (!lm_x25519(shared, any, recipient->point))
		return lm_fail(error, LMODEL_EUSAGE,
			       "the recipient is no usable key: of low order");
	lm_bech32_encode(recipient->text, recipient_hrp, recipient->point,
			 sizeof(recipient->point));
	return LMODEL_OK;
}

int lm_age_x25519_identity(struct lm_age_identity *identity, const uint8_t scalar[32],
			   struct lmodel_error *error)
{
	static const uint8_t zeros[32];

	memcpy(identity->scalar, scalar, sizeof(identity->scalar));
	lm_x25519_public(identity->point, identity->scalar);
	if (lm_secret_equal(identity->point, zeros, sizeof(zeros)))
		return lm_fail(error, LMODEL_EFAILED, "cannot compute an X25519 public key");
	lm_bech32_encode(identity->text, recipient_hrp, identity->point, sizeof(identity->point));
	return LMODEL_OK;
}

static int parse_identity(struct lm_age_identity *identity, const char *text, size_t len)
{
	LM_SECRET uint8_t *scalar = lm_secret_alloc(32, NULL);

	if (scalar == NULL)
		return LMODEL_EFAILED;
	if (!lm_bech32_decode(identity_hrp, scalar, 32, text, len))
		return LMODEL_ECORRUPT;
	return lm_age_x25519_identity(identity, scalar, NULL);
}

char *lm_age_identity_text(const struct lm_age_identity *identity, struct lmodel_error *error)
{
	char *text;

	if (identity->kind != &lm_age_x25519) {
		lm_fail(error, LMODEL_EUSAGE, "an identity of kind %s has no text",
			identity->kind->name);
		return NULL;
	}
	text = lm_secret_alloc(lm_bech32_encoded(sizeof(identity_hrp) - 1, 32) + 1, error);
	if (text != NULL)
		lm_bech32_encode(text, identity_hrp, identity->scalar, sizeof(identity->scalar));
	return text;
}

const struct lm_age_kind lm_age_x25519 = {
	.name = "X25519",
	.recipient_prefix = "age1",
	.identity_prefix = "AGE-SECRET-KEY-1",
	.check = check,
	.wrap = wrap,
	.unwrap = unwrap,
	.parse_recipient = parse_recipient,
	.parse_identity = parse_identity,
};
