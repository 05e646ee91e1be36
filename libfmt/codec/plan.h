/* What the encoder tries on a chunk. Any choice is valid (spec: 5): it moves size and speed only. It
 * depends on the bytes and the level alone, so that the result is deterministic. */
#ifndef LM_PLAN_H
#define LM_PLAN_H

#include "codec/context.h"

#define LM_LEVEL_MATCH 3 /* the least that a plan has */

struct lm_plan {
	bool try_all;      /* every plane, also where a sample calls it noise */
	bool match_planes; /* zstd with matching, over each plane that entropy coding shrinks */
	bool match_raw;    /* zstd with matching, over the words as they are */
	int level;         /* of the matching */
	bool squeeze;      /* a gain of a few bytes is worth it */
};

/* For a chunk that is no run. `planes` are those of the coding. */
int lm_plan_make(struct lm_codec *codec, struct lm_coding coding, enum lmodel_level level,
		 const uint8_t *raw, const uint8_t *planes, size_t raw_len, struct lm_plan *plan,
		 struct lmodel_error *error) LM_MUST_CHECK;

#endif
