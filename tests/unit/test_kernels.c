/* protect/kernels.c: every number of lanes that this processor has gives the bits of single
 * operations. */
#include "protect/kernels.h"

#include <float.h>
#include <math.h>

#include "lib/tap.h"
#include "protect/key.h"

enum { N = LM_KEY_BATCH };

static uint64_t state = 9;

static uint64_t word(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Of all sizes, and what is special among them. */
static float number(size_t i)
{
	static const float special[] = { 0, INFINITY, FLT_MAX, FLT_MIN, FLT_TRUE_MIN, 0x1p-100f,
					 0x1p100f, 1 };

	if (i % 3 == 0)
		return special[i / 3 % LM_COUNT(special)];
	return ldexpf((float)(word() >> 40), (int)(word() % 250) - 150);
}

static bool same(const void *a, const void *b, size_t len)
{
	return memcmp(a, b, len) == 0;
}

static void test_magnitudes(const struct lm_kernels *k)
{
	uint8_t bytes[4 * N];
	float out[N], wanted[N];
	bool good = true;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(word() | (i % 7 == 0 ? 0x7c : 0));
	for (size_t n = 0; n < 70; n++) {
		k->magnitudes_f32(bytes, n, out);
		for (size_t i = 0; i < n; i++) {
			memcpy(wanted + i, bytes + 4 * i, 4);
			wanted[i] = isnan(wanted[i]) ? INFINITY : fabsf(wanted[i]);
		}
		good &= same(out, wanted, 4 * n);
		k->magnitudes_bf16(bytes, n, out);
		for (size_t i = 0; i < n; i++) {
			uint32_t bits = (uint32_t)(bytes[2 * i] | bytes[2 * i + 1] << 8) << 16;

			memcpy(wanted + i, &bits, 4);
			wanted[i] = isnan(wanted[i]) ? INFINITY : fabsf(wanted[i]);
		}
		good &= same(out, wanted, 4 * n);
	}
	ok(good, "%u lanes: absolute values of F32 and BF16", k->lanes);
	good = true;
	for (unsigned code = 0; code < 0x10000; code += N) {
		for (unsigned i = 0; i < N; i++) {
			const unsigned half = code + i, e = half >> 10 & 31, m = half & 1023;

			bytes[2 * i] = (uint8_t)half;
			bytes[2 * i + 1] = (uint8_t)(half >> 8);
			wanted[i] = e == 31 ? INFINITY :
				    ldexpf((float)(e == 0 ? m : m + 1024), (int)LM_MAX(e, 1u) - 25);
		}
		k->magnitudes_f16(bytes, N, out);
		good &= same(out, wanted, sizeof(out));
		k->magnitudes_f16(bytes, N - 5, out);
		good &= same(out, wanted, 4 * (N - 5));
	}
	ok(good, "%u lanes: absolute values of all F16", k->lanes);
}

static void test_products(const struct lm_kernels *k)
{
	float in[N] LM_KEY_ALIGNED, column[N], out[N] LM_KEY_ALIGNED;
	bool good = true, bounded = true;

	for (size_t i = 0; i < N; i++) {
		in[i] = number(i);
		column[i] = number(i + 1);
	}
	for (size_t n = 0; n < 70; n++) {
		k->multiply(in + n % 5, 0.37f, column + n % 3, n, out);
		for (size_t i = 0; i < n; i++) {
			float v = in[i + n % 5] * 0.37f;

			v *= column[i + n % 3];
			good &= same(&v, out + i, 4) || (isnan(v) && isnan(out[i]));
		}
		k->multiply(in, 0.37f, NULL, n, out);
		for (size_t i = 0; i < n; i++) {
			float v = in[i] * 0.37f;

			good &= same(&v, out + i, 4);
		}
	}
	ok(good, "%u lanes: products", k->lanes);
	for (size_t i = 0; i < N; i++)
		out[i] = in[i] * column[i];
	k->bound(in, out, N);
	for (size_t i = 0; i < N; i++) {
		float v = in[i] * column[i];

		v = v < FLT_MIN ? FLT_MIN : v > FLT_MAX ? FLT_MAX : v;
		v = in[i] > FLT_MAX ? INFINITY : in[i] > 0 ? v : 0;
		bounded &= same(&v, out + i, 4) || isnan(in[i] * column[i]);
	}
	ok(bounded, "%u lanes: zero and infinity stay, nothing becomes one", k->lanes);
}

static void test_keys(const struct lm_kernels *k, const struct lm_kernels *plain)
{
	float scores[N] LM_KEY_ALIGNED;
	uint32_t noise[N] LM_KEY_ALIGNED, at[N + LM_KERNELS_SLACK];
	uint64_t keys[N] LM_KEY_ALIGNED, wanted[N] LM_KEY_ALIGNED;
	bool good = true;

	for (size_t i = 0; i < N; i++) {
		scores[i] = number(i);
		noise[i] = (uint32_t)word();
	}
	k->sample(scores, noise, keys, N);
	plain->sample(scores, noise, wanted, N);
	ok(same(keys, wanted, sizeof(keys)), "%u lanes: sampling keys", k->lanes);
	for (size_t n = 0; n < 70; n++) {
		const uint64_t least = n % 9 == 0 ? 0 : n % 9 == 1 ? UINT64_MAX : keys[n];
		size_t count = k->at_least(keys, n, least, at), wanted_count = 0;

		for (size_t i = 0; i < n; i++)
			if (keys[i] >= least)
				good &= wanted_count < count && at[wanted_count++] == i;
		good &= count == wanted_count;
	}
	ok(good, "%u lanes: keys from a line on", k->lanes);
	for (size_t n = 0; n < 70; n++) {
		uint16_t in[70];

		for (size_t i = 0; i < n; i++)
			in[i] = (uint16_t)word();
		k->widen(in, (uint32_t)n << 16, n, at);
		for (size_t i = 0; i < n; i++)
			good &= at[i] == in[i] + ((uint32_t)n << 16);
	}
	ok(good, "%u lanes: places by a wider count", k->lanes);
}

/* Against magnitudes and single products. */
static void test_hopeful(const struct lm_kernels *k)
{
	static const char *const names[] = { "F32", "BF16", "F16" };
	uint8_t bytes[4 * N];
	float column[N], magnitudes[N];
	uint32_t noise[N], at[N + LM_KERNELS_SLACK];

	for (size_t type = 0; type < 3; type++) {
		bool good = true;
		size_t all = 0, kept = 0;

		for (size_t n = 0; n < 300; n++) {
			const float by = n % 3 == 0 ? 0x1p23f : 0x1p10f * (float)n;
			const float *factor = n % 2 == 0 ? NULL : column;
			size_t count, wanted = 0;

			for (size_t i = 0; i < n; i++) {
				const float v = number(i + n);
				const uint32_t half = (uint32_t)word();

				memcpy(bytes + 4 * i, &v, 4);
				if (type != 0 && i % 2 == 0)
					memcpy(bytes + 2 * i, &half, 2);
				column[i] = number(i + 2 * n);
				noise[i] = n % 5 == 0 ? UINT32_MAX : (uint32_t)word();
			}
			(type == 0 ? k->magnitudes_f32 : type == 1 ? k->magnitudes_bf16 :
			 k->magnitudes_f16)(bytes, n, magnitudes);
			count = (type == 0 ? k->hopeful_f32 : type == 1 ? k->hopeful_bf16 :
				 k->hopeful_f16)(bytes, noise, by, factor, n, at);
			for (size_t i = 0; i < n; i++) {
				float v = magnitudes[i] * by;

				if (factor != NULL)
					v *= factor[i];
				if (!(v < (float)(int32_t)(~noise[i] >> 9)))
					good &= wanted < count && at[wanted++] == i;
			}
			good &= count == wanted;
			all += n;
			kept += count;
		}
		ok(good && kept > all / 8 && kept < all / 8 * 7,
		   "%u lanes: hopeful ones of %s: %zu of %zu", k->lanes, names[type], kept, all);
	}
}

/* What passing over units by the noise alone rests on. */
static void test_slope(const struct lm_kernels *k)
{
	float scores[N] LM_KEY_ALIGNED;
	uint32_t noise[N] LM_KEY_ALIGNED;
	uint64_t keys[N] LM_KEY_ALIGNED;
	double least = 1;

	for (size_t i = 0; i < N; i++)
		scores[i] = 1;
	for (uint32_t from = 0; from < 1u << 23; from += N) {
		for (uint32_t i = 0; i < N; i++)
			noise[i] = (from + i) << 9;
		k->sample(scores, noise, keys, N);
		for (uint32_t i = 0; i < N; i++) {
			const uint32_t bits = (uint32_t)(keys[i] >> 32) & 0x7fffffff;
			const double lacks = ((1u << 23) - 1 - (from + i)) * 0x1p-23;
			float key;

			memcpy(&key, &bits, 4);
			least = fmin(least, lacks > 0 ? 1 / (double)key / (lacks / log(2)) : 1);
		}
	}
	ok(least > 1 - 1e-4, "%u lanes: -log2(u) is at least (1 - u) / ln 2, by %.6f", k->lanes,
	   least);
}

static void test_rows(const struct lm_kernels *k)
{
	float rows[4][N], out[N], wanted[N];
	double wide[4][N], sums[N], exact[N];
	const float *const from[4] = { rows[0], rows[1], rows[2] + 1, rows[3] };
	const double *const wide_from[4] = { wide[0], wide[1] + 1, wide[2], wide[3] };
	const float w[4] = { 0.3f, -1.7f, 0.1f, 3 };
	const double v[4] = { 0.3, -1.7, 0.1, 3 };
	bool good = true, in_turn = true, quotients = true;

	for (size_t i = 0; i < 4 * N; i++)
		wide[i / N][i % N] = (double)(rows[i / N][i % N] = (float)(word() >> 40) / 3);
	for (size_t n = 0; n < 70; n++) {
		memcpy(out, rows[1], sizeof(out));
		memcpy(wanted, rows[1], sizeof(out));
		k->add_rows(out, from, w, n);
		for (size_t i = 0; i < n; i++) {
			float a = w[0] * from[0][i], b = w[1] * from[1][i];
			float c = w[2] * from[2][i], d = w[3] * from[3][i];

			a += b;
			c += d;
			wanted[i] += a;
			wanted[i] += c;
		}
		good &= same(out, wanted, sizeof(out));
		for (size_t count = 1; count <= 4; count++) {
			memcpy(sums, wide[2], sizeof(sums));
			memcpy(exact, wide[2], sizeof(sums));
			k->add_in_turn(sums, wide_from, v, count, n);
			for (size_t i = 0; i < n * count; i++) {
				double product = v[i % count] * wide_from[i % count][i / count];

				exact[i / count] += product;
			}
			in_turn &= same(sums, exact, sizeof(sums));
		}
		k->add_quotients(sums, wide[3], 0.7, n);
		for (size_t i = 0; i < n; i++)
			exact[i] += wide[3][i] / 0.7;
		quotients &= same(sums, exact, sizeof(sums));
	}
	ok(good, "%u lanes: sums of rows", k->lanes);
	ok(in_turn, "%u lanes: sums of rows in turn", k->lanes);
	ok(quotients, "%u lanes: sums of quotients", k->lanes);
}

/* Sums whose order is a part of the result: those of the narrowest kernels. */
static void test_sums(const struct lm_kernels *k, const struct lm_kernels *plain)
{
	float in[N], sums[N], wanted[N];
	uint32_t counts[N], wanted_counts[N];
	bool good = true, shares = true;

	for (size_t n = 0; n < 200; n++) {
		float largest, wanted_largest, most = 0;
		double sum = 0;

		for (size_t i = 0; i < n; i++) {
			in[i] = (float)(word() >> 40) / 3;
			most = fmaxf(most, in[i]);
			sum += (double)in[i];
			sums[i] = wanted[i] = in[i] / 7;
			counts[i] = wanted_counts[i] = (uint32_t)word();
		}
		good &= k->sum(in, n, &largest) == plain->sum(in, n, &wanted_largest) &&
			largest == most && wanted_largest == most &&
			fabs((double)k->sum(in, n, &largest) - sum) <= sum * 1e-5;
		k->add_shares(sums, counts, in, 0.3f, n);
		for (size_t i = 0; i < n; i++) {
			float v = in[i] * 0.3f;

			wanted[i] += v;
			wanted_counts[i]++;
		}
		shares &= same(sums, wanted, 4 * n) && same(counts, wanted_counts, 4 * n);
	}
	ok(good, "%u lanes: sum and maximum", k->lanes);
	ok(shares, "%u lanes: shares of columns", k->lanes);
}

int main(void)
{
	const struct lm_kernels *plain = lm_kernels_number(0), *k = plain;
	size_t n = 0;

	for (; (k = lm_kernels_number(n)) != NULL; n++) {
		test_magnitudes(k);
		test_products(k);
		test_keys(k, plain);
		test_hopeful(k);
		test_slope(k);
		test_rows(k);
		test_sums(k, plain);
	}
	ok(n > 0 && lm_kernels() == lm_kernels_number(n - 1), "the widest of %zu is used", n);
	return done();
}
