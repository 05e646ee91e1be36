/* The header of NumPy arrays (numpy.lib.format, NEP 1), in files of their own and in npz. */
#ifndef LM_NPY_H
#define LM_NPY_H

#include "import/source.h"

/* Longer headers are ELIMIT. */
#define LM_NPY_HEAD_LIMIT 1048576u

/* Begins the metadata key of the type of an opaque array; its name follows. */
#define LM_NPY_DESCR_KEY "numpy.descr."

/* The array as a tensor. Elements that no dtype stands for are opaque: big-endian numbers, complex
 * ones but of two F32, long doubles, text, dates, structures. Those of no bytes, and of more than
 * LM_OPAQUE_LIMIT, are V1 with their width as one more dimension, the last. */
struct lm_npy {
	uint64_t head;           /* bytes in front of the data */
	const struct lm_dtype *dtype;
	unsigned rank;
	uint64_t *shape;
	uint64_t bytes;
	bool permuted;           /* the data have their axes in the order `axes` */
	uint8_t axes[LM_RANK_LIMIT];
	char *descr;             /* UTF-8, as the header has it; NULL unless the dtype is opaque */
};

bool lm_npy_is_like(const uint8_t *head, size_t head_len);

/* Reads the header that begins at `at` of a file and is within its first `end` bytes, as must be
 * the data. `name` names the array in messages. `npy` needs no set-up; lm_npy_free() is right
 * after success and failure. EUNSUPPORTED for objects and other versions than 1.0, 2.0, 3.0. */
int lm_npy_read(struct lm_npy *npy, int fd, uint64_t at, uint64_t end, const char *label,
		const char *name, struct lmodel_error *error) LM_MUST_CHECK;
void lm_npy_free(struct lm_npy *npy);

/* The text of a header. `latin` : it is not UTF-8, but Latin-1 (versions 1 and 2). */
int lm_npy_parse(struct lm_npy *npy, const char *text, size_t len, bool latin, const char *label,
		 const char *name, struct lmodel_error *error) LM_MUST_CHECK;

/* Appends the array as a tensor of the model's last source. Its data lie at `at` of `fd`: the
 * source, or a spool of the model's. A permuted one is put in order in `*spool` from *spool_at
 * on, which is made when it is -1. Not so with layout_only. */
int lm_npy_add(struct lm_model *model, const struct lm_npy *npy, const char *name, size_t name_len,
	       int fd, uint64_t at, int *spool, uint64_t *spool_at,
	       struct lmodel_error *error) LM_MUST_CHECK;

/* Appends that tensor's record, permuted or not, to the skeleton. */
int lm_npy_skeleton(struct lm_model *model, const struct lm_npy *npy, size_t tensor,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
