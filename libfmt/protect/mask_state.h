/* What a mask is made of. For mask.c and mask_plan.c alone. */
#ifndef LM_MASK_STATE_H
#define LM_MASK_STATE_H

#include "protect/ahead.h"
#include "protect/mask.h"
#include "protect/streams.h"

enum lm_base {
	LM_BASE_NONE,             /* nothing selected: no decoys */
	LM_BASE_ZERO,
	LM_BASE_REFERENCE,
	LM_BASE_DRAWN,
};

struct lm_masked {
	enum lm_base base;
	struct lm_sample sample;
	size_t reference;      /* tensor of the reference model */
	bool is_near;          /* small enough for decoys that are drawn ahead */
	struct lm_ahead ahead; /* empty: drawn from `donors` */
	struct lm_donors own;  /* form NONE: `donors` are of the class */
	const struct lm_donors *donors;
	uint8_t key[32];
};

/* Tensors of the same dtype, rank and last part of the name. */
struct lm_class {
	const struct lm_dtype *dtype;
	unsigned rank;
	const char *role;
	struct lm_donors donors;
	struct lm_class *next;
};

struct lm_mask {
	const struct lm_model *model, *reference;
	const struct lm_selection *selection;
	uint8_t key[32];
	struct lm_masked *tensors;
	struct lm_class *classes;
	struct lm_streams streams;
};

/* Decides on every tensor's base and samples donors. On failure the mask is to be freed. */
int lm_mask_plan(struct lm_mask *mask, enum lm_mask_method method, const struct lmodel_run *run,
		 struct lmodel_error *error) LM_MUST_CHECK;

#endif
