/* Sealed streams against their digests, which needs no key; side files of open tiers are opened
 * besides. */
#include "archive/verify_streams.h"

#include "archive/attachments.h"
#include "base/io.h"
#include "base/pool.h"

struct stream_job {
	const struct lm_shard_row *shard;    /* NULL: of `sealed` */
	const struct lm_sealed_row *sealed;
	const struct lm_stream_row *row;
	size_t tier;
	enum lm_stream kind;
	struct lmodel_error failure;
	uint8_t *buffer;
};

struct stream_check {
	const struct lmodel_archive *archive;
	void (*bad)(void *context, const char *message);
	void *context;
	uint64_t *bytes;
	size_t next;
};

enum { STREAM_BUFFER = 1 << 18 };

/* The streams of all shards, then those of side files. */
static void take_stream(struct stream_job *job, const struct lm_manifest *m, size_t index)
{
	if (index < 2 * m->shard_count) {
		job->shard = &m->shards[index / 2];
		job->sealed = NULL;
		job->kind = (enum lm_stream)(index % 2);
		job->tier = job->shard->tier;
		job->row = &job->shard->stream[job->kind];
		return;
	}
	job->shard = NULL;
	job->sealed = &m->sealed[index - 2 * m->shard_count];
	job->kind = LM_VALUES;
	job->tier = job->sealed->tier;
	job->row = &job->sealed->stream;
}

static void tell_damaged(const struct lm_manifest *m, struct stream_job *job)
{
	const char *tier = m->tiers[job->tier].name;

	if (job->shard == NULL)
		lm_fail(&job->failure, LMODEL_ECORRUPT,
			"attachment %s, tier %s: its ciphertext is damaged",
			LM_QUOTE(job->sealed->name), tier);
	else
		lm_fail(&job->failure, LMODEL_ECORRUPT,
			"tensor %s, tier %s: the ciphertext of its %s is damaged",
			LM_QUOTE(m->tensors[job->shard->tensor].name), tier,
			job->kind == LM_POSITIONS ? "positions" : "values");
}

static int next_stream(void *context, void *argument, struct lmodel_error *error)
{
	struct stream_check *c = context;
	const struct lm_manifest *m = &c->archive->manifest;
	struct stream_job *job = argument;

	(void)error;
	do {
		if (c->next == 2 * m->shard_count + m->sealed_count)
			return LM_POOL_END;
		take_stream(job, m, c->next++);
	} while (m->tiers[job->tier].absent);
	job->failure = (struct lmodel_error)LMODEL_ERROR_INIT;
	return LMODEL_OK;
}

static int hash_stream(void *context, unsigned worker, void *argument, struct lmodel_error *error)
{
	const struct stream_check *c = context;
	const struct lmodel_archive *a = c->archive;
	struct stream_job *job = argument;
	const struct lm_stream_row *row = job->row;
	uint64_t at = a->manifest.tiers[job->tier].offset[job->kind] + row->offset;
	struct lm_hash *hash = lm_hash_new(error);
	uint8_t digest[LM_SHA256_SIZE];

	(void)worker;
	if (job->buffer == NULL)
		job->buffer = malloc(STREAM_BUFFER);
	if (job->buffer == NULL || hash == NULL) {
		if (hash != NULL)
			lm_hash_free(hash);
		return lm_fail_memory(error);
	}
	for (uint64_t done = 0; done < row->length && job->failure.code == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(row->length - done, (uint64_t)STREAM_BUFFER);

		if (lm_file_read(&a->file, job->buffer, n, at + done, &job->failure))
			break;
		lm_hash_add(hash, job->buffer, n);
		done += n;
	}
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	if (job->failure.code == LMODEL_OK && memcmp(digest, row->digest, sizeof(digest)) != 0)
		tell_damaged(&a->manifest, job);
	/* Whether it opens is for a key to tell. */
	if (job->failure.code == LMODEL_OK && job->sealed != NULL && a->tiers[job->tier].open)
		(void)!lm_sealed_read(a, (size_t)(job->sealed - a->manifest.sealed), NULL, NULL,
				      &job->failure);
	return LMODEL_OK;
}

static int tell_stream(void *context, void *argument, struct lmodel_error *error)
{
	struct stream_check *c = context;
	struct stream_job *job = argument;

	if (job->failure.code == LMODEL_EFAILED)
		return lm_fail(error, LMODEL_EFAILED, "%s", job->failure.message);
	if (job->failure.code != LMODEL_OK)
		c->bad(c->context, job->failure.message);
	*c->bytes += job->row->length;
	return LMODEL_OK;
}

static void release_stream(void *argument)
{
	free(((struct stream_job *)argument)->buffer);
}

int lm_verify_streams(const struct lmodel_archive *archive, const struct lmodel_run *run,
		      void (*bad)(void *context, const char *message), void *context,
		      uint64_t *bytes, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct stream_job), .next = next_stream, .work = hash_stream,
		.emit = tell_stream, .release = release_stream,
	};
	struct stream_check c = {
		.archive = archive, .bad = bad, .context = context, .bytes = bytes,
	};

	return lm_pool_run(lm_pool_workers(run != NULL ? run->jobs : 0), &ops, &c, error);
}
