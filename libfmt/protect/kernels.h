/* Loops over many units, in as many lanes as the processor has. All kinds give the same bits: each
 * lane does the same operations in the same order, and none is fused (-ffp-contract=off). */
#ifndef LM_KERNELS_H
#define LM_KERNELS_H

#include "base/base.h"

enum { LM_KERNELS_SLACK = 16 };

struct lm_kernels {
	unsigned lanes;

	/* Absolute values of `n` numbers as floats; NaN becomes infinity. */
	void (*magnitudes_f32)(const uint8_t *bytes, size_t n, float *out);
	void (*magnitudes_bf16)(const uint8_t *bytes, size_t n, float *out);
	void (*magnitudes_f16)(const uint8_t *bytes, size_t n, float *out);

	/* out[i] = in[i] * by, times column[i] unless that is NULL. */
	void (*multiply)(const float *in, float by, const float *column, size_t n, float *out);

	/* Adds rows of `n` numbers: out[i] += w[0] * rows[0][i] + w[1] * rows[1][i], then the same
	 * of the other two. The second one by one: out[i] += w[0] * rows[0][i], then w[1] *
	 * rows[1][i], ... of `count` rows, at most 4. */
	void (*add_rows)(float *out, const float *const rows[4], const float w[4], size_t n);
	void (*add_in_turn)(double *out, const double *const rows[4], const double w[4],
			    size_t count, size_t n);

	/* sums[i] += values[i] / by */
	void (*add_quotients)(double *sums, const double *values, double by, size_t n);

	/* The sum of `n` magnitudes, and the largest. */
	float (*sum)(const float *magnitudes, size_t n, float *largest);

	/* sums[i] += magnitudes[i] * by; counts[i]++ */
	void (*add_shares)(float *sums, uint32_t *counts, const float *magnitudes, float by,
			   size_t n);

	/* out[i] = in[i] + add */
	void (*widen)(const uint16_t *in, uint32_t add, size_t n, uint32_t *out);

	/* Places of the keys that are `least` or more, and how many those are. `at` takes
	 * n + LM_KERNELS_SLACK. */
	size_t (*at_least)(const uint64_t *keys, size_t n, uint64_t least, uint32_t *at);

	/* Places of the units whose key may be high, of their bytes and their noise: all are named of
	 * which by * magnitude * column[i] (or by * magnitude) is not below what the noise lacks
	 * of its most, (2^32 - 1 - noise[i]) >> 9. `at` as above. */
	size_t (*hopeful_f32)(const uint8_t *bytes, const uint32_t *noise, float by,
			      const float *column, size_t n, uint32_t *at);
	size_t (*hopeful_bf16)(const uint8_t *bytes, const uint32_t *noise, float by,
			       const float *column, size_t n, uint32_t *at);
	size_t (*hopeful_f16)(const uint8_t *bytes, const uint32_t *noise, float by,
			      const float *column, size_t n, uint32_t *at);

	/* The two below take arrays as in protect/key.h, of LM_KEY_BATCH, whatever `n` is. */

	/* Brings products[i] of a magnitude into the range of normal floats, but leaves 0 and
	 * infinite what was. */
	void (*bound)(const float *magnitudes, float *products, size_t n);

	/* lm_key_by_sampling(). */
	void (*sample)(const float *scores, const uint32_t *noise, uint64_t *keys, size_t n);
};

/* The widest that this processor has. */
const struct lm_kernels *lm_kernels(void);

/* Number 0, 1, ... of those that it has, from the narrowest on; NULL behind the last. */
const struct lm_kernels *lm_kernels_number(size_t number);

#endif
