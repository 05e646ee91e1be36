#include "net/reference.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "net/digest.h"
#include "net/http.h"

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define ALNUM LOWER_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { NAME_LIMIT = 255, TAG_LIMIT = 128, LABEL_LIMIT = 63 };

static const struct {
	const char *prefix;
	bool plain, secure;
} schemes[] = {
	{ "oci://", false, false },
	{ "https://", false, true },
	{ "http://", true, false },
};

static size_t scheme_of(const char *text, bool *plain, bool *secure)
{
	for (size_t i = 0; i < LM_COUNT(schemes); i++) {
		size_t len = strlen(schemes[i].prefix);

		if (strncasecmp(text, schemes[i].prefix, len) == 0) {
			*plain = schemes[i].plain;
			*secure = schemes[i].secure;
			return len;
		}
	}
	*plain = *secure = false;
	return 0;
}

bool lm_reference_is_remote(const char *text)
{
	bool plain, secure;

	return scheme_of(text, &plain, &secure) > 0;
}

/* ---- the parts ---- */

/* Letters, digits and hyphens between dots; no part starts or ends with a hyphen. */
static bool is_dns_name(const char *host)
{
	for (;;) {
		size_t len = strspn(host, ALNUM "-");

		if (len == 0 || len > LABEL_LIMIT || host[0] == '-' || host[len - 1] == '-')
			return false;
		host += len;
		if (*host == '\0')
			return true;
		if (*host++ != '.')
			return false;
	}
}

static bool is_port(const char *port)
{
	size_t len = strspn(port, "0123456789");
	unsigned long value = strtoul(port, NULL, 10);

	return len > 0 && len <= 5 && port[len] == '\0' && value > 0 && value <= 65535;
}

/* HOST[:PORT], taken apart in place: `*port` is "" without one. */
static bool split_host(char *host, char **port)
{
	struct in6_addr six;
	char *end;

	*port = host + strlen(host);
	if (host[0] == '[') {
		end = strchr(host, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*end = '\0';
		if (inet_pton(AF_INET6, host + 1, &six) != 1)
			return false;
		*end++ = ']';
	} else {
		end = host + strcspn(host, ":");
	}
	if (*end == ':') {
		*end = '\0';
		*port = end + 1;
		if (!is_port(*port))
			return false;
	}
	return host[0] == '[' || is_dns_name(host);
}

/* OCI distribution-spec 1.1, "Pulling manifests":
 * [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)* */
bool lm_reference_is_name(const char *name)
{
	for (;;) {
		size_t len = strspn(name, LOWER_DIGITS);

		if (len == 0)
			return false;
		name += len;
		if (*name == '\0')
			return true;
		if (*name == '.' || *name == '/')
			name++;
		else if (*name == '_')
			name += name[1] == '_' ? 2 : 1;
		else if (*name == '-')
			name += strspn(name, "-");
		else
			return false;
	}
}

/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool lm_reference_is_tag(const char *tag)
{
	size_t len = strspn(tag, ALNUM "_.-");

	return len > 0 && len <= TAG_LIMIT && tag[len] == '\0' && tag[0] != '.' && tag[0] != '-';
}

/* ---- together ---- */

static int copy_parts(struct lm_reference *made, const char *host, const char *port,
		      const char *name, const char *tag, const char *digest,
		      struct lmodel_error *error)
{
	const char *colon = port[0] != '\0' ? ":" : "";

	made->host = lm_format(error, "%s%s%s", host, colon, port);
	made->name = lm_strdup(name, error);
	made->text = lm_format(error, "%s%s%s/%s%s%s%s%s", host, colon, port, name,
			       tag != NULL ? ":" : "", tag != NULL ? tag : "",
			       digest != NULL ? "@" : "", digest != NULL ? digest : "");
	if (tag != NULL)
		made->tag = lm_strdup(tag, error);
	if (digest != NULL)
		made->digest = lm_strdup(digest, error);
	return made->host == NULL || made->name == NULL || made->text == NULL ||
	       (tag != NULL && made->tag == NULL) ||
	       (digest != NULL && made->digest == NULL) ? LMODEL_EFAILED : LMODEL_OK;
}

/* What follows the host's "/": NAME[:TAG][@DIGEST], taken apart in place. */
static int split_name(const char *text, char *name, char **tag, char **digest,
		      struct lmodel_error *error)
{
	*digest = strchr(name, '@');
	if (*digest != NULL)
		*(*digest)++ = '\0';
	*tag = strchr(name, ':');
	if (*tag != NULL)
		*(*tag)++ = '\0';
	if (*digest != NULL && !lm_digest_check(*digest))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: a digest is sha256: and 64 hexadecimal digits", LM_QUOTE(text));
	if (*tag != NULL && !lm_reference_is_tag(*tag))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: a tag is up to %d letters, digits, and . _ - behind the first",
			       LM_QUOTE(text), TAG_LIMIT);
	if (!lm_reference_is_name(name))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: a name is lower-case letters and digits, . _ - / between them",
			       LM_QUOTE(text));
	return LMODEL_OK;
}

static int parse(struct lm_reference *made, const char *text, struct lmodel_error *error)
{
	bool plain, secure;
	LM_FREE char *copy = lm_strdup(text + scheme_of(text, &plain, &secure), error);
	char *slash, *port, *tag, *digest;
	static char latest[] = "latest";
	int r;

	if (copy == NULL)
		return LMODEL_EFAILED;
	slash = strchr(copy, '/');
	if (slash == NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: not HOST[:PORT]/NAME[:TAG]: there is no /", LM_QUOTE(text));
	*slash = '\0';
	if (strchr(copy, '@') != NULL) /* which has a password in it, perhaps */
		return lm_fail(error, LMODEL_EUSAGE,
			       "a registry's name with a user in it: use docker's config.json");
	for (char *c = copy; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!split_host(copy, &port))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a host name: %s", LM_QUOTE(text),
			       LM_QUOTE(copy));
	r = split_name(text, slash + 1, &tag, &digest, error);
	if (r != LMODEL_OK)
		return r;
	if (strlen(copy) + 1 + strlen(port) + 1 + strlen(slash + 1) > NAME_LIMIT)
		return lm_fail(error, LMODEL_EUSAGE, "%s: host and name are more than %d bytes",
			       LM_QUOTE(text), NAME_LIMIT);
	if (tag == NULL && digest == NULL)
		tag = latest;
	made->secure = secure || (!plain && !lm_http_is_loopback(copy));
	return copy_parts(made, copy, port, slash + 1, tag, digest, error);
}

int lm_reference_parse(struct lm_reference *reference, const char *text,
		       struct lmodel_error *error)
{
	struct lm_reference made = { 0 };
	int r = parse(&made, text, error);

	if (r != LMODEL_OK)
		lm_reference_free(&made);
	*reference = made;
	return r;
}

void lm_reference_free(struct lm_reference *reference)
{
	free(reference->host);
	free(reference->name);
	free(reference->tag);
	free(reference->digest);
	free(reference->text);
	*reference = (struct lm_reference){ 0 };
}
