/* Keys from keys and from passphrases. */
#ifndef LM_KDF_H
#define LM_KDF_H

#include "base/base.h"

/* HKDF-SHA-256, extract and expand (RFC 5869); `out_len` is at most 255 * 32. An empty salt is
 * the RFC's string of zeros. */
void lm_hkdf_sha256(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len,
		    const void *salt, size_t salt_len, const void *info, size_t info_len);

/* HMAC-SHA-256 (RFC 2104). Cannot fail. */
void lm_hmac_sha256(uint8_t mac[32], const void *key, size_t key_len, const void *bytes,
		    size_t len);

/* HKDF-Expand alone, over SHA-512; `out_len` is at most 255 * 64. */
void lm_hkdf_expand_sha512(uint8_t *out, size_t out_len, const void *prk, size_t prk_len,
			   const void *info, size_t info_len);

/* scrypt (RFC 7914) with N = 2^log2_n, r = 8, p = 1: takes 2^log2_n KiB of memory. The caller
 * bounds `log2_n`. */
int lm_scrypt(uint8_t *out, size_t out_len, const char *passphrase, size_t passphrase_len,
	      const void *salt, size_t salt_len, unsigned log2_n, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
