/* Element types by their safetensors names (spec: 3.4 "Element types"). */
#ifndef LM_DTYPE_H
#define LM_DTYPE_H

#include "base/base.h"

/* How the codec sees an element: its bytes alone, or a word whose sign bit comes first (floats),
 * which is rotated to the low end so that the exponent fills the top byte. */
struct lm_dtype {
	const char *name;
	unsigned bits;        /* an element; may be below 8; 0: only blocks have a size */
	const char *coding;   /* "w1" "w2" "w4" "w8": words of n bytes; "f2" "f4" "f8": floats */
	const char *npy;      /* NumPy descr, NULL where there is none of that width */
	unsigned block;       /* elements that are stored together: 1, more for types below a */
	unsigned block_bytes; /* byte and for quantised ones; and their bytes */
	int scale;            /* quantised: where in a block its scale (binary16) is; -1: none */
};

/* Elements of one opaque dtype, "V1" to "V4096", are at most so many bytes. */
#define LM_OPAQUE_LIMIT 4096u

/* NULL when the name is not known. The result is static. */
const struct lm_dtype *lm_dtype_find(const char *name);

/* The dtype "V<bytes>": elements of which only the width is known (spec: 3.4). NULL for 0 and above
 * LM_OPAQUE_LIMIT. */
const struct lm_dtype *lm_dtype_opaque(unsigned bytes);

static inline bool lm_dtype_is_opaque(const struct lm_dtype *dtype)
{
	return dtype->name[0] == 'V';
}

/* A quantised type of GGUF: blocks of numbers with their scales. */
static inline bool lm_dtype_is_quantised(const struct lm_dtype *dtype)
{
	return dtype->bits == 0;
}

/* Whether safetensors has this type. */
static inline bool lm_dtype_in_safetensors(const struct lm_dtype *dtype)
{
	return !lm_dtype_is_quantised(dtype) && !lm_dtype_is_opaque(dtype);
}

/* The numbers that types have in GGUF. NULL, or false: there is none. */
const struct lm_dtype *lm_dtype_of_ggml(uint32_t number);
bool lm_dtype_ggml(const struct lm_dtype *dtype, uint32_t *number);

/* Bits of what selection and masks see as one number: an element, or a quantised block. */
static inline unsigned lm_dtype_number_bits(const struct lm_dtype *dtype)
{
	return dtype->bits != 0 ? dtype->bits : 8 * dtype->block_bytes;
}

/* Raw bytes of a tensor of this type and shape. False when that overflows 2^63-1 or is no
 * whole number of bytes, or the last dimension of a quantised type no whole number of blocks.
 * `elements` may be NULL. */
bool lm_dtype_bytes(const struct lm_dtype *dtype, unsigned rank, const uint64_t *shape,
		    uint64_t *elements, uint64_t *bytes);

/* Whole elements in so many raw bytes. */
static inline uint64_t lm_dtype_elements(const struct lm_dtype *dtype, uint64_t bytes)
{
	return bytes / dtype->block_bytes * dtype->block +
	       (dtype->bits == 0 ? 0 : bytes % dtype->block_bytes * 8 / dtype->bits);
}

#endif
