/* rANS eight lanes at a time: tables by gathers, and a table for each way in which some of eight
 * lanes need a byte. */
#include "codec/rans.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,popcnt")))

enum { WIDE = 8, VECTORS = LM_RANS_LANES / WIDE, MASKS = 1 << WIDE };

/* For each mask of lanes: which one comes where. */
struct order {
	uint8_t lane[MASKS][WIDE];
};

/* Lanes that are named take the next one each. */
static void make_expansion(struct order *order)
{
	for (unsigned mask = 0; mask < MASKS; mask++) {
		uint8_t next = 0;

		for (unsigned lane = 0; lane < WIDE; lane++) {
			order->lane[mask][lane] = next;
			next = (uint8_t)(next + (mask >> lane & 1));
		}
	}
}

/* Lanes that are named go to the end, in their order. */
static void make_compression(struct order *order)
{
	for (unsigned mask = 0; mask < MASKS; mask++) {
		unsigned to = WIDE;

		for (unsigned lane = WIDE; lane-- > 0;)
			if (mask >> lane & 1)
				order->lane[mask][--to] = (uint8_t)lane;
		while (to > 0)
			order->lane[mask][--to] = 0;
	}
}

static inline TARGET __m256i load_lanes(const uint32_t *states)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)states);
}

static inline TARGET void store_lanes(uint32_t *states, __m256i x)
{
	_mm256_storeu_si256((__m256i *)(void *)states, x);
}

static inline TARGET __m256i load_bytes(const uint8_t *bytes)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)bytes));
}

/* The lowest byte of each lane. */
static inline TARGET void store_bytes(uint8_t *bytes, __m256i v)
{
	const __m256i low = _mm256_set1_epi32(0x0c080400);
	__m256i four = _mm256_shuffle_epi8(v, low);

	lm_put_u32(bytes, (uint32_t)_mm256_extract_epi32(four, 0));
	lm_put_u32(bytes + 4, (uint32_t)_mm256_extract_epi32(four, 4));
}

static inline TARGET __m256i reorder(const struct order *order, unsigned mask, __m256i v)
{
	return _mm256_permutevar8x32_epi32(v, load_bytes(order->lane[mask]));
}

static inline TARGET __m256i look_up(const uint32_t table[256], __m256i at)
{
	__m256i old = _mm256_setzero_si256(), all = _mm256_set1_epi32(-1);

	/* The instruction waits for what was in its register before, even where all of it is
	 * replaced. gcc would take any register: so it must not know that it is all. */
	__asm__("" : "+x"(all));
	return _mm256_mask_i32gather_epi32(old, (const int *)(const void *)table, at, all, 4);
}

static inline TARGET unsigned mask_of(__m256i v)
{
	return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(v));
}

/* ---- decoding ---- */

static void pack_slots(const struct lm_rans_slots *slots, uint32_t table[LM_RANS_SLOTS])
{
	for (size_t s = 0; s < LM_RANS_SLOTS; s++)
		table[s] = slots->byte[s] | (uint32_t)slots->freq[s] << 8 |
			   (uint32_t)slots->rank[s] << 16;
}

/* One group; the end of what it took from the stream. */
static inline TARGET const uint8_t *decode_group(const uint32_t table[LM_RANS_SLOTS],
						 const struct order *order, uint32_t *states,
						 const uint8_t *stream, uint8_t *bytes)
{
	const __m256i low8 = _mm256_set1_epi32(0xff), least = _mm256_set1_epi32(LM_RANS_LOW);

	for (size_t v = 0; v < VECTORS; v++, bytes += WIDE) {
		__m256i x = load_lanes(states + WIDE * v), empty, next;
		__m256i entry = look_up(table, _mm256_and_si256(x, low8));
		unsigned mask;

		store_bytes(bytes, entry);
		x = _mm256_mullo_epi32(_mm256_srli_epi32(x, 8),
				       _mm256_and_si256(_mm256_srli_epi32(entry, 8), low8));
		x = _mm256_add_epi32(x, _mm256_srli_epi32(entry, 16));
		empty = _mm256_cmpgt_epi32(least, x);
		mask = mask_of(empty);
		next = reorder(order, mask, load_bytes(stream));
		next = _mm256_or_si256(_mm256_slli_epi32(x, 8), next);
		store_lanes(states + WIDE * v, _mm256_blendv_epi8(x, next, empty));
		stream += __builtin_popcount(mask);
	}
	return stream;
}

TARGET size_t lm_rans_decode_avx2(const struct lm_rans_tables *t, struct lm_rans_reader *r,
				  uint8_t *bytes, size_t groups)
{
	uint32_t tables[LM_RANS_CLASSES][LM_RANS_SLOTS], states[LM_RANS_LANES];
	const uint8_t *stream = r->stream;
	struct order order;
	unsigned class = 0;
	size_t done = 0;

	make_expansion(&order);
	for (unsigned c = 0; c < t->classes; c++)
		pack_slots(&t->of_class[c], tables[c]);
	memcpy(states, r->states, sizeof(states));
	for (; done < groups && r->end - stream >= LM_RANS_LANES; done++) {
		uint8_t *group = bytes + done * LM_RANS_LANES;

		stream = decode_group(tables[class], &order, states, stream, group);
		if (t->classes > 1)
			class = lm_rans_class_of(t->classes, t->limits,
						 lm_rans_weight(t->weight, group));
	}
	memcpy(r->states, states, sizeof(states));
	r->stream = stream;
	return done;
}

/* ---- coding ---- */

/* Writes the lowest bytes of the lanes that the mask names, so that they end at `end`. */
static inline TARGET uint8_t *put(uint8_t *end, const struct order *order, unsigned mask, __m256i v)
{
	store_bytes(end - WIDE, reorder(order, mask, v));
	return end - __builtin_popcount(mask);
}

static inline TARGET __m256i step(__m256i x, __m256i freq, __m256i start)
{
	const __m256i slots = _mm256_set1_epi32(LM_RANS_SLOTS);
	/* x has 24 bits, as floats do, and is below 2^16 times the frequency: so the quotient is
	 * farther from the next integer than it can be rounded. */
	__m256i quotient = _mm256_cvttps_epi32(_mm256_div_ps(_mm256_cvtepi32_ps(x),
							     _mm256_cvtepi32_ps(freq)));

	x = _mm256_add_epi32(x, start);
	return _mm256_add_epi32(x, _mm256_mullo_epi32(quotient, _mm256_sub_epi32(slots, freq)));
}

static void pack_class(const struct lm_rans_model *m, unsigned c, uint32_t table[256])
{
	for (size_t s = 0; s < 256; s++)
		table[s] = m->of_class[c].freq[s] | (uint32_t)m->of_class[c].start[s] << 8 |
			   (uint32_t)lm_rans_is_escaped(m, c, (uint8_t)s) << 31;
}

TARGET void lm_rans_encode_avx2(const struct lm_rans_model *m, const uint8_t *class,
				const uint8_t *bytes, size_t groups, struct lm_rans_coder *coder)
{
	const __m256i low8 = _mm256_set1_epi32(0xff);
	uint8_t *stream = coder->stream, *list = coder->list;
	uint32_t tables[LM_RANS_CLASSES][256], states[LM_RANS_LANES];
	struct order order;

	make_compression(&order);
	for (unsigned c = 0; c < m->classes; c++)
		pack_class(m, c, tables[c]);
	memcpy(states, coder->states, sizeof(states));
	for (size_t i = groups * VECTORS; i-- > 0;) {
		const uint32_t *table = tables[m->classes > 1 ? class[i / VECTORS] : 0];
		uint32_t *lanes = states + i % VECTORS * WIDE;
		__m256i in = load_bytes(bytes + WIDE * i), entry = look_up(table, in);
		__m256i x = load_lanes(lanes), freq = _mm256_and_si256(entry, low8), room;

		room = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32(x, 16));
		stream = put(stream, &order, mask_of(room) ^ (MASKS - 1), x);
		if (m->escapes)
			list = put(list, &order, mask_of(entry), in);
		x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 8), x, room);
		entry = _mm256_and_si256(_mm256_srli_epi32(entry, 8), low8);
		store_lanes(lanes, step(x, freq, entry));
	}
	memcpy(coder->states, states, sizeof(states));
	coder->stream = stream;
	coder->list = list;
}

#else

typedef int lm_rans_avx2_has_nothing;

#endif
