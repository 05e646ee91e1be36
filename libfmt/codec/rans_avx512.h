/* What coding and decoding by AVX-512 have in common. 64 bytes are a step; byte 4j + v of them
 * belongs to lane j of vector v, so that shifts alone take them apart and join them. */
#ifndef LM_RANS_AVX512_H
#define LM_RANS_AVX512_H

#include "codec/rans.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LM_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")))

/* 256 bytes to look up in: registers, when it is inlined. */
struct lm_table512 {
	__m512i part[4];
};

/* States. */
struct lm_lanes512 {
	__m512i v0, v1, v2, v3;
};

static inline LM_AVX512 struct lm_table512 lm_load_table(const uint8_t bytes[256])
{
	struct lm_table512 t;

	t.part[0] = _mm512_loadu_si512(bytes);
	t.part[1] = _mm512_loadu_si512(bytes + 64);
	t.part[2] = _mm512_loadu_si512(bytes + 128);
	t.part[3] = _mm512_loadu_si512(bytes + 192);
	return t;
}

/* `high` is the top bits of `at`. */
static inline LM_AVX512 __m512i lm_look_up(const struct lm_table512 *t, __m512i at, __mmask64 high)
{
	__m512i low = _mm512_permutex2var_epi8(t->part[0], at, t->part[1]);

	return _mm512_mask_mov_epi8(low, high,
				    _mm512_permutex2var_epi8(t->part[2], at, t->part[3]));
}

/* Byte v of each 32 bits. */
static inline LM_AVX512 __m512i lm_byte_of(__m512i bytes, const unsigned v)
{
	__m512i shifted = v == 0 ? bytes : _mm512_srli_epi32(bytes, 8 * v);

	return v == 3 ? shifted : _mm512_and_si512(shifted, _mm512_set1_epi32(0xff));
}

/* Joins the lowest bytes of four vectors; what is above them is lost. 0xca: the first operand
 * chooses between the other two. */
static inline LM_AVX512 __m512i lm_join(__m512i a, __m512i b, __m512i c, __m512i d)
{
	const __m512i low8 = _mm512_set1_epi32(0xff), low16 = _mm512_set1_epi32(0xffff);
	__m512i ab = _mm512_ternarylogic_epi32(low8, a, _mm512_slli_epi32(b, 8), 0xca);
	__m512i cd = _mm512_ternarylogic_epi32(low8, c, _mm512_slli_epi32(d, 8), 0xca);

	return _mm512_ternarylogic_epi32(low16, ab, _mm512_slli_epi32(cd, 16), 0xca);
}

/* The same for the third bytes of states. */
static inline LM_AVX512 __m512i lm_join_tops(const struct lm_lanes512 *x)
{
	const __m512i low8 = _mm512_set1_epi32(0xff), low16 = _mm512_set1_epi32(0xffff);
	__m512i ab = _mm512_ternarylogic_epi32(low8, _mm512_srli_epi32(x->v0, 16),
					       _mm512_srli_epi32(x->v1, 8), 0xca);
	__m512i cd = _mm512_ternarylogic_epi32(_mm512_slli_epi32(low8, 16), x->v2,
					       _mm512_slli_epi32(x->v3, 8), 0xca);

	return _mm512_ternarylogic_epi32(low16, ab, cd, 0xca);
}

/* Limits of classes; those that are not there are above every sum. */
static inline LM_AVX512 __m256i lm_load_limits(unsigned classes, const uint16_t *limits)
{
	uint16_t all[16];

	for (unsigned i = 0; i < 16; i++)
		all[i] = i + 1 < classes ? limits[i] : UINT16_MAX;
	return _mm256_loadu_si256((const __m256i *)(const void *)all);
}

/* The class of the group behind this one. */
static inline LM_AVX512 unsigned lm_next_class(__m512i group, __m256i limits)
{
	__m512i sums = _mm512_sad_epu8(group, _mm512_setzero_si512());
	__m256i four = _mm256_add_epi64(_mm512_castsi512_si256(sums),
					_mm512_extracti64x4_epi64(sums, 1));
	__m128i two = _mm_add_epi64(_mm256_castsi256_si128(four),
				    _mm256_extracti128_si256(four, 1));

	two = _mm_add_epi64(two, _mm_unpackhi_epi64(two, two));
	return (unsigned)__builtin_popcount(
		_mm256_cmple_epu16_mask(limits, _mm256_broadcastw_epi16(two)));
}

static inline LM_AVX512 __m512i lm_load_lanes(const uint32_t states[LM_RANS_LANES], size_t v)
{
	uint32_t lanes[16];

	for (size_t j = 0; j < 16; j++)
		lanes[j] = states[4 * j + v];
	return _mm512_loadu_si512(lanes);
}

static inline LM_AVX512 void lm_store_lanes(uint32_t states[LM_RANS_LANES], size_t v, __m512i x)
{
	uint32_t lanes[16];

	_mm512_storeu_si512(lanes, x);
	for (size_t j = 0; j < 16; j++)
		states[4 * j + v] = lanes[j];
}

static inline LM_AVX512 struct lm_lanes512 lm_load_states(const uint32_t states[LM_RANS_LANES])
{
	return (struct lm_lanes512){ lm_load_lanes(states, 0), lm_load_lanes(states, 1),
				     lm_load_lanes(states, 2), lm_load_lanes(states, 3) };
}

static inline LM_AVX512 void lm_store_states(uint32_t states[LM_RANS_LANES],
					     const struct lm_lanes512 *x)
{
	lm_store_lanes(states, 0, x->v0);
	lm_store_lanes(states, 1, x->v1);
	lm_store_lanes(states, 2, x->v2);
	lm_store_lanes(states, 3, x->v3);
}

#endif
#endif
