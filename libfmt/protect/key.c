#include "protect/key.h"

#include "protect/kernels.h"

void lm_key_by_sampling(const float *scores, uint64_t *words, size_t n)
{
	lm_kernels()->sample(scores, words, n);
}

/* The bits of floats sort like numbers when the sign is turned and, below zero, all the rest. */
void lm_key_by_score(const float *scores, uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, scores + i, sizeof(bits));
		bits ^= (0u - (bits >> 31)) | 0x80000000u;
		words[i] = (uint64_t)bits << 32 | (uint32_t)words[i];
	}
}

void lm_key_at_random(uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		words[i] = LM_MIN(LM_MAX(words[i], LM_KEY_NONE + 1), UINT64_MAX - 1);
}
