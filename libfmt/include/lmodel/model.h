/* Looking at a model that is not packed: what lmodel_pack() would take. Strings and structs that
 * the functions return belong to the model and live as long as it does; names are as in
 * <lmodel/archive.h>. */
#ifndef LMODEL_MODEL_H
#define LMODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct lmodel_model;

/* Sizes are bytes. */
struct lmodel_model_info {
	const char *source_format;    /* as in struct lmodel_info; "mixed" for several */
	uint64_t file_bytes;          /* of all input files */
	uint64_t tensor_bytes;        /* all tensors: equal ones are found when they are packed */
	uint64_t parameters;          /* elements of all tensors */
	size_t tensor_count;
	size_t attachment_count;
	size_t source_count;
	size_t metadata_count;
};

/* The format that the start of a file says, as in struct lmodel_source; "directory" for one.
 * NULL: no model, or an archive, or nothing that can be read. Whether the model is sound
 * lmodel_model_open() tells. */
const char *lmodel_model_kind(const char *path);

/* Opens the model at `path`, a file or a directory as for lmodel_pack(). All of it is checked but
 * the bytes of tensors; compressed ones are unpacked into a temporary file first. On success `*out`
 * is to be closed with lmodel_model_close(). `run` may be NULL; `run->notice` gets what is left out
 * of a directory.
 *
 * Errors: as for the inputs of lmodel_pack(). */
int lmodel_model_open(struct lmodel_model **out, const char *path, const struct lmodel_run *run,
		      struct lmodel_error *error);

/* Closes; NULL is allowed. */
void lmodel_model_close(struct lmodel_model *model);

void lmodel_model_info(const struct lmodel_model *model, struct lmodel_model_info *info);

/* As for archives: an index out of range gives NULL. `stored_bytes` is 0, `member` and `alias_of`
 * are NULL. */
const struct lmodel_tensor *lmodel_model_tensor_at(const struct lmodel_model *model, size_t index);
const struct lmodel_attachment *lmodel_model_attachment_at(const struct lmodel_model *model,
							   size_t index);
const struct lmodel_source *lmodel_model_source_at(const struct lmodel_model *model, size_t index);
const struct lmodel_metadata *lmodel_model_metadata_at(const struct lmodel_model *model,
						       size_t index);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
