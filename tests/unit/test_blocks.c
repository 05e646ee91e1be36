/* base/blocks.c: blocks of one size, lent to threads. */
#include "base/blocks.h"

#include "lib/tap.h"

enum { SIZE = 1000, THREADS = 4, TURNS = 5000 };

static void test_order(void)
{
	struct lm_blocks blocks;
	uint8_t *a, *b, *c;

	lm_blocks_begin(&blocks, SIZE);
	a = lm_blocks_take(&blocks, NULL);
	b = lm_blocks_take(&blocks, NULL);
	ok(a != NULL && b != NULL && a != b, "two blocks");
	memset(a, 1, SIZE);
	memset(b, 2, SIZE);
	ok(a[0] == 1 && a[SIZE - 1] == 1, "... of their own");
	lm_blocks_give(&blocks, a);
	lm_blocks_give(&blocks, b);
	lm_blocks_give(&blocks, NULL);
	c = lm_blocks_take(&blocks, NULL);
	ok(c == b, "the last that came back goes out first");
	ok(lm_blocks_take(&blocks, NULL) == a, "... then the one before it");
	lm_blocks_give(&blocks, a);
	lm_blocks_give(&blocks, c);
	lm_blocks_free(&blocks);
}

static void test_small(void)
{
	struct lm_blocks blocks;
	uint8_t *a;

	lm_blocks_begin(&blocks, 0);
	a = lm_blocks_take(&blocks, NULL);
	ok(a != NULL, "blocks of no bytes");
	lm_blocks_give(&blocks, a);
	lm_blocks_free(&blocks);
	lm_blocks_begin(&blocks, SIZE);
	lm_blocks_free(&blocks);
	ok(1, "none was taken");
}

static void *take_turns(void *argument)
{
	struct lm_blocks *blocks = argument;
	intptr_t bad = 0;

	for (unsigned i = 0; i < TURNS; i++) {
		uint8_t *a = lm_blocks_take(blocks, NULL), *b = lm_blocks_take(blocks, NULL);
		uint8_t mark = (uint8_t)(uintptr_t)&bad >> 4 ^ (uint8_t)i;
		uint8_t other = mark ^ 0xff;

		memset(a, mark, SIZE);
		memset(b, other, SIZE);
		bad += a[0] != mark || a[SIZE - 1] != mark;
		lm_blocks_give(blocks, a);
		bad += b[0] != other || b[SIZE - 1] != other;
		lm_blocks_give(blocks, b);
	}
	return (void *)bad;
}

static void test_threads(void)
{
	struct lm_blocks blocks;
	pthread_t threads[THREADS];
	intptr_t bad = 0;

	lm_blocks_begin(&blocks, SIZE);
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, take_turns, &blocks) != 0)
			abort();
	for (unsigned i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(threads[i], &result);
		bad += (intptr_t)result;
	}
	is_int(bad, 0, "nobody else wrote to a block that was lent");
	lm_blocks_free(&blocks);
}

int main(void)
{
	test_order();
	test_small();
	test_threads();
	return done();
}
