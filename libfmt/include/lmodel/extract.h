/* Getting weights out. Outputs are published whole, as in <lmodel/pack.h>. */
#ifndef LMODEL_EXTRACT_H
#define LMODEL_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum lmodel_format {
	LMODEL_FORMAT_SAFETENSORS = 0, /* a single whole input of that format comes back with its
	                                  own header bytes: identical; otherwise a header made anew,
	                                  tensors aligned to their element size, metadata kept */
	LMODEL_FORMAT_NATIVE = 1,      /* every input file, byte for byte, and the attachments */
	LMODEL_FORMAT_NPZ = 2,         /* NumPy's, stored; a single whole npz comes back as it was */
	LMODEL_FORMAT_NPY = 3,         /* one tensor as a NumPy array; not into a directory */
	LMODEL_FORMAT_GGUF = 4,        /* version 3; a single whole GGUF file comes back as it was;
	                                  otherwise a header made anew, with the key-values that
	                                  GGUF inputs have, and other metadata as strings */
};

struct lmodel_extract_options {
	size_t size;                  /* sizeof(struct lmodel_extract_options) */
	struct lmodel_run run;
	enum lmodel_format format;
	const char *const *patterns;  /* only tensors that one of these picks (lmodel_match()) */
	size_t pattern_count;         /* 0: all */
	const char *const *excludes;  /* and none of these */
	size_t exclude_count;
	uint64_t max_shard_bytes;     /* into a directory, safetensors: tensor bytes a file at most;
	                                 0: one file */
	bool overwrite;               /* replace existing files, each as a whole */
	bool lossy;                   /* write also what the format cannot keep, and tell through
	                                 run.notice what is lost; otherwise EUSAGE says it */
};
#define LMODEL_EXTRACT_OPTIONS_INIT { .size = sizeof(struct lmodel_extract_options) }

/* Writes the model to `output`:
 *   "-"            standard output, one file, in order, each chunk verified before it is written
 *   "DIR/" or an existing directory
 *                  native: the input's own layout below it; safetensors: model.safetensors, or
 *                  model-00001-of-0000N.safetensors with model.safetensors.index.json when
 *                  max_shard_bytes splits it; npz: model.npz; gguf: model.gguf; attachments
 *                  beside them
 *   a file name    one file; native then needs a single input (EUSAGE otherwise)
 * Attachments are written into directories only, and only when no pattern is given.
 * Names from the archive never leave `output`.
 *
 * Errors: EUSAGE (pattern that picks nothing, native with patterns, a loss), EUNSUPPORTED (a
 * dtype that the format cannot hold at all), ECORRUPT, EFAILED
 * (also: an output exists and `overwrite` is false). */
int lmodel_extract(struct lmodel_archive *archive, const char *output,
		   const struct lmodel_extract_options *options, struct lmodel_error *error);

/* Writes one tensor to the file descriptor `fd`, from its current position on: as a NumPy
 * .npy file (format version 1.0, C order, little-endian), or raw bytes alone. Dtypes that
 * NumPy does not have come as bytes of the same width: BF16 as '<V2', F8_* as '|V1'. Dtypes
 * below one byte an element: EUNSUPPORTED unless `raw`. Chunks are verified before they are
 * written. */
int lmodel_cat(struct lmodel_archive *archive, const struct lmodel_tensor *tensor, int fd,
	       bool raw, const struct lmodel_run *run, struct lmodel_error *error);

/* Writes a side file to the file descriptor `fd`, in bounded memory. One of a tier is proven before
 * its first byte is written, and never in a temporary file. Errors as lmodel_attachment_read(). */
int lmodel_attachment_cat(struct lmodel_archive *archive,
			  const struct lmodel_attachment *attachment, int fd,
			  const struct lmodel_run *run, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
