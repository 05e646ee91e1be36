/* Outputs that appear whole or not at all. */
#ifndef LM_PUBLISH_H
#define LM_PUBLISH_H

#include "base/io.h"

/* One output file in the making: an unnamed file in the target's directory where the file
 * system has them, else one with a hidden temporary name. */
struct lm_output {
	int fd;          /* write here */
	struct lm_behind behind; /* for those who write much */
	char *path;      /* the name to be */
	char *temporary; /* NULL when unnamed */
	bool replace;    /* may take the place of an existing file */
	unsigned mode;   /* of a file with a temporary name, when it is
	                    published; 0600 until then */
};

#define LM_OUTPUT_INIT { .fd = -1 }

/* Fails at once when `path` exists and `replace` is false, when it is a directory, or when
 * its directory is missing. New files get mode 0666 less the umask. */
int lm_output_begin(struct lm_output *output, const char *path, bool replace,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* The same for a file whose name is decided later, with lm_output_aim(): on the file system of
 * `directory`. */
int lm_output_begin_in(struct lm_output *output, const char *directory, struct lmodel_error *error)
	LM_MUST_CHECK;
int lm_output_aim(struct lm_output *output, const char *path, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Permissions other than those of any new file. */
int lm_output_mode(struct lm_output *output, unsigned mode,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Syncs the data, gives the file its name, and syncs the directory. */
int lm_output_publish(struct lm_output *output, struct lmodel_error *error) LM_MUST_CHECK;

/* Drops what was not published; allowed at any time, also after publish. */
void lm_output_release(struct lm_output *output);

/* The directory part of `path` ("." when there is none), in fresh memory. */
char *lm_directory_of(const char *path, struct lmodel_error *error);

/* mkdir -p of the directory part of `path`, from the directory `root` (which exists) on. */
int lm_make_parents(const char *root, const char *path, struct lmodel_error *error) LM_MUST_CHECK;

/* mkdir -p of a directory that nobody else may look into (mode 0700, and what is missing above it). */
int lm_make_private(const char *path, struct lmodel_error *error) LM_MUST_CHECK;

#endif
