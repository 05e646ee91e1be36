/* Models to be packed, whatever they come in: one tensor iterator.
 *
 * An importer opens its input, checks all of it but the tensor bytes, and appends to a
 * `struct lm_model`: files with their skeletons, tensors in the order of their data, metadata,
 * side files. Tensor bytes are read by position, by several threads at once. */
#ifndef LM_SOURCE_H
#define LM_SOURCE_H

#include "base/base.h"
#include "base/dtype.h"

#include <lmodel/run.h>

/* One input file. The skeleton is everything of it that is not tensor bytes, as a program
 * that writes the file again (spec: 3.6 "Skeletons"):
 *     0x01, u64 n, n bytes         those bytes
 *     0x02, u64 first, u64 count   bytes of the tensors first .. first+count-1 of this archive
 *     0x03, u64 begin, u64 end     CRC-32 of the bytes [begin, end) of the file, once it is
 *                                  finished: no checksum of true values may stand in a literal
 *     0x04, u64 tensor, u64 rank, rank bytes   that tensor, its axes in this order
 * The tensor numbers are the index in lm_model.tensors. import/skeleton.h writes them. */
struct lm_source {
	char *name;           /* relative path in the archive, checked by lm_path_is_safe() */
	char *label;          /* path as given, escaped for messages */
	const char *format;   /* static, of base/format.h */
	int fd;
	uint64_t size;
	uint8_t *skeleton;
	size_t skeleton_len;

	/* Of the functions of import/skeleton.h. */
	size_t skeleton_capacity;
	size_t skeleton_last;   /* where the last record begins */
	bool skeleton_open;     /* which is a literal */
	uint64_t literal_bytes; /* in all literals */
};

struct lm_source_tensor {
	char *name;           /* valid UTF-8, no NUL, at most LM_NAME_LIMIT bytes */
	const struct lm_dtype *dtype;
	unsigned rank;
	uint64_t *shape;
	uint64_t bytes;
	size_t source;        /* index in lm_model.sources */
	int spool;            /* an unlinked file of the model's that holds its bytes, or -1: they
	                         are in the source */
	uint64_t offset;      /* of its bytes in that file; see lm_model.layout_only */
	uint8_t *axes;        /* the source holds it with its axes in this order; NULL: as they are.
	                         Then it has a spool, where they are as in `shape` */
};

struct lm_source_metadata {
	size_t source;
	char *key, *value;    /* valid UTF-8, no NUL */
	uint64_t begin, end;  /* GGUF: where in the source both stand; otherwise 0 */
};

struct lm_source_attachment {
	char *name;           /* relative path, checked by lm_path_is_safe() */
	char *label;
	char *tier;           /* NULL: public */
	bool found;           /* in a directory, not named by the user */
	int fd;
	uint64_t size;
};

struct lm_model {
	struct lm_source *sources;
	size_t source_count, source_capacity;
	struct lm_source_tensor *tensors;
	size_t tensor_count, tensor_capacity;
	struct lm_source_metadata *metadata;
	size_t metadata_count, metadata_capacity;
	struct lm_source_attachment *attachments;
	size_t attachment_count, attachment_capacity;
	int *spools;
	size_t spool_count, spool_capacity;

	/* Set before the first import, or by lm_import(). May be NULL. */
	const char *input_name; /* of the next input, instead of its own */
	const char *spool_directory;
	const struct lmodel_run *run;

	/* Where files are that an input names, such as external data; NULL: there are none, it
	 * came as a stream. Set before each import, by lm_import(). */
	const char *directory;

	/* The input is what a skeleton writes, with zeros for all tensor bytes and for CRCs: an
	 * archive is checked. Nothing but structure is looked at: no tensor byte is read, no CRC
	 * compared, nothing spooled; `offset` is always the place in the source. */
	bool layout_only;
};

/* Limits on what an input may hold (spec: 9). */
#define LM_NAME_LIMIT 65535u
#define LM_RANK_LIMIT 64u
#define LM_TENSOR_LIMIT 16777216u
#define LM_HEADER_LIMIT 100000000u
#define LM_SKELETON_LIMIT 134217728u  /* bytes of a skeleton */

/* Appends the input at `path`: a .safetensors file, a directory in the Hugging Face layout, or
 * "-" for standard input (spooled to an unlinked file in `spool_directory`). The kind is told
 * by content, not by the name. Skipped files of a directory are told through run->notice.
 * On failure the model holds what had been added and is to be freed. */
int lm_import(struct lm_model *model, const char *path, const char *spool_directory,
	      const struct lmodel_run *run, struct lmodel_error *error) LM_MUST_CHECK;

/* Appends one side file; `name` NULL: the last part of `path`; `tier` NULL: public. A public file
 * that looks like weights is EUSAGE. A name that is there already: EUSAGE; but a file for a tier
 * takes the place of the one that a directory has brought in, which is told through run->notice. */
int lm_import_attachment(struct lm_model *model, const char *path, const char *name,
			 const char *tier, const struct lmodel_run *run,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* To be called once after the last import: tensor names, source names and attachment names are
 * unique (ECORRUPT within one input file; EUSAGE between inputs), counts are in bounds, there is
 * at least one source. */
int lm_model_check(const struct lm_model *model, struct lmodel_error *error) LM_MUST_CHECK;

/* The format of all sources, of which there is one at least; "mixed" when they differ. */
const char *lm_model_format(const struct lm_model *model);

/* Reads `len` raw bytes of tensor `index` from raw byte `offset`. Thread-safe. */
int lm_model_read(const struct lm_model *model, size_t index, uint64_t offset, void *buffer,
		  size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* These bytes are going to be read: the disk may begin. Only a hint. */
void lm_model_will_need(const struct lm_model *model, size_t tensor, uint64_t offset, uint64_t len);

void lm_model_free(struct lm_model *model);

/* ---- for importers ---- */

/* One importer a file: import/safetensors.c, ... `fd` is a regular file and becomes the model's
 * (also on failure). `name` is the name in the archive, `label` is printable. */
int lm_import_safetensors(struct lm_model *model, int fd, uint64_t size, const char *name,
			  const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_gguf(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_torch(struct lm_model *model, int fd, uint64_t size, const char *name,
		    const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_torch_legacy(struct lm_model *model, int fd, uint64_t size, const char *name,
			   const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_npy(struct lm_model *model, int fd, uint64_t size, const char *name,
		  const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_npz(struct lm_model *model, int fd, uint64_t size, const char *name,
		  const char *label, struct lmodel_error *error) LM_MUST_CHECK;
/* Also adds the files of external data that the graph names, right behind it, in the order of
 * their first mention. With `layout_only` they have no file (-1), no size and no skeleton. */
int lm_import_onnx(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error) LM_MUST_CHECK;
int lm_import_directory(struct lm_model *model, const char *path, const struct lmodel_run *run,
			struct lmodel_error *error) LM_MUST_CHECK;

/* The importer of a format (base/format.h), whatever the content looks like. For `layout_only`. */
int lm_import_format(struct lm_model *model, const char *format, int fd, uint64_t size,
		     const char *name, const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Adds a source with all that these arguments say; takes `fd`, also on failure. */
struct lm_source *lm_model_open_source(struct lm_model *model, const char *format, int fd,
				       uint64_t size, const char *name, const char *label,
				       struct lmodel_error *error);

/* An unlinked file for bytes of tensors that are not in the source as they are; several may be in
 * one. It is the model's; -1 when there can be none. */
int lm_model_add_spool(struct lm_model *model, struct lmodel_error *error);

/* Append a zeroed element and give it; NULL when there is no memory. `fd` must be set at once
 * by the caller (-1 where there is none). A tensor has no spool. */
struct lm_source *lm_model_add_source(struct lm_model *model, struct lmodel_error *error);
struct lm_source_tensor *lm_model_add_tensor(struct lm_model *model, struct lmodel_error *error);
struct lm_source_metadata *lm_model_add_metadata(struct lm_model *model,
						 struct lmodel_error *error);
struct lm_source_attachment *lm_model_add_attachment(struct lm_model *model,
						     struct lmodel_error *error);

#endif
