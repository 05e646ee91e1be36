/* What a file is: by its first bytes, by its name. */
#ifndef LM_KIND_H
#define LM_KIND_H

#include "import/source.h"

/* A kind of file that is told by its first bytes and is no safetensors. */
struct lm_kind {
	const char *name;   /* "a GGUF file" */
	const char *magic;
	size_t magic_len;
	size_t offset;      /* of the magic */
	bool weights;       /* usually holds weights */
};

/* As much of a file as the functions below look at. */
#define LM_KIND_HEAD 640

/* Reads up to LM_KIND_HEAD bytes from the start of a file of `size` bytes. */
int lm_kind_head(int fd, uint64_t size, const char *label, uint8_t head[LM_KIND_HEAD],
		 size_t *head_len, struct lmodel_error *error) LM_MUST_CHECK;

/* NULL when the bytes say nothing, or may be the start of a safetensors file. */
const struct lm_kind *lm_kind_of(const uint8_t *head, size_t head_len);

/* A header length that fits the file and a '{' behind it. */
bool lm_kind_is_safetensors(const uint8_t *head, size_t head_len, uint64_t size);

/* The text file that Git leaves where `git lfs pull` would put the content. */
bool lm_kind_is_lfs_pointer(const uint8_t *head, size_t head_len);

/* Appends one opened file of whatever kind; arguments as for lm_import_safetensors(). `name` may
 * be NULL: the file has none that could be extracted, and gets the usual one of its format. */
int lm_import_file(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* The format of the importer that knows the file by its start; NULL: none does. */
const char *lm_import_kind(int fd, uint64_t size);

/* Whether a file of this name in a model's directory belongs to the model: configuration,
 * tokenizer, template, licence, card. */
bool lm_name_is_side_file(const char *name);

/* Whether a file of this name usually holds weights. */
bool lm_name_is_weights(const char *name);

bool lm_name_ends(const char *name, const char *suffix); /* regardless of case */

#endif
