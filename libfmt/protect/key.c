#include "protect/key.h"

#include "protect/kernels.h"

void lm_key_by_sampling(const float *scores, const uint32_t *noise, uint64_t *keys, size_t n)
{
	lm_kernels()->sample(scores, noise, keys, n);
}

/* The bits of floats sort like numbers when the sign is turned and, below zero, all the rest. */
void lm_key_by_score(const float *scores, const uint32_t *noise, uint64_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, scores + i, sizeof(bits));
		bits ^= (0u - (bits >> 31)) | 0x80000000u;
		keys[i] = (uint64_t)bits << 32 | noise[i];
	}
}

void lm_key_at_random(const uint32_t *noise, uint64_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keys[i] = (uint64_t)noise[i] << 32 | 0x80000000u;
}
