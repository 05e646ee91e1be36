/* The text of a model.safetensors.index.json. */
#include "import/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_model model = { 0 };
	struct lm_index index;
	int r = lm_index_parse(&index, (const char *)data, size, "input", &error);

	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	if (r == LMODEL_OK) {
		for (size_t i = 0; i < index.file_count; i++)
			if (!lm_path_is_safe(index.files[i]) || strchr(index.files[i], '/') != NULL ||
			    (i > 0 && strcmp(index.files[i - 1], index.files[i]) >= 0))
				abort();
		/* a sound index names a tensor, and this model has none */
		if (lm_index_check(&index, &model, 0, "", "input", &error) != LMODEL_ECORRUPT)
			abort();
	}
	lm_index_free(&index);
	return 0;
}
