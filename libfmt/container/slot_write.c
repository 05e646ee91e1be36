/* Writing the slots: a new file's, and one commit after the other (spec: 2.4). */
#include <stdio.h>

#include "container/slot.h"
#include "container/tar.h"
#include "crypto/crypto.h"

#include <lmodel/version.h>

static int sync_file(int fd, const char *label, struct lmodel_error *error)
{
	if (fdatasync(fd) != 0)
		return lm_fail_errno(error, "%s: sync", label);
	return LMODEL_OK;
}

static int add_digest(struct lm_slot_footer *footer, const uint8_t *image,
		      struct lmodel_error *error)
{
	uint8_t bytes[LM_SLOT_FOOTER];

	lm_slot_footer_encode(footer, bytes);
	return lm_slot_digest_of(image, footer->image_len, bytes, footer->digest, error);
}

/* One whole slot: image, zeros, footer. */
static int write_slot(int fd, const char *label, int which, const uint8_t *image,
		      const struct lm_slot_footer *footer, struct lmodel_error *error)
{
	static const uint8_t zeros[1 << 16];
	uint8_t bytes[LM_SLOT_FOOTER];
	uint64_t at = lm_slot_offset(footer->slot_size, which);
	uint64_t end = at + footer->slot_size - LM_SLOT_FOOTER;
	int r = lm_write_at(fd, label, image, footer->image_len, at, error);

	for (at += footer->image_len; at < end && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN((uint64_t)sizeof(zeros), end - at);

		r = lm_write_at(fd, label, zeros, n, at, error);
		at += n;
	}
	lm_slot_footer_encode(footer, bytes);
	return r == LMODEL_OK ? lm_write_at(fd, label, bytes, sizeof(bytes), end, error) : r;
}

static int write_member_header(int fd, const char *label, const char *name, uint64_t size,
			       int64_t mtime, uint64_t at, struct lmodel_error *error)
{
	uint8_t header[LM_TAR_HEADER_MAX];
	size_t len;

	if (lm_tar_header(name, size, mtime, false, header, &len, error))
		return LMODEL_EFAILED;
	return lm_write_at(fd, label, header, len, at, error);
}

int lm_slots_create(int fd, const char *label, uint64_t slot_size, int64_t mtime,
		    const uint8_t *image, uint64_t image_len, uint64_t committed_len,
		    uint64_t commit_counter, struct lmodel_error *error)
{
	uint8_t mimetype[LM_TAR_BLOCK] = LM_MIMETYPE;
	struct lm_slot_footer footer = {
		.format = LMODEL_FORMAT_VERSION, .commit_counter = commit_counter,
		.image_len = image_len, .committed_len = committed_len, .slot_size = slot_size,
	};

	if (image_len > slot_size - LM_SLOT_FOOTER)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: a manifest of %ju bytes does not fit its slot", label,
			       (uintmax_t)image_len);
	if (write_member_header(fd, label, LM_MIMETYPE_MEMBER, sizeof(LM_MIMETYPE) - 1, mtime, 0,
				error) ||
	    lm_write_at(fd, label, mimetype, sizeof(mimetype), 512, error))
		return LMODEL_EFAILED;
	if (add_digest(&footer, image, error))
		return LMODEL_EFAILED;
	for (int i = 0; i < 2; i++)
		if (write_member_header(fd, label, i == 0 ? LM_SLOT_A_MEMBER : LM_SLOT_B_MEMBER,
					slot_size, mtime,
					lm_slot_offset(slot_size, i) - LM_TAR_BLOCK, error) ||
		    write_slot(fd, label, i, image, &footer, error))
			return LMODEL_EFAILED;
	return LMODEL_OK;
}

/* Writes slot `which` as the other one is, and waits for it. */
static int copy_slot(int fd, const char *label, int which, const uint8_t *image,
		     const struct lm_slot_footer *footer, struct lmodel_error *error)
{
	int r = write_slot(fd, label, which, image, footer, error);

	return r == LMODEL_OK ? sync_file(fd, label, error) : r;
}

/* Whether a range of the file holds `wanted`, or zeros where that is NULL. */
static int holds(int fd, const char *label, const uint8_t *wanted, uint64_t len, uint64_t at,
		 bool *same, struct lmodel_error *error)
{
	uint8_t buffer[1 << 16];

	for (uint64_t n; len > 0 && *same; at += n, len -= n) {
		int r;

		n = LM_MIN((uint64_t)sizeof(buffer), len);
		r = lm_read_at(fd, label, buffer, (size_t)n, at, error);
		if (r != LMODEL_OK)
			return r;
		*same = wanted != NULL ? memcmp(buffer, wanted, (size_t)n) == 0 :
					 lm_is_zero(buffer, (size_t)n);
		if (wanted != NULL)
			wanted += n;
	}
	return LMODEL_OK;
}

/* Whether both slots are, byte by byte, what `image` and `footer` make. */
static int are_both(int fd, const char *label, const uint8_t *image,
		    const struct lm_slot_footer *footer, bool *same, struct lmodel_error *error)
{
	uint8_t bytes[LM_SLOT_FOOTER];
	uint64_t end = footer->slot_size - LM_SLOT_FOOTER;
	int r = LMODEL_OK;

	*same = true;
	lm_slot_footer_encode(footer, bytes);
	for (int i = 0; i < 2 && r == LMODEL_OK; i++) {
		uint64_t at = lm_slot_offset(footer->slot_size, i);

		r = holds(fd, label, bytes, sizeof(bytes), at + end, same, error);
		if (r == LMODEL_OK)
			r = holds(fd, label, image, footer->image_len, at, same, error);
		if (r == LMODEL_OK)
			r = holds(fd, label, NULL, end - footer->image_len, at + footer->image_len,
				  same, error);
	}
	return r;
}

int lm_slots_level(int fd, const char *label, const struct lm_slots *s, const uint8_t *known,
		   struct lm_slot_footer *footer, bool *changed, struct lmodel_error *error)
{
	const struct lm_file file = lm_file_local(fd, label);
	struct lm_slot found[2] = { { .valid = false } };
	uint8_t *image[2] = { NULL, NULL };
	bool same = false;
	int newest, r = LMODEL_OK;

	*changed = false;
	if (known != NULL)
		r = are_both(fd, label, known, footer, &same, error);
	if (r != LMODEL_OK || same)
		return r;
	r = lm_slots_examine_images(&file, s, found, image, error);
	if (r == LMODEL_OK && !found[0].valid && !found[1].valid)
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: no valid manifest: slot A: %s; slot B: %s",
			    label, found[0].problem, found[1].problem);
	newest = found[1].valid && (!found[0].valid || found[1].footer.commit_counter >
						       found[0].footer.commit_counter);
	if (r == LMODEL_OK && (!found[!newest].valid || !found[!newest].padded ||
			       memcmp(found[0].footer.digest, found[1].footer.digest, 32) != 0)) {
		r = copy_slot(fd, label, !newest, image[newest], &found[newest].footer, error);
		*changed = true;
	}
	/* Bytes that should be zero in the newest one: now the other one holds the same state, so
	 * it may be written again. */
	if (r == LMODEL_OK && !found[newest].padded) {
		r = copy_slot(fd, label, newest, image[newest], &found[newest].footer, error);
		*changed = true;
	}
	*footer = found[newest].footer;
	free(image[0]);
	free(image[1]);
	return r;
}

int lm_slots_commit(int fd, const char *label, const struct lm_slots *s, const uint8_t *image,
		    uint64_t image_len, uint64_t committed_len, struct lm_slot_footer *level,
		    struct lmodel_error *error)
{
	struct lm_slot_footer footer = *level;
	bool changed;
	int r = LMODEL_OK;

	if (image_len > s->slot_size - LM_SLOT_FOOTER)
		return lm_fail(
			error, LMODEL_ELIMIT,
			"%s: the manifest is full (%ju bytes, room for %ju): repack makes room",
			label, (uintmax_t)image_len, (uintmax_t)(s->slot_size - LM_SLOT_FOOTER));
	if (footer.slot_size == 0)
		r = lm_slots_level(fd, label, s, NULL, &footer, &changed, error);
	if (r != LMODEL_OK)
		return r;
	if (footer.commit_counter == UINT64_MAX)
		return lm_fail(error, LMODEL_EFAILED, "%s: its commit counter is at its end", label);
	footer = (struct lm_slot_footer){
		.format = LMODEL_FORMAT_VERSION, .commit_counter = footer.commit_counter + 1,
		.image_len = image_len, .committed_len = committed_len, .slot_size = s->slot_size,
	};
	*level = (struct lm_slot_footer){ 0 };
	if (add_digest(&footer, image, error))
		return LMODEL_EFAILED;
	for (int which = 1; which >= 0 && r == LMODEL_OK; which--) {
		r = write_slot(fd, label, which, image, &footer, error);
		if (r == LMODEL_OK)
			r = sync_file(fd, label, error);
	}
	if (r == LMODEL_OK)
		*level = footer;
	return r;
}
