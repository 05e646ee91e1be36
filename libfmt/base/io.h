/* Whole reads and writes at positions; opening what must be a regular file. */
#ifndef LM_IO_H
#define LM_IO_H

#include "base/base.h"

/* Reads exactly `len` bytes at `offset`. ECORRUPT "truncated" when the file ends before.
 * `label` is the printable name for messages. */
int lm_read_at(int fd, const char *label, void *buffer, size_t len, uint64_t offset,
	       struct lmodel_error *error) LM_MUST_CHECK;
int lm_write_at(int fd, const char *label, const void *buffer, size_t len, uint64_t offset,
		struct lmodel_error *error) LM_MUST_CHECK;

/* Takes the blocks that the first `size` bytes of a new file need, where that is cheaper than one
 * write after the other taking its own. EFAILED when there is no room for them. */
int lm_reserve(int fd, const char *label, uint64_t size, struct lmodel_error *error) LM_MUST_CHECK;

/* How much of a file was written since its pages were last sent to the disk. */
struct lm_behind {
	_Atomic uint64_t bytes;
};

/* After each write to a file that is synced in the end, by any thread: begins to bring it to the disk
 * while there is still work for the processors. Only a hint. */
void lm_write_behind(int fd, struct lm_behind *behind, size_t len);

/* Writes to a stream, from the current position. */
int lm_write_all(int fd, const char *label, const void *buffer, size_t len,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* Opens a regular file (symbolic links are followed). A directory, FIFO, socket or device is
 * EUSAGE with its kind in the message; never blocks on one. `flags` as open(2). */
int lm_open_regular(const char *path, int flags, int *fd, uint64_t *size,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Copies all of the stream `in` into a fresh unlinked file in `directory` (NULL: $TMPDIR or
 * /tmp) and gives that file. */
int lm_spool(int in, const char *label, const char *directory, int *fd, uint64_t *size,
	     struct lmodel_error *error) LM_MUST_CHECK;

/* A file with no name in `directory` (NULL: $TMPDIR or /tmp), open for reading and writing. */
int lm_unnamed_file(const char *directory, int *fd, struct lmodel_error *error) LM_MUST_CHECK;

/* Copies all of the file `in`, from its start, to the stream `out`. */
int lm_copy_out(int in, const char *in_label, int out, const char *out_label,
		struct lmodel_error *error) LM_MUST_CHECK;

/* Makes a range of a file zeros: a hole where the file system can, else written. Synced. */
int lm_zero_range(int fd, const char *label, uint64_t offset, uint64_t len,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* Whether all `len` bytes are zero. */
bool lm_is_zero(const void *bytes, size_t len);

#endif
