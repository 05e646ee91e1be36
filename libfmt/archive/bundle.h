/* Small members share a member of the tar (spec: 3.3). */
#ifndef LM_BUNDLE_H
#define LM_BUNDLE_H

#include "manifest/manifest.h"

/* Joins members of few raw bytes to those in front of them. Places are not known yet. */
void lm_bundle_members(struct lm_manifest *manifest);

#endif
