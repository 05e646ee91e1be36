/* A pool that runs jobs on worker threads and hands them back in order.
 *
 * The calling thread makes jobs (`next`) and takes finished ones (`emit`), always in the order
 * in which they were made; `work` runs on the workers. At most `2 * workers + 1` jobs exist at a
 * time (`6 * workers + 1` where they are worked on in pairs), so memory is bounded by what jobs
 * hold. */
#ifndef LM_POOL_H
#define LM_POOL_H

#include "base/base.h"

struct lm_pool_ops {
	size_t job_size; /* bytes of one job; zeroed once, then reused as `emit` left it */

	/* Fills `job`: LMODEL_OK, LM_POOL_END when there are no more, or a failure. */
	int (*next)(void *context, void *job, struct lmodel_error *error);

	/* Runs on worker `worker` (0 .. workers-1), several at once. Must not touch what `next`
	 * and `emit` change. */
	int (*work)(void *context, unsigned worker, void *job, struct lmodel_error *error);

	/* Instead of `work`, for two jobs at once, which have a result and an error each: where two
	 * are ready, or soon will be, and no other worker waits for one. NULL: one at a time. */
	void (*work_pair)(void *context, unsigned worker, void *const job[2], int result[2],
			  struct lmodel_error *const error[2]);

	/* What only one may do at a time, on a worker, in any order, after `work`; jobs that failed
	 * do not come here. For writing to a file, as the kernel lets in one writer a file, and lets
	 * the others spin: here they work on. May be NULL. */
	int (*put)(void *context, unsigned worker, void *job, struct lmodel_error *error);

	/* Takes a finished job, in order. */
	int (*emit)(void *context, void *job, struct lmodel_error *error);

	/* Frees what a job's buffers hold, once, at the end. */
	void (*release)(void *job);
};

enum { LM_POOL_END = 1000 }; /* what `next` returns when there are no more jobs */

/* Number of workers for `jobs` as in struct lmodel_run (0: processors that this process may
 * use), at most 64. */
unsigned lm_pool_workers(unsigned jobs);

/* Runs to the end or to the first failure (in job order), whose code it returns. With one
 * worker no thread is started. */
int lm_pool_run(unsigned workers, const struct lm_pool_ops *ops, void *context,
		struct lmodel_error *error);

#endif
