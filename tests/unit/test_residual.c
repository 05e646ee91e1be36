/* protect/ridge.c, grid.c, residual.c, ahead.c: decoys that are predicted. */
#include "crypto/crypto.h"
#include "lib/tap.h"
#include "protect/ahead.h"
#include "protect/residual.h"
#include "protect/ridge.h"
#include "unit/mask_world.h"

/* ---- regression ---- */

/* The prediction of number `j` of row `s`, by Gauss and Jordan, without it: weights solve
 * (C + mean(C) I) w = c over the others. */
static double predicted(const float *data, size_t count, size_t n, size_t s, size_t j)
{
	const size_t stride = lm_ridge_stride(n);
	double c[16][17] = { 0 }, mean = 0, sum = 0;
	size_t of[16], m = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t t = 0; t < count; t++)
			mean += (double)data[t * stride + i] * (double)data[t * stride + i] /
				(double)n;
	for (size_t i = 0; i < n; i++)
		if (i != j)
			of[m++] = i;
	for (size_t a = 0; a < m; a++) {
		for (size_t t = 0; t < count; t++) {
			const float *row = data + t * stride;

			for (size_t b = 0; b < m; b++)
				c[a][b] += (double)row[of[a]] * (double)row[of[b]];
			c[a][m] += (double)row[of[a]] * (double)row[j];
		}
		c[a][a] += mean;
	}
	for (size_t a = 0; a < m; a++)
		for (size_t b = 0; b < m; b++) {
			double f = b == a ? 0 : c[b][a] / c[a][a];

			for (size_t k = a; k <= m; k++)
				c[b][k] -= f * c[a][k];
		}
	for (size_t a = 0; a < m; a++)
		sum += c[a][m] / c[a][a] * (double)data[s * stride + of[a]];
	return sum;
}

static void test_ridge(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	for (size_t n = 2; n <= 14; n += 3) {
		const size_t stride = lm_ridge_stride(n), count = 41;
		float *data = calloc(count * stride, sizeof(*data));
		float *out = malloc(count * stride * sizeof(*out));
		double worst = 0;
		uint64_t seed = n;

		for (size_t s = 0; s < count; s++)
			for (size_t i = 0; i < n; i++)
				data[s * stride + i] = (float)(normal(&seed) + (double)i *
							       normal(&(uint64_t){ s * 977 }));
		need(lm_ridge_predict(data, count, n, out, &error), &error);
		for (size_t s = 0; s < count; s += 5)
			for (size_t j = 0; j < n; j++)
				worst = fmax(worst, fabs((double)out[s * stride + j] -
							 predicted(data, count, n, s, j)));
		ok(worst < 1e-3, "width %zu: each from the others (%g)", n, worst);
		memset(data, 0, count * stride * sizeof(*data));
		need(lm_ridge_predict(data, count, n, out, &error), &error);
		ok(is_zero((uint8_t *)out, count * stride * sizeof(*out)), "of zeros: zeros");
		free(data);
		free(out);
	}
}

/* ---- forms ---- */

static void check_form(enum lm_unit_kind kind, unsigned rank, const uint64_t *shape, size_t rows,
		       size_t columns, size_t inner)
{
	struct world w = { 0 };
	struct lm_grid g;
	bool got;

	add(&w, "t", "F32", kind, rank, shape, RULE_SHARE, 10);
	got = lm_grid_form(&g, &w.selection.of[0].units);
	if (rows == 0)
		ok(!got, "%s of rank %u: no grid", lm_unit_name(kind), rank);
	else
		ok(got && g.rows == rows && g.columns == columns && g.inner == inner &&
		   g.pieces == rows * columns, "%s of rank %u: %zu x %zu x %zu", lm_unit_name(kind),
		   rank, g.rows, g.columns, g.inner);
	clear(&w);
}

static void test_forms(void)
{
	static const uint64_t conv[] = { 20, 30, 3, 3 }, other[] = { 3, 3, 64, 32 };
	static const uint64_t matrix[] = { 40, 192 }, vector[] = { 900 }, large[] = { 1025, 1024 };
	static const uint64_t narrow[] = { 40, 64 };

	check_form(LM_UNIT_SLICE, 4, conv, 20, 30, 9);
	check_form(LM_UNIT_BLOCK, 4, conv, 20, 30, 9);
	check_form(LM_UNIT_ELEMENT, 4, other, 576, 32, 1);
	check_form(LM_UNIT_SLICE, 4, other, 0, 0, 0);
	check_form(LM_UNIT_ELEMENT, 2, matrix, 40, 192, 1);
	check_form(LM_UNIT_COLUMN, 2, matrix, 40, 192, 1);
	check_form(LM_UNIT_BLOCK, 2, matrix, 40, 3, 64);
	check_form(LM_UNIT_BLOCK, 2, narrow, 0, 0, 0);
	check_form(LM_UNIT_ROW, 2, matrix, 0, 0, 0);
	check_form(LM_UNIT_ELEMENT, 1, vector, 0, 0, 0);
	check_form(LM_UNIT_ELEMENT, 2, large, 0, 0, 0);
}

/* ---- decoys ---- */

static double value_at(const uint8_t *bytes, size_t i)
{
	float v;

	memcpy(&v, bytes + 4 * i, sizeof(v));
	return (double)v;
}

/* A matrix of rank 1 and noise of a tenth: what is hidden can be told from the rest, and a decoy
 * has the same structure and noise, but not the same values. */
static void test_structure(enum lm_unit_kind kind, unsigned rank)
{
	static const uint64_t shape[] = { 50, 60, 3, 3 };
	struct world w = { 0 };
	const struct lm_units *units = &w.selection.of[0].units;
	size_t inner = rank == 4 ? 9 : 1, n = 3000 * inner, hidden = 0;
	uint64_t seed = 5, a = 1000, b = 2000;
	double left[50], right[60], product = 0, own = 0, line = 0, off = 0, noise = 0;
	struct lm_mask *mask;
	uint8_t *base;

	add(&w, "t", "F32", kind, rank, shape, RULE_SHARE, 15);
	for (size_t i = 0; i < 50; i++)
		left[i] = normal(&a);
	for (size_t j = 0; j < 60; j++)
		right[j] = normal(&b);
	for (size_t i = 0; i < n; i++) {
		float v = (float)(left[i / inner / 60] * right[i / inner % 60] +
				  0.1 * normal(&seed));

		memcpy(w.bytes[0] + 4 * i, &v, sizeof(v));
	}
	flush(&w, 0);
	mask = mask_with(&w, "key", 1);
	base = filled(&w, mask, 0, 4 * n);
	for (size_t i = 0; i < n; i++) {
		double truth = left[i / inner / 60] * right[i / inner % 60];
		double decoy = value_at(base, i), was = value_at(w.bytes[0], i);

		if (!is_selected(&w.selection, 0, unit_of(units, 4 * i)))
			continue;
		hidden++;
		product += truth * decoy;
		own += decoy * decoy;
		line += truth * truth;
		off += (decoy - truth) * (decoy - truth);
		noise += (decoy - was) * (decoy - was);
	}
	ok(product / sqrt(own * line) > 0.95, "%s: along what is public (%.3f)",
	   lm_unit_name(kind), product / sqrt(own * line));
	off = sqrt(off / (double)hidden);
	noise = sqrt(noise / (double)hidden);
	ok(off > 0.07 && off < 0.3, "%s: as far from it as others are (%.3f)", lm_unit_name(kind),
	   off);
	ok(noise > 0.1, "%s: no true value comes back (%.3f)", lm_unit_name(kind), noise);
	free(base);
	lm_mask_free(mask);
	clear(&w);
}

/* Hidden values, those of all tiers, have no part in the fit: neither by scales nor by means. */
static void test_blind(void)
{
	static const uint64_t shape[] = { 24, 40, 3, 3 };
	struct world w = { 0 };
	const struct lm_units *units = &w.selection.of[0].units;
	struct lm_mask *mask;
	uint8_t *before, *after;
	size_t n = 24 * 40 * 36;

	add(&w, "t", "F32", LM_UNIT_SLICE, 4, shape, RULE_SHARE, 25);
	fill_normal(&w, 0, 0.05, 8);
	mask = mask_with(&w, "key", 1);
	before = filled(&w, mask, 0, n);
	lm_mask_free(mask);
	for (size_t i = 0; i < n / 4; i++)
		if (is_selected(&w.selection, 0, unit_of(units, 4 * i)))
			memcpy(w.bytes[0] + 4 * i, i % 3 == 0 ? &(float){ 1e30f } : &(float){ NAN },
			       4);
	flush(&w, 0);
	mask = mask_with(&w, "key", 3);
	after = filled(&w, mask, 0, n);
	ok(memcmp(before, after, n) == 0, "huge hidden values and NaN change nothing");
	lm_mask_free(mask);
	free(before);
	free(after);
	clear(&w);
}

/* Only as many tensors as the budget is for: then decoys come from the neighbourhood alone. */
static void test_cost(void)
{
	static const uint64_t square[] = { 512, 512 }, wide[] = { 1024, 600 };
	static const uint64_t large[] = { 2000, 1000 };
	struct world w = { 0 };
	uint64_t work, bytes, more;

	add(&w, "a", "F32", LM_UNIT_ELEMENT, 2, square, RULE_SHARE, 10);
	add(&w, "b", "F32", LM_UNIT_ELEMENT, 2, wide, RULE_SHARE, 10);
	add(&w, "c", "F32", LM_UNIT_ELEMENT, 2, large, RULE_SHARE, 10);
	ok(lm_ahead_cost(&w.selection.of[0].units, 100, &work, &bytes), "a matrix has a cost");
	ok(work >= 2 * 512 * 512 * 512, "of its size and of its sides");
	lm_ahead_cost(&w.selection.of[0].units, 200, &work, &more);
	ok(more == 2 * bytes && bytes >= 800, "bytes by what is hidden");
	lm_ahead_cost(&w.selection.of[0].units, UINT32_MAX, &work, &more);
	is_int((intmax_t)more, 8 * 512 * 512, "but not more than all");
	ok(lm_ahead_cost(&w.selection.of[1].units, 100, &work, &bytes) && work == 0,
	   "sides that are too long are not regressed");
	ok(!lm_ahead_cost(&w.selection.of[2].units, 100, &work, &bytes), "too large");
	clear(&w);
}

int main(void)
{
	need(lm_crypto_init(NULL), &(struct lmodel_error)LMODEL_ERROR_INIT);
	test_ridge();
	test_forms();
	test_structure(LM_UNIT_ELEMENT, 2);
	test_structure(LM_UNIT_SLICE, 4);
	test_structure(LM_UNIT_BLOCK, 4);
	test_blind();
	test_cost();
	return done();
}
