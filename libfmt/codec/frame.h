/* zstd frames of the one form that archives have (spec: 5.1). */
#ifndef LM_FRAME_H
#define LM_FRAME_H

#include "codec/context.h"

/* Compresses into `out`; `*len` is what it took. At most `room` bytes; ZSTD_compressBound() of them
 * are enough. */
int lm_frame_encode(ZSTD_CCtx *context, const uint8_t *bytes, size_t count, uint8_t *out,
		    size_t room, size_t *len, struct lmodel_error *error) LM_MUST_CHECK;

/* Looks for matches, at a level of zstd's. Into the scratch frame, which is large enough. */
int lm_frame_match(struct lm_codec *codec, int level, const uint8_t *bytes, size_t count,
		   size_t *len, struct lmodel_error *error) LM_MUST_CHECK;

/* Decodes exactly one frame of `len` bytes into exactly `raw_len` bytes. */
int lm_frame_decode(struct lm_codec *codec, const uint8_t *frame, size_t len, void *raw,
		    size_t raw_len, struct lmodel_error *error) LM_MUST_CHECK;

#endif
