/* The payload of an age file: STREAM over ChaCha20-Poly1305 (c2sp.org/age, "Payload"), without the
 * nonce that stands before it. */
#ifndef LM_AGE_PAYLOAD_H
#define LM_AGE_PAYLOAD_H

#include "crypto/age/header.h"

/* Length of `plain` bytes when encrypted, and back: false when no plaintext has that length. The
 * caller bounds `plain`. */
size_t lm_age_payload_len(size_t plain);
bool lm_age_payload_plain_len(size_t sealed, size_t *plain) LM_MUST_CHECK;

int lm_age_payload_seal(const uint8_t file_key[LM_AGE_FILE_KEY], const uint8_t nonce[LM_AGE_NONCE],
			const uint8_t *plain, size_t len, uint8_t *out, struct lmodel_error *error)
	LM_MUST_CHECK;

/* `len` is a length for which lm_age_payload_plain_len() is true. ECORRUPT; what is in `out` then
 * is not for use. */
int lm_age_payload_open(const uint8_t file_key[LM_AGE_FILE_KEY], const uint8_t nonce[LM_AGE_NONCE],
			const uint8_t *sealed, size_t len, uint8_t *out, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
