/* The file that keeps which blocks of an archive are in the cache: first the size, then its bytes. */
#include "net/blockmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { KEY_AT = 32, SUM = LM_SHA256_SIZE };
	uint8_t key[LM_SHA256_SIZE] = { 1, 2, 3 }, *bits, *copy;
	uint64_t bytes;

	if (lm_crypto_init(NULL) != LMODEL_OK || size < 8)
		return 0;
	bytes = lm_get_u64(data) % (UINT64_C(1) << 34);
	data += 8;
	size -= 8;
	bits = calloc(1, lm_bits_len(lm_block_count(bytes)) + 1);
	copy = malloc(size + 1);
	if (bits == NULL || copy == NULL)
		abort();
	memcpy(copy, data, size);
	/* with the sum that it should have, half of the time */
	if (size > KEY_AT + LM_SHA256_SIZE + SUM && (data[size - 1] & 1) != 0) {
		memcpy(key, copy + KEY_AT, sizeof(key));
		lm_sha256(copy + size - SUM, copy, size - SUM);
	}
	if (lm_blockmap_decode(copy, size, key, bytes, bits)) {
		uint8_t *again = malloc(size);

		if (again == NULL || size != lm_blockmap_len(bytes))
			abort();
		lm_blockmap_encode(again, key, bytes, bits);
		if (memcmp(again, copy, size) != 0)
			abort();
		free(again);
	}
	free(bits);
	free(copy);
	return 0;
}
