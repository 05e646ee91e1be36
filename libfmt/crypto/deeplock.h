/* Deep-Lock (Alam, Saha, Mukhopadhyay, Kundu 2020, arXiv 2008.05966): every byte w shows as
 * S-box(w xor k), with a key schedule that gives each byte its k (spec: 7.8).
 *
 * This is obfuscation, not encryption. Whoever knows 32 bytes in a row has the schedule of the
 * block around them, because it runs both ways; two locked forms of one tensor give both away; and
 * nothing here notices a change. What it shows counts as public. */
#ifndef LM_DEEPLOCK_H
#define LM_DEEPLOCK_H

#include "base/base.h"

#define LM_LOCK_KEY 32u
#define LM_LOCK_BLOCK 65536u /* bytes of a tensor that one run of the schedule is for */

/* The lock key of a tensor, from the one of a model. */
void lm_lock_tensor_key(uint8_t key[LM_LOCK_KEY], const uint8_t model_key[LM_LOCK_KEY],
			const char *tensor);

/* Locks and unlocks bytes [offset, offset + len) of a tensor in place, at any place. */
void lm_lock(const uint8_t key[LM_LOCK_KEY], uint64_t offset, uint8_t *bytes, size_t len);
void lm_unlock(const uint8_t key[LM_LOCK_KEY], uint64_t offset, uint8_t *bytes, size_t len);

/* The schedule alone: `groups` times 32 bytes from the block's key on. The first 240 are the round
 * keys of AES-256 (FIPS 197, 5.2); it goes on by the same rule. */
void lm_lock_schedule(const uint8_t block_key[LM_LOCK_KEY], size_t groups, uint8_t *out);

#endif
