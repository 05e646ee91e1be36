#include "base/format.h"

/* One for each importer (import/import.c), and the files that an ONNX graph names. */
static const char *const formats[] = {
	LM_FORMAT_FIRST, "gguf", "npy", "npz", "pytorch", "pytorch-legacy",
	LM_FORMAT_ONNX, LM_FORMAT_ONNX_DATA,
};

const char *lm_format_known(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(formats); i++)
		if (strcmp(formats[i], name) == 0)
			return formats[i];
	return NULL;
}
