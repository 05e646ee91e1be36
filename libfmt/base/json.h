/* JSON from outside: parsed within limits, every fault a sentence with its byte position. */
#ifndef LM_JSON_H
#define LM_JSON_H

#include "base/base.h"

#include <jansson.h>

#define LM_DEPTH_LIMIT 2048u /* nesting of any document (spec: 9) */

/* What the text may hold. A parsed document takes up to 75 times the memory of its text, and
 * nearly all of that goes into containers, so a format that needs few says so here. */
struct lm_json_limits {
	unsigned depth;    /* containers within each other; deeper is ECORRUPT */
	size_t containers; /* objects and arrays in all; more is ELIMIT */
};

/* Parses one document. `text` stands at byte `base` of the file that `label` names: positions in
 * messages are positions in the file. Refused besides bad syntax: invalid UTF-8, a byte order
 * mark, duplicate keys anywhere, NUL in a string, numbers that do not fit, anything but white
 * space behind the document. ELIMIT for nesting over LM_DEPTH_LIMIT. `*root` is an object or an
 * array, to be given to json_decref(). */
int lm_json_parse(const char *text, size_t len, uint64_t base, const char *label,
		  const struct lm_json_limits *limits, json_t **root,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* What a value is, for messages: "a string", "null", ... */
const char *lm_json_kind(const json_t *value);

/* The value of a non-negative integer; false when it is anything else. */
bool lm_json_u64(const json_t *value, uint64_t *number);

#endif
