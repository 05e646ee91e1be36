/* protect/decoy.c, donors.c, gather.c, sample.c: what decoys look like. */
#include "crypto/crypto.h"
#include "lib/tap.h"
#include "unit/mask_world.h"

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

/* Slices of one direction and almost one norm: many a decoy would be a copy if it were not drawn
 * again. */
static void test_redraw(void)
{
	static const uint64_t shape[] = { 16, 40, 2, 4 };
	struct world w = { 0 };
	const struct lm_units *units = &w.selection.of[0].units;
	struct lm_mask *mask;
	uint8_t *base;
	size_t copies = 0, seen = 0;

	add(&w, "t", "F16", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 40);
	for (uint64_t i = 0; i < 640 * 8; i++) {
		double norm = 1 + 0.15 * (double)(mixed(i / 8 + 5) % 1000) / 1000;
		double v = norm * (0.3 + 0.17 * (double)(i % 8));

		lm_dtype_store(units->dtype, &v, 1, w.bytes[0] + 2 * i);
	}
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, (size_t)units->bytes);
	for (uint64_t u = 0; u < units->count; u++)
		for (uint64_t v = 0; is_selected(&w.selection, 0, u) && v < units->count; v++)
			if (!is_selected(&w.selection, 0, v)) {
				copies += memcmp(base + 16 * u, base + 16 * v, 16) == 0;
				seen++;
			}
	is_int((intmax_t)copies, 0, "drawn again until no copy");
	ok(seen > 60000, "%zu pairs", seen);
	free(base);
	lm_mask_free(mask);
	clear(&w);
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

int main(void)
{
	static const uint64_t square[] = { 210, 300 }, conv[] = { 70, 60, 3, 3 };

	need(lm_crypto_init(NULL), &(struct lmodel_error)LMODEL_ERROR_INIT);
	check_distribution(LM_UNIT_ELEMENT, 2, square, 0, 0.045, "elements");
	check_distribution(LM_UNIT_ELEMENT, 2, square, 0.3, 0.045, "elements, mostly positive");
	check_distribution(LM_UNIT_SLICE, 4, conv, 0, 0.045, "slices");
	check_distribution(LM_UNIT_COLUMN, 2, square, 0, 0.045, "columns");
	check_copies("F32", false);
	check_copies("BF16", true);
	test_redraw();
	test_bool();
	test_special_tensors();
	test_constant();
	test_few_donors();
	test_bound(LM_UNIT_ELEMENT, "elements");
	test_bound(LM_UNIT_SLICE, "slices");
	test_not_finite();
	return done();
}
