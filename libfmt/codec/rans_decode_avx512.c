#include "codec/rans_avx512.h"

#if defined(__x86_64__)

static inline LM_AVX512 __m512i step(__m512i x, __m512i freq, __m512i rank)
{
	return _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(x, 8), freq), rank);
}

/* A state below LM_RANS_LOW takes in its next byte. */
static inline LM_AVX512 __m512i fill(__m512i x, __m512i next)
{
	__mmask16 empty = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(LM_RANS_LOW));

	return _mm512_or_si512(_mm512_mask_slli_epi32(x, empty, x, 8), next);
}

/* Tables of a class; in registers as long as there is one class. */
struct class {
	struct lm_table512 of_byte, of_freq, of_rank;
};

static inline LM_AVX512 void load_class(struct class *to, const struct lm_rans_slots *from)
{
	to->of_byte = lm_load_table(from->byte);
	to->of_freq = lm_load_table(from->freq);
	to->of_rank = lm_load_table(from->rank);
}

/* One group from the slots `at`. */
static inline LM_AVX512 __attribute__((always_inline)) void decode_group(
	const struct class *c, __m512i at, struct lm_lanes512 *x, uint8_t *bytes,
	const uint8_t **stream)
{
	__m512i freq, rank, next;
	__mmask64 high = _mm512_movepi8_mask(at), empty;

	_mm512_storeu_si512(bytes, lm_look_up(&c->of_byte, at, high));
	freq = lm_look_up(&c->of_freq, at, high);
	rank = lm_look_up(&c->of_rank, at, high);
	x->v0 = step(x->v0, lm_byte_of(freq, 0), lm_byte_of(rank, 0));
	x->v1 = step(x->v1, lm_byte_of(freq, 1), lm_byte_of(rank, 1));
	x->v2 = step(x->v2, lm_byte_of(freq, 2), lm_byte_of(rank, 2));
	x->v3 = step(x->v3, lm_byte_of(freq, 3), lm_byte_of(rank, 3));
	/* A state is too small when its third byte is 0. The stream has the next bytes of such
	 * states in the order of the lanes, which is that of the bytes here. */
	next = lm_join_tops(x);
	empty = _mm512_testn_epi8_mask(next, next);
	next = _mm512_maskz_expand_epi8(empty, _mm512_loadu_si512(*stream));
	*stream += __builtin_popcountll(empty);
	x->v0 = fill(x->v0, lm_byte_of(next, 0));
	x->v1 = fill(x->v1, lm_byte_of(next, 1));
	x->v2 = fill(x->v2, lm_byte_of(next, 2));
	x->v3 = fill(x->v3, lm_byte_of(next, 3));
}

LM_AVX512 size_t lm_rans_decode_avx512(const struct lm_rans_tables *t, struct lm_rans_reader *r,
				       uint8_t *bytes, size_t groups)
{
	const __m256i limits = lm_load_limits(t->classes, t->limits);
	struct lm_lanes512 x = lm_load_states(r->states);
	const uint8_t *stream = r->stream;
	struct lm_table512 weights = lm_load_table(t->of_class[0].weight);
	struct class tables;
	size_t done = 0;

	load_class(&tables, &t->of_class[0]);
	if (t->classes == 1) {
		for (; done < groups && r->end - stream >= LM_RANS_LANES; done++)
			decode_group(&tables, lm_join(x.v0, x.v1, x.v2, x.v3), &x,
				     bytes + 64 * done, &stream);
	} else {
		for (; done < groups && r->end - stream >= LM_RANS_LANES; done++) {
			__m512i at = lm_join(x.v0, x.v1, x.v2, x.v3);
			__m512i sum = lm_look_up(&weights, at, _mm512_movepi8_mask(at));
			const struct lm_rans_slots *next = &t->of_class[lm_next_class(sum, limits)];

			decode_group(&tables, at, &x, bytes + 64 * done, &stream);
			load_class(&tables, next);
			weights = lm_load_table(next->weight);
		}
	}
	lm_store_states(r->states, &x);
	r->stream = stream;
	return done;
}

LM_AVX512 size_t lm_rans_unescape_avx512(uint8_t *bytes, size_t groups, uint8_t marker,
					 const uint8_t *list, size_t len)
{
	const __m512i wanted = _mm512_set1_epi8((char)marker);
	size_t n = 0;

	for (size_t g = 0; g < groups; g++) {
		__m512i in = _mm512_loadu_si512(bytes + 64 * g), given;
		__mmask64 which = _mm512_cmpeq_epi8_mask(in, wanted), there;
		size_t from = LM_MIN(n, len), left = len - from;

		there = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
		given = _mm512_mask_loadu_epi8(wanted, there, list + from);
		_mm512_storeu_si512(bytes + 64 * g, _mm512_mask_expand_epi8(in, which, given));
		n += (size_t)__builtin_popcountll(which);
	}
	return n;
}

#else

typedef int lm_rans_decode_avx512_has_nothing;

#endif
