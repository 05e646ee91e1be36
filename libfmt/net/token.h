/* Values of Authorization: Basic from a password, Bearer from a token server. */
#ifndef LM_TOKEN_H
#define LM_TOKEN_H

#include "net/credentials.h"
#include "net/http.h"

/* "Basic ..." of user and password, in secret memory. */
int lm_basic_header(const struct lm_credentials *credentials, char **header,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Asks the token server at `realm`: by GET, as who the credentials say or as nobody, or by a form
 * with the identity token (RFC 6749, section 6). No redirect to another host is followed. */
int lm_token_ask(struct lm_http *http, const char *realm, const char *service, const char *scope,
		 const struct lm_credentials *credentials, struct lm_http_response *response,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* "Bearer ..." of the token in its answer, in secret memory. */
int lm_token_parse(const char *text, size_t len, const char *label, char **header,
		   struct lmodel_error *error) LM_MUST_CHECK;

#endif
