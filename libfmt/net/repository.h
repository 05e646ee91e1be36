/* What the parts of net/registry.h share. */
#ifndef LM_REPOSITORY_H
#define LM_REPOSITORY_H

#include "net/auth.h"
#include "net/registry.h"

struct lm_registry {
	struct lm_http *http;
	const struct lm_reference *reference;
	char *base;   /* scheme://host[:port] */
	char *label;  /* host/name, for messages */
	struct lm_auth *auth;
};

/* What a token has to allow. */
enum lm_access { LM_ACCESS_PULL, LM_ACCESS_PUSH };

/* An address of the repository: base/v2/NAME/ and the rest. NULL with the error set when there
 * is no memory. */
char *lm_registry_url(const struct lm_registry *registry, const char *rest,
		      struct lmodel_error *error);

/* lm_http_perform() with what the registry wants to know about who asks; asked for once when the
 * answer is 401. `mount_from` (NULL: none) is another repository that has to be readable. Only the
 * registry's own origin gets an Authorization. */
int lm_registry_perform(struct lm_registry *registry, struct lm_http_request *request,
			enum lm_access access, const char *mount_from,
			struct lm_http_response *response, struct lmodel_error *error)
	LM_MUST_CHECK;

/* EFAILED for an answer that nobody expected, with what the registry says about it. `what` was
 * asked for. */
int lm_registry_unexpected(const struct lm_registry *registry, const char *what,
			   const struct lm_http_response *response, struct lmodel_error *error);

/* Whether Docker-Content-Digest, where there is one, is `digest`: ECORRUPT when not. */
int lm_registry_check_digest(const struct lm_registry *registry,
			     const struct lm_http_response *response, const char *digest,
			     struct lmodel_error *error) LM_MUST_CHECK;

#endif
