/* base/pool.c: order, bounds and failures, with one worker and with many. */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>

#include "lib/tap.h"

#define NEVER UINT64_MAX

struct job {
	uint64_t number;
	void *kept;             /* as a job's buffer: made once, reused, released once */
	bool worked, put;
};

struct run {
	unsigned workers;
	uint64_t ring; /* jobs at a time, at most */
	uint64_t jobs;
	uint64_t fail_next, fail_work, fail_put, fail_emit; /* job number, or NEVER */
	uint64_t fail_work_from;                  /* all from this one on, each its own message */

	uint64_t made, emitted;
	unsigned disorder, unworked, too_many;
	atomic_uint at_work, most_at_work, bad_worker, made_after_failure;
	atomic_uint putting, put_badly;
	bool failed;
};

static atomic_uint alive; /* buffers of jobs */

static int next(void *context, void *job, struct lmodel_error *error)
{
	struct run *r = context;
	struct job *j = job;

	if (r->failed)
		r->made_after_failure++;
	if (r->made == r->fail_next)
		return lm_fail(error, LMODEL_ELIMIT, "next %ju", (uintmax_t)r->made);
	if (r->made == r->jobs)
		return LM_POOL_END;
	if (j->kept == NULL) {
		j->kept = malloc(16);
		alive++;
	}
	j->number = r->made++;
	j->worked = j->put = false;
	r->too_many += r->made - r->emitted > r->ring;
	return LMODEL_OK;
}

static int work(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	struct run *r = context;
	struct job *j = job;
	unsigned now = ++r->at_work, most = r->most_at_work;

	while (now > most && !atomic_compare_exchange_weak(&r->most_at_work, &most, now))
		;
	if (worker >= r->workers)
		r->bad_worker++;
	/* Let later jobs overtake: every third takes its time. */
	for (unsigned i = 0; i < (j->number % 3 == 0 ? 20u : 0u); i++)
		sched_yield();
	j->worked = true;
	r->at_work--;
	if (j->number == r->fail_work || j->number >= r->fail_work_from)
		return lm_fail(error, LMODEL_ECORRUPT, "work %ju", (uintmax_t)j->number);
	return LMODEL_OK;
}

static struct lm_pool_ops ops;

/* Never two at once, and each job once, after its work. */
static int put(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	struct run *r = context;
	struct job *j = job;

	r->put_badly += r->putting++ != 0 || !j->worked || j->put || worker >= r->workers;
	for (unsigned i = 0; i < (j->number % 5 == 0 ? 20u : 0u); i++)
		sched_yield();
	j->put = true;
	r->putting--;
	if (j->number == r->fail_put)
		return lm_fail(error, LMODEL_ELIMIT, "put %ju", (uintmax_t)j->number);
	return LMODEL_OK;
}

static int emit(void *context, void *job, struct lmodel_error *error)
{
	struct run *r = context;
	struct job *j = job;

	r->disorder += j->number != r->emitted;
	r->unworked += !j->worked || j->put != (ops.put != NULL);
	if (j->number == r->fail_emit) {
		r->failed = true;
		return lm_fail(error, LMODEL_EUSAGE, "emit %ju", (uintmax_t)j->number);
	}
	r->emitted++;
	return LMODEL_OK;
}

static void release(void *job)
{
	struct job *j = job;

	if (j->kept != NULL)
		alive--;
	free(j->kept);
}

static atomic_uint pairs;

/* The second of two before the first: results and errors have to go to their own job. */
static void work_pair(void *context, unsigned worker, void *const job[2], int result[2],
		      struct lmodel_error *const error[2])
{
	pairs++;
	result[1] = work(context, worker, job[1], error[1]);
	result[0] = work(context, worker, job[0], error[0]);
}

static struct lm_pool_ops ops = {
	.job_size = sizeof(struct job), .next = next, .work = work, .emit = emit, .release = release,
};

static struct run run_of(unsigned workers, uint64_t jobs)
{
	return (struct run){
		.workers = workers, .jobs = jobs,
		.ring = (ops.work_pair != NULL ? 6 : 2) * (uint64_t)workers + 1,
		.fail_next = NEVER, .fail_work = NEVER, .fail_put = NEVER, .fail_emit = NEVER,
		.fail_work_from = NEVER,
	};
}

static void sound(const struct run *r, const char *what)
{
	ok(r->disorder == 0 && r->unworked == 0, "%s, %u workers: in order, all worked on", what,
	   r->workers);
	ok(r->too_many == 0 && r->most_at_work <= r->workers && r->bad_worker == 0,
	   "%s, %u workers: bounded", what, r->workers);
	ok(r->put_badly == 0, "%s, %u workers: put one at a time", what, r->workers);
	ok(r->made_after_failure == 0, "%s, %u workers: none made after a failure", what, r->workers);
	is_int(alive, 0, "... every buffer released");
}

static void test_whole(unsigned workers, uint64_t jobs)
{
	struct run r = run_of(workers, jobs);
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_pool_run(workers, &ops, &r, &error), LMODEL_OK, "a run");
	ok(r.emitted == jobs && error.code == LMODEL_OK, "%ju jobs, %u workers: all emitted",
	   (uintmax_t)jobs, workers);
	sound(&r, "whole");
}

static void fails(struct run *r, enum lmodel_code code, const char *message, uint64_t emitted,
		  const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_pool_run(r->workers, &ops, r, &error), code, what);
	is_error(&error, code, message, what);
	is_int((intmax_t)r->emitted, (intmax_t)emitted, "... those before it were emitted");
	sound(r, what);
}

static void test_failures(unsigned workers)
{
	struct run r = run_of(workers, 100);

	r.fail_work = 37;
	fails(&r, LMODEL_ECORRUPT, "work 37", 37, "failing work");

	r = run_of(workers, 100);
	r.fail_work_from = 36; /* 36 is slow: 37 and 38 fail before it */
	fails(&r, LMODEL_ECORRUPT, "work 36", 36, "many failing: the first in order");

	r = run_of(workers, 100);
	r.fail_emit = 37;
	fails(&r, LMODEL_EUSAGE, "emit 37", 37, "failing emit");

	r = run_of(workers, 100);
	r.fail_work = 0;
	fails(&r, LMODEL_ECORRUPT, "work 0", 0, "the very first");

	r = run_of(workers, 100);
	r.fail_work = 99;
	fails(&r, LMODEL_ECORRUPT, "work 99", 99, "the very last");

	r = run_of(workers, 100);
	r.fail_emit = 20;
	r.fail_work = 22;
	fails(&r, LMODEL_EUSAGE, "emit 20", 20, "emit before work");
}

static void test_failing_put(unsigned workers)
{
	struct run r = run_of(workers, 100);

	r.fail_put = 36;
	r.fail_work = 37;
	fails(&r, LMODEL_ELIMIT, "put 36", 36, "failing put");
	r = run_of(workers, 100);
	r.fail_put = 37;
	r.fail_work = 36;
	fails(&r, LMODEL_ECORRUPT, "work 36", 36, "work before put");
}

/* What was made before next() failed may or may not have been emitted; the failure is next's. */
static void test_failing_next(unsigned workers)
{
	struct run r = run_of(workers, 100);
	struct lmodel_error error = LMODEL_ERROR_INIT;

	r.fail_next = 50;
	is_int(lm_pool_run(workers, &ops, &r, &error), LMODEL_ELIMIT, "failing next");
	is_error(&error, LMODEL_ELIMIT, "next 50", "failing next");
	ok(r.emitted <= 50 && r.emitted + r.ring >= 50, "... emitted before it");
	sound(&r, "failing next");
	r = run_of(workers, 100);
	r.fail_next = 0;
	is_int(lm_pool_run(workers, &ops, &r, NULL), LMODEL_ELIMIT, "next fails at once, no error struct");
	is_int((intmax_t)r.emitted, 0, "... nothing emitted");
}

static void test_workers(void)
{
	is_int(lm_pool_workers(3), 3, "as many workers as asked for");
	is_int(lm_pool_workers(100000), 64, "at most 64 workers");
	ok(lm_pool_workers(0) >= 1 && lm_pool_workers(0) <= 64, "workers by processors");
}

static void test_all(void)
{
	for (unsigned workers = 1; workers <= 8; workers++) {
		test_whole(workers, 0);
		test_whole(workers, 1);
		test_whole(workers, 2 * workers + 1);
		test_whole(workers, 300);
		test_failures(workers);
		test_failing_next(workers);
		if (ops.put != NULL)
			test_failing_put(workers);
	}
	test_whole(4, 20000);
}

int main(void)
{
	test_workers();
	test_all();
	is_int(pairs, 0, "one job at a time");
	ops.work_pair = work_pair;
	test_all();
	ok(pairs > 1000, "two at a time (%u)", pairs);
	ops.put = put;
	test_all();
	ops.work_pair = NULL;
	test_all();
	return done();
}
