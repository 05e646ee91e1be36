/* Digests as OCI writes them (image-spec 1.1, "Digests"); SHA-256 alone. */
#ifndef LM_DIGEST_H
#define LM_DIGEST_H

#include "base/base.h"

#define LM_DIGEST_SIZE (7 + 64 + 1) /* "sha256:", hex, NUL */

/* "sha256:" and 64 lower-case hex digits. */
bool lm_digest_check(const char *digest);
void lm_digest_text(char text[LM_DIGEST_SIZE], const uint8_t sha256[32]);
void lm_digest_of(char text[LM_DIGEST_SIZE], const void *bytes, size_t len);

#endif
