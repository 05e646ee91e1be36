/* Layouts of output files: headers and offsets, no I/O. */
#ifndef LM_EXPORT_H
#define LM_EXPORT_H

#include "base/base.h"
#include "base/dtype.h"

/* A tensor to be placed. The strings and the shape stay the caller's. */
struct lm_export_tensor {
	const char *name;
	const struct lm_dtype *dtype;
	unsigned rank;
	const uint64_t *shape;
	uint64_t bytes;
	const char *descr; /* a Python literal of NumPy's type; NULL: the dtype's own */
	uint64_t offset;   /* out: of its bytes in the file */
};

struct lm_export_pair {
	const char *key, *value;
};

/* Marks every pair whose key an earlier one has: fresh memory, NULL when there is none. */
bool *lm_export_repeated(const struct lm_export_pair *pairs, size_t count);

/* A key-value as a GGUF file has it: key, type of the value, value. `bytes` NULL: there is none. */
struct lm_export_value {
	const uint8_t *bytes;
	size_t len;
};

/* A piece of a layout's bytes, and its place in the file. Pieces lie one behind the other in the
 * layout's bytes. */
struct lm_export_piece {
	uint64_t to;
	size_t len;
};

/* Makes the header of a safetensors file (8 bytes of length, JSON, spaces to a multiple of 8)
 * and places the tensors behind it without holes, as the format demands: sorted by falling element
 * width, then in the order given, so that every tensor is aligned to its element size. A later pair
 * with the same key is left out. `*header` is fresh memory; `*file_size` is header and data. ELIMIT
 * when the JSON is over 100,000,000 bytes. */
int lm_export_safetensors(struct lm_export_tensor *tensors, size_t tensor_count,
			  const struct lm_export_pair *metadata, size_t metadata_count,
			  uint8_t **header, size_t *header_len, uint64_t *file_size,
			  struct lmodel_error *error) LM_MUST_CHECK;

/* model.safetensors.index.json for tensors spread over files: `file_of[i]` is the file name of
 * tensor i. `*text` is fresh memory, `*len` bytes. */
int lm_export_index(const struct lm_export_tensor *tensors, size_t tensor_count,
		    const char *const *file_of, char **text, size_t *len,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* The header of a .npy file, version 1.0 (2.0 when the shape needs it), C order, padded to a
 * multiple of 64 (NumPy NEP 1). EUNSUPPORTED for a dtype below one byte an element. `*header`
 * is fresh memory. */
int lm_export_npy(const struct lm_dtype *dtype, unsigned rank, const uint64_t *shape,
		  uint8_t **header, size_t *header_len, struct lmodel_error *error) LM_MUST_CHECK;

/* The same of a tensor that may bring its own `descr`; version 3.0 where that is not ASCII. */
int lm_export_npy_as(const struct lm_export_tensor *tensor, uint8_t **header, size_t *header_len,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* Four bytes of a file that are the CRC-32 of others of it. */
struct lm_export_crc {
	uint64_t to, begin, end;
};

/* All of a file but its tensors; the three lists are fresh memory. */
struct lm_export_layout {
	uint8_t *bytes;
	size_t len;
	struct lm_export_piece *pieces;
	size_t piece_count;
	struct lm_export_crc *crcs; /* equal ranges side by side */
	size_t crc_count;
	uint64_t size;              /* of the file */
};

/* Lays out a .npz file: a member NAME.npy for each tensor, in the order given, and places the
 * tensors. EUNSUPPORTED for a dtype as in lm_export_npy(), and for a name that leads out of a
 * directory or is too long. */
int lm_export_npz(struct lm_export_tensor *tensors, size_t count, struct lm_export_layout *layout,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* What ggml's readers take, of which the length of names is not GGUF's own limit. */
#define LM_EXPORT_GGUF_RANK 4u
#define LM_EXPORT_GGUF_NAME 63u

/* Whether GGUF can have such a key. */
bool lm_export_gguf_has_key(const char *key);

/* Makes the header of a GGUF file, version 3, up to where the data begin, and places the tensors
 * behind it in the order given, each at the next multiple of the alignment: 32, or the value of the
 * key general.alignment. Bytes that nothing is said of are zeros. Pairs become strings, but for
 * those that have a value of their own in `values`, which is written as it is (NULL: none has). A
 * later pair with the same key is left out, and one whose key GGUF cannot have. EUNSUPPORTED for a
 * dtype without a number of ggml's, and for more than 4 dimensions. `*header` is fresh memory. */
int lm_export_gguf(struct lm_export_tensor *tensors, size_t tensor_count,
		   const struct lm_export_pair *metadata, const struct lm_export_value *values,
		   size_t metadata_count, uint8_t **header, size_t *header_len,
		   uint64_t *file_size, struct lmodel_error *error) LM_MUST_CHECK;

#endif
