/* What a selection is, for protect/select.c, which makes it, and protect/selection.c. */
#ifndef LM_SELECTION_H
#define LM_SELECTION_H

#include "protect/rank.h"
#include "protect/select.h"

#define LM_UNSETTLED 0xfe

struct lm_selection {
	size_t count, tiers;
	struct lm_selected_tensor *tensors;
	struct lm_scorer *scorers;       /* of eligible tensors */
	size_t *set_of;
	size_t sets;
	struct lm_threshold *thresholds; /* sets x tiers */
	struct lm_streams streams;       /* of scorers */
	struct lm_picks *picks;          /* of tensors that were ranked in one pass */
	uint8_t *settled;                /* tier of all units of a set; LM_UNSETTLED: they differ */
};

/* Of nothing yet. */
struct lm_selection *lm_selection_new(const struct lm_model *model, size_t tiers,
				      struct lmodel_error *error);

#endif
