#include "protect/line.h"

static int changed(struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED, "the input was changed while it was read");
}

static void swap(uint64_t *a, uint64_t *b)
{
	const uint64_t v = *a;

	*a = *b;
	*b = v;
}

/* The key that is number `rank` from the top, 1 the highest: Hoare's selection. Keys end with bits
 * that nobody can choose, so the middle one of three is a good pivot. */
static uint64_t select_key(uint64_t *keys, size_t n, size_t rank)
{
	size_t low = 0, high = n - 1, at = rank - 1;

	while (low < high) {
		size_t i = low, j = high, middle = low + (high - low) / 2;
		uint64_t pivot;

		if (keys[middle] > keys[low])
			swap(&keys[middle], &keys[low]);
		if (keys[high] > keys[low])
			swap(&keys[high], &keys[low]);
		if (keys[high] > keys[middle])
			swap(&keys[high], &keys[middle]);
		pivot = keys[middle];
		while (i <= j) {
			while (keys[i] > pivot)
				i++;
			while (keys[j] < pivot)
				j--;
			if (i > j)
				break;
			swap(&keys[i++], &keys[j]);
			if (j == 0)
				break;
			j--;
		}
		if (at <= j)
			high = j;
		else if (at >= i)
			low = i;
		else
			break;
	}
	return keys[at];
}

/* ---- equal keys ---- */

struct ranked_tie {
	uint8_t order[32];
	struct lm_entry entry;
};

static int compare_ties(const void *a, const void *b)
{
	const struct ranked_tie *x = a, *y = b;

	return memcmp(x->order, y->order, sizeof(x->order));
}

/* Of `equal` units with one key the first `inside`, in an order that hangs on the key of choices,
 * are on the upper side. */
static int divide_ties(const struct lm_ranking *ranking, const struct lm_around *around,
		       size_t equal, size_t inside, struct lm_threshold *threshold, uint64_t *upto,
		       size_t step, struct lmodel_error *error)
{
	LM_FREE struct ranked_tie *ranked = calloc(equal, sizeof(*ranked));
	size_t n = 0;

	threshold->tied = true;
	threshold->ties = calloc(inside, sizeof(*threshold->ties));
	if (ranked == NULL || threshold->ties == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < around->count; i++) {
		const struct lm_entry *e = &around->entries[i];

		if (e->key != threshold->key)
			continue;
		ranked[n].entry = *e;
		lm_scorer_tie(ranking->scorers[e->part], e->unit, ranked[n++].order);
	}
	qsort(ranked, n, sizeof(*ranked), compare_ties);
	for (size_t i = 0; i < inside; i++) {
		const struct lm_entry *e = &ranked[i].entry;

		threshold->ties[threshold->tie_count++] =
			(struct lm_tie){ ranking->scorers[e->part]->tensor, e->unit };
		upto[e->part * step]++;
	}
	return LMODEL_OK;
}

int lm_draw_line(const struct lm_ranking *ranking, const struct lm_around *around, uint64_t wanted,
		 struct lm_threshold *threshold, uint64_t *upto, size_t step,
		 struct lmodel_error *error)
{
	LM_FREE uint64_t *keys = malloc(around->count * sizeof(*keys) + 1);
	size_t equal = 0, inside;

	if (keys == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < ranking->count; i++) {
		upto[i * step] = around->part_above[i];
		if (around->part_above[i] > wanted)
			return changed(error);
		wanted -= around->part_above[i];
	}
	if (wanted == 0 || wanted > around->count)
		return changed(error);
	inside = (size_t)wanted;
	for (size_t i = 0; i < around->count; i++)
		keys[i] = around->entries[i].key;
	threshold->key = select_key(keys, around->count, inside);
	for (size_t i = 0; i < around->count; i++) {
		const struct lm_entry *e = &around->entries[i];

		equal += e->key == threshold->key;
		inside -= e->key > threshold->key;
		upto[e->part * step] += e->key > threshold->key;
	}
	if (equal > inside)
		return divide_ties(ranking, around, equal, inside, threshold, upto, step, error);
	for (size_t i = 0; i < around->count; i++)
		upto[around->entries[i].part * step] += around->entries[i].key == threshold->key;
	return LMODEL_OK;
}
