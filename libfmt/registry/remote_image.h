/* An archive in a registry, read by ranges of its layers (spec: 17.4). */
#ifndef LM_REMOTE_IMAGE_H
#define LM_REMOTE_IMAGE_H

#include "archive/archive.h"
#include "net/ranges.h"
#include "net/registry.h"
#include "registry/image.h"

struct lm_remote_image {
	struct lm_reference reference;
	struct lm_registry *registry;
	struct lm_image image;
	char *label;
	char digest[LM_DIGEST_SIZE];  /* of the artifact's manifest */
	uint8_t key[LM_SHA256_SIZE];  /* for the cache: from that digest */
};

/* Fetches the artifact's manifest, which says what is where. */
int lm_remote_image_open(struct lm_remote_image *image, struct lm_http *http, const char *address,
			 struct lmodel_error *error) LM_MUST_CHECK;
void lm_remote_image_close(struct lm_remote_image *image);

/* For lm_ranges_new(); `context` is the struct. Dead ranges are zeros. */
lm_ranges_fetch lm_remote_image_fetch;

/* Reads the layer with the archive's manifest, whole, and checks its digest. */
int lm_remote_image_check(const struct lm_remote_image *image, struct lm_ranges *ranges,
			  struct lmodel_error *error) LM_MUST_CHECK;

/* Whether the layers are those that the archive's own rows make. */
int lm_remote_image_matches(const struct lm_remote_image *image,
			    const struct lmodel_archive *archive,
			    struct lmodel_error *error) LM_MUST_CHECK;

#endif
