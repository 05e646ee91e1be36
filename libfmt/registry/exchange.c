#include "registry/exchange.h"

#include <time.h>

#include "base/io.h"
#include "base/pool.h"
#include "crypto/crypto.h"

/* True when the work is to end. On the calling thread it reports progress. */
static bool look(struct lm_exchange *s)
{
	uint64_t done;

	if (pthread_equal(pthread_self(), s->owner)) {
		done = LM_MIN(atomic_load(&s->done), atomic_load(&s->total));
		s->meter.total = atomic_load(&s->total);
		if (lm_meter_add(&s->meter, done - LM_MIN(s->shown, done), NULL) != LMODEL_OK)
			atomic_store(&s->stop, true);
		s->shown = LM_MAX(s->shown, done);
	}
	return atomic_load(&s->stop);
}

/* Requests that are under way get a moment to end: the chunk of an upload that is cut in two costs
 * all chunks before it in some registries, so that the next push could not go on. */
static int stopped(void *context)
{
	enum { GRACE_MS = 3000 };
	struct lm_exchange *s = context;
	int_fast64_t first = 0, now = lm_http_clock();

	if (!look(s))
		return 0;
	if (atomic_compare_exchange_strong(&s->stopped_ms, &first, now))
		first = now;
	return now - first > GRACE_MS;
}

int lm_exchange_begin(struct lm_exchange *s, const char *reference, bool plain_http,
		     const struct lmodel_run *run, struct lmodel_error *error)
{
	struct lm_http_options options = { .plain_http = plain_http, .stopped = stopped,
					   .context = s };
	int r;

	*s = (struct lm_exchange){ .run = run, .owner = pthread_self() };
	lm_meter_begin(&s->meter, run, 0);
	r = lm_crypto_init(error);
	if (r == LMODEL_OK)
		r = lm_reference_parse(&s->reference, reference, error);
	if (r != LMODEL_OK)
		return r;
	s->http = lm_http_new(&options, error);
	if (s->http != NULL)
		s->registry = lm_registry_new(s->http, &s->reference, error);
	return s->registry != NULL ? LMODEL_OK :
		error != NULL && error->code != LMODEL_OK ? (int)error->code : LMODEL_EFAILED;
}

void lm_exchange_end(struct lm_exchange *s)
{
	if (s->registry != NULL)
		lm_registry_free(s->registry);
	if (s->http != NULL)
		lm_http_free(s->http);
	lm_reference_free(&s->reference);
}

void lm_exchange_expect(struct lm_exchange *s, uint64_t bytes)
{
	atomic_fetch_add(&s->total, bytes);
}

void lm_exchange_advance(struct lm_exchange *s, uint64_t bytes)
{
	atomic_fetch_add(&s->done, bytes);
}

int lm_exchange_check(struct lm_exchange *s, struct lmodel_error *error)
{
	return look(s) ? lm_fail(error, LMODEL_EFAILED, "interrupted") : LMODEL_OK;
}

/* ---- several at a time ---- */

struct crew {
	struct lm_exchange *exchange;
	lm_exchange_task *task;
	void *context;
	size_t count;
	atomic_size_t next;
	pthread_mutex_t lock;        /* of what follows */
	pthread_cond_t ended;
	unsigned running;
	struct lmodel_error error;   /* of the first that failed */
};

static void run_tasks(struct crew *c)
{
	size_t index;

	while ((index = atomic_fetch_add(&c->next, 1)) < c->count &&
	       !atomic_load(&c->exchange->stop)) {
		struct lmodel_error e = LMODEL_ERROR_INIT;
		int r = c->task(c->context, index, &e);

		if (r == LMODEL_OK)
			continue;
		pthread_mutex_lock(&c->lock);
		if (c->error.code == LMODEL_OK) {
			e.code = (enum lmodel_code)r;
			c->error = e;
		}
		pthread_mutex_unlock(&c->lock);
		atomic_store(&c->exchange->stop, true);
	}
}

static void *worker(void *argument)
{
	struct crew *c = argument;

	run_tasks(c);
	pthread_mutex_lock(&c->lock);
	c->running--;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* A tenth of a second at a time, so that progress is shown and a signal is seen. */
static void wait_for(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->running > 0) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&c->ended, &c->lock, &until);
		pthread_mutex_unlock(&c->lock);
		look(c->exchange); /* the workers see what it says */
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

int lm_exchange_each(struct lm_exchange *s, size_t count, lm_exchange_task *task, void *context,
		    struct lmodel_error *error)
{
	struct crew c = { .exchange = s, .task = task, .context = context, .count = count };
	unsigned workers = (unsigned)LM_MIN((size_t)lm_pool_workers(s->run->jobs), count);
	pthread_t threads[64];
	unsigned started = 0;

	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.ended, NULL);
	pthread_mutex_lock(&c.lock);
	for (; workers > 1 && started < LM_MIN(workers, LM_COUNT(threads)); started++) {
		if (pthread_create(&threads[started], NULL, worker, &c) != 0)
			break;
		c.running++;
	}
	pthread_mutex_unlock(&c.lock);
	if (started == 0)
		run_tasks(&c);
	wait_for(&c);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_cond_destroy(&c.ended);
	pthread_mutex_destroy(&c.lock);
	if (c.error.code != LMODEL_OK)
		return lm_fail(error, c.error.code, "%s", c.error.message);
	return lm_exchange_check(s, error);
}

int lm_exchange_digest(struct lm_exchange *s, int fd, const char *label, uint64_t offset,
		      uint64_t length, char digest[LM_DIGEST_SIZE], struct lmodel_error *error)
{
	enum { BUFFER = 1 << 20 };
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	struct lm_hash *hash = lm_hash_new(error);
	uint8_t sum[LM_SHA256_SIZE];
	int r = LMODEL_OK;

	if (hash == NULL)
		return LMODEL_EFAILED;
	if (buffer == NULL)
		r = lm_fail_memory(error);
	for (uint64_t done = 0; done < length && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(length - done, (uint64_t)BUFFER);

		r = lm_read_at(fd, label, buffer, n, offset + done, error);
		if (r != LMODEL_OK)
			break;
		lm_hash_add(hash, buffer, n);
		done += n;
		lm_exchange_advance(s, n);
		r = lm_exchange_check(s, error);
	}
	lm_hash_finish(hash, sum);
	lm_hash_free(hash);
	if (r == LMODEL_OK)
		lm_digest_text(digest, sum);
	return r;
}
