#include "codec/rans_avx512.h"

#if defined(__x86_64__)

#define CUT_OFF (_MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)

/* Writes those bytes that the mask names, in their order, so that they end at `end`. */
static inline LM_AVX512 uint8_t *put(uint8_t *end, __mmask64 which, __m512i bytes, __m512i numbers)
{
	unsigned n = (unsigned)__builtin_popcountll(which);
	__m512i last = _mm512_add_epi8(numbers, _mm512_set1_epi8((char)n));

	bytes = _mm512_permutexvar_epi8(last, _mm512_maskz_compress_epi8(which, bytes));
	_mm512_storeu_si512(end - 64, bytes);
	return end - n;
}

static inline LM_AVX512 __m512i step(__m512i x, __m512i freq, __m512i complement, __m512i start)
{
	__mmask16 full = _mm512_cmpge_epu32_mask(_mm512_srli_epi32(x, 16), freq);
	__m512i quotient;

	x = _mm512_mask_srli_epi32(x, full, x, 8);
	/* States have 24 bits, as floats do: cut off, their quotient is that of integers. */
	quotient = _mm512_cvttps_epi32(_mm512_div_round_ps(_mm512_cvtepi32_ps(x),
							   _mm512_cvtepi32_ps(freq), CUT_OFF));
	return _mm512_add_epi32(_mm512_add_epi32(x, start),
				_mm512_mullo_epi32(quotient, complement));
}

LM_AVX512 void lm_rans_encode_avx512(const struct lm_rans_model *m, const uint8_t *bytes,
				     size_t groups, struct lm_rans_coder *coder)
{
	const struct lm_table512 freqs = lm_load_table(m->freq), starts = lm_load_table(m->start);
	const __m512i marker = _mm512_set1_epi8((char)m->start[m->marker]);
	struct lm_lanes512 x = lm_load_states(coder->states);
	uint8_t *stream = coder->stream, *list = coder->list, upward[64];
	__m512i numbers;

	for (unsigned i = 0; i < 64; i++)
		upward[i] = (uint8_t)i;
	numbers = _mm512_loadu_si512(upward);
	while (groups-- > 0) {
		__m512i in = _mm512_loadu_si512(bytes + 64 * groups);
		__mmask64 high = _mm512_movepi8_mask(in), full;
		__m512i freq = lm_look_up(&freqs, in, high), start = lm_look_up(&starts, in, high);
		__m512i rest = _mm512_sub_epi8(_mm512_setzero_si512(), freq);

		full = _mm512_cmpge_epu8_mask(lm_join_tops(&x), freq);
		stream = put(stream, full, lm_join(x.v0, x.v1, x.v2, x.v3), numbers);
		if (m->escapes)
			list = put(list, _mm512_cmpeq_epi8_mask(start, marker), in, numbers);
		x.v0 = step(x.v0, lm_byte_of(freq, 0), lm_byte_of(rest, 0), lm_byte_of(start, 0));
		x.v1 = step(x.v1, lm_byte_of(freq, 1), lm_byte_of(rest, 1), lm_byte_of(start, 1));
		x.v2 = step(x.v2, lm_byte_of(freq, 2), lm_byte_of(rest, 2), lm_byte_of(start, 2));
		x.v3 = step(x.v3, lm_byte_of(freq, 3), lm_byte_of(rest, 3), lm_byte_of(start, 3));
	}
	lm_store_states(coder->states, &x);
	coder->stream = stream;
	coder->list = list;
}

#else

typedef int lm_rans_encode_avx512_has_nothing;

#endif
