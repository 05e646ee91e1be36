#include "net/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/publish.h"

enum { NAME = LM_CACHE_NAME + 8 };

int lm_cache_limit(uint64_t *limit, struct lmodel_error *error)
{
	const char *text = getenv("LMODEL_CACHE_BYTES");
	char *end;

	*limit = LM_CACHE_BYTES;
	if (text == NULL || text[0] == '\0')
		return LMODEL_OK;
	errno = 0;
	*limit = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "$LMODEL_CACHE_BYTES: %s is not a number of bytes", LM_QUOTE(text));
	return LMODEL_OK;
}

/* ---- the directory ---- */

char *lm_cache_path(void)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (base != NULL && base[0] == '/')
		return lm_format(NULL, "%s/lmodel", base);
	return home != NULL && home[0] == '/' ? lm_format(NULL, "%s/.cache/lmodel", home) : NULL;
}

int lm_cache_open(const char *path)
{
	LM_FREE char *usual = path == NULL ? lm_cache_path() : NULL;
	struct stat st;
	int fd;

	path = path != NULL ? path : usual;
	if (path == NULL || lm_make_private(path, NULL) != LMODEL_OK)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* One that others write to could hold links to the user's files. */
	if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int lock_directory(int directory)
{
	int fd = openat(directory, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX) != 0)
		if (errno != EINTR) {
			close(fd);
			return -1;
		}
	return fd;
}

static void make_name(char name[NAME], const uint8_t key[LM_SHA256_SIZE], const char *suffix)
{
	char hex[LM_CACHE_NAME];

	lm_hex(hex, key, LM_SHA256_SIZE);
	snprintf(name, NAME, "%s%s", hex, suffix);
}

/* ---- maps ---- */

static bool load_map(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size, uint8_t *bits)
{
	size_t len = lm_blockmap_len(size);
	LM_FREE uint8_t *bytes = malloc(len);
	char name[NAME];
	struct stat st;
	LM_CLOSE int fd = -1;

	make_name(name, key, ".map");
	fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return bytes != NULL && fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == len &&
	       lm_read_at(fd, "map", bytes, len, 0, NULL) == LMODEL_OK &&
	       lm_blockmap_decode(bytes, len, key, size, bits);
}

static bool store_map(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size,
		      const uint8_t *bits)
{
	size_t len = lm_blockmap_len(size);
	LM_FREE uint8_t *bytes = malloc(len);
	char name[NAME], fresh[NAME];
	LM_CLOSE int fd = -1;

	make_name(name, key, ".map");
	make_name(fresh, key, ".new");
	fd = openat(directory, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (bytes == NULL || fd < 0)
		return false;
	lm_blockmap_encode(bytes, key, size, bits);
	if (lm_write_at(fd, "map", bytes, len, 0, NULL) == LMODEL_OK &&
	    renameat(directory, fresh, directory, name) == 0)
		return true;
	unlinkat(directory, fresh, 0);
	return false;
}

int lm_cache_file(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size, uint8_t *bits)
{
	LM_CLOSE int lock = lock_directory(directory);
	char name[NAME];
	struct stat st;
	int fd;

	if (lock < 0)
		return -1;
	make_name(name, key, ".data");
	fd = openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    ((uint64_t)st.st_size != size && ftruncate(fd, (off_t)size) != 0)) {
		close(fd);
		return -1;
	}
	if (!load_map(directory, key, size, bits))
		memset(bits, 0, lm_bits_len(lm_block_count(size)));
	futimens(fd, NULL); /* used last, from now on */
	return fd;
}

/* ---- keeping it small ---- */

struct kept {
	char hex[LM_CACHE_NAME];
	struct timespec used;
	uint64_t bytes;
};

static int by_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	if (x->used.tv_nsec != y->used.tv_nsec)
		return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
	return strcmp(x->hex, y->hex);
}

static bool is_data(const char *name)
{
	return strspn(name, "0123456789abcdef") == LM_CACHE_NAME - 1 &&
	       strcmp(name + LM_CACHE_NAME - 1, ".data") == 0;
}

static void look_through(int directory, struct kept **kept, size_t *count)
{
	int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *entry;
	size_t capacity = 0;

	if (d == NULL) {
		if (again >= 0)
			close(again);
		return;
	}
	while ((entry = readdir(d)) != NULL) {
		struct stat st;
		struct kept *k;

		if (!is_data(entry->d_name) ||
		    fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    lm_grow(kept, *count, &capacity, sizeof(**kept), NULL))
			continue;
		k = &(*kept)[(*count)++];
		*k = (struct kept){ .used = st.st_mtim, .bytes = (uint64_t)st.st_blocks * 512 };
		memcpy(k->hex, entry->d_name, LM_CACHE_NAME - 1);
	}
	closedir(d);
}

/* Whoever has one of these open keeps it until then. */
static void drop(int directory, const char *hex)
{
	static const char *const suffixes[] = { ".map", ".new", ".data" };
	char name[NAME];

	for (size_t i = 0; i < LM_COUNT(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", hex, suffixes[i]);
		unlinkat(directory, name, 0);
	}
}

static void trim(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t limit)
{
	LM_FREE struct kept *kept = NULL;
	char own[LM_CACHE_NAME];
	size_t count = 0;
	uint64_t total = 0;

	lm_hex(own, key, LM_SHA256_SIZE);
	look_through(directory, &kept, &count);
	for (size_t i = 0; i < count; i++)
		total += kept[i].bytes;
	if (total <= limit)
		return;
	qsort(kept, count, sizeof(*kept), by_age);
	for (size_t i = 0; i < count && total > limit; i++) {
		if (strcmp(kept[i].hex, own) == 0)
			continue;
		drop(directory, kept[i].hex);
		total -= kept[i].bytes;
	}
	if (total > limit)
		drop(directory, own);
}

static bool is_still(int directory, const uint8_t key[LM_SHA256_SIZE], int fd)
{
	char name[NAME];
	struct stat ours, theirs;

	make_name(name, key, ".data");
	return fstat(fd, &ours) == 0 && fstatat(directory, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

void lm_cache_save(int directory, const uint8_t key[LM_SHA256_SIZE], int fd, uint64_t size,
		   const uint8_t *added, const uint8_t *gone, uint64_t limit)
{
	size_t len = lm_bits_len(lm_block_count(size));
	LM_FREE uint8_t *all = calloc(1, len + 1);
	LM_CLOSE int lock = lock_directory(directory);

	if (all == NULL || lock < 0 || !is_still(directory, key, fd))
		return;
	if (!load_map(directory, key, size, all))
		memset(all, 0, len);
	for (size_t i = 0; i < len; i++)
		all[i] = (uint8_t)((all[i] & ~gone[i]) | added[i]);
	/* Blocks without a map are only room that is lost. */
	if (!store_map(directory, key, size, all)) {
		char own[LM_CACHE_NAME];

		lm_hex(own, key, LM_SHA256_SIZE);
		drop(directory, own);
		return;
	}
	futimens(fd, NULL);
	trim(directory, key, limit);
}
