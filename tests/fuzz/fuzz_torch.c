/* A whole file as the importers of PyTorch's two forms get it. */
#include "import_check.h"
#include "import/torch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_import(lm_torch_is_legacy(data, size) ? lm_import_torch_legacy : lm_import_torch,
		     data, size);
	return 0;
}
