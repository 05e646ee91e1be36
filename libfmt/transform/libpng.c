#include "transform/libpng.h"

#include "base/lazy.h"

struct lm_libpng lm_libpng;

#define SYMBOL(name) LM_LAZY_SYMBOL(lm_libpng, png_, name),
static const struct lm_lazy_symbol symbols[] = { LM_LIBPNG(SYMBOL) };

static struct lm_lazy library = {
	.file = PNG_SONAME, .symbols = symbols, .count = LM_COUNT(symbols),
	.table = &lm_libpng,
};

int lm_libpng_load(struct lmodel_error *error)
{
	return lm_lazy_load(&library, error);
}
