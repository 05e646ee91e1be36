/* SHA-512, for what is defined with it: the scalar of an Ed25519 key (RFC 8032, 5.1.5), SSHSIG. */
#ifndef LM_SHA512_H
#define LM_SHA512_H

#include "base/base.h"

#define LM_SHA512_SIZE 64

void lm_sha512(uint8_t digest[LM_SHA512_SIZE], const void *bytes, size_t len);

#endif
