/* Locks on an archive (spec: 2.5). They belong to the open file and go with its descriptor. */
#ifndef LM_LOCK_H
#define LM_LOCK_H

#include "base/base.h"

/* Shares the reader byte, so that nobody punches away what is being read. A file system without
 * locks is no failure: archives on it are read-only in practice. */
int lm_lock_reader(int fd, const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Gives the shared byte back. */
void lm_unlock_reader(int fd);

/* Takes the reader byte for itself, without waiting: false while anybody reads. Given back with
 * lm_unlock_reader(). */
bool lm_lock_readers_out(int fd) LM_MUST_CHECK;

/* Takes the writer byte without waiting, then checks that `path` is still this file: EFAILED
 * when another writer holds it or the file was replaced. */
int lm_lock_writer(int fd, const char *path, struct lmodel_error *error) LM_MUST_CHECK;

/* Whether somebody else holds the writer byte now. */
bool lm_writer_is_active(int fd);

#endif
