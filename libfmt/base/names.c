#include "base/names.h"

/* Names of tensors begin alike, are far apart in memory, and come sorted more often than not. So
 * the eight bytes behind what all of them share are compared first, beside the pointer. */

static size_t shared_prefix(const struct lm_name *names, size_t count)
{
	size_t shared = strlen(names[0].text);

	for (size_t i = 1; i < count && shared > 0; i++) {
		const char *a = names[0].text, *b = names[i].text;
		size_t n = 0;

		if (strncmp(a, b, shared) == 0)
			continue;
		while (a[n] == b[n])
			n++;
		shared = n;
	}
	return shared;
}

static uint64_t key_of(const char *text)
{
	uint64_t key = 0;

	for (int i = 0; i < 8; i++) {
		key = key << 8 | (unsigned char)*text;
		text += *text != '\0';
	}
	return key;
}

static int by_key(const void *a, const void *b)
{
	const struct lm_name *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return strcmp(x->text, y->text);
}

void lm_names_sort(struct lm_name *names, size_t count)
{
	size_t shared, i = 1;

	while (i < count && strcmp(names[i - 1].text, names[i].text) <= 0)
		i++;
	if (i >= count)
		return;
	shared = shared_prefix(names, count);
	for (i = 0; i < count; i++)
		names[i].key = key_of(names[i].text + shared);
	qsort(names, count, sizeof(*names), by_key);
}
