/* A file of images that is read once from the front, so that a pipe will do. */
#ifndef LM_TRANSFORM_INPUT_H
#define LM_TRANSFORM_INPUT_H

#include "base/base.h"

#define LM_INPUT_BUFFER 65536

struct lm_input {
	int fd;
	const char *label;
	size_t at, filled;
	uint8_t buffer[LM_INPUT_BUFFER];
};

/* The next `len` bytes; ECORRUPT when the file ends before. */
int lm_input_read(struct lm_input *input, void *bytes, size_t len, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Whether the next bytes are these (few); they stay to be read. */
int lm_input_begins(struct lm_input *input, const void *bytes, size_t len, bool *begins,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* ECORRUPT unless all has been read. */
int lm_input_finish(struct lm_input *input, struct lmodel_error *error) LM_MUST_CHECK;

#endif
