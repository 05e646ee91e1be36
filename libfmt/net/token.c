#include "net/token.h"

#include "base/json.h"
#include "crypto/age/base64.h"
#include "crypto/secret.h"

enum { TOKEN_LIMIT = 32 << 10 };

int lm_basic_header(const struct lm_credentials *c, char **header, struct lmodel_error *error)
{
	size_t user = strlen(c->user), password = strlen(c->password), len = user + 1 + password;
	LM_SECRET char *plain = lm_secret_alloc(len, error);
	size_t used;

	*header = plain == NULL ? NULL : lm_secret_alloc(6 + lm_base64_encoded(len) + 3, error);
	if (*header == NULL)
		return LMODEL_EFAILED;
	memcpy(plain, c->user, user);
	plain[user] = ':';
	memcpy(plain + user + 1, c->password, password);
	memcpy(*header, "Basic ", 6);
	lm_base64_encode(*header + 6, (const uint8_t *)plain, len);
	for (used = 6 + lm_base64_encoded(len); (used - 6) % 4 != 0; used++)
		(*header)[used] = '=';
	return LMODEL_OK;
}

/* Appends `name=value` to a query or form that has room for it, percent-encoded (RFC 3986). */
static char *add_field(char *at, const char *separator, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";

	for (const char *parts[] = { separator, name, "=" }, **p = parts; p < parts + 3; p++)
		at = (char *)memcpy(at, *p, strlen(*p)) + strlen(*p);
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr("-._~", c) != NULL) {
			*at++ = *value;
		} else {
			*at++ = '%';
			*at++ = hex[c >> 4];
			*at++ = hex[c & 15];
		}
	}
	*at = '\0';
	return at;
}

/* service and the scopes, each a field of its own. `text` has room. */
static char *add_scopes(char *at, const char *separator, const char *service, const char *scope)
{
	LM_FREE char *copy = strdup(scope);
	char *rest = NULL;

	if (copy == NULL)
		return NULL;
	if (service != NULL) {
		at = add_field(at, separator, "service", service);
		separator = "&";
	}
	for (char *one = copy; (one = strtok_r(one, " ", &rest)) != NULL; one = NULL) {
		at = add_field(at, separator, "scope", one);
		separator = "&";
	}
	return at;
}

/* Visible ASCII: nothing that could end the header. */
static bool is_token(const char *token)
{
	size_t len = strlen(token);

	for (size_t i = 0; i < len; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return len > 0 && len <= TOKEN_LIMIT;
}

int lm_token_parse(const char *text, size_t len, const char *label, char **header,
			struct lmodel_error *error)
{
	static const struct lm_json_limits limits = { .depth = 16, .containers = 1024 };
	const json_t *value;
	json_t *root;
	int r = lm_json_parse(text, len, 0, label, &limits, &root, error);

	*header = NULL;
	if (r != LMODEL_OK)
		return r;
	value = json_object_get(root, "token");
	if (!json_is_string(value))
		value = json_object_get(root, "access_token");
	if (!json_is_string(value) || !is_token(json_string_value(value))) {
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: there is no token in the answer", label);
	} else {
		size_t size = json_string_length(value);

		*header = lm_secret_alloc(7 + size + 1, error);
		r = *header == NULL ? LMODEL_EFAILED : LMODEL_OK;
		if (*header != NULL) {
			memcpy(*header, "Bearer ", 7);
			memcpy(*header + 7, json_string_value(value), size);
		}
		lm_wipe((char *)(uintptr_t)json_string_value(value), size);
	}
	json_decref(root);
	return r;
}

int lm_token_ask(struct lm_http *http, const char *realm, const char *service, const char *scope,
		 const struct lm_credentials *c, struct lm_http_response *response,
		 struct lmodel_error *error)
{
	static const char *const form_headers[] = {
		"Content-Type: application/x-www-form-urlencoded", NULL
	};
	/* each byte of a value may become three, each word of `scope` a field of its own */
	size_t room = strlen(realm) + 3 * (service != NULL ? strlen(service) : 0) +
		      16 * strlen(scope) + 256;
	LM_SECRET char *header = NULL, *form = NULL;
	LM_FREE char *url = malloc(room);
	struct lm_http_request request = { .method = "GET", .url = url, .stay = true };
	struct lm_http_body body = { .label = "form" };
	char *at;

	if (url == NULL)
		return lm_fail_memory(error);
	memcpy(url, realm, strlen(realm) + 1);
	if (c->identity_token != NULL) {
		form = lm_secret_alloc(room + 3 * strlen(c->identity_token), error);
		if (form == NULL)
			return LMODEL_EFAILED;
		at = add_field(form, "", "grant_type", "refresh_token");
		at = add_field(at, "&", "client_id", "lmodel");
		at = add_field(at, "&", "refresh_token", c->identity_token);
		at = add_scopes(at, "&", service, scope);
		body.bytes = form;
		body.length = strlen(form);
		request.method = "POST";
		request.headers = form_headers;
		request.body = &body;
	} else {
		at = add_scopes(url + strlen(url), strchr(url, '?') == NULL ? "?" : "&", service,
				scope);
		if (c->user != NULL && lm_basic_header(c, &header, error))
			return LMODEL_EFAILED;
		request.authorization = header;
	}
	if (at == NULL)
		return lm_fail_memory(error);
	return lm_http_perform(http, &request, response, error);
}
