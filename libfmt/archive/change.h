/* Changing an archive in place, by its owner (spec: 2.4, 8.4). */
#ifndef LM_CHANGE_H
#define LM_CHANGE_H

#include "archive/unlock.h"
#include "keys/book.h"

/* An archive open for a change, under the writer lock. */
struct lm_change {
	int fd;
	struct lmodel_archive *archive;
	struct lm_grant *owner;      /* what an owner gets now; secret memory */
	const struct lmodel_keyring *ring;
	struct lm_slot_footer level; /* what both slots hold; zero when that is not known */
};

/* Opens, with `write` under the writer lock. In every case lm_change_end()
 * follows. */
int lm_change_open(struct lm_change *change, const char *path, bool write,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* The same, and unlocks, and levels the slots. ENOKEY when no key of the ring is an owner's;
 * ECORRUPT when the customer book is not the owner's. Without `write` only that: no lock is taken.
 * In every case lm_change_end() follows. */
int lm_change_begin(struct lm_change *change, const char *path, const struct lmodel_keyring *ring,
		    bool write, struct lmodel_error *error) LM_MUST_CHECK;

/* Checks that what is about to be written opens again, and commits it. Leaves the book alone.
 * `keys_only`: key slots, owner and signatures alone differ from the archive as it was opened. */
int lm_change_store(struct lm_change *change, const struct lm_manifest *manifest,
		    uint64_t committed_len, bool keys_only,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* Seals the archive's book with the next counter into `manifest`, and stores that. */
int lm_change_commit(struct lm_change *change, struct lm_manifest *manifest, uint64_t committed_len,
		     bool keys_only, struct lmodel_error *error) LM_MUST_CHECK;

/* Zeroes the ranges of `manifest` that are dead and pending, while nobody reads, and commits that
 * they are. While somebody reads they stay pending, which is told: the next writer does it. */
int lm_change_bury(struct lm_change *change, struct lm_manifest *manifest, uint64_t committed_len,
		   const struct lmodel_run *run, struct lmodel_error *error) LM_MUST_CHECK;

/* The owner's book of detached grants: at `path`, or beside what the ring remembers; `*found` NULL
 * when there is no such place. lm_grants_book_store() writes it back. */
int lm_change_grants_book(const struct lm_change *change, const char *path, struct lm_book *book,
			  char **found, struct lmodel_error *error) LM_MUST_CHECK;

void lm_change_end(struct lm_change *change);

#endif
