/* Tiers with the mask `deep-lock`: the base holds all of each tensor, locked, and a shard the
 * tensor's lock key with digests of its true bytes (spec: 7.8). */
#ifndef LM_ARCHIVE_DEEPLOCK_H
#define LM_ARCHIVE_DEEPLOCK_H

#include "archive/archive.h"
#include "archive/shard.h"
#include "crypto/deeplock.h"
#include "protect/public_bytes.h"

/* Whether shards of this tier hold a key, not values. */
bool lm_tier_is_locked(const struct lm_tier_row *tier);

/* Bytes of what a shard holds for a tensor of so many. */
uint64_t lm_lock_record_len(uint64_t bytes);

/* Unlocks base bytes [offset, offset + len) of the shard's tensor in place. They are whole blocks,
 * or go to the tensor's end. ECORRUPT when what comes out is not what was packed: then nothing of
 * it is left in `bytes`. */
int lm_lock_open(const struct lmodel_archive *archive, size_t shard, uint64_t offset,
		 uint8_t *bytes, size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* The same for all of a tensor that stands in a file from `to` on. */
int lm_lock_open_file(const struct lmodel_archive *archive, size_t shard, int fd,
		      const char *label, uint64_t to, struct lmodel_error *error) LM_MUST_CHECK;

/* Calls `piece` with what the shard of a tensor holds, from front to back. */
typedef int lm_lock_piece_fn(void *context, const uint8_t *bytes, size_t len,
			     struct lmodel_error *error);
int lm_lock_record(const struct lm_protected_model *protected, size_t tensor,
		   lm_lock_piece_fn *piece, void *context, struct lmodel_error *error) LM_MUST_CHECK;

/* The lock key alone. */
int lm_lock_read_key(const struct lmodel_archive *archive, size_t shard,
		     uint8_t key[LM_LOCK_KEY], struct lmodel_error *error) LM_MUST_CHECK;

#endif
