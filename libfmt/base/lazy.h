/* Libraries that only some work needs, loaded when it does. The dynamic loader's part for
 * libarchive, with the ICU and libxml2 behind it, is more than all that `lmodel list` does. */
#ifndef LM_LAZY_H
#define LM_LAZY_H

#include "base/base.h"

struct lm_lazy_symbol {
	const char *name;
	size_t at; /* of its pointer in the table */
};

/* Static: one for each library, zero but for what describes it. */
struct lm_lazy {
	const char *file; /* its soname, found by configure */
	const struct lm_lazy_symbol *symbols;
	size_t count;
	void *table;      /* of function pointers, all set or none used */
	bool ready;
};

/* Of `struct type { __typeof__(PREFIXname) *name; ... }`, the row of `name`. */
#define LM_LAZY_SYMBOL(type, prefix, name) { #prefix #name, offsetof(struct type, name) }

/* Any thread, any number of times; the library stays loaded. EFAILED when it is not there, or
 * lacks one of the functions. */
int lm_lazy_load(struct lm_lazy *library, struct lmodel_error *error) LM_MUST_CHECK;

#endif
