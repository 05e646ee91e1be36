/* ZIP files (APPNOTE 6.3) as containers of tensors: read strictly, written plainly.
 *
 * libarchive inflates. It does not tell where in a file a member's data are, and takes files that
 * other readers see otherwise, so where everything is comes from here, and only files of which
 * there is one reading are taken: members lie one behind the other from byte 0 up to the central
 * directory, which has each of them once and says the same as their own headers, and the end
 * records follow at once and end the file. */
#ifndef LM_ZIP_H
#define LM_ZIP_H

#include "base/base.h"

enum { LM_ZIP_STORED = 0, LM_ZIP_DEFLATED = 8 };

struct lm_zip_member {
	char *name;              /* valid UTF-8, no NUL, not absolute, no part ".." */
	unsigned method;         /* one of the two */
	uint32_t crc;            /* of the data, inflated, as the file says */
	uint64_t stored, size;   /* bytes in the file; inflated */
	uint64_t header;         /* where its local header begins */
	uint64_t data;           /* where its data begin */
	uint64_t end;            /* where the next member begins, or the central directory */
	uint64_t crc_at[3];      /* where the file has the four bytes of that CRC: in the local */
	unsigned crc_places;     /* header, a data descriptor, the central directory; rising */
};

struct lm_zip {
	int fd;                  /* the caller's */
	const char *label;       /* the caller's */
	uint64_t size;           /* of the file */
	uint64_t directory;      /* where the central directory begins */
	struct lm_zip_member *members; /* as they lie in the file; names are unique */
	size_t *by_name;         /* their numbers, by name */
	size_t count;
};

/* Reads the structure, no data of members. Refused besides bad structure: encryption, several
 * disks, other methods, bytes that belong to nothing, names that are neither ASCII nor marked as
 * UTF-8 (EUNSUPPORTED or ECORRUPT); what inflates to more than LM_ZIP_RATIO times its size and
 * over a GiB (ELIMIT). `zip` needs no set-up; lm_zip_free() is right after success and failure. */
#define LM_ZIP_RATIO 200u
int lm_zip_open(struct lm_zip *zip, int fd, uint64_t size, const char *label,
		struct lmodel_error *error) LM_MUST_CHECK;
void lm_zip_free(struct lm_zip *zip);

/* Whether a file looks like a ZIP file. */
bool lm_zip_is_like(const uint8_t *head, size_t head_len);

/* The member of that name, or SIZE_MAX. */
size_t lm_zip_find(const struct lm_zip *zip, const char *name);

/* That the CRCs of all stored members are right. ECORRUPT. */
int lm_zip_check_stored(const struct lm_zip *zip, struct lmodel_error *error) LM_MUST_CHECK;

/* Inflates all deflated members into the file `out` from its byte 0 on, one behind the other:
 * member i is at offset[i] then; offset[] of stored ones is left alone. Stops at the size that the
 * directory states; sizes and CRCs must be right. ECORRUPT. */
int lm_zip_inflate(const struct lm_zip *zip, int out, uint64_t *offset,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* ---- writing: all members stored, no data descriptors, Zip64 where it is needed ---- */

/* A file that is laid out from front to back: members in order, each `header`, then `size` bytes
 * of data by the caller, then the directory. CRCs are left zero, for their places are told. */
struct lm_zip_layout {
	uint8_t *directory;      /* so far */
	size_t directory_len, directory_capacity;
	uint64_t count, at;      /* members so far; where the next one begins */
};

/* The most that a header takes besides the name. */
#define LM_ZIP_HEADER_MAX 64u
#define LM_ZIP_NAME_LIMIT 65535u

/* Makes the local header of a member at layout->at, of `*len` bytes, in `header`, which has room
 * for LM_ZIP_HEADER_MAX and the name. Its CRC belongs at `*crc_at` of the file; that in the
 * directory at *directory_crc_at bytes from the begin of the directory. Then layout->at is behind
 * the member's data. EUNSUPPORTED for a name that is longer than LM_ZIP_NAME_LIMIT, ELIMIT beyond
 * any file. */
int lm_zip_layout_add(struct lm_zip_layout *layout, const char *name, uint64_t size,
		      uint8_t *header, size_t *len, uint64_t *crc_at, uint64_t *directory_crc_at,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Adds the end records to layout->directory, which goes to layout->at. */
int lm_zip_layout_end(struct lm_zip_layout *layout, struct lmodel_error *error) LM_MUST_CHECK;
void lm_zip_layout_free(struct lm_zip_layout *layout);

#endif
