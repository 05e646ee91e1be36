/* What is encrypted, where, and how well it hides.
 *
 * Without a key there are the tiers as declared, and bounds from the padded lengths of their
 * shards. A key that opens positions, which an auditor's does as well as a holder's or an owner's,
 * gives the exact units, and makes the detection test possible. No value is ever read here: all
 * figures come from positions and from the base, which is public. */
#ifndef LMODEL_AUDIT_H
#define LMODEL_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>
#include <lmodel/keys.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---- positions ---- */

/* What a tier hides of a tensor. */
struct lmodel_positions {
	const char *unit;             /* "element", "slice", "row", "column", "block", "tensor";
	                                 NULL: the tier hides nothing of the tensor */
	uint64_t unit_count;          /* units of the tensor in all; they are numbered from 0 */
	uint64_t unit_bytes;          /* bytes of one; the last may be shorter */
	uint64_t hidden;              /* units that the tier hides */
};

/* A run of hidden units, ascending; not 0 stops. */
typedef int lmodel_positions_fn(void *context, uint64_t first, uint64_t count);

/* Calls `each`, which may be NULL, for the units of a tensor that a tier hides, and fills in
 * `about`. What `each` was given counts when this returns LMODEL_OK: that the positions are those
 * that were packed shows at their end. Of an alias these are the positions in the tensor that it
 * stands for.
 *
 * Errors: EUSAGE (no such tier), ENOKEY (positions are not open), ECORRUPT (not what was packed; or
 * the tier's shards are not in this file), EFAILED. */
int lmodel_positions(const struct lmodel_archive *archive, const struct lmodel_tensor *tensor,
		     const char *tier, struct lmodel_positions *about, lmodel_positions_fn *each,
		     void *context, struct lmodel_error *error);

/* ---- the report ---- */

/* How well decoys hide among what stays public, measured with detectors of one number a unit, each
 * by the area under its curve: .5 is by lot, 1 tells them all apart. Trained attackers reach more:
 * these are lower bounds. For a tier, means over its tensors, weighted by hidden units. */
struct lmodel_detection {
	size_t tensors;               /* with enough units to measure; 0: nothing is known */
	const char *detector;         /* the one that does best by the values in the base */
	double mean, most;            /* its area; in the tensor where it is highest */
	const char *tensor;           /* that tensor */
	double lot;                   /* mean of the same where units are drawn by lot: the noise */
	const char *position;         /* the best that looks at places alone; NULL: no rows */
	double position_mean, position_most;
	bool tail_known;
	double tail;                  /* of norms: about 0.55 to 1 where the largest units are
	                                 public like any other; below 0.4 they are missing */
	size_t pooled_tensors;        /* with 8 units on either side: a model of many small tensors
	                                 has figures, too. 0: nothing is known */
	const char *pooled_detector;  /* the one that does best when it has to point the same way in
	                                 all of them, as an attacker has to decide */
	double pooled, pooled_lot;    /* its area; the best among units drawn by lot */
};

/* A tier's part of a tensor. */
struct lmodel_audit_shard {
	const struct lmodel_tensor *tensor;
	size_t tier;                  /* index */
	const char *unit;
	uint64_t unit_count, unit_bytes; /* of the tensor */
	uint64_t stored_bytes;
	bool exact;                   /* else the next three are upper bounds */
	uint64_t units, elements, bytes;
	struct lmodel_detection detection;
};

struct lmodel_audit_tier {
	const struct lmodel_tier *tier;
	bool recoverable;             /* its mask publishes a function of the true values, which
	                                 hides nothing from who knows it: counts as public */
	bool given;                   /* the public weights were given: who knows what they tell */
	bool exact;
	uint64_t units, elements, bytes;
	struct lmodel_detection detection;
};

struct lmodel_audit_report {
	const struct lmodel_audit_tier *tiers;
	size_t tier_count;
	const struct lmodel_audit_shard *shards; /* by tier, then as tensors come */
	size_t shard_count;
	bool exact;                   /* positions of all tiers are known */
	uint64_t elements, bytes;     /* hidden in all; tiers that are recoverable do not count */
	uint64_t all_elements, all_bytes; /* of the model, aliases not counted */
	const char *const *findings;  /* what ought not to be; printable */
	size_t finding_count;
};

struct lmodel_audit_options {
	size_t size;                  /* sizeof(struct lmodel_audit_options) */
	struct lmodel_run run;        /* progress: bytes of the base */
	bool no_detection;
};
#define LMODEL_AUDIT_OPTIONS_INIT { .size = sizeof(struct lmodel_audit_options) }

/* Audits. Findings are no failure. `*report` belongs to the caller, and lives no longer than the
 * archive. */
int lmodel_audit(const struct lmodel_archive *archive, const struct lmodel_audit_options *options,
		 struct lmodel_audit_report **report, struct lmodel_error *error);
void lmodel_audit_free(struct lmodel_audit_report *report);

/* ---- two releases ---- */

/* A tensor whose bases differ. */
struct lmodel_audit_change {
	const struct lmodel_tensor *tensor; /* in A */
	const char *unit;
	uint64_t unit_count;
	uint64_t differing;           /* units */
	uint64_t hidden;              /* units that A or B hides, as far as positions are open */
	uint64_t given_away;          /* units that differ and are hidden */
};

struct lmodel_audit_comparison {
	size_t equal, unequal;        /* tensors of the same name, dtype and shape */
	size_t other;                 /* of another dtype or shape, or in one archive alone */
	bool exact_a, exact_b;        /* positions of all tiers are known */
	uint64_t unit_count;          /* of the unequal tensors */
	uint64_t differing, hidden, given_away;
};

/* What comparing two releases of a model, which anyone can do, gives away of where they hide
 * something: fresh decoys differ just there. Calls `change`, which may be NULL, for tensors whose
 * bases differ. Units are those of A; of B where A has none in the tensor. */
int lmodel_audit_against(const struct lmodel_archive *a, const struct lmodel_archive *b,
			 const struct lmodel_run *run,
			 void (*change)(void *context, const struct lmodel_audit_change *change),
			 struct lmodel_audit_comparison *comparison, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
