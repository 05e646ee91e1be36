/* protect/mask.c and what it draws from: decoys do not depend on what they hide. The selection is a
 * stand-in of this file's, which does not depend on values either. */
#include "protect/mask.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include "crypto/crypto.h"
#include "lib/tap.h"
#include "protect/donors.h"

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

static void fill_bytes(struct world *w, size_t tensor, unsigned mask, uint64_t seed)
{
	for (uint64_t i = 0; i < w->model.tensors[tensor].bytes; i++)
		w->bytes[tensor][i] = (uint8_t)(mixed(seed + i) & mask);
	flush(w, tensor);
}

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

static uint8_t *applied(const struct world *w, const struct lm_mask *mask, size_t tensor,
			uint64_t step)
{
	const struct lm_units *units = &w->selection.of[tensor].units;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *out = malloc((size_t)units->bytes), *tiers = malloc((size_t)units->count);

	memcpy(out, w->bytes[tensor], (size_t)units->bytes);
	for (uint64_t u = 0; u < units->count; u++)
		tiers[u] = is_selected(&w->selection, tensor, u) ? 0 : LM_NO_TIER;
	for (uint64_t u = 0; u < units->count; u += step)
		need(lm_mask_apply(mask, tensor, u, LM_MIN(step, units->count - u), tiers + u,
				   out + u * units->unit_bytes, &error), &error);
	free(tiers);
	return out;
}

/* Of those that are selected. */
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

/* Overwrites what is selected. */
static void scramble_hidden(struct world *w, size_t tensor)
{
	const struct lm_units *units = &w->selection.of[tensor].units;

	for (uint64_t i = 0; i < units->bytes; i++)
		if (is_selected(&w->selection, tensor, unit_of(units, i)))
			w->bytes[tensor][i] ^= (uint8_t)(mixed(i) | 1);
	flush(w, tensor);
}

/* ---- tests ---- */

/* What holds for each dtype, kind and shape: tensor 0 of `w` is filled. */
static void check_laws(struct world *w, const char *what)
{
	const struct lm_units *units = &w->selection.of[0].units;
	struct lm_mask *mask = mask_with(w, "key", 1), *other = mask_with(w, "other", 1), *again;
	size_t n = (size_t)units->bytes, odd = n / 37 + 1;
	uint8_t *a = filled(w, mask, 0, n), *b = filled(w, mask, 0, odd), *c, *d, *e, *f;

	ok(memcmp(a, w->bytes[0], n) != 0, "%s: decoys differ from what they hide", what);
	ok(memcmp(a, b, n) == 0, "%s: however it is cut", what);
	ok(all_finite(w, 0, a), "%s: finite", what);
	c = filled(w, other, 0, n);
	ok(memcmp(a, c, n) != 0, "%s: another key, other decoys", what);
	if (lm_units_contiguous(units)) {
		d = applied(w, mask, 0, units->count);
		ok(memcmp(a, d, n) == 0, "%s: apply is fill", what);
		free(d);
		d = applied(w, mask, 0, 13);
		ok(memcmp(a, d, n) == 0, "%s: also by thirteens", what);
		free(d);
	}
	scramble_hidden(w, 0);
	again = mask_with(w, "key", 3);
	e = filled(w, again, 0, n);
	f = filled(w, mask, 0, n);
	ok(memcmp(e, f, n) == 0 && memcmp(a, f, n) == 0,
	   "%s: hidden values and the number of jobs change nothing", what);
	lm_mask_free(mask);
	lm_mask_free(other);
	lm_mask_free(again);
	free(a);
	free(b);
	free(c);
	free(e);
	free(f);
}

struct law {
	const char *dtype;
	enum lm_unit_kind kind;
	unsigned rank;
	uint64_t shape[4];
};

static const struct law laws[] = {
	{ "F32", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F32", LM_UNIT_ELEMENT, 1, { 3000 } },
	{ "F32", LM_UNIT_ELEMENT, 4, { 8, 9, 3, 3 } },
	{ "F32", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F32", LM_UNIT_SLICE, 3, { 20, 30, 1 } },
	{ "F32", LM_UNIT_ROW, 2, { 100, 40 } },
	{ "F32", LM_UNIT_COLUMN, 2, { 40, 100 } },
	{ "F32", LM_UNIT_BLOCK, 2, { 59, 61 } },
	{ "F32", LM_UNIT_ROW, 2, { 50, 20000 } },
	{ "F32", LM_UNIT_SLICE, 3, { 8, 8, 3000 } },
	{ "F32", LM_UNIT_ELEMENT, 2, { 700, 900 } },
	{ "F32", LM_UNIT_COLUMN, 2, { 10, 70000 } },
	{ "F32", LM_UNIT_ELEMENT, 2, { 300000, 2 } }, /* rows share scales */
	{ "BF16", LM_UNIT_ELEMENT, 2, { 2, 300000 } },
	{ "BF16", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "BF16", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F16", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F16", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F64", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "C64", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "C64", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F8_E4M3", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E5M2", LM_UNIT_SLICE, 4, { 20, 30, 3, 3 } },
	{ "F8_E4M3FNUZ", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E5M2FNUZ", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "F8_E8M0", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "BOOL", LM_UNIT_ELEMENT, 2, { 60, 70 } },
	{ "U8", LM_UNIT_ROW, 2, { 60, 70 } },
	{ "I16", LM_UNIT_ELEMENT, 1, { 900 } },
	{ "I64", LM_UNIT_COLUMN, 2, { 60, 70 } },
	{ "F4", LM_UNIT_BLOCK, 2, { 100, 70 } },
	{ "F4", LM_UNIT_ROW, 2, { 100, 70 } },
	{ "F6_E2M3", LM_UNIT_BLOCK, 2, { 100, 70 } },
	{ "F6_E3M2", LM_UNIT_BLOCK, 1, { 5004 } },
};

static void test_laws(void)
{
	for (size_t i = 0; i < LM_COUNT(laws); i++) {
		const struct law *law = &laws[i];
		struct world w = { 0 };
		char what[64];

		snprintf(what, sizeof(what), "%s %s %u", law->dtype, lm_unit_name(law->kind),
			 law->rank);
		add(&w, "t.weight", law->dtype, law->kind, law->rank, law->shape, RULE_SHARE, 30);
		if (lm_donors_numeric(lm_dtype_find(law->dtype)))
			fill_normal(&w, 0, 0, i * 1000003);
		else
			fill_bytes(&w, 0, strcmp(law->dtype, "BOOL") == 0 ? 1 : 0xff, i);
		check_laws(&w, what);
		clear(&w);
	}
}

/* Values of the hidden (or public) elements of an F32 tensor, each divided by its row's 2^k. */
static size_t collect(const struct world *w, const uint8_t *bytes, bool hidden, double *out)
{
	const struct lm_source_tensor *t = &w->model.tensors[0];
	const struct lm_units *units = &w->selection.of[0].units;
	size_t n = 0, count = (size_t)t->bytes / 4, row = count / (size_t)t->shape[0];

	for (size_t i = 0; i < count; i++) {
		float v;

		if (is_selected(&w->selection, 0, unit_of(units, 4 * i)) != hidden)
			continue;
		memcpy(&v, bytes + 4 * i, sizeof(v));
		out[n++] = (double)v / exp2((double)(i / row % 7) - 3);
	}
	return n;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov's distance between two samples. */
static double distance(double *a, size_t n, double *b, size_t m)
{
	double most = 0;
	size_t i = 0, j = 0;

	qsort(a, n, sizeof(*a), compare_doubles);
	qsort(b, m, sizeof(*b), compare_doubles);
	while (i < n && j < m) {
		if (a[i] <= b[j])
			i++;
		else
			j++;
		most = fmax(most, fabs((double)i / (double)n - (double)j / (double)m));
	}
	return most;
}

static void check_distribution(enum lm_unit_kind kind, unsigned rank, const uint64_t *shape,
			       double mean, double bound, const char *what)
{
	struct world w = { 0 };
	struct lm_mask *mask;
	uint8_t *base;
	double *hidden, *visible, d, square = 0, largest = 0, bound_of = 0;
	size_t n, m;

	add(&w, "t.weight", "F32", kind, rank, shape, RULE_SHARE, 20);
	fill_normal(&w, 0, mean, 99);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, (size_t)w.model.tensors[0].bytes);
	hidden = malloc((size_t)w.model.tensors[0].bytes * 2);
	visible = malloc((size_t)w.model.tensors[0].bytes * 2);
	n = collect(&w, base, true, hidden);
	m = collect(&w, base, false, visible);
	d = distance(hidden, n, visible, m);
	ok(d < bound, "%s: distribution within its row, distance %.4f < %.3f", what, d, bound);
	for (size_t i = 0; i < n; i++)
		square += (hidden[i] - mean) * (hidden[i] - mean);
	ok(fabs(sqrt(square / (double)n) / 0.1 - 1) < 0.1, "%s: deviation %.4f of 0.1", what,
	   sqrt(square / (double)n));
	for (size_t i = 0; i < (size_t)w.model.tensors[0].bytes / 4; i++) {
		float v;

		memcpy(&v, base + 4 * i, sizeof(v));
		if (is_selected(&w.selection, 0, unit_of(&w.selection.of[0].units, 4 * i)))
			largest = fmax(largest, fabs((double)v));
		else
			bound_of = fmax(bound_of, fabs((double)v));
	}
	ok(largest <= bound_of, "%s: none above the largest public magnitude", what);
	free(hidden);
	free(visible);
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

/* No decoy slice is a public one, also where values are few. */
static void check_copies(const char *dtype, bool levels)
{
	static const uint64_t shape[] = { 16, 40, 3, 3 };
	struct world w = { 0 };
	const struct lm_units *units = &w.selection.of[0].units;
	struct lm_mask *mask;
	uint8_t *base;
	size_t copies = 0, zeros = 0;

	add(&w, "t.weight", dtype, LM_UNIT_SLICE, 4, shape, RULE_SHARE, 40);
	fill_normal(&w, 0, 0, 5);
	if (levels) /* every second slice is pruned */
		for (uint64_t u = 0; u < units->count; u += 2)
			memset(w.bytes[0] + u * units->unit_bytes, 0, (size_t)units->unit_bytes);
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, (size_t)units->bytes);
	for (uint64_t u = 0; u < units->count; u++) {
		const uint8_t *unit = base + u * units->unit_bytes;

		if (!is_selected(&w.selection, 0, u))
			continue;
		if (unit[0] == 0 && memcmp(unit, unit + 1, (size_t)units->unit_bytes - 1) == 0) {
			zeros++;
			continue;
		}
		for (uint64_t v = 0; v < units->count; v++)
			copies += v != u && memcmp(unit, base + v * units->unit_bytes,
						   (size_t)units->unit_bytes) == 0;
	}
	is_int((intmax_t)copies, 0, "no decoy is a copy");
	if (levels)
		ok(zeros * 10 > w.selection.of[0].upto[1] * 3 &&
		   zeros * 10 < w.selection.of[0].upto[1] * 7, "pruned ones as often as in public");
	else
		is_int((intmax_t)zeros, 0, "none of zeros");
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

static void test_bool(void)
{
	static const uint64_t shape[] = { 60, 70 };
	struct world w = { 0 };
	struct lm_mask *mask;
	uint8_t *base;
	size_t bad = 0, ones = 0;

	add(&w, "mask", "BOOL", LM_UNIT_ELEMENT, 2, shape, RULE_SHARE, 50);
	for (size_t i = 0; i < 4200; i++)
		w.bytes[0][i] = mixed(i) % 4 == 0;
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, 4200);
	for (size_t i = 0; i < 4200; i++) {
		bad += base[i] > 1;
		ones += base[i] == 1 && is_selected(&w.selection, 0, i);
	}
	is_int((intmax_t)bad, 0, "BOOL: 0 and 1");
	ok(ones > 400 && ones < 650, "about a fourth of them 1 (%zu of %ju)", ones,
	   (uintmax_t)w.selection.of[0].upto[1]);
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

static void test_special_tensors(void)
{
	static const uint64_t square[] = { 40, 50 }, vector[] = { 2000 };
	struct world w = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_mask *mask;
	uint8_t *base, byte[4];
	size_t bad = 0, n = 2000 * 4;
	bool low = false;

	add(&w, "all", "F32", LM_UNIT_ELEMENT, 2, square, RULE_ALL, 0);
	add(&w, "none", "F32", LM_UNIT_ELEMENT, 2, square, RULE_NONE, 0);
	add(&w, "levels", "F32", LM_UNIT_ELEMENT, 1, vector, RULE_SHARE, 40);
	add(&w, "bf16 in f32", "F32", LM_UNIT_ELEMENT, 2, square, RULE_SHARE, 40);
	fill_normal(&w, 0, 0, 1);
	fill_normal(&w, 3, 0, 2);
	for (size_t i = 0; i < 2000; i++) {
		float v = (float)(int)(mixed(i) % 3) - 1;

		memcpy(w.bytes[2] + 4 * i, &v, sizeof(v));
		memset(w.bytes[3] + 4 * i, 0, 2);
	}
	flush(&w, 2);
	flush(&w, 3);
	mask = mask_with(&w, "key", 2);
	base = filled(&w, mask, 0, n);
	ok(is_zero(base, n), "protected whole: constant");
	free(base);
	is_int(lm_mask_fill(mask, 1, 0, 4, byte, &error), LMODEL_EUSAGE, "nothing selected");
	is_error(&error, LMODEL_EUSAGE, "'none' is not protected", "the message names it");
	error.code = LMODEL_OK;
	is_int(lm_mask_fill(mask, 0, n - 3, 4, byte, &error), LMODEL_EUSAGE, "beyond the end");
	error.code = LMODEL_OK;
	is_int(lm_mask_fill(mask, 4, 0, 4, byte, &error), LMODEL_EUSAGE, "no such tensor");
	base = filled(&w, mask, 2, n);
	for (size_t i = 0; i < 2000; i++) {
		float v;

		memcpy(&v, base + 4 * i, sizeof(v));
		bad += !(v <= -1 && v >= -1) && !(v <= 0 && v >= 0) && !(v <= 1 && v >= 1);
	}
	is_int((intmax_t)bad, 0, "a ternary tensor stays ternary");
	free(base);
	base = filled(&w, mask, 3, n);
	for (size_t i = 0; i < 2000; i++)
		low |= base[4 * i] != 0 || base[4 * i + 1] != 0;
	ok(!low, "widened from BF16: no low bits");
	ok(memcmp(base, w.bytes[3], n) != 0, "but decoys");
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

static void test_constant(void)
{
	static const uint64_t shape[] = { 12, 30, 3, 3 };
	struct world w = { 0 };
	struct lm_mask *mask;
	uint8_t *base;
	size_t n = 12 * 30 * 9 * 4;

	add(&w, "t", "F32", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 30);
	for (size_t i = 0; i < n / 4; i++)
		memcpy(w.bytes[0] + 4 * i, &(float){ 0.25f }, 4);
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, n);
	ok(memcmp(base, w.bytes[0], n) == 0, "a constant tensor stays constant");
	free(base);
	lm_mask_free(mask);
	memset(w.bytes[0], 0, n);
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, n);
	ok(is_zero(base, n), "zeros too");
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

static double deviation(const uint8_t *bytes, size_t n)
{
	double square = 0;

	for (size_t i = 0; i < n; i++) {
		float v;

		memcpy(&v, bytes + 4 * i, sizeof(v));
		square += (double)v * (double)v;
	}
	return sqrt(square / (double)n);
}

static void test_few_donors(void)
{
	static const uint64_t square[] = { 40, 50 }, vector[] = { 400 };
	struct world w = { 0 };
	struct lm_mask *mask;
	uint8_t *base;

	add(&w, "a.weight", "F32", LM_UNIT_ELEMENT, 2, square, RULE_BUT, 5);
	add(&w, "b.weight", "F32", LM_UNIT_ELEMENT, 2, square, RULE_NONE, 0);
	add(&w, "a.bias", "F32", LM_UNIT_ELEMENT, 1, vector, RULE_SHARE, 50);
	add(&w, "c.weight", "F32", LM_UNIT_ELEMENT, 2, square, RULE_INELIGIBLE, 0);
	for (size_t i = 0; i < 2000; i++) {
		float v = (float)(3 + 0.5 * (double)(mixed(i) % 1000) / 1000), huge = 1e9f;

		memcpy(w.bytes[1] + 4 * i, &v, sizeof(v));
		memcpy(w.bytes[3] + 4 * i, &huge, sizeof(v));
	}
	flush(&w, 1);
	flush(&w, 3);
	for (size_t i = 0; i < 400; i++) { /* all that is public is not finite */
		float v = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;

		if (is_selected(&w.selection, 2, i))
			v = 1;
		memcpy(w.bytes[2] + 4 * i, &v, sizeof(v));
	}
	flush(&w, 2);
	mask = mask_with(&w, "key", 2);
	base = filled(&w, mask, 0, 8000);
	ok(fabs(deviation(base + 20, 1995) - 3.25) < 0.1,
	   "five donors: those of the class, but for tensors that may hide (%.3f)",
	   deviation(base + 20, 1995));
	free(base);
	base = malloc(1600);
	need(lm_mask_fill(mask, 2, 0, 1600, base, &(struct lmodel_error)LMODEL_ERROR_INIT),
	     &(struct lmodel_error)LMODEL_ERROR_INIT);
	ok(all_finite(&w, 2, base) && fabs(deviation(base, 400) * 20 - 1) < 0.15,
	   "none: normal, by the fan-in (%.4f)", deviation(base, 400));
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

static double largest_of(const struct world *w, size_t tensor, const uint8_t *bytes)
{
	const struct lm_source_tensor *t = &w->model.tensors[tensor];
	double largest = 0, v;

	for (uint64_t i = 0; i < t->bytes / (t->dtype->bits / 8); i++) {
		lm_dtype_magnitudes(t->dtype, bytes, i, 1, &v);
		largest = fmax(largest, v);
	}
	return largest;
}

/* Residuals of rows with long tails would be far out of range in rows of large scale. */
static void test_bound(enum lm_unit_kind kind, const char *what)
{
	static const uint64_t shape[] = { 60, 40, 3 };
	struct world w = { 0 };
	struct lm_mask *mask;
	uint64_t seed = 77;
	uint8_t *decoys;

	add(&w, "t", "F32", kind, 3, shape, RULE_SHARE, 40);
	for (size_t i = 0; i < 7200; i++) {
		double v = normal(&seed);

		v = i < 1200 ? copysign(1 - 1e-3 * fabs(v), v) : 1e-3 * v * v * v;
		lm_dtype_store(w.model.tensors[0].dtype, &v, 1, w.bytes[0] + 4 * i);
	}
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	decoys = filled(&w, mask, 0, 28800);
	ok(largest_of(&w, 0, decoys) <= 1, "%s: within the range of public ones (%g)", what,
	   largest_of(&w, 0, decoys));
	free(decoys);
	lm_mask_free(mask);
	clear(&w);
}

static void test_not_finite(void)
{
	static const uint64_t shape[] = { 20, 30, 3, 3 }, square[] = { 60, 70 };
	struct world w = { 0 };
	struct lm_mask *mask;

	add(&w, "s", "F32", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 30);
	add(&w, "e", "F16", LM_UNIT_ELEMENT, 2, square, RULE_SHARE, 30);
	fill_normal(&w, 0, 0, 1);
	fill_normal(&w, 1, 0, 1);
	for (size_t i = 0; i < 600; i += 3)
		memcpy(w.bytes[0] + i * 36 + 8, &(float){ i % 2 ? NAN : INFINITY }, 4);
	for (size_t i = 0; i < 4200; i += 3)
		memcpy(w.bytes[1] + i * 2, i % 2 ? "\0\174" : "\1\376", 2);
	flush(&w, 0);
	flush(&w, 1);
	mask = mask_with(&w, "key", 1);
	for (size_t t = 0; t < 2; t++) {
		size_t n = (size_t)w.model.tensors[t].bytes;
		uint8_t *decoys = malloc(n);

		need(lm_mask_fill(mask, t, 0, n, decoys,
				  &(struct lmodel_error)LMODEL_ERROR_INIT),
		     &(struct lmodel_error)LMODEL_ERROR_INIT);
		ok(all_finite(&w, t, decoys), "NaN and infinity are no donors, tensor %zu", t);
		ok(!is_zero(decoys, n), "and decoys are drawn");
		ok(largest_of(&w, t, decoys) < 5, "of the size of the finite ones (%g)",
		   largest_of(&w, t, decoys));
		free(decoys);
	}
	lm_mask_free(mask);
	clear(&w);
}

static void test_methods(void)
{
	static const uint64_t square[] = { 40, 50 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct world w = { 0 }, reference = { 0 };
	uint8_t key[32] = { 1 }, *base, *direct;
	struct lm_mask *mask;
	size_t n = 8000;

	for (unsigned i = 0; i < 2; i++) {
		add(&w, i ? "b" : "a", "F32", i ? LM_UNIT_ROW : LM_UNIT_ELEMENT, 2, square,
		    RULE_SHARE, 30);
		add(&reference, i ? "a" : "b", "F32", LM_UNIT_ELEMENT, 2, square, RULE_NONE, 0);
		fill_normal(&w, i, 0, i);
		fill_normal(&reference, i, 0, 7 + i);
	}
	need(lm_mask_new(&mask, LM_MASK_ZERO, key, &w.model, &w.selection, NULL, NULL, &error),
	     &error);
	base = applied(&w, mask, 0, 77);
	for (size_t i = 0; i < n; i++)
		if (base[i] != (is_selected(&w.selection, 0, i / 4) ? 0 : w.bytes[0][i])) {
			base[0] = 1;
			n = 0;
		}
	ok(n != 0, "zero: just the selected units");
	free(base);
	lm_mask_free(mask);
	n = 8000;
	need(lm_mask_new(&mask, LM_MASK_REFERENCE, key, &w.model, &w.selection, &reference.model,
			 NULL, &error), &error);
	for (size_t t = 0; t < 2; t++) {
		size_t wrong = 0;

		base = applied(&w, mask, t, t == 0 ? 2000 : 7);
		direct = filled(&w, mask, t, 100);
		for (size_t i = 0; i < n; i++)
			wrong += base[i] != (is_selected(&w.selection, t,
							 unit_of(&w.selection.of[t].units, i)) ?
					     reference.bytes[1 - t][i] : w.bytes[t][i]);
		is_int((intmax_t)wrong, 0, "reference: its bytes, found by name");
		ok(memcmp(base, direct, n) == 0, "by fill too");
		free(base);
		free(direct);
	}
	lm_mask_free(mask);
	reference.model.tensors[0].name[0] = 'x';
	is_int(lm_mask_new(&mask, LM_MASK_REFERENCE, key, &w.model, &w.selection, &reference.model,
			   NULL, &error), LMODEL_EUSAGE, "a reference without a tensor");
	is_error(&error, LMODEL_EUSAGE, "no tensor 'b'", "the message names it");
	ok(mask == NULL, "no mask");
	clear(&w);
	clear(&reference);
}

/* Several threads on one mask. */
struct task {
	const struct world *world;
	const struct lm_mask *mask;
	const uint8_t *wanted;
	bool same;
};

static void *fill_in_thread(void *context)
{
	struct task *task = context;

	for (int i = 0; i < 3; i++) {
		uint8_t *base = filled(task->world, task->mask, 0, 36 * 5);

		task->same = (i == 0 || task->same) && memcmp(base, task->wanted, 21600) == 0;
		free(base);
	}
	return NULL;
}

static void test_threads(void)
{
	static const uint64_t shape[] = { 20, 30, 3, 3 };
	struct world w = { 0 };
	struct task tasks[4];
	pthread_t threads[4];
	struct lm_mask *mask;
	uint8_t *wanted;

	add(&w, "t", "F32", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 50);
	fill_normal(&w, 0, 0, 3);
	mask = mask_with(&w, "key", 1);
	wanted = filled(&w, mask, 0, 21600);
	for (size_t i = 0; i < 4; i++) {
		tasks[i] = (struct task){ &w, mask, wanted, false };
		if (pthread_create(&threads[i], NULL, fill_in_thread, &tasks[i]) != 0)
			abort();
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ok(tasks[i].same, "thread %zu", i);
	}
	free(wanted);
	lm_mask_free(mask);
	clear(&w);
}

int main(void)
{
	static const uint64_t square[] = { 210, 300 }, conv[] = { 70, 60, 3, 3 };

	need(lm_crypto_init(NULL), &(struct lmodel_error)LMODEL_ERROR_INIT);
	test_laws();
	check_distribution(LM_UNIT_ELEMENT, 2, square, 0, 0.045, "elements");
	check_distribution(LM_UNIT_ELEMENT, 2, square, 0.3, 0.045, "elements, mostly positive");
	check_distribution(LM_UNIT_SLICE, 4, conv, 0, 0.045, "slices");
	check_distribution(LM_UNIT_COLUMN, 2, square, 0, 0.045, "columns");
	check_copies("F32", false);
	check_copies("BF16", true);
	test_bool();
	test_special_tensors();
	test_constant();
	test_few_donors();
	test_bound(LM_UNIT_ELEMENT, "elements");
	test_bound(LM_UNIT_SLICE, "slices");
	test_not_finite();
	test_methods();
	test_threads();
	return done();
}
