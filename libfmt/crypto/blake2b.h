/* BLAKE2b (RFC 7693) with 64 bytes of digest and no key, for what is defined with it: minisign. */
#ifndef LM_BLAKE2B_H
#define LM_BLAKE2B_H

#include "base/base.h"

#define LM_BLAKE2B_SIZE 64

void lm_blake2b(uint8_t digest[LM_BLAKE2B_SIZE], const void *bytes, size_t len);

#endif
