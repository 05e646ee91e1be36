#include "keys/tier_keys.h"

#include <stdio.h>

#include "crypto/kdf.h"

void lm_derive(uint8_t out[LM_KEY], const uint8_t key[LM_KEY], const char *label,
	       const struct lm_key_scope *scope)
{
	/* Fields end with a NUL, which none of them holds: no two scopes make the same bytes. */
	char info[256];
	int n = snprintf(info, sizeof(info) - 8, "lmodel/1/%s%c%s%c%s%c", label, 0, scope->archive,
			 0, scope->tier, 0);

	lm_put_u64((uint8_t *)info + n, scope->generation);
	lm_hkdf_expand_sha512(out, LM_KEY, key, LM_KEY, info, (size_t)n + 8);
}

uint64_t lm_padded_len(uint64_t len)
{
	uint64_t n = LM_MAX(LM_FRAME_HEAD + len, (uint64_t)256), mask;
	unsigned e = 63u - (unsigned)__builtin_clzll(n);      /* floor(log2 n) */
	unsigned s = 32u - (unsigned)__builtin_clz(e);        /* floor(log2 e) + 1 */

	mask = (UINT64_C(1) << (e - s)) - 1;
	return (n + mask) & ~mask;
}
