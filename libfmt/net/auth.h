/* What a registry wants to know before it answers: nothing, Basic, or a Bearer token that another
 * server gives (distribution's "Token Authentication Specification"). */
#ifndef LM_AUTH_H
#define LM_AUTH_H

#include "net/http.h"

struct lm_auth;

/* `base` is the registry's address, scheme://host[:port]; `host` the name that credentials are kept
 * under. Both are borrowed. */
struct lm_auth *lm_auth_new(struct lm_http *http, const char *base, const char *host,
			    struct lmodel_error *error);
void lm_auth_free(struct lm_auth *auth);

/* The Authorization for what `scope` names ("repository:NAME:pull", more behind a space), as far as
 * it is known: a copy in secret memory, or NULL. `*age` says which one, for lm_auth_answer(). */
int lm_auth_header(struct lm_auth *auth, const char *scope, char **header, unsigned *age,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* After a 401: gets what the challenge asks for, unless another thread has since `age`. */
int lm_auth_answer(struct lm_auth *auth, const char *scope, unsigned age, const char *challenge,
		   struct lmodel_error *error) LM_MUST_CHECK;

#endif
