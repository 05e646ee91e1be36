/* Artifacts about a manifest (distribution-spec 1.1, "Listing referrers" and "Referrers tag
 * schema"). */
#include "net/repository.h"

#include <stdio.h>

#include "base/json.h"
#include "net/fields.h"

enum { PAGES = 1000, REPEATS = 5, SETTLE_MS = 100 };

static const struct lm_json_limits limits = { .depth = 32, .containers = 1 << 17 };

struct list {
	struct lm_referrer *items;
	size_t count, capacity;
};

void lm_referrers_free(struct lm_referrer *referrers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(referrers[i].artifact_type);
	free(referrers);
}

/* ---- an index ---- */

/* The descriptors of an index; `*root` is to be given to json_decref(). */
static int parse_index(const struct lm_registry *registry, const char *text, size_t len,
		       json_t **root,
		       json_t **descriptors, struct lmodel_error *error)
{
	int r = lm_json_parse(text, len, 0, registry->label, &limits, root, error);

	if (r != LMODEL_OK)
		return r;
	*descriptors = json_object_get(*root, "manifests");
	if (json_is_array(*descriptors))
		return LMODEL_OK;
	r = lm_fail(error, LMODEL_ECORRUPT, "%s: a list of referrers whose \"manifests\" is %s",
		    registry->label, lm_json_kind(*descriptors));
	json_decref(*root);
	*root = NULL;
	return r;
}

static int add(const struct lm_registry *registry, struct list *list, const json_t *descriptor,
	       const char *artifact_type, struct lmodel_error *error)
{
	const json_t *digest = json_object_get(descriptor, "digest");
	const json_t *size = json_object_get(descriptor, "size");
	const json_t *type = json_object_get(descriptor, "artifactType");
	struct lm_referrer made = { 0 };

	if (!json_is_string(digest) || !lm_json_u64(size, &made.size) ||
	    (type != NULL && !json_is_string(type)))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: a referrer without digest, size, or type as it should be",
			       registry->label);
	if (!lm_digest_check(json_string_value(digest))) /* another algorithm: not for us */
		return LMODEL_OK;
	if (artifact_type != NULL &&
	    (type == NULL || strcmp(json_string_value(type), artifact_type) != 0))
		return LMODEL_OK;
	if (list->count == LM_REFERRERS)
		return lm_fail(error, LMODEL_ELIMIT, "%s: more than %d referrers", registry->label,
			       LM_REFERRERS);
	memcpy(made.digest, json_string_value(digest), LM_DIGEST_SIZE);
	if (lm_grow(&list->items, list->count, &list->capacity, sizeof(*list->items), error))
		return LMODEL_EFAILED;
	made.artifact_type = lm_strdup(type != NULL ? json_string_value(type) : "", error);
	if (made.artifact_type == NULL)
		return LMODEL_EFAILED;
	list->items[list->count++] = made;
	return LMODEL_OK;
}

static int add_all(const struct lm_registry *registry, struct list *list, const char *text,
		   size_t len,
		   const char *artifact_type, struct lmodel_error *error)
{
	json_t *root, *descriptors, *descriptor;
	size_t i;
	int r = parse_index(registry, text, len, &root, &descriptors, error);

	if (r != LMODEL_OK)
		return r;
	json_array_foreach(descriptors, i, descriptor) {
		r = add(registry, list, descriptor, artifact_type, error);
		if (r != LMODEL_OK)
			break;
	}
	json_decref(root);
	return r;
}

/* ---- by the API ---- */

/* Percent-encodes what a media type may have beside letters and digits (RFC 6838, section 4.2). */
static char *encode(const char *text, struct lmodel_error *error)
{
	char *encoded = malloc(3 * strlen(text) + 1), *at = encoded;

	if (encoded == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	for (; *text != '\0'; text++)
		if ((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
		    (*text >= 'A' && *text <= 'Z') || *text == '.' || *text == '-' || *text == '_')
			*at++ = *text;
		else
			at += snprintf(at, 4, "%%%02X", (unsigned char)*text);
	*at = '\0';
	return encoded;
}

/* The next page's address, if there is one: of the same registry. */
static int next_page(struct lm_registry *registry, const struct lm_http_response *response,
		     char **url,
		     struct lmodel_error *error)
{
	LM_FREE char *target = NULL;
	bool same;
	int r;

	free(*url);
	*url = NULL;
	if (response->header[LM_HTTP_LINK] == NULL)
		return LMODEL_OK;
	r = lm_link_next(response->header[LM_HTTP_LINK], &target, error);
	if (r == LMODEL_OK && target != NULL)
		r = lm_http_resolve(registry->http, response->url, target, url, &same, error);
	if (r == LMODEL_OK && *url != NULL && !same)
		r = lm_fail(error, LMODEL_ECORRUPT,
			    "%s: the list of referrers goes on at another host", registry->label);
	return r;
}

static int one_page(struct lm_registry *registry, struct list *list, char **url,
		    const char *artifact_type, bool *known, struct lmodel_error *error)
{
	static const char *const headers[] = { "Accept: " LM_OCI_INDEX, NULL };
	struct lm_http_request request = { .method = "GET", .url = *url, .headers = headers };
	struct lm_http_response response;
	int r = lm_registry_perform(registry, &request, LM_ACCESS_PULL, NULL, &response, error);

	if (r != LMODEL_OK)
		return r;
	*known = response.status == 200;
	if (*known) {
		r = add_all(registry, list, response.body != NULL ? response.body : "",
			    response.body_len, artifact_type, error);
		if (r == LMODEL_OK)
			r = next_page(registry, &response, url, error);
	} else if (response.status != 404) {
		r = lm_registry_unexpected(registry, "referrers", &response, error);
	}
	lm_http_response_free(&response);
	return r;
}

/* `*known` false: this registry has no such API. */
static int by_api(struct lm_registry *registry, struct list *list, const char *digest,
		  const char *artifact_type, bool *known, struct lmodel_error *error)
{
	LM_FREE char *type = artifact_type == NULL ? NULL : encode(artifact_type, error);
	LM_FREE char *rest = lm_format(error, "referrers/%s%s%s", digest,
				       type != NULL ? "?artifactType=" : "",
				       type != NULL ? type : "");
	LM_FREE char *url = rest == NULL ? NULL : lm_registry_url(registry, rest, error);
	int r = LMODEL_OK;

	if (url == NULL || (artifact_type != NULL && type == NULL))
		return LMODEL_EFAILED;
	for (int pages = 0; r == LMODEL_OK && url != NULL; pages++) {
		bool there;

		if (pages == PAGES)
			return lm_fail(error, LMODEL_ELIMIT,
				       "%s: the list of referrers has more than %d pages",
				       registry->label, PAGES);
		r = one_page(registry, list, &url, artifact_type, &there, error);
		if (r == LMODEL_OK && !there) {
			*known = false;
			return pages == 0 ? LMODEL_OK :
			       lm_fail(error, LMODEL_EFAILED,
				       "%s: a page of the list of referrers is not there",
				       registry->label);
		}
		*known = true;
	}
	return r;
}

/* ---- by the tag ---- */

static void tag_of(char tag[LM_DIGEST_SIZE], const char *digest)
{
	memcpy(tag, digest, LM_DIGEST_SIZE);
	tag[6] = '-';
}

/* The index under the tag; none: LMODEL_OK and no bytes. */
static int get_index(struct lm_registry *registry, const char *tag,
		     struct lm_registry_manifest *index, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	bool found;
	int r = lm_registry_get_manifest(registry, tag, index, &found, &local);

	if (r == LMODEL_OK || !found)
		return LMODEL_OK;
	return lm_fail(error, local.code, "%s", local.message);
}

int lm_registry_referrers(struct lm_registry *registry, const char *digest,
			  const char *artifact_type, struct lm_referrer **referrers, size_t *count,
			  struct lmodel_error *error)
{
	struct lm_registry_manifest index = { 0 };
	struct list list = { 0 };
	char tag[LM_DIGEST_SIZE];
	bool known = true;
	int r;

	*referrers = NULL;
	*count = 0;
	if (!lm_digest_check(digest))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a SHA-256 digest: %s",
			       registry->label, LM_QUOTE(digest));
	r = by_api(registry, &list, digest, artifact_type, &known, error);
	if (r == LMODEL_OK && !known) {
		tag_of(tag, digest);
		r = get_index(registry, tag, &index, error);
		if (r == LMODEL_OK && index.bytes != NULL)
			r = add_all(registry, &list, index.bytes, index.len, artifact_type, error);
		lm_registry_manifest_free(&index);
	}
	if (r != LMODEL_OK) {
		lm_referrers_free(list.items, list.count);
		return r;
	}
	*referrers = list.items;
	*count = list.count;
	return LMODEL_OK;
}

/* ---- adding one ---- */

/* What an index says of the artifact (image-spec 1.1, "Descriptors"). */
static json_t *describe(const char *digest, const char *artifact_type, const char *bytes,
			size_t len)
{
	json_t *manifest = NULL, *annotations;
	json_t *made = json_pack("{s:s, s:s, s:I, s:s}", "mediaType", LM_OCI_MANIFEST, "digest",
				 digest,
				 "size", (json_int_t)len, "artifactType", artifact_type);

	if (made == NULL || lm_json_parse(bytes, len, 0, "artifact", &limits, &manifest, NULL))
		return made;
	annotations = json_object_get(manifest, "annotations");
	if (json_is_object(annotations) &&
	    json_object_set(made, "annotations", annotations) != 0) {
		json_decref(made);
		made = NULL;
	}
	json_decref(manifest);
	return made;
}

static bool has(const json_t *descriptors, const char *digest)
{
	const json_t *item;
	size_t i;

	json_array_foreach(descriptors, i, item) {
		const char *d = json_string_value(json_object_get(item, "digest"));

		if (d != NULL && strcmp(d, digest) == 0)
			return true;
	}
	return false;
}

/* The index with the artifact in it: as it was and one more. `*text` stays NULL when it is
 * there. */
static int extend(const struct lm_registry *registry, const struct lm_registry_manifest *index,
		  const char *digest, json_t *descriptor, char **text, struct lmodel_error *error)
{
	json_t *root = NULL, *descriptors;
	int r = LMODEL_OK;

	*text = NULL;
	if (index->bytes != NULL)
		r = parse_index(registry, index->bytes, index->len, &root, &descriptors, error);
	else
		root = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", LM_OCI_INDEX,
				 "manifests", descriptors = json_array());
	if (r != LMODEL_OK)
		return r;
	if (root == NULL)
		return lm_fail_memory(error);
	if (!has(descriptors, digest)) {
		*text = json_array_append(descriptors, descriptor) != 0 ? NULL :
			json_dumps(root, JSON_COMPACT);
		if (*text == NULL)
			r = lm_fail_memory(error);
	}
	json_decref(root);
	return r;
}

/* Reads, adds, writes, until it stays: another one who has read before and writes after us takes
 * ours out, which shows a moment later. */
static int add_to_tag(struct lm_registry *registry, const char *subject, const char *digest,
		      json_t *descriptor, struct lmodel_error *error)
{
	char tag[LM_DIGEST_SIZE];

	tag_of(tag, subject);
	for (int i = 0; i <= REPEATS; i++) {
		struct lm_registry_manifest index = { 0 };
		LM_FREE char *text = NULL;
		int r = get_index(registry, tag, &index, error);

		if (r == LMODEL_OK)
			r = extend(registry, &index, digest, descriptor, &text, error);
		lm_registry_manifest_free(&index);
		if (r != LMODEL_OK || text == NULL)
			return r;
		if (i == REPEATS)
			break;
		r = lm_registry_put_manifest(registry, tag, LM_OCI_INDEX, text, strlen(text), NULL,
					     error);
		if (r == LMODEL_OK)
			r = lm_http_wait(registry->http, SETTLE_MS, error);
		if (r != LMODEL_OK)
			return r;
	}
	return lm_fail(error, LMODEL_EFAILED,
		       "%s: the list of referrers is changed by others all the time",
		       registry->label);
}

int lm_registry_put_referrer(struct lm_registry *registry, const char *subject,
			     const char *artifact_type, const char *bytes, size_t len,
			     char digest[LM_DIGEST_SIZE], struct lmodel_error *error)
{
	bool known;
	json_t *descriptor;
	int r;

	lm_digest_of(digest, bytes, len);
	if (!lm_digest_check(subject))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a SHA-256 digest: %s",
			       registry->label, LM_QUOTE(subject));
	r = lm_registry_put_manifest(registry, NULL, LM_OCI_MANIFEST, bytes, len, &known, error);
	if (r != LMODEL_OK || known)
		return r;
	descriptor = describe(digest, artifact_type, bytes, len);
	if (descriptor == NULL)
		return lm_fail_memory(error);
	r = add_to_tag(registry, subject, digest, descriptor, error);
	json_decref(descriptor);
	return r;
}
