/* container/tar.c: headers, member paths, walking good and damaged tars. */
#include "container/tar.h"

#include <stdio.h>
#include <sys/mman.h>

#include "base/io.h"
#include "lib/tap.h"

#define GIB (UINT64_C(1) << 30)

/* ---- walking, also for reading headers back ---- */

struct seen {
	unsigned count;
	struct { char path[120]; uint64_t at, size; bool regular; } member[8];
	unsigned stop_at; /* fail at this member; 0: at none */
};

static int see(void *context, const char *path, uint64_t header_offset,
	       uint64_t data_offset, uint64_t size, bool regular, struct lmodel_error *error)
{
	struct seen *s = context;

	if (data_offset != header_offset + LM_TAR_BLOCK &&
	    data_offset != header_offset + LM_TAR_HEADER_MAX)
		return lm_fail(error, LMODEL_EFAILED, "data at %ju", (uintmax_t)data_offset);

	if (s->count < LM_COUNT(s->member)) {
		snprintf(s->member[s->count].path, sizeof(s->member[0].path), "%s", path);
		s->member[s->count].at = header_offset;
		s->member[s->count].size = size;
		s->member[s->count].regular = regular;
	}
	if (++s->count == s->stop_at)
		return lm_fail(error, LMODEL_EUSAGE, "stopped");
	return LMODEL_OK;
}

static int new_file(void)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

/* Adds a member with no data written but all of its size reserved, as a hole. */
static uint64_t add(int fd, uint64_t at, const char *path, uint64_t size, bool wide)
{
	uint8_t header[LM_TAR_HEADER_MAX];
	size_t len = 0;

	if (lm_tar_header(path, size, 1700000000, wide, header, &len, NULL) != LMODEL_OK ||
	    lm_write_at(fd, "tar", header, len, at, NULL) != LMODEL_OK ||
	    ftruncate(fd, (off_t)(lm_align(at + len + size, 512) + LM_TAR_END)) != 0)
		abort();
	return lm_align(at + len + size, 512);
}

/* ---- headers ---- */

static void header_is(const char *path, uint64_t size, bool wide, size_t wanted, const char *what)
{
	uint8_t header[LM_TAR_HEADER_MAX];
	struct seen seen = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_CLOSE int fd = new_file();
	uint64_t end;
	size_t len = 0;

	is_int(lm_tar_header(path, size, 1700000000, wide, header, &len, &error), LMODEL_OK, what);
	is_int((intmax_t)len, (intmax_t)wanted, "... its length");
	end = add(fd, 0, path, size, wide);
	is_int(lm_tar_walk(fd, end + LM_TAR_END, see, &seen, &end, &error), LMODEL_OK,
	       "... libarchive reads it back");
	ok(seen.count == 1 && strcmp(seen.member[0].path, path) == 0 && seen.member[0].size == size &&
	   seen.member[0].at == 0 && seen.member[0].regular, "... path, size, kind");
}

static void test_headers(void)
{
	char path[102];
	uint8_t a[LM_TAR_HEADER_MAX], b[LM_TAR_HEADER_MAX];
	size_t len = 0, len_b = 0;

	memset(path, 'p', sizeof(path));
	memcpy(path, "base/", 5);
	path[100] = '\0';
	header_is("manifest.sqlite", 4096, false, 512, "a small member");
	header_is("base/empty", 0, false, 512, "an empty member");
	header_is(path, 1, false, 512, "a path of 100 bytes");
	header_is("base/w", 8 * GIB - 1, false, 512, "one byte below 8 GiB");
	header_is("base/w", 8 * GIB, false, 1536, "8 GiB");
	header_is("base/w", 5000 * GIB, false, 1536, "5 TiB");
	header_is("base/w", 10, true, 1536, "small, but wide");
	header_is("base/w", 8 * GIB, true, 1536, "8 GiB, wide");
	header_is(path, 8 * GIB, true, 1536, "a path of 100 bytes, wide");
	ok(lm_tar_header("base/w", 10, 0, true, a, &len, NULL) == LMODEL_OK &&
	   lm_tar_header("base/w", 9 * GIB, 0, true, b, &len_b, NULL) == LMODEL_OK && len == len_b,
	   "wide: one length for small and large, time 0 too");
	ok(lm_tar_header("base/w", 10, 0, false, a, &len, NULL) == LMODEL_OK &&
	   lm_tar_header("base/w", 10, 0, false, b, &len, NULL) == LMODEL_OK &&
	   memcmp(a, b, len) == 0, "the same header each time");
	ok(memcmp(a + 257, "ustar\0" "00", 8) == 0 && memcmp(a + 100, "000644 ", 7) == 0 &&
	   memcmp(a + 108, "000000 ", 7) == 0, "ustar, mode 0644, user 0");
}

/* ---- paths ---- */

static void path_is(const char *prefix, const char *name, bool keep_slash, const char *wanted)
{
	LM_FREE char *got = lm_tar_path(prefix, name, keep_slash, 7, NULL);

	is_str(got, wanted, wanted);
}

static void test_paths(void)
{
	path_is("base/", "model.layers.0.w_q-k", false, "base/model.layers.0.w_q-k");
	path_is("base/", "a/b", false, "base/a%2Fb");
	path_is("file/", "a/b", true, "file/a/b");
	path_is("base/", "a b%~\n", false, "base/a%20b%25%7E%0A");
	path_is("base/", "\xc3\xbc", false, "base/%C3%BC");
	path_is("base/", "", false, "base/~7");
	path_is("base/", "..", false, "base/~7");
	path_is("base/", "[Z@`z{", false, "base/%5BZ%40%60z%7B");
}

static void test_long_paths(void)
{
	char name[400];
	unsigned too_long = 0, not_ascii = 0, same = 0, unsafe = 0;

	for (size_t len = 1; len < sizeof(name); len++) {
		static const char *const letters[] = { "a", "%", "\xff" };

		for (size_t k = 0; k < LM_COUNT(letters); k++) {
			LM_FREE char *p = NULL, *q = NULL;

			memset(name, letters[k][0], len);
			name[len] = '\0';
			p = lm_tar_path("base/", name, false, UINT64_MAX, NULL);
			name[len - 1] = 'b';
			q = lm_tar_path("base/", name, false, 1, NULL);
			too_long += strlen(p) > 100 || strlen(q) > 100;
			same += strcmp(p, q) == 0;
			unsafe += !lm_path_is_safe(p);
			for (const char *c = p; *c != '\0'; c++)
				not_ascii += *c <= ' ' || *c > '~';
		}
	}
	is_int(too_long, 0, "paths: never over 100 bytes");
	is_int(not_ascii, 0, "paths: printable ASCII alone");
	is_int(same, 0, "paths: of different names differ");
	is_int(unsafe, 0, "paths: are safe to extract");
	memset(name, 'a', 200);
	name[200] = '\0';
	path_is("base/", name, false,
		"base/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa~7");
}

/* ---- walking ---- */

static int good_tar(uint64_t *end)
{
	int fd = new_file();

	*end = add(fd, 0, "mimetype", 29, false);
	*end = add(fd, *end, "base/a", 1000, false);
	*end = add(fd, *end, "base/b", 0, true);
	*end = add(fd, *end, "base/c", 512, false);
	return fd;
}

static void test_walk(void)
{
	uint64_t end, found = 0;
	LM_CLOSE int fd = good_tar(&end);
	struct seen seen = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lm_tar_walk(fd, end + LM_TAR_END, see, &seen, &found, &error), LMODEL_OK, "walk");
	is_int(seen.count, 4, "walk: every member");
	is_int((intmax_t)found, (intmax_t)end, "walk: where the end blocks begin");
	is_str(seen.member[3].path, "base/c", "walk: in order");
	ok(seen.member[1].at == 1024 && seen.member[2].at == 1024 + 512 + 1024 &&
	   seen.member[3].at == seen.member[2].at + 1536, "walk: offsets of the headers");

	seen = (struct seen){ .stop_at = 2 };
	is_int(lm_tar_walk(fd, end + LM_TAR_END, see, &seen, &found, &error), LMODEL_EUSAGE,
	       "walk: stops when the function fails");
	is_error(&error, LMODEL_EUSAGE, "stopped", "walk: with its failure");
	is_int(seen.count, 2, "walk: ... there");
}

/* Members of 9 GiB are skipped, not read. */
static void test_walk_large(void)
{
	LM_CLOSE int fd = new_file();
	struct seen seen = { 0 };
	uint64_t end = add(fd, 0, "base/large", 9 * GIB, false), found = 0;

	end = add(fd, end, "base/after", 5, false);
	is_int(lm_tar_walk(fd, end + LM_TAR_END, see, &seen, &found, NULL), LMODEL_OK, "walk over 9 GiB");
	ok(seen.count == 2 && seen.member[0].size == 9 * GIB &&
	   seen.member[1].at == 1536 + 9 * GIB && found == end, "... finds what comes behind");
}

static int walk(int fd, uint64_t size, struct seen *seen, struct lmodel_error *error)
{
	uint64_t end;

	*seen = (struct seen){ 0 };
	*error = (struct lmodel_error)LMODEL_ERROR_INIT;
	return lm_tar_walk(fd, size, see, seen, &end, error);
}

static void test_damage(void)
{
	uint64_t end;
	LM_CLOSE int fd = good_tar(&end);
	struct seen seen;
	struct lmodel_error error;
	unsigned wrong = 0;
	uint8_t zero[512] = { 0 };

	/* The header of the second member: any byte that is not as it was. */
	for (uint64_t at = 1024; at < 1024 + 500; at += 3) {
		uint8_t was, now;
		int r;

		if (lm_read_at(fd, "tar", &was, 1, at, NULL))
			abort();
		now = was ^ 0x15;
		if (lm_write_at(fd, "tar", &now, 1, at, NULL))
			abort();
		r = walk(fd, end + LM_TAR_END, &seen, &error);
		wrong += r != LMODEL_ECORRUPT || error.code != LMODEL_ECORRUPT ||
			 strstr(error.message, "tar header at") == NULL;
		if (lm_write_at(fd, "tar", &was, 1, at, NULL))
			abort();
	}
	is_int(wrong, 0, "walk: a changed byte anywhere in a header is seen");

	if (ftruncate(fd, 1024 + 512 + 300) != 0)
		abort();
	is_int(walk(fd, 1024 + 512 + 300, &seen, &error), LMODEL_ECORRUPT, "walk: cut within data");
	if (ftruncate(fd, 1024 + 200) != 0)
		abort();
	is_int(walk(fd, 1024 + 200, &seen, &error), LMODEL_ECORRUPT, "walk: cut within a header");
	is_int(seen.count, 1, "... the members before it were seen");
	if (ftruncate(fd, 0) != 0 || lm_write_at(fd, "tar", zero, 512, 0, NULL))
		abort();
	is_int(walk(fd, 512, &seen, &error), LMODEL_OK, "walk: nothing but an end block");
	is_int(seen.count, 0, "... has no member");
}

/* Sizes that overflow, other kinds of member, noise: an end, never a crash. */
static void test_hostile(void)
{
	uint64_t end, seed = 99;
	LM_CLOSE int fd = good_tar(&end);
	uint8_t header[512], block[512];
	struct seen seen;
	struct lmodel_error error;
	unsigned odd = 0;

	if (lm_read_at(fd, "tar", header, 512, 1024, NULL))
		abort();
	for (unsigned i = 0; i < 3000; i++) {
		unsigned sum = 0;

		memcpy(block, header, 512);
		seed = seed * UINT64_C(6364136223846793005) + 1;
		block[124 + (seed >> 60) % 12] = (uint8_t)(seed >> 32);
		block[124] = i & 1 ? (uint8_t)(seed >> 40) : block[124];
		block[156] = (uint8_t)("0123456789gxLKSVDMN"[(seed >> 50) % 19]);
		memset(block + 148, ' ', 8);
		for (unsigned k = 0; k < 512; k++)
			sum += block[k];
		snprintf((char *)block + 148, 8, "%06o", sum);
		if (lm_write_at(fd, "tar", block, 512, 1024, NULL))
			abort();
		if (walk(fd, end + LM_TAR_END, &seen, &error) != (int)error.code)
			odd++;
	}
	is_int(odd, 0, "walk: 3000 hostile headers with a right checksum");
}

int main(void)
{
	test_headers();
	test_paths();
	test_long_paths();
	test_walk();
	test_walk_large();
	test_damage();
	test_hostile();
	return done();
}
