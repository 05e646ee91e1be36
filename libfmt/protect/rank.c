#include "protect/rank.h"

#include "protect/bracket.h"
#include "protect/line.h"
#include "protect/walk.h"

/* Where no brackets were found (protect/bracket.h): a radix search from the top of the key down.
 * Each pass looks into the buckets in which a line between two tiers is known to run: a bucket with
 * many keys is divided by the next bits of them, one with few is taken out. The first pass divides
 * by sign, exponent and nine bits of the mantissa: then mostly few are left. */
enum { FEW = 1 << 19, ROOT_BITS = 18, STEP_BITS = 16 };

struct bucket {
	uint64_t prefix;     /* keys that begin with these ... */
	unsigned bits;       /* ... so many bits */
	unsigned step;       /* further bits to divide by; 0: take out */
	uint64_t above;      /* units with higher keys */
	uint64_t count;      /* units in it */
	uint64_t *bins;      /* divide: of each worker, one behind the other */
	struct lm_entry *entries;
	size_t entry_count;
	uint64_t *part_above; /* take out: units of each scorer with higher keys */
	bool done;
};

struct search {
	const struct lm_ranking *ranking;
	unsigned workers;
	size_t tiers;
	const uint64_t *wanted;
	struct bucket buckets[LM_TIER_LIMIT];
	size_t bucket_count;
	size_t bucket_of[LM_TIER_LIMIT]; /* SIZE_MAX: nothing to be found */
};

/* What a window leaves for the calling thread. */
struct found {
	uint64_t above[LM_TIER_LIMIT];
	struct lm_entry *entries[LM_TIER_LIMIT];
	size_t count[LM_TIER_LIMIT], capacity[LM_TIER_LIMIT];
};

static void release_found(void *result)
{
	struct found *found = result;

	for (size_t i = 0; i < LM_TIER_LIMIT; i++)
		free(found->entries[i]);
	free(found);
}

/* The lowest and the highest key of a bucket. LM_KEY_NONE is in none. */
static void range_of(const struct bucket *b, uint64_t *low, uint64_t *high)
{
	*low = b->bits == 0 ? 0 : b->prefix << (64 - b->bits);
	*high = *low | (b->bits == 64 ? 0 : UINT64_MAX >> b->bits);
	if (*low == LM_KEY_NONE)
		*low = LM_KEY_NONE + 1;
}

static void count_keys(const struct bucket *b, uint64_t *bins, size_t n, const uint64_t *keys)
{
	const unsigned shift = 64 - b->bits - b->step;
	const uint64_t mask = ((uint64_t)1 << b->step) - 1;
	uint64_t low, high;

	range_of(b, &low, &high);
	for (size_t i = 0; i < n; i++)
		if (keys[i] - low <= high - low)
			bins[keys[i] >> shift & mask]++;
}

static int take_keys(const struct bucket *b, struct found *found, size_t slot, size_t part,
		     uint64_t first, size_t n, const uint64_t *keys, struct lmodel_error *error)
{
	uint64_t low, high, above = 0;

	range_of(b, &low, &high);
	found->count[slot] = 0;
	for (size_t i = 0; i < n; i++) {
		above += keys[i] > high;
		if (keys[i] - low > high - low)
			continue;
		if (lm_grow(&found->entries[slot], found->count[slot], &found->capacity[slot],
			    sizeof(struct lm_entry), error) != LMODEL_OK)
			return LMODEL_EFAILED;
		found->entries[slot][found->count[slot]++] =
			(struct lm_entry){ keys[i], first + i, part };
	}
	found->above[slot] = above;
	return LMODEL_OK;
}

static int visit(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
		 const uint64_t *keys, void **result, struct lmodel_error *error)
{
	const struct search *s = context;
	int r = LMODEL_OK;

	if (*result == NULL)
		*result = calloc(1, sizeof(struct found));
	if (*result == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < s->bucket_count && r == LMODEL_OK; i++) {
		const struct bucket *b = &s->buckets[i];

		if (b->done)
			continue;
		if (b->step > 0)
			count_keys(b, b->bins + ((size_t)worker << b->step), n, keys);
		else
			r = take_keys(b, *result, i, part, first, n, keys, error);
	}
	return r;
}

static int changed(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED, "the input was changed while it was read");
}

static int take(void *context, size_t part, void *result, struct lmodel_error *error)
{
	struct search *s = context;
	const struct found *found = result;

	for (size_t i = 0; i < s->bucket_count; i++) {
		struct bucket *b = &s->buckets[i];

		if (b->done || b->step > 0)
			continue;
		if (found->count[i] > b->count - b->entry_count)
			return changed(error);
		if (found->count[i] > 0)
			memcpy(b->entries + b->entry_count, found->entries[i],
			       found->count[i] * sizeof(struct lm_entry));
		b->entry_count += found->count[i];
		b->part_above[part] += found->above[i];
	}
	return LMODEL_OK;
}

/* ---- between passes ---- */

static int prepare(struct search *s, struct bucket *b, struct lmodel_error *error)
{
	b->step = 0;
	if (b->count > FEW && b->bits < 64) {
		b->step = b->bits == 0 ? ROOT_BITS : LM_MIN(STEP_BITS, 64 - b->bits);
		b->bins = calloc((size_t)s->workers << b->step, sizeof(*b->bins));
		return b->bins != NULL ? LMODEL_OK : lm_fail_memory(error);
	}
	if (b->count > FEW) /* equal in 32 bits or more of a pseudo-random number */
		return lm_fail(error, LMODEL_ELIMIT, "too many units rank alike");
	b->entries = calloc((size_t)b->count, sizeof(*b->entries));
	b->part_above = calloc(s->ranking->count, sizeof(*b->part_above));
	if (b->entries == NULL || b->part_above == NULL)
		return lm_fail_memory(error);
	return LMODEL_OK;
}

static int finish_taking(struct bucket *b, struct lmodel_error *error)
{
	b->done = true;
	return b->entry_count == b->count ? LMODEL_OK : changed(error);
}

/* The bucket of the bin in which unit number `rank` from the top is. */
static int narrow(const struct search *s, const struct bucket *b, uint64_t rank,
		  struct bucket *inner, struct lmodel_error *error)
{
	uint64_t above = b->above;

	for (size_t bin = (size_t)1 << b->step; bin-- > 0;) {
		uint64_t count = 0;

		for (size_t w = 0; w < s->workers; w++)
			count += b->bins[(w << b->step) + bin];
		if (count >= rank - above) {
			*inner = (struct bucket){
				.prefix = b->prefix << b->step | bin, .bits = b->bits + b->step,
				.above = above, .count = count,
			};
			return LMODEL_OK;
		}
		above += count;
	}
	return changed(error);
}

static void free_bucket(struct bucket *b)
{
	free(b->bins);
	free(b->entries);
	free(b->part_above);
}

/* Divides what is to be divided. Lines in one bin share its bucket. */
static int divide(struct search *s, struct lmodel_error *error)
{
	struct bucket fresh[LM_TIER_LIMIT];
	size_t n = 0, place[LM_TIER_LIMIT];
	int r = LMODEL_OK;

	for (size_t t = 0; t < s->tiers && r == LMODEL_OK; t++) {
		struct bucket inner;
		const struct bucket *b;

		place[t] = SIZE_MAX;
		if (s->bucket_of[t] == SIZE_MAX)
			continue;
		b = &s->buckets[s->bucket_of[t]];
		if (b->done)
			inner = *b;
		else
			r = narrow(s, b, s->wanted[t], &inner, error);
		if (r != LMODEL_OK)
			break;
		for (place[t] = 0; place[t] < n; place[t]++)
			if (fresh[place[t]].bits == inner.bits &&
			    fresh[place[t]].prefix == inner.prefix)
				break;
		if (place[t] == n)
			fresh[n++] = inner;
	}
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < s->bucket_count; i++)
		if (!s->buckets[i].done)
			free_bucket(&s->buckets[i]);
	memcpy(s->buckets, fresh, n * sizeof(fresh[0]));
	s->bucket_count = n;
	memcpy(s->bucket_of, place, s->tiers * sizeof(place[0]));
	return LMODEL_OK;
}

static int pass(struct search *s, bool *more, struct lmodel_error *error)
{
	const struct lm_walk walk = {
		.scorers = s->ranking->scorers, .count = s->ranking->count, .workers = s->workers,
		.meter = s->ranking->meter, .visit = visit, .take = take, .release = release_found,
		.context = s,
	};
	int r = LMODEL_OK;

	*more = false;
	for (size_t i = 0; i < s->bucket_count; i++) {
		if (s->buckets[i].done)
			continue;
		*more = true;
		r = prepare(s, &s->buckets[i], error);
		if (r != LMODEL_OK)
			return r;
	}
	if (!*more)
		return LMODEL_OK;
	r = lm_walk(&walk, error);
	for (size_t i = 0; i < s->bucket_count && r == LMODEL_OK; i++)
		if (!s->buckets[i].done && s->buckets[i].step == 0)
			r = finish_taking(&s->buckets[i], error);
	return r == LMODEL_OK ? divide(s, error) : r;
}

static int search(struct search *s, struct lm_threshold *thresholds, uint64_t *upto,
		  struct lmodel_error *error)
{
	bool more = true;
	int r = LMODEL_OK;

	while (more && r == LMODEL_OK)
		r = pass(s, &more, error);
	for (size_t t = 0; t < s->tiers && r == LMODEL_OK; t++) {
		const struct bucket *b = &s->buckets[s->bucket_of[t] == SIZE_MAX ? 0 :
						     s->bucket_of[t]];
		const struct lm_around around = {
			.entries = b->entries, .count = b->entry_count,
			.part_above = b->part_above,
		};

		if (s->bucket_of[t] != SIZE_MAX)
			r = lm_draw_line(s->ranking, &around, s->wanted[t], &thresholds[t],
					 upto + t, s->tiers, error);
	}
	return r;
}

int lm_rank(const struct lm_ranking *ranking, const uint64_t *wanted, size_t tiers,
	    struct lm_threshold *thresholds, uint64_t *upto, struct lmodel_error *error)
{
	struct search s = {
		.ranking = ranking, .workers = LM_MAX(ranking->workers, 1u), .tiers = tiers,
		.wanted = wanted,
	};
	bool found = false;
	uint64_t all = 0;
	int r;

	for (size_t i = 0; i < ranking->count; i++)
		all += ranking->candidates[i];
	for (size_t t = 0; t < tiers; t++) {
		bool none = wanted[t] == 0, whole = wanted[t] == all;

		s.bucket_of[t] = none || whole ? SIZE_MAX : 0;
		thresholds[t] = (struct lm_threshold){ .key = none ? UINT64_MAX : LM_KEY_NONE + 1 };
		for (size_t i = 0; i < ranking->count; i++)
			upto[i * tiers + t] = none ? 0 : ranking->candidates[i];
		if (!none && !whole)
			s.bucket_count = 1;
	}
	if (s.bucket_count == 0)
		return LMODEL_OK;
	r = lm_bracket(ranking, all, wanted, tiers, thresholds, upto, &found, error);
	if (r != LMODEL_OK || found)
		return r;
	s.buckets[0] = (struct bucket){ .count = all };
	r = search(&s, thresholds, upto, error);
	for (size_t i = 0; i < s.bucket_count; i++)
		free_bucket(&s.buckets[i]);
	return r;
}
