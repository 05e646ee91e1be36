/* Writing a source's skeleton, record by record (spec: 3.6). */
#ifndef LM_IMPORT_SKELETON_H
#define LM_IMPORT_SKELETON_H

#include "import/source.h"

/* Records append to `source->skeleton`. A failure is told once, by lm_skeleton_end(). */
struct lm_skeleton {
	struct lm_source *source;  /* valid while no source is added */
	size_t capacity;
	size_t literal;            /* where the last record, a literal, begins; SIZE_MAX: none */
	size_t tensors;            /* the same for tensors */
	bool failed;
};

#define LM_SKELETON_INIT(source_) \
	{ .source = (source_), .literal = SIZE_MAX, .tensors = SIZE_MAX }

/* Literals side by side become one, runs of tensors too; nothing at all for len or count 0. */
void lm_skeleton_literal(struct lm_skeleton *s, const void *bytes, size_t len);
void lm_skeleton_tensors(struct lm_skeleton *s, uint64_t first, uint64_t count);
void lm_skeleton_crc(struct lm_skeleton *s, uint64_t begin, uint64_t end);
void lm_skeleton_axes(struct lm_skeleton *s, uint64_t tensor, unsigned rank, const uint8_t *axes);

/* A literal of bytes [from, from + len) of the source's file. */
int lm_skeleton_copy(struct lm_skeleton *s, uint64_t from, uint64_t len,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* EFAILED without memory, ELIMIT over LM_SKELETON_LIMIT. */
int lm_skeleton_end(struct lm_skeleton *s, struct lmodel_error *error) LM_MUST_CHECK;

#endif
