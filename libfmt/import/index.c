#include "import/index.h"

#include "base/json.h"

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Real ones hold two objects; this leaves room for whatever else "metadata" may hold. */
static const struct lm_json_limits limits = { .depth = LM_DEPTH_LIMIT, .containers = 4096 };

static int check_mapping(const char *tensor, const json_t *file, const char *label,
			 struct lmodel_error *error)
{
	const char *name = json_string_value(file);

	if (strlen(tensor) > LM_NAME_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: tensor %s: name of %zu bytes; the limit is %u", label,
			       LM_QUOTE(tensor), strlen(tensor), LM_NAME_LIMIT);
	if (name == NULL)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: the file is %s, not a string", label,
			       LM_QUOTE(tensor), lm_json_kind(file));
	if (!lm_path_is_safe(name) || strchr(name, '/') != NULL)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: %s is no name of a file in this directory", label,
			       LM_QUOTE(tensor), LM_QUOTE(name));
	return LMODEL_OK;
}

static int collect_files(struct lm_index *index, const char *label, struct lmodel_error *error)
{
	const char *tensor;
	json_t *file;
	size_t n = 0, distinct = 0;

	index->files = calloc(json_object_size(index->weight_map) + 1, sizeof(*index->files));
	if (index->files == NULL)
		return lm_fail_memory(error);
	json_object_foreach(index->weight_map, tensor, file) {
		int r = check_mapping(tensor, file, label, error);

		if (r != LMODEL_OK)
			return r;
		index->files[n++] = json_string_value(file);
	}
	qsort(index->files, n, sizeof(*index->files), compare_names);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(index->files[i], index->files[i - 1]) != 0)
			index->files[distinct++] = index->files[i];
	index->file_count = distinct;
	return LMODEL_OK;
}

int lm_index_parse(struct lm_index *index, const char *text, size_t len, const char *label,
		   struct lmodel_error *error)
{
	int r;

	*index = (struct lm_index){ 0 };
	r = lm_json_parse(text, len, 0, label, &limits, &index->root, error);
	if (r != LMODEL_OK)
		return r;
	if (!json_is_object(index->root))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is %s, not an object", label,
			       lm_json_kind(index->root));
	index->weight_map = json_object_get(index->root, "weight_map");
	if (!json_is_object(index->weight_map))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: weight_map is %s%s", label,
			       lm_json_kind(index->weight_map),
			       index->weight_map == NULL ? "" : ", not an object");
	if (json_object_size(index->weight_map) == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: weight_map is empty", label);
	return collect_files(index, label, error);
}

int lm_index_check(struct lm_index *index, const struct lm_model *model, size_t first,
		   const char *folder, const char *label, struct lmodel_error *error)
{
	size_t skip = strlen(folder);
	const char *tensor;
	json_t *file;

	for (size_t i = first; i < model->tensor_count; i++) {
		const char *name = model->tensors[i].name + skip;
		const struct lm_source *source = &model->sources[model->tensors[i].source];
		const json_t *wanted = json_object_get(index->weight_map, name);

		if (wanted == NULL)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s is not in the index",
				       source->label, LM_QUOTE(name));
		if (json_is_null(wanted)) /* met before */
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s is also in another file of the index",
				       source->label, LM_QUOTE(name));
		if (strcmp(json_string_value(wanted), source->name + skip) != 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s is in this file, but the index says %s",
				       source->label, LM_QUOTE(name),
				       LM_QUOTE(json_string_value(wanted)));
		if (json_object_set_new(index->weight_map, name, json_null()) != 0)
			return lm_fail_memory(error);
	}
	json_object_foreach(index->weight_map, tensor, file)
		if (!json_is_null(file))
			return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s is not in file %s",
				       label, LM_QUOTE(tensor),
				       LM_QUOTE(json_string_value(file)));
	return LMODEL_OK;
}

void lm_index_free(struct lm_index *index)
{
	json_decref(index->root);
	free(index->files);
	*index = (struct lm_index){ 0 };
}
