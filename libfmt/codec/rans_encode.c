#include "codec/rans.h"

#include "codec/simd.h"

/* x / freq without a division: exact, since x < 2^24 and the excess of the reciprocal times x stays
 * below 2^32. */
struct divisor {
	uint64_t reciprocal;
	uint32_t limit;      /* from here on a byte has to be written first */
	uint32_t complement; /* LM_RANS_SLOTS - freq */
	uint32_t start;
	uint32_t escaped;
};

static void make_divisors(const struct lm_rans_model *m, unsigned class, struct divisor d[256])
{
	for (size_t s = 0; s < 256; s++) {
		uint32_t freq = m->of_class[class].freq[s];

		d[s] = (struct divisor){ 0 };
		if (freq == 0)
			continue;
		d[s].reciprocal = ((UINT64_C(1) << 32) + freq - 1) / freq;
		d[s].limit = freq << 16;
		d[s].complement = LM_RANS_SLOTS - freq;
		d[s].start = m->of_class[class].start[s];
		d[s].escaped = lm_rans_is_escaped(m, class, (uint8_t)s);
	}
}

/* Bytes of one group, the last one first. */
static void encode_group(const struct divisor divisors[256], const uint8_t *bytes, size_t count,
			 struct lm_rans_coder *coder)
{
	uint8_t *stream = coder->stream, *list = coder->list;
	uint32_t states[LM_RANS_LANES];

	memcpy(states, coder->states, sizeof(states));
	for (size_t i = count; i-- > 0;) {
		const struct divisor *d = &divisors[bytes[i]];
		uint32_t x = states[i];
		size_t full = x >= d->limit;

		stream[-1] = (uint8_t)x;
		stream -= full;
		x >>= 8 * full;
		list[-1] = bytes[i];
		list -= d->escaped;
		states[i] = x + d->start + (uint32_t)(x * d->reciprocal >> 32) * d->complement;
	}
	memcpy(coder->states, states, sizeof(states));
	coder->stream = stream;
	coder->list = list;
}

static void encode_groups(const struct lm_rans_model *m, const uint8_t *class,
			  const uint8_t *bytes, size_t groups, struct lm_rans_coder *coder)
{
	struct divisor divisors[LM_RANS_CLASSES][256];

	for (unsigned c = 0; c < m->classes; c++)
		make_divisors(m, c, divisors[c]);
	for (size_t g = groups; g-- > 0;)
		encode_group(divisors[m->classes > 1 ? class[g] : 0], bytes + g * LM_RANS_LANES,
			     LM_RANS_LANES, coder);
}

void lm_rans_encode(const struct lm_rans_model *m, const uint8_t *class, const uint8_t *bytes,
		    size_t count, struct lm_rans_coder *coder)
{
	size_t groups = count / LM_RANS_LANES;
	struct divisor last[256];

	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		coder->states[lane] = LM_RANS_LOW;
	make_divisors(m, m->classes > 1 ? class[groups] : 0, last);
	encode_group(last, bytes + groups * LM_RANS_LANES, count % LM_RANS_LANES, coder);
#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512) {
		lm_rans_encode_avx512(m, class, bytes, groups, coder);
		return;
	}
	if (lm_simd() >= LM_SIMD_AVX2) {
		lm_rans_encode_avx2(m, class, bytes, groups, coder);
		return;
	}
#endif
	encode_groups(m, class, bytes, groups, coder);
}
