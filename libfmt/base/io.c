#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int lm_read_at(int fd, const char *label, void *buffer, size_t len, uint64_t offset,
	       struct lmodel_error *error)
{
	uint8_t *p = buffer;

	if (offset > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - offset)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: offset %ju is beyond any file", label,
			       (uintmax_t)offset);
	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lm_fail_errno(error, "%s: read at %ju", label, (uintmax_t)offset);
		if (n == 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: truncated: the file ends at %ju, %zu bytes short",
				       label, (uintmax_t)offset, len);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return LMODEL_OK;
}

int lm_write_at(int fd, const char *label, const void *buffer, size_t len, uint64_t offset,
		struct lmodel_error *error)
{
	const uint8_t *p = buffer;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lm_fail_errno(error, "%s: write at %ju", label, (uintmax_t)offset);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return LMODEL_OK;
}

int lm_reserve(int fd, const char *label, uint64_t size, struct lmodel_error *error)
{
	enum { WORTHWHILE = 1 << 20 };
	struct statfs fs = { 0 };
	int r = 0;

	if (size < WORTHWHILE || fstatfs(fd, &fs) != 0)
		return LMODEL_OK;
	/* Asked for more than there is, a file system takes all that it has before it says no. */
	if (fs.f_blocks > 0 && fs.f_bsize > 0 && fs.f_bfree < size / (uint64_t)fs.f_bsize)
		r = errno = ENOSPC;
	/* In memory all pages would be made here, by one thread. */
	else if (fs.f_type != TMPFS_MAGIC)
		r = fallocate(fd, 0, 0, (off_t)size);
	return r == 0 || (errno != ENOSPC && errno != EDQUOT) ?
		       LMODEL_OK :
		       lm_fail_errno(error, "%s: %ju bytes", label, (uintmax_t)size);
}

void lm_write_behind(int fd, struct lm_behind *behind, size_t len)
{
	enum { STEP = 4 << 20 };
	uint64_t before = atomic_fetch_add_explicit(&behind->bytes, len, memory_order_relaxed);

	if (before / STEP != (before + len) / STEP)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int lm_write_all(int fd, const char *label, const void *buffer, size_t len,
		 struct lmodel_error *error)
{
	const uint8_t *p = buffer;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lm_fail_errno(error, "%s: write", label);
		p += n;
		len -= (size_t)n;
	}
	return LMODEL_OK;
}

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a FIFO" :
	       S_ISSOCK(mode) ? "a socket" : "a device";
}

int lm_open_regular(const char *path, int flags, int *fd, uint64_t *size,
		    struct lmodel_error *error)
{
	struct stat st;
	LM_CLOSE int f = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (f < 0 && errno == EISDIR)
		return lm_fail(error, LMODEL_EUSAGE, "%s: is a directory, not a file",
			       LM_QUOTE(path));
	if (f < 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (fstat(f, &st) != 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (!S_ISREG(st.st_mode))
		return lm_fail(error, LMODEL_EUSAGE, "%s: is %s, not a file", LM_QUOTE(path),
			       kind_of(st.st_mode));
	*fd = f;
	*size = (uint64_t)st.st_size;
	f = -1;
	return LMODEL_OK;
}

int lm_unnamed_file(const char *directory, int *fd, struct lmodel_error *error)
{
	LM_FREE char *path = NULL;

	if (directory == NULL)
		directory = getenv("TMPDIR");
	if (directory == NULL || directory[0] == '\0')
		directory = "/tmp";
	*fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return LMODEL_OK;
	path = lm_format(error, "%s/.lmodel-XXXXXX", directory);
	if (path == NULL)
		return LMODEL_EFAILED;
	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return lm_fail_errno(error, "temporary file in %s", LM_QUOTE(directory));
	unlink(path);
	return LMODEL_OK;
}

int lm_spool(int in, const char *label, const char *directory, int *fd, uint64_t *size,
	     struct lmodel_error *error)
{
	enum { PIECE = 1 << 18 };
	LM_FREE uint8_t *buffer = malloc(PIECE);
	LM_CLOSE int out = -1;
	uint64_t total = 0;

	if (buffer == NULL)
		return lm_fail_memory(error);
	if (lm_unnamed_file(directory, &out, error))
		return LMODEL_EFAILED;
	for (;;) {
		ssize_t n = read(in, buffer, PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lm_fail_errno(error, "%s: read", label);
		if (n == 0)
			break;
		if (lm_write_at(out, "temporary file", buffer, (size_t)n, total, error))
			return LMODEL_EFAILED;
		total += (uint64_t)n;
	}
	*fd = out;
	*size = total;
	out = -1;
	return LMODEL_OK;
}

int lm_copy_out(int in, const char *in_label, int out, const char *out_label,
		struct lmodel_error *error)
{
	enum { PIECE = 1 << 18 };
	LM_FREE uint8_t *buffer = malloc(PIECE);
	off_t at = 0;

	if (buffer == NULL)
		return lm_fail_memory(error);
	for (;;) {
		ssize_t n = pread(in, buffer, PIECE, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lm_fail_errno(error, "%s: read", in_label);
		if (n == 0)
			return LMODEL_OK;
		if (lm_write_all(out, out_label, buffer, (size_t)n, error))
			return LMODEL_EFAILED;
		at += n;
	}
}

bool lm_is_zero(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

int lm_zero_range(int fd, const char *label, uint64_t offset, uint64_t len,
		  struct lmodel_error *error)
{
	enum { BUFFER = 1 << 16 };
	LM_FREE uint8_t *zeros = NULL;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)len) != 0) {
		zeros = calloc(1, BUFFER);
		if (zeros == NULL)
			return lm_fail_memory(error);
		for (uint64_t done = 0; done < len;) {
			size_t n = (size_t)LM_MIN(len - done, (uint64_t)BUFFER);
			int r = lm_write_at(fd, label, zeros, n, offset + done, error);

			if (r != LMODEL_OK)
				return r;
			done += n;
		}
	}
	if (fdatasync(fd) != 0)
		return lm_fail_errno(error, "%s: sync", label);
	return LMODEL_OK;
}
