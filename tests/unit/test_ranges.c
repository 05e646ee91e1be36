/* net/ranges.c, net/store.c, net/cache.c: a file elsewhere that is read by ranges. */
#include "net/ranges.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/tap.h"
#include "net/cache.h"

enum { BLOCKS = 700, SIZE = BLOCKS * 65536 - 1234, THREADS = 6 };

/* A source that knows what was asked for. */
static struct {
	pthread_mutex_t lock;
	uint64_t requests, bytes, most, last_from, last_len;
	unsigned at_once, at_once_most;
	int fail;           /* so many requests from now on */
	bool wrong;         /* other bytes */
} source = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13);
}

static int fetch(void *context, uint64_t offset, void *buffer, size_t len,
		 struct lmodel_error *error)
{
	uint8_t *out = buffer;
	bool fails, wrong;

	(void)context;
	pthread_mutex_lock(&source.lock);
	source.requests++;
	source.bytes += len;
	source.most = LM_MAX(source.most, (uint64_t)len);
	source.last_from = offset;
	source.last_len = len;
	source.at_once++;
	source.at_once_most = LM_MAX(source.at_once_most, source.at_once);
	fails = source.fail > 0 && source.fail-- > 0;
	wrong = source.wrong;
	pthread_mutex_unlock(&source.lock);
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(byte_at(offset + i) ^ wrong);
	pthread_mutex_lock(&source.lock);
	source.at_once--;
	pthread_mutex_unlock(&source.lock);
	return fails ? lm_fail(error, LMODEL_EFAILED, "no answer") : LMODEL_OK;
}

static void clear(void)
{
	source.requests = source.bytes = source.most = 0;
	source.at_once_most = 0;
}

static const uint8_t key[LM_SHA256_SIZE] = { 7 };
static char directory[] = "/tmp/lmodel-ranges-XXXXXX";

static struct lm_ranges *open_ranges(bool keep, uint64_t limit)
{
	const struct lm_ranges_source from = { .label = "there", .size = SIZE, .fetch = fetch };
	struct lm_store *store = lm_store_open(keep ? lm_cache_open(directory) : -1, key, SIZE, limit,
					       NULL);
	struct lm_ranges *r = store != NULL ? lm_ranges_new(&from, store, NULL) : NULL;

	if (r == NULL)
		abort();
	return r;
}

static bool reads(struct lm_ranges *r, uint64_t offset, size_t len)
{
	uint8_t *got = malloc(len + 1);
	bool good = got != NULL && lm_ranges_read(r, got, len, offset, NULL) == LMODEL_OK;

	for (size_t i = 0; i < len && good; i++)
		good = got[i] == byte_at(offset + i);
	free(got);
	return good;
}

static void test_requests(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_ranges *r = open_ranges(false, 0);
	uint8_t byte;

	ok(reads(r, 10, 100), "a few bytes");
	ok(source.requests == 1 && source.last_from == 0 && source.last_len == 65536, "cost a block");
	ok(reads(r, 200, 65000) && source.requests == 1, "of which the rest is there then");
	ok(reads(r, 65530, 12) && source.requests == 2 && source.last_from == 65536,
	   "over the end of a block: the next one");
	ok(reads(r, SIZE - 5, 5) && source.last_len == 65536 - 1234, "the last block is short");
	is_int(lm_ranges_read(r, &byte, 1, SIZE, &error), LMODEL_ECORRUPT, "behind the end");
	ok(reads(r, SIZE, 0), "nothing, at the end");

	clear();
	lm_ranges_will_need(r, 100 * 65536 + 5, 20 * 65536);
	ok(reads(r, 110 * 65536, 10), "in the middle of what is wanted");
	ok(source.requests == 1 && source.last_from == 100 * 65536 && source.last_len == 21 * 65536,
	   "all of it comes, and no more");
	for (uint64_t i = 100; i < 121; i++)
		if (!reads(r, i * 65536, 65536))
			abort();
	is_int((int)source.requests, 1, "in one request");

	clear();
	lm_ranges_will_need(r, 200 * 65536, 400 * 65536);
	for (uint64_t i = 200; i < 600; i++)
		if (!reads(r, i * 65536, 65536))
			abort();
	ok(source.most <= LM_RANGES_AHEAD && source.requests == 4 && source.bytes == 400 * 65536,
	   "8 MiB at once at most");
	lm_ranges_will_need(r, UINT64_MAX - 3, 10);
	lm_ranges_will_need(r, SIZE - 1, UINT64_MAX);
	ok(reads(r, SIZE - 70000, 10), "hints past the end are no harm");

	source.fail = 1;
	clear();
	ok(!reads(r, 130 * 65536, 10) && reads(r, 130 * 65536, 10), "a failure is no answer for ever");
	lm_ranges_free(r);
}

static void test_doubt(void)
{
	struct lm_ranges *r = open_ranges(false, 0);

	source.wrong = true;
	ok(!reads(r, 0, 100), "wrong bytes");
	source.wrong = false;
	ok(lm_ranges_doubt(r, 10, 20), "are fetched again");
	ok(lm_ranges_doubt(r, 10, 20) && reads(r, 0, 100), "and once for all who have read them");
	ok(!lm_ranges_doubt(r, 10, 20), "once");
	ok(lm_ranges_doubt(r, 10, 70000), "the block behind has its own turn");
	ok(!lm_ranges_doubt(r, UINT64_MAX, 1) && !lm_ranges_doubt(r, 0, 0), "not outside");
	lm_ranges_free(r);
}

/* Two read a block with wrong bytes; the one who says so second has not seen the right ones. */
static void *read_and_doubt(void *argument)
{
	struct lm_ranges *r = argument;
	static bool good;

	good = reads(r, 0, 100) || (lm_ranges_doubt(r, 0, 100) && reads(r, 0, 100));
	return &good;
}

static void test_two_doubts(void)
{
	struct lm_ranges *r = open_ranges(false, 0);
	pthread_t id;
	void *result;
	bool good;

	source.wrong = true;
	good = reads(r, 0, 100);
	source.wrong = false;
	if (pthread_create(&id, NULL, read_and_doubt, r) != 0)
		abort();
	pthread_join(id, &result);
	ok(!good && *(bool *)result, "one thread reads, doubts, and reads again");
	ok(lm_ranges_doubt(r, 0, 100) && reads(r, 0, 100), "so does one that has read before");
	ok(!lm_ranges_doubt(r, 0, 100), "once");
	lm_ranges_free(r);
}

/* More than memory holds of it, at once: what came first is not given up for what comes last. */
static void test_much(void)
{
	const uint64_t size = LM_STORE_LEAST + (UINT64_C(24) << 20);
	const struct lm_ranges_source from = { .label = "there", .size = size, .fetch = fetch };
	struct lm_ranges *r = lm_ranges_new(&from, lm_store_open(-1, key, size, 0, NULL), NULL);

	ok(r != NULL && reads(r, 0, (size_t)size), "a read of more than is held");
	clear();
	ok(reads(r, size - 65536, 65536) && source.requests == 0, "its end is there");
	ok(reads(r, size / 2, 10) && reads(r, 0, 10), "and all else, again");
	lm_ranges_free(r);
}

/* ---- threads ---- */

struct thread {
	struct lm_ranges *ranges;
	unsigned seed;
	bool good;
};

static void *wander(void *argument)
{
	struct thread *t = argument;

	t->good = true;
	for (int i = 0; i < 60 && t->good; i++) {
		uint64_t at = (uint64_t)rand_r(&t->seed) % (SIZE - 200000);

		if (i % 7 == 0)
			lm_ranges_will_need(t->ranges, at, 3000000);
		t->good = reads(t->ranges, at, (size_t)rand_r(&t->seed) % 200000);
	}
	return NULL;
}

static void test_threads(void)
{
	struct lm_ranges *r = open_ranges(true, LM_CACHE_BYTES);
	struct thread threads[THREADS];
	pthread_t ids[THREADS];
	bool good = true;

	clear();
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){ .ranges = r, .seed = i };
		if (pthread_create(&ids[i], NULL, wander, &threads[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		good &= threads[i].good;
	}
	ok(good, "threads read what is there");
	ok(source.bytes <= SIZE, "no block is fetched twice");
	ok(source.at_once_most <= 4, "four requests at once at most");
	lm_ranges_free(r);
}

/* ---- the cache ---- */

static uint64_t held(void)
{
	uint8_t *bits = calloc(1, lm_bits_len(BLOCKS));
	int d = lm_cache_open(directory), fd = lm_cache_file(d, key, SIZE, bits);
	uint64_t n = 0;

	if (bits == NULL || fd < 0)
		abort();
	for (uint64_t i = 0; i < BLOCKS; i++)
		n += lm_bit(bits, i);
	close(fd);
	close(d);
	free(bits);
	return n;
}

static void test_cache(void)
{
	struct lm_ranges *r = open_ranges(true, LM_CACHE_BYTES), *other;

	ok(reads(r, 0, SIZE), "all of it");
	lm_ranges_free(r);
	is_int((int)held(), BLOCKS, "all of it is kept");
	clear();
	r = open_ranges(true, LM_CACHE_BYTES);
	ok(reads(r, 0, SIZE) && source.requests == 0, "and is there the next time");
	ok(lm_ranges_cached(r) == SIZE, "counted once");
	ok(reads(r, 0, SIZE) && lm_ranges_cached(r) == SIZE, "whatever is read again");
	ok(lm_ranges_doubt(r, 0, 1) && reads(r, 0, 10) && source.requests == 1, "what is doubted is not");
	lm_ranges_free(r);
	r = open_ranges(true, 100 * 65536);
	lm_ranges_free(r);
	ok(held() <= 100 && held() > 80, "a smaller limit");

	/* two at once: each adds what it has fetched */
	r = open_ranges(true, LM_CACHE_BYTES);
	other = open_ranges(true, LM_CACHE_BYTES);
	if (!reads(r, 0, 10 * 65536) || !reads(other, 20 * 65536, 10 * 65536))
		abort();
	lm_ranges_free(r);
	lm_ranges_free(other);
	clear();
	r = open_ranges(true, LM_CACHE_BYTES);
	ok(reads(r, 0, 10 * 65536) && reads(r, 20 * 65536, 10 * 65536) && source.requests == 0,
	   "two at once add up");
	lm_ranges_free(r);
}

static void test_full_disk(void)
{
	struct lm_store *store = lm_store_open(lm_cache_open(directory), key, SIZE, LM_CACHE_BYTES,
					       NULL);
	uint8_t block[65536] = { 1 }, back[10];

	lm_store_add(store, 3, 4, NULL, NULL);
	is_int(lm_store_retreat(store, NULL), LMODEL_OK, "from a cache that is full into memory");
	ok(!lm_store_has(store, 3), "nothing is there then");
	ok(lm_store_write(store, block, sizeof(block), 3 * 65536) &&
	   lm_store_read(store, back, sizeof(back), 3 * 65536) && back[0] == 1, "and it goes on");
	lm_store_close(store);
}

int main(void)
{
	char command[100];

	if (lm_crypto_init(NULL) != LMODEL_OK || mkdtemp(directory) == NULL)
		return 99;
	test_requests();
	test_doubt();
	test_two_doubts();
	test_much();
	test_threads();
	test_cache();
	test_full_disk();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	is_int(system(command), 0, "cleaned up");
	return done();
}
