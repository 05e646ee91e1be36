/* Key files: age identities, the same under a passphrase, OpenSSH private keys. */
#include "crypto/age/armor.h"
#include "crypto/age/ssh_key.h"
#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

enum { IDENTITY_LIMIT = 1024 }; /* in one file */

/* Of this file alone, until all of it has been read. */
struct found {
	struct lm_age_identity **list;
	size_t count, capacity;
};

static void found_free(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		lm_age_identity_free(found->list[i]);
	free(found->list);
}
#define FOUND LM_CLEANUP(found_free) struct found

/* Takes the identity in any case. */
static int add(struct found *found, struct lm_age_identity *identity, const char *label,
	       struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (found->count == IDENTITY_LIMIT)
		r = lm_fail(error, LMODEL_ELIMIT, "%s: more than %d identities", label,
			    IDENTITY_LIMIT);
	else
		r = lm_grow(&found->list, found->count, &found->capacity, sizeof(*found->list),
			    error);
	if (r == LMODEL_OK)
		found->list[found->count++] = identity;
	else
		lm_age_identity_free(identity);
	return r;
}

static bool has_prefix(const char *text, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static int parse_line(struct found *found, const char *text, size_t len, size_t number,
		      const char *label, struct lmodel_error *error)
{
	const struct lm_age_kind *kind = NULL;
	struct lm_age_identity *identity;
	int r;

	if (has_prefix(text, len, "AGE-SECRET-KEY-PQ-1"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: line %zu: post-quantum identities are not supported yet", label,
			       number);
	if (has_prefix(text, len, "AGE-PLUGIN-"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: line %zu: identities of age plugins are not supported", label,
			       number);
	for (size_t i = 0; lm_age_kinds[i] != NULL; i++)
		if (lm_age_kinds[i]->identity_prefix != NULL &&
		    has_prefix(text, len, lm_age_kinds[i]->identity_prefix))
			kind = lm_age_kinds[i];
	if (kind == NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: line %zu: is not an identity", label,
			       number);
	identity = lm_age_identity_new(kind, 0, error);
	if (identity == NULL)
		return LMODEL_EFAILED;
	r = kind->parse_identity(identity, text, len);
	if (r == LMODEL_OK)
		return add(found, identity, label, error);
	lm_age_identity_free(identity);
	if (r == LMODEL_ECORRUPT)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: line %zu: a malformed identity: mistyped or cut", label,
			       number);
	return lm_fail_memory(error);
}

static int parse_lines(struct found *found, const uint8_t *bytes, size_t len, const char *label,
		       struct lmodel_error *error)
{
	size_t number = 0;

	for (size_t at = 0; at < len;) {
		const char *line = (const char *)bytes + at;
		const char *end = memchr(line, '\n', len - at);
		size_t n = end == NULL ? len - at : (size_t)(end - line);
		int r = LMODEL_OK;

		at += n + (end != NULL);
		number++;
		while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
			n--;
		if (n > 0 && line[0] != '#')
			r = parse_line(found, line, n, number, label, error);
		if (r != LMODEL_OK)
			return r;
	}
	if (found->count == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: holds no identity", label);
	return LMODEL_OK;
}

static int parse_ssh(struct found *found, const uint8_t *bytes, size_t len, const char *label,
		     struct lmodel_error *error)
{
	struct lm_age_identity *identity;
	LM_SECRET uint8_t *seed = lm_secret_alloc(32, error);
	uint8_t public_key[32];
	int r;

	if (seed == NULL)
		return LMODEL_EFAILED;
	r = lm_ssh_private_parse(bytes, len, label, seed, public_key, error);
	if (r != LMODEL_OK)
		return r;
	identity = lm_age_identity_new(&lm_age_ssh_ed25519, 0, error);
	if (identity == NULL)
		return LMODEL_EFAILED;
	r = lm_age_ssh_ed25519_identity(identity, seed, public_key, error);
	if (r == LMODEL_OK)
		return add(found, identity, label, error);
	lm_age_identity_free(identity);
	return r;
}

static bool is_age(const uint8_t *bytes, size_t len)
{
	return lm_age_header_begins(bytes, len) || lm_armor_begins(bytes, len);
}

/* A key file in the clear. Other PEM files are keys too, but none that is read here. */
static int parse_clear(struct found *found, const uint8_t *bytes, size_t len, const char *label,
		       struct lmodel_error *error)
{
	size_t at = 0;

	if (lm_ssh_private_begins(bytes, len))
		return parse_ssh(found, bytes, len, label, error);
	while (at < len && (bytes[at] == ' ' || (bytes[at] >= '\t' && bytes[at] <= '\r')))
		at++;
	if (has_prefix((const char *)bytes + at, len - at, "-----BEGIN "))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: is a PEM file of another kind than an OpenSSH private key",
			       label);
	return parse_lines(found, bytes, len, label, error);
}

/* The message of a failure inside gets the name of the file in front. */
static int decrypt(const uint8_t *bytes, size_t len, const char *label,
		   const struct lm_age_identity *identity, uint8_t **plain, size_t *plain_len,
		   struct lmodel_error *error)
{
	struct lmodel_error inner = LMODEL_ERROR_INIT;
	int r = lm_age_decrypt(&identity, 1, bytes, len, plain, plain_len, &inner);

	return r == LMODEL_OK ? r : lm_fail(error, inner.code, "%s: %s", label, inner.message);
}

static int ask_passphrase(struct lm_age_identity **identity, const char *label,
			  lm_passphrase_fn *ask, void *context, struct lmodel_error *error)
{
	LM_SECRET char *passphrase = NULL;
	int r;

	if (ask == NULL)
		return lm_fail(error, LMODEL_ENOKEY, "%s: is encrypted with a passphrase", label);
	r = ask(context, label, &passphrase, error);
	if (r != LMODEL_OK)
		return r;
	if (passphrase == NULL)
		return lm_fail(error, LMODEL_ENOKEY, "%s: no passphrase was given", label);
	return lm_age_identity_passphrase(identity, passphrase, strlen(passphrase), error);
}

static int parse_encrypted(struct found *found, const uint8_t *bytes, size_t len, const char *label,
			   lm_passphrase_fn *ask, void *context, struct lmodel_error *error)
{
	struct lmodel_error inner = LMODEL_ERROR_INIT;
	struct lm_age_identity *identity = NULL;
	LM_SECRET uint8_t *plain = NULL;
	size_t plain_len = 0;
	char kinds[16];
	int r = lm_age_inspect(bytes, len, kinds, sizeof(kinds), &inner);

	if (r != LMODEL_OK)
		return lm_fail(error, inner.code, "%s: %s", label, inner.message);
	if (strcmp(kinds, lm_age_scrypt.name) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: is encrypted to a key; only a passphrase can be asked for",
			       label);
	r = ask_passphrase(&identity, label, ask, context, error);
	if (r != LMODEL_OK)
		return r;
	r = decrypt(bytes, len, label, identity, &plain, &plain_len, error);
	lm_age_identity_free(identity);
	if (r != LMODEL_OK)
		return r;
	if (is_age(plain, plain_len))
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: is encrypted twice", label);
	return parse_clear(found, plain, plain_len, label, error);
}

int lm_age_identities_parse(struct lm_age_identity ***list, size_t *count, const uint8_t *bytes,
			    size_t len, const char *label, lm_passphrase_fn *ask, void *context,
			    struct lmodel_error *error)
{
	FOUND found = { .list = NULL };
	struct lm_age_identity **grown;
	int r = lm_crypto_init(error);

	if (r != LMODEL_OK)
		return r;
	if (len > LM_AGE_FILE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: a key file of %zu bytes; the limit is %ju",
			       label, len, (uintmax_t)LM_AGE_FILE_LIMIT);
	if (is_age(bytes, len))
		r = parse_encrypted(&found, bytes, len, label, ask, context, error);
	else
		r = parse_clear(&found, bytes, len, label, error);
	if (r != LMODEL_OK)
		return r;
	grown = reallocarray(*list, *count + found.count, sizeof(*grown));
	if (grown == NULL)
		return lm_fail_memory(error);
	memcpy(grown + *count, found.list, found.count * sizeof(*grown));
	*list = grown;
	*count += found.count;
	found.count = 0;
	return LMODEL_OK;
}
