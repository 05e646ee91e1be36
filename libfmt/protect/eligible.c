#include "protect/eligible.h"

#include <lmodel/archive.h>

/* Elements below which a tensor is no place to hide something, unless it is asked for by name. */
enum { FEWEST_ELEMENTS = 64 };

static bool by_default(const struct lm_source_tensor *tensor)
{
	uint64_t elements, bytes;

	return lm_dtype_is_float(tensor->dtype) &&
	       lm_dtype_bytes(tensor->dtype, tensor->rank, tensor->shape, &elements, &bytes) &&
	       elements >= FEWEST_ELEMENTS;
}

/* Gives every tensor that the pattern picks the value `eligible`. A name whose bytes are stored
 * under another one is included with those; excluded, it is only that name. */
static int apply(const struct lm_model *model, const size_t *alias, const char *pattern,
		 bool include, bool *eligible, struct lmodel_error *error)
{
	bool used = false;

	for (size_t i = 0; i < model->tensor_count; i++) {
		size_t stored = include && alias != NULL && alias[i] != SIZE_MAX ? alias[i] : i;

		if (!lmodel_match(pattern, model->tensors[i].name))
			continue;
		used = true;
		if (stored < model->tensor_count)
			eligible[stored] = include;
	}
	if (!used)
		return lm_fail(error, LMODEL_EUSAGE, "%s pattern %s picks no tensor",
			       include ? "include" : "exclude", LM_QUOTE(pattern));
	return LMODEL_OK;
}

int lm_eligible(const struct lm_model *model, const size_t *alias,
		const struct lm_select_options *options, bool *eligible, struct lmodel_error *error)
{
	/* What differs from public weights is hidden wherever it is: small tensors, integers. */
	const bool all = options->include_count == 0 && options->reference != NULL &&
			 !options->ancestor;
	struct lm_names *names = all ? lm_names_new(options->reference, error) : NULL;
	bool any = false;
	int r = LMODEL_OK;

	if (all && names == NULL)
		return LMODEL_EFAILED;
	for (size_t i = 0; i < model->tensor_count; i++)
		eligible[i] = options->include_count == 0 &&
			      (by_default(&model->tensors[i]) ||
			       (all && lm_names_find(names, model->tensors[i].name) != SIZE_MAX));
	lm_names_free(names);
	for (size_t i = 0; i < options->include_count && r == LMODEL_OK; i++)
		r = apply(model, alias, options->includes[i], true, eligible, error);
	for (size_t i = 0; i < options->exclude_count && r == LMODEL_OK; i++)
		r = apply(model, alias, options->excludes[i], false, eligible, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < model->tensor_count; i++) {
		if (model->tensors[i].bytes == 0 || (alias != NULL && alias[i] != SIZE_MAX))
			eligible[i] = false;
		any |= eligible[i];
	}
	if (!any)
		return lm_fail(error, LMODEL_EUSAGE,
			       "no tensor can be protected: by default those of a floating type "
			       "with %d elements or more", FEWEST_ELEMENTS);
	return LMODEL_OK;
}

/* ---- names ---- */

struct name {
	const char *name;
	size_t tensor;
};

struct lm_names {
	size_t count;
	struct name sorted[];
};

static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct lm_names *lm_names_new(const struct lm_model *model, struct lmodel_error *error)
{
	const size_t n = model->tensor_count;
	struct lm_names *names = calloc(1, sizeof(*names) + n * sizeof(names->sorted[0]));

	if (names == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	names->count = n;
	for (size_t i = 0; i < n; i++)
		names->sorted[i] = (struct name){ model->tensors[i].name, i };
	qsort(names->sorted, n, sizeof(names->sorted[0]), compare_names);
	return names;
}

size_t lm_names_find(const struct lm_names *names, const char *name)
{
	const struct name wanted = { name, 0 };
	const struct name *found = bsearch(&wanted, names->sorted, names->count,
					   sizeof(names->sorted[0]), compare_names);

	return found == NULL ? SIZE_MAX : found->tensor;
}

void lm_names_free(struct lm_names *names)
{
	free(names);
}
