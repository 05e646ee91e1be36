/* The pax tar around the members, through libarchive: the only folder that includes archive.h. */
#ifndef LM_TAR_H
#define LM_TAR_H

#include "base/base.h"
#include "container/layout.h"

/* Makes the tar header of a regular file `path` (safe ASCII, at most 100 bytes) of `size` bytes.
 * `len` is 512, or 1536 when a pax header is needed or `wide` asks for one: a writer that does not
 * yet know whether the data will reach 8 GiB reserves 1536 bytes and fills just those. */
int lm_tar_header(const char *path, uint64_t size, int64_t mtime, bool wide,
		  uint8_t header[LM_TAR_HEADER_MAX], size_t *len, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Escapes a name to a member path: `prefix` + the name with every byte outside
 * [A-Za-z0-9._-] (and '/', with `keep_slash`) as %HH; when that is over 100 bytes it is cut and
 * "~" + `number` is added, so that paths of different names differ. Fresh memory. */
char *lm_tar_path(const char *prefix, const char *name, bool keep_slash, uint64_t number,
		  struct lmodel_error *error);

/* Calls `member` for each member, in order, with the offset of its header and of its data: 512
 * bytes behind a plain header, 1536 behind a pax header of one block. Data is skipped, not read.
 * Stops at the end-of-archive blocks, at the first failure of `member`, or at damage (ECORRUPT,
 * with the offset). `end` is set to where the end blocks (or the damage) begin. */
typedef int lm_tar_member_fn(void *context, const char *path, uint64_t header_offset,
			     uint64_t data_offset, uint64_t size, bool regular,
			     struct lmodel_error *error);
int lm_tar_walk(int fd, uint64_t file_size, lm_tar_member_fn *member, void *context,
		uint64_t *end, struct lmodel_error *error) LM_MUST_CHECK;

#endif
