#include "codec/rans.h"

#include "codec/simd.h"

static bool decode_plain(const struct lm_rans_slots *slots, struct lm_rans_reader *r,
			 uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t *state = &r->states[i % LM_RANS_LANES], x = *state;
		uint8_t slot = (uint8_t)x;

		bytes[i] = slots->byte[slot];
		x = slots->freq[slot] * (x >> 8) + slots->rank[slot];
		if (x < LM_RANS_LOW) {
			if (r->stream == r->end)
				return false;
			x = x << 8 | *r->stream++;
		}
		*state = x;
	}
	return true;
}

/* The same where the stream is surely long enough: no branch that depends on the data. */
static size_t decode_groups(const struct lm_rans_slots *slots, struct lm_rans_reader *r,
			    uint8_t *bytes, size_t groups)
{
	uint32_t packed[LM_RANS_SLOTS], states[LM_RANS_LANES];
	const uint8_t *stream = r->stream;
	size_t done = 0;

	for (size_t s = 0; s < LM_RANS_SLOTS; s++)
		packed[s] = slots->byte[s] | (uint32_t)slots->freq[s] << 8 |
			    (uint32_t)slots->rank[s] << 16;
	memcpy(states, r->states, sizeof(states));
	for (; done < groups && r->end - stream >= LM_RANS_LANES; done++) {
		for (size_t lane = 0; lane < LM_RANS_LANES; lane++) {
			uint32_t x = states[lane], entry = packed[(uint8_t)x], empty;

			*bytes++ = (uint8_t)entry;
			x = (uint8_t)(entry >> 8) * (x >> 8) + (entry >> 16);
			empty = x < LM_RANS_LOW;
			states[lane] = x << 8 * empty | (*stream & (0 - empty));
			stream += empty;
		}
	}
	memcpy(r->states, states, sizeof(states));
	r->stream = stream;
	return done;
}

static size_t decode_most(const struct lm_rans_slots *slots, struct lm_rans_reader *r,
			  uint8_t *bytes, size_t groups)
{
#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512)
		return lm_rans_decode_avx512(slots, r, bytes, groups);
	if (lm_simd() >= LM_SIMD_AVX2)
		return lm_rans_decode_avx2(slots, r, bytes, groups);
#endif
	return decode_groups(slots, r, bytes, groups);
}

bool lm_rans_decode(const struct lm_rans_slots *slots, struct lm_rans_reader *r, uint8_t *bytes,
		    size_t count)
{
	size_t done;

	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		if (r->states[lane] < LM_RANS_LOW || r->states[lane] >= LM_RANS_HIGH)
			return false;
	done = decode_most(slots, r, bytes, count / LM_RANS_LANES) * LM_RANS_LANES;
	if (!decode_plain(slots, r, bytes + done, count - done) || r->stream != r->end)
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
