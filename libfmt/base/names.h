/* Sorting of names by their bytes. */
#ifndef LM_NAMES_H
#define LM_NAMES_H

#include "base/base.h"

struct lm_name {
	const char *text;
	size_t index; /* the caller's */
	uint64_t key; /* set by the sort */
};

void lm_names_sort(struct lm_name *names, size_t count);

#endif
