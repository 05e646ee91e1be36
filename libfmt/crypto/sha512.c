#include "crypto/sha512.h"

#include <gcrypt.h>

void lm_sha512(uint8_t digest[LM_SHA512_SIZE], const void *bytes, size_t len)
{
	gcry_md_hash_buffer(GCRY_MD_SHA512, digest, len == 0 ? "" : bytes, len);
}
