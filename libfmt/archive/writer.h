/* Writing a whole archive, front to back, into a fresh file. */
#ifndef LM_WRITER_H
#define LM_WRITER_H

#include <lmodel/pack.h>
#include <lmodel/run.h>

#include "container/slot.h"
#include "manifest/manifest.h"

struct lm_writer {
	int fd;
	const char *label;
	struct lm_behind *behind;     /* of an output that is synced; NULL: it is not */
	struct lm_manifest *manifest; /* offsets, lengths, indices and digests are filled in here */
	uint64_t slot_size;

	/* Bytes from `flushed` on are still in the buffer. */
	uint64_t flushed;
	uint8_t *buffer;
	size_t buffered;

	/* Of the member of the tar being written. */
	uint64_t header_at, data_at;
	bool wide;                    /* 1536 bytes were reserved for its header */
	/* Of the row. */
	uint8_t *hashes;
	size_t hash_capacity;
	uint32_t chunk;
};

/* Where raw bytes of member `member` come from; called on workers, several at once. */
struct lm_feed {
	int (*read)(void *context, unsigned worker, size_t member, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error);
	void *context;
};

/* Begins an archive with these rows: members have path, bytes, coding, chunk_bytes, chunk_count
 * and a chunk index of that many entries. Sizes the slots for what the manifest will be. */
int lm_writer_begin(struct lm_writer *writer, int fd, const char *label,
		    struct lm_manifest *manifest, struct lmodel_error *error) LM_MUST_CHECK;

/* Codes and writes every member, in order, through the worker pool. */
int lm_writer_encode(struct lm_writer *writer, const struct lm_feed *feed, enum lmodel_level level,
		     const struct lmodel_run *run, struct lmodel_error *error) LM_MUST_CHECK;

/* Or one member at a time, from chunks that are stored already: members 0, 1, ... in order, each
 * with as many chunks as its chunk_count. */
int lm_writer_member_begin(struct lm_writer *writer, size_t member, struct lmodel_error *error)
	LM_MUST_CHECK;
int lm_writer_chunk(struct lm_writer *writer, size_t member, enum lm_method method,
		    const uint8_t *stored, size_t stored_len, const uint8_t digest[LM_SHA256_SIZE],
		    struct lmodel_error *error) LM_MUST_CHECK;
int lm_writer_member_end(struct lm_writer *writer, size_t member, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Or bytes that are put in their place by the caller: a tar member of `length` bytes, zero so far,
 * whose data begins at `*offset` of the file. Between members only. */
int lm_writer_extent(struct lm_writer *writer, const char *path, uint64_t length, uint64_t *offset,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* Makes the MACs and signatures of the statement that now stands in the manifest. */
struct lm_sealing {
	int (*seal)(void *context, struct lm_manifest *manifest, struct lmodel_error *error);
	void *context;
};

/* Writes the end blocks, then both slots. Fills in the statement; `sealing` may be NULL. With a
 * seed the archive id is made from it and the content; otherwise the manifest's id stays. */
int lm_writer_finish(struct lm_writer *writer, const unsigned char *seed, size_t seed_len,
		     const struct lm_sealing *sealing, uint64_t commit_counter,
		     struct lmodel_error *error) LM_MUST_CHECK;

void lm_writer_release(struct lm_writer *writer);

/* Sets chunk_bytes, chunk_count and a zeroed index for the member's raw size. */
int lm_member_divide(struct lm_member *member, uint64_t chunk_bytes, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Formats 16 random (or seeded) bytes as a version 4 UUID (RFC 9562). */
void lm_uuid_format(char out[37], const uint8_t bytes[16]);

#endif
