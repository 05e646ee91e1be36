/* Many small pieces of memory that go together: one call of malloc() for thousands, and one of
 * free(). */
#ifndef LM_ARENA_H
#define LM_ARENA_H

#include "base/base.h"

struct lm_arena_block;

struct lm_arena {
	struct lm_arena_block *last;
};

/* `size` bytes at a multiple of `align` (1, 4 or 8), NULL for want of memory. They are not
 * zeroed. */
void *lm_arena_take(struct lm_arena *arena, size_t size, size_t align) LM_MUST_CHECK;

/* Whether `piece` is of this arena. */
bool lm_arena_has(const struct lm_arena *arena, const void *piece);

void lm_arena_free(struct lm_arena *arena);

#endif
