#include "container/libarchive.h"

#include "base/lazy.h"

struct lm_libarchive lm_libarchive;

#define SYMBOL(name) LM_LAZY_SYMBOL(lm_libarchive, archive_, name),
static const struct lm_lazy_symbol symbols[] = { LM_LIBARCHIVE(SYMBOL) };

static struct lm_lazy library = {
	.file = ARCHIVE_SONAME, .symbols = symbols, .count = LM_COUNT(symbols),
	.table = &lm_libarchive,
};

int lm_libarchive_load(struct lmodel_error *error)
{
	return lm_lazy_load(&library, error);
}
