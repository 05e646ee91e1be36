/* Where an upload stands, in a file of its own, so that a push that was killed goes on. */
#ifndef LM_UPLOAD_SESSION_H
#define LM_UPLOAD_SESSION_H

#include "base/base.h"

struct lm_upload_session {
	int fd;          /* locked while it is used; -1: nothing is kept */
	char *path;
	char *head;      /* what the file is about: its first line */
	char *location;  /* where the next request goes, absolute; NULL: a new session is needed */
};

#define LM_UPLOAD_SESSION_INIT { .fd = -1 }

/* Opens the file of `digest` (of `length` bytes) for the repository `name` of the registry at
 * `base` in `directory`, made (0700) if it is missing; the file has mode 0600, since an address
 * of an upload can be all that is needed to go on with it. What is in it counts when it is about
 * just this, and is forgotten when not. Nothing is kept when `directory` is NULL, is not the
 * user's own, or another process has the file. */
int lm_upload_session_open(struct lm_upload_session *session, const char *directory,
			   const char *base, const char *name, const char *digest, uint64_t length,
			   struct lmodel_error *error) LM_MUST_CHECK;

/* Takes a new location over, in fresh memory (NULL: there is none any more), and writes it down. */
int lm_upload_session_move(struct lm_upload_session *session, char *location,
			   struct lmodel_error *error) LM_MUST_CHECK;

/* Removes the file: the upload is done, or given up. */
void lm_upload_session_remove(struct lm_upload_session *session);

/* Closes it; the file stays unless it was removed. */
void lm_upload_session_close(struct lm_upload_session *session);

#endif
