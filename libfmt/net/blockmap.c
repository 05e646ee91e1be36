#include "net/blockmap.h"

/* magic, size, block, key; bits; SHA-256 over all before it. */
enum { MAGIC = 16, SIZE_AT = MAGIC, BLOCK_AT = SIZE_AT + 8, KEY_AT = BLOCK_AT + 8,
       HEAD = KEY_AT + LM_SHA256_SIZE };

static const uint8_t magic[MAGIC] = "lmodel blocks 1\n";

size_t lm_blockmap_len(uint64_t size)
{
	return HEAD + lm_bits_len(lm_block_count(size)) + LM_SHA256_SIZE;
}

static void encode_head(uint8_t head[HEAD], const uint8_t key[LM_SHA256_SIZE], uint64_t size)
{
	memcpy(head, magic, MAGIC);
	lm_put_u64(head + SIZE_AT, size);
	lm_put_u64(head + BLOCK_AT, LM_BLOCK);
	memcpy(head + KEY_AT, key, LM_SHA256_SIZE);
}

void lm_blockmap_encode(uint8_t *bytes, const uint8_t key[LM_SHA256_SIZE], uint64_t size,
			const uint8_t *bits)
{
	size_t n = lm_bits_len(lm_block_count(size));

	encode_head(bytes, key, size);
	memcpy(bytes + HEAD, bits, n);
	lm_sha256(bytes + HEAD + n, bytes, HEAD + n);
}

bool lm_blockmap_decode(const uint8_t *bytes, size_t len, const uint8_t key[LM_SHA256_SIZE],
			uint64_t size, uint8_t *bits)
{
	uint64_t blocks = lm_block_count(size);
	size_t n = lm_bits_len(blocks);
	uint8_t head[HEAD], digest[LM_SHA256_SIZE];

	if (len != lm_blockmap_len(size))
		return false;
	encode_head(head, key, size);
	lm_sha256(digest, bytes, HEAD + n);
	if (memcmp(bytes, head, HEAD) != 0 ||
	    memcmp(bytes + HEAD + n, digest, sizeof(digest)) != 0)
		return false;
	/* Bits of blocks behind the last one. */
	if (blocks % 8 != 0 && bytes[HEAD + n - 1] >> (blocks % 8) != 0)
		return false;
	memcpy(bits, bytes + HEAD, n);
	return true;
}
