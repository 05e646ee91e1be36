#include "codec/even.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))

/* From 8 bytes to 7 and back: for each byte the one that it comes from. */
static TARGET __m512i spread(size_t from, size_t to)
{
	uint8_t at[64];

	for (size_t i = 0; i < 64; i++)
		at[i] = (uint8_t)(i / to * from + i % to);
	return _mm512_loadu_si512(at);
}

TARGET bool lm_even_pack_avx512(const uint8_t *bytes, size_t groups, uint8_t *out)
{
	const __m512i places = spread(8, 7), ones = _mm512_set1_epi8(1);
	const __m512i low7 = _mm512_set1_epi8(0x7f), low28 = _mm512_set1_epi64(0x0fffffff);
	const __m512i pairs = _mm512_set1_epi16((short)0x8001);
	const __m512i fours = _mm512_set1_epi32(1 << 30 | 1);
	__m512i any = _mm512_setzero_si512();

	for (size_t g = 0; g < groups; g++) {
		__m512i v = _mm512_loadu_si512(bytes + 64 * g);

		any = _mm512_or_si512(any, v);
		v = _mm512_and_si512(_mm512_srli_epi16(v, 1), low7);
		/* The second of two times 128, then the second of these times 2^14. */
		v = _mm512_madd_epi16(_mm512_maddubs_epi16(pairs, v), fours);
		v = _mm512_ternarylogic_epi64(low28, v, _mm512_srli_epi64(v, 4), 0xca);
		_mm512_storeu_si512(out + 56 * g, _mm512_permutexvar_epi8(places, v));
	}
	return _mm512_test_epi8_mask(any, ones) != 0;
}

TARGET void lm_even_unpack_avx512(const uint8_t *packed, size_t groups, uint8_t *bytes)
{
	const __m512i places = spread(7, 8), high7 = _mm512_set1_epi8((char)0xfe);
	uint8_t from[64];
	__m512i shifts;

	/* One bit before each: room for the bit that is not there. */
	for (size_t i = 0; i < 64; i++)
		from[i] = (uint8_t)((7 * (i % 8) + 63) % 64);
	shifts = _mm512_loadu_si512(from);
	for (size_t g = 0; g < groups; g++) {
		__m512i v = _mm512_loadu_si512(packed + 56 * g);

		v = _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(places, v));
		_mm512_storeu_si512(bytes + 64 * g, _mm512_and_si512(v, high7));
	}
}

#else

typedef int lm_even_avx512_has_nothing;

#endif
