#include "protect/donors.h"

#include <math.h>

#include "protect/gather.h"

enum {
	DISTINCT = 8,    /* fewer than one distinct value in so many donors: levels, not numbers */
	THIN_LEAST = 64, /* residuals of a small tensor that are kept, at least */
};

bool lm_donors_numeric(const struct lm_dtype *dtype)
{
	static const char *const names[] = { "F16", "BF16", "F32", "F64", "C64", "F8_E4M3",
					     "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ" };

	for (size_t i = 0; i < LM_COUNT(names); i++)
		if (strcmp(dtype->name, names[i]) == 0)
			return true;
	return false;
}

/* FNV-1a: donors are public, and nobody gains by a collision (one decoy is drawn again). */
uint64_t lm_donors_digest(const uint8_t *bytes, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* Finite floats, by bytes of their bits from the lowest up: with the sign turned, and below zero
 * all the rest, these sort as the numbers do. `spare` is twice as long. */
static void sort_floats(float *table, uint32_t *spare, size_t n)
{
	uint32_t *from = spare, *to = spare + n, *other;

	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, table + i, sizeof(bits));
		from[i] = bits ^ ((0u - (bits >> 31)) | 0x80000000u);
	}
	for (unsigned shift = 0; shift < 32; shift += 8) {
		size_t ends[256] = { 0 }, sum = 0;

		for (size_t i = 0; i < n; i++)
			ends[from[i] >> shift & 255]++;
		for (size_t i = 0; i < 256; i++) {
			const size_t count = ends[i];

			ends[i] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			to[ends[from[i] >> shift & 255]++] = from[i];
		other = from;
		from = to;
		to = other;
	}
	for (size_t i = 0; i < n; i++) {
		const uint32_t bits = from[i] ^ (((from[i] >> 31) - 1u) | 0x80000000u);

		memcpy(table + i, &bits, sizeof(bits));
	}
}

static int sort_table(struct lm_donors *donors, struct lmodel_error *error)
{
	LM_FREE uint32_t *spare = malloc((donors->count + (size_t)1) * 2 * sizeof(*spare));

	if (spare == NULL)
		return lm_fail_memory(error);
	sort_floats(donors->table, spare, donors->count);
	return LMODEL_OK;
}

static int compare_digests(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Adds a number to a table of 2^bits, of which at least one is free; whether it is new there. */
static bool is_new(uint64_t *table, unsigned bits, double value)
{
	const size_t mask = ((size_t)1 << bits) - 1;
	uint64_t word;
	size_t at;

	value += 0.0; /* no negative zero */
	memcpy(&word, &value, sizeof(word));
	word++; /* finite: 0 is a free place */
	at = (size_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
	for (; table[at] != 0; at = (at + 1) & mask)
		if (table[at] == word)
			return false;
	table[at] = word;
	return true;
}

/* Ternary weights, masks, constants: values in between would stand out. */
static bool has_levels(const struct lm_gather *g, bool *failed)
{
	const size_t n = (size_t)g->base, most = n / DISTINCT;
	LM_FREE uint64_t *table = NULL;
	size_t distinct = 0;
	unsigned bits = 4;

	if (g->donors->components != 1 || !g->numeric ||
	    g->donors->dtype->bits < 16)
		return false;
	while ((size_t)1 << bits < 2 * most)
		bits++;
	table = calloc((size_t)1 << bits, sizeof(*table));
	*failed = table == NULL;
	for (size_t i = 0; i < n && distinct <= most && !*failed; i++)
		distinct += is_new(table, bits, g->values[i]);
	return !*failed && distinct <= most;
}

static int keep_cells(struct lm_donors *donors, struct lm_gather *g, struct lmodel_error *error)
{
	donors->form = LM_DONORS_CELLS;
	donors->count = (uint32_t)g->base;
	if (g->cells != NULL) {
		donors->cells = g->cells;
		g->cells = NULL;
		return LMODEL_OK;
	}
	donors->cells = malloc((size_t)(g->base * donors->cell));
	if (donors->cells == NULL)
		return lm_fail_memory(error);
	lm_dtype_store(donors->dtype, g->values, (size_t)g->base, donors->cells);
	return LMODEL_OK;
}

/* Of a small tensor few decoys are drawn: a quarter of its residuals, evenly spread from the lowest to
 * the highest, say as much of where they may lie. There may be very many of these. */
static void thin(struct lm_donors *donors, size_t cells)
{
	const uint32_t wanted = (uint32_t)LM_MAX(cells / 4, (size_t)THIN_LEAST);
	void *less;

	if (cells >= LM_GATHER_CELLS || wanted >= donors->count)
		return;
	for (uint32_t i = 0; i < wanted; i++)
		donors->table[i] = donors->table[(uint64_t)i * (donors->count - 1) / (wanted - 1)];
	donors->count = wanted;
	less = realloc(donors->table, (wanted + (size_t)1) * sizeof(*donors->table));
	if (less != NULL)
		donors->table = less;
}

static int keep_values(struct lm_donors *donors, const struct lm_gather *g,
		       struct lmodel_error *error)
{
	size_t n = (size_t)g->base;

	donors->form = LM_DONORS_VALUES;
	donors->table = malloc((n + 1) * sizeof(*donors->table));
	if (donors->components == 2)
		donors->phases = malloc(2 * n * sizeof(*donors->phases));
	if (donors->table == NULL || (donors->components == 2 && donors->phases == NULL))
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++) {
		const double *value = g->values + i * donors->components;
		double scale = lm_gather_scale(donors, g->elements[i]), size;

		if (!(scale > 0) || !isfinite((float)(value[0] / scale)))
			continue; /* a place of zeros says nothing about others */
		if (donors->components == 1) {
			donors->table[donors->count++] = (float)(value[0] / scale);
			continue;
		}
		size = hypot(value[0], value[1]);
		if (!isfinite((float)(size / scale)))
			continue;
		donors->phases[2 * donors->count] = size > 0 ? (float)(value[0] / size) : 1;
		donors->phases[2 * donors->count + 1] = size > 0 ? (float)(value[1] / size) : 0;
		donors->table[donors->count++] = (float)(size / scale);
	}
	if (sort_table(donors, error) != LMODEL_OK)
		return LMODEL_EFAILED;
	if (donors->components == 1)
		thin(donors, n);
	if (donors->count != 0) /* a table of one still has two ends */
		donors->table[donors->count] = donors->table[donors->count - 1];
	return LMODEL_OK;
}

/* Lists the directions by row and by column group, so that a decoy can be mixed from its own
 * neighbours. Donors come by ascending unit number, which is by rows. */
static int index_slices(struct lm_donors *donors, const struct lm_gather *g, const uint64_t *units,
			struct lmodel_error *error)
{
	uint32_t n = donors->direction_count;
	LM_FREE uint32_t *next = NULL;

	donors->row_first = calloc(g->row_groups + 1, sizeof(uint32_t));
	donors->column_first = calloc(g->column_groups + 1, sizeof(uint32_t));
	donors->by_column = malloc(((size_t)n + 1) * sizeof(uint32_t));
	next = malloc(g->column_groups * sizeof(*next));
	if (donors->row_first == NULL || donors->column_first == NULL ||
	    donors->by_column == NULL || next == NULL)
		return lm_fail_memory(error);
	for (uint32_t i = 0; i < n; i++) {
		donors->row_first[units[i] / donors->columns / donors->row_group + 1]++;
		donors->column_first[units[i] % donors->columns / donors->column_group + 1]++;
	}
	for (uint64_t i = 0; i < g->row_groups; i++)
		donors->row_first[i + 1] += donors->row_first[i];
	for (uint64_t i = 0; i < g->column_groups; i++) {
		next[i] = donors->column_first[i];
		donors->column_first[i + 1] += donors->column_first[i];
	}
	for (uint32_t i = 0; i < n; i++)
		donors->by_column[next[units[i] % donors->columns / donors->column_group]++] = i;
	return LMODEL_OK;
}

static int keep_slices(struct lm_donors *donors, struct lm_gather *g, struct lmodel_error *error)
{
	uint32_t length = g->length;
	LM_FREE uint64_t *units = malloc(g->slices_taken * sizeof(*units));

	donors->form = LM_DONORS_SLICES;
	donors->length = length;
	donors->table = malloc(g->slices_taken * sizeof(*donors->table));
	if (donors->table == NULL || units == NULL)
		return lm_fail_memory(error);
	donors->directions = g->slices;
	g->slices = NULL;
	for (uint64_t i = 0; i < g->slices_taken; i++) {
		const float *from = donors->directions + i * length;
		float *to = donors->directions + (size_t)donors->direction_count * length;
		double scale = lm_gather_scale(donors, g->slice_units[i] * donors->inner);
		double square = 0, norm;

		for (uint32_t k = 0; k < length; k++)
			square += (double)from[k] * (double)from[k];
		norm = sqrt(square);
		if (!(scale > 0) || !isfinite((float)(norm / scale)))
			continue;
		donors->table[donors->count++] = (float)(norm / scale);
		if (!(norm > 0))
			continue; /* a pruned slice: a norm to draw, but no direction */
		for (uint32_t k = 0; k < length; k++)
			to[k] = (float)((double)from[k] / norm);
		units[donors->direction_count++] = g->slice_units[i];
	}
	if (sort_table(donors, error) != LMODEL_OK)
		return LMODEL_EFAILED;
	donors->digests = g->digests;
	g->digests = NULL;
	donors->digest_count = (uint32_t)g->slices_taken;
	qsort(donors->digests, donors->digest_count, sizeof(uint64_t), compare_digests);
	return index_slices(donors, g, units, error);
}

static int keep(struct lm_donors *donors, struct lm_gather *g, uint64_t least,
		struct lmodel_error *error)
{
	bool failed = false;
	int r;

	if (g->base < least)
		return LMODEL_OK;
	donors->keep = LM_MAX(donors->keep, 1);
	if (!g->numeric || has_levels(g, &failed))
		return keep_cells(donors, g, error);
	if (failed)
		return lm_fail_memory(error);
	if (g->slices_taken >= LM_DONORS_MIN) {
		r = keep_slices(donors, g, error);
		if (r != LMODEL_OK || donors->direction_count >= LM_DONORS_MIN)
			return r;
		free(donors->table);
		donors->table = NULL;
		donors->count = 0;
	}
	r = keep_values(donors, g, error);
	if (donors->count < least)
		donors->form = LM_DONORS_NONE;
	return r;
}

int lm_donors_sample(struct lm_donors *donors, const struct lm_sample *sample,
		     struct lmodel_error *error)
{
	struct lm_gather gather;
	int r = lm_gather_run(&gather, donors, sample, 1, true, error);

	if (r == LMODEL_OK)
		r = keep(donors, &gather, LM_DONORS_MIN, error);
	lm_gather_free(&gather);
	return r;
}

int lm_donors_pool(struct lm_donors *donors, const struct lm_sample *samples, size_t count,
		   struct lmodel_error *error)
{
	struct lm_gather gather;
	int r = lm_gather_run(&gather, donors, samples, count, false, error);

	if (r == LMODEL_OK)
		r = keep(donors, &gather, 1, error);
	lm_gather_free(&gather);
	return r;
}

/* Where the normal distribution function is `p`, by bisection. */
static double normal_quantile(double p)
{
	double low = -8, high = 8;

	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (erfc(-middle / M_SQRT2) / 2 < p)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int lm_donors_default(struct lm_donors *donors, const struct lm_sample *sample,
		      struct lmodel_error *error)
{
	enum { POINTS = 256 };
	const struct lm_units *units = &sample->units;
	double fan_in = 1;

	*donors = (struct lm_donors){
		.form = LM_DONORS_CELLS,
		.dtype = units->dtype,
		.cell = sample->cell,
		.components = strcmp(units->dtype->name, "C64") == 0 ? 2 : 1,
		.count = 1,
	};
	if (!lm_donors_numeric(units->dtype)) {
		donors->cells = calloc(1, (size_t)donors->cell);
		return donors->cells == NULL ? lm_fail_memory(error) : LMODEL_OK;
	}
	for (unsigned i = units->rank >= 2; i < units->rank; i++)
		fan_in *= (double)units->shape[i];
	donors->form = LM_DONORS_VALUES;
	donors->count = POINTS;
	donors->keep = 53;
	donors->table = malloc(POINTS * sizeof(*donors->table));
	donors->phases = malloc(2 * POINTS * sizeof(*donors->phases));
	if (donors->table == NULL || donors->phases == NULL)
		return lm_fail_memory(error);
	for (int i = 0; i < POINTS; i++) {
		double p = (i + 0.5) / POINTS, angle = 2 * M_PI * i / POINTS;

		/* The modulus of a complex normal number is Rayleigh. */
		donors->table[i] = (float)((donors->components == 1 ? normal_quantile(p) :
					    sqrt(-log(1 - p))) / sqrt(fan_in));
		donors->phases[2 * i] = (float)cos(angle);
		donors->phases[2 * i + 1] = (float)sin(angle);
	}
	donors->bound = (double)donors->table[POINTS - 1];
	return LMODEL_OK;
}

void lm_donors_free(struct lm_donors *donors)
{
	free(donors->row);
	free(donors->column);
	free(donors->table);
	free(donors->phases);
	free(donors->cells);
	free(donors->directions);
	free(donors->row_first);
	free(donors->column_first);
	free(donors->by_column);
	free(donors->digests);
	*donors = (struct lm_donors){ 0 };
}
