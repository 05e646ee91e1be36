#include "registry/grants.h"

#include "archive/unlock.h"
#include "crypto/secret.h"
#include "registry/image.h"
#include "registry/json_read.h"
#include "registry/json_write.h"

/* ---- the document ---- */

static int parse(struct lm_grant_artifact *a, const json_t *root, const char *label,
		 struct lmodel_error *error)
{
	const json_t *layers = json_object_get(root, "layers");
	const char *artifact = lm_json_member_text(root, "artifactType");
	const char *id = lm_json_member_text(json_object_get(root, "annotations"), "org.lmodel.id");
	const char *type;

	if (artifact == NULL || strcmp(artifact, LM_GRANT_ARTIFACT_TYPE) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: is no grant", label);
	if (id == NULL || strlen(id) != 36 || json_array_size(layers) != 1 ||
	    !lm_json_read_descriptor(json_array_get(layers, 0), &type, a->digest, &a->size) ||
	    strcmp(type, LM_GRANT_LAYER_TYPE) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is not one grant for one archive",
			       label);
	if (a->size == 0 || a->size > LM_GRANT_BLOB_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: a grant of %ju bytes; the limit is %u",
			       label, (uintmax_t)a->size, LM_GRANT_BLOB_LIMIT);
	memcpy(a->id, id, sizeof(a->id));
	return LMODEL_OK;
}

int lm_grant_artifact_parse(struct lm_grant_artifact *artifact, const char *bytes, size_t len,
			    const char *label, struct lmodel_error *error)
{
	json_t *root = NULL;
	int r = lm_json_document(bytes, len, label, &root, error);

	*artifact = (struct lm_grant_artifact){ .size = 0 };
	if (r == LMODEL_OK)
		r = parse(artifact, root, label, error);
	json_decref(root);
	return r;
}

static const char empty_config[] = "{}";

static json_t *make_document(const struct lm_grant_artifact *a, const char *subject,
			     uint64_t subject_size)
{
	char config[LM_DIGEST_SIZE];
	json_t *layers = json_array(), *notes = json_object(), *root;
	bool failed;

	lm_digest_of(config, empty_config, strlen(empty_config));
	root = lm_json_artifact(LM_GRANT_ARTIFACT_TYPE,
				lm_json_descriptor(LM_EMPTY_CONFIG_TYPE, config,
						   strlen(empty_config)));
	failed = json_array_append_new(layers, lm_json_descriptor(LM_GRANT_LAYER_TYPE, a->digest,
								  a->size)) != 0;
	failed |= lm_json_put_text(notes, "org.lmodel.id", a->id);
	failed |= json_object_set_new(root, "layers", layers) != 0;
	failed |= json_object_set_new(root, "subject",
				      lm_json_descriptor(LM_OCI_MANIFEST, subject,
							 subject_size)) != 0;
	failed |= json_object_set_new(root, "annotations", notes) != 0;
	if (!failed)
		return root;
	json_decref(root);
	return NULL;
}

/* ---- attaching ---- */

static int put_bytes(struct lm_registry *registry, const void *bytes, size_t len,
		     char digest[LM_DIGEST_SIZE], struct lmodel_error *error)
{
	const struct lm_http_body body = { .bytes = bytes, .fd = -1, .length = len };
	const struct lm_upload_options options = { .chunk = 0 };
	bool there = false;
	int r;

	lm_digest_of(digest, bytes, len);
	r = lm_registry_has_blob(registry, digest, len, &there, error);
	return r != LMODEL_OK || there ? r : lm_registry_put_blob(registry, digest, &body, &options,
								  error);
}

static int put_artifact(struct lm_registry *registry, const struct lm_grant_artifact *artifact,
			const char *subject, uint64_t subject_size, char digest[LM_DIGEST_SIZE],
			struct lmodel_error *error)
{
	LM_FREE char *text = NULL;
	size_t len;
	int r = lm_json_text(make_document(artifact, subject, subject_size), &text, &len, error);

	return r != LMODEL_OK ? r :
		lm_registry_put_referrer(registry, subject, LM_GRANT_ARTIFACT_TYPE, text, len,
					 digest, error);
}

int lm_grants_attach(struct lm_registry *registry, const char *id, const void *grant,
		     size_t grant_len, const char *subject, uint64_t subject_size,
		     char digest[LM_DIGEST_SIZE], struct lmodel_error *error)
{
	struct lm_grant_artifact artifact = { .size = grant_len };
	char config[LM_DIGEST_SIZE];
	int r;

	if (grant_len == 0 || grant_len > LM_GRANT_BLOB_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "a grant of %zu bytes; the limit is %u",
			       grant_len, LM_GRANT_BLOB_LIMIT);
	memcpy(artifact.id, id, sizeof(artifact.id));
	r = put_bytes(registry, empty_config, strlen(empty_config), config, error);
	if (r == LMODEL_OK)
		r = put_bytes(registry, grant, grant_len, artifact.digest, error);
	if (r == LMODEL_OK)
		r = put_artifact(registry, &artifact, subject, subject_size, digest, error);
	return r;
}

/* One of a list of referrers. ECORRUPT and the like: it is none of ours. */
static int get_artifact(struct lm_registry *registry, const struct lm_referrer *referrer,
			struct lm_grant_artifact *artifact, struct lmodel_error *error)
{
	struct lm_registry_manifest manifest = { .bytes = NULL };
	bool found = false;
	int r = lm_registry_get_manifest(registry, referrer->digest, &manifest, &found, error);

	if (r == LMODEL_OK)
		r = lm_grant_artifact_parse(artifact, manifest.bytes, manifest.len,
					    referrer->digest, error);
	else if (!found)
		r = LMODEL_ECORRUPT;
	lm_registry_manifest_free(&manifest);
	return r;
}

int lm_grants_carry(struct lm_registry *registry, const char *id, const char *from, const char *to,
		    uint64_t to_size, size_t *count, struct lmodel_error *error)
{
	struct lm_referrer *list = NULL;
	size_t n = 0;
	int r = lm_registry_referrers(registry, from, LM_GRANT_ARTIFACT_TYPE, &list, &n, error);

	*count = 0;
	for (size_t i = 0; i < n && r == LMODEL_OK; i++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;
		struct lm_grant_artifact artifact;
		char digest[LM_DIGEST_SIZE];

		r = get_artifact(registry, &list[i], &artifact, &e);
		if (r == LMODEL_EFAILED) {
			r = lm_fail(error, LMODEL_EFAILED, "%s", e.message);
			break;
		}
		if (r != LMODEL_OK || strcmp(artifact.id, id) != 0) {
			r = LMODEL_OK;
			continue;
		}
		r = put_artifact(registry, &artifact, to, to_size, digest, error);
		*count += r == LMODEL_OK;
	}
	lm_referrers_free(list, n);
	return r;
}

/* ---- finding ---- */

int lm_grants_level(struct lmodel_archive *a, const struct lmodel_keyring *ring, size_t *level,
		    struct lmodel_error *error)
{
	LM_SECRET struct lm_unlocked *unlocked = lm_secret_alloc(sizeof(*unlocked), error);
	int r;

	*level = 0;
	if (unlocked == NULL)
		return LMODEL_EFAILED;
	r = lm_unlock_keys(a, ring, unlocked, error);
	while (r == LMODEL_OK && *level < a->manifest.tier_count && unlocked->tier[*level].values)
		++*level;
	return r;
}

struct sink {
	uint8_t *bytes;
	size_t len, size;
};

static int take(void *context, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct sink *sink = context;

	if (len > sink->size - sink->len)
		return lm_fail(error, LMODEL_ECORRUPT, "a grant is longer than it was said to be");
	memcpy(sink->bytes + sink->len, bytes, len);
	sink->len += len;
	return LMODEL_OK;
}

/* Whether the identities open this one, and more than what was found before. Anyone can put a grant
 * there: one that does not fit is no fault of the archive. */
static void try_grant(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
		      struct sink *sink, struct lm_grant_found *found)
{
	struct lm_sealed_grant one = { .file = sink->bytes, .len = sink->len };
	struct lmodel_keyring with = *ring;
	LM_SECRET struct lm_grant *grant = lm_secret_alloc(sizeof(*grant), NULL);
	size_t level = 0;

	with.detached = &one;
	with.detached_count = 1;
	if (grant == NULL || lm_keyring_open_detached(&with, 0, grant, NULL) != LMODEL_OK ||
	    strcmp(grant->archive, archive->manifest.id) != 0 ||
	    lm_grants_level(archive, &with, &level, NULL) != LMODEL_OK)
		return;
	if (found->opens && level <= found->level)
		return;
	free(found->file);
	*found = (struct lm_grant_found){ .file = sink->bytes, .len = sink->len, .level = level,
					  .opens = true };
	sink->bytes = NULL;
}

/* The age file. ECORRUPT when the registry has none: whoever can push can take away what others
 * refer to, and that keeps nobody from his own grant. */
static int get_grant(struct lm_registry *registry, const struct lm_grant_artifact *artifact,
		     struct sink *sink, struct lmodel_error *error)
{
	bool there = true;
	int r = lm_registry_get_blob(registry, artifact->digest, artifact->size, take, sink,
				     error);

	if (r == LMODEL_EFAILED &&
	    lm_registry_has_blob(registry, artifact->digest, artifact->size, &there, NULL) ==
		    LMODEL_OK && !there)
		return LMODEL_ECORRUPT;
	return r;
}

static int look_at(struct lm_registry *registry, struct lmodel_archive *archive,
		   const struct lmodel_keyring *ring, const struct lm_referrer *referrer,
		   struct lm_grant_found *found, struct lmodel_error *error)
{
	struct lm_grant_artifact artifact;
	struct sink sink = { .size = 0 };
	int r = get_artifact(registry, referrer, &artifact, error);

	if (r != LMODEL_OK || strcmp(artifact.id, archive->manifest.id) != 0)
		return r;
	sink.size = artifact.size;
	sink.bytes = malloc(sink.size);
	if (sink.bytes == NULL)
		return lm_fail_memory(error);
	r = get_grant(registry, &artifact, &sink, error);
	if (r == LMODEL_OK)
		try_grant(archive, ring, &sink, found);
	free(sink.bytes);
	return r;
}

int lm_grants_find(struct lm_registry *registry, struct lmodel_archive *archive,
		   const struct lmodel_keyring *ring, const char *subject,
		   const struct lmodel_run *run, struct lm_grant_found *found,
		   struct lmodel_error *error)
{
	struct lm_referrer *list = NULL;
	size_t n = 0;
	int r = lm_registry_referrers(registry, subject, LM_GRANT_ARTIFACT_TYPE, &list, &n,
				      error);

	*found = (struct lm_grant_found){ .file = NULL };
	if (n > LM_GRANT_TRIES)
		lm_notice(run, "%s: has %zu grants; the first %u are tried", archive->label, n,
			  LM_GRANT_TRIES);
	for (size_t i = 0; i < LM_MIN(n, (size_t)LM_GRANT_TRIES) && r == LMODEL_OK &&
	     found->level < archive->manifest.tier_count; i++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;

		r = look_at(registry, archive, ring, &list[i], found, &e);
		if (r == LMODEL_EFAILED)
			r = lm_fail(error, LMODEL_EFAILED, "%s", e.message);
		else
			r = LMODEL_OK;
	}
	lm_referrers_free(list, n);
	return r;
}
