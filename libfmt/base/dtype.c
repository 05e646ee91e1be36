#include "base/dtype.h"

static const struct lm_dtype dtypes[] = {
	{ "BOOL", 8, "w1", "|b1" },
	{ "U8", 8, "w1", "|u1" },
	{ "I8", 8, "w1", "|i1" },
	{ "U16", 16, "w2", "<u2" },
	{ "I16", 16, "w2", "<i2" },
	{ "U32", 32, "w4", "<u4" },
	{ "I32", 32, "w4", "<i4" },
	{ "U64", 64, "w8", "<u8" },
	{ "I64", 64, "w8", "<i8" },
	{ "F16", 16, "f2", "<f2" },
	{ "BF16", 16, "f2", "<V2" },
	{ "F32", 32, "f4", "<f4" },
	{ "F64", 64, "f8", "<f8" },
	{ "C64", 64, "f4", "<c8" },
	{ "F8_E4M3", 8, "w1", "|V1" },
	{ "F8_E5M2", 8, "w1", "|V1" },
	{ "F8_E8M0", 8, "w1", "|V1" },
	{ "F8_E4M3FNUZ", 8, "w1", "|V1" },
	{ "F8_E5M2FNUZ", 8, "w1", "|V1" },
	{ "F6_E2M3", 6, "w1", NULL },
	{ "F6_E3M2", 6, "w1", NULL },
	{ "F4", 4, "w1", NULL },
};

const struct lm_dtype *lm_dtype_find(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(dtypes); i++)
		if (strcmp(dtypes[i].name, name) == 0)
			return &dtypes[i];
	return NULL;
}

bool lm_dtype_bytes(const struct lm_dtype *dtype, unsigned rank, const uint64_t *shape,
		    uint64_t *elements, uint64_t *bytes)
{
	uint64_t n = 1, bits;

	/* Every partial product must fit, also where a later dimension is 0: readers elsewhere
	 * multiply in this order and would overflow. */
	for (unsigned i = 0; i < rank; i++)
		if (!lm_mul(n, shape[i], &n))
			return false;
	if (!lm_mul(n, dtype->bits, &bits) || bits % 8 != 0 || bits / 8 > INT64_MAX)
		return false;
	if (elements != NULL)
		*elements = n;
	*bytes = bits / 8;
	return true;
}
