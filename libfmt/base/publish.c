#include "base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

char *lm_directory_of(const char *path, struct lmodel_error *error)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return lm_strdup(".", error);
	return lm_format(error, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int check_target(const char *path, bool replace, struct lmodel_error *error)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? LMODEL_OK : lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (S_ISDIR(st.st_mode))
		return lm_fail(error, LMODEL_EUSAGE, "%s: is a directory", LM_QUOTE(path));
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return lm_fail(error, LMODEL_EUSAGE, "%s: exists and is not a file",
			       LM_QUOTE(path));
	if (!replace)
		return lm_fail(error, LMODEL_EFAILED, "%s: exists already (-f replaces it)",
			       LM_QUOTE(path));
	return LMODEL_OK;
}

int lm_output_begin_in(struct lm_output *output, const char *directory, struct lmodel_error *error)
{
	struct lm_output o = LM_OUTPUT_INIT;

	o.fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (o.fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		mode_t mask = umask(0);

		umask(mask);
		o.temporary = lm_format(error, "%s/.lmodel-XXXXXX", directory);
		if (o.temporary == NULL)
			return LMODEL_EFAILED;
		o.fd = mkostemp(o.temporary, O_CLOEXEC);
		o.mode = 0666 & ~mask;
		if (o.fd < 0)
			free(o.temporary);
	}
	if (o.fd < 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(directory));
	*output = o;
	return LMODEL_OK;
}

int lm_output_aim(struct lm_output *output, const char *path, struct lmodel_error *error)
{
	char *copy = lm_strdup(path, error);

	if (copy == NULL)
		return LMODEL_EFAILED;
	free(output->path);
	output->path = copy;
	return LMODEL_OK;
}

int lm_output_begin(struct lm_output *output, const char *path, bool replace,
		    struct lmodel_error *error)
{
	LM_FREE char *directory = lm_directory_of(path, error);
	int r;

	if (directory == NULL)
		return LMODEL_EFAILED;
	r = check_target(path, replace, error);
	if (r == LMODEL_OK)
		r = lm_output_begin_in(output, directory, error);
	if (r != LMODEL_OK)
		return r;
	output->replace = replace;
	if (lm_output_aim(output, path, error)) {
		lm_output_release(output);
		return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

/* An unnamed file gets a name with linkat(2), which never replaces: so for replacement it is
 * linked beside the target and renamed over it. */
static int give_name(struct lm_output *o, struct lmodel_error *error)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	if (o->temporary == NULL) {
		LM_FREE char *directory = NULL;

		if (linkat(AT_FDCWD, self, AT_FDCWD, o->path, AT_SYMLINK_FOLLOW) == 0)
			return LMODEL_OK;
		if (errno != EEXIST || !o->replace)
			return lm_fail_errno(error, "%s", LM_QUOTE(o->path));
		directory = lm_directory_of(o->path, error);
		if (directory == NULL)
			return LMODEL_EFAILED;
		for (unsigned try = 0; o->temporary == NULL; try++) {
			char *name = lm_format(error, "%s/.lmodel-%ld-%u", directory,
					       (long)getpid(), try);

			if (name == NULL)
				return LMODEL_EFAILED;
			if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
				o->temporary = name;
				break;
			}
			free(name);
			if (errno != EEXIST || try > 100)
				return lm_fail_errno(error, "%s", LM_QUOTE(o->path));
		}
	}
	if (o->replace ?
		    rename(o->temporary, o->path) != 0 :
		    renameat2(AT_FDCWD, o->temporary, AT_FDCWD, o->path, RENAME_NOREPLACE) != 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(o->path));
	free(o->temporary);
	o->temporary = NULL;
	return LMODEL_OK;
}

int lm_output_mode(struct lm_output *o, unsigned mode, struct lmodel_error *error)
{
	o->mode = mode;
	if (o->temporary == NULL && fchmod(o->fd, mode) != 0)
		return lm_fail_errno(error, "%s: permissions", LM_QUOTE(o->path));
	return LMODEL_OK;
}

int lm_output_publish(struct lm_output *o, struct lmodel_error *error)
{
	LM_FREE char *directory = lm_directory_of(o->path, error);
	LM_CLOSE int dir_fd = -1;

	if (directory == NULL)
		return LMODEL_EFAILED;
	if (o->temporary != NULL && fchmod(o->fd, o->mode) != 0)
		return lm_fail_errno(error, "%s: permissions", LM_QUOTE(o->path));
	if (fsync(o->fd) != 0)
		return lm_fail_errno(error, "%s: sync", LM_QUOTE(o->path));
	if (give_name(o, error))
		return LMODEL_EFAILED;
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0)
		fsync(dir_fd); /* best effort: the file itself is whole and synced */
	lm_output_release(o);
	return LMODEL_OK;
}

void lm_output_release(struct lm_output *o)
{
	if (o->temporary != NULL)
		unlink(o->temporary);
	free(o->temporary);
	free(o->path);
	if (o->fd >= 0)
		close(o->fd);
	*o = (struct lm_output)LM_OUTPUT_INIT;
}

int lm_make_parents(const char *root, const char *path, struct lmodel_error *error)
{
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		LM_FREE char *part = lm_format(error, "%s/%.*s", root, (int)(slash - path), path);
		struct stat st;

		if (part == NULL)
			return LMODEL_EFAILED;
		if (mkdir(part, 0777) == 0)
			continue;
		if (errno != EEXIST)
			return lm_fail_errno(error, "%s", LM_QUOTE(part));
		/* Below an output directory a link could lead anywhere: only real ones. */
		if (lstat(part, &st) != 0 || !S_ISDIR(st.st_mode))
			return lm_fail(error, LMODEL_EFAILED, "%s: exists and is not a directory",
				       LM_QUOTE(part));
	}
	return LMODEL_OK;
}

int lm_make_private(const char *path, struct lmodel_error *error)
{
	LM_FREE char *part = lm_strdup(path, error);

	if (part == NULL)
		return LMODEL_EFAILED;
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return lm_fail_errno(error, "%s", LM_QUOTE(part));
		*slash = '/';
	}
	if (mkdir(part, 0700) != 0 && errno != EEXIST)
		return lm_fail_errno(error, "%s", LM_QUOTE(part));
	return LMODEL_OK;
}
