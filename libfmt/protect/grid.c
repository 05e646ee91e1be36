#include "protect/grid.h"

#include <math.h>

enum {
	BATCH = 512,
	LEAST = 40,        /* public pieces to predict from, and elements: */
	ELEMENTS_LEAST = 256,
	HELD_LEAST = 12,
	HELD_WANTED = 400, /* a tenth of the pieces, or more of a small tensor */
	ZEROS = 64,        /* one zero in so many: pruned, which predictions are not */
	ROUNDS = 2,        /* of scales of rows and of columns */
	COPY_LEAST = 8,    /* elements of which a copy would be none by chance */
};

struct loading {
	struct lm_grid *grid;
	const struct lm_units *units;
	uint8_t *known;          /* elements of a piece */
	size_t cell, zeros, elements;
};

bool lm_grid_form(struct lm_grid *g, const struct lm_units *u)
{
	uint64_t cell = u->element_bytes, all, rows, inner = 1;

	*g = (struct lm_grid){ 0 };
	if (u->rank < 2 || cell == 0 || u->unit_bytes < cell)
		return false;
	all = u->bytes / cell;
	if (all > LM_GRID_MOST)
		return false;
	rows = u->shape[0];
	for (unsigned i = 2; i < u->rank; i++)
		inner *= u->shape[i];
	if (u->rank == 2 && u->kind == LM_UNIT_BLOCK && u->shape[1] % (u->unit_bytes / cell) == 0)
		inner = u->unit_bytes / cell;
	if (inner > LM_GRID_INNER) {
		inner = 1;
		for (unsigned i = 1; i + 1 < u->rank && rows * rows < all; i++)
			rows *= u->shape[i];
	}
	g->rows = (size_t)rows;
	g->inner = (size_t)inner;
	g->columns = (size_t)(all / rows / inner);
	g->pieces = g->rows * g->columns;
	if (inner == 1 && lm_units_contiguous(u) && u->unit_bytes / cell >= g->columns)
		return false;
	return g->rows >= 2 && g->columns >= 2;
}

/* ---- what is public ---- */

static int visit(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
		 struct lmodel_error *error)
{
	struct loading *l = context;
	struct lm_grid *g = l->grid;
	size_t element = (size_t)(offset / l->cell), n = len / l->cell, step;
	double values[BATCH];

	(void)error;
	for (size_t at = 0; at < n; at += step) {
		step = LM_MIN(n - at, (size_t)BATCH);
		lm_dtype_values(l->units->dtype, bytes + at * l->cell, 0, step, values);
		for (size_t i = 0; i < step; i++) {
			float value = (float)values[i];

			if (!isfinite(value))
				continue;
			g->values[element + at + i] = value;
			l->known[(element + at + i) / g->inner]++;
			l->zeros += values[i] == 0;
			l->elements++;
		}
	}
	return LMODEL_OK;
}

static size_t unit_of(const struct lm_units *u, size_t element)
{
	if (!lm_units_contiguous(u))
		return element % (size_t)u->columns;
	return (size_t)(element * u->element_bytes / u->unit_bytes);
}

/* Pieces that are public as a whole; of those some are held, whole units of them, so that they are
 * as hard to predict as the hidden ones. Gives the number of open ones. */
static size_t part(struct loading *l, struct lm_keystream *random)
{
	struct lm_grid *g = l->grid;
	size_t open = 0, last = SIZE_MAX;
	uint32_t share;
	bool held = false;

	for (size_t p = 0; p < g->pieces; p++)
		open += l->known[p] == g->inner;
	share = (uint32_t)(0x1p32 * fmax(0.1, fmin(0.3, HELD_WANTED / (double)(open + 1))));
	for (size_t p = 0; p < g->pieces; p++) {
		size_t unit = unit_of(l->units, p * g->inner);
		uint8_t word[4];

		if (l->known[p] != g->inner) {
			memset(g->values + p * g->inner, 0, g->inner * sizeof(*g->values));
			continue;
		}
		if (unit != last) {
			lm_keystream_read(random, 4 * (uint64_t)unit, word, sizeof(word));
			held = lm_get_u32(word) < share;
			last = unit;
		}
		g->state[p] = held ? LM_PIECE_HELD : LM_PIECE_OPEN;
		g->held += held;
	}
	return open - g->held;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* FNV-1a by words: pieces are public, and nobody gains by a collision. */
uint64_t lm_grid_digest(const float *values, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, values + i, sizeof(bits));
		h = (h ^ bits) * UINT64_C(0x100000001b3);
		h ^= h >> 32;
	}
	return h;
}

static int list_digests(struct lm_grid *g, struct lmodel_error *error)
{
	g->digests = malloc(g->pieces * sizeof(*g->digests));
	if (g->digests == NULL)
		return lm_fail_memory(error);
	for (size_t p = 0; p < g->pieces; p++)
		if (g->state[p] != LM_PIECE_HIDDEN)
			g->digests[g->digest_count++] =
				lm_grid_digest(g->values + p * g->inner, g->inner);
	qsort(g->digests, g->digest_count, sizeof(*g->digests), by_number);
	return LMODEL_OK;
}

/* ---- scales ---- */

/* Square roots of means of squares; a line without an open piece takes another's, by lot. */
static void settle(float *scale, const double *sum, const uint32_t *count, size_t n,
		   struct lm_keystream *random, uint64_t offset)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		scale[i] = count[i] != 0 ? (float)sqrt(sum[i] / count[i]) : -1;
		known += count[i] != 0;
	}
	for (size_t i = 0; i < n; i++) {
		uint8_t word[8];
		size_t at;

		if (count[i] != 0)
			continue;
		lm_keystream_read(random, offset + 8 * i, word, sizeof(word));
		for (at = (size_t)(lm_get_u64(word) % n); known != 0 && count[at] == 0;)
			at = (at + 1) % n;
		scale[i] = known != 0 ? scale[at] : 1;
	}
}

static double square_of(const struct lm_grid *g, const float *values, size_t piece)
{
	const float *w = values + piece * g->inner;
	double sum = 0;

	for (size_t k = 0; k < g->inner; k++)
		sum += (double)w[k] * (double)w[k];
	return sum / (double)g->inner;
}

/* In turn rows by the scale of columns, and columns by that of rows. */
int lm_grid_scales(const struct lm_grid *g, const float *values, float *row, float *column,
		   struct lm_keystream *random, struct lmodel_error *error)
{
	const size_t most = LM_MAX(g->rows, g->columns);
	LM_FREE double *sum = malloc(most * sizeof(*sum));
	LM_FREE uint32_t *count = malloc(most * sizeof(*count));

	if (sum == NULL || count == NULL)
		return lm_fail_memory(error);
	for (size_t j = 0; j < g->columns; j++)
		column[j] = 1;
	for (size_t turn = 0; turn < 2 * (size_t)ROUNDS; turn++) {
		const bool rows = turn % 2 == 0;
		const float *by = rows ? column : row;

		memset(sum, 0, most * sizeof(*sum));
		memset(count, 0, most * sizeof(*count));
		for (size_t p = 0; p < g->pieces; p++) {
			size_t i = p / g->columns, j = p % g->columns, to = rows ? i : j;
			double other = (double)by[rows ? j : i];

			if (g->state[p] != LM_PIECE_OPEN)
				continue;
			count[to]++;
			if (other > 0)
				sum[to] += square_of(g, values, p) / (other * other);
		}
		settle(rows ? row : column, sum, count, rows ? g->rows : g->columns, random,
		       (UINT64_C(1) << 40) + turn * (UINT64_C(1) << 32));
	}
	return LMODEL_OK;
}

/* Divides by the scale, and takes the mean away. */
static void normalise(struct lm_grid *g, size_t open)
{
	for (size_t p = 0; p < g->pieces; p++) {
		double scale = (double)g->row[p / g->columns] * (double)g->column[p % g->columns];
		float *w = g->values + p * g->inner;

		for (size_t k = 0; k < g->inner; k++) {
			w[k] = scale > 0 ? (float)((double)w[k] / scale) : 0;
			if (g->state[p] == LM_PIECE_OPEN)
				g->mean[k] += (double)w[k] / (double)open;
		}
	}
	for (size_t p = 0; p < g->pieces; p++)
		for (size_t k = 0; k < g->inner && g->state[p] != LM_PIECE_HIDDEN; k++)
			g->values[p * g->inner + k] -= (float)g->mean[k];
}

int lm_grid_load(struct lm_grid *g, const struct lm_sample *sample, struct lm_keystream *random,
		 bool *usable, struct lmodel_error *error)
{
	LM_FREE uint8_t *known = calloc(g->pieces, 1);
	struct loading l = { .grid = g, .units = &sample->units, .known = known,
			     .cell = (size_t)sample->cell };
	struct lm_sample whole = *sample;
	size_t open;
	int r;

	*usable = false;
	whole.whole = true;
	g->values = calloc(g->pieces * g->inner, sizeof(*g->values));
	g->state = calloc(g->pieces, 1);
	g->row = malloc(g->rows * sizeof(*g->row));
	g->column = malloc(g->columns * sizeof(*g->column));
	if (known == NULL || g->values == NULL || g->state == NULL || g->row == NULL ||
	    g->column == NULL)
		return lm_fail_memory(error);
	r = lm_sample_run(&whole, visit, &l, error);
	if (r != LMODEL_OK)
		return r;
	open = part(&l, random);
	if (open + g->held < LEAST || l.elements < ELEMENTS_LEAST || g->held < HELD_LEAST ||
	    l.zeros > l.elements / ZEROS)
		return LMODEL_OK;
	if (g->inner >= COPY_LEAST && sample->units.dtype->bits >= 16)
		r = list_digests(g, error);
	if (r == LMODEL_OK)
		r = lm_grid_scales(g, g->values, g->row, g->column, random, error);
	if (r != LMODEL_OK)
		return r;
	normalise(g, open);
	*usable = true;
	return LMODEL_OK;
}

void lm_grid_free(struct lm_grid *g)
{
	free(g->values);
	free(g->state);
	free(g->row);
	free(g->column);
	free(g->digests);
	*g = (struct lm_grid){ 0 };
}
