/* Parts of the ONNX importer (spec: 11). */
#ifndef LM_ONNX_H
#define LM_ONNX_H

#include "import/source.h"
#include "import/wire.h"

/* An initializer whose bytes stand in a file as they are. */
struct lm_onnx_tensor {
	char *name;
	const struct lm_dtype *dtype;
	unsigned rank;
	uint64_t *shape;
	size_t file;           /* 0: the graph's; n: files[n - 1] */
	uint64_t begin, end;   /* bytes of that file */
	size_t order;          /* in the graph */
};

struct lm_onnx {
	struct lm_model *model;
	size_t source;         /* the graph's */
	const char *label;
	struct lm_wire in;
	unsigned depth;        /* of the message that is read */
	unsigned graphs;       /* of the model, so far */
	struct lm_onnx_tensor *tensors;
	size_t tensor_count, tensor_capacity;
	uint64_t tensor_bytes; /* in the graph's file */
	char **files;          /* of external data, as the graph names them, in the order of their
	                          first mention */
	size_t *by_name;       /* their indices, sorted by name */
	size_t file_count, file_capacity;
	uint64_t kept;         /* tensors of numbers that stay with the graph */
	uint64_t kept_numbers; /* in them */
};

#define LM_ONNX_FILES_LIMIT 4096u

/* Reads the TensorProto in the range: adds an initializer of the model's graph to `tensors`; what
 * is another, or has its numbers in varints, stays with the graph and is counted. */
int lm_onnx_read_tensor(struct lm_onnx *onnx, struct lm_wire_range range, bool initializer,
			struct lmodel_error *error) LM_MUST_CHECK;

/* Gives the model the tensors in the order of their bytes, the skeleton of the graph's file, and
 * the files of external data. */
int lm_onnx_place(struct lm_onnx *onnx, struct lmodel_error *error) LM_MUST_CHECK;

/* Adds metadata of the graph's source; `value` is taken, also on failure. */
int lm_onnx_tell(struct lm_onnx *onnx, char *value, struct lmodel_error *error,
		 const char *format, ...) LM_MUST_CHECK LM_PRINTF(4, 5);

/* Whether a file looks like a ModelProto: by the fields at its beginning, up to the graph. */
bool lm_onnx_is_like(int fd, uint64_t size, const uint8_t *head, size_t head_len);

#endif
