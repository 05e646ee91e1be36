#include "protect/whole.h"

#include "base/pool.h"
#include "crypto/aead.h"
#include "protect/walk.h"

/* Elements a window. Sums are made window by window and then added up in the order of windows, so
 * this is part of what a key is. */
enum { WINDOW = 1 << 16 };

/* The units of a window are slots 0, 1, ... of a job: columns from the one of its first element
 * on, all of them at most. */
struct job {
	uint64_t first; /* element */
	size_t n, slots;
	uint8_t *bytes;
	double *sums;
	bool *differs;
};

struct load {
	struct lm_scorer *scorer;
	struct lm_meter *meter;
	bool reads;
	uint64_t next;
	double *sums;
	bool *differs;
};

static bool is_columns(const struct lm_scorer *s)
{
	return s->units->kind == LM_UNIT_COLUMN;
}

static int next_window(void *context, void *job, struct lmodel_error *error)
{
	struct load *load = context;
	const struct lm_scorer *s = load->scorer;
	struct job *j = job;

	if (load->next == s->elements)
		return LM_POOL_END;
	if (j->bytes == NULL) {
		j->bytes = malloc(WINDOW * 8);
		j->sums = malloc(WINDOW * sizeof(*j->sums));
		j->differs = malloc(WINDOW * sizeof(*j->differs));
		if (j->bytes == NULL || j->sums == NULL || j->differs == NULL)
			return lm_fail_memory(error);
	}
	j->first = load->next;
	j->n = (size_t)LM_MIN(s->elements - load->next, (uint64_t)WINDOW);
	if (is_columns(s))
		j->slots = (size_t)LM_MIN(s->units->columns, (uint64_t)j->n);
	else
		j->slots = (size_t)((j->first + j->n - 1) / s->unit_elements -
				    j->first / s->unit_elements) + 1;
	load->next += j->n;
	return LMODEL_OK;
}

static void add_piece(const struct lm_scorer *s, struct job *j, size_t from, size_t n,
		      const struct lm_score_piece *piece)
{
	const uint64_t base = j->first / s->unit_elements, step = s->units->element_bytes;
	const bool columns = is_columns(s), values = lm_scorer_reads_values(s);
	size_t slot = columns ? from % j->slots : 0;

	for (size_t i = 0; i < n; i++) {
		if (!columns)
			slot = (size_t)((j->first + from + i) / s->unit_elements - base);
		if (values)
			j->sums[slot] += (double)piece->values[i];
		if (s->reference != NULL && step > 0)
			j->differs[slot] |= memcmp(j->bytes + (from + i) * step,
						   piece->reference + i * step, step) != 0;
		if (columns && ++slot == j->slots)
			slot = 0;
	}
}

/* Elements below one byte: units are whole bytes, and none of those in a piece has less. */
static void compare_packed(const struct lm_scorer *s, struct job *j, size_t from, size_t n,
			   const struct lm_score_piece *piece)
{
	const uint64_t start = lm_score_bytes(s, j->first), size = s->units->unit_bytes;
	const size_t at = (size_t)lm_score_bytes(s, from), len = (size_t)lm_score_bytes(s, n);

	for (size_t i = 0; i < len; i++)
		if (j->bytes[at + i] != piece->reference[i])
			j->differs[(start + at + i) / size - start / size] = true;
}

static int sum_window(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct load *load = context;
	const struct lm_scorer *s = load->scorer;
	struct lm_score_piece piece;
	struct job *j = job;
	int r = LMODEL_OK;

	(void)worker;
	memset(j->sums, 0, j->slots * sizeof(*j->sums));
	memset(j->differs, 0, j->slots * sizeof(*j->differs));
	if (load->reads)
		r = lm_model_read(s->model, s->tensor, lm_score_bytes(s, j->first), j->bytes,
				  (size_t)lm_score_bytes(s, j->n), error);
	for (size_t at = 0; at < j->n && r == LMODEL_OK; at += LM_KEY_BATCH) {
		size_t n = LM_MIN(j->n - at, (size_t)LM_KEY_BATCH);

		r = lm_score_load(s, j->first + at, n, j->bytes + lm_score_bytes(s, at), &piece,
				  error);
		if (r != LMODEL_OK)
			break;
		add_piece(s, j, at, n, &piece);
		if (s->reference != NULL && s->units->element_bytes == 0)
			compare_packed(s, j, at, n, &piece);
	}
	return r;
}

static int add_window(void *context, void *job, struct lmodel_error *error)
{
	struct load *load = context;
	const struct lm_scorer *s = load->scorer;
	const struct job *j = job;

	for (size_t i = 0; i < j->slots; i++) {
		uint64_t unit = is_columns(s) ? (j->first + i) % s->units->columns :
						j->first / s->unit_elements + i;

		load->sums[unit] += j->sums[i];
		load->differs[unit] |= j->differs[i];
	}
	return lm_walk_progress(load->meter, load->reads ? lm_score_bytes(s, j->n) : 0, error);
}

static void release(void *job)
{
	struct job *j = job;

	free(j->bytes);
	free(j->sums);
	free(j->differs);
}

static int make_keys(const struct load *load, uint64_t *keys, struct lmodel_error *error)
{
	const struct lm_scorer *s = load->scorer;
	const struct lm_units *units = s->units;
	struct lm_keystream *stream = lm_keystream_new(s->key, error);
	int r = LMODEL_OK;

	if (stream == NULL)
		return LMODEL_EFAILED;
	for (uint64_t at = 0; at < units->count && r == LMODEL_OK; at += LM_KEY_BATCH) {
		size_t n = (size_t)LM_MIN(units->count - at, (uint64_t)LM_KEY_BATCH);
		float scores[LM_KEY_BATCH] LM_KEY_ALIGNED = { 0 };

		for (size_t i = 0; i < n; i++) {
			uint64_t len = is_columns(s) || at + i + 1 < units->count ?
				       s->unit_elements : s->elements - (at + i) * s->unit_elements;

			scores[i] = lm_score_float(load->sums[at + i] / (double)len);
		}
		r = lm_scorer_finish(s, stream, at, n, scores, keys + at, error);
		for (size_t i = 0; i < n && s->reference != NULL; i++)
			keys[at + i] = load->differs[at + i] ? keys[at + i] : LM_KEY_NONE;
	}
	lm_keystream_free(stream);
	return r;
}

int lm_whole_load(struct lm_scorer *scorer, unsigned workers, struct lm_meter *meter,
		  struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct job), .next = next_window, .work = sum_window,
		.emit = add_window, .release = release,
	};
	const size_t count = (size_t)scorer->units->count;
	LM_FREE double *sums = calloc(count, sizeof(*sums));
	LM_FREE bool *differs = calloc(count, sizeof(*differs));
	LM_FREE uint64_t *keys = calloc(count, sizeof(*keys));
	struct load load = {
		.scorer = scorer, .meter = meter, .sums = sums, .differs = differs,
		.reads = scorer->scores == NULL || scorer->reference != NULL,
	};
	int r;

	if (sums == NULL || differs == NULL || keys == NULL)
		return lm_fail_memory(error);
	r = lm_pool_run(workers, &ops, &load, error);
	if (r == LMODEL_OK)
		r = make_keys(&load, keys, error);
	if (r != LMODEL_OK)
		return r;
	scorer->keys = keys;
	keys = NULL;
	return LMODEL_OK;
}
