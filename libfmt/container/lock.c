#include "container/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "container/layout.h"

static int take(int fd, short kind, off_t byte)
{
	struct flock lock = { .l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &lock);
}

int lm_lock_reader(int fd, const char *label, struct lmodel_error *error)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	/* A writer holds it for as long as it takes to zero what it has replaced. */
	for (int tries = 0; tries < 500; tries++) {
		if (take(fd, F_RDLCK, LM_LOCK_READER) == 0)
			return LMODEL_OK;
		if (errno != EAGAIN && errno != EACCES)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == EAGAIN || errno == EACCES)
		return lm_fail(error, LMODEL_EFAILED, "%s: is being rewritten; try again", label);
	return LMODEL_OK;
}

int lm_lock_writer(int fd, const char *path, struct lmodel_error *error)
{
	struct stat ours, theirs;

	if (take(fd, F_WRLCK, LM_LOCK_WRITER) != 0) {
		if (errno == EAGAIN || errno == EACCES)
			return lm_fail(error, LMODEL_EFAILED,
				       "%s: another writer holds the archive", LM_QUOTE(path));
		return lm_fail_errno(error, "%s: lock", LM_QUOTE(path));
	}
	if (fstat(fd, &ours) != 0 || stat(path, &theirs) != 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
		return lm_fail(error, LMODEL_EFAILED, "%s: was replaced meanwhile; try again",
			       LM_QUOTE(path));
	return LMODEL_OK;
}

void lm_unlock_reader(int fd)
{
	(void)take(fd, F_UNLCK, LM_LOCK_READER);
}

bool lm_lock_readers_out(int fd)
{
	return take(fd, F_WRLCK, LM_LOCK_READER) == 0;
}

bool lm_writer_is_active(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LM_LOCK_WRITER,
			      .l_len = 1 };

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
