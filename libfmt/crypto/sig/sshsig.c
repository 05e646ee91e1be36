#include "crypto/sig/sshsig.h"

#include "crypto/age/base64.h"
#include "crypto/crypto.h"
#include "crypto/sha512.h"
#include "crypto/sig/wire.h"

enum {
	BLOB_VERSION = 1,
	COLUMNS = 70,       /* ssh-keygen's; the specification says 76 */
	SIGNED_LIMIT = 512, /* what is signed: at most 347 bytes */
	BLOB_LIMIT = 1024,  /* at most 715 bytes */
};

static const char magic[6] = { 'S', 'S', 'H', 'S', 'I', 'G' };
static const char first_line[] = "-----BEGIN SSH SIGNATURE-----";
static const char last_line[] = "-----END SSH SIGNATURE-----";
static const char plain_kind[] = "ssh-ed25519";
static const char fido_kind[] = "sk-ssh-ed25519@openssh.com";

static const char *hash_name(const struct lm_sshsig *sig)
{
	return sig->sha256 ? "sha256" : "sha512";
}

static uint8_t *put_text(uint8_t *to, const char *text)
{
	return lm_wire_put_string(to, text, strlen(text));
}

/* ---- what is signed: PROTOCOL.sshsig, section 3 ---- */

static size_t signed_data(uint8_t data[SIGNED_LIMIT], const struct lm_sshsig *sig,
			  const void *message, size_t len)
{
	uint8_t digest[LM_SHA512_SIZE], *p = data + sizeof(magic);

	memcpy(data, magic, sizeof(magic));
	p = put_text(p, sig->ns);
	p = put_text(p, ""); /* reserved */
	p = put_text(p, hash_name(sig));
	if (sig->sha256)
		lm_sha256(digest, len == 0 ? "" : message, len);
	else
		lm_sha512(digest, message, len);
	p = lm_wire_put_string(p, digest, sig->sha256 ? LM_SHA256_SIZE : LM_SHA512_SIZE);
	return (size_t)(p - data);
}

/* A token signs hashes, and what it knows itself (PROTOCOL.u2f, "SSH U2F signatures"). */
static size_t token_data(uint8_t data[SIGNED_LIMIT], const struct lm_sshsig *sig,
			 const uint8_t *message, size_t len)
{
	uint8_t *p = data + LM_SHA256_SIZE;

	memcpy(data, sig->key.application, LM_SHA256_SIZE);
	*p++ = sig->flags;
	p = lm_wire_put_u32(p, sig->counter);
	lm_sha256(p, message, len);
	return (size_t)(p - data) + LM_SHA256_SIZE;
}

bool lm_sshsig_verify(const struct lm_sshsig *sig, const char *ns, const void *message, size_t len)
{
	uint8_t data[SIGNED_LIMIT], token[SIGNED_LIMIT];
	const uint8_t *covered = data;
	size_t n;

	if (lm_crypto_init(NULL) || strcmp(sig->ns, ns) != 0)
		return false;
	n = signed_data(data, sig, message, len);
	if (sig->key.fido) {
		n = token_data(token, sig, data, n);
		covered = token;
	}
	return lm_ed25519_verify(sig->key.key, covered, n, sig->signature);
}

/* ---- writing: section 2 ---- */

static size_t put_blob(uint8_t blob[BLOB_LIMIT], const struct lm_sshsig *sig)
{
	uint8_t inner[sizeof(fido_kind) + LM_SIGNATURE + 16], *p = blob, *q = inner;

	q = put_text(q, sig->key.fido ? fido_kind : plain_kind);
	q = lm_wire_put_string(q, sig->signature, LM_SIGNATURE);
	if (sig->key.fido) {
		*q++ = sig->flags;
		q = lm_wire_put_u32(q, sig->counter);
	}
	memcpy(p, magic, sizeof(magic));
	p = lm_wire_put_u32(p + sizeof(magic), BLOB_VERSION);
	p = lm_wire_put_string(p, sig->key.wire, sig->key.wire_len);
	p = put_text(p, sig->ns);
	p = put_text(p, ""); /* reserved */
	p = put_text(p, hash_name(sig));
	p = lm_wire_put_string(p, inner, (size_t)(q - inner));
	return (size_t)(p - blob);
}

static char *put_line(char *to, const char *line, size_t len)
{
	memcpy(to, line, len);
	to[len] = '\n';
	return to + len + 1;
}

int lm_sshsig_text(char **armored, const struct lm_sshsig *sig, struct lmodel_error *error)
{
	char body[BLOB_LIMIT / 3 * 4 + 8], *text, *p;
	uint8_t blob[BLOB_LIMIT];
	size_t len = put_blob(blob, sig), n = lm_base64_encoded(len);

	lm_base64_encode(body, blob, len);
	while (n % 4 != 0)
		body[n++] = '=';
	text = malloc(sizeof(first_line) + n + n / COLUMNS + 2 + sizeof(last_line) + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	p = put_line(text, first_line, sizeof(first_line) - 1);
	for (size_t at = 0; at < n; at += COLUMNS)
		p = put_line(p, body + at, LM_MIN(n - at, (size_t)COLUMNS));
	p = put_line(p, last_line, sizeof(last_line) - 1);
	*p = '\0';
	*armored = text;
	return LMODEL_OK;
}

int lm_sshsig_sign(char **armored, const uint8_t seed[32], const char *ns, const void *message,
		   size_t len, struct lmodel_error *error)
{
	struct lm_sshsig sig = { .sha256 = false };
	uint8_t data[SIGNED_LIMIT], public_key[32];
	size_t ns_len = strlen(ns), n;

	if (ns_len == 0 || ns_len > LM_SSHSIG_NAMESPACE)
		return lm_fail(error, LMODEL_EUSAGE,
			       "the namespace of a signature has 1 to %u bytes",
			       LM_SSHSIG_NAMESPACE);
	if (lm_crypto_init(error) || lm_ed25519_public(public_key, seed, error))
		return LMODEL_EFAILED;
	lm_ssh_public_plain(&sig.key, public_key);
	memcpy(sig.ns, ns, ns_len + 1);
	n = signed_data(data, &sig, message, len);
	if (lm_ed25519_sign(sig.signature, seed, data, n, error))
		return LMODEL_EFAILED;
	return lm_sshsig_text(armored, &sig, error);
}

/* ---- reading ---- */

static int malformed(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "a malformed SSH signature: damaged or cut");
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The bytes between the lines, into `out`, which has room for as many as the text has. */
static bool dearmor(const uint8_t *text, size_t len, uint8_t *out, size_t *out_len)
{
	const size_t begin = sizeof(first_line) - 1, end = sizeof(last_line) - 1;
	size_t n = 0;

	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len < begin + 1 + end || memcmp(text, first_line, begin) != 0 ||
	    memcmp(text + len - end, last_line, end) != 0 || text[len - end - 1] != '\n' ||
	    (text[begin] != '\n' && text[begin] != '\r'))
		return false;
	for (size_t i = begin; i < len - end; i++)
		if (text[i] != '\n' && text[i] != '\r')
			out[n++] = text[i];
	return lm_base64_padded_decode(out, out_len, out, n);
}

static int read_namespace(struct lm_sshsig *sig, const struct lm_wire *ns,
			  struct lmodel_error *error)
{
	if (ns->left == 0 || memchr(ns->at, '\0', ns->left) != NULL)
		return malformed(error);
	if (ns->left > LM_SSHSIG_NAMESPACE)
		return lm_fail(error, LMODEL_ELIMIT,
			       "the namespace of the SSH signature has %zu bytes; the limit is %u",
			       ns->left, LM_SSHSIG_NAMESPACE);
	memcpy(sig->ns, ns->at, ns->left);
	return LMODEL_OK;
}

static int read_hash(struct lm_sshsig *sig, const struct lm_wire *hash, struct lmodel_error *error)
{
	sig->sha256 = lm_wire_is(hash, "sha256");
	if (!sig->sha256 && !lm_wire_is(hash, "sha512"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "the SSH signature is over another hash than SHA-256 and SHA-512");
	return LMODEL_OK;
}

/* Of the kind of its key: no other algorithm signs with these keys. */
static int read_signature(struct lm_sshsig *sig, struct lm_wire rest, struct lmodel_error *error)
{
	struct lm_wire kind, bytes;

	if (!lm_wire_string(&rest, &kind) ||
	    !lm_wire_is(&kind, sig->key.fido ? fido_kind : plain_kind) ||
	    !lm_wire_string(&rest, &bytes) || bytes.left != LM_SIGNATURE)
		return malformed(error);
	if (sig->key.fido &&
	    (!lm_wire_byte(&rest, &sig->flags) || !lm_wire_u32(&rest, &sig->counter)))
		return malformed(error);
	if (rest.left != 0)
		return malformed(error);
	memcpy(sig->signature, bytes.at, LM_SIGNATURE);
	return LMODEL_OK;
}

static int read_blob(struct lm_sshsig *sig, const uint8_t *blob, size_t len,
		     struct lmodel_error *error)
{
	struct lm_wire rest = { blob, len }, key, ns, reserved, hash, signature;
	uint32_t version;
	int r;

	if (len < sizeof(magic) || memcmp(blob, magic, sizeof(magic)) != 0)
		return malformed(error);
	rest = (struct lm_wire){ blob + sizeof(magic), len - sizeof(magic) };
	if (!lm_wire_u32(&rest, &version))
		return malformed(error);
	if (version != BLOB_VERSION)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "version %u of SSH signatures is not supported", version);
	if (!lm_wire_string(&rest, &key) || !lm_wire_string(&rest, &ns) ||
	    !lm_wire_string(&rest, &reserved) || !lm_wire_string(&rest, &hash) ||
	    !lm_wire_string(&rest, &signature) || rest.left != 0)
		return malformed(error);
	r = lm_ssh_public_read(&sig->key, key.at, key.left, error);
	if (r == LMODEL_OK && reserved.left != 0)
		r = lm_fail(error, LMODEL_EUNSUPPORTED,
			    "the reserved field of the SSH signature is not empty");
	if (r == LMODEL_OK)
		r = read_namespace(sig, &ns, error);
	if (r == LMODEL_OK)
		r = read_hash(sig, &hash, error);
	if (r == LMODEL_OK)
		r = read_signature(sig, signature, error);
	return r;
}

int lm_sshsig_parse(struct lm_sshsig *sig, const uint8_t *bytes, size_t len,
		    struct lmodel_error *error)
{
	uint8_t blob[LM_SSHSIG_LIMIT];
	size_t blob_len;

	memset(sig, 0, sizeof(*sig));
	if (lm_crypto_init(error))
		return LMODEL_EFAILED;
	if (len > LM_SSHSIG_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "an SSH signature of %zu bytes; the limit is %u", len,
			       LM_SSHSIG_LIMIT);
	if (len >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0)
		return read_blob(sig, bytes, len, error);
	if (!dearmor(bytes, len, blob, &blob_len))
		return malformed(error);
	return read_blob(sig, blob, blob_len, error);
}
