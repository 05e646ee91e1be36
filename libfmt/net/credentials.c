#include "net/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>

#include "base/io.h"
#include "base/json.h"
#include "crypto/age/base64.h"
#include "crypto/secret.h"

enum { FILE_LIMIT = 1 << 20 };

static const struct lm_json_limits limits = { .depth = 32, .containers = 16384 };

void lm_credentials_free(struct lm_credentials *credentials)
{
	lm_secret_free(credentials->user);
	lm_secret_free(credentials->password);
	lm_secret_free(credentials->identity_token);
	*credentials = (struct lm_credentials){ 0 };
}

static char *keep(const char *text, size_t len, struct lmodel_error *error)
{
	char *kept = lm_secret_alloc(len + 1, error);

	if (kept != NULL)
		memcpy(kept, text, len);
	return kept;
}

bool lm_credentials_are_known(const struct lm_credentials *c)
{
	return c->identity_token != NULL || c->user != NULL;
}

/* A member that has to be a string; an empty one is as good as none. */
static int take_string(const json_t *object, const char *key, const char *label, const char **text,
		       struct lmodel_error *error)
{
	const json_t *value = json_object_get(object, key);

	*text = NULL;
	if (value == NULL || json_is_null(value))
		return LMODEL_OK;
	if (!json_is_string(value))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: \"%s\" is %s", label, key,
			       lm_json_kind(value));
	if (json_string_length(value) > 0)
		*text = json_string_value(value);
	return LMODEL_OK;
}

/* The parsed document's copies of secrets go before its memory does. */
static void wipe_strings(json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		lm_wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	json_array_foreach(value, i, item)
		wipe_strings(item);
	json_object_foreach(value, key, item)
		wipe_strings(item);
}

static void forget(json_t *root)
{
	wipe_strings(root);
	json_decref(root);
}

/* ---- "auths" ---- */

/* Whether a key of the file is this host: HOST, or what docker wrote once, https://HOST/v1/. */
static bool is_for(const char *key, const char *host)
{
	size_t len = strlen(host);

	if (strncmp(key, "https://", 8) == 0)
		key += 8;
	else if (strncmp(key, "http://", 7) == 0)
		key += 7;
	else
		return strcasecmp(key, host) == 0;
	return strncasecmp(key, host, len) == 0 && (key[len] == '\0' || key[len] == '/');
}

/* "auth": Base 64 of USER:PASSWORD, padded or not, and perhaps with NULs behind it. */
static int take_auth(struct lm_credentials *c, const char *text, const char *label,
		     struct lmodel_error *error)
{
	size_t len = strlen(text), bytes;
	char *colon;
	LM_SECRET char *plain = NULL;

	while (len > 0 && text[len - 1] == '=')
		len--;
	bytes = lm_base64_decoded(len);
	plain = lm_secret_alloc(bytes + 1, error);
	if (plain == NULL)
		return LMODEL_EFAILED;
	if (len % 4 == 1 || !lm_base64_decode((uint8_t *)plain, (const uint8_t *)text, len))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: an \"auth\" is not Base 64", label);
	colon = strchr(plain, ':');
	if (colon == NULL || colon == plain)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: an \"auth\" is not USER:PASSWORD",
			       label);
	c->user = keep(plain, (size_t)(colon - plain), error);
	c->password = keep(colon + 1, strlen(colon + 1), error);
	return c->user == NULL || c->password == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int take_entry(struct lm_credentials *c, const json_t *entry, const char *label,
		      struct lmodel_error *error)
{
	const char *auth, *identity, *user, *password;

	if (!json_is_object(entry))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: an entry of \"auths\" is %s", label,
			       lm_json_kind(entry));
	if (take_string(entry, "identitytoken", label, &identity, error) ||
	    take_string(entry, "auth", label, &auth, error) ||
	    take_string(entry, "username", label, &user, error) ||
	    take_string(entry, "password", label, &password, error))
		return LMODEL_ECORRUPT;
	if (identity != NULL) {
		c->identity_token = keep(identity, strlen(identity), error);
		return c->identity_token == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	if (auth != NULL)
		return take_auth(c, auth, label, error);
	if (user == NULL || password == NULL)
		return LMODEL_OK;
	c->user = keep(user, strlen(user), error);
	c->password = keep(password, strlen(password), error);
	return c->user == NULL || c->password == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int take_object(const json_t *root, const char *key, const char *label, json_t **object,
		       struct lmodel_error *error)
{
	*object = json_object_get(root, key);
	if (*object == NULL || json_is_object(*object))
		return LMODEL_OK;
	if (json_is_null(*object)) {
		*object = NULL;
		return LMODEL_OK;
	}
	return lm_fail(error, LMODEL_ECORRUPT, "%s: \"%s\" is %s", label, key,
		       lm_json_kind(*object));
}

static int take_root(struct lm_credentials *c, char **helper, const json_t *root, const char *label,
		     const char *host, struct lmodel_error *error)
{
	json_t *auths, *helpers, *entry;
	const char *store, *own = NULL, *key;

	if (!json_is_object(root))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is %s, not an object", label,
			       lm_json_kind(root));
	if (take_object(root, "auths", label, &auths, error) ||
	    take_object(root, "credHelpers", label, &helpers, error) ||
	    take_string(root, "credsStore", label, &store, error) ||
	    (helpers != NULL && take_string(helpers, host, label, &own, error)))
		return LMODEL_ECORRUPT;
	if (own != NULL || store != NULL) {
		*helper = lm_strdup(own != NULL ? own : store, error);
		if (*helper == NULL)
			return LMODEL_EFAILED;
	}
	json_object_foreach(auths, key, entry)
		if (is_for(key, host) && !lm_credentials_are_known(c)) {
			int r = take_entry(c, entry, label, error);

			if (r != LMODEL_OK)
				return r;
		}
	return LMODEL_OK;
}

int lm_credentials_parse(struct lm_credentials *credentials, char **helper, const char *text,
			 size_t len, const char *label, const char *host,
			 struct lmodel_error *error)
{
	json_t *root;
	int r = lm_json_parse(text, len, 0, label, &limits, &root, error);

	*credentials = (struct lm_credentials){ 0 };
	*helper = NULL;
	if (r != LMODEL_OK)
		return r;
	r = take_root(credentials, helper, root, label, host, error);
	forget(root);
	if (r != LMODEL_OK) {
		lm_credentials_free(credentials);
		free(*helper);
		*helper = NULL;
	}
	return r;
}

/* ---- helpers ---- */

int lm_credentials_parse_answer(struct lm_credentials *credentials, const char *text, size_t len,
				const char *label, struct lmodel_error *error)
{
	const char *user, *secret;
	json_t *root;
	int r = lm_json_parse(text, len, 0, label, &limits, &root, error);

	*credentials = (struct lm_credentials){ 0 };
	if (r != LMODEL_OK)
		return r;
	r = take_string(root, "Username", label, &user, error);
	if (r == LMODEL_OK)
		r = take_string(root, "Secret", label, &secret, error);
	if (r == LMODEL_OK && user != NULL && secret != NULL) {
		char **kept = strcmp(user, "<token>") == 0 ? &credentials->identity_token :
							       &credentials->password;

		*kept = keep(secret, strlen(secret), error);
		if (kept == &credentials->password)
			credentials->user = keep(user, strlen(user), error);
		if (*kept == NULL ||
		    (kept == &credentials->password && credentials->user == NULL))
			r = LMODEL_EFAILED;
	}
	forget(root);
	if (r != LMODEL_OK)
		lm_credentials_free(credentials);
	return r;
}

static int ask_helper(struct lm_credentials *credentials, const char *name, const char *host,
		      struct lmodel_error *error)
{
	LM_SECRET char *output = NULL;
	char label[LM_QUOTE_SIZE + 32];
	size_t len;
	bool failed;
	int r = lm_helper_run(name, host, &output, &len, &failed, error);

	if (r != LMODEL_OK)
		return r;
	/* what docker's helpers say when they know nobody there */
	if (failed && strstr(output, "credentials not found") != NULL)
		return LMODEL_OK;
	/* it says why; but what has a brace in it may be an answer, with the secret */
	if (failed)
		return lm_fail(error, LMODEL_EFAILED, "docker-credential-%s fails for %s%s%s", name,
			       host, strchr(output, '{') == NULL ? ": " : "",
			       strchr(output, '{') == NULL ? LM_QUOTE(output) : "");
	snprintf(label, sizeof(label), "docker-credential-%s", name);
	return lm_credentials_parse_answer(credentials, output, len, label, error);
}

/* ---- files ---- */

/* A file that others may read is taken, as docker does. */
static int read_file(const char *path, char **text, size_t *len, struct lmodel_error *error)
{
	LM_CLOSE int fd = -1;
	uint64_t size;
	int r;

	*text = NULL;
	if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
		return LMODEL_OK;
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	if (size > FILE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: more than %d KiB", path,
			       FILE_LIMIT >> 10);
	*text = lm_secret_alloc(size + 1, error);
	if (*text == NULL)
		return LMODEL_EFAILED;
	*len = size;
	return lm_read_at(fd, path, *text, size, 0, error);
}

static int look_into(struct lm_credentials *credentials, const char *path, const char *host,
		     struct lmodel_error *error)
{
	LM_SECRET char *text = NULL;
	LM_FREE char *helper = NULL;
	struct lm_credentials filed = { 0 };
	char label[LM_QUOTE_SIZE];
	size_t len = 0;
	int r = read_file(path, &text, &len, error);

	if (r != LMODEL_OK || text == NULL)
		return r;
	lm_quote(label, path);
	r = lm_credentials_parse(&filed, &helper, text, len, label, host, error);
	if (r == LMODEL_OK && helper != NULL)
		r = ask_helper(credentials, helper, host, error);
	if (r == LMODEL_OK && !lm_credentials_are_known(credentials))
		*credentials = filed;
	else
		lm_credentials_free(&filed);
	return r;
}

int lm_credentials_find(struct lm_credentials *credentials, const char *host,
			struct lmodel_error *error)
{
	static const struct {
		const char *variable, *rest;
		bool or_else; /* only when the one before is not set */
	} places[] = {
		{ "REGISTRY_AUTH_FILE", "", false },
		{ "DOCKER_CONFIG", "/config.json", false },
		{ "HOME", "/.docker/config.json", true },
		{ "XDG_RUNTIME_DIR", "/containers/auth.json", false },
	};
	bool before = false;

	*credentials = (struct lm_credentials){ 0 };
	for (size_t i = 0; i < LM_COUNT(places); i++) {
		const char *value = getenv(places[i].variable);
		LM_FREE char *path = NULL;
		bool skip = value == NULL || value[0] == '\0' || (places[i].or_else && before);
		int r;

		before = value != NULL && value[0] != '\0';
		if (skip)
			continue;
		path = lm_format(error, "%s%s", value, places[i].rest);
		if (path == NULL)
			return LMODEL_EFAILED;
		r = look_into(credentials, path, host, error);
		if (r != LMODEL_OK || lm_credentials_are_known(credentials))
			return r;
	}
	return LMODEL_OK;
}
