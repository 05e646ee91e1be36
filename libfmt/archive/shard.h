/* Shards: encrypted streams of positions and of true values (spec: 7.4, 7.6). */
#ifndef LM_SHARD_H
#define LM_SHARD_H

#include "archive/archive.h"
#include "crypto/chunked.h"
#include "keys/tier_keys.h"

/* What a stream is bound to: it opens nowhere else. */
#define LM_SHARD_CONTEXT 512u
size_t lm_shard_context(uint8_t out[LM_SHARD_CONTEXT], const struct lm_manifest *manifest,
			const struct lm_shard_row *shard, enum lm_stream stream,
			const uint8_t base_digest[LM_SHA256_SIZE], uint64_t padded_len);

/* The same for a side file in a tier. */
#define LM_ATTACHMENT_CONTEXT 1536u
size_t lm_attachment_context(uint8_t out[LM_ATTACHMENT_CONTEXT], const struct lm_manifest *manifest,
			     const struct lm_sealed_row *sealed, uint64_t padded_len);

/* ---- writing a stream: padded plaintext of a known length, sealed, hashed, at a place in
 * a file ---- */

struct lm_stream_writer {
	int fd;                  /* -1: nothing is written */
	const char *label;
	uint64_t at;             /* in the file */
	uint64_t left;           /* plaintext bytes to come, padding included */
	uint64_t content;        /* without it */
	struct lm_sealer *sealer;
	struct lm_hash *hash;
	size_t fill;
	uint8_t *plain;          /* a chunk */
	uint8_t head[LM_SEALED_HEAD]; /* goes out along with the first chunk */
	bool begun;
};

/* `len` bytes will be added; `salt` as for lm_sealer_new(). */
int lm_stream_begin(struct lm_stream_writer *w, int fd, const char *label, uint64_t at,
		    const uint8_t key[LM_KEY], const void *context, size_t context_len,
		    const uint8_t *salt, uint64_t len, struct lmodel_error *error) LM_MUST_CHECK;
int lm_stream_add(struct lm_stream_writer *w, const uint8_t *bytes, size_t len,
		  struct lmodel_error *error) LM_MUST_CHECK;
/* Pads, seals the last chunk; the digest of the ciphertext. EFAILED when not just
 * `len` bytes came. */
int lm_stream_finish(struct lm_stream_writer *w, uint8_t digest[LM_SHA256_SIZE],
		     struct lmodel_error *error) LM_MUST_CHECK;
void lm_stream_release(struct lm_stream_writer *w);

/* ---- reading ---- */

struct lm_stream_reader {
	const struct lmodel_archive *archive;
	const struct lm_shard_row *shard;   /* one of these is NULL */
	const struct lm_sealed_row *sealed;
	const struct lm_stream_row *row;
	size_t tier;
	enum lm_stream kind;
	uint64_t at, end;        /* in the file: the next chunk */
	uint64_t index;          /* of the next chunk */
	struct lm_hash *hash;    /* of the ciphertext so far */
	uint64_t left;           /* bytes of content to come, padding not counted */
	uint64_t padding;        /* bytes behind it */
	struct lm_sealer *opener;
	size_t from, to;         /* of what is in plain */
	size_t most;             /* bytes of plain that have held something */
	uint8_t *cipher, *plain;
};

/* Tells the file that all of this stream is going to be read. */
void lm_stream_will_need(const struct lmodel_archive *archive, size_t tier, enum lm_stream kind,
			 const struct lm_stream_row *row);

/* Opens a stream of an unlocked archive; a failure names the tensor and the tier. ECORRUPT. */
int lm_stream_open(struct lm_stream_reader *r, const struct lmodel_archive *archive, size_t shard,
		   enum lm_stream kind, struct lmodel_error *error) LM_MUST_CHECK;
/* The same with memory that is used again: `r` is zeroed, or was opened before, whatever became of
 * it. `base_digest`: that of the tensor (spec: 6.2), or NULL. */
int lm_stream_open_again(struct lm_stream_reader *r, const struct lmodel_archive *archive,
			 size_t shard, enum lm_stream kind, const uint8_t *base_digest,
			 struct lmodel_error *error) LM_MUST_CHECK;
/* The same for a side file in a tier: `left` is then its length, which is not proven yet. */
int lm_stream_open_sealed(struct lm_stream_reader *r, const struct lmodel_archive *archive,
			  size_t sealed, struct lmodel_error *error) LM_MUST_CHECK;
/* At most `len` bytes; `*got` 0 at the end, when padding and digest have been checked too: whoever
 * has the key of a tier could seal a stream anew, and only the digest stands in the statement. So
 * what was read counts when the end was reached. */
int lm_stream_read(struct lm_stream_reader *r, uint8_t *buffer, size_t len, size_t *got,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_stream_close(struct lm_stream_reader *r);

/* ---- putting true values in their places ---- */

/* Called with ascending, disjoint ranges of the tensor's bytes. */
typedef int lm_patch_fn(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
			struct lmodel_error *error);

/* Calls `patch` for all that the shard holds of bytes [from, to) of its tensor. */
int lm_shard_read(const struct lmodel_archive *archive, size_t shard, uint64_t from, uint64_t to,
		  lm_patch_fn *patch, void *context, struct lmodel_error *error) LM_MUST_CHECK;

/* The same for ranges that come one by one, ascending: puts over `bytes`, which are those from
 * `offset` on, what the shard holds of them. What was put counts when the end was reached. */
struct lm_shard_walk;
/* `*walk` is NULL, or a walk whose memory is to be used again, whatever became of it. `base_digest`:
 * that of the tensor (spec: 6.2), or NULL. */
int lm_shard_walk_open(struct lm_shard_walk **walk, const struct lmodel_archive *archive,
		       size_t shard, const uint8_t *base_digest,
		       struct lmodel_error *error) LM_MUST_CHECK;
int lm_shard_walk_over(struct lm_shard_walk *walk, uint64_t offset, uint8_t *bytes, size_t len,
		       struct lmodel_error *error) LM_MUST_CHECK;
int lm_shard_walk_end(struct lm_shard_walk *walk, struct lmodel_error *error) LM_MUST_CHECK;
void lm_shard_walk_free(struct lm_shard_walk *walk); /* NULL is allowed */

/* Shard row of (tier, tensor), or LM_NONE. */
size_t lm_shard_find(const struct lm_manifest *manifest, size_t tier, size_t tensor);

/* Widens a range within a tensor to what lm_patch_memory() takes. */
void lm_patch_range(const struct lmodel_archive *archive, size_t tensor, uint64_t *offset,
		    uint64_t *len);
/* Tells the file that shards of this tensor are going to be read: those of all tiers in force. */
void lm_patch_will_need(const struct lmodel_archive *archive, size_t tensor);
/* Over bytes [offset, offset+len) of a tensor in memory: all tiers in force. */
int lm_patch_memory(const struct lmodel_archive *archive, size_t tensor, uint64_t offset,
		    void *buffer, size_t len, struct lmodel_error *error) LM_MUST_CHECK;
/* Over a tensor that stands in a file from `to` on. */
int lm_patch_file(const struct lmodel_archive *archive, size_t tensor, int fd, const char *label,
		  uint64_t to, struct lmodel_error *error) LM_MUST_CHECK;

#endif
