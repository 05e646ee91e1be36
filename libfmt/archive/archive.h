/* An open archive, as the operations see it. */
#ifndef LM_ARCHIVE_H
#define LM_ARCHIVE_H

#include <pthread.h>

#include <lmodel/archive.h>

#include "base/base.h"
#include "base/file.h"
#include "container/slot.h"
#include "manifest/manifest.h"

struct lm_book;
struct lm_reader;
struct lm_unlocked;
struct lmodel_keyring;
struct lmodel_signature;

/* Looks where the archive is (`file.source`) for a grant that the identities of a ring open, for
 * whom none of the slots is. Sets the age file, in fresh memory; NULL: there is none. */
typedef int lm_grant_finder(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
			    uint8_t **file, size_t *len, struct lmodel_error *error);

struct lmodel_archive {
	struct lm_file file;               /* its label is this one */
	bool own_lock;                     /* the writer lock is held by whoever opened this */
	char *label;                       /* the path, escaped for messages */
	char *path;                        /* as given; NULL for standard input */
	struct lm_slots slots;
	struct lm_slot_footer footer;      /* of the slot in force */
	uint8_t *image;                    /* in it: for who holds the lock, otherwise NULL */
	struct lm_manifest manifest;
	char content_root[2 * LM_SHA256_SIZE + 1];

	/* The public view of the rows, same indices. */
	struct lmodel_tensor *tensors;
	struct lmodel_attachment *attachments;
	struct lmodel_source *sources;
	struct lmodel_metadata *metadata;
	struct lmodel_tier *tiers;
	struct lmodel_slot *slots_shown;
	struct lmodel_signature *signatures;
	struct lm_book *book;              /* with an owner's key */

	struct lm_unlocked *unlocked;      /* NULL: no key was given */
	size_t level;                      /* tiers below this are put over the base */
	bool level_chosen;                 /* by the caller; otherwise it is what the keys open, and
	                                      reading fails when that is nothing or not all there */

	lm_grant_finder *find_grant;       /* NULL: there is nowhere to look */

	/* For lmodel_tensor_read(), made at the first call. */
	pthread_mutex_t lock;
	struct lm_reader *reader;
};

/* lmodel_open() by who holds the writer lock: nobody else writes, so damage is damage. */
int lm_archive_open_locked(struct lmodel_archive **archive, const char *path,
			   struct lmodel_error *error) LM_MUST_CHECK;

void lm_archive_forget_image(struct lmodel_archive *archive);

/* The same for a file that has no name yet; `fd` is duplicated. `label` is for messages. */
int lm_archive_open_unnamed(struct lmodel_archive **archive, int fd, const char *label,
			    struct lmodel_error *error) LM_MUST_CHECK;

/* Opens an archive of `size` bytes that is no local file. The file is the archive's when that has
 * succeeded, and still the caller's otherwise. */
int lm_archive_open_file(struct lmodel_archive **archive, struct lm_file *file, uint64_t size,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* ENOKEY, ECORRUPT when what the keys open is nothing, or absent, and no level was chosen. */
int lm_archive_check_level(const struct lmodel_archive *archive, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Row number of a public tensor; LM_NONE when it is not of this archive. */
size_t lm_archive_tensor_index(const struct lmodel_archive *archive, const struct lmodel_tensor *t);

/* Raw bytes of a member, by the reader that the archive keeps: it holds the last chunk, for who
 * reads on from there. */
int lm_archive_read(struct lmodel_archive *archive, size_t member, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error) LM_MUST_CHECK;

#endif
