/* Reading an archive: open, look, read tensors.
 *
 * An open archive is immutable and may be used by several threads at once. It holds a
 * shared lock on the file, so a writer beside it cannot take data away from under it.
 * Strings and structs that the functions return belong to the archive and live as long
 * as it does. Names are NUL-terminated UTF-8 as the model's author wrote them: pass them
 * through lmodel_escape() before they reach a terminal. */
#ifndef LMODEL_ARCHIVE_H
#define LMODEL_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/error.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct lmodel_archive;

/* What the archive is as a whole. Sizes are bytes. */
struct lmodel_info {
	const char *id;               /* UUID, 36 characters */
	const char *tool;             /* what wrote it, e.g. "lmodel 0.1.0" */
	const char *source_format;    /* "safetensors" */
	const char *content_root;     /* SHA-256 over every row that content depends on, 64 hex
	                                 (spec: 6.2) */
	const char *statement;        /* canonical text that signatures cover (spec: 6.3) */
	int64_t created;              /* seconds since 1970-01-01 UTC */
	uint32_t format_version;
	uint64_t content_generation;  /* rises when content changes */
	uint64_t commit_counter;      /* rises at every commit of the manifest */
	uint64_t file_bytes;          /* the file as it is on disk */
	uint64_t committed_bytes;     /* end of the last committed member */
	uint64_t manifest_bytes;      /* SQLite image in use */
	uint64_t manifest_room;       /* largest image that a slot of this archive can hold */
	uint64_t chunk_bytes;         /* raw bytes a chunk */
	uint64_t tensor_bytes;        /* all tensors, aliases counted once */
	uint64_t tensor_stored_bytes; /* the same as stored, without hash lists */
	uint64_t parameters;          /* elements of all tensors, aliases counted once */
	uint64_t dead_bytes;          /* bytes of replaced data that repack would free */
	size_t tensor_count;          /* aliases included */
	size_t alias_count;
	size_t attachment_count;
	size_t source_count;
	size_t metadata_count;
};

struct lmodel_tensor {
	const char *name;
	const char *dtype;            /* safetensors name: "F32", "BF16", "F8_E4M3", ... */
	unsigned dtype_bits;          /* bits an element; 0: quantised, only blocks have a size */
	unsigned rank;                /* 0 for a scalar */
	const uint64_t *shape;        /* rank entries, row-major (last varies fastest) */
	uint64_t elements;
	uint64_t bytes;               /* raw */
	uint64_t stored_bytes;        /* coded; 0 for an alias */
	const char *alias_of;         /* name of the tensor with the same bytes, or NULL */
	const char *source;           /* input file that it came from */
	const char *member;           /* tar member that holds it, and others where it is small */
	unsigned block_elements;      /* stored together: 1, or a block of a quantised or sub-byte */
	unsigned block_bytes;         /* type, and its bytes */
};

/* A side file: config.json, tokenizer.json, a licence. */
struct lmodel_attachment {
	const char *name;             /* relative path, '/' between parts, never ".." */
	uint64_t bytes;               /* of one that is not open: at most */
	uint64_t stored_bytes;
	const char *tier;             /* that it is sealed for; NULL: public */
	bool open;                    /* public, or the keys given open its tier */
};

/* An input file of the model. */
struct lmodel_source {
	const char *name;             /* relative path */
	const char *format;           /* "safetensors" */
	uint64_t bytes;
	size_t tensor_count;
};

/* One key-value of an input's own metadata (safetensors `__metadata__`). */
struct lmodel_metadata {
	const char *source;
	const char *key;
	const char *value;
};

/* Opens the archive at `path` for reading, or standard input for "-" (which is copied to an
 * unlinked temporary file first). Reads the manifest and checks it: slot digests, schema,
 * every row, the content root against the statement. Tensor data is not read.
 * On success `*out` is to be closed with lmodel_close().
 *
 * Errors: EUSAGE (a directory, a FIFO), ECORRUPT, EUNSUPPORTED, ELIMIT, EFAILED. */
int lmodel_open(struct lmodel_archive **out, const char *path, struct lmodel_error *error);

/* Closes; NULL is allowed. */
void lmodel_close(struct lmodel_archive *archive);

void lmodel_info(const struct lmodel_archive *archive, struct lmodel_info *info);

/* Tensors in the order of the input's data, index 0 .. tensor_count-1. An index out of
 * range gives NULL; so does a name that is not there. */
const struct lmodel_tensor *lmodel_tensor_at(const struct lmodel_archive *archive, size_t index);
const struct lmodel_tensor *lmodel_tensor_find(const struct lmodel_archive *archive,
					       const char *name);

const struct lmodel_attachment *lmodel_attachment_at(const struct lmodel_archive *archive,
						     size_t index);
const struct lmodel_attachment *lmodel_attachment_find(const struct lmodel_archive *archive,
						       const char *name);
const struct lmodel_source *lmodel_source_at(const struct lmodel_archive *archive, size_t index);
const struct lmodel_metadata *lmodel_metadata_at(const struct lmodel_archive *archive,
						 size_t index);

/* Reads `len` raw bytes of the tensor from raw byte `offset` into `buffer`. Touches only the
 * chunks that the range meets, and checks each against its SHA-256 before a byte of it is
 * copied. On failure the content of `buffer` is undefined.
 *
 * Errors: EUSAGE (range past the end, tensor of another archive), ECORRUPT, EFAILED. */
int lmodel_tensor_read(struct lmodel_archive *archive, const struct lmodel_tensor *tensor,
		       uint64_t offset, void *buffer, size_t len, struct lmodel_error *error);

/* Raw bytes [offset, offset + len) of a tensor, and where they go. */
struct lmodel_read {
	const struct lmodel_tensor *tensor;
	uint64_t offset;
	size_t len;
	void *buffer;                 /* the caller's, `len` bytes; buffers do not overlap */
};

/* Reads many ranges at once, of many tensors or of one, on `run->jobs` threads: chunks that lie
 * whole in a range are decoded right into the caller's memory. Otherwise as lmodel_tensor_read();
 * progress counts bytes. `run` may be NULL.
 *
 * Errors: EUSAGE, ECORRUPT, EFAILED (also: interrupted by `run->progress`). */
int lmodel_read_tensors(struct lmodel_archive *archive, const struct lmodel_read *reads,
			size_t count, const struct lmodel_run *run, struct lmodel_error *error);

/* Reads `len` bytes of a side file from byte `offset` into `buffer`. One of a tier is read and
 * proven whole at each call, whatever the range: ask for all of it at once. Its `bytes` are those
 * that the sealed file states, and proven when it has been read. On failure the content of `buffer`
 * is undefined.
 *
 * Errors: EUSAGE (range past the end, attachment of another archive), ENOKEY (its tier is not
 * open), ECORRUPT (also: the tier's shards are not in this file), EFAILED. */
int lmodel_attachment_read(struct lmodel_archive *archive,
			   const struct lmodel_attachment *attachment, uint64_t offset,
			   void *buffer, size_t len, struct lmodel_error *error);

/* Whether `name` is picked by `pattern`, as every PATTERN argument of lmodel(1): a shell
 * pattern (fnmatch) over the whole name in which `*` also matches '.' and '/'; without a
 * wildcard, the name itself or all below it ("model.layers.0" picks
 * "model.layers.0.mlp.weight", and "sub" picks "sub/file"). */
bool lmodel_match(const char *pattern, const char *name);

/* Writes `text` to `out` with everything a terminal could act on or a reader could misread
 * made visible: control characters, DEL, invalid UTF-8, Unicode format, bidirectional and
 * line-separator characters, backslash (as \\) become \n, \t, \xHH or \u{HHHH}. Always
 * NUL-terminates when `size` > 0, cutting at a whole character. Returns the length that the
 * whole result needs, without the NUL, as snprintf() does. */
size_t lmodel_escape(char *out, size_t size, const char *text);

/* Version of the library that is running, e.g. "0.1.0". */
const char *lmodel_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
