#include "base/nameset.h"

#include <sys/auxv.h>

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Names come from files that may be hostile: without a secret one could choose names that all meet
 * in one slot. The kernel gives each process 16 random bytes. */
static uint32_t hash_of(const char *text, size_t len)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	const uint8_t *random = (const uint8_t *)getauxval(AT_RANDOM);
	uint64_t seed[2] = { odd, ~odd }, h, word;

	if (random != NULL)
		memcpy(seed, random, sizeof(seed));
	h = seed[0] ^ len;
	for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		h = fold(h ^ word, seed[1] | 1);
	}
	word = 0;
	memcpy(&word, text, len);
	return (uint32_t)fold(h ^ word, seed[1] | 1);
}

int lm_nameset_init(struct lm_nameset *names, size_t most, struct lmodel_error *error)
{
	size_t size = 16;

	*names = (struct lm_nameset){ 0 };
	if (most > UINT32_MAX / 2)
		return lm_fail_memory(error);
	while (size < most + most / 2)
		size *= 2;
	names->slots = calloc(size, sizeof(*names->slots));
	if (names->slots == NULL)
		return lm_fail_memory(error);
	names->mask = size - 1;
	return LMODEL_OK;
}

void lm_nameset_free(struct lm_nameset *names)
{
	free(names->slots);
	*names = (struct lm_nameset){ 0 };
}

/* Where the name is, or the free slot that it would take. */
static struct lm_name *find(const struct lm_nameset *names, const char *text, uint32_t hash)
{
	for (size_t i = hash & names->mask;; i = (i + 1) & names->mask) {
		struct lm_name *slot = &names->slots[i];

		if (slot->text == NULL ||
		    (slot->hash == hash && strcmp(slot->text, text) == 0))
			return slot;
	}
}

bool lm_nameset_add(struct lm_nameset *names, const char *text, size_t index)
{
	uint32_t hash = hash_of(text, strlen(text));
	struct lm_name *slot = find(names, text, hash);

	if (slot->text != NULL)
		return false;
	*slot = (struct lm_name){ text, hash, (uint32_t)index };
	return true;
}

size_t lm_nameset_find(const struct lm_nameset *names, const char *text)
{
	const struct lm_name *slot =
		names->slots != NULL ? find(names, text, hash_of(text, strlen(text))) : NULL;

	return slot != NULL && slot->text != NULL ? slot->index : SIZE_MAX;
}
