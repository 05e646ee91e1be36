/* Element types by their safetensors names (spec: 3.4 "Element types"). */
#ifndef LM_DTYPE_H
#define LM_DTYPE_H

#include "base/base.h"

/* How the codec sees an element: its bytes alone, or a word whose sign bit comes first (floats),
 * which is rotated to the low end so that the exponent fills the top byte. */
struct lm_dtype {
	const char *name;
	unsigned bits;      /* an element; may be below 8 */
	const char *coding; /* "w1" "w2" "w4" "w8": words of n bytes; "f2" "f4" "f8": floats */
	const char *npy;    /* NumPy descr, NULL where there is none of that width */
};

/* NULL when the name is not known. The result is static. */
const struct lm_dtype *lm_dtype_find(const char *name);

/* Raw bytes of a tensor of this type and shape. False when that overflows 2^63-1 or is no
 * whole number of bytes. `elements` may be NULL. */
bool lm_dtype_bytes(const struct lm_dtype *dtype, unsigned rank, const uint64_t *shape,
		    uint64_t *elements, uint64_t *bytes);

#endif
