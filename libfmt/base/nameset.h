/* A set of names, by hash: whether one comes twice, and where one is. */
#ifndef LM_NAMESET_H
#define LM_NAMESET_H

#include "base/base.h"

struct lm_name {
	const char *text; /* the caller's; NULL: free */
	uint32_t hash, index;
};

struct lm_nameset {
	struct lm_name *slots;
	size_t mask;
};

/* An empty set with room for `most` names. */
int lm_nameset_init(struct lm_nameset *names, size_t most, struct lmodel_error *error) LM_MUST_CHECK;
void lm_nameset_free(struct lm_nameset *names);

/* Adds a name, which has to stay, with an index of the caller's. False when it is there already. */
bool lm_nameset_add(struct lm_nameset *names, const char *text, size_t index);

/* The index of a name; SIZE_MAX when it is not there. */
size_t lm_nameset_find(const struct lm_nameset *names, const char *text);

#endif
