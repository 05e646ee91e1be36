/* What a keyring holds, for unlocking (spec: 8.5). */
#ifndef LM_KEYRING_H
#define LM_KEYRING_H

#include "crypto/age/age.h"
#include "keys/grant.h"

struct lm_sealed_grant {
	uint8_t *file;
	size_t len;
};

struct lmodel_keyring {
	struct lm_age_identity **identities;   /* that open grants */
	size_t identity_count;
	struct lm_age_identity **passphrases;  /* that open the identities of passphrase slots */
	size_t passphrase_count;
	struct lm_sealed_grant *detached;
	size_t detached_count;
	char *memory;                          /* state directory; NULL: none */
	bool allow_rollback;
	lmodel_passphrase_fn *ask;
	void *ask_context;
};

/* What trying passphrases has cost so far, and which of them have opened a slot: each opens one.
 * A forged archive may hold any number of passphrase slots. */
struct lm_passphrase_work {
	uint64_t cost;           /* sum of 2^work factor */
	bool *used;              /* one a passphrase of the ring; free() it at the end */
};
#define LM_PASSPHRASE_COST_LIMIT (UINT64_C(1) << 25)

/* Opens one grant, of a slot or detached: LMODEL_OK with `*grant` filled, or ENOKEY when no
 * identity of the ring opens it, whatever the reason. Grants that open and are malformed are ENOKEY
 * too: they are forged. ELIMIT when trying passphrases has cost too much. */
int lm_keyring_open_slot(const struct lmodel_keyring *ring, const struct lm_slot_row *slot,
			 struct lm_passphrase_work *work, struct lm_grant *grant,
			 struct lmodel_error *error) LM_MUST_CHECK;
int lm_keyring_open_detached(const struct lmodel_keyring *ring, size_t index,
			     struct lm_grant *grant, struct lmodel_error *error) LM_MUST_CHECK;

#endif
