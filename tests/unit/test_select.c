/* protect/select.c and what it is made of: exact counts, nesting, determinism, against an oracle
 * that sorts everything. */
#include "protect/select.h"

#include "crypto/crypto.h"
#include "lib/models.h"
#include "protect/score.h"

/* ---- the oracle ---- */

struct ranked {
	uint64_t key;
	size_t tensor;
	uint64_t unit;
};

static int descending(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->key > y->key ? -1 : x->key < y->key;
}

/* All keys of a tensor, through a scorer that is made here. */
static size_t keys_of(const struct lm_model *model, const struct lm_selection *s,
		      const struct lm_select_options *o, size_t i, struct ranked *out)
{
	const struct lm_units *units = &lm_selection_of(s, i)->units;
	struct lm_scorer scorer = {
		.model = model, .tensor = i, .units = units, .method = o->method,
	};
	uint64_t *keys = malloc((size_t)units->count * 8);
	uint8_t *bytes = read_all(model, i);

	if (lm_scorer_start(&scorer, o->key, NULL) != LMODEL_OK ||
	    lm_scorer_prepare(&scorer, o->raw_scores, NULL) != LMODEL_OK ||
	    lm_scorer_keys(&scorer, 0, units->count, bytes, keys, NULL) != LMODEL_OK)
		abort();
	for (uint64_t u = 0; u < units->count; u++)
		out[u] = (struct ranked){ keys[u], i, u };
	lm_scorer_free(&scorer);
	free(bytes);
	free(keys);
	return (size_t)units->count;
}

/* Whether the first upto[t] of the sorted list are just those in tiers 0..t. Units of equal key are
 * alike to the oracle: their number counts. */
static bool agrees(struct ranked *list, size_t n, size_t tiers, const uint64_t *upto,
		   uint8_t *const *tier_of)
{
	qsort(list, n, sizeof(*list), descending);
	for (size_t t = 0; t < tiers; t++) {
		uint64_t inside = 0;

		for (size_t i = 0; i < n; i++) {
			const bool in = tier_of[list[i].tensor][list[i].unit] <= t;

			inside += in;
			if (upto[t] > 0 && list[i].key > list[upto[t] - 1].key && !in)
				return false;
			if ((upto[t] == 0 || list[i].key < list[upto[t] - 1].key) && in)
				return false;
		}
		if (inside != upto[t])
			return false;
	}
	return true;
}

static bool oracle(const struct lm_model *model, const struct lm_selection *s,
		   const struct lm_select_options *o, uint8_t *const *tier_of)
{
	struct ranked *list;
	uint64_t total[LM_TIER_LIMIT] = { 0 };
	size_t all = 0, n = 0;
	bool good = true;

	for (size_t i = 0; i < model->tensor_count; i++)
		if (tier_of[i] != NULL)
			all += (size_t)lm_selection_of(s, i)->units.count;
	list = malloc(all * sizeof(*list));
	for (size_t i = 0; i < model->tensor_count; i++) {
		const struct lm_selected_tensor *t = lm_selection_of(s, i);

		if (tier_of[i] == NULL)
			continue;
		n += keys_of(model, s, o, i, list + n);
		for (size_t k = 0; k < o->tier_count; k++)
			total[k] += t->upto[k];
		if (o->scope == LM_SCOPE_MODEL)
			continue;
		good &= agrees(list, n, o->tier_count, t->upto, tier_of);
		n = 0;
	}
	if (o->scope == LM_SCOPE_MODEL)
		good = agrees(list, n, o->tier_count, total, tier_of);
	free(list);
	return good;
}

/* ---- one selection from all sides ---- */

/* What each tensor is to get, by another way than the library's. */
static bool counts_right(const struct lm_model *model, const struct lm_selection *s,
			 const struct lm_select_options *o)
{
	const size_t n = model->tensor_count;
	uint64_t all = 0;
	bool good = true;

	for (size_t i = 0; i < n; i++)
		if (lm_selection_of(s, i)->eligible)
			all += lm_selection_of(s, i)->units.count;
	for (size_t t = 0; t < o->tier_count; t++) {
		uint64_t total = 0, level = 0;
		const uint64_t budget = (uint64_t)(o->tiers[t].share * (double)all + 0.5);

		for (size_t i = 0; i < n; i++) {
			const struct lm_selected_tensor *x = lm_selection_of(s, i);

			if (!x->eligible)
				continue;
			total += x->upto[t];
			level = LM_MAX(level, x->upto[t]);
			if (o->scope == LM_SCOPE_LAYER)
				good &= x->upto[t] == (uint64_t)(o->tiers[t].share *
								 (double)x->units.count + 0.5);
		}
		if (o->scope != LM_SCOPE_LAYER)
			good &= total == budget;
		/* Equal: whoever has less than the most is whole, or one short. */
		for (size_t i = 0; i < n && o->scope == LM_SCOPE_EQUAL; i++) {
			const struct lm_selected_tensor *x = lm_selection_of(s, i);

			if (x->eligible)
				good &= x->upto[t] == x->units.count || x->upto[t] + 1 >= level;
		}
	}
	return good;
}

static void check(const struct lm_model *model, const struct lm_select_options *o, const char *what)
{
	struct lm_selection *one = selected_by(model, o, 1), *four = selected_by(model, o, 4);
	uint8_t **tier_of = calloc(model->tensor_count, sizeof(*tier_of));
	bool exact = true, windows = true, same = true;

	if (one == NULL || four == NULL) {
		ok(0, "%s: selects", what);
		return;
	}
	for (size_t i = 0; i < model->tensor_count; i++) {
		const struct lm_selected_tensor *t = lm_selection_of(one, i);
		uint64_t count[LM_TIER_LIMIT] = { 0 }, upto = 0;
		uint8_t *other;

		if (!t->eligible)
			continue;
		tier_of[i] = tiers_of(model, one, i, t->units.count);
		for (uint64_t u = 0; u < t->units.count; u++)
			if (tier_of[i][u] != LM_NO_TIER && tier_of[i][u] < o->tier_count)
				count[tier_of[i][u]]++;
			else
				exact &= tier_of[i][u] == LM_NO_TIER;
		for (size_t k = 0; k < o->tier_count; k++)
			exact &= (upto += count[k]) == t->upto[k];
		other = tiers_of(model, one, i, 37);
		windows &= memcmp(other, tier_of[i], (size_t)t->units.count) == 0;
		free(other);
		other = tiers_of(model, four, i, 1029);
		same &= memcmp(other, tier_of[i], (size_t)t->units.count) == 0 &&
			memcmp(t->upto, lm_selection_of(four, i)->upto, sizeof(t->upto)) == 0;
		free(other);
	}
	ok(exact, "%s: as many units as are told", what);
	ok(counts_right(model, one, o), "%s: as many as were asked for", what);
	ok(windows && same, "%s: the same in any window, with one job or four", what);
	if (!o->unit_given || (o->unit != LM_UNIT_COLUMN && o->unit != LM_UNIT_TENSOR))
		ok(oracle(model, one, o, tier_of), "%s: the highest keys, by sorting all", what);
	for (size_t i = 0; i < model->tensor_count; i++)
		free(tier_of[i]);
	free(tier_of);
	lm_selection_free(one);
	lm_selection_free(four);
}

static const struct lm_select_amount three[] = {
	{ "bronze", true, 0.03, 0 }, { "silver", true, 0.1, 0 }, { "gold", true, 0.25, 0 },
};

static const char *const scope_names[] = { "equal", "model", "layer" };

static void test_all_ways(void)
{
	struct lm_model *m = mixed_model();

	for (int method = LM_SELECT_PSS; method <= LM_SELECT_RANDOM; method++)
		for (int scope = LM_SCOPE_EQUAL; scope <= LM_SCOPE_LAYER; scope++)
			for (int raw = 0; raw < 2; raw++) {
				struct lm_select_options o =
					options_of((enum lm_select_method)method,
						   (enum lm_select_scope)scope, three, 3);
				char what[64];

				o.raw_scores = raw;
				snprintf(what, sizeof(what), "%s %s%s", method_names[method],
					 scope_names[scope], raw ? " raw" : "");
				check(m, &o, what);
			}
	model_free(m);
}

static void test_units(void)
{
	static const char *const no_packed[] = { "packed" };
	static const struct lm_select_amount half[] = {
		{ "a", true, 0.3, 0 }, { "b", true, 0.5, 0 },
	};
	struct lm_model *m = mixed_model();

	for (int unit = LM_UNIT_ELEMENT; unit <= LM_UNIT_BLOCK; unit++)
		for (int method = LM_SELECT_PSS; method <= LM_SELECT_RANDOM; method++) {
			struct lm_select_options o = options_of((enum lm_select_method)method,
								LM_SCOPE_EQUAL, half, 2);
			char what[64];

			o.unit_given = true;
			o.unit = (enum lm_unit_kind)unit;
			o.excludes = no_packed;
			o.exclude_count = unit == LM_UNIT_ELEMENT || unit == LM_UNIT_COLUMN;
			snprintf(what, sizeof(what), "%s of %s units", method_names[method],
				 lm_unit_name(o.unit));
			check(m, &o, what);
		}
	model_free(m);
}

/* A million alike: lines run through units that differ in the keyed number alone. */
static void test_massive_ties(void)
{
	static const struct lm_select_amount two[] = {
		{ "a", false, 0, 1000 }, { "b", false, 0, 600001 },
	};
	static const struct lm_select_amount model_tiers[] = {
		{ "a", false, 0, 77 }, { "b", false, 0, 900000 }, { "c", false, 0, 900001 },
	};
	struct lm_model *m = model_new();
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, two, 2);
	uint64_t count[3] = { 0 }, head = 0;
	struct lm_selection *s;
	uint8_t *tiers;

	add_filled(m, "ones", "BF16", CONSTANT, SHAPE(1 << 20));
	s = selected_by(m, &o, 2);
	tiers = tiers_of(m, s, 0, 100000);
	for (size_t i = 0; i < 1 << 20; i++) {
		count[tiers[i] == LM_NO_TIER ? 2 : tiers[i]]++;
		head += i < 1 << 19 && tiers[i] <= 1;
	}
	is_int((intmax_t)count[0], 1000, "ties: first tier exact");
	is_int((intmax_t)(count[0] + count[1]), 600001, "ties: second tier exact");
	ok(head > 298000 && head < 302000, "ties: both halves of the tensor alike (%ju)",
	   (uintmax_t)head);
	free(tiers);
	lm_selection_free(s);

	add_filled(m, "too", "BF16", CONSTANT, SHAPE(1 << 18));
	o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_MODEL, model_tiers, 3);
	s = selected_by(m, &o, 2);
	is_int((intmax_t)(lm_selection_of(s, 0)->upto[0] + lm_selection_of(s, 1)->upto[0]), 77,
	       "ties over the model: first tier");
	is_int((intmax_t)(lm_selection_of(s, 0)->upto[2] + lm_selection_of(s, 1)->upto[2]), 900001,
	       "ties over the model: one unit more");
	for (size_t i = 0; i < 2; i++) {
		const struct lm_selected_tensor *t = lm_selection_of(s, i);
		uint64_t n[3] = { 0 };

		tiers = tiers_of(m, s, i, 65536);
		for (uint64_t u = 0; u < t->units.count; u++)
			for (size_t k = 0; k < 3; k++)
				n[k] += tiers[u] <= k;
		ok(memcmp(n, t->upto, sizeof(n)) == 0, "ties over the model: tensor %zu exact", i);
		free(tiers);
	}
	lm_selection_free(s);
	model_free(m);
}

/* ---- order ---- */

static void test_order(void)
{
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, three, 3);
	struct lm_model *m = model_new();
	double low[4] = { 9, 9, 9, 9 }, high[4] = { 0 };
	struct lm_selection *s;
	uint8_t *tiers, *bytes;
	uint64_t shape[] = { 90, 110 };

	o.raw_scores = true;
	add_filled(m, "w", "F32", NORMAL, 2, shape);
	s = selected_by(m, &o, 1);
	tiers = tiers_of(m, s, 0, 9900);
	bytes = read_all(m, 0);
	for (size_t i = 0; i < 9900; i++) {
		size_t k = tiers[i] == LM_NO_TIER ? 3 : tiers[i];
		double v;

		lm_dtype_magnitudes(lm_dtype_find("F32"), bytes, i, 1, &v);
		low[k] = LM_MIN(low[k], v);
		high[k] = LM_MAX(high[k], v);
	}
	ok(low[0] >= high[1] && low[1] >= high[2] && low[2] >= high[3] && low[0] > low[2],
	   "magnitude: largest first (%g %g %g)", low[0], low[1], low[2]);
	free(tiers);
	free(bytes);
	lm_selection_free(s);
	model_free(m);
}

static void test_infinite_first(void)
{
	static const struct lm_select_amount amounts[] = { { "a", false, 0, 2400 } };
	struct lm_model *m = model_new();
	unsigned first = 0, zeros = 0;

	add_filled(m, "special", "F32", SPECIAL, SHAPE(3000));
	for (int method = LM_SELECT_PSS; method <= LM_SELECT_MAGNITUDE; method++) {
		struct lm_select_options o = options_of(
			(enum lm_select_method)method, LM_SCOPE_LAYER, amounts, 1);
		struct lm_selection *s = selected_by(m, &o, 1);
		uint8_t *tiers = tiers_of(m, s, 0, 3000);

		for (size_t i = 0; i < 3000; i++) {
			first += (i % 50 == 7 || i % 50 == 8) && tiers[i] == 0;
			zeros += i % 5 == 0 && tiers[i] == 0;
		}
		free(tiers);
		lm_selection_free(s);
	}
	is_int(first, 2 * 120, "NaN and infinity: ranked first");
	is_int(zeros, 0, "zeros: ranked last");
	model_free(m);
}

/* Units of score 4, 1 and 0: sampled in proportion, nothing certain. */
static void test_sampling(void)
{
	enum { N = 30000 };
	static const struct lm_select_amount amounts[] = {
		{ "a", false, 0, N / 20 }, { "b", false, 0, N / 3 },
	};
	struct lm_select_options o = options_of(LM_SELECT_PSS, LM_SCOPE_LAYER, amounts, 2);
	struct lm_model *m = model_new();
	float *values = malloc(N * sizeof(*values));
	unsigned got[3] = { 0 }, more[3] = { 0 };
	uint64_t shape[] = { N };
	struct lm_selection *s;
	uint8_t *tiers;

	for (size_t i = 0; i < N; i++)
		values[i] = i % 3 == 0 ? -4 : i % 3 == 1 ? 1 : 0;
	add(m, "w", "F32", 1, shape, values);
	s = selected_by(m, &o, 1);
	tiers = tiers_of(m, s, 0, N);
	for (size_t i = 0; i < N; i++) {
		got[i % 3] += tiers[i] == 0;
		more[i % 3] += tiers[i] <= 1;
	}
	/* exp(-4x) + exp(-x) = 2 - .15 at x = .0311: .117 and .0306 of 10000 */
	ok(got[0] > 1070 && got[0] < 1270 && got[1] > 240 && got[1] < 380 && got[2] == 0,
	   "pss: in proportion to scores (%u %u %u)", got[0], got[1], got[2]);
	/* exp(-4x) + exp(-x) = 1 at exp(-x) = .7245 */
	ok(more[0] > 7100 && more[0] < 7390 && more[2] == 0,
	   "pss: also where most of the large ones are in (%u %u %u)", more[0], more[1], more[2]);
	free(values);
	free(tiers);
	lm_selection_free(s);
	model_free(m);
}

/* How many of the units of tensor 0 are in both selections. */
static uint64_t overlap(const struct lm_model *m, struct lm_select_options *o, uint8_t key,
			const struct lm_model *other, uint64_t *selected)
{
	struct lm_selection *a = selected_by(m, o, 1), *b;
	uint64_t n = lm_selection_of(a, 0)->units.count, both = 0;
	uint8_t *x, *y;

	memset(o->key, key, sizeof(o->key));
	b = selected_by(other, o, 1);
	x = tiers_of(m, a, 0, n);
	y = tiers_of(other, b, 0, n);
	*selected = 0;
	for (uint64_t i = 0; i < n; i++) {
		both += x[i] == 0 && y[i] == 0;
		*selected += x[i] == 0;
	}
	free(x);
	free(y);
	lm_selection_free(a);
	lm_selection_free(b);
	return both;
}

static void test_keys(void)
{
	static const struct lm_select_amount tenth[] = { { "a", true, 0.1, 0 } };
	struct lm_model *m = model_new(), *more = model_new();

	noise_state = 5;
	add_filled(m, "w", "F32", NORMAL, SHAPE(100, 100));
	noise_state = 5;
	add_filled(more, "w", "F32", NORMAL, SHAPE(100, 100));
	add_filled(more, "v", "F32", NORMAL, SHAPE(100, 100));
	for (int method = LM_SELECT_PSS; method <= LM_SELECT_RANDOM; method++) {
		struct lm_select_options o = options_of(
			(enum lm_select_method)method, LM_SCOPE_LAYER, tenth, 1);
		uint64_t n, same = overlap(m, &o, 9, m, &n), kept;

		if (method == LM_SELECT_MAGNITUDE)
			ok(same == n, "magnitude: the key changes nothing but ties");
		else
			ok(same < n / 2, "%s: another key, another set (%ju of %ju)",
			   method_names[method], (uintmax_t)same, (uintmax_t)n);
		kept = overlap(m, &o, 9, more, &n);
		ok(kept == n, "%s: tensors beside it change nothing", method_names[method]);
	}
	model_free(m);
	model_free(more);
}

/* Rows of very different size: normalised, each gives about as many. */
static void test_normalised(void)
{
	enum { ROWS = 64, COLUMNS = 512 };
	static const struct lm_select_amount tenth[] = { { "a", true, 0.1, 0 } };
	struct lm_select_options o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_LAYER, tenth, 1);
	struct lm_model *m = model_new();
	float *values = malloc(ROWS * COLUMNS * sizeof(*values));
	uint64_t shape[] = { ROWS, COLUMNS }, most[2] = { 0 }, most_column[2] = { 0 };

	for (size_t i = 0; i < ROWS * COLUMNS; i++)
		values[i] = (float)(normal() * (1 + (double)(i / COLUMNS)) *
				    (i % COLUMNS % 16 == 3 ? 20 : 1));
	add(m, "w", "F32", 2, shape, values);
	for (int raw = 0; raw < 2; raw++) {
		uint64_t row[ROWS] = { 0 }, column[COLUMNS] = { 0 };
		struct lm_selection *s;
		uint8_t *tiers;

		o.raw_scores = raw;
		s = selected_by(m, &o, 1);
		tiers = tiers_of(m, s, 0, 1000);
		for (size_t i = 0; i < ROWS * COLUMNS; i++)
			if (tiers[i] == 0) {
				row[i / COLUMNS]++;
				column[i % COLUMNS]++;
			}
		for (size_t i = 0; i < ROWS; i++)
			most[raw] = LM_MAX(most[raw], row[i]);
		for (size_t i = 0; i < COLUMNS; i++)
			most_column[raw] = LM_MAX(most_column[raw], column[i]);
		free(tiers);
		lm_selection_free(s);
	}
	ok(most[0] < 90 && most_column[0] < 24 && most_column[1] > 40,
	   "normalised: no row or column stands out (%ju %ju; raw %ju %ju)", (uintmax_t)most[0],
	   (uintmax_t)most_column[0], (uintmax_t)most[1], (uintmax_t)most_column[1]);
	free(values);
	model_free(m);
}

/* Large enough that a sample says where lines run; and where it must be wrong: the units that rank
 * highest lie together, where it does not look. */
static void test_sampled(void)
{
	enum { COUNT = 120000 };
	static const struct lm_select_amount two[] = { { "a", true, 0.04, 0 },
						       { "b", true, 0.08, 0 } };
	struct lm_select_options o = options_of(LM_SELECT_PSS, LM_SCOPE_EQUAL, two, 2);
	struct lm_model *m = model_new(), *clumped = model_new();
	float *values = malloc(COUNT * sizeof(*values));

	noise_state = 5;
	add_filled(m, "large", "F32", NORMAL, SHAPE(400, 300));
	add_filled(m, "other", "BF16", NORMAL, SHAPE(150, 200));
	add_filled(m, "small", "F16", NORMAL, SHAPE(40, 30));
	add_filled(m, "kernels", "F32", NORMAL, SHAPE(120, 90, 3, 3));
	check(m, &o, "with a sample");
	o.scope = LM_SCOPE_MODEL;
	check(m, &o, "with a sample of the model");
	o.method = LM_SELECT_RANDOM;
	check(m, &o, "with a sample, at random");
	model_free(m);
	for (size_t i = 0; i < COUNT; i++)
		values[i] = (float)normal() * (i / 2048 == 1 || i / 2048 == 6 ? 1000 : 1);
	add(clumped, "w", "F32", SHAPE(COUNT), values);
	o = options_of(LM_SELECT_MAGNITUDE, LM_SCOPE_EQUAL, two, 2);
	o.raw_scores = true;
	check(clumped, &o, "where a sample misleads");
	model_free(clumped);
	free(values);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		abort();
	test_all_ways();
	test_units();
	test_massive_ties();
	test_order();
	test_infinite_first();
	test_sampling();
	test_keys();
	test_normalised();
	test_sampled();
	return done();
}
