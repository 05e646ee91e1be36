/* Side files as they show, and their bytes: public ones from members, those of a tier from sealed
 * streams (spec: 3.7, 7.9). */
#include "archive/attachments.h"

#include <lmodel/extract.h>

#include "archive/member.h"
#include "archive/scan.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "crypto/chunked.h"
#include "crypto/secret.h"

/* ---- the public view ---- */

int lm_archive_make_attachments(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	struct lmodel_attachment *to;

	to = a->attachments =
		calloc(m->attachment_count + m->sealed_count + 1, sizeof(*a->attachments));
	if (to == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->attachment_count; i++) {
		const struct lm_member *member = &m->members[m->attachments[i].member];

		*to++ = (struct lmodel_attachment){
			.name = m->attachments[i].name, .bytes = member->bytes,
			.stored_bytes = lm_member_stored(member), .open = true,
		};
	}
	for (size_t i = 0; i < m->sealed_count; i++) {
		const struct lm_sealed_row *s = &m->sealed[i];
		uint64_t plain = 0;

		if (!lm_sealed_plain_len(s->stream.length, &plain) || plain < LM_FRAME_HEAD)
			plain = LM_FRAME_HEAD;
		*to++ = (struct lmodel_attachment){
			.name = s->name, .bytes = plain - LM_FRAME_HEAD,
			.stored_bytes = s->stream.length, .tier = m->tiers[s->tier].name,
		};
	}
	return LMODEL_OK;
}

/* The true length is in the first chunk. One that cannot be read keeps its bound: reading the file
 * then says what is wrong with it. */
static void show_length(struct lmodel_archive *a, size_t sealed, struct lmodel_attachment *shown)
{
	struct lm_stream_reader r = { 0 };

	if (lm_stream_open_sealed(&r, a, sealed, NULL) == LMODEL_OK)
		shown->bytes = r.left;
	lm_stream_close(&r);
}

void lm_archive_show_attachments(struct lmodel_archive *a)
{
	const struct lm_manifest *m = &a->manifest;

	for (size_t i = 0; i < m->sealed_count; i++) {
		struct lmodel_attachment *shown = &a->attachments[m->attachment_count + i];

		shown->open = a->tiers[m->sealed[i].tier].open;
		if (shown->open && !m->tiers[m->sealed[i].tier].absent)
			show_length(a, i, shown);
	}
}

const struct lmodel_attachment *lmodel_attachment_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.attachment_count + a->manifest.sealed_count ?
		       &a->attachments[index] : NULL;
}

const struct lmodel_attachment *lmodel_attachment_find(const struct lmodel_archive *a,
						       const char *name)
{
	const struct lmodel_attachment *found;

	for (size_t i = 0; (found = lmodel_attachment_at(a, i)) != NULL; i++)
		if (strcmp(found->name, name) == 0)
			return found;
	return NULL;
}

/* ---- reading ---- */

/* ENOKEY, ECORRUPT when the side file of a tier cannot be read: no key, or absent. */
static int check_sealed(const struct lmodel_archive *a, size_t sealed, struct lmodel_error *error)
{
	const struct lm_sealed_row *s = &a->manifest.sealed[sealed];
	const struct lmodel_tier *tier = &a->tiers[s->tier];

	if (!tier->open)
		return lm_fail(error, LMODEL_ENOKEY,
			       "%s: attachment %s: none of the keys opens tier %s", a->label,
			       LM_QUOTE(s->name), tier->name);
	if (tier->absent)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: attachment %s: the shards of tier %s are not in this file",
			       a->label, LM_QUOTE(s->name), tier->name);
	return LMODEL_OK;
}

int lm_sealed_read(const struct lmodel_archive *a, size_t sealed, lm_sealed_take_fn *take,
		   void *context, struct lmodel_error *error)
{
	enum { BUFFER = 1 << 16 };
	const struct lm_sealed_row *s = &a->manifest.sealed[sealed];
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	struct lm_stream_reader in = { 0 };
	uint64_t at = 0;
	size_t got = 0;
	int r = buffer == NULL ? lm_fail_memory(error) : check_sealed(a, sealed, error);

	if (r == LMODEL_OK) {
		lm_stream_will_need(a, s->tier, LM_VALUES, &s->stream);
		r = lm_stream_open_sealed(&in, a, sealed, error);
	}
	/* Nothing counts before the end, where all of it proves to be what was packed. */
	while (r == LMODEL_OK &&
	       (r = lm_stream_read(&in, buffer, BUFFER, &got, error)) == LMODEL_OK && got > 0) {
		if (take != NULL)
			r = take(context, at, buffer, got, error);
		at += got;
	}
	if (r == LMODEL_OK && at != a->attachments[a->manifest.attachment_count + sealed].bytes)
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: attachment %s: was changed meanwhile",
			    a->label, LM_QUOTE(a->manifest.sealed[sealed].name));
	lm_stream_close(&in);
	if (buffer != NULL)
		lm_wipe(buffer, BUFFER);
	return r;
}

struct window {
	uint8_t *buffer;
	uint64_t from, to;       /* what is wanted */
};

static int take_window(void *context, uint64_t at, const uint8_t *bytes, size_t len,
		       struct lmodel_error *error)
{
	const struct window *w = context;
	uint64_t from = LM_MAX(at, w->from), to = LM_MIN(at + len, w->to);

	(void)error;
	if (from < to)
		memcpy(w->buffer + (from - w->from), bytes + (from - at), (size_t)(to - from));
	return LMODEL_OK;
}

static int read_sealed(struct lmodel_archive *a, size_t sealed, uint64_t offset, void *buffer,
		       size_t len, struct lmodel_error *error)
{
	struct window w = { .buffer = buffer, .from = offset, .to = offset + len };
	int r = lm_sealed_read(a, sealed, take_window, &w, error);

	if (r != LMODEL_OK)
		lm_wipe(buffer, len);
	return r;
}

/* Row number among all attachments; LM_NONE when it is not of this archive. */
static size_t index_of(const struct lmodel_archive *a, const struct lmodel_attachment *attachment)
{
	size_t count = a->manifest.attachment_count + a->manifest.sealed_count;

	return attachment >= a->attachments && attachment < a->attachments + count ?
		       (size_t)(attachment - a->attachments) : LM_NONE;
}

int lmodel_attachment_read(struct lmodel_archive *a, const struct lmodel_attachment *attachment,
			   uint64_t offset, void *buffer, size_t len, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	const size_t public = a->manifest.attachment_count, index = index_of(a, attachment);
	int r = LMODEL_OK;

	error = error != NULL ? error : &local;
	if (index == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "attachment of another archive");
	if (index >= public)
		r = check_sealed(a, index - public, error);
	if (r != LMODEL_OK)
		return r;
	if (offset > attachment->bytes || len > attachment->bytes - offset)
		return lm_fail(error, LMODEL_EUSAGE,
			       "attachment %s: bytes %ju to %ju of %ju were asked for",
			       LM_QUOTE(attachment->name), (uintmax_t)offset,
			       (uintmax_t)(offset + len), (uintmax_t)attachment->bytes);
	return index < public ? lm_archive_read(a, a->manifest.attachments[index].member, offset,
					    buffer, len, error) :
				read_sealed(a, index - public, offset, buffer, len, error);
}

/* ---- to a stream ---- */

static const char *label_of(int fd)
{
	return fd == STDOUT_FILENO ? "standard output" : "output";
}

static int put_piece(void *context, const struct lm_scan_piece *piece, struct lmodel_error *error)
{
	int fd = *(const int *)context;

	return lm_write_all(fd, label_of(fd), piece->bytes, piece->len, error);
}

static int put_sealed(void *context, uint64_t at, const uint8_t *bytes, size_t len,
		      struct lmodel_error *error)
{
	int fd = *(const int *)context;

	(void)at;
	return lm_write_all(fd, label_of(fd), bytes, len, error);
}

int lmodel_attachment_cat(struct lmodel_archive *a, const struct lmodel_attachment *attachment,
			  int fd, const struct lmodel_run *run, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	const size_t public = a->manifest.attachment_count, index = index_of(a, attachment);
	struct lm_scan_item item = { .len = 0 };
	struct lm_scan scan = {
		.archive = a, .items = &item, .item_count = 1, .emit = put_piece, .context = &fd,
	};
	int r;

	error = error != NULL ? error : &local;
	if (index == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "attachment of another archive");
	if (index < public) {
		item.member = a->manifest.attachments[index].member;
		item.len = attachment->bytes;
		return lm_scan_run(&scan, run, error);
	}
	/* Read twice: what a stream was given cannot be taken back, and nothing sealed is to lie in
	 * a temporary file. */
	r = lm_sealed_read(a, index - public, NULL, NULL, error);
	return r == LMODEL_OK ? lm_sealed_read(a, index - public, put_sealed, &fd, error) : r;
}
