/* The output files of an extraction: one file, or several in a directory, published together. */
#ifndef LM_OUTPUTS_H
#define LM_OUTPUTS_H

#include "base/io.h"
#include "base/publish.h"
#include "export/export.h"

struct lm_output_file {
	char *name;              /* relative to the directory, or the whole path */
	char *label;             /* for messages */
	uint8_t *head;           /* written when the file is begun; may be NULL */
	size_t head_len;
	struct lm_export_piece *pieces; /* where it goes; NULL: all of it to offset 0 */
	size_t piece_count;
	uint64_t size;
	uint64_t planned;        /* bytes of it that will be written for certain */
	struct lm_output output;

};

struct lm_outputs {
	char *directory;         /* NULL: one file, whose name is its path */
	bool new_directory;      /* does not exist: appears as a whole, by one rename */
	bool replace;
	struct lm_output_file *files;
	size_t count, capacity;
};

/* `directory` NULL for a single file. */
int lm_outputs_open(struct lm_outputs *outputs, const char *directory, bool replace,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Adds a file and gives it, zeroed but for the name; valid until the next call. */
struct lm_output_file *lm_outputs_add(struct lm_outputs *outputs, const char *name, size_t *index,
				      struct lmodel_error *error);

static inline const char *lm_outputs_name(const struct lm_outputs *outputs, size_t index)
{
	return outputs->files[index].name;
}

/* Writes a file's head. */
int lm_outputs_head(const struct lm_output_file *file, int fd, const char *label,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* A directory on the file system of the outputs, for temporary files. */
char *lm_outputs_place(const struct lm_outputs *outputs, struct lmodel_error *error);

/* Opens all files, reserves their space, and writes their heads. Every obstacle that can be
 * seen now is a failure now. */
int lm_outputs_begin(struct lm_outputs *outputs, struct lmodel_error *error) LM_MUST_CHECK;
int lm_outputs_publish(struct lm_outputs *outputs, struct lmodel_error *error) LM_MUST_CHECK;
void lm_outputs_release(struct lm_outputs *outputs);

#endif
