#include "archive/member.h"

#include <stdio.h>

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

enum { NAME_SIZE = LM_QUOTE_SIZE + 32 };
#define NAME_OF(archive, member) name_of((char[NAME_SIZE]){ 0 }, (archive), (member))

/* For messages: several rows may be in one member of the tar. */
static const char *name_of(char buffer[NAME_SIZE], const struct lmodel_archive *a, size_t member)
{
	const struct lm_member *m = &a->manifest.members[member];

	if (m->joined)
		snprintf(buffer, NAME_SIZE, "%s, row %zu", LM_QUOTE(m->path), member);
	else
		snprintf(buffer, NAME_SIZE, "%s", LM_QUOTE(m->path));
	return buffer;
}

/* The chunks, and the list of digests behind all of them. */
void lm_member_will_need(const struct lmodel_archive *a, size_t member, uint64_t offset,
			 uint64_t len)
{
	const struct lm_member *m = &a->manifest.members[member];
	uint64_t list = lm_member_list(m), at = m->offset, from;
	uint32_t i = 0;

	if (a->file.ops == NULL)
		return;
	lm_file_will_need(&a->file, m->offset + m->length - list, list);
	for (; len > 0 && i < offset / m->chunk_bytes; i++)
		at += m->chunks[i] & LM_CHUNK_LEN_MASK;
	for (from = at; len > 0 && i <= (offset + len - 1) / m->chunk_bytes; i++)
		at += m->chunks[i] & LM_CHUNK_LEN_MASK;
	lm_file_will_need(&a->file, from, at - from);
}

int lm_member_hashes(const struct lmodel_archive *a, size_t member, uint8_t **hashes,
		     struct lmodel_error *error)
{
	const struct lm_member *m = &a->manifest.members[member];
	size_t len = (size_t)m->chunk_count * LM_SHA256_SIZE;
	LM_FREE uint8_t *list = malloc(len + 1);
	uint8_t digest[LM_SHA256_SIZE];
	uint64_t at = m->offset + m->length - len;

	if (list == NULL)
		return lm_fail_memory(error);
	/* That of a single chunk is in the row. */
	if (lm_member_list(m) == 0 && len > 0) {
		memcpy(list, m->digest, len);
		*hashes = list;
		list = NULL;
		return LMODEL_OK;
	}
	do {
		int r = lm_file_read(&a->file, list, len, at, error);

		if (r != LMODEL_OK)
			return r;
		lm_sha256(digest, list, len);
	} while (memcmp(digest, m->digest, sizeof(digest)) != 0 &&
		 lm_file_doubt(&a->file, at, len));
	if (memcmp(digest, m->digest, sizeof(digest)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: member %s: the SHA-256 list of its chunks is damaged", a->label,
			       NAME_OF(a, member));
	*hashes = list;
	list = NULL;
	return LMODEL_OK;
}

int lm_member_chunk(const struct lmodel_archive *a, size_t member, uint32_t index, uint64_t at,
		    const uint8_t *hashes, uint8_t *stored, struct lmodel_error *error)
{
	const struct lm_member *m = &a->manifest.members[member];
	size_t len = m->chunks[index] & LM_CHUNK_LEN_MASK;
	const uint8_t *wanted = hashes + (size_t)index * LM_SHA256_SIZE;
	uint8_t digest[LM_SHA256_SIZE];

	do {
		int r = lm_file_read(&a->file, stored, len, at, error);

		if (r != LMODEL_OK)
			return r;
		lm_sha256(digest, stored, len);
	} while (memcmp(digest, wanted, sizeof(digest)) != 0 &&
		 lm_file_doubt(&a->file, at, len));
	if (memcmp(digest, wanted, sizeof(digest)) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: member %s: chunk %u (%zu bytes at %ju): SHA-256 does not match",
			       a->label, NAME_OF(a, member), index, len, (uintmax_t)at);
	return LMODEL_OK;
}

/* One that cannot be read, or is not what it should be, is read again alone: there it is told, or a
 * remote file is asked once more. */
void lm_member_chunk_pair(const struct lmodel_archive *a, const struct lm_member_chunk chunk[2],
			  int result[2], struct lmodel_error *const error[2])
{
	uint8_t digest[2][LM_SHA256_SIZE];
	struct lm_message message[2];

	for (size_t i = 0; i < 2; i++) {
		const struct lm_member_chunk *c = &chunk[i];
		size_t len = a->manifest.members[c->member].chunks[c->index] & LM_CHUNK_LEN_MASK;

		result[i] = lm_file_read(&a->file, c->stored, len, c->at, NULL);
		message[i] = (struct lm_message){ c->stored, result[i] == LMODEL_OK ? len : 0 };
	}
	lm_sha256_pair(digest, message);
	for (size_t i = 0; i < 2; i++) {
		const struct lm_member_chunk *c = &chunk[i];

		if (result[i] != LMODEL_OK ||
		    memcmp(digest[i], c->hashes + (size_t)c->index * LM_SHA256_SIZE,
			   LM_SHA256_SIZE) != 0)
			result[i] = lm_member_chunk(a, c->member, c->index, c->at, c->hashes,
						    c->stored, error[i]);
	}
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
		       NAME_OF(a, member), index, why.message);
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
	int result;

	lm_member_will_need(r->archive, member, offset, len);
	result = enter_member(r, member, error);
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
