/* Blocks of memory of one size, lent to the jobs of a pool: the one that came back last goes out
 * first, as most of it is still in a processor's cache. There are as many as were ever out at a
 * time. */
#ifndef LM_BLOCKS_H
#define LM_BLOCKS_H

#include <pthread.h>

#include "base/base.h"

struct lm_idle_block;

struct lm_blocks {
	size_t size;
	struct lm_idle_block *idle;
	pthread_mutex_t lock;
};

/* Allocates nothing yet. */
void lm_blocks_begin(struct lm_blocks *blocks, size_t size);

/* `size` bytes of any content, or NULL. Any thread may take, and give back what another took. */
uint8_t *lm_blocks_take(struct lm_blocks *blocks, struct lmodel_error *error);
void lm_blocks_give(struct lm_blocks *blocks, uint8_t *block); /* NULL: nothing */

/* When all have come back. */
void lm_blocks_free(struct lm_blocks *blocks);

#endif
