/* One repository of a registry, by the OCI distribution specification 1.1: blobs, manifests,
 * referrers. Authentication (none, Basic, Bearer tokens) happens when the registry asks for it,
 * with the credentials that are kept for the host (net/credentials.h).
 *
 * Every digest is checked here: what lm_registry_get_* gives has the digest that was asked for. */
#ifndef LM_REGISTRY_H
#define LM_REGISTRY_H

#include "base/base.h"
#include "net/digest.h"
#include "net/http.h"
#include "net/reference.h"

/* Media types. */
#define LM_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define LM_OCI_INDEX "application/vnd.oci.image.index.v1+json"

struct lm_registry; /* threads may share one */

/* Looks nothing up yet. `http` and `reference` are borrowed. */
struct lm_registry *lm_registry_new(struct lm_http *http, const struct lm_reference *reference,
				    struct lmodel_error *error);
void lm_registry_free(struct lm_registry *registry);

/* ---- blobs ---- */

/* Whether the repository has the blob; its size must then be `size`, else ECORRUPT. */
int lm_registry_has_blob(struct lm_registry *registry, const char *digest, uint64_t size,
			 bool *has, struct lmodel_error *error) LM_MUST_CHECK;

/* Mounts a blob of another repository of the same registry. `*mounted` false: it said no. */
int lm_registry_mount(struct lm_registry *registry, const char *digest, const char *from,
		      bool *mounted, struct lmodel_error *error) LM_MUST_CHECK;

struct lm_upload_options {
	uint64_t chunk;          /* bytes of one PATCH; 0: 16 MiB. A registry may ask for more */
	const char *state;       /* directory where sessions are kept (0700), so that a push that
	                          * was killed goes on; NULL: nowhere */
	int (*progress)(void *context, uint64_t sent); /* bytes of this blob the registry has; not 0
	                                                * stops */
	void *context;
};

/* Uploads a blob in chunks. After a broken connection asks how much has arrived and goes on from
 * there; ends with the digest, which the registry has to confirm. */
int lm_registry_put_blob(struct lm_registry *registry, const char *digest,
			 const struct lm_http_body *body, const struct lm_upload_options *options,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* Gives a whole blob to the sink, in order; goes on by a ranged request after a broken connection.
 * LMODEL_OK only when size and digest were right: until then the sink's bytes are not to be used.
 * ECORRUPT names what is wrong. */
int lm_registry_get_blob(struct lm_registry *registry, const char *digest, uint64_t size,
			 lm_http_sink *sink, void *context, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Bytes [offset, offset + len) of a blob, by a ranged request: not checked against the digest. A
 * registry that answers with all of it is refused as EUNSUPPORTED when that is far more. */
int lm_registry_get_range(struct lm_registry *registry, const char *digest, uint64_t offset,
			  void *buffer, size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* ---- manifests ---- */

struct lm_registry_manifest {
	char *bytes;        /* as the registry gave them; their SHA-256 is the digest */
	size_t len;
	char *media_type;   /* Content-Type */
	char digest[LM_DIGEST_SIZE];
};

/* `which` is a tag or a digest; NULL: the reference's digest, or else its tag. Where the
 * registry says that there is none: EFAILED, and `*found` false; after any other failure it is
 * true. `found` may be NULL. */
int lm_registry_get_manifest(struct lm_registry *registry, const char *which,
			     struct lm_registry_manifest *manifest, bool *found,
			     struct lmodel_error *error) LM_MUST_CHECK;
void lm_registry_manifest_free(struct lm_registry_manifest *manifest);

/* Puts `bytes` under a tag, or under its own digest when `tag` is NULL. `*subject_known` (may be
 * NULL): the registry said OCI-Subject, that is, it keeps referrers itself. */
int lm_registry_put_manifest(struct lm_registry *registry, const char *tag, const char *media_type,
			     const char *bytes, size_t len, bool *subject_known,
			     struct lmodel_error *error) LM_MUST_CHECK;

/* ---- referrers ---- */

struct lm_referrer {
	char digest[LM_DIGEST_SIZE];
	uint64_t size;
	char *artifact_type;
};

/* Manifests whose subject is `digest`, of one artifact type (NULL: any): by the referrers API,
 * page by page, or by the tag schema sha256-<hex> where the registry has no such API. None is no
 * failure. At most LM_REFERRERS are read; more is ELIMIT. */
#define LM_REFERRERS 10000
int lm_registry_referrers(struct lm_registry *registry, const char *digest,
			  const char *artifact_type, struct lm_referrer **referrers, size_t *count,
			  struct lmodel_error *error) LM_MUST_CHECK;
void lm_referrers_free(struct lm_referrer *referrers, size_t count);

/* Puts an artifact manifest that has a subject, and, where the registry keeps no referrers itself,
 * adds it to the index under the tag schema (read, change, write: two at once can lose one, so it
 * reads again and repeats). `digest` is filled with the artifact's. */
int lm_registry_put_referrer(struct lm_registry *registry, const char *subject,
			     const char *artifact_type, const char *bytes, size_t len,
			     char digest[LM_DIGEST_SIZE], struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
