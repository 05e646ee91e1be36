/* PyTorch's saved objects: what both forms, ZIP and the older one, have in common. A pickle says
 * what tensors there are: names of storages, places in them, shapes and strides; storages lie
 * elsewhere in the file (torch/serialization.py). */
#ifndef LM_TORCH_H
#define LM_TORCH_H

#include "import/pickle.h"
#include "import/source.h"

/* Elements without a type, of which a storage is made; the pickle's own. */
struct lm_torch_storage {
	const char *key;
	const struct lm_dtype *dtype;
	uint64_t elements, bytes;
	uint64_t offset;         /* in the file: to be filled in by who knows the form */
	bool found;
};

struct lm_torch_tensor {
	char *name;              /* the keys that lead to it, with dots between; owned */
	size_t storage;          /* index */
	const struct lm_dtype *dtype;
	unsigned rank;
	uint64_t *shape, *stride;  /* rank entries each; one allocation, `shape` */
	uint64_t begin;          /* element of the storage */
};

struct lm_torch {
	struct lm_model *model;
	size_t source;
	const char *label;
	struct lm_torch_storage *storages;
	size_t storage_count, storage_capacity;
	size_t *slots, slot_count; /* hash table of storages by key: index + 1, or 0 */
	struct lm_torch_tensor *tensors;
	size_t tensor_count, tensor_capacity;
};

/* A CRC-32 in the file, at `at`, of its bytes [begin, end). */
struct lm_torch_crc {
	uint64_t at, begin, end;
};

/* The names that a pickle of tensors may hold. */
extern const struct lm_pickle_name lm_torch_names[];

/* Walks from the root of a pickle through its containers: tensors and their storages; plain values
 * become metadata, as text, up to a number. The pickle's length bounds how often containers that are
 * in several places may be gone through. `torch` is zeroed but for model, source and label; to be
 * released with lm_torch_free(), also after a failure. */
int lm_torch_collect(struct lm_torch *torch, const struct lm_pickle_value *root,
		     uint64_t pickle_bytes, struct lmodel_error *error) LM_MUST_CHECK;

/* With all storages found: adds the tensors to the model, in the order of their bytes, and writes
 * the skeleton of the whole file. `crcs` need no order.
 *
 * EUNSUPPORTED: tensors that share a part of their bytes, or whose strides repeat elements or leave
 * gaps: what one of them hides another would show. The same bytes under two names are one tensor
 * with an alias; transposed ones are put in order. */
int lm_torch_place(struct lm_torch *torch, struct lm_torch_crc *crcs, size_t crc_count,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* The storage of a key, or NULL. */
struct lm_torch_storage *lm_torch_find(const struct lm_torch *torch, const char *key);

void lm_torch_free(struct lm_torch *torch);

/* Whether the file begins with the pickle of the number that the older form begins with. */
bool lm_torch_is_legacy(const uint8_t *head, size_t head_len);

#endif
