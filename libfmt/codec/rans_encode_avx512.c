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

/* Tables of a class; in registers as long as groups are of it. */
struct class {
	struct lm_table512 freqs, starts;
	__m512i marker; /* the first slot of the marker: escaped bytes have it, too */
};

static inline LM_AVX512 void load_class(struct class *to, const struct lm_rans_model *m, unsigned c)
{
	const struct lm_rans_class *from = &m->of_class[c];

	to->freqs = lm_load_table(from->freq);
	to->starts = lm_load_table(from->start);
	to->marker = _mm512_set1_epi8((char)from->start[m->marker]);
}

/* One group; each is inlined, so that the tables of a single class stay where they are. */
static inline LM_AVX512 __attribute__((always_inline)) void encode_group(
	const struct class *c, const uint8_t *bytes, bool escapes, __m512i numbers,
	struct lm_lanes512 *x, uint8_t **stream, uint8_t **list)
{
	__m512i in = _mm512_loadu_si512(bytes);
	__mmask64 high = _mm512_movepi8_mask(in), full;
	__m512i freq = lm_look_up(&c->freqs, in, high), start = lm_look_up(&c->starts, in, high);
	__m512i rest = _mm512_sub_epi8(_mm512_setzero_si512(), freq);

	full = _mm512_cmpge_epu8_mask(lm_join_tops(x), freq);
	*stream = put(*stream, full, lm_join(x->v0, x->v1, x->v2, x->v3), numbers);
	if (escapes)
		*list = put(*list, _mm512_cmpeq_epi8_mask(start, c->marker), in, numbers);
	x->v0 = step(x->v0, lm_byte_of(freq, 0), lm_byte_of(rest, 0), lm_byte_of(start, 0));
	x->v1 = step(x->v1, lm_byte_of(freq, 1), lm_byte_of(rest, 1), lm_byte_of(start, 1));
	x->v2 = step(x->v2, lm_byte_of(freq, 2), lm_byte_of(rest, 2), lm_byte_of(start, 2));
	x->v3 = step(x->v3, lm_byte_of(freq, 3), lm_byte_of(rest, 3), lm_byte_of(start, 3));
}

LM_AVX512 void lm_rans_encode_avx512(const struct lm_rans_model *m, const uint8_t *class,
				     const uint8_t *bytes, size_t groups,
				     struct lm_rans_coder *coder)
{
	struct lm_lanes512 x = lm_load_states(coder->states);
	uint8_t *stream = coder->stream, *list = coder->list, upward[64];
	struct class tables;
	__m512i numbers;

	for (unsigned i = 0; i < 64; i++)
		upward[i] = (uint8_t)i;
	numbers = _mm512_loadu_si512(upward);
	if (m->classes == 1) {
		load_class(&tables, m, 0);
		while (groups-- > 0)
			encode_group(&tables, bytes + 64 * groups, m->escapes, numbers, &x,
				     &stream, &list);
	} else {
		while (groups-- > 0) {
			load_class(&tables, m, class[groups]);
			encode_group(&tables, bytes + 64 * groups, m->escapes, numbers, &x,
				     &stream, &list);
		}
	}
	lm_store_states(coder->states, &x);
	coder->stream = stream;
	coder->list = list;
}

LM_AVX512 void lm_rans_walk_avx512(const struct lm_rans_model *m, const uint8_t *bytes,
				   size_t groups, uint8_t *class)
{
	const __m256i limits = lm_load_limits(m->classes, m->limits);
	unsigned c = 0;

	for (size_t g = 0; g < groups; g++) {
		const struct lm_table512 weights = lm_load_table(m->of_class[c].weight);
		__m512i in = _mm512_loadu_si512(bytes + 64 * g);

		class[g] = (uint8_t)c;
		c = lm_next_class(lm_look_up(&weights, in, _mm512_movepi8_mask(in)), limits);
	}
	class[groups] = (uint8_t)c;
}

#else

typedef int lm_rans_encode_avx512_has_nothing;

#endif
