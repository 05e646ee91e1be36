/* From the key to the permutation and the table (spec: 15.2). */
#include <math.h>

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "transform/transform.h"

#define LABEL "lmodel-input-transform-v1"

enum { DRAWS = LM_SHA256_SIZE / 8, ROUNDS = 10, MESSAGE = 64 };

const char *const lm_transform_methods[3] = {
	[LM_TRANSFORM_SHF] = "shf", [LM_TRANSFORM_NP] = "np", [LM_TRANSFORM_FFX] = "ffx",
};

/* The purpose keeps the uses of one key apart, block and channels its transforms. */
static void prf(const struct lmodel_transform *t, const char *purpose, uint32_t counter,
		uint8_t out[LM_SHA256_SIZE])
{
	uint8_t message[MESSAGE];
	size_t n = sizeof(LABEL), len = strlen(purpose) + 1;

	memcpy(message, LABEL, n);
	memcpy(message + n, purpose, len);
	n += len;
	lm_put_u32(message + n, t->info.block);
	lm_put_u32(message + n + 4, t->info.channels);
	lm_put_u32(message + n + 8, counter);
	lm_hmac_sha256(out, t->key, sizeof(t->key), message, n + 12);
}

struct draws {
	const struct lmodel_transform *t;
	uint32_t counter;
	unsigned left;
	uint8_t block[LM_SHA256_SIZE];
};

static uint64_t next(struct draws *d)
{
	if (d->left == 0) {
		prf(d->t, d->t->info.method, d->counter++, d->block);
		d->left = DRAWS;
	}
	return lm_get_u64(d->block + 8 * (DRAWS - d->left--));
}

/* Even over 0..n-1: what is over the largest multiple of n is drawn again. */
static uint64_t below(struct draws *d, uint64_t n)
{
	uint64_t over = (UINT64_MAX % n + 1) % n, v;

	do
		v = next(d);
	while (v > UINT64_MAX - over);
	return v % n;
}

/* Fisher and Yates, from the end. */
static void permute(struct lmodel_transform *t)
{
	struct draws d = { .t = t };

	for (size_t i = 0; i < t->positions; i++)
		t->order[i] = (uint32_t)i;
	for (size_t i = t->positions - 1; i > 0; i--) {
		size_t j = (size_t)below(&d, i + 1);
		uint32_t swap = t->order[i];

		t->order[i] = t->order[j];
		t->order[j] = swap;
	}
	for (size_t i = 0; i < t->positions; i++)
		t->back[t->order[i]] = (uint32_t)i;
	lm_wipe(&d, sizeof(d));
}

/* FFX (M. Bellare, P. Rogaway, T. Spies 2010) over three decimal digits: ten rounds that add to
 * one digit and to two in turn. */
static unsigned encrypt(const struct lmodel_transform *t, unsigned value)
{
	uint8_t out[LM_SHA256_SIZE];
	uint64_t high = value / 100, low = value % 100;

	for (unsigned round = 0; round < ROUNDS; round++) {
		bool even = round % 2 == 0;

		prf(t, "ffx-round", round * 100 + (uint32_t)(even ? low : high), out);
		if (even)
			high = (high + lm_get_u64(out) % 10) % 10;
		else
			low = (low + lm_get_u64(out) % 100) % 100;
	}
	lm_wipe(out, sizeof(out));
	return (unsigned)(high * 100 + low);
}

static void tabulate(struct lmodel_transform *t)
{
	memset(t->plain, -1, sizeof(t->plain));
	for (unsigned v = 0; v < LM_FFX_PLAIN; v++) {
		t->cipher[v] = (uint16_t)encrypt(t, v);
		t->plain[t->cipher[v]] = (int16_t)v;
		t->most = LM_MAX(t->most, t->cipher[v]);
	}
}

static double log2_factorial(double n)
{
	int sign;

	return lgamma_r(n + 1, &sign) / log(2);
}

/* shf: n!, np: n over n/2, ffx: that, times the ways to choose the table. */
static double strength(enum lm_transform_method method, size_t positions)
{
	double n = (double)positions, half = (double)(positions / 2), bits = log2_factorial(n);

	if (method != LM_TRANSFORM_SHF)
		bits -= log2_factorial(half) + log2_factorial(n - half);
	if (method == LM_TRANSFORM_FFX)
		bits += log2_factorial(LM_FFX_DOMAIN) -
			log2_factorial(LM_FFX_DOMAIN - LM_FFX_PLAIN);
	return fmin(bits, 8 * LM_TRANSFORM_KEY);
}

static int check(uint64_t block, uint64_t channels, enum lmodel_code wrong, const char *label,
		 struct lmodel_error *error)
{
	if (block < 1 || block > LMODEL_TRANSFORM_BLOCK_MAX)
		return lm_fail(error, wrong, "%s: a block of %ju pixels a side: not from 1 to %d",
			       label, (uintmax_t)block, LMODEL_TRANSFORM_BLOCK_MAX);
	if (channels < 1 || channels > LMODEL_TRANSFORM_CHANNELS_MAX)
		return lm_fail(error, wrong, "%s: %ju channels: not from 1 to %d", label,
			       (uintmax_t)channels, LMODEL_TRANSFORM_CHANNELS_MAX);
	if (block * block * channels < 2)
		return lm_fail(error, wrong, "%s: blocks of one sample have nothing to hide",
			       label);
	if (block * block * channels > LMODEL_TRANSFORM_POSITIONS_MAX)
		return lm_fail(error, wrong, "%s: blocks of %ju samples; the limit is %d", label,
			       (uintmax_t)(block * block * channels),
			       LMODEL_TRANSFORM_POSITIONS_MAX);
	return LMODEL_OK;
}

int lm_transform_make(struct lmodel_transform **out, enum lm_transform_method method,
		      uint64_t block, uint64_t channels, const uint8_t key[LM_TRANSFORM_KEY],
		      enum lmodel_code wrong, const char *label, struct lmodel_error *error)
{
	LM_TRANSFORM struct lmodel_transform *t = NULL;
	int r = check(block, channels, wrong, label, error);

	if (r == LMODEL_OK)
		r = lm_crypto_init(error);
	if (r != LMODEL_OK)
		return r;
	t = lm_secret_alloc(sizeof(*t), error);
	if (t == NULL)
		return LMODEL_EFAILED;
	t->method = method;
	t->positions = (size_t)(block * block * channels);
	t->info = (struct lmodel_transform_info){
		.method = lm_transform_methods[method],
		.block = (unsigned)block,
		.channels = (unsigned)channels,
		.bits = strength(method, t->positions),
	};
	memcpy(t->key, key, sizeof(t->key));
	t->order = lm_secret_alloc(t->positions * sizeof(*t->order), error);
	t->back = lm_secret_alloc(t->positions * sizeof(*t->back), error);
	if (t->order == NULL || t->back == NULL)
		return LMODEL_EFAILED;
	permute(t);
	if (method == LM_TRANSFORM_FFX)
		tabulate(t);
	*out = t;
	t = NULL;
	return LMODEL_OK;
}

void lmodel_transform_free(struct lmodel_transform *t)
{
	if (t == NULL)
		return;
	lm_secret_free(t->order);
	lm_secret_free(t->back);
	lm_secret_free(t);
}

const struct lmodel_transform_info *lmodel_transform_info(const struct lmodel_transform *t)
{
	return &t->info;
}
