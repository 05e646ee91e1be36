/* Reading members: chunk by chunk, each verified before it is used (spec: 4). */
#ifndef LM_MEMBER_H
#define LM_MEMBER_H

#include "archive/archive.h"

/* One thread's means to read: codec, buffers, the hash list of the member it last read from and
 * the chunk it last decoded. */
struct lm_reader;

struct lm_reader *lm_reader_new(const struct lmodel_archive *archive, struct lmodel_error *error);
void lm_reader_free(struct lm_reader *reader);

/* Raw bytes [offset, offset + len) of the member; the caller checks that they are within it. */
int lm_reader_range(struct lm_reader *reader, size_t member, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* Tells the file that these raw bytes of the member are going to be read. */
void lm_member_will_need(const struct lmodel_archive *archive, size_t member, uint64_t offset,
			 uint64_t len);

/* The list of SHA-256 digests of a member's chunks, checked against the manifest, in fresh
 * memory. */
int lm_member_hashes(const struct lmodel_archive *archive, size_t member, uint8_t **hashes,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* Reads stored chunk `index` at file offset `at` into `stored` (room for its stored length) and
 * checks its digest. */
int lm_member_chunk(const struct lmodel_archive *archive, size_t member, uint32_t index,
		    uint64_t at, const uint8_t *hashes, uint8_t *stored,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Larger chunks are worked on one by one: pairs of them would take too much memory. */
#define LM_MEMBER_PAIR_MAX ((size_t)4 << 20)

/* The same for two chunks, of one member or of two, whose digests are made side by side. */
struct lm_member_chunk {
	size_t member;
	uint32_t index;
	uint64_t at;
	const uint8_t *hashes;
	uint8_t *stored;
};
void lm_member_chunk_pair(const struct lmodel_archive *archive,
			  const struct lm_member_chunk chunk[2], int result[2],
			  struct lmodel_error *const error[2]);

/* Decodes a stored chunk; a failure names the member and the chunk. */
int lm_member_decode(const struct lmodel_archive *archive, struct lm_codec *codec, size_t member,
		     uint32_t index, const uint8_t *stored, uint8_t *raw,
		     struct lmodel_error *error) LM_MUST_CHECK;

#endif
