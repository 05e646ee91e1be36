/* Planes of even bytes (spec: 5.2): seven bits a byte, and the places of bytes that are odd. */
#ifndef LM_EVEN_H
#define LM_EVEN_H

#include "base/base.h"

/* Room that lm_even_encode() needs, which is no more than `count` and a few. */
size_t lm_even_bound(size_t count);

/* Writes the plane and returns its length; 0 where more than one byte in 256 is odd. */
size_t lm_even_encode(const uint8_t *bytes, size_t count, uint8_t *out);

/* Decodes `len` bytes to exactly `count`. ECORRUPT on anything that does not. */
int lm_even_decode(const uint8_t *stored, size_t len, uint8_t *bytes, size_t count,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* The vector paths: so many groups of 64 bytes. Eight bytes behind each group of 56 packed ones are
 * overwritten, or read. True when one of the bytes is odd. */
bool lm_even_pack_avx512(const uint8_t *bytes, size_t groups, uint8_t *out);
void lm_even_unpack_avx512(const uint8_t *packed, size_t groups, uint8_t *bytes);

#endif
