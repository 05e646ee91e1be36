/* What the two files of the GGUF importer share: reading the header from front to back. */
#ifndef LM_GGUF_H
#define LM_GGUF_H

#include "import/source.h"
#include "import/window.h"

struct lm_gguf {
	struct lm_model *model;
	size_t source;          /* index in the model */
	struct lm_window in;
	uint32_t alignment;
};

/* Types of values. Strings are a u64 length and bytes, arrays a type, a u64 count and values. */
enum lm_gguf_type {
	LM_GGUF_U8, LM_GGUF_I8, LM_GGUF_U16, LM_GGUF_I16, LM_GGUF_U32, LM_GGUF_I32, LM_GGUF_F32,
	LM_GGUF_BOOL, LM_GGUF_STRING, LM_GGUF_ARRAY, LM_GGUF_U64, LM_GGUF_I64, LM_GGUF_F64,
};

/* A string of at most `most` bytes, as fresh memory with a NUL behind it. What it holds is not
 * checked. ELIMIT for a longer one. */
int lm_gguf_string(struct lm_gguf *g, size_t most, const char *what, char **out, size_t *len,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Reads all key-values: into the model's metadata, as text, and the alignment. */
int lm_gguf_values(struct lm_gguf *g, uint64_t count, struct lmodel_error *error) LM_MUST_CHECK;

#endif
