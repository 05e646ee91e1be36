/* Reading sealed streams: chunk by chunk, each authenticated before a byte of it is used. */
#include "archive/content.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "crypto/chunked.h"
#include "crypto/secret.h"

static int bad(const struct lm_stream_reader *r, const char *what, struct lmodel_error *error)
{
	const struct lm_manifest *m = &r->archive->manifest;

	if (r->sealed != NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: attachment %s, tier %s: %s",
			       r->archive->label, LM_QUOTE(r->sealed->name), m->tiers[r->tier].name,
			       what);
	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s, tier %s: %s: %s", r->archive->label,
		       LM_QUOTE(m->tensors[r->shard->tensor].name), m->tiers[r->shard->tier].name,
		       r->kind == LM_POSITIONS ? "positions" : "values", what);
}

enum { WHOLE = LM_SEALED_CHUNK + LM_SEALED_TAG };

/* The chunk that was read into `cipher` + `from`, into `plain`. */
static int open_chunk(struct lm_stream_reader *r, size_t from, size_t n, struct lmodel_error *error)
{
	const struct lm_file *file = &r->archive->file;
	uint8_t *cipher = r->cipher + from;
	int opened;

	r->most = LM_MAX(r->most, n - LM_SEALED_TAG);
	for (;;) {
		opened = lm_opener_chunk(r->opener, r->index, cipher, n, r->plain, NULL);
		if (opened == LMODEL_OK || !lm_file_doubt(file, r->at, n))
			break;
		if (lm_file_read(file, cipher, n, r->at, error))
			return (int)(error != NULL ? error->code : LMODEL_EFAILED);
	}
	lm_hash_add(r->hash, cipher, n);
	if (opened != LMODEL_OK)
		return bad(r, "is not authentic", error);
	r->at += n;
	r->index++;
	r->from = 0;
	r->to = n - LM_SEALED_TAG;
	return LMODEL_OK;
}

/* The next chunk. */
static int fetch(struct lm_stream_reader *r, struct lmodel_error *error)
{
	size_t n = (size_t)LM_MIN(r->end - r->at, (uint64_t)WHOLE);
	int code = lm_file_read(&r->archive->file, r->cipher, n, r->at, error);

	return code == LMODEL_OK ? open_chunk(r, 0, n, error) : code;
}

/* Reads the head and the first chunk, most often all that there is. */
static int begin(struct lm_stream_reader *r, const uint8_t *base_digest,
		 struct lmodel_error *error)
{
	const struct lmodel_archive *a = r->archive;
	const struct lm_stream_row *row = r->row;
	uint8_t context[LM_ATTACHMENT_CONTEXT], digest[LM_SHA256_SIZE], key[LM_KEY];
	size_t first = (size_t)LM_MIN(row->length, (uint64_t)LM_SEALED_HEAD + WHOLE), n;
	uint64_t padded = 0, frame;
	int code;

	/* The lengths were checked when the manifest was loaded. */
	if (!lm_sealed_plain_len(row->length, &padded) || padded < LM_FRAME_HEAD)
		return bad(r, "is too short", error);
	if (r->shard != NULL && base_digest == NULL) {
		if (lm_content_base_digest(&a->manifest, r->shard->tensor, digest, error))
			return LMODEL_EFAILED;
		base_digest = digest;
	}
	n = r->sealed != NULL ? lm_attachment_context(context, &a->manifest, r->sealed, padded) :
				lm_shard_context(context, &a->manifest, r->shard, r->kind,
						 base_digest, padded);
	lm_unlocked_stream_key(a, r->tier, r->kind, key);
	do {
		code = lm_file_read(&a->file, r->cipher, first, r->at, error);
		if (code == LMODEL_OK)
			r->opener = lm_opener_new(key, context, n, r->cipher, NULL);
	} while (code == LMODEL_OK && r->opener == NULL && lm_file_doubt(&a->file, r->at, first));
	lm_wipe(key, sizeof(key));
	if (code != LMODEL_OK)
		return code;
	lm_hash_add(r->hash, r->cipher, LM_SEALED_HEAD);
	if (r->opener == NULL)
		return bad(r, "does not belong here", error);
	r->at += LM_SEALED_HEAD;
	code = open_chunk(r, LM_SEALED_HEAD, first - LM_SEALED_HEAD, error);
	if (code != LMODEL_OK)
		return code;
	if (r->to < LM_FRAME_HEAD)
		return bad(r, "is too short", error);
	frame = lm_get_u64(r->plain);
	r->from = LM_FRAME_HEAD;
	if (frame > padded - LM_FRAME_HEAD)
		return bad(r, "states a length past its end", error);
	r->left = frame;
	r->padding = padded - LM_FRAME_HEAD - frame;
	return LMODEL_OK;
}

/* Forgets what was read; the memory stays. */
static void reset(struct lm_stream_reader *r)
{
	lm_sealer_free(r->opener);
	if (r->hash != NULL)
		lm_hash_free(r->hash);
	if (r->plain != NULL)
		lm_wipe(r->plain, r->most);
	*r = (struct lm_stream_reader){ .plain = r->plain, .cipher = r->cipher };
}

/* The struct says which stream it is. */
static int open_stream(struct lm_stream_reader *r, const uint8_t *base_digest,
		       struct lmodel_error *error)
{
	r->at = r->archive->manifest.tiers[r->tier].offset[r->kind] + r->row->offset;
	r->end = r->at + r->row->length;
	if (r->cipher == NULL)
		r->cipher = malloc(LM_SEALED_HEAD + WHOLE);
	if (r->plain == NULL)
		r->plain = malloc(LM_SEALED_CHUNK);
	r->hash = lm_hash_new(error);
	if (r->cipher == NULL || r->plain == NULL || r->hash == NULL)
		return lm_fail_memory(error);
	return begin(r, base_digest, error);
}

void lm_stream_will_need(const struct lmodel_archive *a, size_t tier, enum lm_stream kind,
			 const struct lm_stream_row *row)
{
	lm_file_will_need(&a->file, a->manifest.tiers[tier].offset[kind] + row->offset,
			  row->length);
}

int lm_stream_open_again(struct lm_stream_reader *r, const struct lmodel_archive *a, size_t shard,
			 enum lm_stream kind, const uint8_t *base_digest,
			 struct lmodel_error *error)
{
	const struct lm_shard_row *s = &a->manifest.shards[shard];

	reset(r);
	r->archive = a;
	r->shard = s;
	r->row = &s->stream[kind];
	r->tier = s->tier;
	r->kind = kind;
	lm_stream_will_need(a, s->tier, kind, r->row);
	return open_stream(r, base_digest, error);
}

int lm_stream_open(struct lm_stream_reader *r, const struct lmodel_archive *a, size_t shard,
		   enum lm_stream kind, struct lmodel_error *error)
{
	*r = (struct lm_stream_reader){ 0 };
	return lm_stream_open_again(r, a, shard, kind, NULL, error);
}

int lm_stream_open_sealed(struct lm_stream_reader *r, const struct lmodel_archive *a, size_t sealed,
			  struct lmodel_error *error)
{
	const struct lm_sealed_row *s = &a->manifest.sealed[sealed];

	*r = (struct lm_stream_reader){ .archive = a, .sealed = s, .row = &s->stream,
					.tier = s->tier, .kind = LM_VALUES };
	return open_stream(r, NULL, error);
}

/* Behind the content there are zeros to the very end of the last chunk, and all of the ciphertext
 * is what the statement stands for. */
static int check_end(struct lm_stream_reader *r, struct lmodel_error *error)
{
	uint8_t digest[LM_SHA256_SIZE];

	for (;;) {
		if (!lm_is_zero(r->plain + r->from, r->to - r->from))
			return bad(r, "has padding that is not zero", error);
		r->padding -= r->to - r->from;
		r->from = r->to;
		if (r->at == r->end)
			break;
		if (fetch(r, error))
			return LMODEL_ECORRUPT;
	}
	if (r->padding != 0)
		return bad(r, "ends early", error);
	if (r->hash != NULL) {
		lm_hash_finish(r->hash, digest);
		lm_hash_free(r->hash);
		r->hash = NULL;
		if (memcmp(digest, r->row->digest, sizeof(digest)) != 0)
			return bad(r, "is not what was packed", error);
	}
	return LMODEL_OK;
}

int lm_stream_read(struct lm_stream_reader *r, uint8_t *buffer, size_t len, size_t *got,
		   struct lmodel_error *error)
{
	*got = 0;
	while (*got < len && r->left > 0) {
		size_t n;

		if (r->from == r->to) {
			int code = r->at < r->end ? fetch(r, error) : bad(r, "ends early", error);

			if (code != LMODEL_OK)
				return code;
			if (r->from == r->to)
				return bad(r, "ends early", error);
		}
		n = (size_t)LM_MIN((uint64_t)LM_MIN(len - *got, r->to - r->from), r->left);
		memcpy(buffer + *got, r->plain + r->from, n);
		r->from += n;
		r->left -= n;
		*got += n;
	}
	return *got == 0 && len > 0 ? check_end(r, error) : LMODEL_OK;
}

void lm_stream_close(struct lm_stream_reader *r)
{
	reset(r);
	free(r->plain);
	free(r->cipher);
	*r = (struct lm_stream_reader){ 0 };
}
