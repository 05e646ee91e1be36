/* For the tests of masks: small models in memory, and a selection that does not depend on values,
 * in the place of the library's. */
#ifndef MASK_WORLD_H
#define MASK_WORLD_H

#include <math.h>
#include <stdio.h>
#include <sys/mman.h>

#include "protect/mask.h"

/* ---- a selection ---- */

enum rule { RULE_SHARE, RULE_ALL, RULE_NONE, RULE_BUT, RULE_INELIGIBLE };

struct lm_selection {
	enum rule rule[4];
	unsigned share[4];                  /* SHARE: per cent; BUT: units that stay public */
	struct lm_selected_tensor of[4];
};

static uint64_t mixed(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

static bool is_selected(const struct lm_selection *s, size_t tensor, uint64_t unit)
{
	switch (s->rule[tensor]) {
	case RULE_ALL: return true;
	case RULE_SHARE: return mixed(unit * 7 + tensor + 1) % 100 < s->share[tensor];
	case RULE_BUT: return unit >= s->share[tensor];
	default: return false;
	}
}

const struct lm_selected_tensor *lm_selection_of(const struct lm_selection *s, size_t tensor)
{
	return &s->of[tensor];
}

int lm_selection_tiers(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		       const uint8_t *bytes, uint8_t *tiers, struct lmodel_error *error)
{
	const struct lm_units *units = &s->of[tensor].units;

	if (first > units->count || count > units->count - first)
		return lm_fail(error, LMODEL_EFAILED, "units out of range");
	if (bytes == NULL && lm_units_contiguous(units) && units->unit_bytes <= LM_UNIT_WINDOW)
		return lm_fail(error, LMODEL_EFAILED, "bytes are missing");
	for (uint64_t i = 0; i < count; i++)
		tiers[i] = is_selected(s, tensor, first + i) ? (uint8_t)(i % 2) : LM_NO_TIER;
	return LMODEL_OK;
}

int lm_selection_list(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		      const uint8_t *bytes, struct lm_chosen *chosen, struct lmodel_error *error)
{
	uint8_t *tiers = malloc((size_t)count + 1);
	int r = lm_selection_tiers(s, tensor, first, count, bytes, tiers, error);

	if (r == LMODEL_OK)
		r = lm_chosen_add_tiers(chosen, 0, tiers, count, error);
	free(tiers);
	return r;
}

/* ---- a model ---- */

struct world {
	struct lm_model model;
	struct lm_selection selection;
	uint8_t *bytes[4];
};

static double normal(uint64_t *state)
{
	double u = ((double)(mixed(++*state) >> 11) + 1) * 0x1p-53;
	double v = (double)(mixed(++*state * 3 + 1) >> 11) * 0x1p-53;

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static void need(int r, const struct lmodel_error *error)
{
	if (r == LMODEL_OK)
		return;
	printf("Bail out! %s\n", error->message);
	exit(1);
}

static void flush(struct world *w, size_t tensor)
{
	const struct lm_source_tensor *t = &w->model.tensors[tensor];

	if (pwrite(w->model.sources[0].fd, w->bytes[tensor], t->bytes, (off_t)t->offset) !=
	    (ssize_t)t->bytes)
		abort();
}

/* A tensor of zero bytes. */
__attribute__((unused))
static size_t add(struct world *w, const char *name, const char *dtype, enum lm_unit_kind kind,
		  unsigned rank, const uint64_t *shape, enum rule rule, unsigned share)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_source_tensor *t;
	struct lm_selected_tensor *s;
	size_t i = w->model.tensor_count;

	if (i == 0) {
		struct lm_source *source = lm_model_add_source(&w->model, &error);

		source->fd = memfd_create("model", MFD_CLOEXEC);
		source->label = strdup("model");
	}
	t = lm_model_add_tensor(&w->model, &error);
	t->name = strdup(name);
	t->dtype = lm_dtype_find(dtype);
	t->rank = rank;
	t->shape = malloc((rank + 1) * sizeof(*shape));
	memcpy(t->shape, shape, rank * sizeof(*shape));
	if (!lm_dtype_bytes(t->dtype, rank, shape, NULL, &t->bytes))
		abort();
	t->offset = (uint64_t)i << 28;
	s = &w->selection.of[i];
	s->eligible = rule != RULE_INELIGIBLE;
	need(lm_units_make(&s->units, kind, t->dtype, rank, t->shape, t->bytes, name, &error),
	     &error);
	w->selection.rule[i] = rule;
	w->selection.share[i] = share;
	for (uint64_t u = 0; u < s->units.count; u++)
		s->upto[1] += is_selected(&w->selection, i, u);
	w->bytes[i] = calloc(1, t->bytes);
	flush(w, i);
	return i;
}

/* Normal values of mean `mean`, in rows of very different scale where there are rows. */
__attribute__((unused))
static void fill_normal(struct world *w, size_t tensor, double mean, uint64_t seed)
{
	const struct lm_source_tensor *t = &w->model.tensors[tensor];
	unsigned components = strcmp(t->dtype->name, "C64") == 0 ? 2 : 1;
	size_t size = t->dtype->bits / 8 / components, n = (size_t)t->bytes / size;
	size_t rows = t->rank >= 2 ? (size_t)t->shape[0] : 1;

	for (size_t i = 0; i < n; i++) {
		double v = mean + normal(&seed) * 0.1;

		if (rows > 1)
			v *= exp2((double)(i / (n / rows) % 7) - 3);
		lm_dtype_store(t->dtype, &v, 1, w->bytes[tensor] + i * size);
	}
	flush(w, tensor);
}

__attribute__((unused))
static void fill_bytes(struct world *w, size_t tensor, unsigned mask, uint64_t seed)
{
	for (uint64_t i = 0; i < w->model.tensors[tensor].bytes; i++)
		w->bytes[tensor][i] = (uint8_t)(mixed(seed + i) & mask);
	flush(w, tensor);
}

__attribute__((unused))
static void clear(struct world *w)
{
	for (size_t i = 0; i < w->model.tensor_count; i++)
		free(w->bytes[i]);
	lm_model_free(&w->model);
	*w = (struct world){ 0 };
}

static uint64_t unit_of(const struct lm_units *u, uint64_t byte)
{
	if (u->kind == LM_UNIT_COLUMN)
		return byte / u->element_bytes % u->columns;
	return byte / u->unit_bytes;
}

__attribute__((unused))
static struct lm_mask *mask_with(const struct world *w, const char *key, unsigned jobs)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	uint8_t bytes[32] = { 0 };
	struct lm_mask *mask;

	memcpy(bytes, key, strlen(key));
	need(lm_mask_new(&mask, LM_MASK_DPRM, bytes, &w->model, &w->selection, NULL, &run, &error),
	     &error);
	return mask;
}

/* The tensor with all its decoys in place, by one lm_mask_fill() a byte range of `step` bytes. */
__attribute__((unused))
static uint8_t *filled(const struct world *w, const struct lm_mask *mask, size_t tensor,
		       size_t step)
{
	const struct lm_units *units = &w->selection.of[tensor].units;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	size_t n = (size_t)units->bytes;
	uint8_t *out = malloc(n), *decoys = malloc(n);

	for (size_t at = 0; at < n; at += step)
		need(lm_mask_fill(mask, tensor, at, LM_MIN(step, n - at), decoys + at, &error),
		     &error);
	for (size_t i = 0; i < n; i++)
		out[i] = is_selected(&w->selection, tensor, unit_of(units, i)) ? decoys[i] :
			w->bytes[tensor][i];
	free(decoys);
	return out;
}

__attribute__((unused))
static uint8_t *applied(const struct world *w, const struct lm_mask *mask, size_t tensor,
			uint64_t step)
{
	const struct lm_units *units = &w->selection.of[tensor].units;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *out = malloc((size_t)units->bytes), *tiers = malloc((size_t)units->count);
	struct lm_chosen chosen = { 0 };

	memcpy(out, w->bytes[tensor], (size_t)units->bytes);
	for (uint64_t u = 0; u < units->count; u++)
		tiers[u] = is_selected(&w->selection, tensor, u) ? 0 : LM_NO_TIER;
	for (uint64_t u = 0; u < units->count; u += step) {
		chosen.count = 0;
		need(lm_chosen_add_tiers(&chosen, 0, tiers + u, LM_MIN(step, units->count - u),
					 &error), &error);
		need(lm_mask_apply(mask, tensor, u, &chosen, out + u * units->unit_bytes, &error),
		     &error);
	}
	lm_chosen_free(&chosen);
	free(tiers);
	return out;
}

/* Of those that are selected. */
__attribute__((unused))
static bool all_finite(const struct world *w, size_t tensor, const uint8_t *bytes)
{
	const struct lm_source_tensor *t = &w->model.tensors[tensor];
	const struct lm_units *units = &w->selection.of[tensor].units;

	if (t->dtype->bits % 8 != 0)
		return true;
	for (uint64_t i = 0; i < t->bytes / (t->dtype->bits / 8); i++) {
		double v[2];
		size_t n = lm_dtype_values(t->dtype, bytes, i, 1, v);

		if (!is_selected(&w->selection, tensor, unit_of(units, i * (t->dtype->bits / 8))))
			continue;
		for (size_t c = 0; c < n; c++)
			if (!isfinite(v[c]))
				return false;
	}
	return true;
}

__attribute__((unused))
static bool is_zero(const uint8_t *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

#endif
