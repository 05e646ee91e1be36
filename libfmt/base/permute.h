/* Arrays in files, their axes put in another order. */
#ifndef LM_PERMUTE_H
#define LM_PERMUTE_H

#include "base/base.h"

#define LM_PERMUTE_RANK 64u

/* Whether axes[0 .. rank) holds each of 0 .. rank - 1 once. */
bool lm_permutation_valid(unsigned rank, const uint8_t *axes);

/* Whether elements stay where they are: no axis of more than one element passes another. */
bool lm_permutation_idle(unsigned rank, const uint64_t *shape, const uint8_t *axes);

/* The order of axes that undoes `axes`. */
void lm_permutation_inverse(unsigned rank, const uint8_t *axes, uint8_t *inverse);

/* An array lies at byte `from` of the file `in`: `shape` and elements of `width` bytes, the last
 * axis varies fastest. Writes it to byte `to` of another file: its axis i is axis axes[i] of the
 * input. `memory` bounds what is held at once, 0: 32 MiB; the less, the more often the input is
 * gone through. The caller knows that the array's bytes fit 63 bits. */
struct lm_permutation {
	unsigned rank;           /* at most LM_PERMUTE_RANK */
	const uint64_t *shape;   /* of the input */
	const uint8_t *axes;
	size_t width;
	size_t memory;
};
int lm_permute_file(const struct lm_permutation *p, int in, const char *in_label, uint64_t from,
		    int out, const char *out_label, uint64_t to,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
