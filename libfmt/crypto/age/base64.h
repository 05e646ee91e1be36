/* Base 64 (RFC 4648, section 4) without padding, canonical: age's own kind. */
#ifndef LM_AGE_BASE64_H
#define LM_AGE_BASE64_H

#include "base/base.h"

/* Characters of `len` bytes. */
static inline size_t lm_base64_encoded(size_t len)
{
	return len / 3 * 4 + (len % 3 * 8 + 5) / 6;
}

/* Bytes of `len` characters (of which `len % 4 == 1` has none: such a text is malformed). */
static inline size_t lm_base64_decoded(size_t len)
{
	return len / 4 * 3 + len % 4 * 6 / 8;
}

/* No NUL behind it. */
void lm_base64_encode(char *text, const uint8_t *bytes, size_t len);

/* `bytes` takes lm_base64_decoded(len). False for another character than the 64 and for trailing
 * bits that are not zero; `bytes` is undefined then. */
bool lm_base64_decode(uint8_t *bytes, const uint8_t *text, size_t len) LM_MUST_CHECK;

/* The same, and whether it is `bytes_len` bytes. */
bool lm_base64_decode_exact(uint8_t *bytes, size_t bytes_len, const uint8_t *text, size_t len)
	LM_MUST_CHECK;

#endif
