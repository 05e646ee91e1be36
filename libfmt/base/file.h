/* What is read at positions: a file on this machine, or bytes that come from elsewhere. */
#ifndef LM_FILE_H
#define LM_FILE_H

#include "base/io.h"

/* Where the bytes of a file that is not local come from. Any number of threads may read at once. */
struct lm_file_ops {
	/* As lm_read_at(). */
	int (*read)(void *source, void *buffer, size_t len, uint64_t offset,
		    struct lmodel_error *error);
	/* All of this range is going to be read: only a hint. */
	void (*will_need)(void *source, uint64_t offset, uint64_t len);
	/* These bytes were not what they should be: whether to read them anew is worth it, as they may
	 * come from a cache. True a bounded number of times. */
	bool (*doubt)(void *source, uint64_t offset, uint64_t len);
	void (*close)(void *source);
};

struct lm_file {
	int fd;                        /* -1: not a local file, or none */
	const char *label;             /* printable name for messages; not owned */
	const struct lm_file_ops *ops; /* NULL for a local file */
	void *source;
};

/* Borrows a descriptor. */
static inline struct lm_file lm_file_local(int fd, const char *label)
{
	return (struct lm_file){ .fd = fd, .label = label };
}

/* Reads exactly `len` bytes at `offset`. ECORRUPT "truncated" when the file ends before. */
static inline int LM_MUST_CHECK lm_file_read(const struct lm_file *file, void *buffer, size_t len,
					     uint64_t offset, struct lmodel_error *error)
{
	if (file->ops == NULL)
		return lm_read_at(file->fd, file->label, buffer, len, offset, error);
	return file->ops->read(file->source, buffer, len, offset, error);
}

/* Before a range is read piece by piece: then it can be fetched in one. */
static inline void lm_file_will_need(const struct lm_file *file, uint64_t offset, uint64_t len)
{
	if (file->ops != NULL)
		file->ops->will_need(file->source, offset, len);
}

/* After a digest over bytes of a range has failed: true when the range should be read again. */
static inline bool lm_file_doubt(const struct lm_file *file, uint64_t offset, uint64_t len)
{
	return file->ops != NULL && file->ops->doubt(file->source, offset, len);
}

/* Closes what the struct holds, which is then no file. */
static inline void lm_file_close(struct lm_file *file)
{
	if (file->ops != NULL)
		file->ops->close(file->source);
	else if (file->fd >= 0)
		close(file->fd);
	*file = (struct lm_file){ .fd = -1 };
}

#endif
