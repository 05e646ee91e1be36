/* SSH's wire encoding (RFC 4251, section 5), and base 64 with padding. */
#ifndef LM_SIG_WIRE_H
#define LM_SIG_WIRE_H

#include "base/base.h"

/* Bytes not read yet, or a string within them. */
struct lm_wire {
	const uint8_t *at;
	size_t left;
};

/* False, and nothing read, when there is no such field in what is left. */
bool lm_wire_byte(struct lm_wire *wire, uint8_t *value) LM_MUST_CHECK;
bool lm_wire_u32(struct lm_wire *wire, uint32_t *value) LM_MUST_CHECK;
bool lm_wire_string(struct lm_wire *wire, struct lm_wire *string) LM_MUST_CHECK;

bool lm_wire_is(const struct lm_wire *string, const char *text);

/* Each returns the place behind what it wrote. */
uint8_t *lm_wire_put_u32(uint8_t *to, uint32_t value);
uint8_t *lm_wire_put_string(uint8_t *to, const void *bytes, size_t len); /* len < 2^32 */

/* Base 64 (RFC 4648, section 4), canonical, with its padding. `bytes` takes lm_base64_decoded(len)
 * and may be `text`. */
bool lm_base64_padded_decode(uint8_t *bytes, size_t *bytes_len, const uint8_t *text, size_t len)
	LM_MUST_CHECK;

#endif
