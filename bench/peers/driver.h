/* What a peer's driver brings: one chunk there and back. driver.c does files and threads. */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>

extern const size_t codec_chunk; /* raw bytes a chunk, a multiple of 4 */

/* What one thread keeps, for words of `width` bytes. Fails by exiting. */
void *codec_new(unsigned width);
size_t codec_bound(size_t raw);
/* Lengths; 0 is a failure. `raw` is a multiple of the width. */
size_t codec_pack(void *codec, const void *raw, size_t raw_len, void *out, size_t room);
size_t codec_unpack(void *codec, const void *packed, size_t packed_len, void *raw, size_t raw_len);

#endif
