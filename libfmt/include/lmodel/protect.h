/* What to protect when packing: which parameters go into which tier, and what everybody sees in
 * their place (spec: 7). */
#ifndef LMODEL_PROTECT_H
#define LMODEL_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/keys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lmodel_select {
	LMODEL_SELECT_PSS = 0,       /* sampled: the higher the score, the likelier; the default */
	LMODEL_SELECT_MAGNITUDE = 1, /* highest score first */
	LMODEL_SELECT_RANDOM = 2,
	LMODEL_SELECT_ALL = 3,       /* every unit, in one tier */
};

enum lmodel_mask {
	LMODEL_MASK_DPRM = 0,        /* decoys drawn from the units that stay public */
	LMODEL_MASK_ZERO = 1,
	LMODEL_MASK_DEEP_LOCK = 2,   /* S-box(w xor k) of every byte, with SELECT_ALL: obfuscation,
	                                recoverable without a key */
	LMODEL_MASK_PERTURB = 3,     /* with a reference alone: weights that were perturbed a
	                                little; obfuscation too */
};

enum lmodel_unit {
	LMODEL_UNIT_DEFAULT = 0,     /* element for rank 0 to 2, kernel slice above, block for
	                                dtypes below a byte */
	LMODEL_UNIT_ELEMENT = 1,
	LMODEL_UNIT_SLICE = 2,
	LMODEL_UNIT_ROW = 3,
	LMODEL_UNIT_COLUMN = 4,
	LMODEL_UNIT_BLOCK = 5,       /* 64 elements */
};

enum lmodel_scope {
	LMODEL_SCOPE_EQUAL = 0,      /* the same number of units in each tensor, small ones whole */
	LMODEL_SCOPE_MODEL = 1,      /* where the scores are highest in the whole model */
	LMODEL_SCOPE_LAYER = 2,      /* the same share of each tensor */
};

/* Tiers are cumulative: each amount counts all tiers up to it. One of `share` and `units` is set;
 * neither for a tier that adds no weights, only side files (struct lmodel_attach). */
struct lmodel_tier_amount {
	const char *name;            /* 1 to 64 of A-Z a-z 0-9 . _ -, not beginning
	                                with '.' or '-' */
	double share;                /* 0 < share <= 1, of the units that may be protected */
	uint64_t units;
	const char *text;            /* the amount as it was given, for inspect; NULL:
	                                made from the above */
};

struct lmodel_protect_options {
	size_t size;                 /* sizeof(struct lmodel_protect_options) */
	const struct lmodel_tier_amount *tiers; /* lowest first, rising; at most 16 */
	size_t tier_count;
	enum lmodel_select select;
	enum lmodel_mask mask;
	enum lmodel_unit unit;
	enum lmodel_scope scope;
	bool raw_scores;             /* do not divide magnitudes by row and column scale */
	const char *const *includes; /* only tensors that one of these picks; then of any dtype */
	size_t include_count;
	const char *const *excludes;
	size_t exclude_count;
	const char *scores;          /* a model file: a score for every parameter, or one
	                                a unit; NULL: |w| */
	const char *reference;       /* a model: the public weights; what differs is
	                                protected */
	const char *ancestor;        /* a public model that this one comes from: only units that
	                                differ from it are protected, and amounts count these */
	const char *like;            /* an earlier release: where a tensor is bit-equal in it, it
	                                is protected just as there, with the same stand-ins; tiers
	                                have the same names */
	const struct lmodel_keyring *like_keys; /* an owner's of it */
	const struct lmodel_grantee *grantees; /* at least one owner */
	size_t grantee_count;
	bool test_keys;              /* with a seed and real recipients: yes, I know that the keys
	                                follow from the seed */
};
#define LMODEL_PROTECT_OPTIONS_INIT { .size = sizeof(struct lmodel_protect_options) }

#ifdef __cplusplus
}
#endif
#endif
