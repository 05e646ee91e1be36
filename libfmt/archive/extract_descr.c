/* What opaque elements were, when they came from NumPy: its own description of them is in the
 * metadata, and is taken when it describes just this tensor. */
#include "archive/extraction.h"
#include "import/npy.h"

/* Whether a header of this text and shape is read as the tensor. */
static bool describes(const char *descr, unsigned rank, const struct lm_tensor_row *t,
		      struct lmodel_error *error)
{
	const struct lm_export_tensor as = { .dtype = t->dtype, .descr = descr, .rank = rank,
					     .shape = t->shape };
	LM_FREE uint8_t *header = NULL;
	struct lm_npy npy = { 0 };
	size_t len, prefix;
	bool same;

	if (lm_export_npy_as(&as, &header, &len, error) != LMODEL_OK)
		return false;
	prefix = header[6] == 1 ? 10 : 12;
	same = lm_npy_parse(&npy, (const char *)header + prefix, len - prefix, false, "", "",
			    error) == LMODEL_OK &&
	       npy.dtype == t->dtype && npy.rank == t->rank && !npy.permuted &&
	       (t->rank == 0 || memcmp(npy.shape, t->shape, t->rank * sizeof(*t->shape)) == 0);
	lm_npy_free(&npy);
	return same;
}

bool lm_extraction_describe(const struct extraction *x, size_t tensor, const char **descr,
			    unsigned *rank)
{
	const struct lm_manifest *m = &x->archive->manifest;
	const struct lm_tensor_row *t = &m->tensors[tensor];
	const size_t prefix = sizeof(LM_NPY_DESCR_KEY) - 1;
	struct lmodel_error ignored = LMODEL_ERROR_INIT;

	*rank = t->rank;
	*descr = NULL;
	for (size_t i = 0; i < m->metadata_count && lm_dtype_is_opaque(t->dtype); i++) {
		const struct lm_metadata_row *d = &m->metadata[i];

		if (d->source != t->source || strncmp(d->key, LM_NPY_DESCR_KEY, prefix) != 0 ||
		    strcmp(d->key + prefix, t->name) != 0)
			continue;
		*descr = d->value;
		if (describes(d->value, t->rank, t, &ignored))
			return true;
		if (t->rank > 0 && describes(d->value, t->rank - 1, t, &ignored)) {
			*rank = t->rank - 1;
			return true;
		}
		*descr = NULL;
	}
	return false;
}
