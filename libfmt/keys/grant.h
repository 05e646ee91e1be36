/* The text that a key slot or a detached grant holds (spec: 8.2). */
#ifndef LM_GRANT_H
#define LM_GRANT_H

#include <lmodel/keys.h>

#include "keys/tier_keys.h"
#include "manifest/manifest.h"

struct lm_grant_tier {
	char name[LM_TIER_NAME_LIMIT + 1];
	uint64_t generation;
	uint8_t key[LM_KEY];        /* tier key; for an auditor the position key */
};

/* Kept in secret memory. */
struct lm_grant {
	char archive[37];
	enum lmodel_role role;
	uint8_t owner[32];          /* Ed25519 public key of the archive's owner */
	struct lm_grant_tier tiers[LM_TIER_ROW_LIMIT];
	size_t tier_count;
	uint8_t owner_key[LM_KEY], owner_seed[LM_KEY]; /* owners only */
	size_t text_len;            /* the text is padded to this, if longer */
};

/* In secret memory, NUL-terminated. Padded with newlines to `text_len`, so that the sizes of slots
 * do not tell roles and tiers. */
char *lm_grant_print(const struct lm_grant *grant, struct lmodel_error *error);

/* Length of the text without padding. */
size_t lm_grant_text_len(const struct lm_grant *grant);

/* Exactly what lm_grant_print() writes; ECORRUPT for anything else, without a word
 * of its content. */
int lm_grant_parse(struct lm_grant *grant, const char *text, size_t len, struct lmodel_error *error)
	LM_MUST_CHECK;

const char *lm_role_name(enum lmodel_role role);
bool lm_role_parse(const char *name, enum lmodel_role *role);

#endif
