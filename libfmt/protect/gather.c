#include "protect/gather.h"

#include <math.h>

#include "crypto/aead.h"
#include "crypto/secret.h"
#include "protect/kernels.h"

enum {
	GROUPS = 1 << 18,      /* row scales, column scales */
	BATCH = 512,
	SETTLED = 8,           /* elements from which on a mean stands for itself */
	PRIOR = 2,             /* weight of the whole tensor's mean before that */
	SLICE_LIMIT = 8192,    /* bytes of a slice that is drawn whole */
	SLICES = 8192,
};

static uint64_t row_group(const struct lm_donors *donors, uint64_t element)
{
	return element / donors->inner / donors->columns / donors->row_group;
}

static uint64_t column_group(const struct lm_donors *donors, uint64_t element)
{
	return element / donors->inner % donors->columns / donors->column_group;
}

double lm_gather_scale(const struct lm_donors *donors, uint64_t element)
{
	if (donors->row == NULL)
		return 1;
	return (double)donors->row[row_group(donors, element)] *
	       (double)donors->column[column_group(donors, element)];
}

/* Whether number `at` of `seen` is among `wanted` that are spread evenly over them: those after
 * which at * wanted / seen, rounded down, is one more. Called with at = 0, 1, ... */
static bool takes(struct lm_gather_turns *turns, uint64_t at, uint64_t seen, uint64_t wanted)
{
	if (wanted >= seen)
		return true;
	if (at == 0)
		*turns = (struct lm_gather_turns){ .next = (seen - 1) / wanted };
	if (at != turns->next)
		return false;
	turns->taken++;
	turns->next = ((turns->taken + 1) * seen + wanted - 1) / wanted - 1;
	return true;
}

/* Finds an element's place; in the row in work without a division. */
static void go_to(struct lm_gather *g, uint64_t element)
{
	const struct lm_donors *d = g->donors;
	const uint64_t start = g->row * d->columns * d->inner;

	if (element - start >= d->columns * d->inner) {
		g->row = element / d->inner / d->columns;
		element -= g->row * d->columns * d->inner;
	} else {
		element -= start;
	}
	g->column = d->inner == 1 ? element : element / d->inner;
	g->in = d->inner == 1 ? 0 : element % d->inner;
}

static uint64_t group_of(uint64_t line, uint64_t group)
{
	return group == 1 ? line : line / group;
}

/* -1 when a component is no finite number. */
static double modulus(const double *value, unsigned components)
{
	double m = components == 1 ? fabs(value[0]) : hypot(value[0], value[1]);

	return isfinite(m) ? m : -1;
}

/* How large public values are, and how many significant bits they use: a model widened from BF16 to
 * F32 has eight, and a decoy with more would be told by its low bits. `bits` gathers all their
 * mantissas: the lowest bit that one of them uses is the lowest of these. */
void lm_gather_measure(struct lm_gather *g, const double *values, size_t components)
{
	struct lm_donors *d = g->donors;
	double bound = d->bound;
	uint64_t bits = 0;

	for (size_t i = 0; i < components; i++) {
		uint64_t word;

		bound = fmax(bound, fabs(values[i]));
		memcpy(&word, values + i, sizeof(word));
		word = (word & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
		bits |= values[i] != 0 ? word : 0;
	}
	d->bound = bound;
	if (bits != 0)
		d->keep = LM_MAX(d->keep, 53 - (unsigned)__builtin_ctzll(bits));
}

static void take(struct lm_gather *g, uint64_t element, const double *value)
{
	const struct lm_donors *d = g->donors;

	if (takes(&g->turns, g->at++, g->seen, g->wanted)) {
		uint64_t i = g->base + g->taken++;

		memcpy(g->values + i * d->components, value, d->components * sizeof(*value));
		g->elements[i] = element;
	}
}

/* Adds `n` sizes of elements that are side by side in a row to the sums of the pass. */
static void add_sizes(struct lm_gather *g, const double *sizes, size_t n)
{
	const struct lm_donors *d = g->donors;
	const uint64_t row = group_of(g->row, d->row_group);
	double sum = g->row_sum[row];

	if (g->second) {
		const double scale = (double)d->row[row];

		if (!(scale > 0))
			return;
		if (d->inner == 1 && d->column_group == 1) {
			lm_kernels()->add_quotients(g->column_sum + g->column, sizes, scale, n);
			for (size_t i = 0; i < n; i++)
				g->column_count[g->column + i]++;
			return;
		}
		for (size_t i = 0; i < n; i++) {
			uint64_t column = group_of(g->column + (g->in + i) / d->inner,
						   d->column_group);

			g->column_sum[column] += sizes[i] / scale;
			g->column_count[column]++;
		}
		return;
	}
	for (size_t i = 0; i < n; i++)
		sum += sizes[i];
	g->row_sum[row] = sum;
	g->row_count[row] += n;
}

/* One whole slice, of finite values only. */
static void take_slice(struct lm_gather *g, uint64_t unit, const double *values,
		       const uint8_t *bytes)
{
	if (!g->second) {
		g->slices_seen++;
		return;
	}
	if (!takes(&g->slice_turns, g->slices_at++, g->slices_seen, g->slices_wanted))
		return;
	for (uint32_t i = 0; i < g->length; i++)
		g->slices[g->slices_taken * g->length + i] = (float)values[i];
	g->slice_units[g->slices_taken] = unit;
	g->digests[g->slices_taken] = lm_donors_digest(bytes, (size_t)g->units->unit_bytes);
	g->slices_taken++;
}

/* `n` finite elements side by side. */
static void visit_run(struct lm_gather *g, uint64_t element, const double *values,
		      const double *sizes, size_t n)
{
	const struct lm_donors *d = g->donors;

	for (size_t i = 0, m; i < n && g->scaled; i += m) {
		go_to(g, element + i);
		m = (size_t)LM_MIN((uint64_t)(n - i),
				   (d->columns - g->column) * d->inner - g->in);
		add_sizes(g, sizes + i, m);
	}
	if (!g->second) {
		g->seen += n;
		lm_gather_measure(g, values, n * d->components);
		return;
	}
	for (size_t i = 0; i < n; i++)
		take(g, element + i, values + i * d->components);
}

static void visit_batch(struct lm_gather *g, uint64_t element, const uint8_t *bytes, size_t n)
{
	const struct lm_donors *d = g->donors;
	double values[2 * BATCH], sizes[BATCH];
	size_t from = 0;

	lm_dtype_values(d->dtype, bytes, 0, n, values);
	for (size_t i = 0; i < n; i++) {
		sizes[i] = modulus(values + i * d->components, d->components);
		if (sizes[i] >= 0)
			continue;
		visit_run(g, element + from, values + from * d->components, sizes + from, i - from);
		from = i + 1;
	}
	visit_run(g, element + from, values + from * d->components, sizes + from, n - from);
}

static void visit_slices(struct lm_gather *g, uint64_t offset, const uint8_t *bytes, size_t len)
{
	double values[SLICE_LIMIT];
	size_t unit_bytes = (size_t)g->units->unit_bytes;

	for (size_t at = 0; at + unit_bytes <= len; at += unit_bytes) {
		bool finite = true;

		lm_dtype_values(g->donors->dtype, bytes + at, 0,
				unit_bytes / (size_t)g->units->element_bytes, values);
		for (uint32_t i = 0; i < g->length; i++)
			finite &= isfinite(values[i]) != 0;
		if (finite)
			take_slice(g, (offset + at) / unit_bytes, values, bytes + at);
	}
}

static void visit_cells(struct lm_gather *g, const uint8_t *bytes, size_t n)
{
	size_t cell = (size_t)g->donors->cell;
	bool scales = strcmp(g->donors->dtype->name, "F8_E8M0") == 0;

	for (size_t i = 0; i < n; i++) {
		if (scales && bytes[i] == 0xff)
			continue; /* its NaN */
		if (!g->second)
			g->seen++;
		else if (takes(&g->turns, g->at++, g->seen, g->wanted))
			memcpy(g->cells + (g->base + g->taken++) * cell, bytes + i * cell, cell);
	}
}

static int visit(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
		 struct lmodel_error *error)
{
	struct lm_gather *g = context;
	size_t cell = (size_t)g->donors->cell, n = len / cell;

	(void)error;
	if (!g->numeric) {
		visit_cells(g, bytes, n);
		return LMODEL_OK;
	}
	for (size_t i = 0; i < n; i += BATCH)
		visit_batch(g, offset / cell + i, bytes + i * cell, LM_MIN(n - i, (size_t)BATCH));
	if (g->length != 0)
		visit_slices(g, offset, bytes, len);
	return LMODEL_OK;
}

/* Means from sums. A row of zeros has the scale 0; one without a public element takes that of
 * another row, as its true scale is hidden. */
static void settle(struct lm_keystream *random, const double *sum, const uint64_t *count,
		   uint64_t n, float *scale)
{
	double total = 0, all = 0;
	uint64_t known = 0;
	LM_FREE uint64_t *order = calloc(n, sizeof(*order));

	for (uint64_t i = 0; i < n; i++) {
		total += sum[i];
		all += (double)count[i];
	}
	for (uint64_t i = 0; i < n; i++) {
		double mean = count[i] != 0 ? sum[i] / (double)count[i] : 0, weight;

		scale[i] = 1;
		if (count[i] == 0)
			continue;
		if (order != NULL)
			order[known++] = i;
		if (mean > 0 && count[i] < SETTLED) {
			weight = (double)count[i] / (double)(count[i] + PRIOR);
			mean = pow(mean, weight) * pow(total / all, 1 - weight);
		}
		scale[i] = (float)mean;
	}
	for (uint64_t i = 0; i < n && known != 0 && random != NULL; i++) {
		uint8_t word[8];

		if (count[i] != 0)
			continue;
		lm_keystream_read(random, 8 * i, word, sizeof(word));
		scale[i] = scale[order[lm_get_u64(word) % known]];
	}
}

static int settle_with(const struct lm_sample *sample, const char *label, const double *sum,
		       const uint64_t *count, uint64_t n, float *scale, struct lmodel_error *error)
{
	struct lm_keystream *random = NULL;
	uint8_t key[32];
	uint64_t i = 0;

	while (i < n && count[i] != 0)
		i++;
	if (i < n) { /* there is something to be drawn */
		int r = lm_sample_key(key, sample->key, label,
				      sample->model->tensors[sample->tensor].name, error);

		if (r != LMODEL_OK)
			return r;
		random = lm_keystream_new(key, error);
		lm_wipe(key, sizeof(key));
		if (random == NULL)
			return LMODEL_EFAILED;
	}
	settle(random, sum, count, n, scale);
	lm_keystream_free(random);
	return LMODEL_OK;
}

static void divide(uint64_t n, uint64_t *group, uint64_t *groups)
{
	*group = n / GROUPS + (n % GROUPS != 0);
	*groups = n / *group + (n % *group != 0);
}

static int prepare_scales(struct lm_gather *g, struct lmodel_error *error)
{
	const struct lm_units *units = g->units;
	struct lm_donors *d = g->donors;
	uint64_t rows;

	g->scaled = g->scaled && units->rank >= 2;
	if (!g->scaled)
		return LMODEL_OK;
	rows = units->shape[0];
	d->columns = units->shape[1];
	d->inner = units->bytes / d->cell / rows / d->columns;
	divide(rows, &d->row_group, &g->row_groups);
	divide(d->columns, &d->column_group, &g->column_groups);
	d->row = malloc(g->row_groups * sizeof(*d->row));
	d->column = malloc(g->column_groups * sizeof(*d->column));
	g->row_sum = calloc(g->row_groups, sizeof(*g->row_sum));
	g->row_count = calloc(g->row_groups, sizeof(*g->row_count));
	g->column_sum = calloc(g->column_groups, sizeof(*g->column_sum));
	g->column_count = calloc(g->column_groups, sizeof(*g->column_count));
	if (d->row == NULL || d->column == NULL || g->row_sum == NULL || g->row_count == NULL ||
	    g->column_sum == NULL || g->column_count == NULL)
		return lm_fail_memory(error);
	for (uint64_t i = 0; i < g->row_groups; i++)
		d->row[i] = 1;
	for (uint64_t i = 0; i < g->column_groups; i++)
		d->column[i] = 1;
	return LMODEL_OK;
}

static int prepare_donors(struct lm_gather *g, size_t tensors, struct lmodel_error *error)
{
	struct lm_donors *d = g->donors;
	size_t cells = tensors * LM_GATHER_CELLS, slices;

	if (!g->numeric) {
		g->cells = malloc(cells * (size_t)d->cell);
		return g->cells == NULL ? lm_fail_memory(error) : LMODEL_OK;
	}
	g->values = malloc(cells * d->components * sizeof(*g->values));
	g->elements = malloc(cells * sizeof(*g->elements));
	if (g->values == NULL || g->elements == NULL)
		return lm_fail_memory(error);
	if (g->units->kind != LM_UNIT_SLICE || tensors != 1 ||
	    g->units->unit_bytes <= d->cell || g->units->unit_bytes > SLICE_LIMIT)
		return LMODEL_OK;
	g->length = (uint32_t)(g->units->unit_bytes / d->cell) * d->components;
	slices = LM_MIN(LM_GATHER_BYTES / (g->length * sizeof(float)), SLICES);
	g->slices_wanted = slices;
	g->slices = malloc(slices * g->length * sizeof(*g->slices));
	g->slice_units = malloc(slices * sizeof(*g->slice_units));
	g->digests = malloc(slices * sizeof(*g->digests));
	return g->slices == NULL || g->slice_units == NULL || g->digests == NULL ?
		lm_fail_memory(error) : LMODEL_OK;
}

static int gather_one(struct lm_gather *g, const struct lm_sample *sample,
		      struct lmodel_error *error)
{
	struct lm_donors *d = g->donors;
	bool all;
	int r;

	g->seen = g->at = g->taken = 0;
	g->row = 0;
	g->second = false;
	g->units = &sample->units;
	all = lm_gather_is_plain(g, sample);
	r = all ? lm_gather_all(g, sample, error) : lm_sample_run(sample, visit, g, error);
	if (r == LMODEL_OK && g->scaled)
		r = settle_with(sample, "lmodel row scales v1", g->row_sum, g->row_count,
				g->row_groups, d->row, error);
	if (r != LMODEL_OK)
		return r;
	g->second = true;
	if (!all)
		r = lm_sample_run(sample, visit, g, error);
	if (r == LMODEL_OK && g->scaled)
		r = settle_with(sample, "lmodel column scales v1", g->column_sum, g->column_count,
				g->column_groups, d->column, error);
	g->base += g->taken;
	return r;
}

int lm_gather_run(struct lm_gather *g, struct lm_donors *donors, const struct lm_sample *samples,
		  size_t count, bool scaled, struct lmodel_error *error)
{
	int r;

	*g = (struct lm_gather){
		.donors = donors,
		.units = &samples[0].units,
		.numeric = lm_donors_numeric(samples[0].units.dtype),
		.wanted = LM_GATHER_CELLS,
	};
	g->scaled = scaled && g->numeric;
	*donors = (struct lm_donors){
		.dtype = samples[0].units.dtype,
		.cell = samples[0].cell,
		.components = strcmp(samples[0].units.dtype->name, "C64") == 0 ? 2 : 1,
	};
	r = prepare_scales(g, error);
	if (r == LMODEL_OK)
		r = prepare_donors(g, count, error);
	for (size_t i = 0; r == LMODEL_OK && i < count; i++)
		r = gather_one(g, &samples[i], error);
	return r;
}

void lm_gather_free(struct lm_gather *g)
{
	free(g->row_sum);
	free(g->column_sum);
	free(g->row_count);
	free(g->column_count);
	free(g->values);
	free(g->elements);
	free(g->cells);
	free(g->slices);
	free(g->slice_units);
	free(g->digests);
}
