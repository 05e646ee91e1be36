#include "crypto/blake2b.h"

#include <gcrypt.h>

void lm_blake2b(uint8_t digest[LM_BLAKE2B_SIZE], const void *bytes, size_t len)
{
	gcry_md_hash_buffer(GCRY_MD_BLAKE2B_512, digest, len == 0 ? "" : bytes, len);
}
