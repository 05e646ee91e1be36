/* Words to byte planes and back. Plane 0 holds the most significant byte of each word (for
 * floats: after the word was rotated left by one bit, so it is the exponent), the last plane
 * the least significant one. `planes` holds width * count bytes, plane after plane. */
#ifndef LM_PLANES_H
#define LM_PLANES_H

#include "codec/codec.h"

void lm_planes_split(struct lm_coding coding, const void *words, size_t count, uint8_t *planes);
void lm_planes_merge(struct lm_coding coding, const uint8_t *const *planes, size_t count,
		     void *words);

#endif
