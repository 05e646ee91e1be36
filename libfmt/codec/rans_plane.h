/* A plane of method "rans" as it is stored (spec: 5.3): frequencies, escaped bytes, states, stream. */
#ifndef LM_RANS_PLANE_H
#define LM_RANS_PLANE_H

#include "codec/context.h"

/* Writes the plane of `count` bytes to `out`, where `room` bytes are; more than that are not written
 * but still counted in `*len`. 0, and nothing is written: it cannot be coded in less than `limit`.
 * `thorough`: looks at all of the plane, not at a sample. */
int lm_rans_plane_encode(struct lm_codec *codec, const uint8_t *plane, size_t count, size_t limit,
			 bool thorough, uint8_t *out, size_t room, size_t *len,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* Decodes `len` bytes to exactly `count`. ECORRUPT on anything that does not. */
int lm_rans_plane_decode(struct lm_codec *codec, const uint8_t *stored, size_t len, uint8_t *plane,
			 size_t count, struct lmodel_error *error) LM_MUST_CHECK;

#endif
