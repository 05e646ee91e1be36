/* Blocks of one file that have been fetched: in the cache, or in memory when nothing is kept. */
#ifndef LM_STORE_H
#define LM_STORE_H

#include "base/base.h"
#include "net/blockmap.h"

struct lm_store;

/* In `directory` (lm_cache_open(); taken over) as `key`; -1, or when that cannot be: in memory.
 * `limit` bounds what stays in the cache; while it is open a store may hold LM_STORE_LEAST. */
#define LM_STORE_LEAST (UINT64_C(128) << 20)
struct lm_store *lm_store_open(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size,
			       uint64_t limit, struct lmodel_error *error);
void lm_store_close(struct lm_store *store);

/* Bytes; these two may be called by several threads at once. False: they cannot be had, or kept. */
bool lm_store_read(const struct lm_store *store, void *buffer, size_t len, uint64_t offset)
	LM_MUST_CHECK;
bool lm_store_write(const struct lm_store *store, const void *bytes, size_t len, uint64_t offset)
	LM_MUST_CHECK;

/* The map; one thread at a time. */
bool lm_store_has(const struct lm_store *store, uint64_t block);
/* Blocks [first, last) have been written; others are given up for them when it gets too much, but
 * none that is in use: whoever was told that it is there has not read it yet. */
typedef bool lm_store_in_use(const void *context, uint64_t block);
void lm_store_add(struct lm_store *store, uint64_t first, uint64_t last, lm_store_in_use *in_use,
		  const void *context);
/* They have to be fetched again. Their bytes stay until then: somebody may be reading them. */
void lm_store_forget(struct lm_store *store, uint64_t first, uint64_t last);
/* From now on in memory, and empty: the cache cannot take what is written. */
int lm_store_retreat(struct lm_store *store, struct lmodel_error *error) LM_MUST_CHECK;

#endif
