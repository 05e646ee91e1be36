#include "net/auth.h"

#include <pthread.h>

#include "crypto/secret.h"
#include "net/fields.h"
#include "net/token.h"

enum { SCOPES = 64 };

/* A header and what it is good for. */
struct known {
	char *scope;  /* NULL: everything (Basic) */
	char *header; /* secret */
	unsigned age;
	struct known *next;
};

struct lm_auth {
	struct lm_http *http;
	const char *base, *host;
	pthread_mutex_t lock; /* also while a token is fetched: others want the same one */
	struct known *known;
	unsigned count, last_age;
	bool looked;          /* for credentials: helpers are not run twice */
	struct lm_credentials credentials;
};

struct lm_auth *lm_auth_new(struct lm_http *http, const char *base, const char *host,
			    struct lmodel_error *error)
{
	struct lm_auth *auth = calloc(1, sizeof(*auth));

	if (auth == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	auth->http = http;
	auth->base = base;
	auth->host = host;
	pthread_mutex_init(&auth->lock, NULL);
	return auth;
}

static void drop_known(struct lm_auth *auth)
{
	for (struct known *k = auth->known, *next; k != NULL; k = next) {
		next = k->next;
		free(k->scope);
		lm_secret_free(k->header);
		free(k);
	}
	auth->known = NULL;
	auth->count = 0;
}

void lm_auth_free(struct lm_auth *auth)
{
	if (auth == NULL)
		return;
	drop_known(auth);
	lm_credentials_free(&auth->credentials);
	pthread_mutex_destroy(&auth->lock);
	free(auth);
}

/* Whether a header for `have` is good for `want`: the same, or pulling with what may push as
 * well. */
static bool covers(const char *have, const char *want)
{
	size_t len = strlen(want);

	return have == NULL || strcmp(have, want) == 0 ||
	       (len > 5 && strcmp(want + len - 5, ":pull") == 0 && strncmp(have, want, len) == 0 &&
		strcmp(have + len, ",push") == 0);
}

static struct known *find(struct lm_auth *auth, const char *scope)
{
	for (struct known *k = auth->known; k != NULL; k = k->next)
		if (covers(k->scope, scope))
			return k;
	return NULL;
}

int lm_auth_header(struct lm_auth *auth, const char *scope, char **header, unsigned *age,
		   struct lmodel_error *error)
{
	const struct known *known;
	int r = LMODEL_OK;

	*header = NULL;
	*age = 0;
	pthread_mutex_lock(&auth->lock);
	known = find(auth, scope);
	if (known != NULL) {
		*age = known->age;
		*header = lm_secret_alloc(strlen(known->header) + 1, error);
		if (*header == NULL)
			r = LMODEL_EFAILED;
		else
			memcpy(*header, known->header, strlen(known->header));
	}
	pthread_mutex_unlock(&auth->lock);
	return r;
}

/* Takes `header` over. */
static int learn(struct lm_auth *auth, const char *scope, char *header, struct lmodel_error *error)
{
	struct known *known;

	if (auth->count >= SCOPES)
		drop_known(auth);
	known = find(auth, scope == NULL ? "" : scope);
	if (known != NULL && (known->scope == NULL) == (scope == NULL) &&
	    (scope == NULL || strcmp(known->scope, scope) == 0)) {
		lm_secret_free(known->header);
	} else {
		known = calloc(1, sizeof(*known));
		if (known != NULL && scope != NULL)
			known->scope = strdup(scope);
		if (known == NULL || (scope != NULL && known->scope == NULL)) {
			free(known);
			lm_secret_free(header);
			return lm_fail_memory(error);
		}
		known->next = auth->known;
		auth->known = known;
		auth->count++;
	}
	known->header = header;
	known->age = ++auth->last_age;
	return LMODEL_OK;
}

/* ---- Bearer ---- */

static int bearer(struct lm_auth *auth, const struct lm_challenge *challenge, const char *scope,
		  struct lmodel_error *error)
{
	struct lm_http_response response;
	LM_FREE char *realm = NULL;
	char *header;
	/* The realm gets the credentials, and the registry names it. So it has to be as well
	 * protected as the registry is, and nothing on this machine unless the registry is. */
	int r = lm_http_resolve(auth->http, auth->base, challenge->realm, &realm, NULL, error);

	if (r == LMODEL_OK)
		r = lm_token_ask(auth->http, realm, challenge->service, scope, &auth->credentials,
				 &response, error);
	if (r != LMODEL_OK)
		return r;
	if (response.status == 200 && response.body != NULL)
		r = lm_token_parse(response.body, response.body_len, auth->host, &header, error);
	else if (response.status == 400 || response.status == 401 || response.status == 403)
		r = lm_fail(error, LMODEL_EFAILED, "%s: %s", auth->host,
			    !lm_credentials_are_known(&auth->credentials) ?
			    "access is denied to those without credentials (see docker login)" :
			    "the credentials for it are not accepted");
	else
		r = lm_fail(error, LMODEL_EFAILED, "%s: its token server answers %ld", auth->host,
			    response.status);
	if (response.body != NULL)
		lm_wipe(response.body, response.body_len);
	lm_http_response_free(&response);
	return r == LMODEL_OK ? learn(auth, scope, header, error) : r;
}

static int answer(struct lm_auth *auth, const char *scope, unsigned age, const char *text,
		  struct lmodel_error *error)
{
	struct lm_challenge challenge;
	const struct known *known = find(auth, scope);
	char *header;
	int r;

	if (known != NULL && known->age != age)
		return LMODEL_OK; /* somebody was quicker */
	r = lm_challenge_parse(&challenge, text, error);
	if (r == LMODEL_OK && !auth->looked) {
		r = lm_credentials_find(&auth->credentials, auth->host, error);
		auth->looked = r == LMODEL_OK;
	}
	if (r == LMODEL_OK && challenge.kind == LM_CHALLENGE_BEARER) {
		r = bearer(auth, &challenge, scope, error);
	} else if (r == LMODEL_OK && auth->credentials.user == NULL) {
		r = lm_fail(error, LMODEL_EFAILED,
			    "%s: access is denied to those without credentials (see docker login)",
			    auth->host);
	} else if (r == LMODEL_OK && age != 0) {
		r = lm_fail(error, LMODEL_EFAILED, "%s: the credentials for it are not accepted",
			    auth->host);
	} else if (r == LMODEL_OK) {
		r = lm_basic_header(&auth->credentials, &header, error);
		if (r == LMODEL_OK)
			r = learn(auth, NULL, header, error);
	}
	lm_challenge_free(&challenge);
	return r;
}

int lm_auth_answer(struct lm_auth *auth, const char *scope, unsigned age, const char *challenge,
		   struct lmodel_error *error)
{
	int r;

	pthread_mutex_lock(&auth->lock);
	r = answer(auth, scope, age, challenge, error);
	pthread_mutex_unlock(&auth->lock);
	return r;
}
