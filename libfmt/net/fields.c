#include "net/fields.h"

#include <strings.h>

/* RFC 9110, section 5.6.2 */
#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define BLANK " \t"

bool lm_decimal_parse(const char *text, size_t len, uint64_t *value)
{
	uint64_t v = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9' || !lm_mul(v, 10, &v) ||
		    !lm_add(v, (uint64_t)(text[i] - '0'), &v))
			return false;
	*value = v;
	return true;
}

bool lm_content_range_parse(const char *text, uint64_t *first, uint64_t *last, uint64_t *size)
{
	const char *hyphen, *slash;

	if (strncasecmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	hyphen = strchr(text, '-');
	slash = hyphen == NULL ? NULL : strchr(hyphen, '/');
	if (slash == NULL || !lm_decimal_parse(text, (size_t)(hyphen - text), first) ||
	    !lm_decimal_parse(hyphen + 1, (size_t)(slash - hyphen - 1), last))
		return false;
	*size = UINT64_MAX;
	if (strcmp(slash, "/*") != 0 &&
	    (!lm_decimal_parse(slash + 1, strlen(slash + 1), size) || *last >= *size))
		return false;
	return *first <= *last && *last < UINT64_MAX;
}

bool lm_upload_range_parse(const char *text, uint64_t *arrived)
{
	uint64_t last;

	if (strncmp(text, "bytes=", 6) == 0)
		text += 6;
	if (strncmp(text, "0-", 2) != 0 || !lm_decimal_parse(text + 2, strlen(text + 2), &last) ||
	    last == UINT64_MAX)
		return false;
	*arrived = last == 0 ? 0 : last + 1;
	return true;
}

/* ---- lists of parameters ---- */

/* Goes over a value: a token, or a quoted string, whose text it gives unquoted (RFC 9110, 5.6.4).
 * `*value` stays NULL when nobody wants it. */
static int take_value(const char **at, char **value, struct lmodel_error *error)
{
	const char *p = *at;
	size_t len, used = 0;
	char *text;

	if (*p != '"') {
		len = strspn(p, TOKEN);
		text = strndup(p, len);
		if (text == NULL)
			return lm_fail_memory(error);
		*at = p + len;
		*value = text;
		return len > 0 ? LMODEL_OK : LMODEL_ECORRUPT;
	}
	text = malloc(strlen(p));
	if (text == NULL)
		return lm_fail_memory(error);
	for (p++; *p != '"' && *p != '\0'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		text[used++] = *p;
	}
	text[used] = '\0';
	*value = text;
	*at = p + (*p == '"');
	return *p == '"' ? LMODEL_OK : LMODEL_ECORRUPT;
}

/* ---- WWW-Authenticate ---- */

void lm_challenge_free(struct lm_challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	*challenge = (struct lm_challenge){ 0 };
}

/* While the list is read: the challenge at hand, and the best one so far. */
struct challenges {
	struct lm_challenge now, best;
	bool now_known, best_known;
};

static void settle(struct challenges *c)
{
	bool usable = c->now_known &&
		      (c->now.kind == LM_CHALLENGE_BASIC || c->now.realm != NULL);

	if (usable && (!c->best_known || (c->best.kind == LM_CHALLENGE_BASIC &&
					  c->now.kind == LM_CHALLENGE_BEARER))) {
		lm_challenge_free(&c->best);
		c->best = c->now;
		c->best_known = true;
	} else {
		lm_challenge_free(&c->now);
	}
	c->now = (struct lm_challenge){ 0 };
	c->now_known = false;
}

static void start(struct challenges *c, const char *scheme, size_t len)
{
	settle(c);
	if (len == 5 && strncasecmp(scheme, "Basic", len) == 0)
		c->now.kind = LM_CHALLENGE_BASIC, c->now_known = true;
	else if (len == 6 && strncasecmp(scheme, "Bearer", len) == 0)
		c->now.kind = LM_CHALLENGE_BEARER, c->now_known = true;
}

static int take_parameter(struct challenges *c, const char *name, size_t len, const char **at,
			  struct lmodel_error *error)
{
	LM_FREE char *value = NULL;
	int r = take_value(at, &value, error);
	char **kept = len == 5 && strncasecmp(name, "realm", len) == 0 ? &c->now.realm :
		      len == 7 && strncasecmp(name, "service", len) == 0 ? &c->now.service : NULL;

	if (r == LMODEL_OK && kept != NULL && *kept == NULL) {
		*kept = value;
		value = NULL;
	}
	return r;
}

/* A word of the list: a parameter's name, a scheme, or the token68 behind one. `after_scheme`:
 * right behind a scheme, without a comma. */
static int take_word(struct challenges *c, const char **at, bool *after_scheme,
		     struct lmodel_error *error)
{
	const char *word = *at, *next;
	size_t len = strspn(word, TOKEN "/");

	if (len == 0)
		return LMODEL_ECORRUPT;
	*at = word + len;
	next = *at + strspn(*at, BLANK);
	if (*next == '=') {
		const char *value = next + 1 + strspn(next + 1, BLANK);

		if (*value != '\0' && *value != ',' && *value != '=') {
			*at = value;
			*after_scheme = false;
			return take_parameter(c, word, len, at, error);
		}
		*at = next + strspn(next, "="); /* padding of a token68 */
		return *after_scheme ? LMODEL_OK : LMODEL_ECORRUPT;
	}
	if (*after_scheme)
		return LMODEL_OK;
	start(c, word, len);
	*after_scheme = true;
	return LMODEL_OK;
}

static int take_all(struct challenges *c, const char *text, struct lmodel_error *error)
{
	bool after_scheme = false;

	for (const char *at = text;;) {
		size_t blanks = strspn(at, BLANK);
		int r;

		at += blanks;
		if (*at == ',') {
			at++;
			after_scheme = false;
			continue;
		}
		if (*at == '\0')
			return LMODEL_OK;
		r = take_word(c, &at, &after_scheme, error);
		if (r != LMODEL_OK)
			return r;
	}
}

int lm_challenge_parse(struct lm_challenge *challenge, const char *text, struct lmodel_error *error)
{
	struct challenges c = { 0 };
	int r = take_all(&c, text, error);

	settle(&c);
	*challenge = (struct lm_challenge){ 0 };
	if (r == LMODEL_OK && c.best_known) {
		*challenge = c.best;
		return LMODEL_OK;
	}
	lm_challenge_free(&c.best);
	if (r == LMODEL_OK)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "asks for authentication that is neither Basic nor Bearer: %s",
			       LM_QUOTE(text));
	return r == LMODEL_EFAILED ? r :
	       lm_fail(error, LMODEL_ECORRUPT, "asks for authentication in no known form: %s",
		       LM_QUOTE(text));
}

/* ---- Link ---- */

/* Whether one of the words of a rel is "next". */
static bool says_next(const char *rel)
{
	for (;;) {
		size_t len = strcspn(rel += strspn(rel, BLANK), BLANK);

		if (len == 0)
			return false;
		if (len == 4 && strncasecmp(rel, "next", 4) == 0)
			return true;
		rel += len;
	}
}

/* One parameter of a link; some have no value. */
static int take_link_parameter(const char **at, bool *next, struct lmodel_error *error)
{
	const char *name = *at, *p = name + strspn(name, TOKEN);
	size_t len = (size_t)(p - name);
	LM_FREE char *value = NULL;
	int r;

	p += strspn(p, BLANK);
	*at = p;
	if (len > 0 && *p == '=') {
		*at = p + 1 + strspn(p + 1, BLANK);
		r = take_value(at, &value, error);
		if (r != LMODEL_OK)
			return r;
		*at += strspn(*at, BLANK);
		if (len == 3 && strncasecmp(name, "rel", 3) == 0 && says_next(value))
			*next = true;
	}
	return **at == ';' || **at == ',' || **at == '\0' ? LMODEL_OK : LMODEL_ECORRUPT;
}

/* All of one link, up to the comma that ends it. */
static int take_link_parameters(const char **at, bool *next, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (*at += strspn(*at, BLANK); r == LMODEL_OK && **at == ';';) {
		++*at;
		*at += strspn(*at, BLANK);
		r = take_link_parameter(at, next, error);
	}
	return r == LMODEL_OK && **at != ',' && **at != '\0' ? LMODEL_ECORRUPT : r;
}

static int find_next(const char *at, char **target, struct lmodel_error *error)
{
	for (;;) {
		const char *address, *end;
		bool next = false;
		int r;

		at += strspn(at, BLANK ",");
		if (*at == '\0')
			return LMODEL_OK;
		address = at + 1;
		end = *at == '<' ? strchr(address, '>') : NULL;
		if (end == NULL)
			return LMODEL_ECORRUPT;
		at = end + 1;
		r = take_link_parameters(&at, &next, error);
		if (r != LMODEL_OK)
			return r;
		if (next) {
			*target = strndup(address, (size_t)(end - address));
			return *target == NULL ? lm_fail_memory(error) : LMODEL_OK;
		}
	}
}

int lm_link_next(const char *text, char **target, struct lmodel_error *error)
{
	int r;

	*target = NULL;
	r = find_next(text, target, error);
	if (r == LMODEL_ECORRUPT)
		return lm_fail(error, LMODEL_ECORRUPT, "a list of links in no known form: %s",
			       LM_QUOTE(text));
	return r;
}
