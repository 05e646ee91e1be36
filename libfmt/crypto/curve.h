/* X25519 (RFC 7748) and Ed25519 (RFC 8032). */
#ifndef LM_CURVE_H
#define LM_CURVE_H

#include "base/base.h"

#define LM_CURVE_KEY 32
#define LM_SIGNATURE 64

/* False when the shared secret is all zeros: the peer's point has low order. */
bool lm_x25519(uint8_t shared[LM_CURVE_KEY], const uint8_t scalar[LM_CURVE_KEY],
	       const uint8_t point[LM_CURVE_KEY]) LM_MUST_CHECK;
void lm_x25519_public(uint8_t point[LM_CURVE_KEY], const uint8_t scalar[LM_CURVE_KEY]);

int lm_ed25519_public(uint8_t public_key[LM_CURVE_KEY], const uint8_t seed[LM_CURVE_KEY],
		      struct lmodel_error *error) LM_MUST_CHECK;
int lm_ed25519_sign(uint8_t signature[LM_SIGNATURE], const uint8_t seed[LM_CURVE_KEY],
		    const void *message, size_t len, struct lmodel_error *error) LM_MUST_CHECK;
bool lm_ed25519_verify(const uint8_t public_key[LM_CURVE_KEY], const void *message, size_t len,
		       const uint8_t signature[LM_SIGNATURE]) LM_MUST_CHECK;

/* The X25519 (Montgomery u) form of an Ed25519 public key, as age's ssh-ed25519 recipients use it.
 * False when the key is not a point of the curve. */
bool lm_ed25519_to_x25519(uint8_t point[LM_CURVE_KEY], const uint8_t public_key[LM_CURVE_KEY])
	LM_MUST_CHECK;

#endif
