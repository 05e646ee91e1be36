/* protect/select.c: large units, scores, references, amounts, patterns, what is refused, and lines
 * between tiers that are hard to draw. */
#include "protect/select.h"

#include "crypto/crypto.h"
#include "lib/models.h"
#include "protect/rank.h"

/* ---- columns and large units, against sums made here ---- */

static void large_units(enum lm_unit_kind unit, uint64_t rows, uint64_t columns)
{
	static const struct lm_select_amount few[] = { { "a", false, 0, 3 } };
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, few, 1);
	const uint64_t count = unit == LM_UNIT_ROW ? rows : columns;
	double *sums = calloc((size_t)count, sizeof(*sums)), low = 1e300, high = 0;
	float *values = malloc((size_t)(rows * columns) * sizeof(*values));
	struct lm_model *m = model_new();
	struct lm_selection *s, *t;
	uint8_t *tiers, *again;

	o.unit_given = true;
	o.unit = unit;
	for (uint64_t i = 0; i < rows * columns; i++) {
		uint64_t u = unit == LM_UNIT_ROW ? i / columns : i % columns;

		/* What tells units apart comes early: all windows count, not the last alone. */
		bool early = unit == LM_UNIT_ROW ? i % columns < columns / 4 :
						   i / columns <= rows / 4;

		values[i] = early ? (float)(u * 11 % count + 1) : 0.5f;
		if (noise() % 2 == 0)
			values[i] = -values[i];
		sums[u] += fabs((double)values[i]);
	}
	add(m, "w", "F32", 2, (uint64_t[]){ rows, columns }, values);
	s = selected_by(m, &o, 1);
	t = selected_by(m, &o, 3);
	tiers = tiers_of(m, s, 0, count);
	again = tiers_of(m, t, 0, 1);
	for (uint64_t u = 0; u < count; u++)
		if (tiers[u] == 0)
			low = LM_MIN(low, sums[u]);
		else
			high = LM_MAX(high, sums[u]);
	ok(low > high && !lm_selection_needs_bytes(s, 0) &&
	   memcmp(tiers, again, (size_t)count) == 0 &&
	   lm_selection_of(s, 0)->upto[0] == 3, "%ju x %ju: the three %ss of the largest weights",
	   (uintmax_t)rows, (uintmax_t)columns, lm_unit_name(unit));
	free(tiers);
	free(again);
	free(sums);
	free(values);
	lm_selection_free(s);
	lm_selection_free(t);
	model_free(m);
}

/* ---- scores ---- */

static void scores_case(uint64_t slices, bool by_unit)
{
	static const struct lm_select_amount few[] = {
		{ "a", false, 0, 10 }, { "b", false, 0, 15 },
	};
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, few, 2);
	struct lm_model *m = model_new(), *scores = model_new();
	float *values = malloc((size_t)slices * 9 * sizeof(*values));
	uint64_t shape[] = { 4, slices / 4, 3, 3 };
	struct lm_selection *s;
	bool good = true;
	uint8_t *tiers;

	add_filled(m, "w", "BF16", NORMAL, 4, shape);
	for (uint64_t i = 0; i < slices * 9; i++) /* signed, and rising with the slice */
		values[i] = (float)(by_unit ? i : i / 9) - 20;
	add(scores, "w", "F32", by_unit ? 1 : 4, by_unit ? &slices : shape, values);
	o.scores = scores;
	s = selected_by(m, &o, 1);
	tiers = tiers_of(m, s, 0, 7);
	for (uint64_t i = 0; i < slices; i++)
		good &= tiers[i] == (i >= slices - 10 ? 0 : i >= slices - 15 ? 1 : LM_NO_TIER);
	ok(good && !lm_selection_needs_bytes(s, 0), "scores %s: the highest, in their order",
	   by_unit ? "a unit" : "an element");
	free(tiers);
	free(values);
	lm_selection_free(s);
	model_free(m);
	model_free(scores);
}

static void test_score_errors(void)
{
	static const struct lm_select_amount few[] = { { "a", false, 0, 10 } };
	struct lm_select_options o = options_of(LM_SELECT_PSS, LM_SCOPE_LAYER, few, 1);
	struct lm_model *m = model_new();
	float values[100] = { 0 };

	add_filled(m, "w", "F32", NORMAL, SHAPE(100));
	for (int i = 0; i < 5; i++) {
		static const char *const parts[] = {
			"'w': number 42 is a NaN", "'w': number 42 is negative", "no tensor 'w'",
			"nor a list of 100", "type C64",
		};
		struct lm_model *scores = model_new();

		values[42] = i == 0 ? NAN : i == 1 ? -1 : 1;
		add(scores, i == 2 ? "v" : "w", i == 4 ? "C64" : "F32", 1,
		    (uint64_t[]){ i == 3 ? 99 : i == 4 ? 50 : 100 }, values);
		o.scores = scores;
		fails(m, &o, parts[i], "scores: refused");
		model_free(scores);
	}
	model_free(m);
}

/* ---- reference ---- */

static void reference_case(const char *dtype, enum lm_unit_kind unit, enum lm_select_method method,
			   uint64_t columns)
{
	static const struct lm_select_amount two[] = { { "a", true, 0.5, 0 }, { "b", true, 1, 0 } };
	struct lm_select_options o = options_of(method, LM_SCOPE_MODEL, two, 2);
	struct lm_model *m = model_new(), *reference = model_new();
	const uint64_t shape[] = { 40, columns };
	const struct lm_dtype *d = lm_dtype_find(dtype);
	const size_t n = (size_t)(40 * columns * d->bits / 8);
	uint8_t *bytes = data(dtype, RAW, (size_t)(40 * columns)), *tiers, *differs;
	const struct lm_selected_tensor *t;
	struct lm_selection *s;
	uint64_t count = 0, first = 0;
	bool good = true;

	if (method == LM_SELECT_ALL)
		o.tier_count = 1;
	o.unit_given = true;
	o.unit = unit;
	o.reference = reference;
	add(reference, "same", dtype, 2, shape, bytes);
	add(m, "w", dtype, 2, shape, bytes);
	add(m, "same", dtype, 2, shape, bytes);
	for (size_t i = 0; i < 7; i++)
		bytes[(i * (n / 7) + 3) % n] ^= 0x41;
	add(reference, "w", dtype, 2, shape, bytes);
	s = selected_by(m, &o, 2);
	t = lm_selection_of(s, 0);
	differs = calloc((size_t)t->units.count, 1);
	for (size_t i = 0; i < 7; i++) {
		size_t at = (i * (n / 7) + 3) % n;

		differs[unit == LM_UNIT_COLUMN ? at / (d->bits / 8) % columns :
			at / t->units.unit_bytes] = 1;
	}
	tiers = tiers_of(m, s, 0, 11);
	for (uint64_t u = 0; u < t->units.count; u++) {
		good &= (tiers[u] != LM_NO_TIER) == differs[u];
		count += differs[u];
		first += tiers[u] == 0;
	}
	ok(good && t->candidates == count && first == t->upto[0] &&
	   t->upto[0] == (method == LM_SELECT_ALL ? count : (count + 1) / 2) &&
	   lm_selection_of(s, 1)->candidates == 0,
	   "reference: %s, %s units, %s: what differs, no more", dtype, lm_unit_name(t->units.kind),
	   method_names[method]);
	free(tiers);
	tiers = tiers_of(m, s, 1, 1000);
	good = true;
	for (uint64_t u = 0; u < lm_selection_of(s, 1)->units.count; u++)
		good &= tiers[u] == LM_NO_TIER;
	ok(good, "reference: nothing of an equal tensor");
	free(tiers);
	free(differs);
	free(bytes);
	lm_selection_free(s);
	model_free(m);
	model_free(reference);
}

static void test_reference_errors(void)
{
	static const struct lm_select_amount part[] = { { "a", true, 0.4, 0 } };
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_EQUAL, part, 1);
	struct lm_model *m = model_new(), *other = model_new(), *shape = model_new(),
			*type = model_new(), *none = model_new();

	add_filled(m, "w", "F32", NORMAL, SHAPE(20, 10));
	add_filled(other, "w", "F32", NORMAL, SHAPE(20, 10));
	add_filled(shape, "w", "F32", NORMAL, SHAPE(10, 20));
	add_filled(type, "w", "I32", RAW, SHAPE(20, 10));
	add_filled(none, "v", "F32", NORMAL, SHAPE(20, 10));
	o.reference = other;
	fails(m, &o, "does not hold every unit", "reference: a top tier that leaves something out");
	o.reference = shape;
	fails(m, &o, "another shape", "reference: another shape");
	o.reference = type;
	fails(m, &o, "is of type I32, not F32", "reference: another type");
	o.reference = none;
	fails(m, &o, "no tensor 'w'", "reference: no such tensor");
	o.reference = m;
	fails(m, &o, "nothing differs", "reference: the model itself");
	model_free(m);
	model_free(other);
	model_free(shape);
	model_free(type);
	model_free(none);
}

/* ---- amounts, patterns ---- */

static void amounts_fail(const struct lm_model *m, enum lm_select_scope scope,
			 struct lm_select_amount a, struct lm_select_amount b, const char *part)
{
	const struct lm_select_amount tiers[] = { a, b };
	struct lm_select_options o = options_of(LM_SELECT_RANDOM, scope, tiers, 2);

	fails(m, &o, part, part);
}

static void test_amounts(void)
{
	static const struct lm_select_amount ok_tier = { "a", false, 0, 5 };
	static const struct lm_select_amount share[] = { { "a", true, 0.145, 0 } };
	struct lm_select_options o = options_of(LM_SELECT_RANDOM, LM_SCOPE_LAYER, share, 1);
	struct lm_model *m = model_new();
	struct lm_selection *s;

	add_filled(m, "w", "F32", NORMAL, SHAPE(100));
	add_filled(m, "v", "F32", NORMAL, SHAPE(1000));
	amounts_fail(m, LM_SCOPE_EQUAL, ok_tier, ok_tier, "gets no unit beside");
	amounts_fail(m, LM_SCOPE_EQUAL, ok_tier, (struct lm_select_amount){ "b", false, 0, 4 },
		     "are to rise");
	amounts_fail(m, LM_SCOPE_MODEL, ok_tier, (struct lm_select_amount){ "b", false, 0, 1101 },
		     "1101 units of 1100");
	amounts_fail(m, LM_SCOPE_LAYER, ok_tier, (struct lm_select_amount){ "b", false, 0, 1001 },
		     "1001 units of 1000");
	amounts_fail(m, LM_SCOPE_LAYER, (struct lm_select_amount){ "a", false, 0, 90 },
		     (struct lm_select_amount){ "b", true, 0.5, 0 }, "are to rise");
	amounts_fail(m, LM_SCOPE_MODEL, (struct lm_select_amount){ "a", true, 0.0001, 0 }, ok_tier,
		     "tier 'a' gets no unit");
	amounts_fail(m, LM_SCOPE_MODEL, (struct lm_select_amount){ "a", false, 0, 0 }, ok_tier,
		     "tier 'a' gets no unit");
	amounts_fail(m, LM_SCOPE_MODEL, (struct lm_select_amount){ "a", true, 1.5, 0 }, ok_tier,
		     "a share is more than 0");
	amounts_fail(m, LM_SCOPE_MODEL, (struct lm_select_amount){ "a", true, (double)NAN, 0 },
		     ok_tier, "a share is more than 0");
	s = selected_by(m, &o, 1);
	is_int((intmax_t)lm_selection_of(s, 0)->upto[0], 15, "14.5 % of 100: half goes up");
	lm_selection_free(s);
	o.tier_count = 0;
	fails(m, &o, "0 tiers", "no tier");
	model_free(m);
}

static void test_all(void)
{
	static const struct lm_select_amount tiers[] = {
		{ "a", true, 0.1, 0 }, { "b", true, 0.2, 0 },
	};
	struct lm_select_options o = options_of(LM_SELECT_ALL, LM_SCOPE_EQUAL, tiers, 1);
	struct lm_model *m = mixed_model();
	struct lm_selection *s = selected_by(m, &o, 1);
	bool good = true;

	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_selected_tensor *t = lm_selection_of(s, i);
		uint8_t *tiers_all;

		if (!t->eligible)
			continue;
		tiers_all = tiers_of(m, s, i, 1000);
		for (uint64_t u = 0; u < t->units.count; u++)
			good &= tiers_all[u] == 0;
		good &= t->upto[0] == t->units.count && !lm_selection_needs_bytes(s, i);
		free(tiers_all);
	}
	ok(good, "all: every unit, without reading");
	lm_selection_free(s);
	o.tier_count = 2;
	fails(m, &o, "when all is selected", "all: one tier");
	model_free(m);
}

static void test_patterns(void)
{
	static const struct lm_select_amount one[] = { { "a", false, 0, 5 } };
	static const char *const some[] = { "ste*", "tiny" }, *const tiny[] = { "tiny" },
			  *const nothing[] = { "nope*" };
	struct lm_select_options o = options_of(LM_SELECT_PSS, LM_SCOPE_EQUAL, one, 1);
	struct lm_model *m = mixed_model();
	struct lm_selection *s = selected_by(m, &o, 1);
	size_t alias[16], n = 0;

	ok(!lm_selection_of(s, 11)->eligible && !lm_selection_of(s, 12)->eligible &&
	   lm_selection_of(s, 10)->eligible, "eligible: floats, 64 elements or more");
	lm_selection_free(s);
	o.includes = some;
	o.include_count = 2;
	s = selected_by(m, &o, 1);
	for (size_t i = 0; i < m->tensor_count; i++)
		n += lm_selection_of(s, i)->eligible;
	ok(n == 2 && lm_selection_of(s, 11)->eligible && lm_selection_of(s, 12)->eligible,
	   "include: those alone, whatever they hold");
	is_int((intmax_t)(lm_selection_of(s, 11)->upto[0] + lm_selection_of(s, 12)->upto[0]), 5,
	       "include: integers are ranked too");
	lm_selection_free(s);
	o.excludes = tiny;
	o.exclude_count = 1;
	s = selected_by(m, &o, 1);
	ok(!lm_selection_of(s, 11)->eligible && lm_selection_of(s, 12)->eligible,
	   "exclude: takes away");
	lm_selection_free(s);
	o.includes = tiny;
	o.include_count = 1;
	fails(m, &o, "no tensor can be protected", "nothing is left");
	o.excludes = nothing;
	fails(m, &o, "picks no tensor", "a pattern that picks nothing");
	o.exclude_count = 0;
	for (size_t i = 0; i < 16; i++)
		alias[i] = i == 11 ? 10 : SIZE_MAX;
	if (lm_select(&s, m, alias, &o, NULL, NULL) != LMODEL_OK)
		abort();
	ok(lm_selection_of(s, 10)->eligible && !lm_selection_of(s, 11)->eligible,
	   "include: an alias stands for the tensor that has its bytes");
	lm_selection_free(s);
	model_free(m);
}

/* A line just between two scores, each with more units than are sorted at once. */
static void test_clean_line(void)
{
	enum { HALF = 600000 };
	static const struct lm_select_amount two[] = {
		{ "a", false, 0, HALF }, { "b", true, 1, 0 },
	};
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, two, 2);
	struct lm_model *m = model_new();
	uint8_t *bytes = malloc(4 * HALF), *tiers;
	struct lm_selection *s;
	bool good = true;

	for (size_t i = 0; i < 2 * HALF; i++) {
		bytes[2 * i] = 0;
		bytes[2 * i + 1] = i % 2 == 0 ? 0x40 : 0x3c; /* 2.0 and less than 0.01 */
	}
	add(m, "w", "BF16", SHAPE(2 * HALF), bytes);
	s = selected_by(m, &o, 2);
	tiers = tiers_of(m, s, 0, 99999);
	for (size_t i = 0; i < 2 * HALF; i++)
		good &= tiers[i] == i % 2;
	ok(good, "a line that no tie is cut by");
	free(tiers);
	free(bytes);
	lm_selection_free(s);
	model_free(m);
}

/* Keys equal in all 64 bits, which no data gives on demand: two tensors of 300 units, two in three
 * of which have one key. */
static void test_equal_keys(void)
{
	enum { N = 300, TIERS = 5 };
	static const uint64_t wanted[TIERS] = { 150, 201, 202, 350, 600 };
	const struct lm_units units = { .count = N, .unit_bytes = 1, .bytes = N };
	struct lm_scorer scorers[2] = { { .tensor = 4 }, { .tensor = 6 } };
	struct lm_scorer *const parts[2] = { &scorers[0], &scorers[1] };
	const struct lm_ranking ranking = {
		.scorers = parts, .candidates = (uint64_t[]){ N, N }, .count = 2, .workers = 2,
	};
	struct lm_threshold line[TIERS];
	uint64_t keys[2][N], upto[2 * TIERS], got[2 * TIERS] = { 0 };
	bool nested = true, first_half = true;

	for (size_t p = 0; p < 2; p++) {
		scorers[p].units = &units;
		scorers[p].method = LM_SELECT_RANDOM;
		scorers[p].keys = keys[p];
		scorers[p].key[0] = (uint8_t)p;
		for (size_t u = 0; u < N; u++)
			keys[p][u] = u % 3 == 0 ? UINT64_C(1) << 60 | u : UINT64_C(77) << 40;
	}
	if (lm_rank(&ranking, wanted, TIERS, line, upto, NULL) != LMODEL_OK)
		abort();
	for (size_t p = 0; p < 2; p++)
		for (size_t u = 0; u < N; u++) {
			bool before = false;

			for (size_t t = 0; t < TIERS; t++) {
				bool in = lm_threshold_has(&line[t], scorers[p].tensor, u,
							   keys[p][u]);

				got[p * TIERS + t] += in;
				nested &= in || !before;
				before = in;
				if (t == 3 && u % 3 != 0 && in)
					first_half &= p == 0 && u < N / 2;
			}
		}
	ok(memcmp(got, upto, sizeof(got)) == 0 && got[0] + got[TIERS] == 150 &&
	   got[1] + got[TIERS + 1] == 201 && got[2] + got[TIERS + 2] == 202 &&
	   got[3] + got[TIERS + 3] == 350 && got[4] + got[TIERS + 4] == 600,
	   "equal keys: exact all the same");
	ok(nested, "equal keys: tiers nest");
	ok(!first_half, "equal keys: not by position");
	for (size_t t = 0; t < TIERS; t++)
		free(line[t].ties);
}

static int stop(void *context, uint64_t done_bytes, uint64_t total)
{
	*(bool *)context &= done_bytes <= total;
	return done_bytes == total;
}

static void test_progress(void)
{
	static const struct lm_select_amount tenth[] = { { "a", true, 0.1, 0 } };
	struct lm_select_options o = options_of(LM_SELECT_PSS, LM_SCOPE_EQUAL, tenth, 1);
	struct lm_model *m = mixed_model();
	struct lmodel_error error = LMODEL_ERROR_INIT;
	bool within = true;
	const struct lmodel_run run = { .jobs = 1, .progress = stop, .context = &within };
	struct lm_selection *s = NULL;

	lm_select(&s, m, NULL, &o, &run, &error) == LMODEL_OK ? lm_selection_free(s) : (void)0;
	is_error(&error, LMODEL_EFAILED, "interrupted", "progress: may stop it");
	ok(within, "progress: never beyond its total");
	model_free(m);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		abort();
	large_units(LM_UNIT_ROW, 7, 20000);
	large_units(LM_UNIT_COLUMN, 300, 450);
	large_units(LM_UNIT_COLUMN, 3, 100000);
	scores_case(60, false);
	scores_case(60, true);
	test_score_errors();
	for (int method = LM_SELECT_PSS; method <= LM_SELECT_ALL; method++) {
		reference_case("BF16", LM_UNIT_ELEMENT, (enum lm_select_method)method, 100);
		reference_case("F32", LM_UNIT_BLOCK, (enum lm_select_method)method, 100);
		reference_case("F16", LM_UNIT_COLUMN, (enum lm_select_method)method, 30);
		reference_case("F32", LM_UNIT_ROW, (enum lm_select_method)method, 17000);
		reference_case("F4", LM_UNIT_BLOCK, (enum lm_select_method)method, 100);
		reference_case("F4", LM_UNIT_ROW, (enum lm_select_method)method, 140000);
	}
	test_reference_errors();
	test_amounts();
	test_all();
	test_patterns();
	test_progress();
	test_equal_keys();
	test_clean_line();
	return done();
}
