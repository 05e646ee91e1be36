/* Skeletons as importers write them (spec: 3.6): what a file holds besides tensors. */
#ifndef LM_IMPORT_SKELETON_H
#define LM_IMPORT_SKELETON_H

#include "import/source.h"

/* Appends `len` bytes of the source's file from `offset` on as they are; nothing for 0. They join
 * a literal before them. ELIMIT when all literals are over LM_LITERAL_LIMIT bytes. */
#define LM_LITERAL_LIMIT (LM_HEADER_LIMIT + 1048576u)
int lm_skeleton_literal(struct lm_source *source, uint64_t offset, uint64_t len,
			struct lmodel_error *error) LM_MUST_CHECK;

/* The same with bytes that are in memory. */
int lm_skeleton_bytes(struct lm_source *source, const void *bytes, size_t len,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Appends the bytes of the tensors [first, first + count) of the model; nothing for 0. They join
 * a run of tensors that ends where they begin. */
int lm_skeleton_tensors(struct lm_source *source, uint64_t first, uint64_t count,
			struct lmodel_error *error) LM_MUST_CHECK;

/* Appends one tensor with its axes in another order. */
int lm_skeleton_axes(struct lm_source *source, uint64_t tensor, unsigned rank, const uint8_t *axes,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* Appends the CRC-32 of the bytes [begin, end) of the file that the skeleton writes. */
int lm_skeleton_crc(struct lm_source *source, uint64_t begin, uint64_t end,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
