/* Protection at pack time: keys, slots, selection, mask, shards (spec: 7, 8). */
#ifndef LM_PROTECT_H
#define LM_PROTECT_H

#include <lmodel/pack.h>

#include "archive/like.h"
#include "archive/writer.h"
#include "keys/book.h"
#include "keys/grant.h"
#include "protect/public_bytes.h"

struct lm_protection {
	const struct lmodel_protect_options *options;
	const struct lmodel_run *run;
	const char *directory;
	struct lm_manifest *manifest;
	struct lm_protected_model model;
	struct lm_model scores, reference, ancestor; /* where files for them were given */
	bool has_scores, has_reference, has_ancestor;

	struct lm_like like;                 /* an earlier release, where one was given */
	bool seeded;
	uint8_t *master;                     /* all keys come from it; secret memory */
	struct lm_grant *owner;              /* what an owner gets; secret memory */
	uint8_t *lock_key;                   /* of the mask deep-lock; secret memory */
	uint8_t (*content)[LM_SHA256_SIZE];  /* seeded: what each shard will hold, hashed */
	size_t *sealed_from;                 /* attachment of the model, for each sealed row */
};

/* Makes the keys and the archive id, wraps the grants, and selects: everything that can be refused
 * is refused here. Adds the rows of tiers, shards, slots and owner to the manifest, whose other
 * rows stand already; lengths and digests come later. alias[] as in lm_select(). `directory` is for
 * temporary files, borrowed; NULL: as in lm_unnamed_file(). */
int lm_protection_begin(struct lm_protection *p, const struct lm_model *model, const size_t *alias,
			struct lm_manifest *manifest, const struct lmodel_pack_options *options,
			const char *directory, struct lmodel_error *error) LM_MUST_CHECK;

/* Writes the shards, once the base members stand in the manifest. */
int lm_protection_write(struct lm_protection *p, struct lm_writer *writer,
			struct lmodel_error *error) LM_MUST_CHECK;

/* MACs and the owner's signature of the statement. For struct lm_sealing. */
int lm_protection_seal(void *protection, struct lm_manifest *manifest, struct lmodel_error *error);

void lm_protection_release(struct lm_protection *p);

/* ---- parts ---- */

/* protect_keys.c: master key, archive id, tier keys, owner row; then slots and book. */
int lm_protection_keys(struct lm_protection *p, const struct lmodel_pack_options *options,
		       struct lmodel_error *error) LM_MUST_CHECK;
int lm_protection_slots(struct lm_protection *p, struct lmodel_error *error) LM_MUST_CHECK;

/* protect_locks.c: combinations that make no sense (EUSAGE); what a user has to be told of masks
 * that show true values, and of an ancestor. EUSAGE, too: one that has no tensor of the model. */
int lm_protection_check_locks(const struct lmodel_protect_options *options,
			      struct lmodel_error *error) LM_MUST_CHECK;
int lm_protection_warn_locks(const struct lm_protection *p, const size_t *alias,
			     struct lmodel_error *error) LM_MUST_CHECK;

/* protect_sealed.c: whether the tier has side files; their rows; their streams, once the tiers have
 * their places. */
bool lm_protection_attaches(const struct lm_protection *p, const char *tier);
int lm_protection_add_sealed(struct lm_protection *p, struct lmodel_error *error) LM_MUST_CHECK;
int lm_protection_write_sealed(const struct lm_protection *p, const struct lm_writer *out,
			       struct lmodel_error *error) LM_MUST_CHECK;

/* A key for one purpose from the master key. */
void lm_protection_key(const struct lm_protection *p, const char *purpose, const char *name,
		       uint8_t key[LM_KEY]);

/* The MACs of all tiers and the owner's signature, from what an owner knows. */
int lm_owner_seal(struct lm_manifest *manifest, const struct lm_grant *owner,
		  struct lmodel_error *error) LM_MUST_CHECK;

#endif
