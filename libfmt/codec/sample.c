#include "codec/sample.h"

/* log2(x) for x >= 1, within 0.01. */
static uint64_t log2_fixed(uint32_t x)
{
	unsigned whole = 31u - (unsigned)__builtin_clz(x);
	uint64_t part = ((uint64_t)x << 16 >> whole) - LM_BIT;

	return whole * (uint64_t)LM_BIT + part + (part * (LM_BIT - part) >> 16) * 22486 / LM_BIT;
}

uint64_t lm_entropy_of_counts(const uint32_t *counts, size_t values, uint32_t sum)
{
	uint64_t bits = 0, log_sum = log2_fixed(sum);
	unsigned distinct = 0;

	for (size_t s = 0; s < values; s++) {
		if (counts[s] == 0)
			continue;
		distinct++;
		bits += counts[s] * (log_sum - LM_MIN(log_sum, log2_fixed(counts[s])));
	}
	return bits + (distinct - 1) * (uint64_t)LM_BIT * 100 / 139; /* (distinct - 1) / (2 ln 2) */
}

uint64_t lm_entropy_of(const uint8_t *bytes, size_t len)
{
	uint32_t counts[4][256] = { 0 };
	size_t i;

	for (i = 0; i + 4 <= len; i += 4)
		for (size_t k = 0; k < 4; k++)
			counts[k][bytes[i + k]]++;
	for (; i < len; i++)
		counts[0][bytes[i]]++;
	for (size_t s = 0; s < 256; s++)
		counts[0][s] += counts[1][s] + counts[2][s] + counts[3][s];
	return lm_entropy_of_counts(counts[0], 256, (uint32_t)len);
}

#define WINDOWS 8

uint64_t lm_sample_plane(const uint8_t *plane, size_t count)
{
	uint8_t sample[LM_SAMPLE_PLANE];
	size_t part = sizeof(sample) / WINDOWS;

	for (size_t w = 0; w < WINDOWS; w++)
		memcpy(sample + w * part, plane + (count - part) / WINDOWS * w, part);
	return lm_entropy_of(sample, sizeof(sample)) / sizeof(sample);
}

/* Words are sampled in runs, which lie anywhere in their part of the chunk. */
#define RUNS 64
#define RUN 64
#define ODD_SHARE 256               /* so many words with the top bit of the exponent are too many */
#define GAIN (LM_BIT * UINT64_C(3) / 100) /* of a word, to be worth the second plane */

bool lm_sample_turned(struct lm_coding coding, const uint8_t *raw, size_t raw_len)
{
	uint32_t first[512] = { 0 }, exponent[256] = { 0 }, turned[256] = { 0 };
	size_t words = raw_len / coding.width, part = words / RUNS, odd = 0;
	uint64_t before, after;

	if (coding.turn == 0 || (coding.width != 2 && coding.width != 4) || part < RUN)
		return false;
	for (size_t r = 0; r < RUNS; r++) {
		uint64_t random = r * UINT64_C(0x9e3779b97f4a7c15) >> 32;
		const uint8_t *at = raw + (r * part + random % (part - RUN + 1)) * coding.width;

		/* The exponent and a bit are below the sign in the upper two bytes. */
		for (size_t i = 0; i < RUN; i++, at += coding.width)
			first[(at[coding.width - 1] << 2 | at[coding.width - 2] >> 6) & 511]++;
	}
	for (size_t s = 0; s < 512; s++) {
		exponent[s / 2] += first[s];
		turned[s % 256] += first[s];
		odd += s < 256 ? 0 : first[s];
	}
	before = lm_entropy_of_counts(exponent, 256, RUNS * RUN) + (uint64_t)RUNS * RUN * LM_BIT;
	after = lm_entropy_of_counts(turned, 256, RUNS * RUN) + 32 * (uint64_t)odd * LM_BIT;
	return odd < RUNS * RUN / ODD_SHARE && after + RUNS * RUN * GAIN < before;
}
