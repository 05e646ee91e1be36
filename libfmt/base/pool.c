#include "base/pool.h"

#include <pthread.h>
#include <sched.h>

#define MAX_WORKERS 64

enum state { EMPTY, READY, RUNNING, DONE };

struct slot {
	enum state state;
	struct slot *behind; /* in the line of those to be put */
	void *job;
	int result;
	struct lmodel_error error;
};

/* Jobs live in a ring: `made` is the next to make, `taken` the next for a worker, `emitted`
 * the next to hand back; emitted <= taken <= made <= emitted + ring. */
struct pool {
	const struct lm_pool_ops *ops;
	void *context;
	struct slot *slots;
	size_t ring;
	uint64_t made, taken, emitted;
	unsigned waiting; /* workers without a job */
	struct slot *line, **line_end; /* worked on, to be put: the first, and where the next goes */
	bool making; /* as long as there is room for another job */
	bool putting, stop;
	pthread_mutex_t lock;
	pthread_cond_t work_ready, work_done;
	unsigned next_worker;
};

unsigned lm_pool_workers(unsigned jobs)
{
	cpu_set_t set;

	if (jobs == 0) {
		jobs = 1;
		if (sched_getaffinity(0, sizeof(set), &set) == 0)
			jobs = (unsigned)CPU_COUNT(&set);
	}
	return LM_MAX(1u, LM_MIN(jobs, (unsigned)MAX_WORKERS));
}

static void work_on(const struct lm_pool_ops *ops, void *context, unsigned worker,
		    struct slot *const slots[2], unsigned count)
{
	void *const jobs[2] = { slots[0]->job, slots[count - 1]->job };
	struct lmodel_error *const errors[2] = { &slots[0]->error, &slots[count - 1]->error };
	int results[2];

	for (unsigned i = 0; i < count; i++)
		slots[i]->error.code = LMODEL_OK;
	if (count == 2)
		ops->work_pair(context, worker, jobs, results, errors);
	else
		results[0] = ops->work(context, worker, jobs[0], errors[0]);
	for (unsigned i = 0; i < count; i++)
		slots[i]->result = results[i];
}

static void finish(struct pool *p, struct slot *slot)
{
	slot->state = DONE;
	if (slot == &p->slots[p->emitted % p->ring])
		pthread_cond_signal(&p->work_done);
}

/* Takes the lock held, and leaves it so. Who comes while another is at it leaves jobs in the line,
 * and that one puts them as well: nobody waits. */
static void put_line(struct pool *p, unsigned worker)
{
	p->putting = true;
	while (p->line != NULL && !p->stop) {
		struct slot *s = p->line;

		p->line = s->behind;
		if (p->line == NULL)
			p->line_end = &p->line;
		pthread_mutex_unlock(&p->lock);
		s->result = p->ops->put(p->context, worker, s->job, &s->error);
		pthread_mutex_lock(&p->lock);
		finish(p, s);
	}
	p->putting = false;
}

static void hand_on(struct pool *p, struct slot *slot)
{
	if (p->ops->put == NULL || slot->result != LMODEL_OK) {
		finish(p, slot);
		return;
	}
	slot->behind = NULL;
	*p->line_end = slot;
	p->line_end = &slot->behind;
}

/* How many jobs a worker takes now; 0: wait. Two at once are worth the wait for the second when it
 * is about to be made. Workers without any come before a second one for this one. */
static unsigned share(const struct pool *p)
{
	uint64_t ready = p->made - p->taken;
	unsigned others = p->waiting - 1;

	if (ready == 0 || p->ops->work_pair == NULL)
		return ready > 0;
	return ready >= others + 2 ? 2 : !p->making;
}

static void *worker_main(void *argument)
{
	struct pool *p = argument;
	unsigned worker;

	pthread_mutex_lock(&p->lock);
	worker = p->next_worker++;
	for (;;) {
		struct slot *slots[2];
		unsigned count = 0;

		p->waiting++;
		while (!p->stop && (count = share(p)) == 0)
			pthread_cond_wait(&p->work_ready, &p->lock);
		p->waiting--;
		if (p->stop)
			break;
		for (unsigned i = 0; i < count; i++) {
			slots[i] = &p->slots[p->taken++ % p->ring];
			slots[i]->state = RUNNING;
		}
		if (p->waiting > 0 && p->taken < p->made)
			pthread_cond_signal(&p->work_ready);
		pthread_mutex_unlock(&p->lock);
		work_on(p->ops, p->context, worker, slots, count);
		pthread_mutex_lock(&p->lock);
		for (unsigned i = 0; i < count; i++)
			hand_on(p, slots[i]);
		if (p->line != NULL && !p->putting)
			put_line(p, worker);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Waits for the oldest job and emits it. */
static int emit_oldest(struct pool *p, struct lmodel_error *error)
{
	struct slot *s = &p->slots[p->emitted % p->ring];
	int r;

	pthread_mutex_lock(&p->lock);
	if (s->state != DONE) {
		p->making = false;
		if (p->waiting > 0 && p->taken < p->made)
			pthread_cond_signal(&p->work_ready);
	}
	while (s->state != DONE)
		pthread_cond_wait(&p->work_done, &p->lock);
	p->making = true;
	pthread_mutex_unlock(&p->lock);

	if (s->result != LMODEL_OK)
		return lm_fail(error, (enum lmodel_code)s->result, "%s", s->error.message);
	r = p->ops->emit(p->context, s->job, error);

	pthread_mutex_lock(&p->lock);
	s->state = EMPTY;
	p->emitted++;
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* A failure of `next` waits for the jobs made before it: the first failure in order is told. */
static int feed(struct pool *p, struct lmodel_error *error)
{
	struct lmodel_error late = LMODEL_ERROR_INIT;
	bool more = true;
	int r = LMODEL_OK, late_result = LMODEL_OK;

	while (r == LMODEL_OK && (more || p->emitted < p->made)) {
		if (more && p->made - p->emitted < p->ring) {
			int made = p->ops->next(p->context, p->slots[p->made % p->ring].job, &late);

			if (made != LMODEL_OK) {
				more = false;
				late_result = made == LM_POOL_END ? LMODEL_OK : made;
			} else {
				pthread_mutex_lock(&p->lock);
				p->slots[p->made++ % p->ring].state = READY;
				pthread_cond_signal(&p->work_ready);
				pthread_mutex_unlock(&p->lock);
			}
		} else {
			r = emit_oldest(p, error);
		}
	}
	if (r == LMODEL_OK && late_result != LMODEL_OK)
		r = lm_fail(error, (enum lmodel_code)late_result, "%s", late.message);
	return r;
}

/* What is made before `next` fails is worked on: the first failure in order is told. */
static int run_alone(const struct lm_pool_ops *ops, void *context, struct slot *slots,
		     struct lmodel_error *error)
{
	struct slot *const both[2] = { &slots[0], &slots[1] };
	unsigned wanted = ops->work_pair != NULL ? 2 : 1;

	for (;;) {
		struct lmodel_error late = LMODEL_ERROR_INIT;
		int made = LMODEL_OK;
		unsigned count = 0;

		while (count < wanted &&
		       (made = ops->next(context, slots[count].job, &late)) == LMODEL_OK)
			count++;
		if (count > 0)
			work_on(ops, context, 0, both, count);
		for (unsigned i = 0; i < count; i++) {
			int r;

			if (ops->put != NULL && slots[i].result == LMODEL_OK)
				slots[i].result = ops->put(context, 0, slots[i].job, &slots[i].error);
			if (slots[i].result != LMODEL_OK)
				return lm_fail(error, (enum lmodel_code)slots[i].result, "%s",
					       slots[i].error.message);
			r = ops->emit(context, slots[i].job, error);
			if (r != LMODEL_OK)
				return r;
		}
		if (made == LM_POOL_END)
			return LMODEL_OK;
		if (made != LMODEL_OK)
			return lm_fail(error, (enum lmodel_code)made, "%s", late.message);
	}
}

static int run_threads(struct pool *p, unsigned workers, struct lmodel_error *error)
{
	pthread_t thread[MAX_WORKERS];
	unsigned started = 0;
	int r = LMODEL_OK;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work_ready, NULL);
	pthread_cond_init(&p->work_done, NULL);
	while (started < workers && pthread_create(&thread[started], NULL, worker_main, p) == 0)
		started++;
	if (started == 0)
		r = lm_fail(error, LMODEL_EFAILED, "cannot start a thread");
	else
		r = feed(p, error);

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work_ready);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	pthread_cond_destroy(&p->work_done);
	pthread_cond_destroy(&p->work_ready);
	pthread_mutex_destroy(&p->lock);
	return r;
}

int lm_pool_run(unsigned workers, const struct lm_pool_ops *ops, void *context,
		struct lmodel_error *error)
{
	struct pool p = { .ops = ops, .context = context, .line_end = &p.line, .making = true };
	int r = LMODEL_OK;

	workers = LM_MIN(workers, (unsigned)MAX_WORKERS);
	p.ring = workers <= 1 ? 1 : 2 * (size_t)workers + 1;
	if (ops->work_pair != NULL)
		p.ring = workers <= 1 ? 2 : 6 * (size_t)workers + 1;
	p.slots = calloc(p.ring, sizeof(*p.slots));
	if (p.slots == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < p.ring && r == LMODEL_OK; i++) {
		p.slots[i].job = calloc(1, ops->job_size);
		if (p.slots[i].job == NULL)
			r = lm_fail_memory(error);
	}
	if (r == LMODEL_OK)
		r = workers <= 1 ? run_alone(ops, context, p.slots, error) :
				   run_threads(&p, workers, error);
	for (size_t i = 0; i < p.ring; i++) {
		if (p.slots[i].job != NULL && ops->release != NULL)
			ops->release(p.slots[i].job);
		free(p.slots[i].job);
	}
	free(p.slots);
	return r;
}
