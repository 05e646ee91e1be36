#include "container/tar.h"

#include <errno.h>
#include <stdio.h>

#include "base/io.h"
#include "container/libarchive.h"

/* ---- writing ---- */

struct capture {
	uint8_t *bytes;
	size_t len;
	bool done; /* what comes now is closing: data that the header promised, as zeros */
};

static ssize_t capture_write(struct archive *a, void *context, const void *bytes, size_t len)
{
	struct capture *c = context;

	if (c->done || len > LM_TAR_HEADER_MAX - c->len) {
		lm_libarchive.set_error(a, ENOSPC, "header too long");
		return -1;
	}
	memcpy(c->bytes + c->len, bytes, len);
	c->len += len;
	return (ssize_t)len;
}

static void free_entry(struct archive_entry **entry)
{
	if (*entry != NULL)
		lm_libarchive.entry_free(*entry);
}

int lm_tar_header(const char *path, uint64_t size, int64_t mtime, bool wide,
		  uint8_t header[LM_TAR_HEADER_MAX], size_t *len, struct lmodel_error *error)
{
	struct capture capture = { .bytes = header };
	LM_CLEANUP(free_entry) struct archive_entry *entry = NULL;
	struct archive *a;
	int r = lm_libarchive_load(error);

	if (r != LMODEL_OK)
		return r;
	entry = lm_libarchive.entry_new();
	a = lm_libarchive.write_new();
	if (a == NULL || entry == NULL) {
		lm_libarchive.write_free(a);
		return lm_fail_memory(error);
	}
	/* The "restricted" form writes a pax header only where it must; a nanosecond makes the
	 * full form write one. */
	if (wide)
		lm_libarchive.write_set_format_pax(a);
	else
		lm_libarchive.write_set_format_pax_restricted(a);
	lm_libarchive.write_set_bytes_per_block(a, 0);
	lm_libarchive.write_set_bytes_in_last_block(a, 1);
	lm_libarchive.entry_set_pathname(entry, path);
	lm_libarchive.entry_set_filetype(entry, AE_IFREG);
	lm_libarchive.entry_set_perm(entry, 0644);
	lm_libarchive.entry_set_size(entry, (int64_t)size);
	lm_libarchive.entry_set_mtime(entry, mtime, wide ? 1 : 0);
	r = lm_libarchive.write_open(a, &capture, NULL, capture_write, NULL);
	if (r == ARCHIVE_OK)
		r = lm_libarchive.write_header(a, entry);
	if (r != ARCHIVE_OK) {
		lm_fail(error, LMODEL_EFAILED, "tar header of %s: %s", path,
			lm_libarchive.error_string(a));
		lm_libarchive.write_free(a);
		return LMODEL_EFAILED;
	}
	capture.done = true;
	lm_libarchive.write_free(a);
	if (capture.len != (wide || size >= LM_TAR_PAX_FROM ? LM_TAR_HEADER_MAX : LM_TAR_BLOCK))
		return lm_fail(error, LMODEL_EFAILED, "tar header of %s: %zu bytes", path,
			       capture.len);
	*len = capture.len;
	return LMODEL_OK;
}

char *lm_tar_path(const char *prefix, const char *name, bool keep_slash, uint64_t number,
		  struct lmodel_error *error)
{
	enum { LIMIT = 100, CUT = 72 };
	static const char digits[] = "0123456789ABCDEF";
	char *path = malloc(LIMIT + 4);
	size_t used = strlen(prefix);
	bool cut = false;

	if (path == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	memcpy(path, prefix, used);
	for (const unsigned char *s = (const unsigned char *)name; *s != '\0'; s++) {
		if (used > LIMIT - 3) {
			cut = true;
			break;
		}
		if ((*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z') ||
		    *s == '.' || *s == '_' || *s == '-' || (*s == '/' && keep_slash)) {
			path[used++] = (char)*s;
		} else {
			path[used++] = '%';
			path[used++] = digits[*s >> 4];
			path[used++] = digits[*s & 15];
		}
	}
	/* '~' stands in no escaped name, so a cut path never equals a whole one. Names that are no
	 * file names ("", ".", "..") are cut to nothing. */
	if (cut || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		used = cut ? CUT : strlen(prefix);
		used += (size_t)snprintf(path + used, LIMIT - used, "~%ju", (uintmax_t)number);
	}
	path[used] = '\0';
	return path;
}

/* ---- walking ---- */

struct walk {
	int fd;
	uint64_t size, position;
	uint8_t buffer[16384];
	int saved_errno;
};

static ssize_t walk_read(struct archive *a, void *context, const void **bytes)
{
	struct walk *w = context;
	ssize_t n;

	(void)a;
	do
		n = pread(w->fd, w->buffer, sizeof(w->buffer), (off_t)w->position);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		w->saved_errno = errno;
		return -1;
	}
	w->position += (uint64_t)n;
	*bytes = w->buffer;
	return n;
}

static int64_t walk_skip(struct archive *a, void *context, int64_t request)
{
	struct walk *w = context;
	uint64_t n = LM_MIN((uint64_t)request, w->size - LM_MIN(w->position, w->size));

	(void)a;
	w->position += n;
	return (int64_t)n;
}

static void free_reader(struct archive **a)
{
	if (*a != NULL)
		lm_libarchive.read_free(*a);
}

/* How far behind its header a member's data begins. No other headers are written, so any other
 * is damage. */
static int header_length(int fd, uint64_t at, uint64_t *len, struct lmodel_error *error)
{
	uint8_t type;
	int r = lm_read_at(fd, "tar header", &type, 1, at + 156, error);

	if (r != LMODEL_OK)
		return r;
	*len = type == 'x' ? LM_TAR_HEADER_MAX : LM_TAR_BLOCK;
	if (type != '0' && type != 'x')
		return lm_fail(error, LMODEL_ECORRUPT, "tar header at %ju: type 0x%02x",
			       (uintmax_t)at, type);
	return LMODEL_OK;
}

int lm_tar_walk(int fd, uint64_t file_size, lm_tar_member_fn *member, void *context,
		uint64_t *end, struct lmodel_error *error)
{
	LM_FREE struct walk *w = calloc(1, sizeof(*w));
	LM_CLEANUP(free_reader) struct archive *a = NULL;
	const char *why;
	int r = lm_libarchive_load(error);

	if (r != LMODEL_OK)
		return r;
	a = lm_libarchive.read_new();
	if (w == NULL || a == NULL)
		return lm_fail_memory(error);
	w->fd = fd;
	w->size = file_size;
	*end = 0;
	lm_libarchive.read_support_format_tar(a);
	lm_libarchive.read_set_read_callback(a, walk_read);
	lm_libarchive.read_set_skip_callback(a, walk_skip);
	lm_libarchive.read_set_callback_data(a, w);
	r = lm_libarchive.read_open1(a);
	while (r == ARCHIVE_OK) {
		struct archive_entry *entry;
		const char *path;
		uint64_t header_len;

		r = lm_libarchive.read_next_header(a, &entry);
		*end = (uint64_t)lm_libarchive.read_header_position(a);
		if (r == ARCHIVE_EOF)
			return LMODEL_OK;
		if (r != ARCHIVE_OK)
			break;
		path = lm_libarchive.entry_pathname(entry);
		r = header_length(fd, *end, &header_len, error);
		if (r != LMODEL_OK)
			return r;
		r = member(context, path != NULL ? path : "", *end, *end + header_len,
			   (uint64_t)lm_libarchive.entry_size(entry),
			   lm_libarchive.entry_filetype(entry) == AE_IFREG &&
			   lm_libarchive.entry_hardlink(entry) == NULL, error);
		if (r != LMODEL_OK)
			return r;
	}
	if (w->saved_errno != 0) {
		errno = w->saved_errno;
		return lm_fail_errno(error, "reading the tar headers");
	}
	why = lm_libarchive.error_string(a);
	return lm_fail(error, LMODEL_ECORRUPT, "tar header at %ju: %s", (uintmax_t)*end,
		       why != NULL ? why : "damaged");
}
