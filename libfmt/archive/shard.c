/* Sealed streams: what both ends share, and the writing end. */
#include "archive/shard.h"

#include "archive/content.h"
#include "base/io.h"
#include "crypto/chunked.h"
#include "crypto/secret.h"

/* ---- the context: fields with their lengths ---- */

static size_t field(uint8_t *out, size_t at, const void *bytes, size_t len)
{
	lm_put_u64(out + at, len);
	memcpy(out + at + 8, bytes, len);
	return at + 8 + len;
}

static size_t text(uint8_t *out, size_t at, const char *value)
{
	return field(out, at, value, strlen(value));
}

static size_t number(uint8_t *out, size_t at, uint64_t value)
{
	uint8_t bytes[8];

	lm_put_u64(bytes, value);
	return field(out, at, bytes, sizeof(bytes));
}

size_t lm_shard_context(uint8_t out[LM_SHARD_CONTEXT], const struct lm_manifest *m,
			const struct lm_shard_row *shard, enum lm_stream stream,
			const uint8_t base_digest[LM_SHA256_SIZE], uint64_t padded_len)
{
	const struct lm_tier_row *tier = &m->tiers[shard->tier];
	size_t n = text(out, 0, "lmodel/1/shard");

	n = text(out, n, m->id);
	n = text(out, n, tier->name);
	n = number(out, n, tier->generation);
	n = field(out, n, base_digest, LM_SHA256_SIZE);
	n = text(out, n, shard->unit);
	n = text(out, n, stream == LM_POSITIONS ? "positions" : "values");
	return number(out, n, padded_len);
}

size_t lm_attachment_context(uint8_t out[LM_ATTACHMENT_CONTEXT], const struct lm_manifest *m,
			     const struct lm_sealed_row *sealed, uint64_t padded_len)
{
	const struct lm_tier_row *tier = &m->tiers[sealed->tier];
	size_t n = text(out, 0, "lmodel/1/attachment");

	n = text(out, n, m->id);
	n = text(out, n, tier->name);
	n = number(out, n, tier->generation);
	n = text(out, n, sealed->name);
	return number(out, n, padded_len);
}

size_t lm_shard_find(const struct lm_manifest *m, size_t tier, size_t tensor)
{
	size_t low = m->tiers[tier].first_shard, high = low + m->tiers[tier].shard_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->shards[middle].tensor == tensor)
			return middle;
		if (m->shards[middle].tensor < tensor)
			low = middle + 1;
		else
			high = middle;
	}
	return LM_NONE;
}

/* ---- writing ---- */

static int put(struct lm_stream_writer *w, const uint8_t *bytes, size_t len,
	       struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (w->fd >= 0)
		r = lm_write_at(w->fd, w->label, bytes, len, w->at, error);
	lm_hash_add(w->hash, bytes, len);
	w->at += len;
	return r;
}

static int seal_chunk(struct lm_stream_writer *w, struct lmodel_error *error)
{
	uint8_t sealed[LM_SEALED_HEAD + LM_SEALED_CHUNK + LM_SEALED_TAG];
	const size_t head = w->begun ? 0 : LM_SEALED_HEAD;
	int r = lm_sealer_chunk(w->sealer, w->plain, w->fill, sealed + head, error);

	memcpy(sealed, w->head, head);
	if (r == LMODEL_OK)
		r = put(w, sealed, head + w->fill + LM_SEALED_TAG, error);
	w->begun = true;
	w->fill = 0;
	return r;
}

static int add(struct lm_stream_writer *w, const uint8_t *bytes, size_t len,
	       struct lmodel_error *error)
{
	w->left -= len;
	while (len > 0) {
		size_t n = LM_MIN(len, LM_SEALED_CHUNK - w->fill);

		if (bytes != NULL) {
			memcpy(w->plain + w->fill, bytes, n);
			bytes += n;
		} else {
			memset(w->plain + w->fill, 0, n);
		}
		w->fill += n;
		len -= n;
		if (w->fill == LM_SEALED_CHUNK && seal_chunk(w, error))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

int lm_stream_begin(struct lm_stream_writer *w, int fd, const char *label, uint64_t at,
		    const uint8_t key[LM_KEY], const void *context, size_t context_len,
		    const uint8_t *salt, uint64_t len, struct lmodel_error *error)
{
	uint64_t padded = lm_padded_len(len);
	uint8_t frame[LM_FRAME_HEAD];

	*w = (struct lm_stream_writer){ .fd = fd, .label = label, .at = at, .left = padded,
					 .content = len };
	w->hash = lm_hash_new(error);
	w->plain = malloc(LM_SEALED_CHUNK);
	if (w->hash == NULL)
		return LMODEL_EFAILED;
	if (w->plain == NULL)
		return lm_fail_memory(error);
	w->sealer = lm_sealer_new(key, context, context_len, salt, w->head, error);
	if (w->sealer == NULL)
		return LMODEL_EFAILED;
	lm_put_u64(frame, len);
	return add(w, frame, sizeof(frame), error);
}

int lm_stream_add(struct lm_stream_writer *w, const uint8_t *bytes, size_t len,
		  struct lmodel_error *error)
{
	if (len > w->content)
		return lm_fail(error, LMODEL_EFAILED, "a shard became longer than was measured");
	w->content -= len;
	return add(w, bytes, len, error);
}

int lm_stream_finish(struct lm_stream_writer *w, uint8_t digest[LM_SHA256_SIZE],
		     struct lmodel_error *error)
{
	if (w->content != 0)
		return lm_fail(error, LMODEL_EFAILED, "a shard is shorter than was measured");
	while (w->left > 0)
		if (add(w, NULL, (size_t)LM_MIN(w->left, (uint64_t)1 << 20), error))
			return LMODEL_EFAILED;
	if (seal_chunk(w, error))
		return LMODEL_EFAILED;
	lm_hash_finish(w->hash, digest);
	return LMODEL_OK;
}

void lm_stream_release(struct lm_stream_writer *w)
{
	lm_sealer_free(w->sealer);
	if (w->plain != NULL)
		lm_wipe(w->plain, LM_SEALED_CHUNK);
	free(w->plain);
	if (w->hash != NULL)
		lm_hash_free(w->hash);
	*w = (struct lm_stream_writer){ .fd = -1 };
}
