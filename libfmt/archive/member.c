#include "archive/member.h"

#include "base/io.h"
#include "crypto/sha256.h"

struct lm_reader {
	const struct lmodel_archive *archive;
	struct lm_codec *codec;
	size_t member;         /* whose hash list and chunk are held; LM_NONE at first */
	uint8_t *hashes;
	uint32_t chunk;        /* held in raw; UINT32_MAX for none */
	uint8_t *raw, *stored; /* capacity bytes each */
	size_t capacity;
};

int lm_member_hashes(const struct lmodel_archive *a, size_t member, uint8_t **hashes,
		     struct lmodel_error *error)
{
	const struct lm_member *m = &a->manifest.members[member];
	size_t len = (size_t)m->chunk_count * LM_SHA256_SIZE;
	LM_FREE uint8_t *list = malloc(len + 1);
	uint8_t digest[LM_SHA256_SIZE];
	int r;

	if (list == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(a->fd, a->label, list, len, m->offset + m->length - len, error);
	if (r != LMODEL_OK)
		return r;
	lm_sha256(digest, list, len);
	if (memcmp(digest, m->digest, sizeof(digest)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: member %s: the SHA-256 list of its chunks is damaged", a->label,
			       LM_QUOTE(m->path));
	*hashes = list;
	list = NULL;
	return LMODEL_OK;
}

static int check_chunk(const struct lmodel_archive *a, const struct lm_member_chunk *c,
		       const uint8_t digest[LM_SHA256_SIZE], struct lmodel_error *error)
{
	const struct lm_member *m = &a->manifest.members[c->member];

	if (memcmp(digest, c->hashes + (size_t)c->index * LM_SHA256_SIZE, LM_SHA256_SIZE) == 0)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_ECORRUPT,
		       "%s: member %s: chunk %u (%zu bytes at %ju): SHA-256 does not match",
		       a->label, LM_QUOTE(m->path), c->index,
		       (size_t)(m->chunks[c->index] & LM_CHUNK_LEN_MASK), (uintmax_t)c->at);
}

static int read_stored(const struct lmodel_archive *a, const struct lm_member_chunk *c,
		       struct lm_message *message, struct lmodel_error *error)
{
	message->bytes = c->stored;
	message->len = a->manifest.members[c->member].chunks[c->index] & LM_CHUNK_LEN_MASK;
	return lm_read_at(a->fd, a->label, c->stored, message->len, c->at, error);
}

int lm_member_chunk(const struct lmodel_archive *a, size_t member, uint32_t index, uint64_t at,
		    const uint8_t *hashes, uint8_t *stored, struct lmodel_error *error)
{
	const struct lm_member_chunk c = { member, index, at, hashes, stored };
	uint8_t digest[LM_SHA256_SIZE];
	struct lm_message message;
	int r = read_stored(a, &c, &message, error);

	if (r != LMODEL_OK)
		return r;
	lm_sha256(digest, stored, message.len);
	return check_chunk(a, &c, digest, error);
}

void lm_member_chunk_pair(const struct lmodel_archive *a, const struct lm_member_chunk chunk[2],
			  int result[2], struct lmodel_error *const error[2])
{
	uint8_t digest[2][LM_SHA256_SIZE];
	struct lm_message message[2];

	for (size_t i = 0; i < 2; i++) {
		result[i] = read_stored(a, &chunk[i], &message[i], error[i]);
		if (result[i] != LMODEL_OK)
			message[i] = (struct lm_message){ "", 0 };
	}
	lm_sha256_pair(digest, message);
	for (size_t i = 0; i < 2; i++)
		if (result[i] == LMODEL_OK)
			result[i] = check_chunk(a, &chunk[i], digest[i], error[i]);
}

int lm_member_decode(const struct lmodel_archive *a, struct lm_codec *codec, size_t member,
		     uint32_t index, const uint8_t *stored, uint8_t *raw,
		     struct lmodel_error *error)
{
	const struct lm_member *m = &a->manifest.members[member];
	struct lmodel_error why = LMODEL_ERROR_INIT;
	int r = lm_chunk_decode(codec, m->coding,
				(enum lm_method)(m->chunks[index] >> LM_CHUNK_LEN_BITS), stored,
				m->chunks[index] & LM_CHUNK_LEN_MASK, raw,
				lm_member_chunk_raw(m, index), &why);

	if (r == LMODEL_OK)
		return LMODEL_OK;
	return lm_fail(error, (enum lmodel_code)r, "%s: member %s: chunk %u: %s", a->label,
		       LM_QUOTE(m->path), index, why.message);
}

struct lm_reader *lm_reader_new(const struct lmodel_archive *archive, struct lmodel_error *error)
{
	struct lm_reader *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	r->archive = archive;
	r->member = LM_NONE;
	r->chunk = UINT32_MAX;
	r->codec = lm_codec_new(error);
	if (r->codec == NULL) {
		lm_reader_free(r);
		return NULL;
	}
	return r;
}

void lm_reader_free(struct lm_reader *r)
{
	if (r == NULL)
		return;
	lm_codec_free(r->codec);
	free(r->hashes);
	free(r->raw);
	free(r->stored);
	free(r);
}

static int enter_member(struct lm_reader *r, size_t member, struct lmodel_error *error)
{
	const struct lm_member *m = &r->archive->manifest.members[member];
	size_t wanted = (size_t)LM_MIN(m->chunk_bytes, m->bytes);
	int result;

	if (r->member == member)
		return LMODEL_OK;
	r->member = LM_NONE;
	r->chunk = UINT32_MAX;
	free(r->hashes);
	r->hashes = NULL;
	if (wanted > r->capacity) {
		free(r->raw);
		free(r->stored);
		r->capacity = 0;
		r->raw = malloc(wanted);
		r->stored = malloc(wanted);
		if (r->raw == NULL || r->stored == NULL)
			return lm_fail_memory(error);
		r->capacity = wanted;
	}
	result = lm_member_hashes(r->archive, member, &r->hashes, error);
	if (result == LMODEL_OK)
		r->member = member;
	return result;
}

static uint64_t chunk_offset(const struct lm_member *m, uint32_t index)
{
	uint64_t at = m->offset;

	for (uint32_t i = 0; i < index; i++)
		at += m->chunks[i] & LM_CHUNK_LEN_MASK;
	return at;
}

int lm_reader_range(struct lm_reader *r, size_t member, uint64_t offset, void *buffer, size_t len,
		    struct lmodel_error *error)
{
	const struct lm_member *m = &r->archive->manifest.members[member];
	uint8_t *out = buffer;
	int result = enter_member(r, member, error);

	while (result == LMODEL_OK && len > 0) {
		uint32_t index = (uint32_t)(offset / m->chunk_bytes);
		size_t from = (size_t)(offset % m->chunk_bytes);
		size_t n = LM_MIN(len, lm_member_chunk_raw(m, index) - from);

		if (r->chunk != index) {
			r->chunk = UINT32_MAX;
			result = lm_member_chunk(r->archive, member, index, chunk_offset(m, index),
						 r->hashes, r->stored, error);
			if (result == LMODEL_OK)
				result = lm_member_decode(r->archive, r->codec, member, index,
							  r->stored, r->raw, error);
			if (result != LMODEL_OK)
				break;
			r->chunk = index;
		}
		memcpy(out, r->raw + from, n);
		out += n;
		offset += n;
		len -= n;
	}
	return result;
}
