#include "protect/detect.h"

#include <math.h>

static const char *const names[] = {
	[LM_DETECT_NORM] = "norm",
	[LM_DETECT_VALUE] = "value",
	[LM_DETECT_NORMALISED] = "normalised norm",
	[LM_DETECT_ROUGHNESS] = "roughness",
	[LM_DETECT_KURTOSIS] = "kurtosis",
	[LM_DETECT_PEAK] = "peak",
	[LM_DETECT_ROW_COSINE] = "row cosine",
	[LM_DETECT_COLUMN_COSINE] = "column cosine",
	[LM_DETECT_NEIGHBOUR_COSINE] = "neighbour cosine",
	[LM_DETECT_RESIDUAL] = "low-rank residual",
	[LM_DETECT_NEAREST] = "nearest unit",
	[LM_DETECT_GAP] = "nearest value",
	[LM_DETECT_MANTISSA] = "mantissa",
	[LM_DETECT_ROW_SCALE] = "row scale",
	[LM_DETECT_COLUMN_SCALE] = "column scale",
	[LM_DETECT_ROW_DENSITY] = "row density",
	[LM_DETECT_COLUMN_DENSITY] = "column density",
};

const char *lm_detector_name(enum lm_detector detector)
{
	return (size_t)detector < LM_COUNT(names) ? names[detector] : NULL;
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double lm_detect_auc(double *a, size_t n, double *b, size_t m)
{
	double above = 0;
	size_t low = 0, equal = 0;

	if (n == 0 || m == 0)
		return (double)NAN;
	qsort(a, n, sizeof(*a), by_value);
	qsort(b, m, sizeof(*b), by_value);
	for (size_t i = 0; i < n; i++) {
		while (low < m && b[low] < a[i])
			low++;
		equal = LM_MAX(equal, low);
		while (equal < m && b[equal] <= a[i])
			equal++;
		above += (double)low + (double)(equal - low) / 2;
	}
	return above / ((double)n * (double)m);
}

double lm_detect_tail(double *values, size_t n)
{
	double top, high, middle;

	if (n == 0)
		return (double)NAN;
	qsort(values, n, sizeof(*values), by_value);
	top = values[(size_t)(0.995 * (double)(n - 1))];
	high = values[(size_t)(0.95 * (double)(n - 1))];
	middle = values[(size_t)(0.5 * (double)(n - 1))];
	return high > middle ? (top - high) / (high - middle) : (double)NAN;
}

/* ---- samples ---- */

static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

struct sample {
	size_t *units;
	size_t count;
};

/* At most LM_DETECT_MOST of the units with this label, each as likely as the other. */
static int sample_label(struct sample *s, const struct lm_detect_view *v, uint8_t label,
			uint64_t *seed, struct lmodel_error *error)
{
	const size_t all = v->rows * v->columns;
	size_t left = 0, wanted;

	for (size_t i = 0; i < all; i++)
		left += v->labels[i] == label;
	wanted = LM_MIN(left, (size_t)LM_DETECT_MOST);
	s->units = malloc((wanted + 1) * sizeof(*s->units));
	if (s->units == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < all && s->count < wanted; i++) {
		if (v->labels[i] != label)
			continue;
		if (draw(seed) % left-- < wanted - s->count)
			s->units[s->count++] = i;
	}
	return LMODEL_OK;
}

/* Parts `s` in two by lot; the first gets `n`. */
static void part(const struct sample *s, size_t n, size_t *first, size_t *second, uint64_t *seed)
{
	size_t given = 0;

	for (size_t i = 0; i < s->count; i++)
		if (draw(seed) % (s->count - i) < n - given)
			first[given++] = s->units[i];
		else
			*second++ = s->units[i];
}

/* ---- all detectors ---- */

struct test {
	const struct lm_detect_state *state;
	double *a, *b;
};

/* Distances cost the product of both numbers: fewer of them, evenly taken. */
static size_t thin(size_t *to, const size_t *units, size_t n)
{
	enum { FEW = 1000 };
	size_t step = (n + FEW - 1) / FEW, count = 0;

	for (size_t i = 0; i < n; i += step)
		to[count++] = units[i];
	return count;
}

/* Which way a detector points is the attacker's guess, but for density: there a unit itself is left
 * out of the count, so that in rows of equal numbers the hidden ones have one fewer about them. */
static double fold(enum lm_detector detector, double auc)
{
	bool oneway = detector == LM_DETECT_ROW_DENSITY || detector == LM_DETECT_COLUMN_DENSITY;

	if (isnan(auc))
		return auc;
	return LM_MAX(auc, oneway ? 0.5 : 1 - auc);
}

static double area(const struct test *t, enum lm_detector d, const size_t *hidden, size_t n,
		   const size_t *public, size_t m)
{
	size_t some[2][1024];

	if (d == LM_DETECT_NEAREST) {
		n = thin(some[0], hidden, n);
		m = thin(some[1], public, m);
		hidden = some[0];
		public = some[1];
	}
	if (!lm_detect_feature(t->state, d, hidden, n, t->a) ||
	    !lm_detect_feature(t->state, d, public, m, t->b))
		return (double)NAN;
	return lm_detect_auc(t->a, n, t->b, m);
}

static void measure(struct lm_detect_result *r, const struct test *t, const struct sample *hidden,
		    const struct sample *public, size_t *lot, uint64_t *seed)
{
	const size_t n = LM_MIN(hidden->count, public->count / 2);

	for (size_t d = 0; d < LM_DETECTORS; d++)
		r->raw[d] = area(t, (enum lm_detector)d, hidden->units, hidden->count,
				 public->units, public->count);
	part(public, n, lot, lot + n, seed);
	for (size_t d = 0; d < LM_DETECTORS; d++)
		r->raw_lot[d] = area(t, (enum lm_detector)d, lot, n, lot + n, public->count - n);
	for (size_t d = 0; d < LM_DETECTORS; d++) {
		r->auc[d] = fold((enum lm_detector)d, r->raw[d]);
		r->lot[d] = fold((enum lm_detector)d, r->raw_lot[d]);
	}
	r->measured = hidden->count >= LM_DETECT_LEAST && public->count >= LM_DETECT_LEAST;
	r->pooled = true;
}

/* The tail of the norms as they are, and by row and column: the one that is cut more. */
static void measure_tail(struct lm_detect_result *r, const struct test *t,
			 const struct sample *public)
{
	enum { LEAST = 400 };
	double other = (double)NAN;

	if (public->count < LEAST ||
	    !lm_detect_feature(t->state, LM_DETECT_NORM, public->units, public->count, t->b))
		return;
	r->tail = lm_detect_tail(t->b, public->count);
	if (lm_detect_feature(t->state, LM_DETECT_NORMALISED, public->units, public->count, t->b))
		other = lm_detect_tail(t->b, public->count);
	r->tail = isnan(other) ? r->tail : fmin(r->tail, other);
	r->tail_known = !isnan(r->tail);
}

static int detect(struct lm_detect_result *r, const struct lm_detect_view *v, uint8_t label,
		  const struct sample *hidden, const struct sample *public, uint64_t *seed,
		  struct lmodel_error *error)
{
	LM_FREE double *a = malloc((LM_DETECT_MOST + 1) * sizeof(*a));
	LM_FREE double *b = malloc((LM_DETECT_MOST + 1) * sizeof(*b));
	LM_FREE size_t *lot = malloc((public->count + 1) * sizeof(*lot));
	struct lm_detect_state *state = lm_detect_state_new(v, label, error);
	const struct test t = { .state = state, .a = a, .b = b };

	if (state == NULL)
		return LMODEL_EFAILED;
	if (a == NULL || b == NULL || lot == NULL) {
		lm_detect_state_free(state);
		return lm_fail_memory(error);
	}
	measure(r, &t, hidden, public, lot, seed);
	measure_tail(r, &t, public);
	lm_detect_state_free(state);
	return LMODEL_OK;
}

int lm_detect(const struct lm_detect_view *v, uint8_t label, struct lm_detect_result *result,
	      struct lmodel_error *error)
{
	struct sample hidden = { 0 }, public = { 0 };
	uint64_t seed = label;
	int r;

	*result = (struct lm_detect_result){ 0 };
	r = sample_label(&hidden, v, label, &seed, error);
	if (r == LMODEL_OK)
		r = sample_label(&public, v, 0, &seed, error);
	if (r == LMODEL_OK && hidden.count >= LM_DETECT_FEW && public.count >= LM_DETECT_FEW)
		r = detect(result, v, label, &hidden, &public, &seed, error);
	free(hidden.units);
	free(public.units);
	return r;
}
