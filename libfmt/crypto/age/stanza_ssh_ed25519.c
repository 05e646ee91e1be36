/* "-> ssh-ed25519 TAG SHARE": an X25519 exchange with an SSH key, as age does it. */
#include "crypto/age/base64.h"
#include "crypto/age/ssh_key.h"
#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/curve.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/sha512.h"

#include <stdio.h>

enum { TAG = 4 };

static const char label[] = "age-encryption.org/v1/ssh-ed25519";

struct exchange {
	uint8_t scalar[32], first[32], shared[32], key[32];
};

static bool get_arguments(const struct lm_age_stanza *stanza, uint8_t tag[TAG], uint8_t share[32])
{
	return stanza->arguments == 3 &&
	       lm_base64_decode_exact(tag, TAG, stanza->argument[1].at, stanza->argument[1].len) &&
	       lm_base64_decode_exact(share, 32, stanza->argument[2].at, stanza->argument[2].len);
}

static int check(const struct lm_age_stanza *stanza, struct lmodel_error *error)
{
	uint8_t tag[TAG], share[32];

	if (!get_arguments(stanza, tag, share))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "age file: an ssh-ed25519 stanza is malformed");
	return LMODEL_OK;
}

/* The first bytes of the digest of the key's wire form. */
static void tag_of(uint8_t tag[TAG], const uint8_t wire[LM_SSH_WIRE])
{
	uint8_t digest[LM_SHA256_SIZE];

	lm_sha256(digest, wire, LM_SSH_WIRE);
	memcpy(tag, digest, TAG);
}

/* The exchange once more with a scalar made of the SSH key, so that the result depends on it, and
 * the key of the stanza. x->first is the plain exchange. */
static bool derive(struct exchange *x, const uint8_t wire[LM_SSH_WIRE], const uint8_t share[32],
		   const uint8_t point[32])
{
	uint8_t tweak[32];

	lm_hkdf_sha256(tweak, sizeof(tweak), NULL, 0, wire, LM_SSH_WIRE, label, sizeof(label) - 1);
	if (!lm_x25519(x->shared, tweak, x->first))
		return false;
	lm_age_exchange_key(x->key, x->shared, share, point, label);
	return true;
}

static int wrap(const struct lm_age_recipient *recipient, const struct lm_age_draw *draw,
		size_t index, const uint8_t file_key[LM_AGE_FILE_KEY],
		struct lm_age_wrapped *wrapped, struct lmodel_error *error)
{
	LM_SECRET struct exchange *x = lm_secret_alloc(sizeof(*x), error);
	uint8_t wire[LM_SSH_WIRE], tag[TAG], share[32];
	char tag_text[7] = "", share_text[44] = "";

	if (x == NULL)
		return LMODEL_EFAILED;
	lm_ssh_wire(wire, recipient->signing);
	tag_of(tag, wire);
	lm_age_draw(draw, "share", index, x->scalar, sizeof(x->scalar));
	lm_x25519_public(share, x->scalar);
	if (!lm_x25519(x->first, x->scalar, recipient->point) ||
	    !derive(x, wire, share, recipient->point))
		return lm_fail(error, LMODEL_EUSAGE, "recipient %s: is no usable key",
			       recipient->text);
	lm_base64_encode(tag_text, tag, sizeof(tag));
	lm_base64_encode(share_text, share, sizeof(share));
	snprintf(wrapped->arguments, sizeof(wrapped->arguments), "%s %s %s",
		 lm_age_ssh_ed25519.name, tag_text, share_text);
	return lm_age_seal_key(x->key, file_key, wrapped->body, error);
}

static int unwrap(const struct lm_age_identity *identity, const struct lm_age_stanza *stanza,
		  uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
{
	LM_SECRET struct exchange *x = lm_secret_alloc(sizeof(*x), error);
	uint8_t wire[LM_SSH_WIRE], wanted[TAG], tag[TAG], share[32];

	if (x == NULL)
		return LMODEL_EFAILED;
	if (check(stanza, error) || !get_arguments(stanza, tag, share))
		return LMODEL_ECORRUPT;
	lm_ssh_wire(wire, identity->signing);
	tag_of(wanted, wire);
	if (memcmp(tag, wanted, TAG) != 0)
		return LMODEL_ENOKEY;
	if (!lm_x25519(x->first, identity->scalar, share) ||
	    !derive(x, wire, share, identity->point))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "age file: an ssh-ed25519 stanza has a share of low order");
	return lm_age_open_key(x->key, stanza->body, file_key) ? LMODEL_OK : LMODEL_ENOKEY;
}

/* Points of low order give the same secret to everyone. */
static bool set_point(uint8_t point[32], const uint8_t signing[32])
{
	static const uint8_t any[32] = { 1 };
	uint8_t shared[32];

	return lm_ed25519_to_x25519(point, signing) && lm_x25519(shared, any, point);
}

static int parse_recipient(struct lm_age_recipient *recipient, const char *text, size_t len,
			   struct lmodel_error *error)
{
	int r = lm_ssh_public_parse(text, len, recipient->signing, error);

	if (r != LMODEL_OK)
		return r;
	if (!set_point(recipient->point, recipient->signing))
		return lm_fail(error, LMODEL_EUSAGE, "the ssh-ed25519 recipient is no usable key");
	lm_ssh_public_text(recipient->text, recipient->signing);
	return LMODEL_OK;
}

int lm_age_ssh_ed25519_identity(struct lm_age_identity *identity, const uint8_t seed[32],
				const uint8_t public_key[32], struct lmodel_error *error)
{
	LM_SECRET uint8_t *digest = lm_secret_alloc(LM_SHA512_SIZE, error);

	if (digest == NULL)
		return LMODEL_EFAILED;
	lm_sha512(digest, seed, 32);
	memcpy(identity->scalar, digest, sizeof(identity->scalar));
	memcpy(identity->signing, public_key, sizeof(identity->signing));
	if (!set_point(identity->point, identity->signing))
		return lm_fail(error, LMODEL_ECORRUPT, "the ssh-ed25519 key is no usable key");
	lm_ssh_public_text(identity->text, identity->signing);
	return LMODEL_OK;
}

const struct lm_age_kind lm_age_ssh_ed25519 = {
	.name = "ssh-ed25519",
	.recipient_prefix = "ssh-ed25519",
	.check = check,
	.wrap = wrap,
	.unwrap = unwrap,
	.parse_recipient = parse_recipient,
};
