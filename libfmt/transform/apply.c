/* Images in memory, block by block (spec: 15.3). */
#include <math.h>
#include <stdio.h>

#include "crypto/secret.h"
#include "transform/transform.h"

/* One run over images of one type. */
struct pass {
	const struct lmodel_transform *t;
	bool inverse;
	enum lmodel_sample sample;
	size_t *offset;         /* of a position from the first sample of its block */
	size_t *from;           /* shf: of the sample that position k takes */
	size_t bad;             /* offset of the sample that stopped it */
	const char *complaint;
	enum lmodel_code code;
};

size_t lm_sample_bytes(enum lmodel_sample sample)
{
	return sample == LMODEL_SAMPLE_U8 ? 1 : sample == LMODEL_SAMPLE_U16 ? 2 : 4;
}

static bool stop(struct pass *p, size_t at, enum lmodel_code code, const char *complaint)
{
	p->bad = at;
	p->code = code;
	p->complaint = complaint;
	return false;
}

/* ---- shf ---- */

static bool shuffle_u8(struct pass *p, const void *in, void *out, size_t at)
{
	const uint8_t *x = (const uint8_t *)in + at;
	uint8_t *y = (uint8_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = x[p->from[k]];
	return true;
}

static bool shuffle_u16(struct pass *p, const void *in, void *out, size_t at)
{
	const uint16_t *x = (const uint16_t *)in + at;
	uint16_t *y = (uint16_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = x[p->from[k]];
	return true;
}

/* Floats as they are, NaN and all. */
static bool shuffle_u32(struct pass *p, const void *in, void *out, size_t at)
{
	const uint32_t *x = (const uint32_t *)in + at;
	uint32_t *y = (uint32_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = x[p->from[k]];
	return true;
}

/* ---- np ---- */

static bool negate_u8(struct pass *p, const void *in, void *out, size_t at)
{
	const uint8_t *x = (const uint8_t *)in + at;
	uint8_t *y = (uint8_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = x[p->offset[k]] ^ (lm_transform_picks(p->t, k) ? 0xff : 0);
	return true;
}

static bool negate_u16(struct pass *p, const void *in, void *out, size_t at)
{
	const uint16_t *x = (const uint16_t *)in + at;
	uint16_t *y = (uint16_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = x[p->offset[k]] ^ (lm_transform_picks(p->t, k) ? 0xffff : 0);
	return true;
}

static const char range[] = "is not from 0 to 1; images are transformed before they are normalised";

static bool negate_f32(struct pass *p, const void *in, void *out, size_t at)
{
	const float *x = (const float *)in + at;
	float *y = (float *)out + at;

	for (size_t k = 0; k < p->t->positions; k++) {
		float v = x[p->offset[k]];

		if (!(v >= 0 && v <= 1))
			return stop(p, at + p->offset[k], LMODEL_EUSAGE, range);
		y[p->offset[k]] = lm_transform_picks(p->t, k) ? 1 - v : v;
	}
	return true;
}

/* ---- ffx ---- */

static unsigned encrypt(const struct pass *p, size_t k, unsigned value)
{
	return lm_transform_picks(p->t, k) ? p->t->cipher[value] : value;
}

static const char foreign[] = "is no value that this key makes";

/* Below 0: there is none. */
static int decrypt(const struct pass *p, size_t k, unsigned value)
{
	if (!lm_transform_picks(p->t, k))
		return value < LM_FFX_PLAIN ? (int)value : -1;
	return value < LM_FFX_DOMAIN ? p->t->plain[value] : -1;
}

static bool encrypt_u8(struct pass *p, const void *in, void *out, size_t at)
{
	const uint8_t *x = (const uint8_t *)in + at;
	uint16_t *y = (uint16_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++)
		y[p->offset[k]] = (uint16_t)encrypt(p, k, x[p->offset[k]]);
	return true;
}

static bool decrypt_u16(struct pass *p, const void *in, void *out, size_t at)
{
	const uint16_t *x = (const uint16_t *)in + at;
	uint8_t *y = (uint8_t *)out + at;

	for (size_t k = 0; k < p->t->positions; k++) {
		int v = decrypt(p, k, x[p->offset[k]]);

		if (v < 0)
			return stop(p, at + p->offset[k], LMODEL_ECORRUPT, foreign);
		y[p->offset[k]] = (uint8_t)v;
	}
	return true;
}

static bool encrypt_f32(struct pass *p, const void *in, void *out, size_t at)
{
	const float *x = (const float *)in + at;
	float *y = (float *)out + at;

	for (size_t k = 0; k < p->t->positions; k++) {
		float v = x[p->offset[k]];

		if (!(v >= 0 && v <= 1))
			return stop(p, at + p->offset[k], LMODEL_EUSAGE, range);
		y[p->offset[k]] = (float)encrypt(p, k, (unsigned)rintf(v * 255)) / p->t->most;
	}
	return true;
}

static bool decrypt_f32(struct pass *p, const void *in, void *out, size_t at)
{
	const float *x = (const float *)in + at;
	float *y = (float *)out + at;

	for (size_t k = 0; k < p->t->positions; k++) {
		float v = x[p->offset[k]];
		int plain;

		if (!(v >= 0 && v <= 1))
			return stop(p, at + p->offset[k], LMODEL_EUSAGE, range);
		plain = decrypt(p, k, (unsigned)rintf(v * p->t->most));
		if (plain < 0)
			return stop(p, at + p->offset[k], LMODEL_ECORRUPT, foreign);
		y[p->offset[k]] = (float)plain / 255;
	}
	return true;
}

/* ---- images ---- */

typedef bool block_fn(struct pass *p, const void *in, void *out, size_t at);

static block_fn *choose(const struct pass *p)
{
	static block_fn *const plain[2][3] = {
		[LM_TRANSFORM_SHF] = { shuffle_u8, shuffle_u16, shuffle_u32 },
		[LM_TRANSFORM_NP] = { negate_u8, negate_u16, negate_f32 },
	};

	if (p->t->method != LM_TRANSFORM_FFX)
		return plain[p->t->method][p->sample];
	if (p->sample == LMODEL_SAMPLE_F32)
		return p->inverse ? decrypt_f32 : encrypt_f32;
	return p->inverse ? decrypt_u16 : encrypt_u8;
}

int lmodel_transform_sample(const struct lmodel_transform *t, bool inverse, enum lmodel_sample in,
			    enum lmodel_sample *out, struct lmodel_error *error)
{
	if ((unsigned)in > LMODEL_SAMPLE_F32)
		return lm_fail(error, LMODEL_EUSAGE, "no such type of samples");
	*out = in;
	if (t->method != LM_TRANSFORM_FFX || in == LMODEL_SAMPLE_F32)
		return LMODEL_OK;
	if (in != (inverse ? LMODEL_SAMPLE_U16 : LMODEL_SAMPLE_U8))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       inverse ? "ffx makes samples of 16 bits; these have 8" :
					 "ffx takes samples of 8 bits; these have 16");
	*out = inverse ? LMODEL_SAMPLE_U8 : LMODEL_SAMPLE_U16;
	return LMODEL_OK;
}

/* "NAME: image 3: " */
static int fail_image(const char *label, uint64_t number, enum lmodel_code code, const char *what,
		      struct lmodel_error *error)
{
	return lm_fail(error, code, "%s%simage %ju: %s", label != NULL ? label : "",
		       label != NULL ? ": " : "", (uintmax_t)number, what);
}

static int check_size(const struct lmodel_transform *t, const struct lmodel_images *images,
		      const char *label, struct lmodel_error *error)
{
	unsigned block = t->info.block;

	if (images->height > 0 && images->width > 0 && images->height % block == 0 &&
	    images->width % block == 0)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_EUSAGE,
		       "%s%san image of %zu x %zu pixels cannot be cut into blocks of %u x %u",
		       label != NULL ? label : "", label != NULL ? ": " : "", images->width,
		       images->height, block, block);
}

static int make_offsets(struct pass *p, const struct lmodel_images *images,
			struct lmodel_error *error)
{
	const struct lmodel_transform_info *info = &p->t->info;
	size_t k = 0;

	p->offset = reallocarray(NULL, p->t->positions, 2 * sizeof(*p->offset));
	if (p->offset == NULL)
		return lm_fail_memory(error);
	p->from = p->offset + p->t->positions;
	for (size_t y = 0; y < info->block; y++)
		for (size_t x = 0; x < info->block; x++)
			for (size_t c = 0; c < info->channels; c++)
				p->offset[k++] = y * images->row_stride +
						 x * images->column_stride +
						 c * images->channel_stride;
	for (k = 0; k < p->t->positions; k++)
		p->from[k] = p->offset[p->inverse ? p->t->back[k] : p->t->order[k]];
	return LMODEL_OK;
}

/* Offsets that follow the key. */
static void free_offsets(struct pass *p)
{
	if (p->offset != NULL)
		lm_wipe(p->offset, p->t->positions * 2 * sizeof(*p->offset));
	free(p->offset);
}

static bool transform_image(struct pass *p, const struct lmodel_images *images, const void *in,
			    void *out, size_t at)
{
	block_fn *block = choose(p);
	unsigned size = p->t->info.block;

	for (size_t y = 0; y < images->height; y += size)
		for (size_t x = 0; x < images->width; x += size)
			if (!block(p, in, out, at + y * images->row_stride +
					       x * images->column_stride))
				return false;
	return true;
}

int lm_transform_images(const struct lmodel_transform *t, bool inverse,
			const struct lmodel_images *images, const void *in, void *out,
			uint64_t first, const char *label, struct lmodel_error *error)
{
	LM_CLEANUP(free_offsets) struct pass p = {
		.t = t, .inverse = inverse, .sample = images->sample,
	};
	enum lmodel_sample made;
	int r;

	r = lmodel_transform_sample(t, inverse, images->sample, &made, error);
	if (r == LMODEL_OK)
		r = check_size(t, images, label, error);
	if (r == LMODEL_OK)
		r = make_offsets(&p, images, error);
	for (size_t i = 0; r == LMODEL_OK && i < images->count; i++) {
		char what[160];
		size_t at = i * images->image_stride;

		if (transform_image(&p, images, in, out, at))
			continue;
		snprintf(what, sizeof(what), "sample %zu %s", p.bad - at, p.complaint);
		r = fail_image(label, first + i, p.code, what, error);
	}
	return r;
}

int lmodel_transform_apply(const struct lmodel_transform *t, bool inverse,
			   const struct lmodel_images *images, const void *in, void *out,
			   struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;

	return lm_transform_images(t, inverse, images, in, out, 0, NULL,
				   error != NULL ? error : &local);
}
