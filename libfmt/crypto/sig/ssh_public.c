#include "crypto/sig/ssh_public.h"

#include "crypto/age/base64.h"
#include "crypto/age/ssh_key.h"
#include "crypto/crypto.h"
#include "crypto/sig/wire.h"

static const char plain_kind[] = "ssh-ed25519";
static const char fido_kind[] = "sk-ssh-ed25519@openssh.com";

void lm_ssh_public_plain(struct lm_ssh_public *public, const uint8_t key[32])
{
	memset(public, 0, sizeof(*public));
	lm_ssh_wire(public->wire, key);
	public->wire_len = LM_SSH_WIRE;
	memcpy(public->key, key, 32);
}

/* A kind comes from a file: at most 64 of its bytes are shown. */
static int other_kind(const struct lm_wire *kind, struct lmodel_error *error)
{
	char name[65] = "";

	memcpy(name, kind->at, LM_MIN(kind->left, sizeof(name) - 1));
	return lm_fail(error, LMODEL_EUNSUPPORTED,
		       "an SSH key of kind %s is not supported: only ssh-ed25519 and its FIDO form",
		       LM_QUOTE(name));
}

int lm_ssh_public_read(struct lm_ssh_public *public, const uint8_t *wire, size_t len,
		       struct lmodel_error *error)
{
	struct lm_wire rest = { wire, len }, kind, key, application = { NULL, 0 };
	bool fido;

	if (!lm_wire_string(&rest, &kind))
		return lm_fail(error, LMODEL_ECORRUPT, "a malformed SSH public key");
	fido = lm_wire_is(&kind, fido_kind);
	if (!fido && !lm_wire_is(&kind, plain_kind))
		return other_kind(&kind, error);
	if (!lm_wire_string(&rest, &key) || key.left != 32 ||
	    (fido && !lm_wire_string(&rest, &application)) || rest.left != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "a malformed SSH public key");
	if (application.left > LM_SSH_APPLICATION)
		return lm_fail(error, LMODEL_ELIMIT,
			       "the application of a FIDO key has %zu bytes; the limit is %u",
			       application.left, LM_SSH_APPLICATION);
	lm_ssh_public_plain(public, key.at);
	public->fido = fido;
	memcpy(public->wire, wire, len);
	public->wire_len = len;
	if (fido)
		lm_sha256(public->application, application.at, application.left);
	return LMODEL_OK;
}

bool lm_ssh_public_equal(const struct lm_ssh_public *a, const struct lm_ssh_public *b)
{
	return a->wire_len == b->wire_len && memcmp(a->wire, b->wire, a->wire_len) == 0;
}

void lm_ssh_public_fingerprint(char text[LM_SSH_FINGERPRINT], const struct lm_ssh_public *public)
{
	static const char name[] = "SHA256:";
	uint8_t digest[LM_SHA256_SIZE];

	lm_sha256(digest, public->wire, public->wire_len);
	memcpy(text, name, sizeof(name) - 1);
	lm_base64_encode(text + sizeof(name) - 1, digest, sizeof(digest));
	text[LM_SSH_FINGERPRINT - 1] = '\0';
}
