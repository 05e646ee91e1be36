/* Data of ZIP members: libarchive inflates, what comes out is checked here. */
#include "container/zip.h"

#include <errno.h>
#include <stdio.h>

#include "base/io.h"
#include "container/libarchive.h"
#include "crypto/crc.h"

static int bad(const struct lm_zip *z, size_t index, struct lmodel_error *error, const char *what)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: ZIP member %s: %s", z->label,
		       LM_QUOTE(z->members[index].name), what);
}

int lm_zip_check_stored(const struct lm_zip *z, struct lmodel_error *error)
{
	for (size_t i = 0; i < z->count; i++) {
		const struct lm_zip_member *m = &z->members[i];
		uint32_t crc;
		int r;

		if (m->method != LM_ZIP_STORED)
			continue;
		r = lm_crc_file(z->fd, z->label, m->data, m->size, &crc, error);
		if (r != LMODEL_OK)
			return r;
		if (crc != m->crc)
			return bad(z, i, error, "is damaged: its CRC is not that of its data");
	}
	return LMODEL_OK;
}

/* ---- libarchive's view of the file ---- */

enum { PIECE = 1 << 18 };

struct view {
	const struct lm_zip *zip;
	struct lmodel_error *error;
	uint64_t at;
	uint8_t *buffer;
};

static ssize_t view_read(struct archive *a, void *context, const void **bytes)
{
	struct view *v = context;
	size_t n = (size_t)LM_MIN((uint64_t)PIECE, v->zip->size - v->at);

	if (lm_read_at(v->zip->fd, v->zip->label, v->buffer, n, v->at, v->error)) {
		lm_libarchive.set_error(a, EIO, "read");
		return ARCHIVE_FATAL;
	}
	v->at += n;
	*bytes = v->buffer;
	return (ssize_t)n;
}

static int64_t view_seek(struct archive *a, void *context, int64_t offset, int whence)
{
	struct view *v = context;
	int64_t base = whence == SEEK_SET ? 0 :
		       whence == SEEK_CUR ? (int64_t)v->at : (int64_t)v->zip->size;

	(void)a;
	if (__builtin_add_overflow(base, offset, &base) || base < 0 ||
	    (uint64_t)base > v->zip->size)
		return ARCHIVE_FATAL;
	v->at = (uint64_t)base;
	return base;
}

static void free_archive(struct archive **a)
{
	if (*a != NULL)
		lm_libarchive.read_free(*a);
}

static int fail_archive(const struct view *v, struct archive *a, size_t index)
{
	const char *why = lm_libarchive.error_string(a);

	if (v->error != NULL && v->error->code != LMODEL_OK)
		return (int)v->error->code;
	why = why != NULL ? why : "libarchive does not say why";
	return lm_fail(v->error, LMODEL_ECORRUPT, "%s: ZIP member %s: cannot be inflated: %.*s",
		       v->zip->label, LM_QUOTE(v->zip->members[index].name),
		       (int)strcspn(why, "\r\n"), why);
}

/* No more than the size stated; what libarchive says about it afterwards does not matter, as size
 * and CRC are compared here. */
static int inflate_member(const struct view *v, struct archive *a, size_t index, int out,
			  uint64_t to, struct lm_crc *crc, uint8_t *piece)
{
	const struct lm_zip_member *m = &v->zip->members[index];
	uint64_t got = 0;

	for (;;) {
		la_ssize_t n = lm_libarchive.read_data(a, piece, PIECE);
		int r;

		if (n == 0)
			break;
		if (n == ARCHIVE_WARN && got == m->size) /* its CRC */
			break;
		if (n < 0)
			return fail_archive(v, a, index);
		if ((uint64_t)n > m->size - got)
			return bad(v->zip, index, v->error, "inflates to more than its size");
		lm_crc_add(crc, piece, (size_t)n);
		r = lm_write_at(out, "temporary file", piece, (size_t)n, to + got, v->error);
		if (r != LMODEL_OK)
			return r;
		got += (uint64_t)n;
	}
	if (got != m->size)
		return bad(v->zip, index, v->error, "inflates to less than its size");
	if (lm_crc_finish(crc) != m->crc)
		return bad(v->zip, index, v->error,
			   "is damaged: its CRC is not that of its data");
	return LMODEL_OK;
}

/* libarchive goes through the members in the order of their places, as they are here. */
static int inflate_all(const struct view *v, struct archive *a, int out, uint64_t *offset,
		       struct lm_crc *crc, uint8_t *piece)
{
	struct archive_entry *entry;
	uint64_t to = 0;

	for (size_t i = 0; i < v->zip->count; i++) {
		const struct lm_zip_member *m = &v->zip->members[i];
		int r = lm_libarchive.read_next_header(a, &entry);

		/* A warning is about its name, which may have no form in this locale. */
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return fail_archive(v, a, i);
		if (m->method == LM_ZIP_STORED)
			continue;
		if (lm_libarchive.entry_size_is_set(entry) &&
		    lm_libarchive.entry_size(entry) != (int64_t)m->size)
			return bad(v->zip, i, v->error, "is of another size to libarchive");
		r = inflate_member(v, a, i, out, to, crc, piece);
		if (r != LMODEL_OK)
			return r;
		offset[i] = to;
		to += m->size;
	}
	return LMODEL_OK;
}

int lm_zip_inflate(const struct lm_zip *z, int out, uint64_t *offset, struct lmodel_error *error)
{
	LM_CLEANUP(free_archive) struct archive *a = NULL;
	LM_FREE uint8_t *buffer = malloc(PIECE);
	LM_FREE uint8_t *piece = malloc(PIECE);
	struct view v = { .zip = z, .error = error, .buffer = buffer };
	struct lm_crc *crc;
	size_t deflated = 0;
	int r;

	for (size_t i = 0; i < z->count; i++)
		deflated += z->members[i].method == LM_ZIP_DEFLATED;
	if (deflated == 0)
		return LMODEL_OK;
	r = lm_libarchive_load(error);
	if (r != LMODEL_OK)
		return r;
	a = lm_libarchive.read_new();
	crc = lm_crc_new(error);
	if (a == NULL || buffer == NULL || piece == NULL || crc == NULL) {
		if (crc != NULL)
			lm_crc_free(crc);
		return lm_fail_memory(error);
	}
	lm_libarchive.read_support_format_zip_seekable(a);
	lm_libarchive.read_set_read_callback(a, view_read);
	lm_libarchive.read_set_seek_callback(a, view_seek);
	lm_libarchive.read_set_callback_data(a, &v);
	r = lm_libarchive.read_open1(a) != ARCHIVE_OK ? fail_archive(&v, a, 0) :
	    inflate_all(&v, a, out, offset, crc, piece);
	lm_crc_free(crc);
	return r;
}

size_t lm_zip_find(const struct lm_zip *z, const char *name)
{
	size_t low = 0, high = z->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(z->members[z->by_name[middle]].name, name);

		if (order == 0)
			return z->by_name[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}
