/* ChaCha20-Poly1305 (RFC 8439) without associated data, as age uses it, and a keystream that can
 * be read from any place. */
#ifndef LM_AEAD_H
#define LM_AEAD_H

#include "base/base.h"

#define LM_AEAD_KEY 32
#define LM_AEAD_NONCE 12
#define LM_AEAD_TAG 16

/* `out` takes len + LM_AEAD_TAG bytes; it may not overlap `plain`. */
int lm_chacha_seal(const uint8_t key[LM_AEAD_KEY], const uint8_t nonce[LM_AEAD_NONCE],
		   const void *plain, size_t len, uint8_t *out, struct lmodel_error *error)
	LM_MUST_CHECK;

/* `len` counts the tag; `out` takes len - LM_AEAD_TAG bytes, which are zero after a failure.
 * False when the tag is wrong (or len < LM_AEAD_TAG). */
bool lm_chacha_open(const uint8_t key[LM_AEAD_KEY], const uint8_t nonce[LM_AEAD_NONCE],
		    const uint8_t *sealed, size_t len, uint8_t *out) LM_MUST_CHECK;

/* A keystream that can be read from any place: AES-256 in counter mode over zeros, counter block =
 * 16-byte big-endian block number. For choices that must look random without the key. */
struct lm_keystream;
struct lm_keystream *lm_keystream_new(const uint8_t key[32], struct lmodel_error *error);
void lm_keystream_read(struct lm_keystream *stream, uint64_t offset, void *out, size_t len);
void lm_keystream_free(struct lm_keystream *stream);

/* For tests: keystreams that are made from now on use no more than this of the processor, 0
 * nothing, 1 its AES, 2 that of several blocks; gives what there is of it. Not while one is there. */
unsigned lm_keystream_limit(unsigned limit);

#endif
