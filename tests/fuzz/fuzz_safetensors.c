/* A whole file as the safetensors importer gets it. */
#include <sys/mman.h>

#include "base/base.h"
#include "import/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the rest of the library relies on. */
static void check(const struct lm_model *model, size_t file_size)
{
	const struct lm_source *source = &model->sources[0];
	uint64_t end = 0;

	if (source->skeleton_len < 9 || lm_get_u64(source->skeleton + 1) > file_size)
		abort();
	end = lm_get_u64(source->skeleton + 1);
	for (size_t i = 0; i < model->tensor_count; i++) {
		const struct lm_source_tensor *t = &model->tensors[i];
		uint64_t bytes;

		if (t->offset != end || t->rank > LM_RANK_LIMIT ||
		    !lm_utf8_valid(t->name, strlen(t->name)) ||
		    !lm_dtype_bytes(t->dtype, t->rank, t->shape, NULL, &bytes) || bytes != t->bytes)
			abort();
		end += bytes;
	}
	if (end != file_size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	int r;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	r = lm_import_safetensors(&model, fd, size, "model.safetensors", "input", &error);
	if (r == LMODEL_OK) {
		check(&model, size);
		r = lm_model_check(&model, &error);
	}
	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	lm_model_free(&model);
	return 0;
}
