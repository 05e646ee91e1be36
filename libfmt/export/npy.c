/* The header of a .npy file (NumPy NEP 1, numpy.lib.format). */
#include "export/export.h"

#include <stdio.h>

enum { ALIGNMENT = 64, GROWTH_DIGITS = 21 };

/* The dictionary as NumPy writes it: a Python literal, keys sorted, and behind it room for the
 * first dimension to grow to any 64-bit number without the header growing. NULL when there is
 * no memory. */
static char *make_dictionary(const struct lm_export_tensor *t, size_t *len)
{
	const char *descr = t->descr != NULL ? t->descr : t->dtype->npy;
	const char *quote = t->descr != NULL ? "" : "'";
	const unsigned rank = t->rank;
	const uint64_t *shape = t->shape;
	size_t size = 100 + strlen(descr) + ((size_t)rank + 1) * 24, n;
	char *text = malloc(size);
	int first_len = 0;

	if (text == NULL)
		return NULL;
	n = (size_t)snprintf(text, size, "{'descr': %s%s%s, 'fortran_order': False, 'shape': (",
			     quote, descr, quote);
	for (unsigned i = 0; i < rank; i++) {
		int digits = snprintf(text + n, size - n, "%ju", (uintmax_t)shape[i]);

		if (i == 0)
			first_len = digits;
		n += (size_t)digits;
		n += (size_t)snprintf(text + n, size - n, "%s", i + 1 < rank ? ", " : "");
	}
	n += (size_t)snprintf(text + n, size - n, "%s", rank == 1 ? ",), }" : "), }");
	if (rank > 0)
		n += (size_t)snprintf(text + n, size - n, "%*s", GROWTH_DIGITS - first_len, "");
	*len = n;
	return text;
}

int lm_export_npy(const struct lm_dtype *dtype, unsigned rank, const uint64_t *shape,
		  uint8_t **header, size_t *header_len, struct lmodel_error *error)
{
	const struct lm_export_tensor t = { .dtype = dtype, .rank = rank, .shape = shape };

	return lm_export_npy_as(&t, header, header_len, error);
}

int lm_export_npy_as(const struct lm_export_tensor *t, uint8_t **header, size_t *header_len,
		     struct lmodel_error *error)
{
	LM_FREE char *dictionary = NULL;
	LM_FREE uint8_t *bytes = NULL;
	size_t len = 0, prefix, total;
	uint8_t version = 1; /* 2: four bytes of length; 3: and UTF-8 */

	if (t->dtype->npy == NULL)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "NumPy has no type for %s",
			       t->dtype->name);
	dictionary = make_dictionary(t, &len);
	if (dictionary == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < len; i++)
		version = (unsigned char)dictionary[i] >= 0x80 ? 3 : version;
	if (version == 1 && lm_align(10 + len + 1, ALIGNMENT) - 10 > UINT16_MAX)
		version = 2;
	prefix = version == 1 ? 10 : 12;
	total = (size_t)lm_align(prefix + len + 1, ALIGNMENT);
	if (total - prefix > UINT32_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "too many dimensions for NumPy: %u", t->rank);
	bytes = malloc(total);
	if (bytes == NULL)
		return lm_fail_memory(error);
	memcpy(bytes, "\x93NUMPY\1\0", 8);
	bytes[6] = version;
	if (version > 1) {
		lm_put_u32(bytes + 8, (uint32_t)(total - prefix));
	} else {
		bytes[8] = (uint8_t)(total - prefix);
		bytes[9] = (uint8_t)((total - prefix) >> 8);
	}
	memcpy(bytes + prefix, dictionary, len);
	memset(bytes + prefix + len, ' ', total - prefix - len - 1);
	bytes[total - 1] = '\n';
	*header = bytes;
	*header_len = total;
	bytes = NULL;
	return LMODEL_OK;
}
