/* What documents of a registry have in common: nothing in them is to be believed. */
#ifndef LM_JSON_READ_H
#define LM_JSON_READ_H

#include "base/json.h"
#include "net/registry.h"

/* Parses a document of a registry within the limits of spec 16.2; `*root` is an object. */
int lm_json_document(const char *bytes, size_t len, const char *label, json_t **root,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* A member that is a string; NULL when there is none. `object` may be anything. */
const char *lm_json_member_text(const json_t *object, const char *key);

/* A descriptor: media type (kept by the document), digest, size. */
bool lm_json_read_descriptor(const json_t *value, const char **media_type,
			     char digest[LM_DIGEST_SIZE], uint64_t *size);

/* A number below 2^63 as it is written: decimal digits, no leading zero. */
bool lm_decimal(const char *text, uint64_t *number);

#endif
