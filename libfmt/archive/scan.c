#include "archive/scan.h"

#include "archive/member.h"
#include "base/blocks.h"
#include "base/pool.h"

/* The hash list of the member being scanned, shared by its jobs. */
struct hashes {
	unsigned users;
	uint8_t *list;
};

struct state {
	const struct lm_scan *scan;
	struct lm_codec **codecs;
	struct lm_blocks stored, raw; /* each has room for the largest chunk */
	struct lm_meter meter;
	/* Where `next` is. */
	size_t item;
	uint32_t chunk;
	uint64_t offset;       /* in the file, of that chunk */
	struct hashes *hashes; /* of the item's member; NULL before its first job */
};

struct job {
	struct state *state;
	size_t item;
	uint32_t chunk;
	uint64_t offset;
	struct hashes *hashes;
	uint8_t *stored, *raw; /* lent; NULL: none */
	uint8_t *to;           /* where the chunk is decoded to */
	struct lm_scan_piece piece;
	struct lmodel_error failure;
};

static void drop(struct hashes *h)
{
	if (h != NULL && --h->users == 0) {
		free(h->list);
		free(h);
	}
}

static void give_back(struct job *job)
{
	if (job->state == NULL)
		return;
	lm_blocks_give(&job->state->stored, job->stored);
	lm_blocks_give(&job->state->raw, job->raw);
	job->stored = job->raw = NULL;
}

static const struct lm_member *member_of(const struct lm_scan *scan, size_t item)
{
	return &scan->archive->manifest.members[scan->items[item].member];
}

/* Goes to the first chunk of the next item that has bytes; its hash list is read here. A list
 * that cannot be had is the fault of the whole item. */
static int enter_item(struct state *s, struct job *job, bool *skip, struct lmodel_error *error)
{
	const struct lm_scan_item *item = &s->scan->items[s->item];
	const struct lm_member *m = member_of(s->scan, s->item);

	*skip = false;
	s->chunk = (uint32_t)(item->from / m->chunk_bytes);
	s->offset = m->offset;
	for (uint32_t i = 0; i < s->chunk; i++)
		s->offset += m->chunks[i] & LM_CHUNK_LEN_MASK;
	s->hashes = calloc(1, sizeof(*s->hashes));
	if (s->hashes == NULL)
		return lm_fail_memory(error);
	s->hashes->users = 1;
	job->failure.code = LMODEL_OK;
	if (lm_member_hashes(s->scan->archive, item->member, &s->hashes->list, &job->failure)) {
		drop(s->hashes);
		s->hashes = NULL;
		*skip = true;
	}
	return LMODEL_OK;
}

/* Leaves `error` as the failure that the job met before it could run. */
static int next(void *context, void *argument, struct lmodel_error *error)
{
	struct state *s = context;
	struct job *job = argument;
	const struct lm_scan_item *item;
	const struct lm_member *m;
	bool skip;

	job->state = s;
	for (; s->item < s->scan->item_count && s->hashes == NULL; s->item++) {
		/* An empty member still has a list digest to check. */
		if (s->scan->items[s->item].len == 0 &&
		    member_of(s->scan, s->item)->chunk_count > 0)
			continue;
		if (enter_item(s, job, &skip, error))
			return LMODEL_EFAILED;
		if (skip) {
			*job = (struct job){ .state = s, .item = s->item++,
					     .failure = job->failure };
			return LMODEL_OK;
		}
		if (s->scan->items[s->item].len > 0)
			break;
		drop(s->hashes);
		s->hashes = NULL;
	}
	if (s->item == s->scan->item_count)
		return LM_POOL_END;
	item = &s->scan->items[s->item];
	m = member_of(s->scan, s->item);
	job->item = s->item;
	job->chunk = s->chunk;
	job->offset = s->offset;
	job->hashes = s->hashes;
	job->hashes->users++;
	job->failure.code = LMODEL_OK;
	s->offset += m->chunks[s->chunk] & LM_CHUNK_LEN_MASK;
	s->chunk++;
	if ((uint64_t)s->chunk * m->chunk_bytes >= item->from + item->len) {
		drop(s->hashes);
		s->hashes = NULL;
		s->item++;
	}
	return LMODEL_OK;
}

/* Where the chunk goes, and what of it belongs to the item. */
static int prepare(struct state *s, struct job *job, struct lmodel_error *error)
{
	const struct lm_scan *scan = s->scan;
	const struct lm_scan_item *item = &scan->items[job->item];
	const struct lm_member *m = member_of(scan, job->item);
	uint64_t begin = (uint64_t)job->chunk * m->chunk_bytes;
	size_t raw_len = lm_member_chunk_raw(m, job->chunk), skipped, end;
	size_t stored_len = m->chunks[job->chunk] & LM_CHUNK_LEN_MASK;
	uint8_t *raw = NULL;

	skipped = item->from > begin ? (size_t)(item->from - begin) : 0;
	end = (size_t)LM_MIN((uint64_t)raw_len, item->from + item->len - begin);
	if (scan->place != NULL && end - skipped == raw_len)
		raw = scan->place(scan->context, job->item, begin - item->from, raw_len);
	job->stored = lm_blocks_take(&s->stored, error);
	if (job->stored == NULL)
		return LMODEL_EFAILED;
	if (!scan->stored_only && raw == NULL) {
		job->raw = raw = lm_blocks_take(&s->raw, error);
		if (raw == NULL)
			return LMODEL_EFAILED;
	}
	job->to = raw;
	job->piece = (struct lm_scan_piece){
		.item = job->item, .at = begin + skipped - item->from,
		.bytes = scan->stored_only ? NULL : job->to + skipped, .len = end - skipped,
		.chunk = job->chunk, .stored = job->stored, .stored_len = stored_len,
		.digest = job->hashes->list + (size_t)job->chunk * LM_SHA256_SIZE,
	};
	return LMODEL_OK;
}

/* Failures to read wait in the job for their turn, so that the first in order is the one told. */
static bool begin(struct state *s, struct job *job)
{
	return job->failure.code == LMODEL_OK && prepare(s, job, &job->failure) == LMODEL_OK;
}

/* Its failure waits in the job, too. */
static int lose(const struct state *s, const struct job *job)
{
	uint64_t at = (uint64_t)job->chunk * member_of(s->scan, job->item)->chunk_bytes;
	uint64_t from = s->scan->items[job->item].from;

	if (s->scan->lost != NULL)
		s->scan->lost(s->scan->context, job->item, at > from ? at - from : 0);
	return LMODEL_OK;
}

static int use(struct state *s, unsigned worker, struct job *job, struct lmodel_error *error)
{
	const struct lm_scan *scan = s->scan;

	if (!scan->stored_only) {
		int r = lm_member_decode(scan->archive, s->codecs[worker],
					 scan->items[job->item].member, job->chunk, job->stored,
					 job->to, &job->failure);

		lm_blocks_give(&s->stored, job->stored);
		job->stored = NULL;
		job->piece.stored = NULL;
		if (r != LMODEL_OK)
			return lose(s, job);
	}
	return scan->work == NULL ? LMODEL_OK :
				    scan->work(scan->context, worker, &job->piece, error);
}

static int work(void *context, unsigned worker, void *argument, struct lmodel_error *error)
{
	struct state *s = context;
	struct job *job = argument;

	if (!begin(s, job) ||
	    lm_member_chunk(s->scan->archive, s->scan->items[job->item].member, job->chunk,
			    job->offset, job->hashes->list, job->stored,
			    &job->failure) != LMODEL_OK)
		return lose(s, job);
	return use(s, worker, job, error);
}

static void work_pair(void *context, unsigned worker, void *const argument[2], int result[2],
		      struct lmodel_error *const error[2])
{
	struct state *s = context;
	struct job *const job[2] = { argument[0], argument[1] };
	struct lmodel_error *const failure[2] = { &job[0]->failure, &job[1]->failure };
	struct lm_member_chunk chunk[2];
	bool ready = true;
	int r[2];

	for (size_t i = 0; i < 2; i++)
		ready = ready && begin(s, job[i]);
	if (!ready) {
		for (size_t i = 0; i < 2; i++) {
			give_back(job[i]);
			result[i] = work(context, worker, job[i], error[i]);
		}
		return;
	}
	for (size_t i = 0; i < 2; i++)
		chunk[i] = (struct lm_member_chunk){
			.member = s->scan->items[job[i]->item].member, .index = job[i]->chunk,
			.at = job[i]->offset, .hashes = job[i]->hashes->list,
			.stored = job[i]->stored,
		};
	lm_member_chunk_pair(s->scan->archive, chunk, r, failure);
	for (size_t i = 0; i < 2; i++)
		result[i] = r[i] == LMODEL_OK ? use(s, worker, job[i], error[i]) :
						lose(s, job[i]);
}

/* Nobody is to see the bytes in order: they are let go as soon as they are put. */
static int put(void *context, unsigned worker, void *argument, struct lmodel_error *error)
{
	struct state *s = context;
	struct job *job = argument;
	int r = LMODEL_OK;

	if (job->failure.code == LMODEL_OK)
		r = s->scan->put(s->scan->context, worker, &job->piece, error);
	if (s->scan->emit == NULL)
		give_back(job);
	return r;
}

static int emit(void *context, void *argument, struct lmodel_error *error)
{
	struct state *s = context;
	struct job *job = argument;
	int r = LMODEL_OK;

	if (job->failure.code != LMODEL_OK)
		r = s->scan->fault != NULL ?
			    s->scan->fault(s->scan->context, job->item, &job->failure) :
			    lm_fail(error, job->failure.code, "%s", job->failure.message);
	else if (s->scan->emit != NULL)
		r = s->scan->emit(s->scan->context, &job->piece, error);
	if (r == LMODEL_OK && job->failure.code == LMODEL_OK)
		r = lm_meter_add(&s->meter, job->piece.len, error);
	drop(job->hashes);
	job->hashes = NULL;
	give_back(job);
	return r;
}

static void release(void *argument)
{
	struct job *job = argument;

	drop(job->hashes);
	give_back(job);
}

int lm_scan_run(const struct lm_scan *scan, const struct lmodel_run *run,
		struct lmodel_error *error)
{
	struct lm_pool_ops ops = {
		.job_size = sizeof(struct job),
		.next = next,
		.work = work,
		.work_pair = work_pair,
		.put = scan->put != NULL ? put : NULL,
		.emit = emit,
		.release = release,
	};
	struct state s = { .scan = scan };
	unsigned workers = lm_pool_workers(run != NULL ? run->jobs : 0);
	uint64_t total = 0, largest = 0;
	int r = LMODEL_OK;

	for (size_t i = 0; i < scan->item_count; i++) {
		const struct lm_member *m = member_of(scan, i);

		total += scan->items[i].len;
		largest = LM_MAX(largest, LM_MIN(m->chunk_bytes, m->bytes));
		if (m->chunk_bytes > LM_MEMBER_PAIR_MAX)
			ops.work_pair = NULL;
		lm_member_will_need(scan->archive, scan->items[i].member, scan->items[i].from,
				    scan->items[i].len);
	}
	lm_meter_begin(&s.meter, run, total);
	s.codecs = calloc(workers, sizeof(*s.codecs));
	if (s.codecs == NULL)
		return lm_fail_memory(error);
	lm_blocks_begin(&s.stored, (size_t)largest);
	lm_blocks_begin(&s.raw, (size_t)largest);
	for (unsigned i = 0; i < workers && r == LMODEL_OK; i++) {
		s.codecs[i] = lm_codec_new(error);
		if (s.codecs[i] == NULL)
			r = LMODEL_EFAILED;
	}
	if (r == LMODEL_OK)
		r = lm_pool_run(workers, &ops, &s, error);
	for (unsigned i = 0; i < workers; i++)
		lm_codec_free(s.codecs[i]);
	free(s.codecs);
	lm_blocks_free(&s.stored);
	lm_blocks_free(&s.raw);
	drop(s.hashes);
	return r;
}
