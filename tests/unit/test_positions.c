/* protect/positions_*.c: sets of numbers as bits, there and back, and streams that lie. */
#include "protect/positions.h"

#include <math.h>

#include "lib/tap.h"

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double uniform(void)
{
	return (double)(next_random() >> 11) * 0x1p-53;
}

/* ---- sets and streams in memory ---- */

struct run {
	uint64_t first, count;
};

struct set {
	uint64_t universe, numbers;
	struct run *runs;
	size_t count, capacity;
};

static void add(struct set *s, uint64_t first, uint64_t count)
{
	if (lm_grow(&s->runs, s->count, &s->capacity, sizeof(*s->runs), NULL) != LMODEL_OK)
		abort();
	s->runs[s->count++] = (struct run){ first, count };
	s->numbers += count;
}

static void clear(struct set *s, uint64_t universe)
{
	s->universe = universe;
	s->numbers = 0;
	s->count = 0;
}

struct stream {
	uint8_t *bytes;
	size_t len, capacity, at;
	size_t piece; /* most bytes that one read gives */
	size_t fail_at;
};

static int write_bytes(void *context, const uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	struct stream *s = context;

	if (s->fail_at != 0 && s->len + len >= s->fail_at)
		return lm_fail(error, LMODEL_EFAILED, "no space");
	if (s->len + len > s->capacity) {
		s->capacity = 2 * (s->len + len);
		s->bytes = realloc(s->bytes, s->capacity);
		if (s->bytes == NULL)
			abort();
	}
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
	return LMODEL_OK;
}

static int read_bytes(void *context, uint8_t *buffer, size_t len, size_t *got,
		      struct lmodel_error *error)
{
	struct stream *s = context;

	if (s->fail_at != 0 && s->at >= s->fail_at)
		return lm_fail(error, LMODEL_EFAILED, "no medium");
	*got = LM_MIN(s->len - s->at, len);
	if (s->piece != 0)
		*got = LM_MIN(*got, s->piece);
	if (*got > 0)
		memcpy(buffer, s->bytes + s->at, *got);
	s->at += *got;
	return LMODEL_OK;
}

static struct lm_positions_form measure(const struct set *s, uint64_t expected)
{
	struct lm_positions_meter *m = lm_positions_meter_new(s->universe, expected, NULL);
	struct lm_positions_form form;

	if (m == NULL)
		abort();
	for (size_t i = 0; i < s->count; i++)
		lm_positions_meter_add(m, s->runs[i].first, s->runs[i].count);
	lm_positions_meter_finish(m, &form);
	lm_positions_meter_free(m);
	return form;
}

static int write_set(const struct set *s, const struct lm_positions_form *form, struct stream *out,
		     struct lmodel_error *error)
{
	struct lm_positions_writer *w = lm_positions_writer_new(form, write_bytes, out, error);
	int r = LMODEL_OK;

	out->len = 0;
	if (w == NULL)
		return LMODEL_EFAILED;
	for (size_t i = 0; i < s->count && r == LMODEL_OK; i++)
		r = lm_positions_writer_add(w, s->runs[i].first, s->runs[i].count, error);
	if (r == LMODEL_OK)
		r = lm_positions_writer_finish(w, error);
	lm_positions_writer_free(w);
	return r;
}

/* Reads to the end, `most` numbers at once where they come so, or, with 0, one by one. */
static int digest_of(struct stream *in, uint64_t universe, size_t most, uint64_t *digest,
		     struct lmodel_error *error)
{
	uint64_t numbers[600], first, count = 1;
	struct lm_positions_reader *r;
	int rc = LMODEL_OK;

	in->at = 0;
	*digest = 1;
	r = lm_positions_reader_new(universe, read_bytes, in, error);
	while (r != NULL && rc == LMODEL_OK && count > 0) {
		size_t got = 0;

		if (most > 0)
			rc = lm_positions_reader_numbers(r, numbers, most, &got, error);
		if (rc == LMODEL_OK && got == 0)
			rc = lm_positions_reader_next(r, &first, &count, error);
		for (size_t i = 0; i < got; i++)
			*digest = (*digest ^ numbers[i]) * 0x9e3779b97f4a7c15u;
		for (uint64_t i = 0; rc == LMODEL_OK && got == 0 && i < LM_MIN(count, 10000u); i++)
			*digest = (*digest ^ (first + i)) * 0x9e3779b97f4a7c15u;
	}
	lm_positions_reader_free(r);
	return (int)error->code;
}

/* In batches of whatever size it is the same numbers, or the same refusal. */
static bool same_in_batches(struct stream *in, uint64_t universe)
{
	static const size_t sizes[] = { 5, 512 };
	struct lmodel_error one = LMODEL_ERROR_INIT;
	uint64_t digest, other;
	int rc = digest_of(in, universe, 0, &digest, &one);
	bool same = true;

	for (size_t i = 0; i < LM_COUNT(sizes); i++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;

		same &= digest_of(in, universe, sizes[i], &other, &e) == rc &&
			(rc == LMODEL_OK ? digest == other : strcmp(e.message, one.message) == 0);
	}
	return same;
}

/* Whether the stream holds just this set, in whatever pieces. */
static bool holds(struct stream *in, const struct set *s, size_t piece)
{
	struct lm_positions_reader *r;
	uint64_t first, count, expected = 0, within = 0;
	size_t i = 0;
	bool good;

	in->at = 0;
	in->piece = piece;
	r = lm_positions_reader_new(s->universe, read_bytes, in, NULL);
	if (r == NULL)
		return false;
	good = lm_positions_reader_count(r) == s->numbers;
	while (good && (good = lm_positions_reader_next(r, &first, &count, NULL) == LMODEL_OK) &&
	       count > 0)
		while (count > 0 && good) {
			if (i < s->count && within == s->runs[i].count) {
				i++;
				within = 0;
			}
			good = i < s->count && first == s->runs[i].first + within;
			expected = good ? LM_MIN(count, s->runs[i].count - within) : 0;
			within += expected;
			first += expected;
			count -= expected;
		}
	good = good && (s->count == 0 || (i == s->count - 1 && within == s->runs[i].count));
	/* asked once more, it stays at the end */
	good = good && lm_positions_reader_next(r, &first, &count, NULL) == LMODEL_OK && count == 0;
	lm_positions_reader_free(r);
	return good && same_in_batches(in, s->universe);
}

enum { LISTED = 200000, WINDOW = 1000 };

/* The set as lists of numbers, of windows. False where a list is refused. */
static bool each_list(const struct set *s, struct lm_positions_meter *m,
		      struct lm_positions_writer *w)
{
	uint32_t at[WINDOW];
	uint64_t base = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		for (uint64_t k = 0; k < s->runs[i].count; k++) {
			const uint64_t number = s->runs[i].first + k;

			if (n == WINDOW || number - base > UINT32_MAX) {
				if (m != NULL)
					lm_positions_meter_numbers(m, base, at, n);
				else if (lm_positions_writer_numbers(w, base, at, n, NULL))
					return false;
				base = number;
				n = 0;
			}
			at[n++] = (uint32_t)(number - base);
		}
	if (m != NULL)
		lm_positions_meter_numbers(m, base, at, n);
	return m != NULL || lm_positions_writer_numbers(w, base, at, n, NULL) == LMODEL_OK;
}

/* Whether lists of numbers give the same form and bytes as runs. */
static bool same_listed(const struct set *s, const struct lm_positions_form *form,
			const struct stream *wanted)
{
	struct lm_positions_meter *m = lm_positions_meter_new(s->universe, s->numbers, NULL);
	struct lm_positions_form listed;
	struct stream out = { 0 };
	struct lm_positions_writer *w;
	bool good;

	if (m == NULL)
		abort();
	each_list(s, m, NULL);
	lm_positions_meter_finish(m, &listed);
	lm_positions_meter_free(m);
	w = lm_positions_writer_new(form, write_bytes, &out, NULL);
	if (w == NULL)
		abort();
	good = listed.form == form->form && listed.gap == form->gap && listed.run == form->run &&
	       listed.len == form->len && listed.count == form->count &&
	       listed.runs == form->runs && listed.last_plus == form->last_plus;
	good = good && each_list(s, NULL, w) && lm_positions_writer_finish(w, NULL) == LMODEL_OK &&
	       out.len == wanted->len && memcmp(out.bytes, wanted->bytes, out.len) == 0;
	lm_positions_writer_free(w);
	free(out.bytes);
	return good;
}

/* Measured, written and read; 0 when all went well. */
static unsigned trip(const struct set *s, struct stream *out, struct lm_positions_form *form)
{
	*form = measure(s, s->numbers);
	return form->universe != s->universe || form->count != s->numbers ||
	       write_set(s, form, out, NULL) != LMODEL_OK || out->len != form->len ||
	       !holds(out, s, 0) ||
	       (s->numbers <= LISTED && !same_listed(s, form, out));
}

/* ---- small universes ---- */

/* Every set of numbers below 12. */
static void test_exhaustive(void)
{
	struct set s = { 0 };
	struct stream out = { 0 };
	struct lm_positions_form form;
	unsigned bad = 0, forms[5] = { 0 }, longer = 0;

	for (unsigned n = 0; n <= 12; n++)
		for (unsigned bits = 0; bits < 1u << n; bits++) {
			bool whole = bits % 3 == 0; /* one by one, or in maximal runs */

			clear(&s, n);
			for (unsigned i = 0; i < n; i++)
				if (bits >> i & 1 && whole && i > 0 && bits >> (i - 1) & 1) {
					s.runs[s.count - 1].count++;
					s.numbers++;
				} else if (bits >> i & 1) {
					add(&s, i, 1);
				}
			bad += trip(&s, &out, &form);
			bad += !holds(&out, &s, 1);
			longer += out.len > 4 + (n + 7) / 8;
			if (form.form < 5)
				forms[form.form]++;
		}
	is_int(bad, 0, "every set of numbers below 12");
	is_int(longer, 0, "... in no more bits than one a number, and a head");
	ok(forms[0] == 13 && forms[1] == 12 && forms[2] > 0, "... the trivial ones as such");
	free(s.runs);
	free(out.bytes);
}

/* The bytes that some form takes for the set. */
static uint64_t length_in(const struct set *s, struct stream *out, struct lm_positions_form form)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	/* A length that is not known: the writer refuses to give fewer bytes than that, but by then
	 * has given all of them. */
	form.len = UINT64_MAX;
	if (write_set(s, &form, out, &error) != LMODEL_EFAILED)
		abort();
	return out->len;
}

static void test_every_parameter(void)
{
	struct set s = { 0 };
	struct stream out = { 0 };
	unsigned bad = 0, better = 0;

	for (unsigned bits = 1; bits < 1023; bits++) {
		struct lm_positions_form best;

		clear(&s, 10);
		for (unsigned i = 0; i < 10; i++)
			if (bits >> i & 1)
				add(&s, i, 1);
		best = measure(&s, s.numbers);
		for (unsigned kind = LM_POSITIONS_GAPS; kind <= LM_POSITIONS_RUNS; kind++)
			for (uint64_t gap = 1; gap <= 10; gap++)
				for (uint64_t run = 1; run <= 8; run *= 2) {
					struct lm_positions_form f = best;

					if (kind != LM_POSITIONS_RUNS ? run > 1 :
					    (gap & (gap - 1)) != 0)
						continue;
					f.form = kind;
					f.gap = gap;
					f.run = run;
					better += length_in(&s, &out, f) < best.len;
					bad += !holds(&out, &s, 0);
				}
	}
	is_int(bad, 0, "every set of numbers below 10, in every form");
	is_int(better, 0, "... none of which is shorter than the one found by measuring");
	free(s.runs);
	free(out.bytes);
}

/* ---- large ones ---- */

static void random_set(struct set *s, uint64_t universe, double density)
{
	clear(s, universe);
	if (density < 0.5) {
		/* from gap to gap */
		double scale = log1p(-density);
		uint64_t at = 0;

		for (;;) {
			double gap = floor(log(1 - uniform()) / scale);

			if (gap >= (double)(universe - at))
				return;
			at += (uint64_t)gap;
			add(s, at++, 1);
			if (at >= universe)
				return;
		}
	}
	for (uint64_t i = 0; i < universe; i++)
		if (uniform() < density)
			add(s, i, 1);
}

static double bound(const struct set *s)
{
	double n = (double)s->universe, k = (double)s->numbers;

	return (lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)) / log(2) / 8;
}

static void test_random(void)
{
	static const double densities[] = {
		0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.05, 0.08, 0.1, 0.13, 0.15, 0.2, 0.25,
		0.3, 0.35, 0.382, 0.4, 0.45, 0.5, 0.55, 0.6, 0.618, 0.65, 0.7, 0.8, 0.9, 0.95, 0.99,
		0.999, 0.9999,
	};
	struct set s = { 0 };
	struct stream out = { 0 };
	double worst = 0;

	for (size_t i = 0; i < LM_COUNT(densities); i++)
		for (int large = 0; large < 2; large++) {
			double rarer = LM_MIN(densities[i], 1 - densities[i]), over;
			struct lm_positions_form f;
			uint64_t n = (uint64_t)((large ? 20000 : 1200) / rarer);

			random_set(&s, LM_MIN(n, (uint64_t)12000000), densities[i]);
			if (trip(&s, &out, &f) != 0) {
				ok(0, "random set of density %g", densities[i]);
				continue;
			}
			/* The head counts only where it is not most of what is above the bound. */
			over = (double)(f.len - (large ? 0 : 8)) / bound(&s) - 1;
			worst = LM_MAX(worst, over);
			if (!large || i % 5 == 0)
				printf("# %g, %ju numbers: form %u, M %ju, %ju bytes, %+.2f %%\n",
				       densities[i], (uintmax_t)s.numbers, f.form,
				       (uintmax_t)f.gap, (uintmax_t)f.len, 100 * over);
			ok(over < 0.05, "random set of density %g, %s: within 5 %% of the bound",
			   densities[i], large ? "large" : "small");
		}
	printf("# at worst %.2f %%\n", 100 * worst);
	free(s.runs);
	free(out.bytes);
}

static void test_runs(void)
{
	static const uint64_t universes[] = { 5000, 1000000, (uint64_t)1 << 40, INT64_MAX };
	struct set s = { 0 };
	struct stream out = { 0 };
	struct lm_positions_form f;
	unsigned bad = 0, long_ones = 0;

	for (size_t u = 0; u < LM_COUNT(universes); u++)
		for (unsigned n = 1; n < 300; n++) {
			uint64_t at = 0, part = universes[u] / (n + 1) + 1;

			clear(&s, universes[u]);
			for (unsigned i = 0; i < n && at < universes[u]; i++) {
				uint64_t count;

				at += next_random() % part;
				if (at >= universes[u])
					break;
				count = 1 + next_random() % part / (1 + n % 5);
				count = LM_MIN(count, universes[u] - at);
				add(&s, at, count);
				at += count;
			}
			bad += trip(&s, &out, &f);
			long_ones += f.len > LM_POSITIONS_HEAD_MAX + s.count * 17;
		}
	is_int(bad, 0, "runs of any length");
	is_int(long_ones, 0, "... take little more than what says where they are");

	clear(&s, 100000000);
	add(&s, 12345678, 5000000);
	add(&s, 62345678, 4000);
	ok(trip(&s, &out, &f) == 0 && f.form == LM_POSITIONS_RUNS && f.len <= 28,
	   "two long runs: %ju bytes", (uintmax_t)f.len);
	clear(&s, (uint64_t)1 << 62);
	add(&s, 0, (uint64_t)1 << 62);
	ok(trip(&s, &out, &f) == 0 && f.form == LM_POSITIONS_ALL && f.len <= 10, "all of them");
	clear(&s, INT64_MAX);
	add(&s, INT64_MAX - 1, 1);
	ok(trip(&s, &out, &f) == 0 && f.len <= 40, "the very last one: %ju bytes",
	   (uintmax_t)f.len);
	clear(&s, INT64_MAX);
	add(&s, 0, INT64_MAX - 1);
	ok(trip(&s, &out, &f) == 0 && f.len <= 40, "all but the very last one");
	free(s.runs);
	free(out.bytes);
}

/* Clusters, as a selection by magnitude makes them. */
static void test_clusters(void)
{
	struct set s = { 0 };
	struct stream out = { 0 };
	unsigned bad = 0;

	for (unsigned n = 0; n < 60; n++) {
		struct lm_positions_form f;
		uint64_t universe = 1 + next_random() % 200000;
		double density = pow(uniform(), 3);

		clear(&s, universe);
		for (uint64_t i = 0; i < universe; i++) {
			if (i % 777 == 0)
				density = pow(uniform(), 1 + n % 7);
			if (uniform() < density)
				add(&s, i, 1);
		}
		bad += trip(&s, &out, &f);
		bad += !holds(&out, &s, 1 + next_random() % 100);
		/* A wrong guess costs length alone. */
		f = measure(&s, next_random());
		bad += write_set(&s, &f, &out, NULL) != LMODEL_OK || !holds(&out, &s, 0);
		f = measure(&s, 0);
		bad += write_set(&s, &f, &out, NULL) != LMODEL_OK || !holds(&out, &s, 0);
	}
	is_int(bad, 0, "sets of changing density, read in pieces of any length");
	free(s.runs);
	free(out.bytes);
}

/* ---- misuse ---- */

static void test_misuse(void)
{
	struct set s = { 0 }, other = { 0 };
	struct stream out = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_positions_form f;
	unsigned bad = 0;

	ok(lm_positions_meter_new((uint64_t)INT64_MAX + 1, 1, &error) == NULL, "too many numbers");
	is_error(&error, LMODEL_ELIMIT, "positions: 9223372036854775808", "... says so");
	clear(&s, 100);
	add(&s, 5, 10);
	add(&s, 14, 1);
	f = measure(&s, 11);
	is_int(f.form, LM_POSITIONS_INVALID, "numbers that do not ascend");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	ok(lm_positions_writer_new(&f, write_bytes, &out, &error) == NULL, "... are not written");
	is_error(&error, LMODEL_EFAILED, "no ascending numbers below 100", "... says so");
	clear(&s, 100);
	add(&s, 99, 2);
	is_int(measure(&s, 2).form, LM_POSITIONS_INVALID, "numbers beyond the universe");
	add(&s, 3, UINT64_MAX - 2);
	is_int(measure(&s, 2).form, LM_POSITIONS_INVALID, "... far beyond");

	/* Measured one set, wrote another: an error, or by chance the same length; never a byte
	 * more than was announced. */
	for (unsigned n = 0; n < 2000; n++) {
		uint64_t universe = 1 + next_random() % 3000;
		int r;

		random_set(&s, universe, uniform() * uniform());
		random_set(&other, universe, uniform() * uniform());
		f = measure(&s, s.numbers);
		r = write_set(&other, &f, &out, NULL);
		bad += out.len > f.len || (r == LMODEL_OK && (out.len != f.len ||
							      other.numbers != s.numbers));
	}
	is_int(bad, 0, "another set than was measured");

	random_set(&s, 3000000, 0.1);
	f = measure(&s, s.numbers);
	out.fail_at = 20000;
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(write_set(&s, &f, &out, &error), LMODEL_EFAILED, "a write that fails");
	is_error(&error, LMODEL_EFAILED, "no space", "... says so");
	out.fail_at = 0;
	is_int(write_set(&s, &f, &out, NULL), LMODEL_OK, "and one that does not");
	out.fail_at = 20000;
	ok(!holds(&out, &s, 0), "a read that fails");
	out.fail_at = 0;
	ok(holds(&out, &s, 0), "... and one that does not");
	free(s.runs);
	free(other.runs);
	free(out.bytes);
}

/* ---- streams that lie ---- */

enum outcome { REFUSED, SOUND, WRONG };

/* Reads to the end: refused as corrupt, or an ascending set of the count that the head says. */
static enum outcome outcome_of(const uint8_t *bytes, size_t len, uint64_t universe)
{
	struct stream in = { .len = len };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_positions_reader *r;
	uint64_t first, count, end = 0, sum = 0;
	enum outcome result = SOUND;
	int rc;

	in.bytes = malloc(len + 1);
	if (in.bytes == NULL)
		abort();
	memcpy(in.bytes, bytes, len);
	r = lm_positions_reader_new(universe, read_bytes, &in, &error);
	if (r == NULL) {
		free(in.bytes);
		return error.code == LMODEL_ECORRUPT ? REFUSED : WRONG;
	}
	while ((rc = lm_positions_reader_next(r, &first, &count, &error)) == LMODEL_OK &&
	       count > 0) {
		if (first < end || first >= universe || count > universe - first)
			result = WRONG;
		end = first + count;
		sum += count;
	}
	if (sum > lm_positions_reader_count(r) ||
	    (rc == LMODEL_OK && sum != lm_positions_reader_count(r)) || (int)error.code != rc)
		result = WRONG;
	if (rc != LMODEL_OK && result == SOUND) {
		/* and it stays so */
		int again = lm_positions_reader_next(r, &first, &count, NULL);

		result = rc == LMODEL_ECORRUPT && again == rc && count == 0 ? REFUSED : WRONG;
	}
	lm_positions_reader_free(r);
	if (!same_in_batches(&in, universe))
		result = WRONG;
	free(in.bytes);
	return result;
}

static void test_hostile(void)
{
	static const double densities[] = { 0.01, 0.1, 0.45, 0.8, 0.99 };
	struct set s = { 0 };
	struct stream out = { 0 };
	unsigned seen[3] = { 0 }, cut = 0, longer = 0, universes = 0, flips = 0, forms = 0;

	for (unsigned n = 0; n < 24; n++) {
		struct lm_positions_form f;
		uint64_t at = 0;

		if (n % 6 < 5) {
			random_set(&s, 200 + next_random() % 900, densities[n % 6]);
		} else {
			clear(&s, 20000);
			while ((at += 1 + next_random() % 400) < 19000) {
				add(&s, at, 1 + next_random() % 400);
				at += s.runs[s.count - 1].count;
			}
		}
		if (trip(&s, &out, &f) != 0)
			abort();
		forms |= 1u << f.form;
		for (size_t i = 0; i < out.len; i++) {
			cut += outcome_of(out.bytes, i, s.universe) != REFUSED;
			for (unsigned x = 1; x < 256; x = i < 12 ? x + 1 : x * 2) {
				out.bytes[i] ^= (uint8_t)x;
				seen[outcome_of(out.bytes, out.len, s.universe)]++;
				flips++;
				out.bytes[i] ^= (uint8_t)x;
			}
		}
		universes += outcome_of(out.bytes, out.len, s.universe + 1) != REFUSED;
		if (out.len + 40 > out.capacity)
			out.bytes = realloc(out.bytes, out.capacity = out.len + 40);
		memset(out.bytes + out.len, 0, 40);
		longer += outcome_of(out.bytes, out.len + 1, s.universe) != REFUSED;
		longer += outcome_of(out.bytes, out.len + 40, s.universe) != REFUSED;
	}
	is_int((int)forms, 1 << LM_POSITIONS_GAPS | 1 << LM_POSITIONS_COMPLEMENT |
	       1 << LM_POSITIONS_RUNS, "streams of every form");
	printf("# %u changed: %u refused, %u another set\n", flips, seen[REFUSED], seen[SOUND]);
	is_int(seen[WRONG], 0, "... any byte changed: refused, or a sound set");
	ok(seen[REFUSED] > flips / 10, "... many are refused");
	is_int(cut, 0, "... cut anywhere: refused");
	is_int(longer, 0, "... with bytes behind the end: refused");
	is_int(universes, 0, "... for a tensor of another size: refused");
	free(s.runs);
	free(out.bytes);
}

static void refuses(const char *bytes, size_t len, uint64_t universe, const char *part)
{
	struct stream in = { .len = len, .bytes = malloc(len + 1) };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_positions_reader *r;
	uint64_t first, count = 1;

	if (in.bytes == NULL)
		abort();
	memcpy(in.bytes, bytes, len);
	r = lm_positions_reader_new(universe, read_bytes, &in, &error);
	while (r != NULL && lm_positions_reader_next(r, &first, &count, &error) == LMODEL_OK &&
	       count > 0)
		;
	is_error(&error, LMODEL_ECORRUPT, part, part);
	lm_positions_reader_free(r);
	if (!same_in_batches(&in, universe))
		ok(0, "... in batches");
	free(in.bytes);
}

#define REFUSES(text, universe, part) refuses((text), sizeof(text) - 1, (universe), (part))

static void test_heads(void)
{
	static const char whole[] = "\2\10\2\1\x22"; /* of 8: 1 and 5, unary */
	struct set s = { 0 };
	struct stream in = { .bytes = (uint8_t[8]){ 0 }, .len = sizeof(whole) - 1 };

	memcpy(in.bytes, whole, in.len);
	clear(&s, 8);
	add(&s, 1, 1);
	add(&s, 5, 1);
	ok(holds(&in, &s, 0), "a stream by hand");
	free(s.runs);
	REFUSES("", 8, "cut short");
	REFUSES("\5\10", 8, "unknown form");
	REFUSES("\2\11\2\1\x22", 8, "another size");
	REFUSES("\2\x88\0\2\1\x22", 8, "not in short form");
	REFUSES("\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", UINT64_MAX, "too large");
	REFUSES("\2\10\0\1\x22", 8, "wrong count");
	REFUSES("\2\10\10\1\xff", 8, "wrong count");
	REFUSES("\2\10\2\0\x22", 8, "wrong parameter");
	REFUSES("\2\10\2\11\x22", 8, "wrong parameter");
	REFUSES("\2\10\2\1\xa2", 8, "bits behind");
	REFUSES("\2\10\2\1\x22\0", 8, "bytes behind");
	REFUSES("\2\10\3\1\x22", 8, "beyond the tensor");
	REFUSES("\2\10\2\1\0\0\0\0\0\0\0\0\0\0\0\x22", 8, "beyond the tensor");
	REFUSES("\2\10\2\1\x02\2", 8, "beyond the tensor");
	REFUSES("\0\10\0", 8, "bytes behind");
	REFUSES("\1\10\0", 8, "bytes behind");
	REFUSES("\1\0", 0, "all of nothing");
	REFUSES("\4\10\4\0\0\0\xff", 8, "wrong number of runs");
	REFUSES("\4\10\4\5\0\0\xff", 8, "wrong number of runs");
	REFUSES("\2\10", 8, "cut short");
	REFUSES("\3\10\2\1\xf0", 8, "more numbers than the count");
	REFUSES("\4\10\6\4\0\0\xff", 8, "wrong number of runs");
	REFUSES("\4\10\4\1\x3f\0\xff", 8, "parameter is too large");
	REFUSES("\4\10\4\1\4\0\xff", 8, "wrong parameter");
	REFUSES("\4\10\4\1\0\4\xff", 8, "wrong parameter");
	REFUSES("\4\10\4\1\0\0\3", 8, "do not add up");
	REFUSES("\4\10\4\1\0\0\x81", 8, "beyond the tensor or the count");
}

int main(void)
{
	test_exhaustive();
	test_every_parameter();
	test_random();
	test_runs();
	test_clusters();
	test_misuse();
	test_hostile();
	test_heads();
	return done();
}
