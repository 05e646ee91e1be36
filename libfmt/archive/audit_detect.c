/* The detection test over all tensors, and its figures by tier. */
#include <math.h>

#include "archive/audit_report.h"
#include "archive/audit_view.h"

/* Sums over the tensors of a tier, weighted by hidden units. */
struct sums {
	double weight;           /* of all that was measured */
	double on[LM_DETECTORS]; /* of tensors where the detector applies */
	double area[LM_DETECTORS], lot[LM_DETECTORS], most[LM_DETECTORS];
	const char *where[LM_DETECTORS];
	double tail, tail_weight;
	size_t tensors;
	size_t pooled;           /* tensors, and sums over them of areas that are not folded: */
	double pool_weight[LM_DETECTORS], raw[LM_DETECTORS], raw_lot[LM_DETECTORS];
};

static void count_in(struct sums *s, const struct lm_detect_result *r,
		     const struct lmodel_audit_shard *shard)
{
	double w = (double)shard->units;

	s->tensors++;
	s->weight += w;
	for (size_t d = 0; d < LM_DETECTORS; d++) {
		if (isnan(r->auc[d]) || isnan(r->lot[d]))
			continue;
		s->on[d] += w;
		s->area[d] += w * r->auc[d];
		s->lot[d] += w * r->lot[d];
		if (r->auc[d] > s->most[d]) {
			s->most[d] = r->auc[d];
			s->where[d] = shard->tensor->name;
		}
	}
	if (r->tail_known) {
		s->tail += w * r->tail;
		s->tail_weight += w;
	}
}

static void pool_in(struct sums *s, const struct lm_detect_result *r, double weight)
{
	s->pooled++;
	for (size_t d = 0; d < LM_DETECT_POSITION; d++) {
		if (isnan(r->raw[d]) || isnan(r->raw_lot[d]))
			continue;
		s->pool_weight[d] += weight;
		s->raw[d] += weight * r->raw[d];
		s->raw_lot[d] += weight * r->raw_lot[d];
	}
}

/* The area of the best detector over all tensors: where it does not apply it guesses. */
static double best(const struct sums *s, const double *sum, size_t *detector)
{
	double all = 0, most = 0;

	for (size_t d = 0; d < LM_DETECT_POSITION; d++)
		all = fmax(all, s->pool_weight[d]);
	for (size_t d = 0; d < LM_DETECT_POSITION && all > 0; d++) {
		double gain = fabs(sum[d] - s->pool_weight[d] / 2) / all;

		if (gain < most || s->pool_weight[d] <= 0)
			continue;
		most = gain;
		*detector = d;
	}
	return most + 0.5;
}

static void pooled_figures(struct lmodel_detection *f, const struct sums *s)
{
	size_t d = LM_NONE, lot = LM_NONE;

	f->pooled = best(s, s->raw, &d);
	f->pooled_lot = best(s, s->raw_lot, &lot);
	if (d == LM_NONE)
		return;
	f->pooled_tensors = s->pooled;
	f->pooled_detector = lm_detector_name((enum lm_detector)d);
}

/* The detector that gives most away in all: one that applies to a few tensors counts as a guess in
 * the others. */
static size_t worst(const struct sums *s, const double *sum, size_t from, size_t to)
{
	double most = -1;
	size_t found = LM_NONE;

	for (size_t d = from; d < to; d++) {
		double gain = sum[d] - s->on[d] / 2;

		if (s->on[d] > 0 && gain > most) {
			most = gain;
			found = d;
		}
	}
	return found;
}

static void figures(struct lmodel_detection *f, const struct sums *s)
{
	size_t d = worst(s, s->area, 0, LM_DETECT_POSITION);
	size_t lot = worst(s, s->lot, 0, LM_DETECT_POSITION);
	size_t position = worst(s, s->area, LM_DETECT_POSITION, LM_DETECTORS);

	if (d == LM_NONE)
		return;
	f->tensors = s->tensors;
	f->detector = lm_detector_name((enum lm_detector)d);
	f->mean = s->area[d] / s->on[d];
	f->most = s->most[d];
	f->tensor = s->where[d];
	f->lot = s->lot[lot] / s->on[lot];
	if (position != LM_NONE) {
		f->position = lm_detector_name((enum lm_detector)position);
		f->position_mean = s->area[position] / s->on[position];
		f->position_most = s->most[position];
	}
	f->tail_known = s->tail_weight > 0;
	f->tail = f->tail_known ? s->tail / s->tail_weight : 0;
}

/* ---- one tensor ---- */

static int detect_view(struct lm_audit *a, const struct lm_hidden *h,
		       const struct lm_detect_view *view, struct sums *tiers,
		       struct lmodel_error *error)
{
	for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++) {
		struct lmodel_audit_shard *shard;
		struct lm_detect_result result;
		struct sums one = { 0 };
		int r;

		if (h->tier[i].shard == LM_NONE)
			continue;
		shard = &a->shards[h->tier[i].shard];
		r = lm_detect(view, (uint8_t)(i + 1), &result, error);
		if (r != LMODEL_OK)
			return r;
		if (result.pooled)
			pool_in(&tiers[i], &result, (double)shard->units);
		if (!result.measured)
			continue;
		count_in(&one, &result, shard);
		figures(&shard->detection, &one);
		count_in(&tiers[i], &result, shard);
	}
	return LMODEL_OK;
}

static int detect_tensor(struct lm_audit *a, size_t tensor, struct lm_reader *reader,
			 struct sums *tiers, struct lmodel_error *error)
{
	LM_FREE struct lm_hidden *h = malloc(sizeof(*h));
	struct lm_detect_view view = { 0 };
	int r;

	if (h == NULL)
		return lm_fail_memory(error);
	r = lm_hidden_open(h, a->archive, tensor, LM_NONE, error);
	if (r == LMODEL_OK)
		r = lm_audit_view(&view, h, reader, error);
	if (r == LMODEL_OK)
		r = detect_view(a, h, &view, tiers, error);
	lm_audit_view_free(&view);
	lm_hidden_close(h);
	return r;
}

/* ---- all ---- */

/* Which tensors have enough units for it. */
static void choose(const struct lm_audit *a, bool *chosen)
{
	const struct lm_manifest *m = &a->archive->manifest;

	for (size_t i = 0; i < m->shard_count; i++) {
		const struct lmodel_audit_shard *s = &a->shards[i];

		if (s->exact && s->units >= LM_DETECT_FEW &&
		    s->unit_count - s->units >= LM_DETECT_FEW)
			chosen[m->shards[i].tensor] = true;
	}
}

static int detect_all(struct lm_audit *a, const bool *chosen, const struct lmodel_run *run,
		      struct sums *tiers, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->archive->manifest;
	struct lm_reader *reader = lm_reader_new(a->archive, error);
	struct lm_meter meter;
	uint64_t total = 0;
	int r = reader == NULL ? LMODEL_EFAILED : LMODEL_OK;

	for (size_t i = 0; i < m->tensor_count; i++)
		if (chosen[i] && !lm_add(total, m->tensors[i].bytes, &total))
			total = UINT64_MAX;
	lm_meter_begin(&meter, run, total);
	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++) {
		if (!chosen[i])
			continue;
		r = detect_tensor(a, i, reader, tiers, error);
		if (r == LMODEL_OK)
			r = lm_meter_add(&meter, m->tensors[i].bytes, error);
	}
	lm_reader_free(reader);
	return r;
}

int lm_audit_detect(struct lm_audit *a, const struct lmodel_run *run, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->archive->manifest;
	LM_FREE bool *chosen = calloc(m->tensor_count + 1, sizeof(*chosen));
	LM_FREE struct sums *tiers = calloc(LM_TIER_ROW_LIMIT, sizeof(*tiers));
	int r;

	if (chosen == NULL || tiers == NULL)
		return lm_fail_memory(error);
	choose(a, chosen);
	r = detect_all(a, chosen, run, tiers, error);
	for (size_t i = 0; i < m->tier_count && r == LMODEL_OK; i++) {
		figures(&a->tiers[i].detection, &tiers[i]);
		pooled_figures(&a->tiers[i].detection, &tiers[i]);
	}
	return r;
}
