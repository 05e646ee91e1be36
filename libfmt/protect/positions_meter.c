#include "protect/golomb.h"

/* Every form's length follows from the lengths of the maximal runs and of the stretches between
 * them, so it is enough to count these: short ones by length, for long ones (rare, for they are
 * long) the costs of all candidates are added up at once. */

enum {
	BINS = 1024,
	SMALL = 16, /* every parameter up to here is a candidate, then powers of two */
	NEAR = 9,
	CANDIDATES = SMALL + 59 + NEAR,
	POWERS = 63,
};

struct candidates {
	struct lm_golomb golomb[CANDIDATES];
	uint64_t bits[CANDIDATES]; /* cost of the long ones */
	unsigned count;
};

struct lm_positions_meter {
	uint64_t universe, count, runs;
	uint64_t start, end;       /* the run that may still grow */
	uint64_t before;           /* length of the stretch before the first run */
	bool invalid;
	uint64_t stretch[BINS];    /* between two runs, by length */
	uint64_t run[BINS];        /* finished runs, by length */
	uint64_t most_stretch, most_run; /* highest bin in use */
	struct candidates gaps, complement;
	uint64_t long_stretch[POWERS], long_run[POWERS]; /* form RUNS, by log2 of the parameter */
};

static void add_candidate(struct candidates *c, uint64_t m, uint64_t universe)
{
	if (m >= 1 && m <= universe)
		c->golomb[c->count++] = lm_golomb(m);
}

/* The best parameter for numbers of this density by chance is about ln 2 times the mean gap, that
 * for clustered ones is less. */
static void make_candidates(struct candidates *c, uint64_t universe, uint64_t count)
{
	static const unsigned eighths[NEAR] = { 2, 3, 5, 6, 7, 8, 9, 10, 12 };
	uint64_t mean = (universe - count) / LM_MAX(count, (uint64_t)1);
	uint64_t best = mean / 100 * 69 + mean % 100 * 69 / 100;

	for (uint64_t m = 1; m <= SMALL; m++)
		add_candidate(c, m, universe);
	for (unsigned b = 5; b < POWERS; b++)
		add_candidate(c, (uint64_t)1 << b, universe);
	for (unsigned i = 0; i < NEAR; i++)
		if (best > SMALL)
			add_candidate(c, best / 8 * eighths[i] + best % 8 * eighths[i] / 8,
				      universe);
}

struct lm_positions_meter *lm_positions_meter_new(uint64_t universe, uint64_t expected_count,
						  struct lmodel_error *error)
{
	struct lm_positions_meter *m;
	uint64_t count = LM_MIN(expected_count, universe);

	if (universe > (uint64_t)INT64_MAX) {
		lm_fail(error, LMODEL_ELIMIT, "positions: %ju numbers", (uintmax_t)universe);
		return NULL;
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	m->universe = universe;
	make_candidates(&m->gaps, universe, count);
	make_candidates(&m->complement, universe, universe - count);
	return m;
}

static void add_long(struct candidates *c, uint64_t powers[POWERS], uint64_t length)
{
	for (unsigned i = 0; i < c->count; i++)
		c->bits[i] += lm_golomb_cost(&c->golomb[i], length);
	for (unsigned b = 0; b < POWERS; b++)
		powers[b] += ((length - 1) >> b) + 1 + b;
}

static void count_run(struct lm_positions_meter *m, uint64_t length)
{
	m->runs++;
	if (length < BINS) {
		m->run[length]++;
		m->most_run = LM_MAX(m->most_run, length);
	} else {
		add_long(&m->complement, m->long_run, length);
	}
}

static void count_stretch(struct lm_positions_meter *m, uint64_t length)
{
	if (length < BINS) {
		m->stretch[length]++;
		m->most_stretch = LM_MAX(m->most_stretch, length);
	} else {
		add_long(&m->gaps, m->long_stretch, length);
	}
}

void lm_positions_meter_add(struct lm_positions_meter *m, uint64_t first, uint64_t count)
{
	if (count == 0)
		return;
	if (first < m->end || first >= m->universe || count > m->universe - first) {
		m->invalid = true;
		return;
	}
	if (m->count == 0) {
		m->before = m->start = first;
	} else if (first > m->end) {
		count_run(m, m->end - m->start);
		count_stretch(m, first - m->end);
		m->start = first;
	}
	m->count += count;
	m->end = first + count;
}

/* Most runs are single numbers, and most stretches short: these are counted apart, the rest as
 * above. */
void lm_positions_meter_numbers(struct lm_positions_meter *m, uint64_t first, const uint32_t *at,
				size_t count)
{
	uint64_t singles = 0;
	size_t i = 0;

	for (; i < count && m->count == 0; i++)
		lm_positions_meter_add(m, first + at[i], 1);
	while (i < count && !m->invalid) {
		uint64_t end = m->end;
		size_t from = i;

		/* As long as a run of one number is followed by a short stretch. */
		while (i < count && m->end - m->start == 1) {
			const uint64_t stretch = first + at[i] - end;

			if (stretch - 1 >= BINS - 1)
				break;
			m->stretch[stretch]++;
			m->most_stretch = LM_MAX(m->most_stretch, stretch);
			end += stretch + 1;
			i++;
		}
		if (end > m->universe) {
			m->invalid = true;
			break;
		}
		singles += i - from;
		m->count += i - from;
		if (i > from) {
			m->end = end;
			m->start = end - 1;
		}
		if (i < count) {
			lm_positions_meter_add(m, first + at[i], 1);
			i++;
		}
	}
	m->run[1] += singles;
	m->runs += singles;
	if (singles > 0)
		m->most_run = LM_MAX(m->most_run, 1);
}

/* a + n * each, or the highest number where that is too much: such a form is never the cheapest,
 * for gaps with the parameter 1 take no more bits than the universe has numbers. */
static uint64_t add_times(uint64_t a, uint64_t n, uint64_t each)
{
	uint64_t product, sum;

	return lm_mul(n, each, &product) && lm_add(a, product, &sum) ? sum : UINT64_MAX;
}

static uint64_t bins_cost(const struct lm_golomb *g, const uint64_t *bins, uint64_t most,
			  uint64_t less, uint64_t bits)
{
	for (uint64_t v = less; v <= most; v++)
		if (bins[v] != 0)
			bits = add_times(bits, bins[v], lm_golomb_cost(g, v - less));
	return bits;
}

static void offer(struct lm_positions_form *best, uint64_t *best_bytes, unsigned form, uint64_t gap,
		  uint64_t run, uint64_t bits)
{
	struct lm_positions_form f = *best;
	uint8_t head[LM_POSITIONS_HEAD_MAX];
	uint64_t bytes;

	f.form = form;
	f.gap = gap;
	f.run = run;
	bytes = bits / 8 + (bits % 8 != 0) + lm_positions_head(&f, head);
	if (bytes >= *best_bytes)
		return;
	*best = f;
	*best_bytes = best->len = bytes;
}

/* Gaps before the numbers of the set: each stretch is one, and within runs they are 0. */
static void offer_gaps(const struct lm_positions_meter *m, struct lm_positions_form *best,
		       uint64_t *bytes)
{
	for (unsigned i = 0; i < m->gaps.count; i++) {
		const struct lm_golomb *g = &m->gaps.golomb[i];
		uint64_t bits = bins_cost(g, m->stretch, m->most_stretch, 0, m->gaps.bits[i]);

		bits = add_times(bits, 1, lm_golomb_cost(g, m->before));
		bits = add_times(bits, m->count - m->runs, g->bits + 1);
		offer(best, bytes, LM_POSITIONS_GAPS, g->m, 0, bits);
	}
}

/* The same with runs and stretches changing places. The last run was not counted with the others:
 * no gap when it reaches the end of the universe. */
static void offer_complement(const struct lm_positions_meter *m, struct lm_positions_form *best,
			     uint64_t *bytes)
{
	bool trailing = m->end < m->universe, leading = m->before > 0;
	uint64_t stretches = m->runs - 1 + leading + trailing;
	uint64_t zeros = m->universe - m->count - stretches + leading;

	for (unsigned i = 0; i < m->complement.count; i++) {
		const struct lm_golomb *g = &m->complement.golomb[i];
		uint64_t bits = bins_cost(g, m->run, m->most_run, 0, m->complement.bits[i]);

		if (trailing)
			bits = add_times(bits, 1, lm_golomb_cost(g, m->end - m->start));
		bits = add_times(bits, zeros, g->bits + 1);
		offer(best, bytes, LM_POSITIONS_COMPLEMENT, g->m, 0, bits);
	}
}

static void offer_runs(const struct lm_positions_meter *m, struct lm_positions_form *best,
		       uint64_t *bytes)
{
	uint64_t least[2] = { UINT64_MAX, UINT64_MAX }, parameter[2] = { 1, 1 };

	for (unsigned b = 0; b < POWERS && (uint64_t)1 << b <= m->universe; b++) {
		struct lm_golomb g = lm_golomb((uint64_t)1 << b);
		uint64_t bits[2] = {
			bins_cost(&g, m->stretch, m->most_stretch, 1, m->long_stretch[b]),
			bins_cost(&g, m->run, m->most_run, 1, m->long_run[b]),
		};

		bits[0] = add_times(bits[0], 1, lm_golomb_cost(&g, m->before));
		bits[1] = add_times(bits[1], 1, lm_golomb_cost(&g, m->end - m->start - 1));
		for (int i = 0; i < 2; i++)
			if (bits[i] < least[i]) {
				least[i] = bits[i];
				parameter[i] = g.m;
			}
	}
	offer(best, bytes, LM_POSITIONS_RUNS, parameter[0], parameter[1],
	      add_times(least[0], 1, least[1]));
}

void lm_positions_meter_finish(struct lm_positions_meter *m, struct lm_positions_form *form)
{
	struct lm_positions_form f = { .universe = m->universe, .count = m->count,
				       .last_plus = m->end };
	uint64_t bytes = UINT64_MAX;

	if (m->count > 0)
		m->runs++; /* the last one, of length end - start */
	f.runs = m->runs;
	if (m->invalid) {
		f.form = LM_POSITIONS_INVALID;
	} else if (m->count == 0) {
		offer(&f, &bytes, LM_POSITIONS_NONE, 0, 0, 0);
	} else if (m->count == m->universe) {
		offer(&f, &bytes, LM_POSITIONS_ALL, 0, 0, 0);
	} else {
		offer_gaps(m, &f, &bytes);
		offer_complement(m, &f, &bytes);
		offer_runs(m, &f, &bytes);
	}
	*form = f;
}

void lm_positions_meter_free(struct lm_positions_meter *meter)
{
	free(meter);
}
