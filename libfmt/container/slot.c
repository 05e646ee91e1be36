#include "container/slot.h"

#include <errno.h>
#include <stdio.h>

#include "container/tar.h"
#include "crypto/crypto.h"

#include <lmodel/version.h>

static const uint8_t magic[8] = { 'L', 'M', 'O', 'D', 'E', 'L', 0x1a, '\n' };

enum { DIGEST_AT = 48, SMALL_SLOT = 128 << 10 };

/* ---- footer ---- */

void lm_slot_footer_encode(const struct lm_slot_footer *f, uint8_t bytes[LM_SLOT_FOOTER])
{
	memset(bytes, 0, LM_SLOT_FOOTER);
	memcpy(bytes, magic, sizeof(magic));
	lm_put_u32(bytes + 8, f->format);
	lm_put_u32(bytes + 12, LM_SLOT_FOOTER);
	lm_put_u64(bytes + 16, f->commit_counter);
	lm_put_u64(bytes + 24, f->image_len);
	lm_put_u64(bytes + 32, f->committed_len);
	lm_put_u64(bytes + 40, f->slot_size);
	memcpy(bytes + DIGEST_AT, f->digest, sizeof(f->digest));
}

bool lm_slot_footer_decode(const uint8_t bytes[LM_SLOT_FOOTER], struct lm_slot_footer *footer,
			   char problem[160])
{
	struct lm_slot_footer f = {
		.format = lm_get_u32(bytes + 8),
		.commit_counter = lm_get_u64(bytes + 16),
		.image_len = lm_get_u64(bytes + 24),
		.committed_len = lm_get_u64(bytes + 32),
		.slot_size = lm_get_u64(bytes + 40),
	};

	memcpy(f.digest, bytes + DIGEST_AT, sizeof(f.digest));
	problem[0] = '\0';
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		snprintf(problem, 160, "no footer");
	else if (lm_get_u32(bytes + 12) != LM_SLOT_FOOTER)
		snprintf(problem, 160, "footer length %u", lm_get_u32(bytes + 12));
	else if (f.slot_size % LM_SLOT_ALIGN != 0 || f.slot_size < 2 * LM_SLOT_ALIGN ||
		 f.slot_size > LM_SLOT_LIMIT)
		snprintf(problem, 160, "slot size %ju", (uintmax_t)f.slot_size);
	else if (f.image_len == 0 || f.image_len > f.slot_size - LM_SLOT_FOOTER)
		snprintf(problem, 160, "image length %ju", (uintmax_t)f.image_len);
	else if (f.committed_len < lm_slots_end(f.slot_size) ||
		 f.committed_len % LM_TAR_BLOCK != 0 || f.committed_len > (uint64_t)INT64_MAX)
		snprintf(problem, 160, "committed length %ju", (uintmax_t)f.committed_len);
	if (problem[0] != '\0')
		return false;
	*footer = f;
	return true;
}

/* The digest covers the image and every footer field before the digest itself. */
int lm_slot_digest_of(const uint8_t *image, uint64_t len, const uint8_t footer[LM_SLOT_FOOTER],
		      uint8_t digest[LM_SHA256_SIZE], struct lmodel_error *error)
{
	struct lm_hash *hash = lm_hash_new(error);

	if (hash == NULL)
		return LMODEL_EFAILED;
	lm_hash_add(hash, image, len);
	lm_hash_add(hash, footer, DIGEST_AT);
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	return LMODEL_OK;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
	return LM_MAX(least, LM_MIN(value, most));
}

uint64_t lm_slot_size_for(uint64_t image_len, uint64_t payload, bool customers)
{
	enum { SMALLEST = 2 << 10, LARGEST = 64 << 10, FEW = 12 << 10, MANY = 192 << 10 };
	uint64_t least = clamp(payload / 1024, SMALLEST, 2 * SMALLEST);
	uint64_t grows = image_len / (customers ? 8 : 64);
	uint64_t room = LM_MAX(grows, clamp(payload / 32768, least, LARGEST));
	uint64_t size;

	if (image_len > LM_SLOT_LIMIT)
		return 0;
	if (customers)
		room += clamp(payload / 1024, FEW, MANY);
	size = lm_align(image_len + room + LM_SLOT_FOOTER, LM_SLOT_ALIGN);
	return size > LM_SLOT_LIMIT ? 0 : size;
}

/* ---- finding and reading ---- */

/* A size in a ustar header: octal digits up to a space or NUL. */
static bool parse_octal(const uint8_t *field, size_t len, uint64_t *value)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(field[i] - '0');
	if (i == 0 || (i < len && field[i] != ' ' && field[i] != '\0'))
		return false;
	*value = v;
	return true;
}

/* Only the name and the size matter: the rest of the header is verify's business. */
static bool parse_header(const uint8_t block[LM_TAR_BLOCK], const char *name, uint64_t *size)
{
	return memcmp(block, name, strlen(name) + 1) == 0 && memcmp(block + 257, "ustar", 5) == 0 &&
	       parse_octal(block + 124, 12, size);
}

int lm_slots_locate(const struct lm_file *file, uint64_t file_size, struct lm_slots *slots,
		    struct lmodel_error *error)
{
	uint8_t head[LM_SLOT_A_OFFSET], second[LM_TAR_BLOCK];
	uint64_t mimetype_len, a, b;

	if (file_size == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is empty", file->label);
	if (file_size < sizeof(head))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is not an lmodel archive",
			       file->label);
	if (lm_file_read(file, head, sizeof(head), 0, error))
		return (int)error->code;
	if (!parse_header(head, LM_MIMETYPE_MEMBER, &mimetype_len) ||
	    memcmp(head + 512, "application/vnd.lmodel.v", 24) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is not an lmodel archive",
			       file->label);
	if (memcmp(head + 512, LM_MIMETYPE, sizeof(LM_MIMETYPE)) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: is an lmodel archive of another version than 1",
			       file->label);
	if (!parse_header(head + 1024, LM_SLOT_A_MEMBER, &a))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tar header of %s is damaged",
			       file->label, LM_SLOT_A_MEMBER);
	if (a % LM_SLOT_ALIGN != 0 || a < 2 * LM_SLOT_ALIGN)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest slot of %ju bytes",
			       file->label, (uintmax_t)a);
	if (a > LM_SLOT_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: manifest slot of %ju bytes; the limit is %ju", file->label,
			       (uintmax_t)a, (uintmax_t)LM_SLOT_LIMIT);
	if (file_size < lm_slots_end(a))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: truncated within the manifest",
			       file->label);
	/* Nearly always it is slot A that is read next; a large one may be empty for the most part. */
	if (a <= SMALL_SLOT)
		lm_file_will_need(file, 0, LM_SLOT_A_OFFSET + a + sizeof(second));
	if (lm_file_read(file, second, sizeof(second), LM_SLOT_A_OFFSET + a, error))
		return (int)error->code;
	if (!parse_header(second, LM_SLOT_B_MEMBER, &b) || b != a)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tar header of %s is damaged",
			       file->label, LM_SLOT_B_MEMBER);
	slots->slot_size = a;
	slots->file_size = file_size;
	return LMODEL_OK;
}

static uint64_t footer_offset(const struct lm_slots *s, int which)
{
	return lm_slot_offset(s->slot_size, which) + s->slot_size - LM_SLOT_FOOTER;
}

bool lm_slot_footer_read(const struct lm_file *file, const struct lm_slots *s, int which,
			 struct lm_slot_footer *footer)
{
	uint8_t bytes[LM_SLOT_FOOTER];
	char problem[160];

	return lm_file_read(file, bytes, sizeof(bytes), footer_offset(s, which), NULL) ==
		       LMODEL_OK &&
	       lm_slot_footer_decode(bytes, footer, problem);
}

static int read_footer(const struct lm_file *file, const struct lm_slots *s, int which,
		       struct lm_slot *slot, uint8_t bytes[LM_SLOT_FOOTER],
		       struct lmodel_error *error)
{
	struct lm_slot found = { .valid = false };

	if (lm_file_read(file, bytes, LM_SLOT_FOOTER, footer_offset(s, which), error))
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	found.valid = lm_slot_footer_decode(bytes, &found.footer, found.problem);
	if (found.valid && found.footer.slot_size != s->slot_size) {
		found.valid = false;
		snprintf(found.problem, sizeof(found.problem), "slot size %ju is not the member's",
			 (uintmax_t)found.footer.slot_size);
	} else if (found.valid && found.footer.committed_len > s->file_size) {
		found.valid = false;
		snprintf(found.problem, sizeof(found.problem),
			 "truncated: %ju bytes were committed, the file has %ju",
			 (uintmax_t)found.footer.committed_len, (uintmax_t)s->file_size);
	}
	*slot = found;
	return LMODEL_OK;
}

/* Reads the image of a slot whose footer is valid, and checks it. `good`: that of a slot with the
 * same footer, when there is one: bytes that are equal to it need no digest. */
static int read_image(const struct lm_file *file, const struct lm_slots *s, int which,
		      struct lm_slot *slot, const uint8_t footer[LM_SLOT_FOOTER],
		      const uint8_t *good, uint8_t **image, struct lmodel_error *error)
{
	uint8_t digest[LM_SHA256_SIZE];
	LM_FREE uint8_t *bytes = malloc(slot->footer.image_len);
	int r;

	if (bytes == NULL)
		return lm_fail_memory(error);
	r = lm_file_read(file, bytes, slot->footer.image_len,
			 lm_slot_offset(s->slot_size, which), error);
	if (r != LMODEL_OK)
		return r;
	if (good != NULL && memcmp(bytes, good, slot->footer.image_len) == 0)
		memcpy(digest, slot->footer.digest, sizeof(digest));
	else
		r = lm_slot_digest_of(bytes, slot->footer.image_len, footer, digest, error);
	if (r != LMODEL_OK)
		return r;
	if (memcmp(digest, slot->footer.digest, sizeof(digest)) != 0) {
		slot->valid = false;
		snprintf(slot->problem, sizeof(slot->problem), "SHA-256 does not match");
		return LMODEL_OK;
	}
	*image = bytes;
	bytes = NULL;
	return LMODEL_OK;
}

int lm_slots_read(const struct lm_file *file, const struct lm_slots *s, uint8_t **image,
		  struct lm_slot_footer *footer, struct lmodel_error *error)
{
	struct lm_slot slot[2];
	uint8_t bytes[2][LM_SLOT_FOOTER];
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int first, r = LMODEL_OK;

	for (int i = 0; i < 2; i++)
		if ((r = read_footer(file, s, i, &slot[i], bytes[i], &local)) != LMODEL_OK)
			return lm_fail(error, local.code, "%s", local.message);
	first = slot[1].valid && (!slot[0].valid || slot[1].footer.commit_counter >
						    slot[0].footer.commit_counter);
	*image = NULL;
	for (int i = 0; i < 2 && *image == NULL; i++) {
		int which = i ^ first;

		if (!slot[which].valid)
			continue;
		r = read_image(file, s, which, &slot[which], bytes[which], NULL, image, error);
		if (r != LMODEL_OK)
			return r;
		*footer = slot[which].footer;
	}
	if (*image != NULL)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_ECORRUPT, "%s: no valid manifest: slot A: %s; slot B: %s",
		       file->label, slot[0].problem, slot[1].problem);
}

/* Whether the bytes between image and footer and after the footer's fields are zero. */
static int check_padding(const struct lm_file *file, const struct lm_slots *s, int which,
			 struct lm_slot *slot, const uint8_t footer[LM_SLOT_FOOTER],
			 struct lmodel_error *error)
{
	uint8_t buffer[65536];
	uint64_t at = lm_slot_offset(s->slot_size, which);
	uint64_t end = at + s->slot_size - LM_SLOT_FOOTER;

	slot->padded = lm_is_zero(footer + DIGEST_AT + 32, LM_SLOT_FOOTER - DIGEST_AT - 32);
	for (at += slot->footer.image_len; at < end && slot->padded;) {
		size_t n = (size_t)LM_MIN((uint64_t)sizeof(buffer), end - at);
		int r = lm_file_read(file, buffer, n, at, error);

		if (r != LMODEL_OK)
			return r;
		slot->padded = lm_is_zero(buffer, n);
		at += n;
	}
	return LMODEL_OK;
}

int lm_slots_examine_images(const struct lm_file *file, const struct lm_slots *s,
			    struct lm_slot found[2], uint8_t *image[2], struct lmodel_error *error)
{
	uint8_t footer[2][LM_SLOT_FOOTER];

	for (int i = 0; i < 2; i++) {
		int r = read_footer(file, s, i, &found[i], footer[i], error);
		bool alike = i == 1 && memcmp(footer[0], footer[1], DIGEST_AT + 32) == 0;

		if (r == LMODEL_OK && found[i].valid)
			r = read_image(file, s, i, &found[i], footer[i], alike ? image[0] : NULL,
				       &image[i], error);
		if (r == LMODEL_OK && found[i].valid)
			r = check_padding(file, s, i, &found[i], footer[i], error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

int lm_slots_examine(const struct lm_file *file, const struct lm_slots *s, struct lm_slot found[2],
		     struct lmodel_error *error)
{
	uint8_t *image[2] = { NULL, NULL };
	int r = lm_slots_examine_images(file, s, found, image, error);

	free(image[0]);
	free(image[1]);
	return r;
}
