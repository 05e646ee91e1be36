#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

#include <strings.h>

struct lm_age_recipient *lm_age_recipient_new(const struct lm_age_kind *kind, size_t passphrase_len,
					      struct lmodel_error *error)
{
	struct lm_age_recipient *recipient;

	if (lm_crypto_init(error))
		return NULL;
	recipient = lm_secret_alloc(sizeof(*recipient) + passphrase_len, error);
	if (recipient == NULL)
		return NULL;
	recipient->kind = kind;
	recipient->passphrase_len = passphrase_len;
	return recipient;
}

static bool has_prefix(const char *text, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* A text that no kind takes: says what it is where that is known, and never repeats it, since
 * it may be a secret in the wrong place. */
static int refuse(const char *text, size_t len, struct lmodel_error *error)
{
	static const char *const other_ssh[] = { "ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-" };

	if (has_prefix(text, len, "AGE-SECRET-KEY-") || has_prefix(text, len, "AGE-PLUGIN-") ||
	    has_prefix(text, len, "-----BEGIN "))
		return lm_fail(error, LMODEL_EUSAGE,
			       "a secret key stands where a recipient is meant: give its public "
			       "key");
	if (has_prefix(text, len, "age1pq1"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "post-quantum recipients (age1pq1...) are not supported yet");
	if (has_prefix(text, len, "age1"))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "recipients of age plugins are not supported");
	for (size_t i = 0; i < LM_COUNT(other_ssh); i++)
		if (has_prefix(text, len, other_ssh[i]))
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "the recipient is an SSH key, but not of kind ssh-ed25519");
	return lm_fail(error, LMODEL_EUSAGE,
		       "not a recipient: neither age1... nor \"ssh-ed25519 AAAA...\"");
}

/* Two separators: the recipient of a plugin, or post-quantum. */
static bool is_plugin(const char *text, size_t len)
{
	return has_prefix(text, len, "age1") && memchr(text + 4, '1', len - 4) != NULL;
}

int lm_age_recipient_parse(struct lm_age_recipient **out, const char *text,
			   struct lmodel_error *error)
{
	size_t len = strlen(text), i;
	struct lm_age_recipient *recipient;
	int r;

	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	for (i = 0; i < len && ((unsigned char)text[i] >= 32 || text[i] == '\t'); i++)
		;
	if (i < len)
		return lm_fail(error, LMODEL_EUSAGE, "a recipient is one line of text");
	if (is_plugin(text, len))
		return refuse(text, len, error);
	for (i = 0; lm_age_kinds[i] != NULL; i++) {
		const char *prefix = lm_age_kinds[i]->recipient_prefix;

		if (prefix != NULL && strncmp(text, prefix, strlen(prefix)) == 0)
			break;
	}
	if (lm_age_kinds[i] == NULL)
		return refuse(text, len, error);
	recipient = lm_age_recipient_new(lm_age_kinds[i], 0, error);
	if (recipient == NULL)
		return LMODEL_EFAILED;
	r = recipient->kind->parse_recipient(recipient, text, len, error);
	if (r != LMODEL_OK) {
		lm_age_recipient_free(recipient);
		return r;
	}
	*out = recipient;
	return LMODEL_OK;
}

const char *lm_age_recipient_kind(const struct lm_age_recipient *recipient)
{
	return recipient->kind->name;
}

const char *lm_age_recipient_text(const struct lm_age_recipient *recipient)
{
	return recipient->text[0] == '\0' ? NULL : recipient->text;
}

void lm_age_recipient_free(struct lm_age_recipient *recipient)
{
	lm_secret_free(recipient);
}
