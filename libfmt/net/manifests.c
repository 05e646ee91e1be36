#include "net/repository.h"

#include <stdio.h>

/* All kinds that can be answered with; what is in them is the caller's business. */
static const char accept[] = "Accept: " LM_OCI_MANIFEST ", " LM_OCI_INDEX ", "
			     "application/vnd.docker.distribution.manifest.v2+json, "
			     "application/vnd.docker.distribution.manifest.list.v2+json";

static char *manifest_url(const struct lm_registry *registry, const char *which,
			  struct lmodel_error *error)
{
	char rest[16 + 256];

	if (!lm_digest_check(which) && !lm_reference_is_tag(which)) {
		lm_fail(error, LMODEL_ECORRUPT, "%s: neither a tag nor a SHA-256 digest: %s",
			registry->label, LM_QUOTE(which));
		return NULL;
	}
	snprintf(rest, sizeof(rest), "manifests/%s", which);
	return lm_registry_url(registry, rest, error);
}

void lm_registry_manifest_free(struct lm_registry_manifest *manifest)
{
	free(manifest->bytes);
	free(manifest->media_type);
	*manifest = (struct lm_registry_manifest){ 0 };
}

/* The bytes decide: by a digest nothing else comes, and what the registry says about a tag is
 * true. */
static int accept_manifest(struct lm_registry *registry, const char *which,
			   struct lm_http_response *response, struct lm_registry_manifest *manifest,
			   struct lmodel_error *error)
{
	const char *type = response->header[LM_HTTP_CONTENT_TYPE];
	struct lm_registry_manifest made = { 0 };
	int r;

	lm_digest_of(made.digest, response->body != NULL ? response->body : "", response->body_len);
	if (lm_digest_check(which) && strcmp(which, made.digest) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest %s is another one: its digest is %s", registry->label,
			       which, made.digest);
	r = lm_registry_check_digest(registry, response, made.digest, error);
	if (r != LMODEL_OK)
		return r;
	/* without parameters */
	made.media_type = type == NULL ? strdup("") : strndup(type, strcspn(type, "; \t"));
	if (made.media_type == NULL)
		return lm_fail_memory(error);
	if (response->body == NULL) {
		lm_registry_manifest_free(&made);
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest %s is empty", registry->label,
			       which);
	}
	made.bytes = response->body;
	made.len = response->body_len;
	response->body = NULL;
	*manifest = made;
	return LMODEL_OK;
}

int lm_registry_get_manifest(struct lm_registry *registry, const char *which,
			     struct lm_registry_manifest *manifest, bool *found,
			     struct lmodel_error *error)
{
	const struct lm_reference *reference = registry->reference;
	static const char *const headers[] = { accept, NULL };
	struct lm_http_request request = { .method = "GET", .headers = headers };
	struct lm_http_response response;
	LM_FREE char *url = NULL;
	int r;

	*manifest = (struct lm_registry_manifest){ 0 };
	if (found != NULL)
		*found = true;
	if (which == NULL)
		which = reference->digest != NULL ? reference->digest : reference->tag;
	url = manifest_url(registry, which, error);
	if (url == NULL)
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	request.url = url;
	r = lm_registry_perform(registry, &request, LM_ACCESS_PULL, NULL, &response, error);
	if (r != LMODEL_OK)
		return r;
	if (response.status == 200) {
		r = accept_manifest(registry, which, &response, manifest, error);
	} else {
		r = lm_registry_unexpected(registry, which, &response, error);
		if (found != NULL) /* who may not see a thing is not told that it is not there */
			*found = response.status != 404;
	}
	lm_http_response_free(&response);
	return r;
}

int lm_registry_put_manifest(struct lm_registry *registry, const char *tag, const char *media_type,
			     const char *bytes, size_t len, bool *subject_known,
			     struct lmodel_error *error)
{
	struct lm_http_body body = { .bytes = bytes, .length = len, .label = "manifest" };
	struct lm_http_request request = { .method = "PUT", .body = &body };
	struct lm_http_response response;
	char digest[LM_DIGEST_SIZE];
	LM_FREE char *url = NULL, *type = NULL;
	const char *headers[] = { NULL, NULL };
	int r;

	lm_digest_of(digest, bytes, len);
	url = manifest_url(registry, tag != NULL ? tag : digest, error);
	type = lm_format(error, "Content-Type: %s", media_type);
	if (url == NULL || type == NULL)
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	headers[0] = type;
	request.url = url;
	request.headers = headers;
	r = lm_registry_perform(registry, &request, LM_ACCESS_PUSH, NULL, &response, error);
	if (r != LMODEL_OK)
		return r;
	if (response.status == 201 || response.status == 200 || response.status == 202)
		r = lm_registry_check_digest(registry, &response, digest, error);
	else
		r = lm_registry_unexpected(registry, tag != NULL ? tag : digest, &response, error);
	if (subject_known != NULL)
		*subject_known = r == LMODEL_OK && response.header[LM_HTTP_OCI_SUBJECT] != NULL;
	lm_http_response_free(&response);
	return r;
}
