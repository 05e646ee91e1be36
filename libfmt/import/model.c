/* The model to be packed as importers fill it. */
#include "import/source.h"

#include <fcntl.h>

#include "base/format.h"
#include "base/io.h"

struct lm_source *lm_model_add_source(struct lm_model *model, struct lmodel_error *error)
{
	struct lm_source *source;

	if (lm_grow(&model->sources, model->source_count, &model->source_capacity,
		    sizeof(*source), error))
		return NULL;
	source = &model->sources[model->source_count++];
	*source = (struct lm_source){ .fd = -1 };
	return source;
}

struct lm_source *lm_model_open_source(struct lm_model *model, const char *format, int fd,
				       uint64_t size, const char *name, const char *label,
				       struct lmodel_error *error)
{
	struct lm_source *source = lm_model_add_source(model, error);

	if (source == NULL) {
		close(fd);
		return NULL;
	}
	source->fd = fd;
	source->size = size;
	source->format = format;
	source->name = lm_strdup(name, error);
	source->label = lm_strdup(label, error);
	return source->name == NULL || source->label == NULL ? NULL : source;
}

int lm_model_add_spool(struct lm_model *model, struct lmodel_error *error)
{
	int fd;

	if (lm_grow(&model->spools, model->spool_count, &model->spool_capacity,
		    sizeof(*model->spools), error) ||
	    lm_unnamed_file(model->spool_directory, &fd, error))
		return -1;
	model->spools[model->spool_count++] = fd;
	return fd;
}

struct lm_source_tensor *lm_model_add_tensor(struct lm_model *model, struct lmodel_error *error)
{
	struct lm_source_tensor *tensor;

	if (lm_grow(&model->tensors, model->tensor_count, &model->tensor_capacity,
		    sizeof(*tensor), error))
		return NULL;
	tensor = &model->tensors[model->tensor_count++];
	*tensor = (struct lm_source_tensor){ .spool = -1 };
	return tensor;
}

struct lm_source_metadata *lm_model_add_metadata(struct lm_model *model,
						 struct lmodel_error *error)
{
	struct lm_source_metadata *metadata;

	if (lm_grow(&model->metadata, model->metadata_count, &model->metadata_capacity,
		    sizeof(*metadata), error))
		return NULL;
	metadata = &model->metadata[model->metadata_count++];
	*metadata = (struct lm_source_metadata){ 0 };
	return metadata;
}

struct lm_source_attachment *lm_model_add_attachment(struct lm_model *model,
						     struct lmodel_error *error)
{
	struct lm_source_attachment *attachment;

	if (lm_grow(&model->attachments, model->attachment_count, &model->attachment_capacity,
		    sizeof(*attachment), error))
		return NULL;
	attachment = &model->attachments[model->attachment_count++];
	*attachment = (struct lm_source_attachment){ .fd = -1 };
	return attachment;
}

static int compare_tensors(const void *a, const void *b, void *context)
{
	const struct lm_source_tensor *tensors = context;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = strcmp(tensors[x].name, tensors[y].name);

	return order != 0 ? order : (x > y) - (x < y);
}

static int check_tensors(const struct lm_model *model, struct lmodel_error *error)
{
	LM_FREE size_t *by_name = NULL;
	size_t n = model->tensor_count;

	if (n > LM_TENSOR_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%zu tensors; the limit is %u", n,
			       LM_TENSOR_LIMIT);
	by_name = calloc(n + 1, sizeof(*by_name));
	if (by_name == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		by_name[i] = i;
	qsort_r(by_name, n, sizeof(*by_name), compare_tensors, model->tensors);
	for (size_t i = 1; i < n; i++) {
		const struct lm_source_tensor *a = &model->tensors[by_name[i - 1]];
		const struct lm_source_tensor *b = &model->tensors[by_name[i]];

		if (strcmp(a->name, b->name) != 0)
			continue;
		if (a->source == b->source)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: has tensor %s twice",
				       model->sources[a->source].label, LM_QUOTE(a->name));
		return lm_fail(error, LMODEL_EUSAGE, "%s and %s both have a tensor %s",
			       model->sources[a->source].label, model->sources[b->source].label,
			       LM_QUOTE(a->name));
	}
	return LMODEL_OK;
}

/* A file of the archive: a source or an attachment. */
struct file {
	const char *name, *label;
};

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* "a" beside "a/b" could not both be extracted. */
static int check_parents(const struct file *file, const struct file *files, size_t count,
			 struct lmodel_error *error)
{
	LM_FREE char *parent = lm_strdup(file->name, error);
	char *slash;

	if (parent == NULL)
		return LMODEL_EFAILED;
	while ((slash = strrchr(parent, '/')) != NULL) {
		const struct file key = { .name = parent }, *other;

		*slash = '\0';
		other = bsearch(&key, files, count, sizeof(*files), compare_files);
		if (other != NULL)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s would be file %s in the archive, but %s needs a "
				       "directory of that name", other->label,
				       LM_QUOTE(other->name), file->label);
	}
	return LMODEL_OK;
}

static int check_files(const struct lm_model *model, struct lmodel_error *error)
{
	LM_FREE struct file *files = NULL;
	size_t n = 0;

	files = calloc(model->source_count + model->attachment_count, sizeof(*files));
	if (files == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < model->source_count; i++)
		files[n++] = (struct file){ model->sources[i].name, model->sources[i].label };
	for (size_t i = 0; i < model->attachment_count; i++)
		files[n++] = (struct file){ model->attachments[i].name,
					    model->attachments[i].label };
	qsort(files, n, sizeof(*files), compare_files);
	for (size_t i = 1; i < n; i++)
		if (strcmp(files[i - 1].name, files[i].name) == 0)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s and %s would both be %s in the archive",
				       files[i - 1].label, files[i].label,
				       LM_QUOTE(files[i].name));
	for (size_t i = 0; i < n; i++) {
		int r = check_parents(&files[i], files, n, error);

		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

int lm_model_check(const struct lm_model *model, struct lmodel_error *error)
{
	int r;

	if (model->source_count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "no model to pack");
	for (size_t i = 0; i < model->source_count; i++)
		if (model->sources[i].skeleton_len > LM_SKELETON_LIMIT)
			return lm_fail(error, LMODEL_ELIMIT,
				       "%s: %zu bytes besides tensors; the limit is %u",
				       model->sources[i].label, model->sources[i].skeleton_len,
				       LM_SKELETON_LIMIT);
	r = check_files(model, error);
	return r != LMODEL_OK ? r : check_tensors(model, error);
}

const char *lm_model_format(const struct lm_model *model)
{
	for (size_t i = 1; i < model->source_count; i++)
		if (strcmp(model->sources[i].format, LM_FORMAT_ONNX_DATA) != 0 &&
		    strcmp(model->sources[i].format, model->sources[0].format) != 0)
			return LM_FORMAT_MIXED;
	return model->sources[0].format;
}

int lm_model_read(const struct lm_model *model, size_t index, uint64_t offset, void *buffer,
		  size_t len, struct lmodel_error *error)
{
	const struct lm_source_tensor *tensor;
	const struct lm_source *source;

	if (index >= model->tensor_count)
		return lm_fail(error, LMODEL_EUSAGE, "there is no tensor number %zu", index);
	tensor = &model->tensors[index];
	source = &model->sources[tensor->source];
	if (offset > tensor->bytes || len > tensor->bytes - offset)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: tensor %s: %zu bytes at %ju are beyond its %ju bytes",
			       source->label, LM_QUOTE(tensor->name), len, (uintmax_t)offset,
			       (uintmax_t)tensor->bytes);
	return lm_read_at(tensor->spool >= 0 ? tensor->spool : source->fd, source->label, buffer,
			  len, tensor->offset + offset, error);
}

void lm_model_will_need(const struct lm_model *model, size_t index, uint64_t offset, uint64_t len)
{
	const struct lm_source_tensor *tensor = &model->tensors[index];

	posix_fadvise(tensor->spool >= 0 ? tensor->spool : model->sources[tensor->source].fd,
		      (off_t)(tensor->offset + offset), (off_t)len, POSIX_FADV_WILLNEED);
}

void lm_model_free(struct lm_model *model)
{
	for (size_t i = 0; i < model->source_count; i++) {
		struct lm_source *source = &model->sources[i];

		free(source->name);
		free(source->label);
		free(source->skeleton);
		lm_close_cleanup(&source->fd);
	}
	for (size_t i = 0; i < model->tensor_count; i++) {
		free(model->tensors[i].name);
		free(model->tensors[i].shape);
		free(model->tensors[i].axes);
	}
	for (size_t i = 0; i < model->metadata_count; i++) {
		free(model->metadata[i].key);
		free(model->metadata[i].value);
	}
	for (size_t i = 0; i < model->attachment_count; i++) {
		struct lm_source_attachment *attachment = &model->attachments[i];

		free(attachment->name);
		free(attachment->label);
		free(attachment->tier);
		lm_close_cleanup(&attachment->fd);
	}
	for (size_t i = 0; i < model->spool_count; i++)
		close(model->spools[i]);
	free(model->spools);
	free(model->sources);
	free(model->tensors);
	free(model->metadata);
	free(model->attachments);
	*model = (struct lm_model){ 0 };
}
