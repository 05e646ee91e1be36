/* Making key slots and detached grants (spec: 8.3). */
#ifndef LM_KEYS_SLOTS_H
#define LM_KEYS_SLOTS_H

#include "keys/grant.h"

/* EUSAGE when what is asked for makes no sense: no recipient nor passphrase, a role that is not
 * defined, a tier for or missing from the role. */
int lm_grantee_check(const struct lmodel_grantee *who, struct lmodel_error *error) LM_MUST_CHECK;

/* Fills in kind, grant and identity of `row`; the id is the caller's. `*recipient` (fresh memory)
 * is whom the grant is wrapped to. `entropy` as for lm_age_encrypt(). */
int lm_slot_make(struct lm_slot_row *row, char **recipient, const struct lm_grant *grant,
		 const struct lmodel_grantee *who, const uint8_t *entropy,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* The grant that `who` gets from the keys of an owner: only the tiers and keys of its role. EUSAGE
 * when its tier is not there. */
int lm_grant_for(struct lm_grant *grant, const struct lm_grant *owner,
		 const struct lmodel_grantee *who, struct lmodel_error *error) LM_MUST_CHECK;

/* An age file for the recipient, armored or not, in fresh memory. */
int lm_grant_wrap(const struct lm_grant *grant, const char *recipient, bool armor, uint8_t **file,
		  size_t *len, struct lmodel_error *error) LM_MUST_CHECK;

#endif
