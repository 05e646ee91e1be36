/* The keys of a tier, all from one random key (spec: 8.1). */
#ifndef LM_TIER_KEYS_H
#define LM_TIER_KEYS_H

#include "base/base.h"

#define LM_KEY 32

/* What a derived key is bound to. */
struct lm_key_scope {
	const char *archive;   /* UUID */
	const char *tier;      /* name; "" for keys of the owner */
	uint64_t generation;   /* of the tier; 0 for keys of the owner */
};

/* Labels: from a tier key LM_KEY_VALUES, LM_KEY_POSITIONS, LM_KEY_MAC, LM_KEY_COMMITMENT;
 * from a position key LM_KEY_MAC and LM_KEY_COMMITMENT with the position labels; from an
 * owner key LM_KEY_BOOK. */
#define LM_LABEL_VALUES "values"
#define LM_LABEL_POSITIONS "positions"
#define LM_LABEL_MAC "mac"
#define LM_LABEL_COMMITMENT "commitment"
#define LM_LABEL_POSITION_MAC "position mac"
#define LM_LABEL_POSITION_COMMITMENT "position commitment"
#define LM_LABEL_BOOK "book"

/* HKDF-Expand-SHA-512(key, "lmodel/1/" || label || 0 || archive || 0 || tier || 0
 * || u64 generation). */
void lm_derive(uint8_t out[LM_KEY], const uint8_t key[LM_KEY], const char *label,
	       const struct lm_key_scope *scope);

/* Plaintext framing that hides lengths: u64 length, the bytes, zeros up to a Padme length
 * of at least 256 (Nikitin et al. 2019: at most 12 % more, O(log log n) bits of the
 * length remain visible). */
#define LM_FRAME_HEAD 8u
uint64_t lm_padded_len(uint64_t len); /* of the frame, head included; `len` is at most 2^40 */

#endif
