/* What detectors know of a whole view. */
#ifndef LM_DETECT_STATE_H
#define LM_DETECT_STATE_H

#include "protect/detect.h"

enum { LM_DETECT_RANK = 4 };

struct lm_detect_state {
	const struct lm_detect_view *view;
	uint8_t label;
	bool rows, columns;         /* long enough to have a scale */
	double *norm;               /* of each unit */
	double *row_scale, *column_scale;
	double *row_sum, *column_sum; /* of unit vectors */
	uint32_t *row_hidden, *column_hidden, *row_open, *column_open;
	bool factored;
	double *left, *right;       /* rows x LM_DETECT_RANK, columns * inner x LM_DETECT_RANK */
	double *sorted;             /* all values, when units have one each */
	size_t *pool, pool_count;
};

#endif
