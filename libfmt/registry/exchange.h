/* One operation with one repository: its client, its progress, several transfers at a time. */
#ifndef LM_EXCHANGE_H
#define LM_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include <lmodel/run.h>

#include "net/registry.h"

struct lm_exchange {
	const struct lmodel_run *run;
	struct lm_reference reference;
	struct lm_http *http;
	struct lm_registry *registry;
	pthread_t owner;             /* the thread that called, and reports progress */
	atomic_uint_fast64_t done, total;
	atomic_bool stop;
	atomic_int_fast64_t stopped_ms; /* when a request saw that first; 0: none has */
	struct lm_meter meter;
	uint64_t shown;              /* of `done` */
};

/* Parses the reference; connects to nothing yet. In every case lm_exchange_end() follows. */
int lm_exchange_begin(struct lm_exchange *exchange, const char *reference, bool plain_http,
		     const struct lmodel_run *run, struct lmodel_error *error) LM_MUST_CHECK;
void lm_exchange_end(struct lm_exchange *exchange);

/* Work that is to come, and work that is done, in bytes. Any thread. */
void lm_exchange_expect(struct lm_exchange *exchange, uint64_t bytes);
void lm_exchange_advance(struct lm_exchange *exchange, uint64_t bytes);

/* EFAILED "interrupted" when the user, or the failure of another task, says so. Any thread, often:
 * on the calling one it reports progress. */
int lm_exchange_check(struct lm_exchange *exchange, struct lmodel_error *error) LM_MUST_CHECK;

/* Runs task 0 to count - 1, as many at a time as the run has jobs. The first failure stops the
 * others and is the one that is told. */
typedef int lm_exchange_task(void *context, size_t task, struct lmodel_error *error);
int lm_exchange_each(struct lm_exchange *exchange, size_t count, lm_exchange_task *task,
		     void *context, struct lmodel_error *error) LM_MUST_CHECK;

/* SHA-256 of a range of a file, as a digest of a registry. A task. */
int lm_exchange_digest(struct lm_exchange *exchange, int fd, const char *label, uint64_t offset,
		      uint64_t length, char digest[LM_DIGEST_SIZE],
		      struct lmodel_error *error) LM_MUST_CHECK;

#endif
