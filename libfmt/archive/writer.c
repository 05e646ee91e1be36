#include "archive/writer.h"

#include <stdio.h>

#include "archive/content.h"
#include "archive/member.h"
#include "base/blocks.h"
#include "base/io.h"
#include "base/pool.h"
#include "container/tar.h"
#include "crypto/kdf.h"
#include "crypto/sha256.h"

enum { BUFFER = 256 << 10 };

static const uint8_t zeros[LM_TAR_END];

int lm_member_divide(struct lm_member *m, uint64_t chunk_bytes, struct lmodel_error *error)
{
	uint64_t count = m->bytes / chunk_bytes + (m->bytes % chunk_bytes != 0);

	if (count > UINT32_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju chunks; the limit is %u",
			       LM_QUOTE(m->path), (uintmax_t)count, UINT32_MAX);
	free(m->chunks);
	m->chunk_bytes = chunk_bytes;
	m->chunk_count = (uint32_t)count;
	m->chunks = calloc(count + 1, sizeof(*m->chunks));
	if (m->chunks == NULL)
		return lm_fail_memory(error);
	return LMODEL_OK;
}

/* ---- buffered output ---- */

static uint64_t position(const struct lm_writer *w)
{
	return w->flushed + w->buffered;
}

static int write_out(struct lm_writer *w, const void *bytes, size_t len, struct lmodel_error *error)
{
	if (lm_write_at(w->fd, w->label, bytes, len, w->flushed, error))
		return LMODEL_EFAILED;
	w->flushed += len;
	if (w->behind != NULL)
		lm_write_behind(w->fd, w->behind, len);
	return LMODEL_OK;
}

static int flush(struct lm_writer *w, struct lmodel_error *error)
{
	if (write_out(w, w->buffer, w->buffered, error))
		return LMODEL_EFAILED;
	w->buffered = 0;
	return LMODEL_OK;
}

static int append(struct lm_writer *w, const void *bytes, size_t len, struct lmodel_error *error)
{
	if (len > BUFFER - w->buffered && flush(w, error))
		return LMODEL_EFAILED;
	if (len > BUFFER)
		return write_out(w, bytes, len, error);
	memcpy(w->buffer + w->buffered, bytes, len);
	w->buffered += len;
	return LMODEL_OK;
}

/* Writes over bytes that were appended before: in the buffer or in the file. */
static int patch(struct lm_writer *w, uint64_t at, const void *bytes, size_t len,
		 struct lmodel_error *error)
{
	if (at < w->flushed && at + len > w->flushed && flush(w, error))
		return LMODEL_EFAILED;
	if (at < w->flushed)
		return lm_write_at(w->fd, w->label, bytes, len, at, error);
	memcpy(w->buffer + (at - w->flushed), bytes, len);
	return LMODEL_OK;
}

/* ---- members ---- */

static bool is_joined(const struct lm_manifest *m, size_t member)
{
	return member < m->member_count && m->members[member].joined;
}

/* Of a row's data, before they are coded: stored chunks are never longer than raw ones. */
static uint64_t most(const struct lm_member *m)
{
	return m->bytes + lm_member_list(m);
}

static bool is_wide(const struct lm_manifest *m, size_t member)
{
	uint64_t sum = 0;

	do
		sum += most(&m->members[member]);
	while (is_joined(m, ++member));
	return sum >= LM_TAR_PAX_FROM;
}

int lm_writer_member_begin(struct lm_writer *w, size_t member, struct lmodel_error *error)
{
	struct lm_member *m = &w->manifest->members[member];
	size_t list = (size_t)m->chunk_count * LM_SHA256_SIZE;

	if (list > w->hash_capacity) {
		free(w->hashes);
		w->hash_capacity = 0;
		w->hashes = malloc(list);
		if (w->hashes == NULL)
			return lm_fail_memory(error);
		w->hash_capacity = list;
	}
	w->chunk = 0;
	if (m->joined) {
		m->offset = position(w);
		return LMODEL_OK;
	}
	w->header_at = position(w);
	w->wide = is_wide(w->manifest, member);
	if (append(w, (const uint8_t[LM_TAR_HEADER_MAX]){ 0 },
		   w->wide ? LM_TAR_HEADER_MAX : LM_TAR_BLOCK, error))
		return LMODEL_EFAILED;
	w->data_at = m->offset = position(w);
	return LMODEL_OK;
}

int lm_writer_chunk(struct lm_writer *w, size_t member, enum lm_method method,
		    const uint8_t *stored, size_t stored_len, const uint8_t digest[LM_SHA256_SIZE],
		    struct lmodel_error *error)
{
	struct lm_member *m = &w->manifest->members[member];

	m->chunks[w->chunk] = (uint32_t)method << LM_CHUNK_LEN_BITS | (uint32_t)stored_len;
	memcpy(w->hashes + (size_t)w->chunk * LM_SHA256_SIZE, digest, LM_SHA256_SIZE);
	w->chunk++;
	return append(w, stored, stored_len, error);
}

int lm_writer_member_end(struct lm_writer *w, size_t member, struct lmodel_error *error)
{
	struct lm_member *m = &w->manifest->members[member];
	size_t list = (size_t)m->chunk_count * LM_SHA256_SIZE, header_len;
	uint8_t header[LM_TAR_HEADER_MAX];
	uint64_t end;

	if (m->chunk_count == 1)
		memcpy(m->digest, w->hashes, list);
	else
		lm_sha256(m->digest, w->hashes, list);
	if (append(w, w->hashes, (size_t)lm_member_list(m), error))
		return LMODEL_EFAILED;
	m->length = position(w) - m->offset;
	if (is_joined(w->manifest, member + 1))
		return LMODEL_OK;
	end = position(w);
	if (append(w, zeros, (size_t)(lm_align(end, LM_TAR_BLOCK) - end), error) ||
	    lm_tar_header(m->path, end - w->data_at, w->manifest->created, w->wide, header,
			  &header_len, error))
		return LMODEL_EFAILED;
	return patch(w, w->header_at, header, header_len, error);
}

int lm_writer_extent(struct lm_writer *w, const char *path, uint64_t length, uint64_t *offset,
		     struct lmodel_error *error)
{
	uint8_t header[LM_TAR_HEADER_MAX];
	size_t header_len;

	if (lm_tar_header(path, length, w->manifest->created, length >= LM_TAR_PAX_FROM, header,
			  &header_len, error) ||
	    append(w, header, header_len, error) || flush(w, error))
		return LMODEL_EFAILED;
	*offset = w->flushed;
	/* What is skipped reads as zeros: the file is new, and the end blocks come behind. */
	w->flushed += lm_align(length, LM_TAR_BLOCK);
	return LMODEL_OK;
}

/* ---- coding through the pool ---- */

struct encode {
	struct lm_writer *writer;
	const struct lm_feed *feed;
	enum lmodel_level level;
	struct lm_codec **codecs;
	struct lm_blocks blocks; /* each has room for the largest chunk, raw or stored */
	struct lm_meter meter;
	/* Where `next` is, and where `emit` is. */
	size_t member;
	uint32_t chunk;
	size_t emitted;
};

struct job {
	struct encode *encode;
	size_t member;
	uint32_t chunk;
	uint8_t *stored;       /* lent until it is emitted; NULL: none */
	enum lm_method method;
	size_t stored_len, raw_len;
	uint8_t digest[LM_SHA256_SIZE];
};

static int next(void *context, void *argument, struct lmodel_error *error)
{
	struct encode *e = context;
	const struct lm_manifest *m = e->writer->manifest;
	struct job *job = argument;

	(void)error;
	while (e->member < m->member_count && e->chunk == m->members[e->member].chunk_count) {
		e->member++;
		e->chunk = 0;
	}
	if (e->member == m->member_count)
		return LM_POOL_END;
	job->encode = e;
	job->member = e->member;
	job->chunk = e->chunk++;
	return LMODEL_OK;
}

static int code(struct encode *e, unsigned worker, struct job *job, struct lmodel_error *error)
{
	const struct lm_member *m = &e->writer->manifest->members[job->member];
	uint8_t *raw = lm_blocks_take(&e->blocks, error);
	int r = LMODEL_EFAILED;

	job->raw_len = lm_member_chunk_raw(m, job->chunk);
	job->stored = raw != NULL ? lm_blocks_take(&e->blocks, error) : NULL;
	if (job->stored != NULL)
		r = e->feed->read(e->feed->context, worker, job->member,
				  (uint64_t)job->chunk * m->chunk_bytes, raw, job->raw_len, error);
	if (r == LMODEL_OK)
		r = lm_chunk_encode(e->codecs[worker], m->coding, e->level, raw, job->raw_len,
				    job->stored, &job->method, &job->stored_len, error);
	lm_blocks_give(&e->blocks, raw);
	return r;
}

static int work(void *context, unsigned worker, void *argument, struct lmodel_error *error)
{
	struct job *job = argument;
	int r = code(context, worker, job, error);

	if (r == LMODEL_OK)
		lm_sha256(job->digest, job->stored, job->stored_len);
	return r;
}

static void work_pair(void *context, unsigned worker, void *const argument[2], int result[2],
		      struct lmodel_error *const error[2])
{
	struct lm_message message[2] = { { "", 0 }, { "", 0 } };
	uint8_t digest[2][LM_SHA256_SIZE];

	for (size_t i = 0; i < 2; i++) {
		struct job *job = argument[i];

		result[i] = code(context, worker, job, error[i]);
		if (result[i] == LMODEL_OK)
			message[i] = (struct lm_message){ job->stored, job->stored_len };
	}
	lm_sha256_pair(digest, message);
	for (size_t i = 0; i < 2; i++)
		memcpy(((struct job *)argument[i])->digest, digest[i], LM_SHA256_SIZE);
}

/* Members without chunks make no jobs: they are written when their turn comes. */
static int write_empty(struct encode *e, size_t until, struct lmodel_error *error)
{
	for (; e->emitted < until; e->emitted++)
		if (lm_writer_member_begin(e->writer, e->emitted, error) ||
		    lm_writer_member_end(e->writer, e->emitted, error))
			return LMODEL_EFAILED;
	return LMODEL_OK;
}

static void release(void *argument)
{
	struct job *job = argument;

	if (job->encode != NULL)
		lm_blocks_give(&job->encode->blocks, job->stored);
	job->stored = NULL;
}

static int emit(void *context, void *argument, struct lmodel_error *error)
{
	struct encode *e = context;
	struct job *job = argument;
	int r = LMODEL_OK;

	if (job->chunk == 0) {
		r = write_empty(e, job->member, error);
		if (r == LMODEL_OK)
			r = lm_writer_member_begin(e->writer, job->member, error);
	}
	if (r == LMODEL_OK)
		r = lm_writer_chunk(e->writer, job->member, job->method, job->stored,
				    job->stored_len, job->digest, error);
	if (r == LMODEL_OK &&
	    job->chunk + 1 == e->writer->manifest->members[job->member].chunk_count) {
		r = lm_writer_member_end(e->writer, job->member, error);
		e->emitted = job->member + 1;
	}
	if (r == LMODEL_OK)
		r = lm_meter_add(&e->meter, job->raw_len, error);
	release(job);
	return r;
}

int lm_writer_encode(struct lm_writer *w, const struct lm_feed *feed, enum lmodel_level level,
		     const struct lmodel_run *run, struct lmodel_error *error)
{
	struct lm_pool_ops ops = {
		.job_size = sizeof(struct job),
		.next = next,
		.work = work,
		.work_pair = work_pair,
		.emit = emit,
		.release = release,
	};
	struct encode e = { .writer = w, .feed = feed, .level = level };
	unsigned workers = lm_pool_workers(run->jobs);
	uint64_t total = 0, largest = 0;
	int r = LMODEL_OK;

	for (size_t i = 0; i < w->manifest->member_count; i++) {
		const struct lm_member *m = &w->manifest->members[i];

		total += m->bytes;
		largest = LM_MAX(largest, LM_MIN(m->chunk_bytes, m->bytes));
		if (m->chunk_bytes > LM_MEMBER_PAIR_MAX)
			ops.work_pair = NULL;
	}
	lm_meter_begin(&e.meter, run, total);
	e.codecs = calloc(workers, sizeof(*e.codecs));
	if (e.codecs == NULL)
		return lm_fail_memory(error);
	lm_blocks_begin(&e.blocks, (size_t)largest);
	for (unsigned i = 0; i < workers && r == LMODEL_OK; i++) {
		e.codecs[i] = lm_codec_new(error);
		if (e.codecs[i] == NULL)
			r = LMODEL_EFAILED;
	}
	if (r == LMODEL_OK)
		r = lm_pool_run(workers, &ops, &e, error);
	if (r == LMODEL_OK)
		r = write_empty(&e, w->manifest->member_count, error);
	for (unsigned i = 0; i < workers; i++)
		lm_codec_free(e.codecs[i]);
	free(e.codecs);
	lm_blocks_free(&e.blocks);
	return r;
}

/* ---- begin and finish ---- */

/* The length of the manifest as it will be: numbers that are not known yet take as many bytes as
 * they can. */
static int plan(struct lm_manifest *m, uint64_t *image_len, struct lmodel_error *error)
{
	static const uint8_t root[LM_SHA256_SIZE];
	uint64_t end = 2 * LM_SLOT_LIMIT;
	uint8_t *image;
	int r;

	for (size_t i = 0; i < m->member_count; i++) {
		m->members[i].offset = end += LM_TAR_HEADER_MAX;
		m->members[i].length = most(&m->members[i]);
		end += m->members[i].length + LM_TAR_BLOCK;
	}
	for (size_t i = 0; i < m->tier_count; i++)
		m->tiers[i].offset[0] = m->tiers[i].offset[1] = (uint64_t)INT64_MAX;
	free(m->statement);
	m->statement = lm_content_statement(m, root, error);
	if (m->statement == NULL)
		return LMODEL_EFAILED;
	r = lm_manifest_store(m, &image, image_len, error);
	if (r == LMODEL_OK)
		lm_manifest_image_free(image);
	return r;
}

int lm_writer_begin(struct lm_writer *w, int fd, const char *label, struct lm_manifest *manifest,
		    struct lmodel_error *error)
{
	uint64_t image_len, payload = 0;

	*w = (struct lm_writer){ .fd = fd, .label = label, .manifest = manifest };
	w->buffer = malloc(BUFFER);
	if (w->buffer == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < manifest->member_count; i++)
		if (!lm_add(payload, manifest->members[i].bytes, &payload) || payload > INT64_MAX)
			return lm_fail(error, LMODEL_ELIMIT, "the model is larger than any file");
	if (plan(manifest, &image_len, error))
		return LMODEL_EFAILED;
	w->slot_size = lm_slot_size_for(image_len, payload, manifest->tier_count > 0);
	if (w->slot_size == 0)
		return lm_fail(error, LMODEL_ELIMIT, "a manifest of %ju bytes; the limit is %ju",
			       (uintmax_t)image_len, (uintmax_t)LM_SLOT_LIMIT);
	w->flushed = lm_slots_end(w->slot_size);
	return LMODEL_OK;
}

void lm_uuid_format(char out[37], const uint8_t bytes[16])
{
	uint8_t b[16];
	char hex[33];

	memcpy(b, bytes, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	lm_hex(hex, b, sizeof(b));
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* The content root under the nil id stands for all that was packed. */
static int seed_id(struct lm_manifest *m, const unsigned char *seed, size_t seed_len,
		   struct lmodel_error *error)
{
	static const char nil[] = "00000000-0000-0000-0000-000000000000";
	uint8_t root[LM_SHA256_SIZE], mac[LM_SHA256_SIZE];

	if (lm_content_root(m, nil, root, error))
		return LMODEL_EFAILED;
	lm_hmac_sha256(mac, seed, seed_len, root, sizeof(root));
	lm_uuid_format(m->id, mac);
	return LMODEL_OK;
}

int lm_writer_finish(struct lm_writer *w, const unsigned char *seed, size_t seed_len,
		     const struct lm_sealing *sealing, uint64_t commit_counter,
		     struct lmodel_error *error)
{
	struct lm_manifest *m = w->manifest;
	uint64_t committed = position(w), image_len;
	uint8_t root[LM_SHA256_SIZE], *image;
	int r;

	if (append(w, zeros, LM_TAR_END, error) || flush(w, error) ||
	    (seed_len > 0 && seed_id(m, seed, seed_len, error)) ||
	    lm_content_root(m, m->id, root, error))
		return LMODEL_EFAILED;
	free(m->statement);
	m->statement = lm_content_statement(m, root, error);
	if (m->statement == NULL)
		return LMODEL_EFAILED;
	r = sealing != NULL ? sealing->seal(sealing->context, m, error) : LMODEL_OK;
	if (r != LMODEL_OK)
		return r;
	if (lm_manifest_store(m, &image, &image_len, error))
		return LMODEL_EFAILED;
	r = lm_slots_create(w->fd, w->label, w->slot_size, m->created, image, image_len, committed,
			    commit_counter, error);
	lm_manifest_image_free(image);
	return r;
}

void lm_writer_release(struct lm_writer *w)
{
	free(w->buffer);
	free(w->hashes);
	w->buffer = NULL;
	w->hashes = NULL;
}
