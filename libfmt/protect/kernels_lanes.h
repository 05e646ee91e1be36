/* The kernels for one number of lanes: protect/kernels.c includes this for each, with LANES, TARGET,
 * AT_LEAST, KEEP, NAME(x) and the shuffles of two vectors defined: UPPER and LOWER halves of 64-bit
 * words, and their FIRST and SECOND vector again. */

typedef float NAME(floats) __attribute__((vector_size(4 * LANES)));
typedef int32_t NAME(ints) __attribute__((vector_size(4 * LANES)));
typedef uint16_t NAME(halves) __attribute__((vector_size(2 * LANES)));
typedef uint32_t NAME(words) __attribute__((vector_size(4 * LANES)));

typedef double NAME(doubles) __attribute__((vector_size(4 * LANES)));

#define FLOATS NAME(floats)
#define INTS NAME(ints)

static TARGET inline FLOATS NAME(load_f32)(const uint8_t *bytes)
{
	INTS v, infinite;

	memcpy(&v, bytes, sizeof(v));
	v &= 0x7fffffff;
	infinite = v > 0x7f800000;
	return (FLOATS)((v & ~infinite) | (infinite & 0x7f800000));
}

static TARGET inline FLOATS NAME(load_bf16)(const uint8_t *bytes)
{
	NAME(halves) half;
	INTS v, infinite;

	memcpy(&half, bytes, sizeof(half));
	v = (INTS)(__builtin_convertvector(half & 0x7fff, NAME(words)) << 16);
	infinite = v > 0x7f800000;
	return (FLOATS)((v & ~infinite) | (infinite & 0x7f800000));
}

/* The exponent's bias is put right by a product, which is exact for subnormal numbers, too. */
static TARGET inline FLOATS NAME(load_f16)(const uint8_t *bytes)
{
	NAME(halves) half;
	INTS v, infinite;
	FLOATS f;

	memcpy(&half, bytes, sizeof(half));
	v = (INTS)__builtin_convertvector(half & 0x7fff, NAME(words));
	infinite = v >= 0x7c00;
	f = (FLOATS)(v << 13) * 0x1p112f;
	return (FLOATS)(((INTS)f & ~infinite) | (infinite & 0x7f800000));
}

#define MAGNITUDES(type, WIDTH)                                                                \
	static TARGET void NAME(magnitudes_##type)(const uint8_t *bytes, size_t n, float *out) \
	{                                                                                      \
		size_t i = 0;                                                                  \
                                                                                               \
		for (; i + LANES <= n; i += LANES) {                                           \
			const FLOATS v = NAME(load_##type)(bytes + (WIDTH) * i);               \
                                                                                               \
			memcpy(out + i, &v, sizeof(v));                                        \
		}                                                                              \
		rest_##type(bytes, i, n, out);                                                 \
	}

MAGNITUDES(f32, 4)
MAGNITUDES(bf16, 2)
MAGNITUDES(f16, 2)

#undef MAGNITUDES

static TARGET void NAME(multiply)(const float *in, float by, const float *column, size_t n,
				  float *out)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		FLOATS v, w;

		memcpy(&v, in + i, sizeof(v));
		v *= by;
		if (column != NULL) {
			memcpy(&w, column + i, sizeof(w));
			v *= w;
		}
		memcpy(out + i, &v, sizeof(v));
	}
	for (; i < n; i++)
		out[i] = column == NULL ? in[i] * by : in[i] * by * column[i];
}

static TARGET void NAME(bound)(const float *magnitudes, float *products, size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		const FLOATS zero = { 0 }, least = zero + FLT_MIN, most = zero + FLT_MAX;
		FLOATS m, v;
		INTS low, high, bits;

		memcpy(&m, magnitudes + i, sizeof(m));
		memcpy(&v, products + i, sizeof(v));
		low = (INTS)(v < least);
		high = (INTS)(v > most);
		bits = ((INTS)v & ~(low | high)) | ((INTS)least & low) | ((INTS)most & high);
		high = (INTS)(m > most);
		bits = (bits & ~high) | ((INTS)m & high);
		bits &= (INTS)(m > zero);
		memcpy(products + i, &bits, sizeof(bits));
	}
}

static TARGET void NAME(sample)(const float *scores, const uint32_t *noise, uint64_t *keys,
				size_t n)
{
	for (size_t i = 0; i < n; i += LANES) {
		const FLOATS zero = { 0 }, least = zero + 0x1p-100f, most = zero + 0x1p100f;
		const FLOATS infinity = zero + __builtin_inff();
		FLOATS score, m, whole, t;
		INTS a, b, small, large, bits;
		NAME(words) word;

		/* So that the quotient is neither infinite nor 0 when the score was not. */
		memcpy(&score, scores + i, sizeof(score));
		large = (INTS)(score > most) & (INTS)(score < infinity);
		small = (INTS)(score < least) & (INTS)(score > zero);
		score = (FLOATS)(((INTS)score & ~(large | small)) | ((INTS)most & large) |
				 ((INTS)least & small));

		/* -log2(u) of u = (2 * (noise >> 9) + 1) / 2^24, which lies in (0, 1): exponential
		 * up to a factor that changes no order. With 2^e * m the float that the odd number
		 * is, it is 23 - e + log2(2 / m), and t = 2 - m is exact where the logarithm comes
		 * close to 0. */
		memcpy(&word, noise + i, sizeof(word));
		bits = (INTS)__builtin_convertvector((INTS)(word >> 9) * 2 + 1, FLOATS);
		m = (FLOATS)((bits & 0x7fffff) | 0x3f800000);
		whole = __builtin_convertvector(127 + 23 - (bits >> 23), FLOATS);
		t = 2.0f - m;
		t = whole + t * (p0 + t * (p1 + t * (p2 + t * (p3 + t * p4))));

		/* Below the score the noise, first the nine bits of it that had no part so far. */
		bits = (INTS)(score / t) | INT32_MIN;
		word = word << 23 | word >> 9;
		a = FIRST((INTS)word, bits);
		b = SECOND((INTS)word, bits);
		memcpy(keys + i, &a, sizeof(a));
		memcpy(keys + i + LANES / 2, &b, sizeof(b));
	}
}

/* No key of `by` times the magnitude, times the column's factor, is high enough when the product
 * is less than the noise turned round: -log2(u) is at least (1 - u) / ln 2, and that is what `by`
 * is made for. Mostly neither a logarithm nor a key is needed then. */
static TARGET inline size_t NAME(keep_hopeful)(FLOATS products, const uint32_t *noise, size_t i,
				       uint32_t *at, size_t count)
{
	NAME(words) word;
	FLOATS line;

	memcpy(&word, noise + i, sizeof(word));
	line = __builtin_convertvector((INTS)(~word >> 9), FLOATS);
	return KEEP((INTS)(products < line), i, at, count);
}

#define HOPEFUL(type, WIDTH, MAGNITUDES)                                                       \
	static TARGET size_t NAME(hopeful_##type)(const uint8_t *bytes, const uint32_t *noise, \
						  float by, const float *column, size_t n,     \
						  uint32_t *at)                                \
	{                                                                                      \
		size_t i = 0, count = 0;                                                       \
                                                                                               \
		for (; i + LANES <= n; i += LANES) {                                           \
			FLOATS v = MAGNITUDES(bytes + (WIDTH) * i) * by, w;                    \
                                                                                               \
			if (column != NULL) {                                                  \
				memcpy(&w, column + i, sizeof(w));                             \
				v *= w;                                                        \
			}                                                                      \
			count = NAME(keep_hopeful)(v, noise, i, at, count);                            \
		}                                                                              \
		return rest_hopeful(rest_##type, bytes, WIDTH, noise, by, column, i, n, at,    \
				    count);                                                    \
	}

HOPEFUL(f32, 4, NAME(load_f32))
HOPEFUL(bf16, 2, NAME(load_bf16))
HOPEFUL(f16, 2, NAME(load_f16))

#undef HOPEFUL

static TARGET inline FLOATS NAME(load)(const float *from)
{
	FLOATS v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static TARGET void NAME(add_rows)(float *out, const float *const rows[4], const float w[4],
				  size_t n)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		FLOATS v = NAME(load)(out + i);

		v += w[0] * NAME(load)(rows[0] + i) + w[1] * NAME(load)(rows[1] + i);
		v += w[2] * NAME(load)(rows[2] + i) + w[3] * NAME(load)(rows[3] + i);
		memcpy(out + i, &v, sizeof(v));
	}
	for (; i < n; i++) {
		out[i] += w[0] * rows[0][i] + w[1] * rows[1][i];
		out[i] += w[2] * rows[2][i] + w[3] * rows[3][i];
	}
}

static TARGET inline NAME(doubles) NAME(load_doubles)(const double *from)
{
	NAME(doubles) v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static TARGET void NAME(add_in_turn)(double *out, const double *const rows[4], const double w[4],
				     size_t count, size_t n)
{
	size_t i = 0;

	for (; count == 4 && i + LANES / 2 <= n; i += LANES / 2) {
		NAME(doubles) v = NAME(load_doubles)(out + i);

		v += w[0] * NAME(load_doubles)(rows[0] + i);
		v += w[1] * NAME(load_doubles)(rows[1] + i);
		v += w[2] * NAME(load_doubles)(rows[2] + i);
		v += w[3] * NAME(load_doubles)(rows[3] + i);
		memcpy(out + i, &v, sizeof(v));
	}
	for (; i < n; i++)
		for (size_t k = 0; k < count; k++)
			out[i] += w[k] * rows[k][i];
}

static TARGET void NAME(add_quotients)(double *sums, const double *values, double by, size_t n)
{
	size_t i = 0;

	for (; i + LANES / 2 <= n; i += LANES / 2) {
		NAME(doubles) v = NAME(load_doubles)(sums + i);

		v += NAME(load_doubles)(values + i) / by;
		memcpy(sums + i, &v, sizeof(v));
	}
	for (; i < n; i++)
		sums[i] += values[i] / by;
}

/* In sixteen sums, however many lanes there are: the order of additions is part of the result. */
static TARGET float NAME(sum)(const float *magnitudes, size_t n, float *largest)
{
	float sums[16] = { 0 }, most[16] = { 0 };
	FLOATS sum[16 / LANES], high[16 / LANES];
	size_t i = 0;

	memset(sum, 0, sizeof(sum));
	memset(high, 0, sizeof(high));
	for (; i + 16 <= n; i += 16)
		for (size_t k = 0; k < 16 / LANES; k++) {
			const FLOATS v = NAME(load)(magnitudes + i + k * LANES);
			const INTS more = (INTS)(v > high[k]);

			sum[k] += v;
			high[k] = (FLOATS)(((INTS)v & more) | ((INTS)high[k] & ~more));
		}
	memcpy(sums, sum, sizeof(sums));
	memcpy(most, high, sizeof(most));
	for (; i < n; i++) {
		sums[i % 16] += magnitudes[i];
		most[i % 16] = LM_MAX(most[i % 16], magnitudes[i]);
	}
	for (size_t step = 8; step > 0; step /= 2)
		for (size_t k = 0; k < step; k++) {
			sums[k] += sums[k + step];
			most[k] = LM_MAX(most[k], most[k + step]);
		}
	*largest = most[0];
	return sums[0];
}

static TARGET void NAME(add_shares)(float *sums, uint32_t *counts, const float *magnitudes,
				    float by, size_t n)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		const FLOATS v = NAME(load)(sums + i) + NAME(load)(magnitudes + i) * by;
		INTS count;

		memcpy(sums + i, &v, sizeof(v));
		memcpy(&count, counts + i, sizeof(count));
		count += 1;
		memcpy(counts + i, &count, sizeof(count));
	}
	for (; i < n; i++) {
		sums[i] += magnitudes[i] * by;
		counts[i]++;
	}
}

static TARGET void NAME(widen)(const uint16_t *in, uint32_t add, size_t n, uint32_t *out)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		NAME(halves) half;
		NAME(words) word;

		memcpy(&half, in + i, sizeof(half));
		word = __builtin_convertvector(half, NAME(words)) + add;
		memcpy(out + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		out[i] = in[i] + add;
}

static const struct lm_kernels NAME(kernels) = {
	.lanes = LANES,
	.magnitudes_f32 = NAME(magnitudes_f32),
	.magnitudes_bf16 = NAME(magnitudes_bf16),
	.magnitudes_f16 = NAME(magnitudes_f16),
	.multiply = NAME(multiply),
	.bound = NAME(bound),
	.sample = NAME(sample),
	.hopeful_f32 = NAME(hopeful_f32),
	.hopeful_bf16 = NAME(hopeful_bf16),
	.hopeful_f16 = NAME(hopeful_f16),
	.sum = NAME(sum),
	.add_shares = NAME(add_shares),
	.widen = NAME(widen),
	.at_least = AT_LEAST,
	.add_rows = NAME(add_rows),
	.add_in_turn = NAME(add_in_turn),
	.add_quotients = NAME(add_quotients),
};

#undef FLOATS
#undef INTS
#undef AT_LEAST
#undef KEEP
#undef UPPER
#undef LOWER
#undef FIRST
#undef SECOND
#undef LANES
#undef TARGET
#undef NAME
