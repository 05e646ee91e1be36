/* protect/detect.c: detectors on what is known to differ, and on what is not. */
#include "protect/detect.h"

#include <math.h>

#include "lib/tap.h"

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)(state >> 11) / 0x1p53;
}

static double normal(void)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

/* ---- figures ---- */

static void test_auc(void)
{
	double a[] = { 3, 1, 2 }, b[] = { 6, 4, 5 }, c[] = { 1, 1 }, d[] = { 1, 1, 1 };
	double e[] = { 1, 3 }, f[] = { 2, 2, 3 }, n[4000], m[3000], o[3000];

	ok(lm_detect_auc(a, 3, b, 3) == 0, "auc: all below");
	ok(lm_detect_auc(b, 3, a, 3) == 1, "auc: all above");
	ok(lm_detect_auc(c, 2, d, 3) == 0.5, "auc: ties count half");
	/* 1: none; 3: above two, one tie. */
	ok(lm_detect_auc(e, 2, f, 3) == 2.5 / 6, "auc: some ties");
	ok(isnan(lm_detect_auc(a, 0, b, 3)) && isnan(lm_detect_auc(a, 3, b, 0)), "auc: of nothing");
	for (int i = 0; i < 4000; i++)
		n[i] = normal();
	for (int i = 0; i < 3000; i++) {
		m[i] = normal();
		o[i] = normal() + 1;
	}
	ok(fabs(lm_detect_auc(n, 4000, m, 3000) - 0.5) < 0.03, "auc: one distribution");
	/* P(X + 1 > Y) = Phi(1 / sqrt 2) */
	ok(fabs(lm_detect_auc(o, 3000, n, 4000) - 0.7602) < 0.03, "auc: shifted by one deviation");
}

static void test_tail(void)
{
	static double v[100000];
	double one[1] = { 1 }, same[500];

	for (int i = 0; i < 100000; i++)
		v[i] = -log(uniform() + 1e-300);
	ok(fabs(lm_detect_tail(v, 100000) - 1) < 0.1, "tail: exponential is 1");
	/* Sorted by now: without its largest 8 %. */
	ok(lm_detect_tail(v, 92000) < 0.4, "tail: cut off");
	for (int i = 0; i < 100000; i++)
		v[i] = fabs(normal());
	ok(fabs(lm_detect_tail(v, 100000) - 0.66) < 0.1, "tail: half normal");
	for (int i = 0; i < 500; i++)
		same[i] = 2;
	ok(isnan(lm_detect_tail(same, 500)) && isnan(lm_detect_tail(one, 1)) &&
	   isnan(lm_detect_tail(one, 0)), "tail: of nothing");
}

/* ---- views ---- */

struct world {
	struct lm_detect_view view;
	size_t all;
};

/* Normal values on all; `share` of the units have label 2, and 1 of 50 another one. */
static struct world make(size_t rows, size_t columns, size_t inner, double share)
{
	struct world w = { .all = rows * columns };

	w.view = (struct lm_detect_view){ .rows = rows, .columns = columns, .inner = inner };
	w.view.values = malloc(w.all * inner * sizeof(double));
	w.view.labels = malloc(w.all);
	if (w.view.values == NULL || w.view.labels == NULL)
		abort();
	for (size_t i = 0; i < w.all * inner; i++)
		w.view.values[i] = (double)(float)normal();
	for (size_t i = 0; i < w.all; i++)
		w.view.labels[i] = uniform() < share ? 2 : uniform() < 0.02 ? 1 : 0;
	return w;
}

static void release(struct world *w)
{
	free(w->view.values);
	free(w->view.labels);
}

static struct lm_detect_result detect(const struct world *w)
{
	struct lm_detect_result r;
	struct lmodel_error e = LMODEL_ERROR_INIT;

	if (lm_detect(&w->view, 2, &r, &e) != LMODEL_OK)
		abort();
	return r;
}

static double most(const double *figures)
{
	double highest = 0;

	for (size_t d = 0; d < LM_DETECTORS; d++)
		highest = isnan(figures[d]) ? highest : fmax(highest, figures[d]);
	return highest;
}

static unsigned applied(const struct lm_detect_result *r)
{
	unsigned n = 0;

	for (size_t d = 0; d < LM_DETECTORS; d++)
		n += isnan(r->auc[d]) ? 0 : 1;
	return n;
}

static void test_nothing_to_find(void)
{
	static const struct {
		size_t rows, columns, inner;
		unsigned detectors;
		const char *name;
	} all[] = {
		{ 100, 100, 9, 14, "slices" }, { 200, 200, 1, 10, "elements" },
		{ 4000, 1, 64, 9, "blocks" }, { 40000, 1, 1, 4, "vector" },
	};

	for (size_t i = 0; i < LM_COUNT(all); i++) {
		struct world w = make(all[i].rows, all[i].columns, all[i].inner, 0.2);
		struct lm_detect_result r = detect(&w);

		ok(r.measured && most(r.auc) < 0.56, "%s: nothing is found where nothing is (%.3f)",
		   all[i].name, most(r.auc));
		ok(most(r.lot) < 0.56, "%s: nor by lot (%.3f)", all[i].name, most(r.lot));
		is_int(applied(&r), all[i].detectors, "detectors that apply");
		ok(r.tail_known && r.tail > 0.4, "%s: the tail is whole (%.2f)", all[i].name,
		   r.tail);
		release(&w);
	}
}

/* Each change of the hidden units is what one detector is for; it has to see it. */
enum change { LARGER, SHIFTED, SMOOTH, SPIKED, ALONG_ROW, ALONG_COLUMN, COPIED, COARSE };

static void change(struct world *w, enum change c)
{
	const struct lm_detect_view *v = &w->view;

	for (size_t i = 0; i < w->all; i++) {
		double *u = v->values + i * v->inner;
		const double *row = v->values + i / v->columns * v->columns * v->inner;

		if (v->labels[i] != 2)
			continue;
		for (size_t k = 0; k < v->inner; k++)
			switch (c) {
			case LARGER: u[k] *= 2; break;
			case SHIFTED: u[k] += 2; break;
			case SMOOTH: u[k] = k > 0 ? 0.9 * u[k - 1] + 0.2 * u[k] : u[k]; break;
			case SPIKED: u[k] = k == 4 ? 6 : u[k] / 2; break;
			case ALONG_ROW: u[k] = row[k]; break;
			case ALONG_COLUMN: u[k] = v->values[i % v->columns * v->inner + k]; break;
			case COPIED: u[k] = v->values[(i * 7 % w->all / 2) * v->inner + k]; break;
			case COARSE: u[k] = rint(u[k] * 16) / 16; break;
			}
	}
}

static void test_seen(void)
{
	static const struct {
		enum change change;
		size_t inner;
		enum lm_detector by;
		double least;
	} all[] = {
		{ LARGER, 9, LM_DETECT_NORM, 0.95 }, { LARGER, 9, LM_DETECT_NORMALISED, 0.95 },
		{ LARGER, 1, LM_DETECT_NORM, 0.65 }, { SHIFTED, 1, LM_DETECT_VALUE, 0.9 },
		{ SHIFTED, 9, LM_DETECT_VALUE, 0.99 }, { SMOOTH, 9, LM_DETECT_ROUGHNESS, 0.95 },
		{ SPIKED, 9, LM_DETECT_PEAK, 0.95 }, { SPIKED, 9, LM_DETECT_KURTOSIS, 0.9 },
		{ ALONG_ROW, 9, LM_DETECT_ROW_COSINE, 0.9 },
		{ ALONG_COLUMN, 9, LM_DETECT_COLUMN_COSINE, 0.9 },
		{ ALONG_ROW, 9, LM_DETECT_RESIDUAL, 0.6 }, { COPIED, 9, LM_DETECT_NEAREST, 0.6 },
		{ COARSE, 1, LM_DETECT_MANTISSA, 0.99 }, { COARSE, 1, LM_DETECT_GAP, 0.8 },
	};

	for (size_t i = 0; i < LM_COUNT(all); i++) {
		struct world w = make(80, 100, all[i].inner, 0.2);
		struct lm_detect_result r;

		change(&w, all[i].change);
		r = detect(&w);
		ok(r.auc[all[i].by] >= all[i].least, "change %d is seen by %s (%.3f)",
		   (int)all[i].change, lm_detector_name(all[i].by), r.auc[all[i].by]);
		ok(r.lot[all[i].by] < 0.56, "and not by lot (%.3f)", r.lot[all[i].by]);
		release(&w);
	}
}

/* Units are hidden in some rows more than in others, and nothing is changed. */
static void test_places(void)
{
	struct world w = make(100, 100, 1, 0);
	struct lm_detect_result r;

	for (size_t i = 0; i < w.all; i++) {
		if (uniform() < (i / 100 % 2 == 0 ? 0.3 : 0.05))
			w.view.labels[i] = 2;
		if (i / 100 % 2 == 0)
			w.view.values[i] *= 3;
	}
	r = detect(&w);
	ok(r.auc[LM_DETECT_ROW_DENSITY] > 0.7, "places: dense rows (%.3f)",
	   r.auc[LM_DETECT_ROW_DENSITY]);
	ok(r.auc[LM_DETECT_ROW_SCALE] > 0.7, "places: rows of large values (%.3f)",
	   r.auc[LM_DETECT_ROW_SCALE]);
	ok(r.auc[LM_DETECT_COLUMN_DENSITY] < 0.56 && r.auc[LM_DETECT_COLUMN_SCALE] < 0.56,
	   "places: not by columns");
	release(&w);

	/* Just as many in each row: who is left out has one fewer about him. No attacker can. */
	w = make(100, 100, 1, 0);
	for (size_t i = 0; i < w.all; i++)
		w.view.labels[i] = i % 50 == i / 100 * 37 % 50 ? 2 : 0;
	r = detect(&w);
	ok(r.auc[LM_DETECT_ROW_DENSITY] < 0.51, "places: equal numbers are no trace (%.3f)",
	   r.auc[LM_DETECT_ROW_DENSITY]);
	release(&w);
}

static void test_absence(void)
{
	struct world w = make(100, 100, 1, 0);
	struct lm_detect_result r;

	for (size_t i = 0; i < w.all; i++) {
		w.view.labels[i] = 0;
		if (fabs(w.view.values[i]) > 1.6) {
			w.view.labels[i] = 2;
			w.view.values[i] = normal() / 2;
		}
	}
	r = detect(&w);
	ok(r.tail_known && r.tail < 0.4, "absence: the largest are gone (%.2f)", r.tail);
	release(&w);
}

static void test_limits(void)
{
	struct world w = make(10, 20, 3, 0);
	struct lm_detect_result r, again;

	for (size_t i = 0; i < w.all; i++)
		w.view.labels[i] = i < 63 ? 2 : 0;
	ok(!detect(&w).measured, "63 hidden units are too few");
	r = detect(&w);
	ok(r.pooled && fabs(r.raw[LM_DETECT_NORM] - 0.5) < 0.15,
	   "but a part of what is pooled (%.3f)", r.raw[LM_DETECT_NORM]);
	w.view.labels[63] = 2;
	ok(detect(&w).measured, "64 will do");
	for (size_t i = 0; i < w.all; i++)
		w.view.labels[i] = i < 63 ? 0 : 2;
	ok(!detect(&w).measured, "63 public units are too few");
	for (size_t i = 0; i < w.all; i++) {
		w.view.labels[i] = i < 8 ? 2 : 0;
		for (size_t k = 0; k < 3 && i < 8; k++)
			w.view.values[3 * i + k] /= 100;
	}
	r = detect(&w);
	ok(r.pooled && !r.measured && r.raw[LM_DETECT_NORM] < 0.05,
	   "pooled areas say which way a detector points (%.3f)", r.raw[LM_DETECT_NORM]);
	w.view.labels[7] = 0;
	ok(!detect(&w).pooled, "7 are too few for that");
	release(&w);

	/* More than are looked at: a sample, and always the same one. */
	w = make(300, 300, 1, 0.5);
	change(&w, LARGER);
	r = detect(&w);
	again = detect(&w);
	ok(memcmp(&r, &again, sizeof(r)) == 0, "the same figures again");
	ok(r.auc[LM_DETECT_NORM] > 0.65, "of a sample (%.3f)", r.auc[LM_DETECT_NORM]);
	release(&w);

	/* Nothing but zeros; the largest values that a view may have. */
	w = make(50, 50, 9, 0.2);
	for (size_t i = 0; i < w.all * 9; i++)
		w.view.values[i] = 0;
	r = detect(&w);
	ok(most(r.auc) < 0.6 && !r.tail_known, "zeros: nothing to tell (%.3f)", most(r.auc));
	for (size_t i = 0; i < w.all * 9; i++)
		w.view.values[i] = i % 3 == 0 ? LM_DETECT_VALUE_MOST : -LM_DETECT_VALUE_MOST;
	r = detect(&w);
	ok(most(r.auc) < 0.6, "largest values: nothing to tell (%.3f)", most(r.auc));
	release(&w);
}

static void test_names(void)
{
	unsigned bad = 0;

	for (size_t i = 0; i < LM_DETECTORS; i++)
		for (size_t k = 0; k < i; k++)
			bad += lm_detector_name((enum lm_detector)i) == NULL ||
			       strcmp(lm_detector_name((enum lm_detector)i),
				      lm_detector_name((enum lm_detector)k)) == 0;
	is_int(bad, 0, "each detector has a name of its own");
	ok(lm_detector_name(LM_DETECTORS) == NULL, "no detector, no name");
}

int main(void)
{
	test_auc();
	test_tail();
	test_nothing_to_find();
	test_seen();
	test_places();
	test_absence();
	test_limits();
	test_names();
	return done();
}
