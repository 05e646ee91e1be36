/* zstd frames of literals alone: zstd's entropy stage without the rest. What is written depends on
 * the input alone, not on which zstd library is there. */
#ifndef LM_LITERALS_H
#define LM_LITERALS_H

#include "base/base.h"

/* Below this zstd is better: it codes the weights of the table, too. */
#define LM_LITERALS_MIN 32768

/* Room that a frame of `len` bytes of content may take while it is written. */
size_t lm_literals_bound(size_t len);

/* Writes the frame of `len` (at least LM_LITERALS_MIN) bytes and returns its length, or 0 where this
 * cannot be: there are bytes from LM_HUFFMAN_SYMBOLS on. */
size_t lm_literals_frame(const uint8_t *bytes, size_t len, uint8_t *out);

#endif
