#include "protect/gather.h"

#include <float.h>
#include <math.h>

#include "protect/kernels.h"
#include "protect/score.h"

/* To read a matrix whole takes no longer than to read pieces of each of its rows, and to add numbers
 * up less than to look for those that are public: hidden ones count as 0, and not at all. */

enum { WINDOW = 65536, SEGMENT = 1024 }; /* elements */

struct pass {
	struct lm_gather *gather;
	const struct lm_kernels *kernels;
	float *sums;               /* of columns */
	uint32_t *counts;
	uint64_t left, passed;     /* public elements: of the tensor, and those before the window */
	struct lm_gather_turns turns;
	float magnitudes[SEGMENT];
	uint16_t dropped[SEGMENT]; /* of a segment: not finite */
	size_t dropped_count;
};

bool lm_gather_is_plain(const struct lm_gather *g, const struct lm_sample *sample)
{
	const char *name = sample->units.dtype->name;

	return g->scaled && sample->units.kind == LM_UNIT_ELEMENT && g->donors->inner == 1 &&
	       g->donors->row_group == 1 && g->donors->column_group == 1 &&
	       (strcmp(name, "BF16") == 0 || strcmp(name, "F32") == 0 || strcmp(name, "F16") == 0);
}

/* What is not finite counts as hidden. */
static void drop_infinite(struct pass *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p->magnitudes[i] > FLT_MAX) {
			p->magnitudes[i] = 0;
			p->dropped[p->dropped_count++] = (uint16_t)i;
		}
}

static double exact_sum(const struct pass *p, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)p->magnitudes[i];
	return sum;
}

/* `n` elements side by side in a row, of which those at chosen[0] - from, ... are hidden. */
static void add_segment(struct pass *p, uint64_t row, uint64_t column, const uint8_t *bytes,
			size_t n, const uint32_t *chosen, size_t hidden, size_t from)
{
	struct lm_gather *g = p->gather;
	float largest, by;
	double sum;
	size_t open;

	lm_score_magnitudes(g->units->dtype, bytes, n, p->magnitudes);
	for (size_t i = 0; i < hidden; i++)
		p->magnitudes[chosen[i] - from] = 0;
	p->dropped_count = 0;
	sum = (double)p->kernels->sum(p->magnitudes, n, &largest);
	if (largest > FLT_MAX) {
		drop_infinite(p, n);
		sum = (double)p->kernels->sum(p->magnitudes, n, &largest);
	}
	if (sum > (double)FLT_MAX)
		sum = exact_sum(p, n);
	open = n - hidden - p->dropped_count;
	g->donors->bound = fmax(g->donors->bound, (double)largest);
	g->row_sum[row] += sum;
	g->row_count[row] += open;
	/* By the mean of what is beside it in its row: lines of large numbers are not to outweigh
	 * others in a column's mean. A segment of zeros says nothing. */
	by = sum > 0 ? (float)((double)open / sum) : 0;
	if (!(by > 0 && by <= FLT_MAX))
		return;
	p->kernels->add_shares(p->sums + column, p->counts + column, p->magnitudes, by, n);
	for (size_t i = 0; i < hidden; i++)
		p->counts[column + chosen[i] - from]--;
	for (size_t i = 0; i < p->dropped_count; i++)
		p->counts[column + p->dropped[i]]--;
}

/* The public elements whose turn it is, evenly spread over all. */
static void take_cells(struct pass *p, uint64_t first, size_t n, const uint8_t *bytes,
		       const struct lm_chosen *chosen)
{
	struct lm_gather *g = p->gather;
	const size_t open = n - chosen->count, size = (size_t)g->donors->cell;
	size_t before = 0; /* hidden ones before the place */

	while (g->at < g->wanted && p->turns.next - p->passed < open) {
		size_t place = (size_t)(p->turns.next - p->passed) + before;
		double value;

		while (before < chosen->count && chosen->at[before] <= place) {
			before++;
			place++;
		}
		lm_dtype_values(g->donors->dtype, bytes + place * size, 0, 1, &value);
		if (isfinite(value)) {
			lm_gather_measure(g, &value, 1);
			g->values[g->base + g->taken] = value;
			g->elements[g->base + g->taken++] = first + place;
		}
		g->at++;
		p->turns.next = (uint64_t)((long double)(g->at) * (long double)p->left /
					   (long double)g->wanted);
	}
	p->passed += open;
}

static void add_window(struct pass *p, uint64_t first, size_t n, const uint8_t *bytes,
		       const struct lm_chosen *chosen)
{
	const struct lm_donors *d = p->gather->donors;
	size_t hidden = 0;

	for (size_t i = 0, m; i < n; i += m) {
		const uint64_t row = (first + i) / d->columns, column = (first + i) % d->columns;
		size_t end = hidden;

		m = (size_t)LM_MIN(LM_MIN((uint64_t)(n - i), d->columns - column),
				   (uint64_t)SEGMENT);
		while (end < chosen->count && chosen->at[end] < i + m)
			end++;
		add_segment(p, row, column, bytes + i * d->cell, m, chosen->at + hidden,
			    end - hidden, i);
		hidden = end;
	}
	take_cells(p, first, n, bytes, chosen);
}

static int add_all(struct pass *p, const struct lm_sample *sample, uint8_t *bytes,
		   struct lmodel_error *error)
{
	const uint64_t size = sample->units.unit_bytes;
	LM_CHOSEN struct lm_chosen chosen = { 0 };
	int r = LMODEL_OK;

	for (uint64_t first = 0; first < sample->units.count && r == LMODEL_OK; first += WINDOW) {
		const size_t n = (size_t)LM_MIN(sample->units.count - first, (uint64_t)WINDOW);

		r = lm_model_read(sample->model, sample->tensor, first * size, bytes,
				  n * (size_t)size, error);
		chosen.count = 0;
		if (r == LMODEL_OK && !sample->all_public)
			r = lm_selection_list(sample->selection, sample->tensor, first, n, bytes,
					      &chosen, error);
		if (r == LMODEL_OK)
			add_window(p, first, n, bytes, &chosen);
	}
	return r;
}

static uint64_t hidden_of(const struct lm_sample *sample)
{
	const struct lm_selected_tensor *s = lm_selection_of(sample->selection, sample->tensor);
	uint64_t most = 0;

	for (size_t t = 0; t < LM_TIER_LIMIT && !sample->all_public; t++)
		most = LM_MAX(most, s->upto[t]);
	return most;
}

int lm_gather_all(struct lm_gather *g, const struct lm_sample *sample, struct lmodel_error *error)
{
	const uint64_t columns = g->donors->columns;
	LM_FREE uint8_t *bytes = malloc(LM_MIN(sample->units.bytes, (uint64_t)WINDOW * 4));
	LM_FREE float *sums = calloc(columns, sizeof(*sums));
	LM_FREE uint32_t *counts = calloc(columns, sizeof(*counts));
	LM_FREE struct pass *p = calloc(1, sizeof(*p));
	int r;

	if (bytes == NULL || sums == NULL || counts == NULL || p == NULL)
		return lm_fail_memory(error);
	p->gather = g;
	p->kernels = lm_kernels();
	p->sums = sums;
	p->counts = counts;
	p->left = g->seen = sample->units.count - hidden_of(sample);
	g->wanted = LM_MIN((uint64_t)LM_GATHER_CELLS, p->left);
	r = add_all(p, sample, bytes, error);
	for (uint64_t i = 0; i < columns; i++) {
		g->column_sum[i] = (double)sums[i];
		g->column_count[i] = counts[i];
	}
	return r;
}
