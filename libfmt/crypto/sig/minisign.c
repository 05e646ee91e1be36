#include "crypto/sig/minisign.h"

#include "crypto/age/base64.h"
#include "crypto/blake2b.h"
#include "crypto/crypto.h"
#include "crypto/sig/wire.h"

enum { ALGORITHM = 2, ID = 8, KEY = ALGORITHM + ID + 32, SIGNED = ALGORITHM + ID + LM_SIGNATURE };

static const char untrusted[] = "untrusted comment:";
static const char trusted[] = "trusted comment: ";

static int malformed(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "a malformed minisign signature: damaged or cut");
}

static bool has_prefix(const struct lm_wire *line, const char *prefix)
{
	return line->left >= strlen(prefix) && memcmp(line->at, prefix, strlen(prefix)) == 0;
}

/* ---- public keys ---- */

int lm_minisign_key_parse(struct lm_minisign_key *key, const char *text, size_t len,
			  struct lmodel_error *error)
{
	uint8_t bytes[KEY];

	if (!lm_base64_decode_exact(bytes, sizeof(bytes), (const uint8_t *)text, len))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "a malformed minisign public key: mistyped or cut");
	if (memcmp(bytes, "Ed", ALGORITHM) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "a minisign public key of another kind than Ed25519");
	memcpy(key->id, bytes + ALGORITHM, ID);
	memcpy(key->key, bytes + ALGORITHM + ID, 32);
	return LMODEL_OK;
}

void lm_minisign_id(char text[LM_MINISIGN_ID], const uint8_t id[8])
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < ID; i++) {
		text[2 * i] = digits[id[ID - 1 - i] >> 4];
		text[2 * i + 1] = digits[id[ID - 1 - i] & 15];
	}
	text[LM_MINISIGN_ID - 1] = '\0';
}

/* ---- signatures ---- */

bool lm_minisign_begins(const uint8_t *bytes, size_t len)
{
	const struct lm_wire text = { bytes, len };

	return has_prefix(&text, untrusted);
}

/* The next line without its end; false when nothing is left. */
static bool next_line(struct lm_wire *rest, struct lm_wire *line)
{
	const uint8_t *end = rest->left == 0 ? NULL : memchr(rest->at, '\n', rest->left);

	if (rest->left == 0)
		return false;
	*line = *rest;
	if (end != NULL)
		line->left = (size_t)(end - rest->at);
	rest->at += line->left + (end != NULL);
	rest->left -= line->left + (end != NULL);
	if (line->left > 0 && line->at[line->left - 1] == '\r')
		line->left--;
	return true;
}

static bool decode_exact(uint8_t *bytes, size_t wanted, const struct lm_wire *line)
{
	uint8_t buffer[SIGNED + 2];
	size_t len;

	if (line->left != (wanted + 2) / 3 * 4 ||
	    !lm_base64_padded_decode(buffer, &len, line->at, line->left) || len != wanted)
		return false;
	memcpy(bytes, buffer, wanted);
	return true;
}

static bool only_space(const struct lm_wire *rest)
{
	for (size_t i = 0; i < rest->left; i++)
		if (strchr(" \t\r\n", rest->at[i]) == NULL || rest->at[i] == '\0')
			return false;
	return true;
}

static int read_comment(struct lm_minisign *sig, const struct lm_wire *line,
			struct lmodel_error *error)
{
	const size_t skip = sizeof(trusted) - 1;

	if (!has_prefix(line, trusted) || memchr(line->at, '\0', line->left) != NULL ||
	    memchr(line->at, '\r', line->left) != NULL)
		return malformed(error);
	if (line->left - skip > LM_MINISIGN_COMMENT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "the trusted comment has %zu bytes; the limit is %u",
			       line->left - skip, LM_MINISIGN_COMMENT);
	memcpy(sig->trusted_comment, line->at + skip, line->left - skip);
	return LMODEL_OK;
}

int lm_minisign_parse(struct lm_minisign *sig, const uint8_t *bytes, size_t len,
		      struct lmodel_error *error)
{
	struct lm_wire rest = { bytes, len }, line[4];
	uint8_t head[SIGNED];

	memset(sig, 0, sizeof(*sig));
	if (len > LM_MINISIGN_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "a minisign signature of %zu bytes; the limit is %u", len,
			       LM_MINISIGN_LIMIT);
	for (size_t i = 0; i < LM_COUNT(line); i++)
		if (!next_line(&rest, &line[i]))
			return malformed(error);
	if (!has_prefix(&line[0], untrusted) || !only_space(&rest) ||
	    !decode_exact(head, sizeof(head), &line[1]) ||
	    !decode_exact(sig->global, sizeof(sig->global), &line[3]))
		return malformed(error);
	sig->prehashed = memcmp(head, "ED", ALGORITHM) == 0;
	if (!sig->prehashed && memcmp(head, "Ed", ALGORITHM) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "a minisign signature of another kind than Ed25519");
	memcpy(sig->id, head + ALGORITHM, ID);
	memcpy(sig->signature, head + ALGORITHM + ID, LM_SIGNATURE);
	return read_comment(sig, &line[2], error);
}

static bool verify_comment(const struct lm_minisign *sig, const struct lm_minisign_key *key)
{
	uint8_t covered[LM_SIGNATURE + LM_MINISIGN_COMMENT];
	size_t len = strlen(sig->trusted_comment);

	memcpy(covered, sig->signature, LM_SIGNATURE);
	memcpy(covered + LM_SIGNATURE, sig->trusted_comment, len);
	return lm_ed25519_verify(key->key, covered, LM_SIGNATURE + len, sig->global);
}

bool lm_minisign_verify(const struct lm_minisign *sig, const struct lm_minisign_key *key,
			const void *message, size_t len)
{
	uint8_t digest[LM_BLAKE2B_SIZE];

	if (lm_crypto_init(NULL) || memcmp(sig->id, key->id, ID) != 0)
		return false;
	if (sig->prehashed) {
		lm_blake2b(digest, message, len);
		message = digest;
		len = sizeof(digest);
	} else if (len > LM_MINISIGN_LEGACY) {
		return false;
	}
	return lm_ed25519_verify(key->key, message, len, sig->signature) &&
	       verify_comment(sig, key);
}
