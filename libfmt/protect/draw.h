/* Numbers out of words of a keystream. */
#ifndef LM_DRAW_H
#define LM_DRAW_H

#include <math.h>

#include "base/base.h"

/* An index below `count`. The bias is count / 2^32. */
static inline uint32_t lm_draw_index(uint32_t word, uint32_t count)
{
	return (uint32_t)((uint64_t)word * count >> 32);
}

/* The sum of four bytes, of variance 1: near enough to a normal number for a weight among 16. */
static inline double lm_draw_weight(uint32_t word)
{
	unsigned sum = (word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24);

	return ((double)sum - 510) * 0x1.bb688c3a0254ep-8;
}

/* A number in [0.5, 1) of the low bits of a word. */
static inline double lm_draw_upper_half(uint32_t word)
{
	return 0.5 + (double)(word & 0xffff) * 0x1p-17;
}

/* Rounds to the significant bits that public values have, of 53. */
static inline double lm_draw_trim(double value, unsigned keep)
{
	unsigned drop = 53 - keep;
	uint64_t bits;

	if (drop == 0)
		return value;
	memcpy(&bits, &value, sizeof(bits));
	bits = (bits + (UINT64_C(1) << (drop - 1))) & ~((UINT64_C(1) << drop) - 1);
	memcpy(&value, &bits, sizeof(value));
	return value;
}

#endif
