#include "protect/key.h"

/* Vectors of four, which every processor of this decade has; the compiler makes single
 * operations of them where there are none. All lanes see the same operations, so a key
 * does not depend on where in a batch its unit is. */
typedef float floats __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(16)));

enum { LANES = 4 };

/* log2(1 / (1 - t/2)) / t for t in (0, 1], to 5e-5: far below what noise in sampling can show. */
static const float p0 = 0.72137535f, p1 = 0.17895762f, p2 = 0.07063669f, p3 = -0.00399352f,
		   p4 = 0.03297368f;

/* -log2(u) of u = (2 * (noise >> 9) + 1) / 2^24, which lies in (0, 1): exponential up to a
 * factor that changes no order. With 2^e * m the float that the odd number is, it is
 * 23 - e + log2(2 / m), and t = 2 - m is exact where the logarithm comes close to 0. */
static inline floats exponential(ints noise)
{
	const ints odd = ((noise >> 9) & 0x7fffff) * 2 + 1;
	const ints bits = (ints)__builtin_convertvector(odd, floats);
	const floats m = (floats)((bits & 0x7fffff) | 0x3f800000);
	const floats whole = __builtin_convertvector(127 + 23 - (bits >> 23), floats);
	const floats t = 2.0f - m;

	return whole + t * (p0 + t * (p1 + t * (p2 + t * (p3 + t * p4))));
}

/* So that a quotient by exponential() is neither infinite nor 0 when the score was not. */
static inline floats tame(floats score)
{
	const floats infinity = { __builtin_inff(), __builtin_inff(), __builtin_inff(),
				  __builtin_inff() };
	const floats high = { 0x1p100f, 0x1p100f, 0x1p100f, 0x1p100f };
	const floats low = { 0x1p-100f, 0x1p-100f, 0x1p-100f, 0x1p-100f };
	const floats zero = { 0 };
	const ints large = (ints)(score > high) & (ints)(score < infinity);
	const ints small = (ints)(score < low) & (ints)(score > zero);

	return (floats)((ints)score & ~(large | small)) + (floats)((ints)high & large) +
	       (floats)((ints)low & small);
}

/* A batch is always done in fours: what lies behind `n` is computed and dropped. */
void lm_key_by_sampling(const float *scores, uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		floats score;
		ints noise, bits;

		for (size_t j = 0; j < LANES; j++)
			noise[j] = (int32_t)(words[i + j] >> 32);
		memcpy(&score, scores + i, sizeof(score));
		bits = (ints)(tame(score) / exponential(noise)) | INT32_MIN;
		for (size_t j = 0; j < LANES; j++)
			words[i + j] = (uint64_t)(uint32_t)bits[j] << 32 | (uint32_t)words[i + j];
	}
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
