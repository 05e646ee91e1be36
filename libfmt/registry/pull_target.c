/* What a pull finds under the name of its output, and puts there. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "container/lock.h"
#include "registry/pull.h"

static char *default_path(const struct lm_pull *p, struct lmodel_error *error)
{
	const char *slash = strrchr(p->exchange.reference.name, '/');

	return lm_format(error, "%s.lmodel",
			 slash != NULL ? slash + 1 : p->exchange.reference.name);
}

static int exists_already(const struct lm_pull *p, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED,
		       "%s: exists already and is not the archive %s (-f replaces it)",
		       LM_QUOTE(p->given), p->image.id);
}

/* Under the writer lock from here on: what is copied from it does not change, and nobody's commit
 * is lost with it. */
static int open_old(struct lm_pull *p, struct lmodel_error *error)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *old = NULL;
	uint64_t size;
	int r = lm_open_regular(p->path, O_RDWR, &p->lock, &size, error);

	if (r == LMODEL_OK)
		r = lm_lock_writer(p->lock, p->path, error);
	if (r != LMODEL_OK)
		return r;
	r = lm_archive_open_locked(&old, p->path, &e);
	if (r == LMODEL_EFAILED)
		return lm_fail(error, LMODEL_EFAILED, "%s", e.message);
	if (r == LMODEL_OK && strcmp(old->manifest.id, p->image.id) == 0) {
		p->old = p->assembly.old = old;
		return LMODEL_OK;
	}
	lmodel_close(old);
	return p->options.overwrite ? LMODEL_OK : exists_already(p, error);
}

int lm_pull_open_target(struct lm_pull *p, struct lmodel_error *error)
{
	struct stat st;
	char *real;

	if (p->options.output != NULL && strcmp(p->options.output, "-") == 0)
		return lm_fail(error, LMODEL_EUSAGE, "pull writes a file, no standard stream");
	p->path = p->options.output != NULL ? lm_strdup(p->options.output, error) :
					      default_path(p, error);
	p->given = p->path != NULL ? lm_strdup(p->path, error) : NULL;
	if (p->given == NULL)
		return LMODEL_EFAILED;
	if (stat(p->path, &st) != 0)
		return LMODEL_OK; /* what is wrong with the name is found when it is made */
	if (!S_ISREG(st.st_mode))
		return LMODEL_OK;
	real = realpath(p->path, NULL);
	if (real == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(p->path));
	free(p->path);
	p->path = real;
	return open_old(p, error);
}

int lm_pull_check_rollback(const struct lm_pull *p, struct lmodel_error *error)
{
	const struct lmodel_archive *old = p->old, *new = p->head;
	const struct { const char *what; uint64_t have, get; } counters[] = {
		{ "content generation", old != NULL ? old->manifest.content_generation : 0,
		  new->manifest.content_generation },
		{ "customer book", old != NULL ? old->manifest.owner.book_counter : 0,
		  new->manifest.owner.book_counter },
		{ "commit", old != NULL ? old->footer.commit_counter : 0,
		  new->footer.commit_counter },
	};

	if (old == NULL || p->options.allow_rollback)
		return LMODEL_OK;
	for (size_t i = 0; i < LM_COUNT(counters); i++)
		if (counters[i].have > counters[i].get)
			return lm_fail(error, LMODEL_EFAILED,
				       "%s: is newer than %s: %s %ju, not %ju (--allow-rollback "
				       "replaces it)", LM_QUOTE(p->given),
				       p->exchange.reference.text, counters[i].what,
				       (uintmax_t)counters[i].have, (uintmax_t)counters[i].get);
	return LMODEL_OK;
}

int lm_pull_begin_output(struct lm_pull *p, struct lmodel_error *error)
{
	struct stat st;
	int r = lm_output_begin(&p->out, p->path, p->old != NULL || p->options.overwrite, error);

	if (r == LMODEL_OK && p->old != NULL && fstat(p->old->file.fd, &st) == 0)
		r = lm_output_mode(&p->out, st.st_mode & 07777, error);
	p->assembly.fd = p->out.fd;
	p->assembly.label = p->exchange.reference.text;
	return r;
}

/* Only an age file gives way: anything else of that name is somebody's. `*same` when it is this
 * one. */
static int check_grant(const struct lm_pull *p, const char *path, bool *same,
		       struct lmodel_error *error)
{
	static const char magic[] = "-----BEGIN AGE ENCRYPTED FILE-----";
	LM_FREE uint8_t *there = malloc(p->grant.len);
	LM_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	*same = false;
	if (there == NULL)
		return lm_fail_memory(error);
	if (fd < 0)
		return errno == ENOENT ? LMODEL_OK : lm_fail_errno(error, "%s", LM_QUOTE(path));
	n = read(fd, there, p->grant.len);
	if (n >= (ssize_t)strlen(magic) && memcmp(there, magic, strlen(magic)) == 0) {
		*same = (size_t)n == p->grant.len && memcmp(there, p->grant.file, (size_t)n) == 0 &&
			read(fd, there, 1) == 0;
		return LMODEL_OK;
	}
	return p->options.overwrite ? LMODEL_OK :
		lm_fail(error, LMODEL_EFAILED,
			"%s: exists already and is no grant (-f replaces it)", LM_QUOTE(path));
}

int lm_pull_begin_grant(struct lm_pull *p, struct lmodel_error *error)
{
	char *path;
	bool same;
	int r;

	if (!p->keep_grant)
		return LMODEL_OK;
	path = lm_format(error, "%s.grant", p->given);
	if (path == NULL)
		return LMODEL_EFAILED;
	p->report.grant = path;
	r = check_grant(p, path, &same, error);
	if (r != LMODEL_OK || same)
		return r;
	r = lm_output_begin(&p->grant_out, path, true, error);
	if (r == LMODEL_OK)
		r = lm_output_mode(&p->grant_out, 0600, error);
	return r == LMODEL_OK ? lm_write_at(p->grant_out.fd, LM_QUOTE(path), p->grant.file,
					    p->grant.len, 0, error) : r;
}

int lm_pull_publish_grant(struct lm_pull *p, struct lmodel_error *error)
{
	return p->grant_out.fd < 0 ? LMODEL_OK : lm_output_publish(&p->grant_out, error);
}
