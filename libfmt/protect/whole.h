/* Keys of tensors whose units lie across many windows: columns, and units that are large. They are
 * few for the data they hold, so one pass computes them, and they are kept. */
#ifndef LM_WHOLE_H
#define LM_WHOLE_H

#include "protect/score.h"

/* Fills scorer->keys. The answer does not depend on the number of workers. */
int lm_whole_load(struct lm_scorer *scorer, unsigned workers, struct lm_meter *meter,
		  struct lmodel_error *error) LM_MUST_CHECK;

#endif
