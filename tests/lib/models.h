/* Models in memory and selections from them: for the tests of protect/. */
#ifndef TEST_MODELS_H
#define TEST_MODELS_H

#include <math.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/io.h"
#include "lib/tap.h"
#include "protect/select.h"

/* ---- models in memory ---- */

static uint64_t noise_state = 1;

__attribute__((unused))
static uint32_t noise(void)
{
	noise_state = noise_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(noise_state >> 33);
}

/* About normal, of deviation 1. */
__attribute__((unused))
static double normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += noise() / 2147483648.0;
	return sum - 6;
}

__attribute__((unused))
static struct lm_model *model_new(void)
{
	struct lm_model *model = calloc(1, sizeof(*model));
	struct lm_source *source = lm_model_add_source(model, NULL);

	source->name = strdup("m.safetensors");
	source->label = strdup("m.safetensors");
	source->format = "safetensors";
	source->fd = memfd_create("model", MFD_CLOEXEC);
	return model;
}

__attribute__((unused))
static void model_free(struct lm_model *model)
{
	lm_model_free(model);
	free(model);
}

__attribute__((unused))
static void add(struct lm_model *model, const char *name, const char *dtype, unsigned rank,
		const uint64_t *shape, const void *bytes)
{
	struct lm_source_tensor *t = lm_model_add_tensor(model, NULL);
	struct lm_source *source = &model->sources[0];

	t->name = strdup(name);
	t->dtype = lm_dtype_find(dtype);
	t->rank = rank;
	t->shape = calloc(rank + 1, sizeof(*t->shape));
	memcpy(t->shape, shape, rank * sizeof(*shape));
	t->offset = source->size;
	if (!lm_dtype_bytes(t->dtype, rank, shape, NULL, &t->bytes) ||
	    lm_write_at(source->fd, "m", bytes, (size_t)t->bytes, source->size, NULL) != LMODEL_OK)
		abort();
	source->size += t->bytes;
}

enum fill { NORMAL, CONSTANT, COARSE, SPECIAL, RAW };

__attribute__((unused))
static double filled(enum fill fill, size_t i)
{
	switch (fill) {
	case NORMAL: return normal() * 0.02;
	case CONSTANT: return 0.5;
	case COARSE: return (noise() % 3) * 0.25;
	default: break;
	}
	if (i % 50 == 7)
		return (double)INFINITY;
	return i % 5 == 0 ? 0.0 : i % 50 == 8 ? (double)NAN : normal();
}

__attribute__((unused))
static uint8_t *data(const char *dtype, enum fill fill, size_t n)
{
	const struct lm_dtype *d = lm_dtype_find(dtype);
	const size_t bits = d->bits;
	uint8_t *bytes = malloc(n * bits / 8 + 16);

	for (size_t i = 0; i < n; i++) {
		double v = filled(fill, i);
		double pair[2] = { v, v / 2 };
		float single = (float)v;

		if (bits % 8 != 0 || fill == RAW)
			continue;
		if (strcmp(dtype, "F32") == 0)
			memcpy(bytes + 4 * i, &single, 4);
		else if (strcmp(dtype, "BF16") == 0 && !isfinite(v))
			lm_put_u32(bytes + 2 * i, isnan(v) ? 0x7fc0 : 0x7f80);
		else
			lm_dtype_store(d, pair, 1 + (dtype[0] == 'C'), bytes + i * bits / 8);
	}
	for (size_t i = 0; (bits % 8 != 0 || fill == RAW) && i < n * bits / 8; i++)
		bytes[i] = (uint8_t)noise();
	return bytes;
}

__attribute__((unused))
static void add_filled(struct lm_model *model, const char *name, const char *dtype, enum fill fill,
		       unsigned rank, const uint64_t *shape)
{
	uint64_t n = 1;
	uint8_t *bytes;

	for (unsigned i = 0; i < rank; i++)
		n *= shape[i];
	bytes = data(dtype, fill, (size_t)n);
	add(model, name, dtype, rank, shape, bytes);
	free(bytes);
}

#define SHAPE(...) sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (uint64_t[]){ __VA_ARGS__ }

__attribute__((unused))
static struct lm_model *mixed_model(void)
{
	struct lm_model *m = model_new();

	noise_state = 42;
	add_filled(m, "embed", "F32", NORMAL, SHAPE(300, 77));
	add_filled(m, "flat", "BF16", CONSTANT, SHAPE(5000));
	add_filled(m, "conv", "F32", NORMAL, SHAPE(40, 24, 3, 3));
	add_filled(m, "bf", "BF16", NORMAL, SHAPE(128, 200));
	add_filled(m, "coarse", "F16", COARSE, SHAPE(64, 50));
	add_filled(m, "special", "F32", SPECIAL, SHAPE(3000));
	add_filled(m, "wide", "F64", NORMAL, SHAPE(20, 9, 300));
	add_filled(m, "complex", "C64", NORMAL, SHAPE(33, 65));
	add_filled(m, "packed", "F4", NORMAL, SHAPE(70, 50));
	add_filled(m, "eight", "F8_E4M3", RAW, SHAPE(100, 31));
	add_filled(m, "bias", "F32", NORMAL, SHAPE(64));
	add_filled(m, "tiny", "F32", NORMAL, SHAPE(63));
	add_filled(m, "steps", "I64", RAW, SHAPE(200));
	return m;
}

/* ---- running ---- */

__attribute__((unused))
static struct lm_select_options options_of(enum lm_select_method method, enum lm_select_scope scope,
					   const struct lm_select_amount *tiers, size_t count)
{
	struct lm_select_options o = {
		.method = method, .scope = scope, .tiers = tiers, .tier_count = count,
	};

	memset(o.key, 7, sizeof(o.key));
	return o;
}

__attribute__((unused))
static struct lm_selection *selected_by(const struct lm_model *model,
					const struct lm_select_options *options, unsigned jobs)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lmodel_run run = { .jobs = jobs };
	struct lm_selection *s = NULL;

	if (lm_select(&s, model, NULL, options, &run, &error) != LMODEL_OK)
		ok(0, "selects: %s", error.message);
	return s;
}

__attribute__((unused))
static uint8_t *read_all(const struct lm_model *model, size_t i)
{
	uint8_t *bytes = malloc((size_t)model->tensors[i].bytes + 1);

	if (lm_model_read(model, i, 0, bytes, (size_t)model->tensors[i].bytes, NULL) != LMODEL_OK)
		abort();
	return bytes;
}

/* The tiers of a tensor, asked for in windows of `step` units. Bytes are given only where they are
 * said to be needed. */
__attribute__((unused))
static uint8_t *tiers_of(const struct lm_model *model, const struct lm_selection *s, size_t i,
			 uint64_t step)
{
	const struct lm_units *units = &lm_selection_of(s, i)->units;
	uint8_t *tiers = malloc((size_t)units->count + 1), *bytes = read_all(model, i);
	const bool needs = lm_selection_needs_bytes(s, i);

	memset(tiers, 0x55, (size_t)units->count);
	for (uint64_t at = 0; at < units->count; at += step) {
		uint64_t n = LM_MIN(step, units->count - at);
		const uint8_t *from = bytes + at * units->unit_bytes;
		uint8_t *exact = NULL;

		if (needs) { /* of its own, so that reading beyond is seen */
			uint64_t end = LM_MIN((at + n) * units->unit_bytes, units->bytes);

			exact = malloc((size_t)(end - at * units->unit_bytes));
			memcpy(exact, from, (size_t)(end - at * units->unit_bytes));
		}
		if (lm_selection_tiers(s, i, at, n, exact, tiers + at, NULL) != LMODEL_OK)
			abort();
		free(exact);
	}
	free(bytes);
	return tiers;
}

__attribute__((unused))
static const char *const method_names[] = { "pss", "magnitude", "random", "all" };

__attribute__((unused))
static void fails(const struct lm_model *m, const struct lm_select_options *o, const char *part,
		  const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lmodel_run run = { .jobs = 2 };
	struct lm_selection *s = NULL;
	int r = lm_select(&s, m, NULL, o, &run, &error);

	is_error(&error, LMODEL_EUSAGE, part, what);
	if (r == LMODEL_OK)
		lm_selection_free(s);
}

#endif
