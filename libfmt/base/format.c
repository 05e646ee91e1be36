#include "base/format.h"

/* One for each importer (import/import.c). */
static const char *const formats[] = {
	LM_FORMAT_FIRST, "gguf", "npy", "npz", "pytorch", "pytorch-legacy",
};

const char *lm_format_known(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(formats); i++)
		if (strcmp(formats[i], name) == 0)
			return formats[i];
	return NULL;
}
