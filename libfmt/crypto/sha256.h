/* SHA-256 of two messages at a time. libgcrypt hashes one after the other, and waits for each round
 * of it: the SHA extensions of x86 do two messages in two thirds of the time. */
#ifndef LM_SHA256_H
#define LM_SHA256_H

#include "crypto/crypto.h"

struct lm_message {
	const void *bytes;
	size_t len;
};

/* The digests of both messages; the closer they are in length, the more is gained. */
void lm_sha256_pair(uint8_t digest[2][LM_SHA256_SIZE], const struct lm_message message[2]);

#endif
