/* Pieces of the JSON documents that go to a registry. Functions of jansson take NULL for what could
 * not be made, and say so at the end. */
#ifndef LM_JSON_WRITE_H
#define LM_JSON_WRITE_H

#include <jansson.h>

#include "base/base.h"
#include "net/registry.h"

/* True when it failed. */
bool lm_json_put_text(json_t *object, const char *key, const char *text);

/* { "mediaType", "digest", "size" }; NULL without memory. */
json_t *lm_json_descriptor(const char *media_type, const char *digest, uint64_t size);

/* An OCI image manifest without layers; takes `config` over. NULL without memory. */
json_t *lm_json_artifact(const char *artifact_type, json_t *config);

/* The document in fresh memory, without white space, members as they were put in. Takes `root`
 * over, which may be NULL: memory was short. */
int lm_json_text(json_t *root, char **text, size_t *len, struct lmodel_error *error) LM_MUST_CHECK;

#endif
