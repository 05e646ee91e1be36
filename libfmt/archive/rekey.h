/* New keys for tiers, in the making (spec: 8.10). */
#ifndef LM_REKEY_H
#define LM_REKEY_H

#include "archive/change.h"
#include "keys/grant.h"

struct rekeying {
	struct lm_change change;
	const struct lmodel_rekey_options *options;
	struct lm_manifest next;         /* rows of the new state; arrays below are its own */
	struct lm_grant *owner;          /* of the new state; secret memory */
	bool turn[LM_TIER_ROW_LIMIT];    /* which tiers get new keys */
	uint64_t end;                    /* of what has been appended */
	struct lm_book detached;         /* the owner's book of detached grants */
};

/* rekey_write.c: appends the shards of those tiers, sealed anew, where no reader looks before the
 * commit; their places and digests go to the new rows. */
int lm_rekey_append(struct rekeying *k, struct lmodel_error *error) LM_MUST_CHECK;

/* Behind `at` nothing but zeros, `size` of them: what an interrupted append has left goes. */
int lm_rekey_clear_end(const struct rekeying *k, uint64_t at, uint64_t size,
		       struct lmodel_error *error) LM_MUST_CHECK;

#endif
