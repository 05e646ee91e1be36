#include "protect/selection.h"

#include "protect/kernels.h"

struct lm_selection *lm_selection_new(const struct lm_model *model, size_t tiers,
				      struct lmodel_error *error)
{
	const size_t n = model->tensor_count + 1; /* never an allocation of nothing */
	struct lm_selection *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		lm_streams_init(&s->streams);
		s->count = model->tensor_count;
		s->tiers = tiers;
		s->tensors = calloc(n, sizeof(*s->tensors));
		s->scorers = calloc(n, sizeof(*s->scorers));
		s->set_of = calloc(n, sizeof(*s->set_of));
	}
	if (s == NULL || s->tensors == NULL || s->scorers == NULL || s->set_of == NULL) {
		lm_fail_memory(error);
		lm_selection_free(s);
		return NULL;
	}
	return s;
}

const struct lm_selected_tensor *lm_selection_of(const struct lm_selection *s, size_t tensor)
{
	return &s->tensors[tensor];
}

/* Tiers nest, so a unit's tier is the number of thresholds that it does not reach. */
static void place(const struct lm_selection *s, size_t tensor, uint64_t first, size_t n,
		  const uint64_t *keys, uint8_t *tiers)
{
	const struct lm_threshold *threshold = s->thresholds + s->set_of[tensor] * s->tiers;

	memset(tiers, 0, n);
	for (size_t t = 0; t < s->tiers; t++) {
		const uint64_t line = threshold[t].key;

		for (size_t i = 0; i < n; i++)
			tiers[i] = (uint8_t)(tiers[i] + (keys[i] < line));
		for (size_t i = 0; i < n && threshold[t].tied; i++)
			if (keys[i] == line &&
			    !lm_threshold_has(&threshold[t], tensor, first + i, keys[i]))
				tiers[i]++;
	}
	for (size_t i = 0; i < n; i++)
		tiers[i] = tiers[i] == s->tiers ? LM_NO_TIER : tiers[i];
}

size_t lm_selection_window(const struct lm_selection *s, size_t tensor)
{
	return lm_picks_window(s->picks, tensor);
}

/* What is kept of a window, as far as it is asked for. */
static int add_kept(const struct lm_selection *s, size_t tensor, uint64_t start, uint64_t first,
		    uint64_t count, const struct lm_picked *list, struct lm_chosen *chosen,
		    struct lmodel_error *error)
{
	const uint64_t *key = list->keys;
	int r = lm_chosen_reserve(chosen, chosen->count + list->count + LM_KERNELS_SLACK, error);

	if (r == LMODEL_OK && list->key_count == 0 && start >= first) {
		const uint32_t shift = (uint32_t)(start - first);
		size_t n = list->count;

		while (n > 0 && shift + list->at[n - 1] >= count)
			n--;
		lm_kernels()->widen(list->at, shift, n, chosen->at + chosen->count);
		if (n > 0)
			memcpy(chosen->tier + chosen->count, list->tier, n);
		chosen->count += n;
		return LMODEL_OK;
	}
	for (size_t i = 0; i < list->count && r == LMODEL_OK; i++) {
		const uint64_t unit = start + list->at[i];
		uint8_t tier = list->tier[i];

		if (tier == LM_PICK_OPEN)
			place(s, tensor, unit, 1, key++, &tier);
		if (unit - first < count && tier != LM_NO_TIER)
			lm_chosen_add(chosen, (size_t)(unit - first), tier);
	}
	return r;
}

static int list_kept(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		     struct lm_chosen *chosen, struct lmodel_error *error)
{
	const size_t window = lm_picks_window(s->picks, tensor);
	struct lm_picked list = { 0 };
	int r = LMODEL_OK;

	for (uint64_t w = first / window; w * window < first + count && r == LMODEL_OK; w++) {
		r = lm_picks_get(s->picks, tensor, w, &list, error);
		if (r == LMODEL_OK)
			r = add_kept(s, tensor, w * window, first, count, &list, chosen, error);
	}
	lm_picked_free(&list);
	return r;
}

static int kept_tiers(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		      uint8_t *tiers, struct lmodel_error *error)
{
	LM_CHOSEN struct lm_chosen chosen = { 0 };
	int r = list_kept(s, tensor, first, count, &chosen, error);

	memset(tiers, LM_NO_TIER, (size_t)count);
	for (size_t i = 0; i < chosen.count; i++)
		tiers[chosen.at[i]] = chosen.tier[i];
	return r;
}

/* For a few units it is quicker to make their keys again than to unpack a window. */
static bool is_kept(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count)
{
	const size_t window = lm_picks_window(s->picks, tensor);

	return window > 0 && (count >= window / 4 ||
			      (first % window == 0 &&
			       first + count == s->tensors[tensor].units.count));
}

int lm_selection_tiers(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		       const uint8_t *bytes, uint8_t *tiers, struct lmodel_error *error)
{
	const struct lm_scorer *scorer = &s->scorers[tensor];
	const uint8_t settled = s->settled[s->set_of[tensor]];
	uint64_t keys[4 * LM_KEY_BATCH];
	int r = LMODEL_OK;

	if (settled != LM_UNSETTLED) {
		memset(tiers, settled, (size_t)count);
		return LMODEL_OK;
	}
	if (is_kept(s, tensor, first, count))
		return kept_tiers(s, tensor, first, count, tiers, error);
	for (uint64_t at = 0; at < count && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(count - at, (uint64_t)LM_COUNT(keys));
		const uint8_t *part = lm_scorer_needs_bytes(scorer) ?
				      bytes + at * scorer->units->unit_bytes : NULL;

		r = lm_scorer_keys(scorer, first + at, n, part, keys, error);
		if (r == LMODEL_OK)
			place(s, tensor, first + at, n, keys, tiers + at);
		at += n;
	}
	return r;
}

int lm_selection_list(const struct lm_selection *s, size_t tensor, uint64_t first, uint64_t count,
		      const uint8_t *bytes, struct lm_chosen *chosen, struct lmodel_error *error)
{
	uint8_t tiers[4 * LM_KEY_BATCH];
	int r = LMODEL_OK;

	if (count > UINT32_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%ju units at once", (uintmax_t)count);
	if (is_kept(s, tensor, first, count))
		return list_kept(s, tensor, first, count, chosen, error);
	for (uint64_t at = 0, n; at < count && r == LMODEL_OK; at += n) {
		const uint8_t *part = bytes == NULL ? NULL :
				      bytes + at * s->tensors[tensor].units.unit_bytes;

		n = LM_MIN(count - at, (uint64_t)LM_COUNT(tiers));
		r = lm_selection_tiers(s, tensor, first + at, n, part, tiers, error);
		if (r == LMODEL_OK)
			r = lm_chosen_add_tiers(chosen, at, tiers, n, error);
	}
	return r;
}

bool lm_selection_needs_bytes(const struct lm_selection *s, size_t tensor)
{
	return s->settled[s->set_of[tensor]] == LM_UNSETTLED &&
	       lm_scorer_needs_bytes(&s->scorers[tensor]);
}

void lm_selection_free(struct lm_selection *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; s->scorers != NULL && i < s->count; i++)
		lm_scorer_free(&s->scorers[i]);
	for (size_t i = 0; s->thresholds != NULL && i < s->sets * s->tiers; i++)
		free(s->thresholds[i].ties);
	free(s->thresholds);
	lm_picks_free(s->picks);
	lm_streams_destroy(&s->streams);
	free(s->settled);
	free(s->set_of);
	free(s->scorers);
	free(s->tensors);
	free(s);
}
