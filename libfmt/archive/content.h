/* What signatures and MACs stand on: the content root and the statement (spec: 6). */
#ifndef LM_CONTENT_H
#define LM_CONTENT_H

#include "manifest/manifest.h"

/* SHA-256 over all rows that the content depends on (spec: 6.2). `id` takes the place of the
 * manifest's own archive id. */
int lm_content_root(const struct lm_manifest *manifest, const char *id,
		    uint8_t root[LM_SHA256_SIZE], struct lmodel_error *error) LM_MUST_CHECK;

/* SHA-256 over the rows of one tensor and its member: what its shards are bound to, so that they
 * open on the base that they were made for and on no other (spec: 7.6). */
int lm_content_base_digest(const struct lm_manifest *manifest, size_t tensor,
			   uint8_t digest[LM_SHA256_SIZE],
			   struct lmodel_error *error) LM_MUST_CHECK;

/* The canonical statement for this manifest with that root, in fresh memory (spec: 6.3). */
char *lm_content_statement(const struct lm_manifest *manifest, const uint8_t root[LM_SHA256_SIZE],
			   struct lmodel_error *error);

#endif
