/* Which units of a tensor are hidden, and by which tier, as far as keys open positions: all tiers'
 * streams side by side, forward only, in memory that does not grow with them. */
#ifndef LM_HIDDEN_H
#define LM_HIDDEN_H

#include "archive/shard.h"
#include "protect/positions.h"
#include "protect/units.h"

struct lm_hidden_tier {
	size_t shard;            /* LM_NONE: nothing here, or not to be read */
	struct lm_stream_reader stream;
	struct lm_positions_reader *reader;
	uint64_t first, count;   /* the run in work; count 0 at the end */
	uint64_t units;          /* passed so far */
	uint64_t end;            /* one behind the last of these */
	uint64_t shared;         /* of these, units that a lower tier has, too */
};

struct lm_hidden {
	const struct lmodel_archive *archive;
	size_t tensor;
	struct lm_units units;
	size_t closed;           /* tiers that hide some of the tensor where is not known */
	struct lm_hidden_tier tier[LM_TIER_ROW_LIMIT];
};

enum { LM_LABEL_PUBLIC = 0 };    /* a tier's is its index + 1 */

/* The units of a shard's tensor; ECORRUPT when it has none of the kind that the row names. */
int lm_hidden_units(struct lm_units *units, const struct lmodel_archive *archive, size_t shard,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* The tensor, no alias, has shards; their units have to be of one kind (ECORRUPT). `only`: that
 * tier alone, or LM_NONE. `hidden` is closed in any case. */
int lm_hidden_open(struct lm_hidden *hidden, const struct lmodel_archive *archive, size_t tensor,
		   size_t only, struct lmodel_error *error) LM_MUST_CHECK;

/* Labels of units [first, first + n). Windows are asked for in ascending order; what lies before
 * one is skipped, and counted. */
int lm_hidden_labels(struct lm_hidden *hidden, uint64_t first, size_t n, uint8_t *labels,
		     struct lmodel_error *error) LM_MUST_CHECK;

/* The next run of a tier alone: `*count` 0 at its end, where the stream has been proven. For a
 * tier that was opened; not beside lm_hidden_labels(). */
int lm_hidden_next(struct lm_hidden *hidden, size_t tier, uint64_t *first, uint64_t *count,
		   struct lmodel_error *error) LM_MUST_CHECK;

/* Counts what is left, to the proven end of every stream. */
int lm_hidden_finish(struct lm_hidden *hidden, struct lmodel_error *error) LM_MUST_CHECK;
void lm_hidden_close(struct lm_hidden *hidden);

#endif
