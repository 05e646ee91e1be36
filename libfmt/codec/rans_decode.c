#include "codec/rans.h"

#include "codec/simd.h"

/* The class of the group at `bytes`, which others are in front of, but at the begin. */
static const struct lm_rans_slots *slots_at(const struct lm_rans_tables *t, const uint8_t *bytes,
					    bool begin)
{
	unsigned class = 0;

	if (!begin && t->classes > 1)
		class = lm_rans_class_of(t->classes, t->limits,
					 lm_rans_weight(t->weight, bytes - LM_RANS_LANES));
	return &t->of_class[class];
}

static bool decode_group(const struct lm_rans_slots *slots, struct lm_rans_reader *r,
			 uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t x = r->states[i];
		uint8_t slot = (uint8_t)x;

		bytes[i] = slots->byte[slot];
		x = slots->freq[slot] * (x >> 8) + slots->rank[slot];
		if (x < LM_RANS_LOW) {
			if (r->stream == r->end)
				return false;
			x = x << 8 | *r->stream++;
		}
		r->states[i] = x;
	}
	return true;
}

/* The same where the stream is surely long enough: no branch that depends on the data. */
static size_t decode_groups(const struct lm_rans_tables *t, struct lm_rans_reader *r,
			    uint8_t *bytes, size_t groups)
{
	uint32_t states[LM_RANS_LANES];
	const uint8_t *stream = r->stream;
	size_t done = 0;

	memcpy(states, r->states, sizeof(states));
	for (; done < groups && r->end - stream >= LM_RANS_LANES; done++) {
		const struct lm_rans_slots *slots = slots_at(t, bytes, done == 0);

		for (size_t lane = 0; lane < LM_RANS_LANES; lane++) {
			uint32_t x = states[lane], empty;
			uint8_t slot = (uint8_t)x;

			*bytes++ = slots->byte[slot];
			x = slots->freq[slot] * (x >> 8) + slots->rank[slot];
			empty = x < LM_RANS_LOW;
			states[lane] = x << 8 * empty | (*stream & (0 - empty));
			stream += empty;
		}
	}
	memcpy(r->states, states, sizeof(states));
	r->stream = stream;
	return done;
}

static size_t decode_most(const struct lm_rans_tables *t, struct lm_rans_reader *r,
			  uint8_t *bytes, size_t groups)
{
#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512)
		return lm_rans_decode_avx512(t, r, bytes, groups);
	if (lm_simd() >= LM_SIMD_AVX2)
		return lm_rans_decode_avx2(t, r, bytes, groups);
#endif
	return decode_groups(t, r, bytes, groups);
}

bool lm_rans_decode(const struct lm_rans_tables *t, struct lm_rans_reader *r, uint8_t *bytes,
		    size_t count)
{
	size_t done;

	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		if (r->states[lane] < LM_RANS_LOW || r->states[lane] >= LM_RANS_HIGH)
			return false;
	done = decode_most(t, r, bytes, count / LM_RANS_LANES) * LM_RANS_LANES;
	for (; done < count; done += LM_MIN(count - done, (size_t)LM_RANS_LANES))
		if (!decode_group(slots_at(t, bytes + done, done == 0), r, bytes + done,
				  LM_MIN(count - done, (size_t)LM_RANS_LANES)))
			return false;
	if (r->stream != r->end)
		return false;
	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		if (r->states[lane] != LM_RANS_LOW)
			return false;
	return true;
}

size_t lm_rans_unescape(uint8_t *bytes, size_t count, uint8_t marker, const uint8_t *list,
			size_t len)
{
	uint8_t *at = bytes, *end = bytes + count;
	size_t n = 0;

#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512) {
		size_t groups = count / LM_RANS_LANES;

		n = lm_rans_unescape_avx512(bytes, groups, marker, list, len);
		at += groups * LM_RANS_LANES;
	}
#endif
	for (; (at = memchr(at, marker, (size_t)(end - at))) != NULL; at++, n++)
		if (n < len)
			*at = list[n];
	return n;
}
