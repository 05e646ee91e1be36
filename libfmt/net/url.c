#include "net/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <strings.h>

#include <lmodel/archive.h>

#include "net/http.h"

bool lm_http_is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;
	char plain[64];
	size_t len = strlen(host);

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(plain))
		return false;
	memcpy(plain, host, len);
	plain[len] = '\0';
	return inet_pton(AF_INET6, plain, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool ends_with(const char *host, const char *end)
{
	size_t len = strlen(host), n = strlen(end);

	return len >= n && strcasecmp(host + len - n, end) == 0;
}

/* Also by names and addresses that nobody uses but to get past a look for the usual ones: names
 * below "localhost" (RFC 6761, section 6.3), the unspecified address, which the system takes for
 * this machine, and IPv4 in IPv6. */
static bool is_here(const char *host)
{
	struct in_addr four;
	struct in6_addr six;
	char plain[64];
	size_t len = strlen(host);

	if (lm_http_is_loopback(host) || ends_with(host, ".localhost") ||
	    ends_with(host, ".localhost.") || strcasecmp(host, "localhost.") == 0)
		return true;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 0;
	if (len < 3 || len >= sizeof(plain) || host[0] != '[')
		return false;
	memcpy(plain, host + 1, len - 2);
	plain[len - 2] = '\0';
	if (inet_pton(AF_INET6, plain, &six) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&six) || IN6_IS_ADDR_V4COMPAT(&six))
		return six.s6_addr[12] == 127 || six.s6_addr[12] == 0;
	return IN6_IS_ADDR_UNSPECIFIED(&six);
}

void lm_url_free(struct lm_url *url)
{
	free(url->text);
	free(url->origin);
	free(url->label);
	*url = (struct lm_url){ 0 };
}

static char *get(const struct lm_curl *curl, CURLU *handle, CURLUPart part, unsigned flags,
		 struct lmodel_error *error)
{
	char *theirs = NULL, *text;

	if (curl->url_get(handle, part, &theirs, flags) != CURLUE_OK) {
		lm_fail(error, LMODEL_EFAILED, "an address cannot be taken apart");
		return NULL;
	}
	text = lm_strdup(theirs, error);
	curl->free(theirs);
	return text;
}

/* Scheme, host and path, with the port when it was given: what may stand in a message. */
static char *label_of(const char *text, struct lmodel_error *error)
{
	size_t len = strcspn(text, "?#");
	LM_FREE char *plain = strndup(text, len);
	char *label;
	size_t size;

	if (plain == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	size = LM_MIN(lmodel_escape(NULL, 0, plain) + 1, (size_t)400);
	label = malloc(size);
	if (label == NULL)
		lm_fail_memory(error);
	else
		lmodel_escape(label, size, plain);
	return label;
}

static int fill(struct lm_url *url, const struct lm_curl *curl, CURLU *handle,
		struct lmodel_error *error)
{
	LM_FREE char *scheme = NULL, *host = NULL, *port = NULL;

	if (curl->url_set(handle, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
		return lm_fail_memory(error);
	url->text = get(curl, handle, CURLUPART_URL, 0, error);
	scheme = get(curl, handle, CURLUPART_SCHEME, 0, error);
	host = get(curl, handle, CURLUPART_HOST, 0, error);
	port = get(curl, handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, error);
	if (url->text == NULL || scheme == NULL || host == NULL || port == NULL)
		return LMODEL_EFAILED;
	for (char *c = host; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	url->secure = strcmp(scheme, "https") == 0;
	url->loopback = lm_http_is_loopback(host);
	url->here = is_here(host);
	url->origin = lm_format(error, "%s://%s:%s", scheme, host, port);
	url->label = label_of(url->text, error);
	return url->origin == NULL || url->label == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

/* Sets `text` on the handle (which may hold what it is relative to) and takes it apart. `code` is
 * the answer to what is no address that may be asked. */
static int set(struct lm_url *url, const struct lm_curl *curl, CURLU *handle, const char *text,
	       enum lmodel_code code, struct lmodel_error *error)
{
	char *scheme = NULL;
	CURLUcode c;
	bool known;

	if (strlen(text) > LM_URL_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "an address of %zu bytes; the limit is %u",
			       strlen(text), LM_URL_LIMIT);
	c = curl->url_set(handle, CURLUPART_URL, text,
			  CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
	if (c == CURLUE_OUT_OF_MEMORY)
		return lm_fail_memory(error);
	if (c == CURLUE_USER_NOT_ALLOWED)
		return lm_fail(error, code, "an address with a user name in it");
	if (c == CURLUE_OK)
		c = curl->url_get(handle, CURLUPART_SCHEME, &scheme, 0);
	if (c != CURLUE_OK) {
		/* of what cannot be taken apart, all before an "@" may be a password */
		const char *at = strrchr(text, '@');
		LM_FREE char *label = label_of(at != NULL ? at + 1 : text, error);

		return label == NULL ? LMODEL_EFAILED :
		       lm_fail(error, code, "not an address: %s (%s)", label,
			       curl->url_strerror(c));
	}
	known = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
	curl->free(scheme);
	if (!known)
		return lm_fail(error, code, "an address that is neither http nor https");
	return fill(url, curl, handle, error);
}

static int parse(struct lm_url *url, const struct lm_curl *curl, const char *base, const char *text,
		 enum lmodel_code code, struct lmodel_error *error)
{
	CURLU *handle = curl->url();
	struct lm_url made = { 0 };
	int r;

	if (handle == NULL ||
	    (base != NULL && curl->url_set(handle, CURLUPART_URL, base, 0) != CURLUE_OK))
		r = lm_fail_memory(error);
	else
		r = set(&made, curl, handle, text, code, error);
	curl->url_cleanup(handle);
	if (r != LMODEL_OK)
		lm_url_free(&made);
	*url = made;
	return r;
}

int lm_url_parse(struct lm_url *url, const struct lm_curl *curl, const char *text,
		 struct lmodel_error *error)
{
	return parse(url, curl, NULL, text, LMODEL_EUSAGE, error);
}

int lm_url_resolve(struct lm_url *url, const struct lm_curl *curl, const struct lm_url *base,
		   const char *location, struct lmodel_error *error)
{
	return parse(url, curl, base->text, location, LMODEL_ECORRUPT, error);
}
