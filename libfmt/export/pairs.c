/* Key-values of several inputs in one output. */
#include "export/export.h"

static int compare_pairs(const void *a, const void *b, void *context)
{
	const struct lm_export_pair *pairs = context;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = strcmp(pairs[x].key, pairs[y].key);

	return order != 0 ? order : (x > y) - (x < y);
}

bool *lm_export_repeated(const struct lm_export_pair *pairs, size_t count)
{
	bool *repeated = calloc(count + 1, sizeof(*repeated));
	LM_FREE size_t *by_key = calloc(count + 1, sizeof(*by_key));

	if (repeated == NULL || by_key == NULL) {
		free(repeated);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		by_key[i] = i;
	qsort_r(by_key, count, sizeof(*by_key), compare_pairs, (void *)(uintptr_t)pairs);
	for (size_t i = 1; i < count; i++)
		repeated[by_key[i]] = strcmp(pairs[by_key[i]].key, pairs[by_key[i - 1]].key) == 0;
	return repeated;
}
