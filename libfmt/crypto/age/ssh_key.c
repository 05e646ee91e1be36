#include "crypto/age/ssh_key.h"

#include "crypto/age/base64.h"
#include "crypto/curve.h"
#include "crypto/secret.h"

enum {
	FILE_LIMIT = 64 << 10, /* of any private key; Ed25519 needs about 400 bytes */
	PADDED_TO = 8,         /* block size of the cipher "none" */
};

static const char first_line[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
static const char last_line[] = "-----END OPENSSH PRIVATE KEY-----";
static const char kind[] = "ssh-ed25519";

/* ---- public ---- */

static uint8_t *put_string(uint8_t *to, const void *bytes, uint8_t len)
{
	memset(to, 0, 3);
	to[3] = len;
	memcpy(to + 4, bytes, len);
	return to + 4 + len;
}

void lm_ssh_wire(uint8_t wire[LM_SSH_WIRE], const uint8_t public_key[32])
{
	put_string(put_string(wire, kind, sizeof(kind) - 1), public_key, 32);
}

void lm_ssh_public_text(char text[LM_SSH_TEXT], const uint8_t public_key[32])
{
	uint8_t wire[LM_SSH_WIRE];

	lm_ssh_wire(wire, public_key);
	memcpy(text, kind, sizeof(kind) - 1);
	text[sizeof(kind) - 1] = ' ';
	lm_base64_encode(text + sizeof(kind), wire, sizeof(wire));
	text[LM_SSH_TEXT - 1] = '\0';
}

/* A wire form of another length or kind differs from the one that its last 32 bytes make. */
int lm_ssh_public_parse(const char *text, size_t len, uint8_t public_key[32],
			struct lmodel_error *error)
{
	uint8_t wire[LM_SSH_WIRE], wanted[LM_SSH_WIRE];
	size_t at = sizeof(kind) - 1, end;

	while (at < len && (text[at] == ' ' || text[at] == '\t'))
		at++;
	for (end = at; end < len && text[end] != ' ' && text[end] != '\t';)
		end++;
	if (at == sizeof(kind) - 1 || memcmp(text, kind, sizeof(kind) - 1) != 0 ||
	    !lm_base64_decode_exact(wire, sizeof(wire), (const uint8_t *)text + at, end - at))
		return lm_fail(error, LMODEL_EUSAGE,
			       "the ssh-ed25519 recipient is malformed: mistyped or cut");
	lm_ssh_wire(wanted, wire + LM_SSH_WIRE - 32);
	if (memcmp(wire, wanted, sizeof(wire)) != 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the ssh-ed25519 recipient holds a key of another kind");
	memcpy(public_key, wire + LM_SSH_WIRE - 32, 32);
	return LMODEL_OK;
}

/* ---- private ---- */

struct cursor {
	const uint8_t *at;
	size_t left;
};

static bool get_u32(struct cursor *c, uint32_t *value)
{
	if (c->left < 4)
		return false;
	*value = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 |
		 c->at[3];
	c->at += 4;
	c->left -= 4;
	return true;
}

static bool get_string(struct cursor *c, struct cursor *string)
{
	uint32_t len;

	if (!get_u32(c, &len) || len > c->left)
		return false;
	*string = (struct cursor){ c->at, len };
	c->at += len;
	c->left -= len;
	return true;
}

static bool string_is(const struct cursor *string, const char *text)
{
	return string->left == strlen(text) && memcmp(string->at, text, string->left) == 0;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct cursor without_space(const uint8_t *bytes, size_t len)
{
	while (len > 0 && is_space(*bytes)) {
		bytes++;
		len--;
	}
	while (len > 0 && is_space(bytes[len - 1]))
		len--;
	return (struct cursor){ bytes, len };
}

bool lm_ssh_private_begins(const uint8_t *bytes, size_t len)
{
	struct cursor text = without_space(bytes, len);

	return text.left >= sizeof(first_line) - 1 &&
	       memcmp(text.at, first_line, sizeof(first_line) - 1) == 0;
}

/* The bytes between the lines, into `out`, which has room for as many as the text has. PEM may
 * break its lines anywhere. */
static bool decode_pem(const uint8_t *bytes, size_t len, uint8_t *out, size_t *out_len)
{
	struct cursor text = without_space(bytes, len);
	size_t begin = sizeof(first_line) - 1, end = sizeof(last_line) - 1, n = 0, padding = 0;

	if (!lm_ssh_private_begins(bytes, len) || text.left < begin + end ||
	    memcmp(text.at + text.left - end, last_line, end) != 0 || !is_space(text.at[begin]) ||
	    !is_space(text.at[text.left - end - 1]))
		return false;
	for (size_t i = begin; i < text.left - end; i++)
		if (text.at[i] != '\n' && text.at[i] != '\r')
			out[n++] = text.at[i];
	if (n % 4 != 0)
		return false;
	while (padding < 2 && n > 0 && out[n - 1] == '=') {
		padding++;
		n--;
	}
	*out_len = lm_base64_decoded(n);
	return lm_base64_decode(out, out, n); /* never overtakes what it reads */
}

/* The private section: the same number twice, kind, public key, private key, comment, padding. */
static bool get_private(struct cursor c, uint8_t seed[32], uint8_t public_key[32])
{
	struct cursor name, public, private, comment;
	uint32_t check[2];

	if (c.left % PADDED_TO != 0 || !get_u32(&c, &check[0]) || !get_u32(&c, &check[1]) ||
	    check[0] != check[1] || !get_string(&c, &name) || !string_is(&name, kind) ||
	    !get_string(&c, &public) || public.left != 32 || !get_string(&c, &private) ||
	    private.left != 64 || !get_string(&c, &comment) || c.left >= PADDED_TO)
		return false;
	for (size_t i = 0; i < c.left; i++)
		if (c.at[i] != i + 1)
			return false;
	if (!lm_secret_equal(private.at + 32, public.at, 32))
		return false;
	memcpy(seed, private.at, 32);
	memcpy(public_key, public.at, 32);
	return true;
}

static int malformed(const char *label, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: is a malformed OpenSSH private key", label);
}

static int parse_blob(struct cursor c, const char *label, uint8_t seed[32], uint8_t public_key[32],
		      struct lmodel_error *error)
{
	static const char magic[] = "openssh-key-v1"; /* with its NUL */
	struct cursor cipher, kdf, options, public, wire, section, name;
	uint8_t computed[32];
	uint32_t keys;

	if (c.left < sizeof(magic) || memcmp(c.at, magic, sizeof(magic)) != 0)
		return malformed(label, error);
	c.at += sizeof(magic);
	c.left -= sizeof(magic);
	if (!get_string(&c, &cipher) || !get_string(&c, &kdf) || !get_string(&c, &options) ||
	    !get_u32(&c, &keys) || keys != 1 || !get_string(&c, &public))
		return malformed(label, error);
	wire = public;
	if (!get_string(&wire, &name))
		return malformed(label, error);
	if (!string_is(&name, kind))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: is an SSH key of another kind than Ed25519", label);
	if (!string_is(&cipher, "none"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: is an SSH key with a passphrase, which is not read: decrypt a "
			       "copy of it with ssh-keygen -p -f COPY, or use an age identity",
			       label);
	if (!string_is(&kdf, "none") || options.left != 0 || !get_string(&c, &section) ||
	    c.left != 0 || !get_private(section, seed, public_key))
		return malformed(label, error);
	if (lm_ed25519_public(computed, seed, error))
		return LMODEL_EFAILED;
	/* `wire` holds what follows the kind in the public key outside. */
	if (!get_string(&wire, &name) || wire.left != 0 || name.left != 32 ||
	    memcmp(name.at, public_key, 32) != 0 || memcmp(computed, public_key, 32) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: public and private key do not belong together", label);
	return LMODEL_OK;
}

int lm_ssh_private_parse(const uint8_t *bytes, size_t len, const char *label, uint8_t seed[32],
			 uint8_t public_key[32], struct lmodel_error *error)
{
	LM_SECRET uint8_t *blob = NULL;
	size_t blob_len;

	if (len > FILE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: an SSH key of %zu bytes; the limit is %d",
			       label, len, FILE_LIMIT);
	blob = lm_secret_alloc(len + 1, error);
	if (blob == NULL)
		return LMODEL_EFAILED;
	if (!decode_pem(bytes, len, blob, &blob_len))
		return malformed(label, error);
	return parse_blob((struct cursor){ blob, blob_len }, label, seed, public_key, error);
}
