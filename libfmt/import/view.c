/* Looking at a model that is not packed. */
#include <lmodel/model.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/format.h"
#include "base/io.h"
#include "crypto/crypto.h"
#include "import/kind.h"

struct lmodel_model {
	struct lm_model model;
	struct lmodel_run run;

	/* The public view, same indices. */
	struct lmodel_tensor *tensors;
	struct lmodel_attachment *attachments;
	struct lmodel_source *sources;
	struct lmodel_metadata *metadata;
	struct lmodel_model_info info;
};

const char *lmodel_model_kind(const char *path)
{
	LM_CLOSE int fd = -1;
	struct stat st;
	uint64_t size;

	if (stat(path, &st) != 0)
		return NULL;
	if (S_ISDIR(st.st_mode))
		return "directory";
	if (lm_open_regular(path, O_RDONLY, &fd, &size, NULL) != LMODEL_OK)
		return NULL;
	return lm_import_kind(fd, size);
}

static int make_tensors(struct lmodel_model *v, struct lmodel_error *error)
{
	const struct lm_model *m = &v->model;

	v->tensors = calloc(m->tensor_count + 1, sizeof(*v->tensors));
	if (v->tensors == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_source_tensor *t = &m->tensors[i];
		struct lmodel_tensor *out = &v->tensors[i];
		uint64_t bytes;

		*out = (struct lmodel_tensor){
			.name = t->name, .dtype = t->dtype->name, .dtype_bits = t->dtype->bits,
			.rank = t->rank, .shape = t->shape, .bytes = t->bytes,
			.source = m->sources[t->source].name, .block_elements = t->dtype->block,
			.block_bytes = t->dtype->block_bytes,
		};
		if (!lm_dtype_bytes(t->dtype, t->rank, t->shape, &out->elements, &bytes) ||
		    !lm_add(v->info.tensor_bytes, t->bytes, &v->info.tensor_bytes) ||
		    !lm_add(v->info.parameters, out->elements, &v->info.parameters))
			return lm_fail(error, LMODEL_ELIMIT, "the sum of all tensors overflows");
		v->sources[t->source].tensor_count++;
	}
	return LMODEL_OK;
}

static int make_files(struct lmodel_model *v, struct lmodel_error *error)
{
	const struct lm_model *m = &v->model;

	v->attachments = calloc(m->attachment_count + 1, sizeof(*v->attachments));
	v->sources = calloc(m->source_count + 1, sizeof(*v->sources));
	v->metadata = calloc(m->metadata_count + 1, sizeof(*v->metadata));
	if (v->attachments == NULL || v->sources == NULL || v->metadata == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->attachment_count; i++)
		v->attachments[i] = (struct lmodel_attachment){
			.name = m->attachments[i].name, .bytes = m->attachments[i].size,
			.open = true,
		};
	for (size_t i = 0; i < m->source_count; i++) {
		v->sources[i] = (struct lmodel_source){
			.name = m->sources[i].name, .format = m->sources[i].format,
			.bytes = m->sources[i].size,
		};
		v->info.file_bytes += m->sources[i].size;
	}
	for (size_t i = 0; i < m->metadata_count; i++)
		v->metadata[i] = (struct lmodel_metadata){
			.source = m->sources[m->metadata[i].source].name,
			.key = m->metadata[i].key, .value = m->metadata[i].value,
		};
	v->info.source_format = lm_model_format(m);
	v->info.tensor_count = m->tensor_count;
	v->info.attachment_count = m->attachment_count;
	v->info.source_count = m->source_count;
	v->info.metadata_count = m->metadata_count;
	return LMODEL_OK;
}

int lmodel_model_open(struct lmodel_model **out, const char *path, const struct lmodel_run *run,
		      struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lmodel_model *v = calloc(1, sizeof(*v));
	int r;

	*out = NULL;
	error = error != NULL ? error : &local;
	if (v == NULL)
		return lm_fail_memory(error);
	if (run != NULL)
		v->run = *run;
	r = lm_crypto_init(error);
	if (r == LMODEL_OK)
		r = lm_import(&v->model, path, NULL, &v->run, error);
	if (r == LMODEL_OK)
		r = lm_model_check(&v->model, error);
	if (r == LMODEL_OK)
		r = make_files(v, error);
	if (r == LMODEL_OK)
		r = make_tensors(v, error);
	if (r != LMODEL_OK) {
		lmodel_model_close(v);
		return r;
	}
	*out = v;
	return LMODEL_OK;
}

void lmodel_model_close(struct lmodel_model *v)
{
	if (v == NULL)
		return;
	lm_model_free(&v->model);
	free(v->tensors);
	free(v->attachments);
	free(v->sources);
	free(v->metadata);
	free(v);
}

void lmodel_model_info(const struct lmodel_model *v, struct lmodel_model_info *info)
{
	*info = v->info;
}

const struct lmodel_tensor *lmodel_model_tensor_at(const struct lmodel_model *v, size_t index)
{
	return index < v->info.tensor_count ? &v->tensors[index] : NULL;
}

const struct lmodel_attachment *lmodel_model_attachment_at(const struct lmodel_model *v,
							   size_t index)
{
	return index < v->info.attachment_count ? &v->attachments[index] : NULL;
}

const struct lmodel_source *lmodel_model_source_at(const struct lmodel_model *v, size_t index)
{
	return index < v->info.source_count ? &v->sources[index] : NULL;
}

const struct lmodel_metadata *lmodel_model_metadata_at(const struct lmodel_model *v, size_t index)
{
	return index < v->info.metadata_count ? &v->metadata[index] : NULL;
}
