/* A whole file as the npy importer gets it. */
#include "import_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_import(lm_import_npy, data, size);
	return 0;
}
