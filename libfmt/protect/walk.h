/* Keys of many tensors, window by window, by several workers. */
#ifndef LM_WALK_H
#define LM_WALK_H

#include "protect/score.h"

/* Units of a window at most. */
#define LM_WALK_UNITS 65536u
#define LM_WALK_PIECE 2048u

struct lm_walk {
	struct lm_scorer *const *scorers;
	size_t count;
	unsigned workers;
	struct lm_meter *meter; /* NULL: none */
	uint64_t stride;        /* 0, or LM_WALK_PIECE units of so many times as many are visited */

	/* On a worker: keys of units first .. first+n-1 of scorer `part`. `result` is where to
	 * put what take() shall find: NULL at first, then as it was left. */
	int (*visit)(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
		     const uint64_t *keys, void **result, struct lmodel_error *error);

	/* Instead, only those units whose keys are `least` or more: their places from `first` on. */
	uint64_t least;
	int (*find)(void *context, unsigned worker, size_t part, uint64_t first, size_t n,
		    const struct lm_keys_found *found, void **result, struct lmodel_error *error);

	/* In order, one at a time. */
	int (*take)(void *context, size_t part, void *result, struct lmodel_error *error);

	void (*release)(void *result);
	void *context;
};

int lm_walk(const struct lm_walk *walk, struct lmodel_error *error) LM_MUST_CHECK;

/* Units of a whole window of this scorer's: windows begin at multiples of it. */
size_t lm_walk_window(const struct lm_scorer *scorer);

/* Adds to a meter, which never passes its total: how many passes there will be is only guessed. */
int lm_walk_progress(struct lm_meter *meter, uint64_t bytes, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
