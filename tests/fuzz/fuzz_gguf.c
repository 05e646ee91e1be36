/* A whole file as the GGUF importer gets it. */
#include "import_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_import(lm_import_gguf, data, size);
	return 0;
}
