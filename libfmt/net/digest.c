#include "net/digest.h"

#include "crypto/crypto.h"

bool lm_digest_check(const char *digest)
{
	return strncmp(digest, "sha256:", 7) == 0 && strlen(digest) == LM_DIGEST_SIZE - 1 &&
	       strspn(digest + 7, "0123456789abcdef") == 64;
}

void lm_digest_text(char text[LM_DIGEST_SIZE], const uint8_t sha256[32])
{
	memcpy(text, "sha256:", 7);
	lm_hex(text + 7, sha256, 32);
}

void lm_digest_of(char text[LM_DIGEST_SIZE], const void *bytes, size_t len)
{
	uint8_t digest[LM_SHA256_SIZE];

	lm_sha256(digest, bytes, len);
	lm_digest_text(text, digest);
}
