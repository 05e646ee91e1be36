/* Reading tensors that are locked whole: the key and the digests from the shard, block by block. */
#include "archive/deeplock.h"

#include "base/io.h"
#include "crypto/secret.h"
#include "protect/positions.h"

bool lm_tier_is_locked(const struct lm_tier_row *tier)
{
	return strcmp(tier->mask, LM_MASK_DEEP_LOCK) == 0;
}

static uint64_t blocks_of(uint64_t bytes)
{
	return bytes / LM_LOCK_BLOCK + (bytes % LM_LOCK_BLOCK != 0);
}

uint64_t lm_lock_record_len(uint64_t bytes)
{
	return LM_LOCK_KEY + blocks_of(bytes) * LM_SHA256_SIZE;
}

/* What a shard holds, as far as some blocks need it. */
struct record {
	const struct lmodel_archive *archive;
	size_t shard;
	uint8_t key[LM_LOCK_KEY];
	uint64_t first;          /* block of the first digest */
	size_t count;
	uint8_t *digests;
};

static int bad(const struct record *r, const char *what, struct lmodel_error *error)
{
	const struct lm_manifest *m = &r->archive->manifest;
	const struct lm_shard_row *s = &m->shards[r->shard];

	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s, tier %s: %s", r->archive->label,
		       LM_QUOTE(m->tensors[s->tensor].name), m->tiers[s->tier].name, what);
}

static void release(struct record *r)
{
	lm_wipe(r->key, sizeof(r->key));
	if (r->digests != NULL)
		lm_wipe(r->digests, r->count * LM_SHA256_SIZE);
	free(r->digests);
}

static int read_positions(void *context, uint8_t *buffer, size_t len, size_t *got,
			  struct lmodel_error *error)
{
	return lm_stream_read(context, buffer, len, got, error);
}

/* The one unit, all of the tensor, and the stream to its proven end. */
static int check_positions(const struct record *r, struct lmodel_error *error)
{
	struct lm_stream_reader stream = { 0 };
	struct lm_positions_reader *reader = NULL;
	uint64_t first = 0, count = 0, more = 0;
	int code = lm_stream_open(&stream, r->archive, r->shard, LM_POSITIONS, error);

	if (code == LMODEL_OK) {
		reader = lm_positions_reader_new(1, read_positions, &stream, error);
		code = reader == NULL ? (int)(error != NULL ? error->code : LMODEL_ECORRUPT) :
					LMODEL_OK;
	}
	if (code == LMODEL_OK)
		code = lm_positions_reader_next(reader, &first, &count, error);
	if (code == LMODEL_OK && count > 0)
		code = lm_positions_reader_next(reader, &first, &more, error);
	if (code == LMODEL_OK && count != 1)
		code = bad(r, "does not hold the whole tensor", error);
	lm_positions_reader_free(reader);
	lm_stream_close(&stream);
	return code;
}

/* Exactly `len` bytes. */
static int take(struct lm_stream_reader *stream, uint8_t *to, size_t len,
		struct lmodel_error *error)
{
	size_t got = 1;

	for (size_t have = 0; have < len && got > 0; have += got) {
		int code = lm_stream_read(stream, to + have, len - have, &got, error);

		if (code != LMODEL_OK)
			return code;
	}
	return LMODEL_OK; /* the length of all was compared before */
}

/* The digests of the blocks that are wanted; all others go by. */
static int take_digests(struct record *r, struct lm_stream_reader *stream, uint64_t blocks,
			struct lmodel_error *error)
{
	uint8_t piece[64 * LM_SHA256_SIZE];
	int code = LMODEL_OK;

	for (uint64_t at = 0, n; at < blocks && code == LMODEL_OK; at += n) {
		bool wanted = at >= r->first && at < r->first + r->count;
		uint64_t end = wanted ? r->first + r->count : at < r->first ? r->first : blocks;
		uint8_t *to = wanted ? r->digests + (size_t)(at - r->first) * LM_SHA256_SIZE : piece;

		n = LM_MIN(LM_MIN(end, blocks) - at,
			   (uint64_t)(sizeof(piece) / LM_SHA256_SIZE));
		code = take(stream, to, (size_t)n * LM_SHA256_SIZE, error);
	}
	lm_wipe(piece, sizeof(piece));
	return code;
}

static int take_values(struct record *r, uint64_t bytes, struct lmodel_error *error)
{
	struct lm_stream_reader stream = { 0 };
	uint8_t byte;
	size_t got;
	int code = lm_stream_open(&stream, r->archive, r->shard, LM_VALUES, error);

	if (code == LMODEL_OK && stream.left != lm_lock_record_len(bytes))
		code = bad(r, "the digests are not those of a tensor of this size", error);
	if (code == LMODEL_OK) {
		r->digests = malloc(r->count * LM_SHA256_SIZE + 1);
		code = r->digests == NULL ? lm_fail_memory(error) : LMODEL_OK;
	}
	if (code == LMODEL_OK)
		code = take(&stream, r->key, sizeof(r->key), error);
	if (code == LMODEL_OK)
		code = take_digests(r, &stream, blocks_of(bytes), error);
	if (code == LMODEL_OK) /* the end, where the stream proves to be what was packed */
		code = lm_stream_read(&stream, &byte, 1, &got, error);
	lm_stream_close(&stream);
	return code;
}

static int load(struct record *r, const struct lmodel_archive *archive, size_t shard,
		uint64_t first, size_t count, struct lmodel_error *error)
{
	const struct lm_manifest *m = &archive->manifest;
	int code;

	*r = (struct record){ .archive = archive, .shard = shard, .first = first, .count = count };
	code = check_positions(r, error);
	if (code == LMODEL_OK)
		code = take_values(r, m->tensors[m->shards[shard].tensor].bytes, error);
	return code;
}

/* Integrity is the digests' alone: the locking itself has none. */
static int open_blocks(const struct record *r, uint64_t offset, uint8_t *bytes, size_t len,
		       struct lmodel_error *error)
{
	const uint8_t *wanted = r->digests +
				(size_t)(offset / LM_LOCK_BLOCK - r->first) * LM_SHA256_SIZE;
	uint8_t digest[LM_SHA256_SIZE];
	bool good = true;

	lm_unlock(r->key, offset, bytes, len);
	for (size_t at = 0; at < len && good; at += LM_LOCK_BLOCK, wanted += LM_SHA256_SIZE) {
		lm_sha256(digest, bytes + at, LM_MIN(len - at, (size_t)LM_LOCK_BLOCK));
		good = lm_secret_equal(digest, wanted, sizeof(digest));
	}
	lm_wipe(digest, sizeof(digest));
	if (good)
		return LMODEL_OK;
	lm_wipe(bytes, len);
	return bad(r, "what the lock key opens is not what was packed", error);
}

int lm_lock_open(const struct lmodel_archive *archive, size_t shard, uint64_t offset,
		 uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	struct record r;
	int code = load(&r, archive, shard, offset / LM_LOCK_BLOCK, (size_t)blocks_of(len), error);

	if (code == LMODEL_OK)
		code = open_blocks(&r, offset, bytes, len, error);
	else
		lm_wipe(bytes, len);
	release(&r);
	return code;
}

int lm_lock_open_file(const struct lmodel_archive *archive, size_t shard, int fd,
		      const char *label, uint64_t to, struct lmodel_error *error)
{
	enum { PIECE = 16 * LM_LOCK_BLOCK };
	const struct lm_manifest *m = &archive->manifest;
	const uint64_t bytes = m->tensors[m->shards[shard].tensor].bytes;
	LM_FREE uint8_t *piece = malloc(PIECE);
	struct record r = { .digests = NULL };
	int code = piece == NULL ? lm_fail_memory(error) :
		   load(&r, archive, shard, 0, (size_t)blocks_of(bytes), error);

	for (uint64_t at = 0; at < bytes && code == LMODEL_OK; at += PIECE) {
		size_t n = (size_t)LM_MIN(bytes - at, (uint64_t)PIECE);

		code = lm_read_at(fd, label, piece, n, to + at, error);
		if (code == LMODEL_OK)
			code = open_blocks(&r, at, piece, n, error);
		if (code == LMODEL_OK)
			code = lm_write_at(fd, label, piece, n, to + at, error);
	}
	release(&r);
	return code;
}

int lm_lock_read_key(const struct lmodel_archive *archive, size_t shard,
		     uint8_t key[LM_LOCK_KEY], struct lmodel_error *error)
{
	struct record r;
	int code = load(&r, archive, shard, 0, 0, error);

	if (code == LMODEL_OK)
		memcpy(key, r.key, LM_LOCK_KEY);
	release(&r);
	return code;
}
