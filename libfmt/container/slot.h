/* The two manifest slots: finding, reading, committing (spec: 2.2 to 2.4). */
#ifndef LM_SLOT_H
#define LM_SLOT_H

#include "base/file.h"
#include "container/layout.h"

/* What the footer of a slot says. */
struct lm_slot_footer {
	uint32_t format;
	uint64_t commit_counter;
	uint64_t image_len;
	uint64_t committed_len; /* end of the last committed member */
	uint64_t slot_size;     /* R */
	uint8_t digest[32];     /* SHA-256 over the image, then the footer's bytes before this */
};

/* One slot as found in a file. */
struct lm_slot {
	struct lm_slot_footer footer;
	bool valid;             /* footer, digest and bounds are right */
	bool padded;            /* every byte that should be zero is (known after a full read) */
	char problem[160];      /* why it is not valid */
};

struct lm_slots {
	uint64_t slot_size;
	uint64_t file_size;
};

static inline uint64_t lm_slot_offset(uint64_t slot_size, int which)
{
	return which == 0 ? LM_SLOT_A_OFFSET : LM_SLOT_A_OFFSET + slot_size + LM_TAR_BLOCK;
}

/* First byte after both slots, where the first member's header is. */
static inline uint64_t lm_slots_end(uint64_t slot_size)
{
	return LM_SLOT_A_OFFSET + 2 * slot_size + LM_TAR_BLOCK;
}

/* Slot size for an image of this length in front of `payload` bytes of members: with room to
 * grow that is in proportion to both, and more when customers will come, whose key slot and line
 * in the book take some 800 bytes (spec: 2.2). Without them only signatures come. 0 when it would be over LM_SLOT_LIMIT. */
uint64_t lm_slot_size_for(uint64_t image_len, uint64_t payload, bool customers);

/* Reads the fixed head of the file. ECORRUPT "is not an lmodel archive" or what is wrong. */
int lm_slots_locate(const struct lm_file *file, uint64_t file_size, struct lm_slots *slots,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Reads the manifest image in force: the valid slot with the higher commit counter. Only the
 * chosen slot is read and hashed, and the other one when the chosen one fails. `*image` is
 * fresh memory of footer->image_len bytes. */
int lm_slots_read(const struct lm_file *file, const struct lm_slots *slots, uint8_t **image,
		  struct lm_slot_footer *footer, struct lmodel_error *error) LM_MUST_CHECK;

/* Reads and checks both slots whole, padding too. Fails only on I/O. */
int lm_slots_examine(const struct lm_file *file, const struct lm_slots *slots,
		     struct lm_slot found[2], struct lmodel_error *error) LM_MUST_CHECK;

/* Writes the slots of a new file, both alike, with their tar headers and the mimetype. */
int lm_slots_create(int fd, const char *label, uint64_t slot_size, int64_t mtime,
		    const uint8_t *image, uint64_t image_len, uint64_t committed_len,
		    uint64_t commit_counter, struct lmodel_error *error) LM_MUST_CHECK;

/* Commits a new image in place, under the writer lock. Whatever moment the machine stops at,
 * the old or the new state is in force: the newest valid slot is never the one that is being
 * overwritten (spec: 2.4). ELIMIT when the image has outgrown the slot ("repack makes room").
 * `*level` is what both slots are known to hold since the lock was taken, from lm_slots_level() or
 * from the commit before; all zero: they are looked at first. It becomes what they hold now. */
int lm_slots_commit(int fd, const char *label, const struct lm_slots *slots, const uint8_t *image,
		    uint64_t image_len, uint64_t committed_len, struct lm_slot_footer *level,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Makes both slots equal to the newest valid one, if they are not. `*changed` is set when it
 * wrote. `*footer` becomes that of both. `known`, unless NULL, is an image that was read and
 * checked under this lock, and `*footer` then its own: slots that are equal to these need no
 * digest. */
int lm_slots_level(int fd, const char *label, const struct lm_slots *slots, const uint8_t *known,
		   struct lm_slot_footer *footer, bool *changed,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* ---- what both files of this have ---- */

/* The digest covers the image and every footer field before the digest itself. */
int lm_slot_digest_of(const uint8_t *image, uint64_t len, const uint8_t footer[LM_SLOT_FOOTER],
		      uint8_t digest[32], struct lmodel_error *error) LM_MUST_CHECK;

/* lm_slots_examine(), which leaves the images: to be freed. */
int lm_slots_examine_images(const struct lm_file *file, const struct lm_slots *slots,
			    struct lm_slot found[2], uint8_t *image[2],
			    struct lmodel_error *error) LM_MUST_CHECK;

/* The footer of one slot as it stands in the file: neither its digest nor what it says of the file's
 * size is looked at. False: it cannot be read, or is none. */
bool lm_slot_footer_read(const struct lm_file *file, const struct lm_slots *slots, int which,
			 struct lm_slot_footer *footer) LM_MUST_CHECK;

/* A footer to bytes and back; decode only checks that it is one and that its fields can be. */
void lm_slot_footer_encode(const struct lm_slot_footer *footer, uint8_t bytes[LM_SLOT_FOOTER]);
bool lm_slot_footer_decode(const uint8_t bytes[LM_SLOT_FOOTER], struct lm_slot_footer *footer,
			   char problem[160]);

#endif
