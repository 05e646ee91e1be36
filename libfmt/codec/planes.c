#include "codec/planes.h"

#include "codec/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define LM_HAVE_AVX2 1
#define TARGET_AVX2 __attribute__((target("avx2")))
#endif

/* The plain path does any count; the AVX2 path does whole blocks of words and leaves the rest
 * to it. Both are little-endian: configure refuses anything else. */

static inline uint16_t load2(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load4(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void split2(unsigned turn, const uint8_t *words, size_t from, size_t count, uint8_t *planes)
{
	for (size_t i = from; i < count; i++) {
		unsigned v = load2(words + 2 * i);

		if (turn > 0)
			v = v << turn | v >> (16 - turn);
		planes[i] = (uint8_t)(v >> 8);
		planes[count + i] = (uint8_t)v;
	}
}

static void split4(unsigned turn, const uint8_t *words, size_t from, size_t count, uint8_t *planes)
{
	for (size_t i = from; i < count; i++) {
		uint32_t v = load4(words + 4 * i);

		if (turn > 0)
			v = v << turn | v >> (32 - turn);
		planes[i] = (uint8_t)(v >> 24);
		planes[count + i] = (uint8_t)(v >> 16);
		planes[2 * count + i] = (uint8_t)(v >> 8);
		planes[3 * count + i] = (uint8_t)v;
	}
}

static void split8(unsigned turn, const uint8_t *words, size_t count, uint8_t *planes)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t v = load8(words + 8 * i);

		if (turn > 0)
			v = v << turn | v >> (64 - turn);
		for (size_t p = 0; p < 8; p++)
			planes[p * count + i] = (uint8_t)(v >> (56 - 8 * p));
	}
}

static void merge2(unsigned turn, const uint8_t *const *planes, size_t from, size_t count,
		   uint8_t *words)
{
	const uint8_t *high = planes[0], *low = planes[1];

	for (size_t i = from; i < count; i++) {
		unsigned v = (unsigned)high[i] << 8 | low[i];
		uint16_t word;

		if (turn > 0)
			v = v >> turn | v << (16 - turn);
		word = (uint16_t)v;
		memcpy(words + 2 * i, &word, sizeof(word));
	}
}

static void merge4(unsigned turn, const uint8_t *const *planes, size_t from, size_t count,
		   uint8_t *words)
{
	const uint8_t *a = planes[0], *b = planes[1], *c = planes[2], *d = planes[3];

	for (size_t i = from; i < count; i++) {
		uint32_t v = (uint32_t)a[i] << 24 | (uint32_t)b[i] << 16 | (uint32_t)c[i] << 8 |
			     d[i];

		if (turn > 0)
			v = v >> turn | v << (32 - turn);
		memcpy(words + 4 * i, &v, sizeof(v));
	}
}

static void merge8(unsigned turn, const uint8_t *const *planes, size_t count, uint8_t *words)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t v = 0;

		for (size_t p = 0; p < 8; p++)
			v = v << 8 | planes[p][i];
		if (turn > 0)
			v = v >> turn | v << (64 - turn);
		memcpy(words + 8 * i, &v, sizeof(v));
	}
}

#ifdef LM_HAVE_AVX2

#define BLOCK 32 /* words a step: one vector of each plane */

static inline TARGET_AVX2 __m256i load_vector(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline TARGET_AVX2 void store_vector(uint8_t *p, __m256i v)
{
	_mm256_storeu_si256((__m256i *)(void *)p, v);
}

static inline TARGET_AVX2 __m256i rotate2(__m256i v, unsigned left)
{
	return _mm256_or_si256(_mm256_sll_epi16(v, _mm_cvtsi32_si128((int)left)),
			       _mm256_srl_epi16(v, _mm_cvtsi32_si128((int)(16 - left))));
}

static inline TARGET_AVX2 __m256i rotate4(__m256i v, unsigned left)
{
	return _mm256_or_si256(_mm256_sll_epi32(v, _mm_cvtsi32_si128((int)left)),
			       _mm256_srl_epi32(v, _mm_cvtsi32_si128((int)(32 - left))));
}

static TARGET_AVX2 size_t split2_avx2(unsigned turn, const uint8_t *words, size_t count,
				      uint8_t *planes)
{
	const __m256i low = _mm256_set1_epi16(0xff);
	size_t i;

	for (i = 0; i + BLOCK <= count; i += BLOCK) {
		__m256i a = load_vector(words + 2 * i), b = load_vector(words + 2 * i + 32);
		__m256i high;

		if (turn > 0) {
			a = rotate2(a, turn);
			b = rotate2(b, turn);
		}
		high = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
		a = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
		/* packus works within 128-bit lanes: put the quarters back in order. */
		store_vector(planes + i, _mm256_permute4x64_epi64(high, 0xd8));
		store_vector(planes + count + i, _mm256_permute4x64_epi64(a, 0xd8));
	}
	return i;
}

static TARGET_AVX2 size_t merge2_avx2(unsigned turn, const uint8_t *const *planes, size_t count,
				      uint8_t *words)
{
	size_t i;

	for (i = 0; i + BLOCK <= count; i += BLOCK) {
		__m256i high = _mm256_permute4x64_epi64(load_vector(planes[0] + i), 0xd8);
		__m256i low = _mm256_permute4x64_epi64(load_vector(planes[1] + i), 0xd8);
		__m256i a = _mm256_unpacklo_epi8(low, high), b = _mm256_unpackhi_epi8(low, high);

		if (turn > 0) {
			a = rotate2(a, 16 - turn);
			b = rotate2(b, 16 - turn);
		}
		store_vector(words + 2 * i, a);
		store_vector(words + 2 * i + 32, b);
	}
	return i;
}

/* Within each 128-bit lane, four words become four groups of four bytes, most significant
 * first. */
static inline TARGET_AVX2 __m256i bytes_to_groups(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(3, 7, 11, 15, 2, 6, 10, 14,
						       1, 5, 9, 13, 0, 4, 8, 12,
						       3, 7, 11, 15, 2, 6, 10, 14,
						       1, 5, 9, 13, 0, 4, 8, 12));
}

static inline TARGET_AVX2 __m256i groups_to_bytes(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(12, 8, 4, 0, 13, 9, 5, 1,
						       14, 10, 6, 2, 15, 11, 7, 3,
						       12, 8, 4, 0, 13, 9, 5, 1,
						       14, 10, 6, 2, 15, 11, 7, 3));
}

static TARGET_AVX2 size_t split4_avx2(unsigned turn, const uint8_t *words, size_t count,
				      uint8_t *planes)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	size_t i;

	for (i = 0; i + BLOCK <= count; i += BLOCK) {
		__m256i v[4], a, b, c, d;

		for (size_t k = 0; k < 4; k++) {
			__m256i w = load_vector(words + 4 * i + 32 * k);

			if (turn > 0)
				w = rotate4(w, turn);
			v[k] = bytes_to_groups(w);
		}
		a = _mm256_unpacklo_epi32(v[0], v[1]);
		b = _mm256_unpacklo_epi32(v[2], v[3]);
		c = _mm256_unpackhi_epi32(v[0], v[1]);
		d = _mm256_unpackhi_epi32(v[2], v[3]);
		v[0] = _mm256_unpacklo_epi64(a, b);
		v[1] = _mm256_unpackhi_epi64(a, b);
		v[2] = _mm256_unpacklo_epi64(c, d);
		v[3] = _mm256_unpackhi_epi64(c, d);
		for (size_t k = 0; k < 4; k++)
			store_vector(planes + k * count + i,
				     _mm256_permutevar8x32_epi32(v[k], order));
	}
	return i;
}

static TARGET_AVX2 size_t merge4_avx2(unsigned turn, const uint8_t *const *planes, size_t count,
				      uint8_t *words)
{
	const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
	size_t i;

	for (i = 0; i + BLOCK <= count; i += BLOCK) {
		__m256i v[4], a, b, c, d;

		for (size_t k = 0; k < 4; k++)
			v[k] = _mm256_permutevar8x32_epi32(load_vector(planes[k] + i), order);
		a = _mm256_unpacklo_epi32(v[0], v[1]);
		b = _mm256_unpacklo_epi32(v[2], v[3]);
		c = _mm256_unpackhi_epi32(v[0], v[1]);
		d = _mm256_unpackhi_epi32(v[2], v[3]);
		v[0] = _mm256_unpacklo_epi64(a, b);
		v[1] = _mm256_unpackhi_epi64(a, b);
		v[2] = _mm256_unpacklo_epi64(c, d);
		v[3] = _mm256_unpackhi_epi64(c, d);
		for (size_t k = 0; k < 4; k++) {
			__m256i w = groups_to_bytes(v[k]);

			if (turn > 0)
				w = rotate4(w, 32 - turn);
			store_vector(words + 4 * i + 32 * k, w);
		}
	}
	return i;
}

#endif /* LM_HAVE_AVX2 */

/* The words that the vector path has done; the plain one goes on from there. */
static size_t split_blocks(struct lm_coding coding, const uint8_t *words, size_t count,
			   uint8_t *planes)
{
#ifdef LM_HAVE_AVX2
	if (lm_simd() >= LM_SIMD_AVX2 && coding.width == 2)
		return split2_avx2(coding.turn, words, count, planes);
	if (lm_simd() >= LM_SIMD_AVX2 && coding.width == 4)
		return split4_avx2(coding.turn, words, count, planes);
#else
	(void)coding, (void)words, (void)count, (void)planes;
#endif
	return 0;
}

static size_t merge_blocks(struct lm_coding coding, const uint8_t *const *planes, size_t count,
			   uint8_t *words)
{
#ifdef LM_HAVE_AVX2
	if (lm_simd() >= LM_SIMD_AVX2 && coding.width == 2)
		return merge2_avx2(coding.turn, planes, count, words);
	if (lm_simd() >= LM_SIMD_AVX2 && coding.width == 4)
		return merge4_avx2(coding.turn, planes, count, words);
#else
	(void)coding, (void)planes, (void)count, (void)words;
#endif
	return 0;
}

void lm_planes_split(struct lm_coding coding, const void *words, size_t count, uint8_t *planes)
{
	size_t from = split_blocks(coding, words, count, planes);

	switch (coding.width) {
	case 2:
		split2(coding.turn, words, from, count, planes);
		break;
	case 4:
		split4(coding.turn, words, from, count, planes);
		break;
	case 8:
		split8(coding.turn, words, count, planes);
		break;
	default:
		memcpy(planes, words, count);
	}
}

void lm_planes_merge(struct lm_coding coding, const uint8_t *const *planes, size_t count,
		     void *words)
{
	size_t from = merge_blocks(coding, planes, count, words);

	switch (coding.width) {
	case 2:
		merge2(coding.turn, planes, from, count, words);
		break;
	case 4:
		merge4(coding.turn, planes, from, count, words);
		break;
	case 8:
		merge8(coding.turn, planes, count, words);
		break;
	default:
		memcpy(words, planes[0], count);
	}
}
