/* The owner's customer book: who has which slot, sealed with the owner key (spec: 8.4). Slots are
 * anonymous to everybody else. */
#ifndef LM_BOOK_H
#define LM_BOOK_H

#include "keys/grant.h"

struct lm_book_entry {
	uint8_t slot[LM_SHA256_SIZE]; /* lm_slot_digest() */
	enum lmodel_role role;
	char tier[LM_TIER_NAME_LIMIT + 1]; /* "" unless a holder */
	int64_t since;                /* seconds since 1970-01-01 UTC; -1: a detached grant that is
	                                 being taken out */
	char *recipient;              /* of the grant: for a passphrase slot the
	                                 identity made for it */
	char *label;                  /* "": none */
};

struct lm_book {
	struct lm_book_entry *entries;
	size_t count, capacity;
	char exposed[LM_TIER_ROW_LIMIT][LM_TIER_NAME_LIMIT + 1]; /* tiers that someone who
	                                                            is out could open */
	size_t exposed_count;
};

/* Opens the book of the manifest. ECORRUPT when it is not the one that this owner sealed, with this
 * counter, for this archive. */
int lm_book_open(struct lm_book *book, const struct lm_manifest *manifest,
		 const uint8_t owner_key[LM_KEY], struct lmodel_error *error) LM_MUST_CHECK;

/* Seals into the manifest's owner row, with the counter that stands there. `salt` as for
 * lm_seal_message(). */
int lm_book_seal(const struct lm_book *book, struct lm_manifest *manifest,
		 const uint8_t owner_key[LM_KEY], const uint8_t *salt, struct lmodel_error *error)
	LM_MUST_CHECK;

/* The same for a book elsewhere: what it is bound to is the caller's. `*sealed` is fresh memory. */
int lm_book_open_bytes(struct lm_book *book, const uint8_t *sealed, size_t sealed_len,
		       const uint8_t key[LM_KEY], const void *about, size_t about_len,
		       struct lmodel_error *error) LM_MUST_CHECK;
int lm_book_seal_bytes(const struct lm_book *book, const uint8_t key[LM_KEY], const void *about,
		       size_t about_len, const uint8_t *salt, uint8_t **sealed, size_t *sealed_len,
		       struct lmodel_error *error) LM_MUST_CHECK;

/* Takes over nothing: all texts are copied. EUSAGE for a label with control characters or
 * over 1 KiB. */
int lm_book_add(struct lm_book *book, const uint8_t slot[LM_SHA256_SIZE],
		const struct lmodel_grantee *who, const char *recipient, int64_t since,
		struct lmodel_error *error) LM_MUST_CHECK;
void lm_book_remove(struct lm_book *book, size_t index);

/* Puts the tier among those to be locked anew, or takes it out. */
void lm_book_expose(struct lm_book *book, const char *tier, bool exposed);

/* The entry of this slot, or NULL: then someone else put it there. */
const struct lm_book_entry *lm_book_find(const struct lm_book *book,
					 const struct lm_slot_row *slot);

void lm_book_free(struct lm_book *book);

#endif
