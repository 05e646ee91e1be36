#include "base/arena.h"

enum { FIRST = 16 << 10, LARGEST = 1 << 20 };

struct lm_arena_block {
	struct lm_arena_block *before;
	size_t size, used;
	_Alignas(8) uint8_t bytes[];
};

void *lm_arena_take(struct lm_arena *arena, size_t size, size_t align)
{
	struct lm_arena_block *block = arena->last;
	size_t at = block != NULL ? (block->used + align - 1) & ~(align - 1) : 0, wanted;

	if (block == NULL || at > block->size || block->size - at < size) {
		wanted = block == NULL ? FIRST : LM_MIN(2 * block->size, (size_t)LARGEST);
		wanted = LM_MAX(wanted, size);
		if (wanted > SIZE_MAX - sizeof(*block))
			return NULL;
		block = malloc(sizeof(*block) + wanted);
		if (block == NULL)
			return NULL;
		*block = (struct lm_arena_block){ .before = arena->last, .size = wanted };
		arena->last = block;
		at = 0;
	}
	block->used = at + size;
	return block->bytes + at;
}

bool lm_arena_has(const struct lm_arena *arena, const void *piece)
{
	uintptr_t p = (uintptr_t)piece;

	for (const struct lm_arena_block *b = arena->last; b != NULL; b = b->before)
		if (p >= (uintptr_t)b->bytes && p <= (uintptr_t)(b->bytes + b->size))
			return true;
	return false;
}

void lm_arena_free(struct lm_arena *arena)
{
	while (arena->last != NULL) {
		struct lm_arena_block *before = arena->last->before;

		free(arena->last);
		arena->last = before;
	}
}
