/* A whole file as the npz importer gets it. */
#include "import_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 16384) /* inflates to a thousand times that */
		return 0;
	check_import(lm_import_npz, data, size);
	return 0;
}
