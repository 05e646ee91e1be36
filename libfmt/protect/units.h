/* Units: the pieces of a tensor that are protected whole, and which elements they hold (spec: 7.1).
 * Unit numbers run from 0; every byte of a tensor is in just one unit. */
#ifndef LM_UNITS_H
#define LM_UNITS_H

#include "base/base.h"
#include "base/dtype.h"

enum lm_unit_kind {
	LM_UNIT_ELEMENT,  /* one element; dtypes of whole bytes only */
	LM_UNIT_SLICE,    /* kernel slice: all but the first two dimensions, rank >= 3 */
	LM_UNIT_ROW,      /* all but the first dimension, rank >= 2 */
	LM_UNIT_COLUMN,   /* index of the last dimension, rank >= 2, whole-byte dtypes */
	LM_UNIT_BLOCK,    /* 64 consecutive elements, the last may be shorter; one block of a
	                     quantised type */
	LM_UNIT_TENSOR,   /* all of it: where a tensor is smaller than a unit */
};

struct lm_units {
	enum lm_unit_kind kind;
	const struct lm_dtype *dtype;
	unsigned rank;
	const uint64_t *shape;   /* borrowed */
	uint64_t bytes;          /* of the tensor */
	uint64_t count;          /* of units */
	uint64_t unit_bytes;     /* contiguous kinds: unit u begins at byte u * unit_bytes; the
	                            last may be cut; column: bytes of the unit in all */
	uint64_t element_bytes;  /* 0 for dtypes below one byte and quantised ones */
	uint64_t columns;        /* units, for kind column alone: byte b is in unit
	                            (b / element_bytes) % columns */
};

/* Names by kind: "element" "slice" "row" "column" "block" "tensor"; NULL for no kind. */
const char *lm_unit_name(enum lm_unit_kind kind);
bool lm_unit_parse(const char *name, enum lm_unit_kind *kind);

/* The default kind for a tensor: element for rank <= 2, slice from rank 3 on, block for dtypes
 * below one byte and quantised ones. */
enum lm_unit_kind lm_unit_default(const struct lm_dtype *dtype, unsigned rank);

/* Divides a tensor of at least one byte. A kind that the tensor does not have, for its rank (rows
 * of a vector) or because its units were no whole bytes, falls back: slice to row to block, column
 * to block, and block to tensor when the tensor is smaller than one block. EUSAGE: element or
 * column of a dtype below one byte or a quantised one. */
int lm_units_make(struct lm_units *units, enum lm_unit_kind kind, const struct lm_dtype *dtype,
		  unsigned rank, const uint64_t *shape, uint64_t bytes, const char *name,
		  struct lmodel_error *error) LM_MUST_CHECK;

static inline bool lm_units_contiguous(const struct lm_units *u)
{
	return u->kind != LM_UNIT_COLUMN;
}

/* Bytes of unit `unit`: the last block may be shorter. */
uint64_t lm_unit_len(const struct lm_units *units, uint64_t unit);

/* Whether this is a floating type: any width, complex and quantised too; not integers, BOOL and
 * opaque ones. */
bool lm_dtype_is_float(const struct lm_dtype *dtype);

/* The absolute values of `n` elements from element `first` of `bytes` on, as doubles; NaN becomes
 * +Inf; complex: modulus; BOOL: 0 or 1. Elements below one byte are packed from the low bits up.
 * Quantised types: `first` and `n` count blocks, and a block's number is its scale, as far as it
 * has one as a binary16 (else 0); opaque: 0. */
void lm_dtype_magnitudes(const struct lm_dtype *dtype, const uint8_t *bytes, uint64_t first,
			 size_t n, double *out);
/* The signed values, complex numbers as 2n components; gives how many. NaN stays NaN. */
size_t lm_dtype_values(const struct lm_dtype *dtype, const uint8_t *bytes, uint64_t first, size_t n,
		       double *out);
/* The reverse, for whole-byte numbers (nothing is written for others); n components. Rounds to
 * nearest even, saturates to the largest finite value, also infinities; NaN becomes 0. Never
 * writes a NaN or an infinity. */
void lm_dtype_store(const struct lm_dtype *dtype, const double *values, size_t n, uint8_t *bytes);

#endif
