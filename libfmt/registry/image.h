/* The OCI image manifest that describes an archive in a registry (spec: 16.2): made from layers,
 * and read back from a registry that may lie. */
#ifndef LM_IMAGE_H
#define LM_IMAGE_H

#include "base/base.h"
#include "registry/layers.h"

#define LM_IMAGE_ARTIFACT_TYPE "application/vnd.cncf.model.manifest.v1+json"
#define LM_IMAGE_CONFIG_TYPE "application/vnd.cncf.model.config.v1+json"
#define LM_IMAGE_LAYER_TYPE "application/vnd.cncf.model.weight.v1.raw"

#define LM_IMAGE_LIMIT (UINT64_C(4) << 20) /* bytes of a manifest, and of a config */
#define LM_IMAGE_NAME_LIMIT 128            /* of the name before ".lmodel.parts/" */

struct lm_image {
	char id[37];                  /* archive.id */
	uint64_t generation;          /* content generation */
	struct lm_layers layers;      /* complete: with digests. `tier` of a layer is one of: */
	char **tiers;                 /* names, in file order */
	size_t tier_count;
	char config_digest[LM_DIGEST_SIZE];
	uint64_t config_size;
};

/* Reads a manifest. What is accepted: layers and dead ranges in file order that cover [0, size)
 * without gap or overlap; layers one manifest first, one end of 1024 bytes last, each tier once,
 * none over 2^63 - 1, the manifest no longer than slots can be. ECORRUPT for what contradicts
 * itself, EUNSUPPORTED for an artifact of another type, ELIMIT. What it says of the archive is a
 * claim until the archive itself was read. */
int lm_image_parse(struct lm_image *image, const char *bytes, size_t len, const char *label,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_image_free(struct lm_image *image);

/* Makes both documents, in fresh memory, the same bytes for the same archive under the same name.
 * `layers` have their digests. */
struct lm_image_texts {
	char *manifest, *config;
	size_t manifest_len, config_len;
	char config_digest[LM_DIGEST_SIZE];
};
int lm_image_make(struct lm_image_texts *texts, const struct lm_layers *layers,
		  const struct lm_manifest *manifest, const char *name,
		  struct lmodel_error *error) LM_MUST_CHECK;
void lm_image_texts_free(struct lm_image_texts *texts);

/* Whether the layers and the dead ranges are those that an archive's own rows make: a registry
 * could have joined pieces of several files. ECORRUPT with the first difference. */
int lm_image_matches(const struct lm_image *image, const struct lm_layers *layers,
		     const struct lm_manifest *manifest, const char *label,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* The same, for an archive with slots of this size and this committed length. */
int lm_image_check(const struct lm_image *image, const struct lm_manifest *manifest,
		   uint64_t slot_size, uint64_t committed_len, const char *label,
		   struct lmodel_error *error) LM_MUST_CHECK;

#endif
