/* Which blocks of a file are there: bits, and the small file that keeps them (spec: 17.3). */
#ifndef LM_BLOCKMAP_H
#define LM_BLOCKMAP_H

#include "base/base.h"
#include "crypto/crypto.h"

#define LM_BLOCK (UINT64_C(64) << 10)

/* Larger files are not read from elsewhere: so maps stay small, whatever a server claims. */
#define LM_BLOCKMAP_SIZE_LIMIT (UINT64_C(1) << 42)

static inline uint64_t lm_block_count(uint64_t size)
{
	return size / LM_BLOCK + (size % LM_BLOCK != 0);
}

/* Bytes of a map of this many blocks. */
static inline size_t lm_bits_len(uint64_t blocks)
{
	return (size_t)((blocks + 7) / 8);
}

static inline bool lm_bit(const uint8_t *bits, uint64_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static inline void lm_bit_put(uint8_t *bits, uint64_t i, bool value)
{
	uint8_t mask = (uint8_t)(1u << (i % 8));

	bits[i / 8] = (uint8_t)(value ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

/* Length of the file that keeps a map. */
size_t lm_blockmap_len(uint64_t size);

/* To bytes, `lm_blockmap_len(size)` of them; `key` says of what the file is a copy. */
void lm_blockmap_encode(uint8_t *bytes, const uint8_t key[LM_SHA256_SIZE], uint64_t size,
			const uint8_t *bits);

/* And back: false, and `bits` (lm_bits_len() bytes) untouched, when these bytes are not the map of
 * that file: of another one, of another version, torn. */
bool lm_blockmap_decode(const uint8_t *bytes, size_t len, const uint8_t key[LM_SHA256_SIZE],
			uint64_t size, uint8_t *bits) LM_MUST_CHECK;

#endif
