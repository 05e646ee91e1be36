/* lmodel_audit(): bounds from the manifest, exact sets from positions, and what does not agree. */
#include "archive/audit_report.h"
#include "archive/options.h"

/* Adds to the findings; takes the text over. */
static int find(struct lm_audit *a, char *text, struct lmodel_error *error)
{
	if (text == NULL)
		return LMODEL_EFAILED;
	if (lm_grow(&a->findings, a->finding_count, &a->finding_capacity, sizeof(*a->findings),
		    error)) {
		free(text);
		return LMODEL_EFAILED;
	}
	a->findings[a->finding_count++] = text;
	return LMODEL_OK;
}

static int find_in(struct lm_audit *a, const struct lmodel_audit_shard *s, const char *what,
		   struct lmodel_error *error)
{
	return find(a, lm_format(error, "tensor %s, tier %s: %s", LM_QUOTE(s->tensor->name),
				 a->tiers[s->tier].tier->name, what), error);
}

/* ---- without a key ---- */

/* Padded lengths bound the bytes; a last unit that is cut makes for one unit more. */
static void bound(struct lm_audit *a, size_t index)
{
	const struct lm_shard_row *row = &a->archive->manifest.shards[index];
	struct lmodel_audit_shard *s = &a->shards[index];
	struct lm_units units = { .unit_bytes = 1 };
	struct lmodel_shard seen;

	if (lmodel_shard_at(a->archive, index, &seen) != LMODEL_OK)
		return;
	*s = (struct lmodel_audit_shard){
		.tensor = &a->archive->tensors[row->tensor], .tier = row->tier, .unit = row->unit,
		.stored_bytes = seen.stored_bytes, .bytes = seen.most_bytes,
	};
	s->elements = lm_dtype_elements(lm_dtype_find(s->tensor->dtype), s->bytes);
	if (lm_hidden_units(&units, a->archive, index, NULL) != LMODEL_OK)
		return;
	s->unit_count = units.count;
	s->unit_bytes = units.unit_bytes;
	s->units = LM_MIN(s->bytes / units.unit_bytes + (s->bytes % units.unit_bytes != 0),
			  units.count);
}

/* ---- with one ---- */

static int settle(struct lm_audit *a, const struct lm_hidden *h, size_t tier,
		  struct lmodel_error *error)
{
	const struct lm_hidden_tier *t = &h->tier[tier];
	struct lmodel_audit_shard *s = &a->shards[t->shard];
	const struct lm_units *u = &h->units;
	const uint64_t most = s->bytes;
	int r = LMODEL_OK;

	s->exact = true;
	s->units = t->units;
	s->bytes = t->units * u->unit_bytes;
	if (t->units > 0 && t->end == u->count)
		s->bytes -= u->unit_bytes - lm_unit_len(u, u->count - 1);
	s->elements = lm_dtype_elements(u->dtype, s->bytes);
	if (t->shared > 0)
		r = find(a, lm_format(error,
				      "tensor %s, tier %s: %ju units are in a lower tier, too",
				      LM_QUOTE(s->tensor->name), a->tiers[tier].tier->name,
				      (uintmax_t)t->shared), error);
	if (r == LMODEL_OK && s->bytes > most)
		r = find_in(a, s, "there are more positions than values", error);
	if (r == LMODEL_OK && t->units == 0)
		r = find_in(a, s, "hides nothing", error);
	return r;
}

/* What is wrong with one tensor does not keep from looking at the others. */
static int examine(struct lm_audit *a, size_t tensor, struct lmodel_error *error)
{
	LM_FREE struct lm_hidden *h = malloc(sizeof(*h));
	struct lmodel_error e = LMODEL_ERROR_INIT;
	int r;

	if (h == NULL)
		return lm_fail_memory(error);
	r = lm_hidden_open(h, a->archive, tensor, LM_NONE, &e);
	if (r == LMODEL_OK)
		r = lm_hidden_finish(h, &e);
	if (r == LMODEL_ECORRUPT)
		r = find(a, lm_strdup(e.message, error), error);
	else if (r != LMODEL_OK)
		lm_fail(error, (enum lmodel_code)r, "%s", e.message);
	else
		for (size_t i = 0; i < LM_TIER_ROW_LIMIT && r == LMODEL_OK; i++)
			if (h->tier[i].shard != LM_NONE)
				r = settle(a, h, i, error);
	lm_hidden_close(h);
	return r;
}

static int examine_all(struct lm_audit *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->archive->manifest;
	LM_FREE bool *protected = calloc(m->tensor_count + 1, sizeof(*protected));
	int r = LMODEL_OK;

	if (protected == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->shard_count; i++)
		protected[m->shards[i].tensor] = true;
	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++)
		if (protected[i])
			r = examine(a, i, error);
	return r;
}

/* ---- sums ---- */

static void add(uint64_t *sum, uint64_t n)
{
	if (!lm_add(*sum, n, sum))
		*sum = UINT64_MAX;
}

static int sum_up(struct lm_audit *a, struct lmodel_error *error)
{
	struct lmodel_audit_report *r = &a->report;
	const struct lm_manifest *m = &a->archive->manifest;
	LM_FREE uint64_t *hidden = calloc(m->tensor_count + 1, 2 * sizeof(*hidden));

	if (hidden == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tier_count; i++)
		a->tiers[i].exact = true;
	for (size_t i = 0; i < m->shard_count; i++) {
		const struct lmodel_audit_shard *s = &a->shards[i];
		struct lmodel_audit_tier *t = &a->tiers[s->tier];

		t->exact &= s->exact;
		add(&t->units, s->units);
		add(&t->elements, s->elements);
		add(&t->bytes, s->bytes);
		if (t->recoverable)
			continue;
		add(&hidden[2 * m->shards[i].tensor], s->elements);
		add(&hidden[2 * m->shards[i].tensor + 1], s->bytes);
	}
	r->exact = true;
	for (size_t i = 0; i < m->tier_count; i++)
		r->exact &= a->tiers[i].exact;
	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_tensor_row *t = &m->tensors[i];

		if (t->alias != LM_NONE)
			continue;
		add(&r->all_elements, t->elements);
		add(&r->all_bytes, t->bytes);
		add(&r->elements, LM_MIN(hidden[2 * i], t->elements));
		add(&r->bytes, LM_MIN(hidden[2 * i + 1], t->bytes));
	}
	return LMODEL_OK;
}

/* ---- the whole ---- */

static int begin(struct lm_audit *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->archive->manifest;

	a->tiers = calloc(m->tier_count + 1, sizeof(*a->tiers));
	a->shards = calloc(m->shard_count + 1, sizeof(*a->shards));
	if (a->tiers == NULL || a->shards == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tier_count; i++)
		a->tiers[i] = (struct lmodel_audit_tier){
			.tier = &a->archive->tiers[i],
			.recoverable = a->archive->tiers[i].recoverable,
			.given = strcmp(m->tiers[i].mask, LM_MASK_BY_REFERENCE) == 0,
		};
	for (size_t i = 0; i < m->shard_count; i++)
		bound(a, i);
	a->report.tiers = a->tiers;
	a->report.tier_count = m->tier_count;
	a->report.shards = a->shards;
	a->report.shard_count = m->shard_count;
	return LMODEL_OK;
}

int lmodel_audit(const struct lmodel_archive *archive, const struct lmodel_audit_options *given,
		 struct lmodel_audit_report **report, struct lmodel_error *error)
{
	struct lmodel_audit_options options = LMODEL_AUDIT_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_audit *a = calloc(1, sizeof(*a));
	int r;

	error = error != NULL ? error : &local;
	*report = NULL;
	if (a == NULL)
		return lm_fail_memory(error);
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	a->archive = archive;
	r = begin(a, error);
	if (r == LMODEL_OK)
		r = examine_all(a, error);
	if (r == LMODEL_OK)
		r = sum_up(a, error);
	if (r == LMODEL_OK && !options.no_detection)
		r = lm_audit_detect(a, &options.run, error);
	a->report.findings = (const char *const *)a->findings;
	a->report.finding_count = a->finding_count;
	if (r != LMODEL_OK)
		lmodel_audit_free(&a->report);
	else
		*report = &a->report;
	return r;
}

void lmodel_audit_free(struct lmodel_audit_report *report)
{
	struct lm_audit *a = (struct lm_audit *)report;

	if (a == NULL)
		return;
	for (size_t i = 0; i < a->finding_count; i++)
		free(a->findings[i]);
	free(a->findings);
	free(a->tiers);
	free(a->shards);
	free(a);
}
