/* Bech32 (BIP 173) without its limit on the length, as age writes its keys. */
#ifndef LM_AGE_BECH32_H
#define LM_AGE_BECH32_H

#include "base/base.h"

/* Characters of `len` bytes with a human-readable part of `hrp_len`: "1" and the checksum of six
 * included, no NUL. */
static inline size_t lm_bech32_encoded(size_t hrp_len, size_t len)
{
	return hrp_len + 1 + (len * 8 + 4) / 5 + 6;
}

/* `text` takes lm_bech32_encoded() and a NUL. All of it has the case of `hrp`. */
void lm_bech32_encode(char *text, const char *hrp, const uint8_t *bytes, size_t len);

/* Whether the text is `hrp`, in this case, and `len` bytes, with the right checksum and zeros for
 * padding. `bytes` is undefined after a failure. */
bool lm_bech32_decode(const char *hrp, uint8_t *bytes, size_t len, const char *text,
		      size_t text_len) LM_MUST_CHECK;

#endif
