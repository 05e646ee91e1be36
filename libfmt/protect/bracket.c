#include "protect/bracket.h"

#include <math.h>

#include "protect/line.h"
#include "protect/walk.h"

enum {
	ALL = 8192,            /* units below which all are near */
	COARSE = 1 << 20,      /* units below which the sample's bins are wider */
	COARSE_BITS = 14,
	FINE_BITS = 18,
	MOST = 1 << 19,        /* units near one line */
	HELD = 256,            /* windows of a set that is kept in one piece, at most */
	KEPT_PART = 4,         /* of the units: larger sets are not kept */
};

/* Of a pass that was given up; no failure. */
enum { LM_BRACKET_FAILED = 1001 };

/* How many standard deviations of its rank in the sample a line may be off: one in a set with
 * a million lines for independent keys, and some room, for neighbours are not. */
#define REACH 7.0

/* Keys low to high, in which one line runs, or several. */
struct near {
	uint64_t low, high;
	uint8_t tier;          /* of units above it, and below the one before */
	struct lm_entry *entries;
	size_t count, capacity;
	uint64_t *part_above;  /* units of each scorer with higher keys */
};

struct search {
	const struct lm_ranking *ranking;
	const uint64_t *wanted;
	size_t tiers;
	uint64_t all;
	unsigned workers;

	unsigned bits;         /* of a key, that bins divide by */
	uint64_t *bins;        /* of each worker, one behind the other */

	struct near near[LM_TIER_LIMIT]; /* descending */
	size_t near_count;
	size_t near_of[LM_TIER_LIMIT];   /* of tiers; SIZE_MAX: that line is known */
	bool keeps, failed;

	struct lm_pick_list *held; /* of a set of one tensor, by window, until all is known */
	size_t held_count;
};

/* ---- the sample ---- */

static int count_window(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
			const uint64_t *keys, void **result, struct lmodel_error *error)
{
	const struct search *s = context;
	uint64_t *bins = s->bins + ((size_t)worker << s->bits);

	(void)part;
	(void)first;
	(void)result;
	(void)error;
	for (size_t i = 0; i < n; i++)
		bins[keys[i] >> (64 - s->bits)] += keys[i] != LM_KEY_NONE;
	return LMODEL_OK;
}

static int nothing(void *context, size_t part, void *result, struct lmodel_error *error)
{
	(void)context;
	(void)part;
	(void)result;
	(void)error;
	return LMODEL_OK;
}

/* Units a sampled one stands for. The more are sampled, the fewer are near a line and have to be
 * taken out, which costs some fifty times as much each. */
static uint64_t stride_for(const struct search *s)
{
	const double all = (double)s->all;
	const double near = fmin(0.85 * cbrt(all * all), MOST / 2);
	double variance = 0, sample;

	for (size_t t = 0; t < s->tiers; t++) {
		const double share = (double)s->wanted[t] / all;

		variance = fmax(variance, share * (1 - share));
	}
	sample = 2 * REACH * all / near;
	return (uint64_t)fmax(1, floor(all / (sample * sample * variance)));
}

/* The bin of unit number `rank` from the top of the sample. */
static size_t bin_of(const struct search *s, double rank)
{
	double above = 0;

	for (size_t bin = (size_t)1 << s->bits; bin-- > 0;) {
		above += (double)s->bins[bin];
		if (above >= rank)
			return bin;
	}
	return 0;
}

static void bracket(struct search *s, double sampled)
{
	const unsigned shift = 64 - s->bits;

	for (size_t t = 0; t < s->tiers; t++) {
		struct near *near = &s->near[s->near_count];
		double share, rank, reach;

		if (s->near_of[t] == SIZE_MAX)
			continue;
		share = (double)s->wanted[t] / (double)s->all;
		rank = share * sampled;
		reach = REACH * sqrt(rank * (1 - share)) + REACH;
		near->high = rank - reach < 1 ? UINT64_MAX :
			     ((uint64_t)bin_of(s, rank - reach) << shift) + (UINT64_MAX >> s->bits);
		near->low = rank + reach >= sampled ? 0 :
			    (uint64_t)bin_of(s, rank + reach) << shift;
		near->low = LM_MAX(near->low, LM_KEY_NONE + 1);
		if (s->near_count > 0 && near->high >= near[-1].low) {
			near[-1].low = LM_MIN(near[-1].low, near->low);
			s->near_of[t] = s->near_count - 1;
		} else {
			s->near_of[t] = s->near_count++;
		}
	}
}

/* Where lines are about. */
static int look(struct search *s, struct lmodel_error *error)
{
	struct lm_walk walk = {
		.scorers = s->ranking->scorers, .count = s->ranking->count, .workers = s->workers,
		.stride = stride_for(s), .visit = count_window, .take = nothing, .context = s,
	};
	double sampled = 0;
	int r;

	s->bits = s->all < COARSE ? COARSE_BITS : FINE_BITS;
	s->bins = calloc((size_t)s->workers << s->bits, sizeof(*s->bins));
	if (s->bins == NULL)
		return lm_fail_memory(error);
	r = lm_walk(&walk, error);
	for (size_t bin = 0; bin >> s->bits == 0; bin++) {
		for (size_t w = 1; w < s->workers; w++)
			s->bins[bin] += s->bins[(w << s->bits) + bin];
		sampled += (double)s->bins[bin];
	}
	if (r == LMODEL_OK)
		bracket(s, sampled);
	free(s->bins);
	s->bins = NULL;
	return r;
}

/* ---- the pass ---- */

/* What a window leaves for the calling thread. */
struct found {
	uint64_t above[LM_TIER_LIMIT];
	struct lm_entry *entries[LM_TIER_LIMIT];
	size_t count[LM_TIER_LIMIT], capacity[LM_TIER_LIMIT];
	struct lm_pick_list list;
};

static void release_found(void *result)
{
	struct found *found = result;

	for (size_t i = 0; i < LM_TIER_LIMIT; i++)
		free(found->entries[i]);
	lm_pick_list_free(&found->list);
	free(found);
}

static int begin_keeping(const struct search *s, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < s->ranking->count && r == LMODEL_OK; i++) {
		const struct lm_scorer *scorer = s->ranking->scorers[i];

		r = lm_picks_begin(s->ranking->picks, scorer->tensor, scorer->units->count,
				   lm_walk_window(scorer), error);
	}
	return r;
}

static int keep(const struct search *s, size_t part, uint64_t first, struct lm_pick_list *list,
		struct lmodel_error *error)
{
	const struct lm_scorer *scorer = s->ranking->scorers[part];

	return lm_picks_put(s->ranking->picks, scorer->tensor, first / lm_walk_window(scorer), list,
			    error);
}

static int take_near(struct found *found, size_t near, size_t part, uint64_t unit, uint64_t key,
		     bool keeps, struct lmodel_error *error)
{
	if (keeps && lm_pick_list_add_key(&found->list, key, error) != LMODEL_OK)
		return LMODEL_EFAILED;
	if (lm_grow(&found->entries[near], found->count[near], &found->capacity[near],
		    sizeof(struct lm_entry), error) != LMODEL_OK)
		return LMODEL_EFAILED;
	found->entries[near][found->count[near]++] = (struct lm_entry){ key, unit, part };
	return LMODEL_OK;
}

static int find_window(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
		       const struct lm_keys_found *high, void **result, struct lmodel_error *error)
{
	const struct search *s = context;
	struct found *found = *result;
	int r;

	(void)worker;
	(void)n;
	if (found == NULL)
		found = *result = calloc(1, sizeof(*found));
	if (found == NULL)
		return lm_fail_memory(error);
	memset(found->above, 0, sizeof(found->above));
	memset(found->count, 0, sizeof(found->count));
	r = lm_pick_list_begin(&found->list, s->keeps ? high->count : 0, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t h = 0; h < high->count; h++) {
		const size_t i = high->at[h];
		const uint64_t key = high->keys[h];
		size_t k = 0;
		bool open;

		for (size_t j = 0; j + 1 < s->near_count; j++)
			k += key < s->near[j].low; /* no jump: which tier it is, is chance */
		open = key <= s->near[k].high;
		found->above[k] += !open;
		if (s->keeps)
			lm_pick_list_add(&found->list, i, open ? LM_PICK_OPEN : s->near[k].tier);
		if (open && take_near(found, k, part, first + i, key, s->keeps, error))
			return LMODEL_EFAILED;
	}
	return s->keeps && s->held == NULL ? keep(s, part, first, &found->list, error) : LMODEL_OK;
}

/* Too many near a line: then counting them is quicker. */
static int take(void *context, size_t part, void *result, struct lmodel_error *error)
{
	struct search *s = context;
	struct found *found = result;

	if (s->held != NULL) {
		struct lm_pick_list *held = &s->held[s->held_count++], list = *held;

		*held = found->list;
		found->list = list;
	}
	for (size_t k = 0; k < s->near_count; k++) {
		struct near *near = &s->near[k];
		size_t n = found->count[k];

		near->part_above[part] += found->above[k];
		if (n > MOST - near->count) {
			s->failed = true;
			return LM_BRACKET_FAILED;
		}
		if (near->count + n > near->capacity) {
			size_t capacity = LM_MIN((size_t)MOST, 2 * (near->count + n));
			void *grown = realloc(near->entries, capacity * sizeof(*near->entries));

			if (grown == NULL)
				return lm_fail_memory(error);
			near->entries = grown;
			near->capacity = capacity;
		}
		if (n > 0)
			memcpy(near->entries + near->count, found->entries[k],
			       n * sizeof(*near->entries));
		near->count += n;
	}
	return LMODEL_OK;
}

static int pass(struct search *s, struct lmodel_error *error)
{
	const struct lm_ranking *ranking = s->ranking;
	const struct lm_walk walk = {
		.scorers = ranking->scorers, .count = ranking->count, .workers = s->workers,
		.meter = ranking->meter, .least = s->near[s->near_count - 1].low,
		.find = find_window, .take = take, .release = release_found, .context = s,
	};
	int r = LMODEL_OK;

	for (size_t k = 0; k < s->near_count && r == LMODEL_OK; k++) {
		s->near[k].part_above = calloc(ranking->count, sizeof(uint64_t));
		if (s->near[k].part_above == NULL)
			r = lm_fail_memory(error);
	}
	if (r == LMODEL_OK && s->keeps)
		r = begin_keeping(s, error);
	if (r == LMODEL_OK)
		r = lm_walk(&walk, error);
	/* What was taken out of one bracket is above the next. */
	for (size_t k = 1; k < s->near_count && r == LMODEL_OK; k++) {
		for (size_t i = 0; i < ranking->count; i++)
			s->near[k].part_above[i] += s->near[k - 1].part_above[i];
		for (size_t i = 0; i < s->near[k - 1].count; i++)
			s->near[k].part_above[s->near[k - 1].entries[i].part]++;
	}
	return r;
}

/* Whether all lines run where they were looked for. */
static bool holds(const struct search *s)
{
	for (size_t t = 0; t < s->tiers; t++) {
		const struct near *near;
		uint64_t above = 0;

		if (s->near_of[t] == SIZE_MAX)
			continue;
		near = &s->near[s->near_of[t]];
		for (size_t i = 0; i < s->ranking->count; i++)
			above += near->part_above[i];
		if (s->wanted[t] <= above || s->wanted[t] - above > near->count)
			return false;
	}
	return true;
}

/* Small sets are kept when all is known, and not one open unit is left. */
static int keep_all(const struct search *s, const struct lm_threshold *thresholds,
		    struct lmodel_error *error)
{
	const struct near *near = &s->near[0];
	struct lm_pick_list list = { 0 };
	int r = begin_keeping(s, error);

	for (size_t i = 0; i < near->count && r == LMODEL_OK;) {
		const size_t part = near->entries[i].part;
		const struct lm_scorer *scorer = s->ranking->scorers[part];
		const size_t window = lm_walk_window(scorer);
		const uint64_t first = near->entries[i].unit / window * window;

		r = lm_pick_list_begin(&list, window, error);
		for (; i < near->count && r == LMODEL_OK && near->entries[i].part == part &&
		       near->entries[i].unit - first < window; i++) {
			const struct lm_entry *e = &near->entries[i];
			size_t t = 0;

			while (t < s->tiers &&
			       !lm_threshold_has(&thresholds[t], scorer->tensor, e->unit, e->key))
				t++;
			if (t < s->tiers)
				lm_pick_list_add(&list, (size_t)(e->unit - first), (uint8_t)t);
		}
		if (r == LMODEL_OK)
			r = keep(s, part, first, &list, error);
	}
	lm_pick_list_free(&list);
	return r;
}

/* For sets that are not too large it is worth while to wait with what is kept: it is read several
 * times, and open units take longer than others. */
static int hold(struct search *s, struct lmodel_error *error)
{
	const struct lm_scorer *scorer = s->ranking->scorers[0];
	const size_t windows = (size_t)(scorer->units->count / lm_walk_window(scorer)) + 1;

	if (!s->keeps || s->ranking->count != 1 || windows > HELD)
		return LMODEL_OK;
	s->held = calloc(windows, sizeof(*s->held));
	return s->held == NULL ? lm_fail_memory(error) : LMODEL_OK;
}

static int keep_held(const struct search *s, const struct lm_threshold *thresholds,
		     struct lmodel_error *error)
{
	const struct lm_scorer *scorer = s->ranking->scorers[0];
	const size_t window = lm_walk_window(scorer);
	int r = LMODEL_OK;

	for (size_t w = 0; w < s->held_count && r == LMODEL_OK; w++) {
		struct lm_pick_list *list = &s->held[w];
		const uint64_t *key = list->keys;
		const size_t count = list->count;

		list->count = list->key_count = 0;
		for (size_t i = 0; i < count; i++) {
			const uint64_t unit = (uint64_t)w * window + list->at[i];
			size_t t = list->tier[i];

			if (t == LM_PICK_OPEN) {
				for (t = 0; t < s->tiers; t++)
					if (lm_threshold_has(&thresholds[t], scorer->tensor, unit,
							     *key))
						break;
				key++;
			}
			if (t < s->tiers)
				lm_pick_list_add(list, list->at[i], (uint8_t)t);
		}
		r = keep(s, 0, (uint64_t)w * window, list, error);
	}
	return r;
}

static int run(struct search *s, struct lm_threshold *thresholds, uint64_t *upto, bool *found,
	       struct lmodel_error *error)
{
	const bool keeps = s->keeps;
	int r = LMODEL_OK;

	if (s->all > ALL) {
		r = look(s, error);
	} else {
		s->keeps = false;
		s->near[0] = (struct near){ .low = LM_KEY_NONE + 1, .high = UINT64_MAX };
		s->near_count = 1;
	}
	for (size_t t = s->tiers; t-- > 0;)
		if (s->near_of[t] != SIZE_MAX)
			s->near[s->near_of[t]].tier = (uint8_t)t;
	if (r == LMODEL_OK)
		r = hold(s, error);
	if (r == LMODEL_OK)
		r = pass(s, error);
	*found = !s->failed && r == LMODEL_OK && holds(s);
	for (size_t t = 0; t < s->tiers && *found && r == LMODEL_OK; t++) {
		const struct near *near = &s->near[s->near_of[t] == SIZE_MAX ? 0 : s->near_of[t]];
		const struct lm_around around = { near->entries, near->count, near->part_above };

		if (s->near_of[t] != SIZE_MAX)
			r = lm_draw_line(s->ranking, &around, s->wanted[t], &thresholds[t],
					 upto + t, s->tiers, error);
	}
	if (r == LMODEL_OK && *found && keeps && !s->keeps)
		r = keep_all(s, thresholds, error);
	if (r == LMODEL_OK && *found && s->held != NULL)
		r = keep_held(s, thresholds, error);
	s->keeps = keeps;
	return s->failed ? LMODEL_OK : r;
}

int lm_bracket(const struct lm_ranking *ranking, uint64_t all, const uint64_t *wanted, size_t tiers,
	       struct lm_threshold *thresholds, uint64_t *upto, bool *found,
	       struct lmodel_error *error)
{
	struct search s = {
		.ranking = ranking, .wanted = wanted, .tiers = tiers, .all = all,
		.workers = LM_MAX(ranking->workers, 1u),
		.keeps = ranking->picks != NULL && wanted[tiers - 1] <= all / KEPT_PART,
	};
	int r;

	for (size_t t = 0; t < tiers; t++)
		s.near_of[t] = wanted[t] == 0 || wanted[t] == all ? SIZE_MAX : 0;
	for (size_t i = 0; i < ranking->count; i++)
		s.keeps &= !lm_scorer_is_whole(ranking->scorers[i]); /* has its keys already */
	r = run(&s, thresholds, upto, found, error);
	for (size_t i = 0; i < ranking->count && s.keeps && (r != LMODEL_OK || !*found); i++)
		lm_picks_drop(ranking->picks, ranking->scorers[i]->tensor);
	for (size_t w = 0; w < s.held_count; w++)
		lm_pick_list_free(&s.held[w]);
	free(s.held);
	for (size_t k = 0; k < s.near_count; k++) {
		free(s.near[k].entries);
		free(s.near[k].part_above);
	}
	return r;
}
