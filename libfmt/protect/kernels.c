#include "protect/kernels.h"

#include <float.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* log2(1 / (1 - t/2)) / t for t in (0, 1], to 5e-5: far below what noise in sampling can show. */
static const float p0 = 0.72137535f, p1 = 0.17895762f, p2 = 0.07063669f, p3 = -0.00399352f,
		   p4 = 0.03297368f;

/* ---- what is left behind the last full vector ---- */

static void put_bits(float *out, uint32_t bits)
{
	memcpy(out, &bits, sizeof(bits));
}

static void rest_f32(const uint8_t *bytes, size_t from, size_t n, float *out)
{
	for (size_t i = from; i < n; i++)
		put_bits(out + i, LM_MIN(lm_get_u32(bytes + 4 * i) & 0x7fffffff, 0x7f800000u));
}

static uint16_t half_at(const uint8_t *bytes, size_t i)
{
	return (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
}

static void rest_bf16(const uint8_t *bytes, size_t from, size_t n, float *out)
{
	for (size_t i = from; i < n; i++)
		put_bits(out + i, LM_MIN((half_at(bytes, i) & 0x7fffu) << 16, 0x7f800000u));
}

static void rest_f16(const uint8_t *bytes, size_t from, size_t n, float *out)
{
	for (size_t i = from; i < n; i++) {
		const uint32_t half = half_at(bytes, i) & 0x7fffu;

		put_bits(out + i, half >= 0x7c00 ? 0x7f800000 : half << 13);
		if (half < 0x7c00)
			out[i] *= 0x1p112f;
	}
}

typedef void rest_fn(const uint8_t *bytes, size_t from, size_t n, float *out);

static size_t rest_hopeful(rest_fn *rest, const uint8_t *bytes, size_t width,
			   const uint32_t *noise, float by, const float *column, size_t from,
			   size_t n, uint32_t *at, size_t count)
{
	for (size_t i = from; i < n; i++) {
		float v;

		rest(bytes + width * i, 0, 1, &v);
		v *= by;
		if (column != NULL)
			v *= column[i];
		at[count] = (uint32_t)i;
		count += !(v < (float)(int32_t)(~noise[i] >> 9));
	}
	return count;
}

/* Without a jump, which would be guessed wrong for every one of them. */
static size_t at_least_from(const uint64_t *keys, size_t from, size_t n, uint64_t least,
			    size_t count, uint32_t *at)
{
	for (size_t i = from; i < n; i++) {
		at[count] = (uint32_t)i;
		count += keys[i] >= least;
	}
	return count;
}

static size_t at_least(const uint64_t *keys, size_t n, uint64_t least, uint32_t *at)
{
	return at_least_from(keys, 0, n, least, 0, at);
}

/* Places `i` and on of the lanes in which `less` is 0. */
#define KEEP_LANES(less, i, at, count) ({                          \
	const __typeof__(less) keep_less = (less);                 \
	size_t keep_count = (count);                               \
                                                                   \
	for (size_t keep_k = 0; keep_k < LANES; keep_k++) {        \
		(at)[keep_count] = (uint32_t)((i) + keep_k);       \
		keep_count += (size_t)(keep_less[keep_k] + 1);     \
	}                                                          \
	keep_count;                                                \
})

/* ---- four lanes, which every processor of this decade has ---- */

#define LANES 4
#define AT_LEAST at_least
#define KEEP KEEP_LANES
#define TARGET
#define NAME(x) x##_4
#define UPPER(a, b) \
	__builtin_shufflevector(a, b, 1, 3, 5, 7)
#define LOWER(a, b) \
	__builtin_shufflevector(a, b, 0, 2, 4, 6)
#define FIRST(a, b) \
	__builtin_shufflevector(a, b, 0, 4, 1, 5)
#define SECOND(a, b) \
	__builtin_shufflevector(a, b, 2, 6, 3, 7)
#include "protect/kernels_lanes.h"

#if defined(__x86_64__)

/* ---- eight, with AVX2 ---- */

#define LANES 8
#define AT_LEAST at_least
#define KEEP KEEP_LANES
#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_8
#define UPPER(a, b) \
	__builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define LOWER(a, b) \
	__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define FIRST(a, b) \
	__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SECOND(a, b) \
	__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#include "protect/kernels_lanes.h"

/* ---- sixteen, with AVX-512 ---- */

#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")))

static TARGET_AVX512 size_t at_least_16(const uint64_t *keys, size_t n, uint64_t least,
					uint32_t *at)
{
	const __m512i line = _mm512_set1_epi64((long long)least);
	__m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	size_t i = 0, count = 0;

	for (; i + 8 <= n; i += 8) {
		__mmask8 high = _mm512_cmpge_epu64_mask(_mm512_loadu_si512(keys + i), line);

		_mm256_storeu_si256((__m256i *)(void *)(at + count),
				    _mm256_maskz_compress_epi32(high, places));
		count += (size_t)__builtin_popcount(high);
		places = _mm256_add_epi32(places, _mm256_set1_epi32(8));
	}
	return at_least_from(keys, i, n, least, count, at);
}

static TARGET_AVX512 inline size_t keep_16(__m512i less, size_t i, uint32_t *at, size_t count)
{
	const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
						15);
	const __mmask16 kept = (__mmask16)~_mm512_movepi32_mask(less);

	_mm512_storeu_si512(at + count,
			    _mm512_maskz_compress_epi32(kept, _mm512_add_epi32(lanes,
							_mm512_set1_epi32((int)i))));
	return count + (size_t)__builtin_popcount(kept);
}

#define LANES 16
#define AT_LEAST at_least_16
#define KEEP(less, i, at, count) keep_16((__m512i)(less), i, at, count)
#define TARGET TARGET_AVX512
#define NAME(x) x##_16
#define UPPER(a, b) \
	__builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, \
		29, 31)
#define LOWER(a, b) \
	__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, \
		28, 30)
#define FIRST(a, b) \
	__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, \
		7, 23)
#define SECOND(a, b) \
	__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, \
		30, 15, 31)
#include "protect/kernels_lanes.h"

static const struct lm_kernels *const all[] = { &kernels_4, &kernels_8, &kernels_16 };

static size_t count(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2"))
		return 1;
	return __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") ? 3 : 2;
}

#else

static const struct lm_kernels *const all[] = { &kernels_4 };

static size_t count(void)
{
	return 1;
}

#endif

const struct lm_kernels *lm_kernels(void)
{
	return all[count() - 1];
}

const struct lm_kernels *lm_kernels_number(size_t number)
{
	return number < count() ? all[number] : NULL;
}
