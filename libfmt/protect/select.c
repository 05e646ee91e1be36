#include "protect/selection.h"

#include "base/pool.h"
#include "crypto/crypto.h"
#include "protect/eligible.h"
#include "protect/rank.h"
#include "protect/scope.h"
#include "protect/walk.h"
#include "protect/whole.h"

/* Bytes of a set up to which it is one worker's, beside others; and up to which it is held in memory,
 * and read once. */
#define SMALL_SET (UINT64_C(1) << 26)
#define HELD_SET (UINT64_C(1) << 23)

/* What is needed only while the selection is made. */
struct making {
	struct lm_selection *selection;
	const struct lm_model *model;
	const struct lm_select_options *options;
	unsigned workers;
	struct lm_meter meter;
	size_t part_count;          /* eligible tensors, those of a set in a row */
	struct lm_scorer **parts;
	uint64_t *candidates;       /* of parts */
	uint64_t *set_candidates;
	uint64_t *wanted;           /* sets x tiers */
	uint64_t *upto;             /* parts x tiers */
	size_t next;                /* for pools: part or set */
};

/* ---- the tensors ---- */

static int check_options(const struct lm_select_options *options, struct lmodel_error *error)
{
	if (options->tier_count == 0 || options->tier_count > LM_TIER_LIMIT)
		return lm_fail(error, LMODEL_EUSAGE, "%zu tiers: there are 1 to %u",
			       options->tier_count, LM_TIER_LIMIT);
	if (options->method == LM_SELECT_ALL && options->tier_count != 1)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%zu tiers: when all is selected there is one", options->tier_count);
	return LMODEL_OK;
}

static const char *reference_name(const struct lm_select_options *options)
{
	return options->ancestor ? "ancestor" : "reference";
}

static int find_beside(const struct lm_names *names, const char *what, const char *name,
		       size_t *tensor, struct lmodel_error *error)
{
	if (names == NULL)
		return LMODEL_OK;
	*tensor = lm_names_find(names, name);
	if (*tensor == SIZE_MAX)
		return lm_fail(error, LMODEL_EUSAGE, "%s: there is no tensor %s", what,
			       LM_QUOTE(name));
	return LMODEL_OK;
}

static int start_tensor(struct making *m, size_t i, const struct lm_names *scores,
			const struct lm_names *reference, struct lmodel_error *error)
{
	const struct lm_source_tensor *tensor = &m->model->tensors[i];
	const struct lm_select_options *options = m->options;
	struct lm_selected_tensor *selected = &m->selection->tensors[i];
	struct lm_scorer *scorer = &m->selection->scorers[i];
	enum lm_unit_kind unit = options->unit_given ? options->unit :
				 options->elements && tensor->dtype->bits % 8 == 0 ?
				 LM_UNIT_ELEMENT : lm_unit_default(tensor->dtype, tensor->rank);
	int r = lm_units_make(&selected->units, unit, tensor->dtype, tensor->rank, tensor->shape,
			      tensor->bytes, tensor->name, error);

	if (r != LMODEL_OK)
		return r;
	*scorer = (struct lm_scorer){
		.model = m->model, .tensor = i, .units = &selected->units,
		.method = options->method, .scores = scores != NULL ? options->scores : NULL,
		.reference = options->reference, .reference_name = reference_name(options),
		.streams = &m->selection->streams,
	};
	selected->candidates = selected->units.count;
	r = find_beside(scores, "scores", tensor->name, &scorer->scores_tensor, error);
	if (reference != NULL && options->ancestor &&
	    lm_names_find(reference, tensor->name) == SIZE_MAX)
		scorer->reference = NULL; /* new: all of it differs */
	else if (r == LMODEL_OK)
		r = find_beside(reference, "reference", tensor->name, &scorer->reference_tensor,
				error);
	return r == LMODEL_OK ? lm_scorer_start(scorer, options->key, error) : r;
}

static int start_tensors(struct making *m, const size_t *alias, struct lmodel_error *error)
{
	const bool ranks = m->options->method == LM_SELECT_PSS ||
			   m->options->method == LM_SELECT_MAGNITUDE;
	LM_FREE bool *eligible = calloc(m->model->tensor_count + 1, sizeof(*eligible));
	struct lm_names *scores = NULL, *reference = NULL;
	int r;

	if (eligible == NULL)
		return lm_fail_memory(error);
	r = lm_eligible(m->model, alias, m->options, eligible, error);
	if (r == LMODEL_OK && m->options->scores != NULL && ranks) {
		scores = lm_names_new(m->options->scores, error);
		r = scores == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	if (r == LMODEL_OK && m->options->reference != NULL) {
		reference = lm_names_new(m->options->reference, error);
		r = reference == NULL ? LMODEL_EFAILED : LMODEL_OK;
	}
	for (size_t i = 0; i < m->model->tensor_count && r == LMODEL_OK; i++) {
		if (!eligible[i])
			continue;
		m->selection->tensors[i].eligible = true;
		r = start_tensor(m, i, scores, reference, error);
		m->parts[m->part_count++] = &m->selection->scorers[i];
	}
	lm_names_free(scores);
	lm_names_free(reference);
	return r;
}

/* Whether a part is a set by itself, and one worker's: it is prepared when it is ranked. */
static bool is_small(const struct making *m, size_t part)
{
	return m->selection->sets == m->part_count && m->part_count > 1 &&
	       m->parts[part]->units->bytes <= SMALL_SET && m->options->reference == NULL &&
	       !lm_scorer_is_whole(m->parts[part]);
}

/* ---- scales, a tensor a job ---- */

static int next_part(void *context, void *job, struct lmodel_error *error)
{
	struct making *m = context;

	(void)error;
	while (m->next < m->part_count && is_small(m, m->next))
		m->next++;
	if (m->next == m->part_count)
		return LM_POOL_END;
	*(size_t *)job = m->next++;
	return LMODEL_OK;
}

static int prepare_part(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct making *m = context;

	(void)worker;
	return lm_scorer_prepare(m->parts[*(size_t *)job], m->options->raw_scores, error);
}

static int part_done(void *context, void *job, struct lmodel_error *error)
{
	struct making *m = context;

	(void)job;
	return lm_meter_add(&m->meter, 0, error);
}

static int prepare_parts(struct making *m, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(size_t), .next = next_part, .work = prepare_part,
		.emit = part_done,
	};
	int r;

	m->next = 0;
	r = lm_pool_run(m->workers, &ops, m, error);
	for (size_t i = 0; i < m->part_count && r == LMODEL_OK; i++)
		if (lm_scorer_is_whole(m->parts[i]))
			r = lm_whole_load(m->parts[i], m->workers, &m->meter, error);
	return r;
}

/* ---- candidates ---- */

static int count_window(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
			const uint64_t *keys, void **result, struct lmodel_error *error)
{
	uint64_t count = 0;

	(void)context;
	(void)worker;
	(void)part;
	(void)first;
	if (*result == NULL)
		*result = malloc(sizeof(count));
	if (*result == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		count += keys[i] != LM_KEY_NONE;
	memcpy(*result, &count, sizeof(count));
	return LMODEL_OK;
}

static int add_count(void *context, size_t part, void *result, struct lmodel_error *error)
{
	struct making *m = context;
	uint64_t count;

	(void)error;
	memcpy(&count, result, sizeof(count));
	m->candidates[part] += count;
	return LMODEL_OK;
}

static int count_candidates(struct making *m, struct lmodel_error *error)
{
	const struct lm_walk walk = {
		.scorers = m->parts, .count = m->part_count, .workers = m->workers,
		.meter = &m->meter, .visit = count_window, .take = add_count, .release = free,
		.context = m,
	};
	uint64_t all = 0;
	int r = LMODEL_OK;

	if (m->options->reference != NULL)
		r = lm_walk(&walk, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < m->part_count; i++) {
		struct lm_selected_tensor *tensor = &m->selection->tensors[m->parts[i]->tensor];

		if (m->options->reference == NULL)
			m->candidates[i] = tensor->units.count;
		tensor->candidates = m->candidates[i];
		all += m->candidates[i];
	}
	if (all == 0)
		return lm_fail(error, LMODEL_EUSAGE, "nothing differs from the %s",
			       reference_name(m->options));
	return LMODEL_OK;
}

/* ---- amounts ---- */

static int share_out(struct making *m, struct lmodel_error *error)
{
	const struct lm_select_options *options = m->options;
	const struct lm_select_amount all = {
		.name = options->tiers[0].name, .is_share = true, .share = 1,
	};
	const struct lm_scope scope = {
		.tiers = options->method == LM_SELECT_ALL ? &all : options->tiers,
		.tier_count = options->tier_count, .scope = options->scope,
		.sets = m->selection->sets, .candidates = m->set_candidates,
	};
	const size_t top = options->tier_count - 1;
	int r;

	for (size_t i = 0; i < m->part_count; i++)
		m->set_candidates[m->selection->set_of[m->parts[i]->tensor]] += m->candidates[i];
	r = lm_scope_share_out(&scope, m->wanted, error);
	if (r != LMODEL_OK || options->reference == NULL || options->ancestor)
		return r;
	for (size_t i = 0; i < scope.sets; i++)
		if (m->wanted[i * options->tier_count + top] != m->set_candidates[i])
			return lm_fail(error, LMODEL_EUSAGE,
				       "tier %s does not hold every unit that differs from the "
				       "reference: the highest tier must",
				       LM_QUOTE(options->tiers[top].name));
	return LMODEL_OK;
}

static int make_sets(struct making *m, struct lmodel_error *error)
{
	struct lm_selection *s = m->selection;
	const bool one = m->options->scope == LM_SCOPE_MODEL;

	s->sets = one ? 1 : m->part_count;
	for (size_t i = 0; i < m->part_count; i++)
		s->set_of[m->parts[i]->tensor] = one ? 0 : i;
	s->thresholds = calloc(s->sets * s->tiers, sizeof(*s->thresholds));
	s->settled = malloc(s->sets);
	m->candidates = calloc(m->part_count, sizeof(*m->candidates));
	m->set_candidates = calloc(s->sets, sizeof(*m->set_candidates));
	m->wanted = calloc(s->sets * s->tiers, sizeof(*m->wanted));
	m->upto = calloc(m->part_count * s->tiers, sizeof(*m->upto));
	if (s->thresholds == NULL || s->settled == NULL || m->candidates == NULL ||
	    m->set_candidates == NULL || m->wanted == NULL || m->upto == NULL)
		return lm_fail_memory(error);
	memset(s->settled, LM_UNSETTLED, s->sets);
	return LMODEL_OK;
}

/* ---- thresholds ---- */

static int rank_set(const struct making *m, size_t set, unsigned workers, struct lm_meter *meter,
		    struct lmodel_error *error)
{
	const struct lm_selection *s = m->selection;
	const size_t first = s->sets == m->part_count ? set : 0;
	const struct lm_ranking ranking = {
		.scorers = m->parts + first, .candidates = m->candidates + first,
		.count = s->sets == m->part_count ? 1 : m->part_count,
		.workers = workers, .meter = meter, .picks = s->picks,
	};

	return lm_rank(&ranking, m->wanted + set * s->tiers, s->tiers,
		       s->thresholds + set * s->tiers, m->upto + first * s->tiers, error);
}

/* A set that is one worker's: scaled, ranked. */
struct small {
	size_t set, capacity;
	uint8_t *bytes;
};

/* Whether each tier has all of the set, or nothing. */
static bool is_clear(const struct making *m, size_t set)
{
	const size_t tiers = m->selection->tiers;
	bool clear = true;

	for (size_t t = 0; t < tiers; t++)
		clear &= m->wanted[set * tiers + t] == 0 ||
			 m->wanted[set * tiers + t] == m->set_candidates[set];
	return clear;
}

static int read_small(struct small *job, struct lm_scorer *scorer, struct lmodel_error *error)
{
	const size_t len = (size_t)scorer->units->bytes;
	int r;

	if (!lm_scorer_needs_bytes(scorer) || scorer->units->bytes > HELD_SET)
		return LMODEL_OK;
	if (len > job->capacity) {
		free(job->bytes);
		job->capacity = 0;
		job->bytes = malloc(len);
		if (job->bytes == NULL)
			return lm_fail_memory(error);
		job->capacity = len;
	}
	r = lm_model_read(scorer->model, scorer->tensor, 0, job->bytes, len, error);
	scorer->bytes = r == LMODEL_OK ? job->bytes : NULL;
	return r;
}

static void release_small(void *job)
{
	free(((struct small *)job)->bytes);
}

static int next_small(void *context, void *job, struct lmodel_error *error)
{
	struct making *m = context;

	(void)error;
	while (m->next < m->selection->sets && !is_small(m, m->next))
		m->next++;
	if (m->next == m->selection->sets)
		return LM_POOL_END;
	((struct small *)job)->set = m->next++;
	return LMODEL_OK;
}

static int rank_small(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct making *m = context;
	struct small *small = job;
	struct lm_scorer *scorer = m->parts[small->set];
	int r = LMODEL_OK;

	(void)worker;
	if (!is_clear(m, small->set))
		r = read_small(small, scorer, error);
	if (r == LMODEL_OK && !is_clear(m, small->set))
		r = lm_scorer_prepare(scorer, m->options->raw_scores, error);
	if (r == LMODEL_OK)
		r = rank_set(m, small->set, 1, NULL, error);
	scorer->bytes = NULL;
	return r;
}

static int small_done(void *context, void *job, struct lmodel_error *error)
{
	struct making *m = context;
	const struct small *small = job;

	return lm_walk_progress(&m->meter, 2 * m->parts[small->set]->units->bytes, error);
}

static int rank_sets(struct making *m, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct small), .next = next_small, .work = rank_small,
		.emit = small_done, .release = release_small,
	};
	int r;

	m->next = 0;
	r = lm_pool_run(m->workers, &ops, m, error);
	for (size_t set = 0; set < m->selection->sets && r == LMODEL_OK; set++)
		if (!is_small(m, set))
			r = rank_set(m, set, m->workers, &m->meter, error);
	return r;
}

/* ---- results ---- */

/* Sets of which all units go the same way need no keys any more. */
static void settle(struct making *m)
{
	struct lm_selection *s = m->selection;

	for (size_t set = 0; set < s->sets && m->options->reference == NULL; set++) {
		const uint64_t *wanted = m->wanted + set * s->tiers;
		size_t empty = 0;

		while (empty < s->tiers && wanted[empty] == 0)
			empty++;
		if (empty == s->tiers)
			s->settled[set] = LM_NO_TIER;
		else if (wanted[empty] == m->set_candidates[set])
			s->settled[set] = (uint8_t)empty;
	}
	for (size_t i = 0; i < m->part_count; i++)
		memcpy(s->tensors[m->parts[i]->tensor].upto, m->upto + i * s->tiers,
		       s->tiers * sizeof(*m->upto));
}

/* Two passes over what is read, three with a reference; windows that are kept are read once. */
static uint64_t planned(const struct making *m)
{
	uint64_t total = 0;

	for (size_t i = 0; i < m->part_count; i++)
		if (!lm_add(total, m->parts[i]->units->bytes, &total))
			return UINT64_MAX;
	return lm_mul(total, m->options->reference != NULL ? 3 : 2, &total) ? total : UINT64_MAX;
}

static int make(struct making *m, const size_t *alias, const struct lmodel_run *run,
		struct lmodel_error *error)
{
	int r = start_tensors(m, alias, error);

	if (r != LMODEL_OK)
		return r;
	lm_meter_begin(&m->meter, run, planned(m));
	r = make_sets(m, error);
	if (r == LMODEL_OK)
		r = prepare_parts(m, error);
	if (r == LMODEL_OK)
		r = count_candidates(m, error);
	if (r == LMODEL_OK)
		r = share_out(m, error);
	if (r == LMODEL_OK)
		r = rank_sets(m, error);
	if (r == LMODEL_OK)
		r = lm_walk_progress(&m->meter, UINT64_MAX, error);
	if (r == LMODEL_OK)
		settle(m);
	return r;
}

int lm_select(struct lm_selection **out, const struct lm_model *model, const size_t *alias,
	      const struct lm_select_options *options, const struct lmodel_run *run,
	      struct lmodel_error *error)
{
	struct making m = {
		.model = model, .options = options,
		.workers = lm_pool_workers(run == NULL ? 0 : run->jobs),
	};
	int r = check_options(options, error);

	if (r == LMODEL_OK)
		r = lm_crypto_init(error);
	if (r != LMODEL_OK)
		return r;
	m.selection = lm_selection_new(model, options->tier_count, error);
	m.parts = calloc(model->tensor_count + 1, sizeof(*m.parts));
	if (m.selection != NULL)
		m.selection->picks = lm_picks_new(model->tensor_count, options->directory, error);
	if (m.selection == NULL || m.selection->picks == NULL || m.parts == NULL)
		r = lm_fail_memory(error);
	else
		r = make(&m, alias, run, error);
	free(m.parts);
	free(m.candidates);
	free(m.set_candidates);
	free(m.wanted);
	free(m.upto);
	if (r == LMODEL_OK)
		*out = m.selection;
	else
		lm_selection_free(m.selection);
	return r;
}
