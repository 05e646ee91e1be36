/* Detached grants beside an archive in a registry, as artifacts that refer to it (spec: 16.5). */
#ifndef LM_GRANTS_H
#define LM_GRANTS_H

#include "archive/archive.h"
#include "net/registry.h"

#define LM_GRANT_ARTIFACT_TYPE "application/vnd.lmodel.grant.v1"
#define LM_GRANT_LAYER_TYPE "application/vnd.lmodel.grant.v1+age"
#define LM_EMPTY_CONFIG_TYPE "application/vnd.oci.empty.v1+json"
#define LM_GRANT_BLOB_LIMIT 65536u  /* bytes of the age file */
#define LM_GRANT_TRIES 1000u        /* of which a reader tries so many */

/* What the manifest of such an artifact says. */
struct lm_grant_artifact {
	char id[37];                  /* of the archive */
	char digest[LM_DIGEST_SIZE];  /* of the age file */
	uint64_t size;
};

int lm_grant_artifact_parse(struct lm_grant_artifact *artifact, const char *bytes, size_t len,
			    const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Puts the age file into the repository, and the artifact: the same one for the same grant and
 * subject. */
int lm_grants_attach(struct lm_registry *registry, const char *id, const void *grant,
		     size_t grant_len, const char *subject, uint64_t subject_size,
		     char digest[LM_DIGEST_SIZE], struct lmodel_error *error) LM_MUST_CHECK;

/* Attaches the grants for this archive that `from` has to `to` as well. What is no grant is passed
 * over. */
int lm_grants_carry(struct lm_registry *registry, const char *id, const char *from, const char *to,
		    uint64_t to_size, size_t *count, struct lmodel_error *error) LM_MUST_CHECK;

/* What was found for an identity. */
struct lm_grant_found {
	uint8_t *file;                /* the age file; NULL: none. free() it */
	size_t len;
	size_t level;                 /* tiers that it opens, from the lowest up */
	bool opens;                   /* anything: an auditor's opens no level */
};

/* Of the grants that refer to `subject`, the one that opens the highest level of the archive with
 * the identities of the ring. None is no failure. `run` (may be NULL) is told when there are too
 * many. */
int lm_grants_find(struct lm_registry *registry, struct lmodel_archive *archive,
		   const struct lmodel_keyring *ring, const char *subject,
		   const struct lmodel_run *run, struct lm_grant_found *found,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* What a ring opens of an archive, without changing it. ENOKEY: nothing. */
int lm_grants_level(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
		    size_t *level, struct lmodel_error *error) LM_MUST_CHECK;

#endif
