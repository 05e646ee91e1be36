/* base/publish.c: outputs that appear whole or not at all. */
#include "base/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib/tap.h"

static char root[64];

/* A name in the test's directory. */
#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static const char *content(const char *path)
{
	static char text[100];
	FILE *f = fopen(path, "r");
	size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	if (f == NULL)
		return NULL;
	fclose(f);
	return text;
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (d != NULL)
		closedir(d);
	return d != NULL ? n : -1;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode : 0;
}

static int begin_fails(const char *path, bool replace, enum lmodel_code code, const char *part,
		       const char *what)
{
	struct lm_output o = LM_OUTPUT_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r = lm_output_begin(&o, path, replace, &error);

	is_error(&error, code, part, what);
	ok(r == (int)code && o.fd == -1, "... and nothing was begun");
	lm_output_release(&o);
	return r;
}

/* ---- */

static void test_new_file(void)
{
	struct lm_output o = LM_OUTPUT_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_output_begin(&o, AT("new"), false, &error), LMODEL_OK, "begin");
	ok(write(o.fd, "whole", 5) == 5, "write");
	ok(content(AT("new")) == NULL, "no such name before publish");
	is_int(lm_output_publish(&o, &error), LMODEL_OK, "publish");
	is_str(content(AT("new")), "whole", "there afterwards");
	is_int(o.fd, -1, "closed");
	lm_output_release(&o);
	lm_output_release(&o);
	is_int(entries(root), 1, "nothing beside it");
	unlink(AT("new"));
}

static void test_release(void)
{
	struct lm_output o = LM_OUTPUT_INIT;

	is_int(lm_output_begin(&o, AT("dropped"), false, NULL), LMODEL_OK, "begin");
	ok(write(o.fd, "half", 4) == 4, "write");
	lm_output_release(&o);
	is_int(entries(root), 0, "release leaves nothing");
	put(AT("old"), "old");
	is_int(lm_output_begin(&o, AT("old"), true, NULL), LMODEL_OK, "begin a replacement");
	ok(write(o.fd, "half", 4) == 4, "write");
	lm_output_release(&o);
	is_str(content(AT("old")), "old", "release leaves the old file");
	is_int(entries(root), 1, "... alone");
	unlink(AT("old"));
}

static void test_replace(void)
{
	struct lm_output o = LM_OUTPUT_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	put(AT("f"), "old");
	begin_fails(AT("f"), false, LMODEL_EFAILED, "exists already", "an existing file");
	is_int(lm_output_begin(&o, AT("f"), true, &error), LMODEL_OK, "begin, to replace");
	ok(write(o.fd, "new", 3) == 3, "write");
	is_str(content(AT("f")), "old", "the old one stays until publish");
	is_int(lm_output_publish(&o, &error), LMODEL_OK, "publish");
	is_str(content(AT("f")), "new", "replaced");
	is_int(entries(root), 1, "nothing beside it");
	unlink(AT("f"));
}

/* A file that appears between begin and publish is not replaced either. */
static void test_race(void)
{
	struct lm_output o = LM_OUTPUT_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_output_begin(&o, AT("f"), false, &error), LMODEL_OK, "begin");
	put(AT("f"), "other");
	is_int(lm_output_publish(&o, &error), LMODEL_EFAILED, "publish over a file that came");
	is_error(&error, LMODEL_EFAILED, strerror(EEXIST), "publish over a file that came");
	lm_output_release(&o);
	is_str(content(AT("f")), "other", "... which stays");
	is_int(entries(root), 1, "... alone");
	unlink(AT("f"));
}

static void test_modes(void)
{
	static const mode_t masks[] = { 022, 077, 0, 027 };
	mode_t before = umask(0);

	for (size_t i = 0; i < LM_COUNT(masks); i++)
		for (int replace = 0; replace < 2; replace++) {
			struct lm_output o = LM_OUTPUT_INIT;

			umask(0);
			if (replace) {
				put(AT("f"), "old");
				chmod(AT("f"), 0600);
			}
			umask(masks[i]);
			if (lm_output_begin(&o, AT("f"), replace, NULL) != LMODEL_OK ||
			    lm_output_publish(&o, NULL) != LMODEL_OK)
				ok(0, "publish");
			is_int(mode_of(AT("f")) & 07777, 0666 & ~masks[i], "mode is 0666 less the umask");
			unlink(AT("f"));
		}
	umask(before);
}

/* A link is replaced, never followed: it could lead anywhere. */
static void test_symlink(void)
{
	struct lm_output o = LM_OUTPUT_INIT;

	put(AT("target"), "target");
	if (symlink("target", AT("link")) != 0 || symlink("nowhere", AT("dangling")) != 0)
		abort();
	begin_fails(AT("link"), false, LMODEL_EFAILED, "exists already", "a symbolic link");
	begin_fails(AT("dangling"), false, LMODEL_EFAILED, "exists already", "a dangling link");
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? AT("link") : AT("dangling");

		is_int(lm_output_begin(&o, name, true, NULL), LMODEL_OK, "begin over a link");
		ok(write(o.fd, "new", 3) == 3, "write");
		is_int(lm_output_publish(&o, NULL), LMODEL_OK, "publish over a link");
		ok(S_ISREG(mode_of(name)), "the link is a file now");
		is_str(content(name), "new", "... the new one");
	}
	is_str(content(AT("target")), "target", "its target is as it was");
	ok(mode_of(AT("nowhere")) == 0, "nothing was made behind the dangling one");
	unlink(AT("target"));
	unlink(AT("link"));
	unlink(AT("dangling"));
}

static void test_refusals(void)
{
	struct lm_output o = LM_OUTPUT_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	begin_fails(root, true, LMODEL_EUSAGE, "is a directory", "a directory");
	begin_fails(AT("none/f"), true, LMODEL_EFAILED, strerror(ENOENT), "a missing directory");
	if (mkfifo(AT("fifo"), 0600) != 0)
		abort();
	begin_fails(AT("fifo"), true, LMODEL_EUSAGE, "is not a file", "a FIFO");
	unlink(AT("fifo"));
	put(AT("f"), "");
	begin_fails(AT("f/x"), true, LMODEL_EFAILED, strerror(ENOTDIR), "a file as directory");
	unlink(AT("f"));
	is_int(lm_output_begin_in(&o, AT("none"), &error), LMODEL_EFAILED, "begin in a missing one");
	is_error(&error, LMODEL_EFAILED, strerror(ENOENT), "begin in a missing one");
	begin_fails(AT("a\nb/f"), true, LMODEL_EFAILED, "a\\nb", "names are escaped in messages");
	is_int(entries(root), 0, "nothing left by any of these");
}

static void test_aim(void)
{
	struct lm_output o = LM_OUTPUT_INIT;

	is_int(lm_output_begin_in(&o, root, NULL), LMODEL_OK, "begin without a name");
	ok(write(o.fd, "x", 1) == 1, "write");
	is_int(lm_output_aim(&o, AT("first"), NULL), LMODEL_OK, "aim");
	is_int(lm_output_aim(&o, AT("second"), NULL), LMODEL_OK, "aim again");
	is_int(lm_output_publish(&o, NULL), LMODEL_OK, "publish");
	is_str(content(AT("second")), "x", "at the last name");
	is_int(entries(root), 1, "... alone");
	unlink(AT("second"));
}

/* ---- directories ---- */

static void directory_is(const char *path, const char *wanted)
{
	LM_FREE char *got = lm_directory_of(path, NULL);

	is_str(got, wanted, path);
}

static void test_directory_of(void)
{
	directory_is("f", ".");
	directory_is("a/f", "a");
	directory_is("a/b/f", "a/b");
	directory_is("/f", "/");
	directory_is("/a/f", "/a");
	directory_is("./f", ".");
	directory_is("a/", "a");
}

static void test_make_parents(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_make_parents(root, "f", &error), LMODEL_OK, "parents of a bare name");
	is_int(entries(root), 0, "... are none");
	is_int(lm_make_parents(root, "a/b/f", &error), LMODEL_OK, "two new parents");
	ok(S_ISDIR(mode_of(AT("a/b"))) && mode_of(AT("a/b/f")) == 0, "... and the file is not made");
	is_int(lm_make_parents(root, "a/b/c/f", &error), LMODEL_OK, "below some that exist");
	ok(S_ISDIR(mode_of(AT("a/b/c"))), "... made");

	if (symlink("/", AT("out")) != 0 || symlink("a", AT("in")) != 0)
		abort();
	put(AT("file"), "");
	is_int(lm_make_parents(root, "out/x/f", &error), LMODEL_EFAILED, "a link out");
	is_error(&error, LMODEL_EFAILED, "is not a directory", "a link out");
	is_int(lm_make_parents(root, "in/x/f", NULL), LMODEL_EFAILED, "a link within");
	ok(mode_of(AT("a/x")) == 0, "... through which nothing is made");
	is_int(lm_make_parents(root, "a/../in/f", NULL), LMODEL_EFAILED, "a link behind others");
	is_int(lm_make_parents(root, "file/f", NULL), LMODEL_EFAILED, "a file");

	unlink(AT("file"));
	unlink(AT("in"));
	unlink(AT("out"));
	rmdir(AT("a/b/c"));
	rmdir(AT("a/b"));
	rmdir(AT("a"));
}

static struct stat stat_of(int fd)
{
	struct stat st = { 0 };

	fstat(fd, &st);
	return st;
}

static void test_reserve(void)
{
	enum { SIZE = 3 << 20 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_behind behind = { 0 };
	struct statfs fs;
	int fd, other;

	if (lm_unnamed_file(root, &fd, NULL) || lm_unnamed_file(root, &other, NULL) ||
	    fstatfs(fd, &fs) != 0)
		abort();
	is_int(lm_reserve(fd, "f", 2 * (uint64_t)fs.f_bsize * fs.f_bfree + SIZE, &error),
	       LMODEL_EFAILED, "more than the disk has");
	is_error(&error, LMODEL_EFAILED, "f: ", "more than the disk has");
	is_error(&error, LMODEL_EFAILED, "No space left on device", "more than the disk has");
	is_int(stat_of(fd).st_blocks, 0, "... of which nothing is taken");
	is_int(lm_reserve(fd, "f", SIZE, &error), LMODEL_OK, "what it has");
	if (fs.f_type != TMPFS_MAGIC && fallocate(other, 0, 0, SIZE) == 0)
		ok(stat_of(fd).st_blocks >= SIZE / 512, "... is taken");
	is_int(lm_reserve(fd, "f", 0, &error), LMODEL_OK, "nothing");

	for (int i = 0; i < 3; i++) {
		is_int(lm_write_at(fd, "f", root, sizeof(root), SIZE, &error), LMODEL_OK, "a write");
		lm_write_behind(fd, &behind, SIZE);
	}
	is_int((intmax_t)behind.bytes, 3 * SIZE, "what was written is counted");
	close(fd);
	close(other);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%.40s/lmodel-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(root) == NULL)
		abort();
	test_new_file();
	test_release();
	test_replace();
	test_race();
	test_modes();
	test_symlink();
	test_refusals();
	test_aim();
	test_directory_of();
	test_make_parents();
	test_reserve();
	is_int(rmdir(root), 0, "the directory is empty in the end");
	return done();
}
