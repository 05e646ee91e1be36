#include "net/repository.h"

#include <stdio.h>

#include <lmodel/archive.h>

#include "base/json.h"
#include "crypto/secret.h"

struct lm_registry *lm_registry_new(struct lm_http *http, const struct lm_reference *reference,
				    struct lmodel_error *error)
{
	struct lm_registry *registry = calloc(1, sizeof(*registry));

	if (registry == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	registry->http = http;
	registry->reference = reference;
	registry->base = lm_format(error, "%s://%s", reference->secure ? "https" : "http",
				   reference->host);
	registry->label = lm_format(error, "%s/%s", reference->host, reference->name);
	if (registry->base != NULL && registry->label != NULL)
		registry->auth = lm_auth_new(http, registry->base, reference->host, error);
	if (registry->auth == NULL) {
		lm_registry_free(registry);
		return NULL;
	}
	return registry;
}

void lm_registry_free(struct lm_registry *registry)
{
	if (registry == NULL)
		return;
	lm_auth_free(registry->auth);
	free(registry->base);
	free(registry->label);
	free(registry);
}

char *lm_registry_url(const struct lm_registry *registry, const char *rest,
		      struct lmodel_error *error)
{
	return lm_format(error, "%s/v2/%s/%s", registry->base, registry->reference->name, rest);
}

static char *scope_of(const struct lm_registry *registry, enum lm_access access,
		      const char *mount_from, struct lmodel_error *error)
{
	return lm_format(error, "repository:%s:pull%s%s%s%s", registry->reference->name,
			 access == LM_ACCESS_PUSH ? ",push" : "",
			 mount_from != NULL ? " repository:" : "",
			 mount_from != NULL ? mount_from : "", mount_from != NULL ? ":pull" : "");
}

/* One request with what is known by now. */
static int perform(struct lm_registry *registry, struct lm_http_request *request, const char *scope,
		   bool own, unsigned *age, struct lm_http_response *response,
		   struct lmodel_error *error)
{
	LM_SECRET char *header = NULL;
	int r = own ? lm_auth_header(registry->auth, scope, &header, age, error) : LMODEL_OK;

	*response = (struct lm_http_response){ 0 };
	if (r != LMODEL_OK)
		return r;
	request->authorization = header;
	r = lm_http_perform(registry->http, request, response, error);
	request->authorization = NULL;
	return r;
}

/* Whether an answer is the registry's own. Who is asked for credentials along a redirect is asked by
 * somebody else, who would name a token server of his own. */
static bool is_own(const struct lm_registry *registry, const struct lm_http_response *response)
{
	LM_FREE char *url = NULL;
	bool same = false;

	return lm_http_resolve(registry->http, registry->base, response->url, &url, &same, NULL) ==
	       LMODEL_OK && same;
}

int lm_registry_perform(struct lm_registry *registry, struct lm_http_request *request,
			enum lm_access access, const char *mount_from,
			struct lm_http_response *response, struct lmodel_error *error)
{
	LM_FREE char *scope = scope_of(registry, access, mount_from, error), *url = NULL;
	unsigned age = 0;
	bool own;
	int r;

	*response = (struct lm_http_response){ 0 };
	if (scope == NULL || lm_http_resolve(registry->http, registry->base, request->url, &url,
					     &own, error))
		return scope == NULL || error == NULL ? LMODEL_EFAILED : (int)error->code;
	r = perform(registry, request, scope, own, &age, response, error);
	if (r != LMODEL_OK || response->status != 401 || !own ||
	    response->header[LM_HTTP_AUTHENTICATE] == NULL || !is_own(registry, response))
		return r;
	r = lm_auth_answer(registry->auth, scope, age, response->header[LM_HTTP_AUTHENTICATE],
			   error);
	lm_http_response_free(response);
	return r != LMODEL_OK ? r : perform(registry, request, scope, own, &age, response, error);
}

/* The first error of a registry's list (distribution-spec 1.1, "Error codes"), if it is one. */
static void explain(const struct lm_http_response *response, char *text, size_t size)
{
	static const struct lm_json_limits limits = { .depth = 32, .containers = 4096 };
	const json_t *first;
	const char *code, *message;
	char quoted[LM_QUOTE_SIZE];
	json_t *root;

	text[0] = '\0';
	if (response->body_len == 0 ||
	    lm_json_parse(response->body, response->body_len, 0, "answer", &limits, &root, NULL))
		return;
	first = json_array_get(json_object_get(root, "errors"), 0);
	code = json_string_value(json_object_get(first, "code"));
	message = json_string_value(json_object_get(first, "message"));
	if (code != NULL || message != NULL) {
		snprintf(text, size, ": ");
		lmodel_escape(quoted, 64, code != NULL ? code : "");
		strncat(text, quoted, size - strlen(text) - 1);
		lmodel_escape(quoted, sizeof(quoted), message != NULL ? message : "");
		if (message != NULL) {
			strncat(text, code != NULL ? ", " : "", size - strlen(text) - 1);
			strncat(text, quoted, size - strlen(text) - 1);
		}
	}
	json_decref(root);
}

int lm_registry_unexpected(const struct lm_registry *registry, const char *what,
			   const struct lm_http_response *response, struct lmodel_error *error)
{
	char why[2 * LM_QUOTE_SIZE];
	const char *said = response->status == 401 || response->status == 403 ? "access is denied" :
			   response->status == 404 ? "not there" :
			   response->status == 429 ? "too many requests" :
				   "the registry does not do it";

	explain(response, why, sizeof(why));
	return lm_fail(error, LMODEL_EFAILED, "%s: %s: %s (status %ld%s)", registry->label, what,
		       said,
		       response->status, why);
}

int lm_registry_check_digest(const struct lm_registry *registry,
			     const struct lm_http_response *response, const char *digest,
			     struct lmodel_error *error)
{
	const char *said = response->header[LM_HTTP_DIGEST];

	if (said == NULL || strcmp(said, digest) == 0)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_ECORRUPT, "%s: %s was asked for, the registry speaks of %s",
		       registry->label, digest, LM_QUOTE(said));
}
