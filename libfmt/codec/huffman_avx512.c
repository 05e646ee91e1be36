/* Huffman coding, 64 bytes a step: codes by table look-up in registers, then neighbours joined, two,
 * four, eight, so that one shift and one store write eight of them. */
#include "codec/huffman.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))

enum { STEP = 64, JOINED = 8, BITS_MAX = 56 }; /* 7 bits wait already */

/* The tables: a code's low byte, and its high bits with its length above them. */
struct tables {
	__m512i low[2], high[2];
};

static TARGET struct tables load_tables(const struct lm_huffman *h)
{
	uint8_t low[LM_HUFFMAN_SYMBOLS], high[LM_HUFFMAN_SYMBOLS];
	struct tables t;

	for (size_t s = 0; s < LM_HUFFMAN_SYMBOLS; s++) {
		low[s] = (uint8_t)h->code[s];
		high[s] = (uint8_t)(h->code[s] >> 8 | h->len[s] << 4);
	}
	for (size_t i = 0; i < 2; i++) {
		t.low[i] = _mm512_loadu_si512(low + 64 * i);
		t.high[i] = _mm512_loadu_si512(high + 64 * i);
	}
	return t;
}

/* Of 32 codes with lengths, each four neighbours are joined to 64 bits: the last one is lowest. */
static inline TARGET __m512i join(__m512i entries, __m512i *lens)
{
	const __m512i low16 = _mm512_set1_epi32(0xffff), low32 = _mm512_set1_epi64(0xffffffff);
	__m512i codes = _mm512_and_si512(entries, _mm512_set1_epi16(0x0fff));
	__m512i len = _mm512_srli_epi16(entries, 12), two, four;

	two = _mm512_or_si512(_mm512_srli_epi32(codes, 16),
			      _mm512_sllv_epi32(_mm512_and_si512(codes, low16),
						_mm512_srli_epi32(len, 16)));
	len = _mm512_madd_epi16(len, _mm512_set1_epi16(1));
	four = _mm512_or_si512(_mm512_srli_epi64(two, 32),
			       _mm512_sllv_epi64(_mm512_and_si512(two, low32),
						 _mm512_srli_epi64(len, 32)));
	*lens = _mm512_add_epi64(_mm512_srli_epi64(len, 32), _mm512_and_si512(len, low32));
	return four;
}

static inline uint8_t *put(uint8_t *out, uint64_t *acc, unsigned *bits, uint64_t code, uint64_t len)
{
	*acc |= code << *bits;
	*bits += (unsigned)len;
	lm_put_u64(out, *acc);
	out += *bits / 8;
	*acc >>= *bits & ~7u;
	*bits %= 8;
	return out;
}

TARGET uint8_t *lm_huffman_stream_avx512(const struct lm_huffman *h, const uint8_t *bytes,
					 size_t *len, uint8_t *out, uint64_t *acc, unsigned *bits)
{
	const struct tables t = load_tables(h);
	size_t left = *len;
	uint64_t a = *acc;
	unsigned b = *bits;

	for (; left >= STEP; left -= STEP) {
		__m512i in = _mm512_loadu_si512(bytes + left - STEP);
		__m512i low = _mm512_permutex2var_epi8(t.low[0], in, t.low[1]);
		__m512i high = _mm512_permutex2var_epi8(t.high[0], in, t.high[1]);
		__m512i len0, len1, even_len, odd_len, sum;
		__m512i four0 = join(_mm512_unpacklo_epi8(low, high), &len0);
		__m512i four1 = join(_mm512_unpackhi_epi8(low, high), &len1);
		__m512i even = _mm512_unpacklo_epi64(four0, four1);
		__m512i odd = _mm512_unpackhi_epi64(four0, four1);
		uint64_t codes[2][JOINED], lens[2][JOINED];

		even_len = _mm512_unpacklo_epi64(len0, len1);
		odd_len = _mm512_unpackhi_epi64(len0, len1);
		sum = _mm512_add_epi64(even_len, odd_len);
		if (_mm512_cmpgt_epu64_mask(sum, _mm512_set1_epi64(BITS_MAX)) == 0) {
			_mm512_storeu_si512(codes[0], _mm512_or_si512(odd, _mm512_sllv_epi64(
							      even, odd_len)));
			_mm512_storeu_si512(lens[0], sum);
			for (size_t k = JOINED; k-- > 0;)
				out = put(out, &a, &b, codes[0][k], lens[0][k]);
			continue;
		}
		_mm512_storeu_si512(codes[0], even);
		_mm512_storeu_si512(codes[1], odd);
		_mm512_storeu_si512(lens[0], even_len);
		_mm512_storeu_si512(lens[1], odd_len);
		for (size_t k = JOINED; k-- > 0;) {
			out = put(out, &a, &b, codes[1][k], lens[1][k]);
			out = put(out, &a, &b, codes[0][k], lens[0][k]);
		}
	}
	*len = left;
	*acc = a;
	*bits = b;
	return out;
}

#else

typedef int lm_huffman_avx512_has_nothing;

#endif
