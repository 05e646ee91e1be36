/* Taking sets and decoys over from an earlier release of a model (spec: 7.7). */
#ifndef LM_LIKE_H
#define LM_LIKE_H

#include "archive/archive.h"
#include "protect/public_bytes.h"

struct lm_like {
	struct lmodel_archive *old;
	struct lm_taken_tensor *taken;   /* one a tensor of the new model */
	size_t *old_tensor;              /* and which it is in the old one */
	size_t count;
};

/* Opens the archive at `path` with an owner's key and finds the tensors of `model` that are
 * bit-equal in it at its top tier. EUSAGE when its tiers are not those of `manifest`, by name;
 * ENOKEY, ECORRUPT. Holds one tensor and a byte a unit of those taken in memory. In every case
 * lm_like_release() follows. */
int lm_like_begin(struct lm_like *like, const char *path, const struct lmodel_keyring *ring,
		  const struct lm_model *model, const size_t *alias,
		  const struct lm_manifest *manifest, struct lmodel_error *error) LM_MUST_CHECK;

/* For struct lm_protected_model: the old base. */
int lm_like_read(void *like, size_t tensor, uint64_t offset, void *buffer, size_t len,
		 struct lmodel_error *error);

void lm_like_release(struct lm_like *like);

#endif
