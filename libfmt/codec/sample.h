/* How well bytes can be coded, told from some of them. In integers, so that every machine decides
 * alike. */
#ifndef LM_SAMPLE_H
#define LM_SAMPLE_H

#include "codec/codec.h"
#include "codec/context.h"

#define LM_BIT 65536 /* entropies are in fixed point: so many units a bit */

/* Order-0 entropy of all that was counted, `sum` together, with Miller and Madow's correction for how
 * few they are: without it noise in a short sample looks compressible. */
uint64_t lm_entropy_of_counts(const uint32_t *counts, size_t values, uint32_t sum);
uint64_t lm_entropy_of(const uint8_t *bytes, size_t len);

/* Entropy of a byte, from a sample of a plane of at least LM_SAMPLE_PLANE bytes. */
#define LM_SAMPLE_PLANE 2048
uint64_t lm_sample_plane(const uint8_t *plane, size_t count);

/* Whether bytes of plane `p` have no lowest bit, but for few: it is the top bit of exponents. */
static inline bool lm_is_even(struct lm_coding coding, unsigned p)
{
	return coding.turn == LM_TURNED && p == coding.width - 1;
}

/* The entropy of a byte of plane `p` from which on it is noise: coding it gains less than one part
 * in 64. */
static inline uint64_t lm_noise(struct lm_coding coding, unsigned p)
{
	return (lm_is_even(coding, p) ? 7 : 8) * (uint64_t)LM_BIT * 63 / 64;
}

/* Whether the words of floats are better turned by one bit more: the first bit of a mantissa depends
 * on the exponent, and 7 bits of that say most. */
bool lm_sample_turned(struct lm_coding coding, const uint8_t *raw, size_t raw_len);

#endif
