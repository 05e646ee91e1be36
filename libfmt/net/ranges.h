/* A file elsewhere as one that is read at positions (base/file.h): blocks are fetched when they are
 * first read, neighbours that will be read together with them, and kept in a store (spec: 17.2).
 *
 * What was fetched, and still more what lay in a cache, is only what somebody says are the bytes:
 * the reader checks digests, and tells where they do not match (lm_file_doubt()). */
#ifndef LM_RANGES_H
#define LM_RANGES_H

#include "base/file.h"
#include "net/store.h"

#define LM_RANGES_AHEAD (UINT64_C(8) << 20) /* bytes of one request at most */

/* Bytes [offset, offset + len) of the file, all of them. Several threads ask at once. */
typedef int lm_ranges_fetch(void *context, uint64_t offset, void *buffer, size_t len,
			    struct lmodel_error *error);

struct lm_ranges_source {
	const char *label;           /* printable, for messages; outlives the ranges */
	uint64_t size;               /* at most LM_BLOCKMAP_SIZE_LIMIT */
	lm_ranges_fetch *fetch;
	void *context;
	const uint8_t *head;         /* the file's first bytes, if they are at hand already; outlive */
	size_t head_len;             /* the ranges */
};

struct lm_ranges;

/* Takes `store` over, also when it fails. */
struct lm_ranges *lm_ranges_new(const struct lm_ranges_source *source, struct lm_store *store,
				struct lmodel_error *error);
void lm_ranges_free(struct lm_ranges *ranges);

/* As the operations of a struct lm_file. */
int lm_ranges_read(struct lm_ranges *ranges, void *buffer, size_t len, uint64_t offset,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_ranges_will_need(struct lm_ranges *ranges, uint64_t offset, uint64_t len);
bool lm_ranges_doubt(struct lm_ranges *ranges, uint64_t offset, uint64_t len);

/* Bytes that were in the store before, and have been read. */
uint64_t lm_ranges_cached(struct lm_ranges *ranges);

#endif
