#include "net/upload_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/publish.h"
#include "crypto/crypto.h"
#include "net/url.h"

/* The file is text: this line, the location, "end". Its name is a digest of all that it is
 * about, so a file that was moved or made by hand for something else has another first line. */
#define HEAD "lmodel upload 1 %s/v2/%s %s %ju\n"

enum { FILE_LIMIT = LM_URL_LIMIT + 2048 };

static char *make_path(const char *directory, const char *head, struct lmodel_error *error)
{
	uint8_t digest[LM_SHA256_SIZE];
	char hex[2 * LM_SHA256_SIZE + 1];

	lm_sha256(digest, head, strlen(head));
	lm_hex(hex, digest, sizeof(digest));
	return lm_format(error, "%s/%s.upload", directory, hex);
}

/* The location in a file's text, or NULL. */
static char *read_location(const char *text, size_t len, const char *head)
{
	size_t head_len = strlen(head), line;

	if (len <= head_len || memcmp(text, head, head_len) != 0 ||
	    memchr(text, '\0', len) != NULL)
		return NULL;
	text += head_len;
	line = strcspn(text, "\n");
	if (line == 0 || line > LM_URL_LIMIT || strcmp(text + line, "\nend\n") != 0)
		return NULL;
	return strndup(text, line);
}

static void load(struct lm_upload_session *session, const char *head)
{
	LM_FREE char *text = NULL;
	struct stat st;

	if (fstat(session->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_LIMIT)
		return;
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL ||
	    lm_read_at(session->fd, session->path, text, (size_t)st.st_size, 0, NULL) != LMODEL_OK)
		return;
	session->location = read_location(text, (size_t)st.st_size, head);
}

void lm_upload_session_close(struct lm_upload_session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	free(session->path);
	free(session->head);
	free(session->location);
	*session = (struct lm_upload_session)LM_UPLOAD_SESSION_INIT;
}

/* Whether nobody else could say in it where an upload goes on. */
static bool is_own(const char *directory)
{
	struct stat st;

	return stat(directory, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0;
}

int lm_upload_session_open(struct lm_upload_session *session, const char *directory,
			   const char *base, const char *name, const char *digest, uint64_t length,
			   struct lmodel_error *error)
{
	struct lm_upload_session made = LM_UPLOAD_SESSION_INIT;
	struct stat by_name, by_fd;

	*session = made;
	if (directory == NULL)
		return LMODEL_OK;
	if (lm_make_private(directory, error))
		return LMODEL_EFAILED;
	if (!is_own(directory))
		return LMODEL_OK;
	made.head = lm_format(error, HEAD, base, name, digest, (uintmax_t)length);
	made.path = made.head == NULL ? NULL : make_path(directory, made.head, error);
	if (made.path == NULL) {
		lm_upload_session_close(&made);
		return LMODEL_EFAILED;
	}
	made.fd = open(made.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (made.fd < 0) {
		int r = lm_fail_errno(error, "%s", made.path);

		lm_upload_session_close(&made);
		return r;
	}
	/* whoever had it before may have removed it between open() and flock() */
	if (flock(made.fd, LOCK_EX | LOCK_NB) != 0 || fstat(made.fd, &by_fd) != 0 ||
	    stat(made.path, &by_name) != 0 || by_name.st_ino != by_fd.st_ino) {
		lm_upload_session_close(&made);
		return LMODEL_OK;
	}
	load(&made, made.head);
	*session = made;
	return LMODEL_OK;
}

int lm_upload_session_move(struct lm_upload_session *session, char *location,
			   struct lmodel_error *error)
{
	LM_FREE char *text = NULL;

	free(session->location);
	session->location = location;
	if (session->fd < 0)
		return LMODEL_OK;
	/* no sync: what a crash of the machine leaves is checked, and costs an upload at most */
	if (ftruncate(session->fd, 0) != 0)
		return lm_fail_errno(error, "%s", session->path);
	if (location == NULL)
		return LMODEL_OK;
	text = lm_format(error, "%s%s\nend\n", session->head, location);
	if (text == NULL)
		return LMODEL_EFAILED;
	return lm_write_at(session->fd, session->path, text, strlen(text), 0, error);
}

void lm_upload_session_remove(struct lm_upload_session *session)
{
	if (session->fd >= 0)
		unlink(session->path);
	free(session->location);
	session->location = NULL;
}
