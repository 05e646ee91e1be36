/* What keys have opened of an archive (spec: 8.5). */
#ifndef LM_UNLOCK_H
#define LM_UNLOCK_H

#include "archive/archive.h"
#include "keys/keyring.h"

/* In secret memory. */
struct lm_unlocked {
	struct {
		bool values, positions;      /* what is known */
		uint8_t key[LM_KEY];         /* tier key, with `values` */
		uint8_t position_key[LM_KEY], value_key[LM_KEY];
	} tier[LM_TIER_ROW_LIMIT];
	bool owner;
	uint8_t owner_key[LM_KEY], owner_seed[LM_KEY];
};

/* The key of a tier's streams of that kind; the tier is open for it. */
void lm_unlocked_stream_key(const struct lmodel_archive *archive, size_t tier, enum lm_stream kind,
			    uint8_t key[LM_KEY]);

/* Tries the detached grants, or the slots where there is none; fills in `unlocked`, which is
 * zeroed. ENOKEY when nothing opens, or only grants of an earlier generation; ECORRUPT when a grant
 * opens and is for another archive than this one with the same id. */
int lm_unlock_keys(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
		   struct lm_unlocked *unlocked, struct lmodel_error *error) LM_MUST_CHECK;

/* The tier's MACs of the archive's statement, under its keys. */
void lm_statement_mac(uint8_t mac[LM_SHA256_SIZE], const uint8_t key[LM_KEY], const char *label,
		      const struct lm_manifest *manifest, size_t tier);

/* What the owner signs: a domain and the statement. In fresh memory. */
char *lm_owner_message(const char *statement, size_t *len, struct lmodel_error *error);

/* The public view of tiers and slots. */
int lm_archive_make_tiers(struct lmodel_archive *archive, struct lmodel_error *error) LM_MUST_CHECK;

#endif
