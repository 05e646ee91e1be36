/* Who somebody is at a registry, as docker and podman keep it (docker-login(1),
 * containers-auth.json(5)). Looked up in this order; the first file that knows the host counts:
 *
 *     $REGISTRY_AUTH_FILE
 *     $DOCKER_CONFIG/config.json, or else $HOME/.docker/config.json
 *     $XDG_RUNTIME_DIR/containers/auth.json
 *
 * In each: a helper of the host's own ("credHelpers"), the helper of all hosts ("credsStore"),
 * "auths". A helper NAME is the program docker-credential-NAME, which gets the host on its standard
 * input. Entries for a part of a registry (HOST/NAMESPACE) are not looked at. */
#ifndef LM_CREDENTIALS_H
#define LM_CREDENTIALS_H

#include "base/base.h"

/* All in secret memory; NULL: none. Either user and password, or an identity token. */
struct lm_credentials {
	char *user, *password;
	char *identity_token; /* for OAuth2's grant_type=refresh_token */
};

/* No file, or none that knows `host` (with port): LMODEL_OK with nothing set. A file that is there
 * and is no such file is ECORRUPT; a helper that is missing, fails, or takes more than a minute is
 * EFAILED. */
int lm_credentials_find(struct lm_credentials *credentials, const char *host,
			struct lmodel_error *error) LM_MUST_CHECK;
bool lm_credentials_are_known(const struct lm_credentials *credentials);
void lm_credentials_free(struct lm_credentials *credentials);

/* The same from the text of one file, for tests and fuzzing: runs no helper but names it in
 * `helper` (in fresh memory; NULL: none). */
int lm_credentials_parse(struct lm_credentials *credentials, char **helper, const char *text,
			 size_t len, const char *label, const char *host,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* What a helper answered. */
int lm_credentials_parse_answer(struct lm_credentials *credentials, const char *text, size_t len,
				const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Runs docker-credential-NAME get: its output in secret memory, with a NUL behind it. `*failed`: it
 * said no, and the output is its reason. */
int lm_helper_run(const char *name, const char *host, char **output, size_t *len, bool *failed,
		  struct lmodel_error *error) LM_MUST_CHECK;

#endif
