#include "base/blocks.h"

struct lm_idle_block {
	struct lm_idle_block *next;
};

void lm_blocks_begin(struct lm_blocks *blocks, size_t size)
{
	*blocks = (struct lm_blocks){ .size = LM_MAX(size, sizeof(struct lm_idle_block)) };
	pthread_mutex_init(&blocks->lock, NULL);
}

uint8_t *lm_blocks_take(struct lm_blocks *blocks, struct lmodel_error *error)
{
	struct lm_idle_block *block;

	pthread_mutex_lock(&blocks->lock);
	block = blocks->idle;
	if (block != NULL)
		blocks->idle = block->next;
	pthread_mutex_unlock(&blocks->lock);
	if (block == NULL)
		block = malloc(blocks->size);
	if (block == NULL)
		lm_fail_memory(error);
	return (uint8_t *)block;
}

void lm_blocks_give(struct lm_blocks *blocks, uint8_t *block)
{
	struct lm_idle_block *idle = (void *)block;

	if (idle == NULL)
		return;
	pthread_mutex_lock(&blocks->lock);
	idle->next = blocks->idle;
	blocks->idle = idle;
	pthread_mutex_unlock(&blocks->lock);
}

void lm_blocks_free(struct lm_blocks *blocks)
{
	struct lm_idle_block *next;

	for (struct lm_idle_block *block = blocks->idle; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	blocks->idle = NULL;
	pthread_mutex_destroy(&blocks->lock);
}
