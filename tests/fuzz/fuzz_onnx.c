/* A whole file as the ONNX importer gets it. */
#include "import_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As an archive is checked, where the files of external data are not there. */
static void check_names(const uint8_t *data, size_t size)
{
	struct lm_model model = { .layout_only = true };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (lm_import_onnx(&model, fd, size, "folder/model", "input", &error) == LMODEL_OK) {
		for (size_t i = 1; i < model.source_count; i++)
			if (!lm_path_is_safe(model.sources[i].name) || model.sources[i].fd >= 0)
				abort();
		for (size_t i = 1; i < model.tensor_count; i++)
			if (model.tensors[i].source < model.tensors[i - 1].source)
				abort();
	}
	lm_model_free(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_import(lm_import_onnx, data, size);
	check_names(data, size);
	return 0;
}
