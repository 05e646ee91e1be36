#include "base/dtype.h"

#include <pthread.h>
#include <stdio.h>

/* Types of GGUF whose elements have no bytes of their own. */
#define QUANTISED(name, block, bytes, scale) \
	{ (name), 0, "w1", NULL, (block), (bytes), (scale) }

static const struct lm_dtype dtypes[] = {
	{ "BOOL", 8, "w1", "|b1", 1, 1 },
	{ "U8", 8, "w1", "|u1", 1, 1 },
	{ "I8", 8, "w1", "|i1", 1, 1 },
	{ "U16", 16, "w2", "<u2", 1, 2 },
	{ "I16", 16, "w2", "<i2", 1, 2 },
	{ "U32", 32, "w4", "<u4", 1, 4 },
	{ "I32", 32, "w4", "<i4", 1, 4 },
	{ "U64", 64, "w8", "<u8", 1, 8 },
	{ "I64", 64, "w8", "<i8", 1, 8 },
	{ "F16", 16, "f2", "<f2", 1, 2 },
	{ "BF16", 16, "f2", "<V2", 1, 2 },
	{ "F32", 32, "f4", "<f4", 1, 4 },
	{ "F64", 64, "f8", "<f8", 1, 8 },
	{ "C64", 64, "f4", "<c8", 1, 8 },
	{ "F8_E4M3", 8, "w1", "|V1", 1, 1 },
	{ "F8_E5M2", 8, "w1", "|V1", 1, 1 },
	{ "F8_E8M0", 8, "w1", "|V1", 1, 1 },
	{ "F8_E4M3FNUZ", 8, "w1", "|V1", 1, 1 },
	{ "F8_E5M2FNUZ", 8, "w1", "|V1", 1, 1 },
	{ "F6_E2M3", 6, "w1", NULL, 4, 3 },
	{ "F6_E3M2", 6, "w1", NULL, 4, 3 },
	{ "F4", 4, "w1", NULL, 2, 1 },
	QUANTISED("Q4_0", 32, 18, 0),
	QUANTISED("Q4_1", 32, 20, 0),
	QUANTISED("Q5_0", 32, 22, 0),
	QUANTISED("Q5_1", 32, 24, 0),
	QUANTISED("Q8_0", 32, 34, 0),
	QUANTISED("Q8_1", 32, 36, 0),
	QUANTISED("Q2_K", 256, 84, 80),
	QUANTISED("Q3_K", 256, 110, 108),
	QUANTISED("Q4_K", 256, 144, 0),
	QUANTISED("Q5_K", 256, 176, 0),
	QUANTISED("Q6_K", 256, 210, 208),
	QUANTISED("Q8_K", 256, 292, -1),
	QUANTISED("IQ1_S", 256, 50, 0),
	QUANTISED("IQ1_M", 256, 56, -1),
	QUANTISED("IQ2_XXS", 256, 66, 0),
	QUANTISED("IQ2_XS", 256, 74, 0),
	QUANTISED("IQ2_S", 256, 82, 0),
	QUANTISED("IQ3_XXS", 256, 98, 0),
	QUANTISED("IQ3_S", 256, 110, 0),
	QUANTISED("IQ4_NL", 32, 18, 0),
	QUANTISED("IQ4_XS", 256, 136, 0),
	QUANTISED("TQ1_0", 256, 54, 52),
	QUANTISED("TQ2_0", 256, 66, 64),
	QUANTISED("MXFP4", 32, 17, -1),
};

/* Filled in at first use, by whom it may be: the content is always the same. */
static struct lm_dtype opaque[LM_OPAQUE_LIMIT];
static char opaque_names[LM_OPAQUE_LIMIT][sizeof("|V4096")];
static pthread_once_t opaque_once = PTHREAD_ONCE_INIT;

static void make_opaque(void)
{
	for (unsigned n = 1; n <= LM_OPAQUE_LIMIT; n++) {
		char *name = opaque_names[n - 1];

		snprintf(name, sizeof(opaque_names[0]), "|V%u", n);
		opaque[n - 1] = (struct lm_dtype){
			.name = name + 1, .bits = 8 * n, .coding = "w1", .npy = name,
			.block = 1, .block_bytes = n,
		};
	}
}

const struct lm_dtype *lm_dtype_opaque(unsigned bytes)
{
	if (bytes == 0 || bytes > LM_OPAQUE_LIMIT)
		return NULL;
	pthread_once(&opaque_once, make_opaque);
	return &opaque[bytes - 1];
}

static const struct lm_dtype *find_opaque(const char *name)
{
	unsigned n = 0;

	for (const char *c = name + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || (c == name + 1 && *c == '0') || n > LM_OPAQUE_LIMIT)
			return NULL;
		n = 10 * n + (unsigned)(*c - '0');
	}
	return lm_dtype_opaque(n);
}

const struct lm_dtype *lm_dtype_find(const char *name)
{
	if (name[0] == 'V')
		return find_opaque(name);
	for (size_t i = 0; i < LM_COUNT(dtypes); i++)
		if (strcmp(dtypes[i].name, name) == 0)
			return &dtypes[i];
	return NULL;
}

/* By the numbers of ggml's types; NULL: none, or no longer in use. */
static const char *const ggml_names[] = {
	[0] = "F32", [1] = "F16", [2] = "Q4_0", [3] = "Q4_1", [6] = "Q5_0", [7] = "Q5_1",
	[8] = "Q8_0", [9] = "Q8_1", [10] = "Q2_K", [11] = "Q3_K", [12] = "Q4_K", [13] = "Q5_K",
	[14] = "Q6_K", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
	[19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S", [23] = "IQ4_XS",
	[24] = "I8", [25] = "I16", [26] = "I32", [27] = "I64", [28] = "F64", [29] = "IQ1_M",
	[30] = "BF16", [34] = "TQ1_0", [35] = "TQ2_0", [39] = "MXFP4",
};

const struct lm_dtype *lm_dtype_of_ggml(uint32_t number)
{
	if (number >= LM_COUNT(ggml_names) || ggml_names[number] == NULL)
		return NULL;
	return lm_dtype_find(ggml_names[number]);
}

bool lm_dtype_ggml(const struct lm_dtype *dtype, uint32_t *number)
{
	for (uint32_t i = 0; i < LM_COUNT(ggml_names); i++)
		if (ggml_names[i] != NULL && strcmp(ggml_names[i], dtype->name) == 0) {
			*number = i;
			return true;
		}
	return false;
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
	if (elements != NULL)
		*elements = n;
	if (lm_dtype_is_quantised(dtype)) {
		if ((rank == 0 ? 1 : shape[rank - 1]) % dtype->block != 0)
			return false;
		return lm_mul(n / dtype->block, dtype->block_bytes, bytes) && *bytes <= INT64_MAX;
	}
	if (!lm_mul(n, dtype->bits, &bits) || bits % 8 != 0 || bits / 8 > INT64_MAX)
		return false;
	*bytes = bits / 8;
	return true;
}
