/* model.safetensors.index.json: which file of a sharded model holds which tensor. */
#ifndef LM_INDEX_H
#define LM_INDEX_H

#include "import/source.h"

struct json_t;

struct lm_index {
	struct json_t *root;
	struct json_t *weight_map; /* of root */
	const char **files;        /* distinct names, sorted; of root */
	size_t file_count;
};

/* Checks the text and takes the file names out of it. `index` needs no set-up, and
 * lm_index_free() is right after success and failure. */
int lm_index_parse(struct lm_index *index, const char *text, size_t len, const char *label,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Whether the index names the tensors from number `first` on, each in its file, and no other. Names
 * of files and tensors begin with `folder`, which the index does not know. Uses up the index: only
 * freeing is left. */
int lm_index_check(struct lm_index *index, const struct lm_model *model, size_t first,
		   const char *folder, const char *label,
		   struct lmodel_error *error) LM_MUST_CHECK;

void lm_index_free(struct lm_index *index);

#endif
