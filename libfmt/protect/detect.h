/* Telling decoys from what is public: detectors of one number a unit (spec: 7.5 says what a mask
 * has to be; this measures what it is). They look at the base alone; where the hidden units are is
 * only used to score them. */
#ifndef LM_DETECT_H
#define LM_DETECT_H

#include "base/base.h"

enum lm_detector {
	/* by values */
	LM_DETECT_NORM,            /* of one element: its magnitude */
	LM_DETECT_VALUE,           /* sum, of one element the signed value */
	LM_DETECT_NORMALISED,      /* norm by the scale of row and column */
	LM_DETECT_ROUGHNESS,       /* total variation, by the norm */
	LM_DETECT_KURTOSIS,
	LM_DETECT_PEAK,            /* largest value, by the norm */
	LM_DETECT_ROW_COSINE,      /* to the mean of the others of its row */
	LM_DETECT_COLUMN_COSINE,
	LM_DETECT_NEIGHBOUR_COSINE, /* to the units beside it, where there are no rows */
	LM_DETECT_RESIDUAL,        /* what four singular vectors do not explain */
	LM_DETECT_NEAREST,         /* distance to the nearest other unit */
	LM_DETECT_GAP,             /* elements: to the nearest other value */
	LM_DETECT_MANTISSA,        /* elements: zero bits at the end of the mantissa */
	/* by places */
	LM_DETECT_ROW_SCALE,       /* median norm of its row */
	LM_DETECT_COLUMN_SCALE,
	LM_DETECT_ROW_DENSITY,     /* hidden units among the others of its row */
	LM_DETECT_COLUMN_DENSITY,
	LM_DETECTORS,
	LM_DETECT_POSITION = LM_DETECT_ROW_SCALE,
};

const char *lm_detector_name(enum lm_detector detector);

/* So that fourth powers of values are finite. */
#define LM_DETECT_VALUE_MOST 1e60

/* Units as a matrix; `columns` is 1 where they have no second dimension. */
struct lm_detect_view {
	size_t rows, columns;
	size_t inner;            /* values of a unit */
	double *values;          /* rows * columns * inner, none above LM_DETECT_VALUE_MOST */
	uint8_t *labels;         /* rows * columns; 0 is public */
};

struct lm_detect_result {
	bool measured;           /* false: too few units for figures of their own */
	double auc[LM_DETECTORS]; /* folded: .5 to 1; NaN where it does not apply */
	double lot[LM_DETECTORS]; /* the same, of public units drawn by lot */
	bool tail_known;
	double tail;
	bool pooled;             /* enough units to be a part of figures over many tensors: */
	double raw[LM_DETECTORS], raw_lot[LM_DETECTORS]; /* areas, not folded: 0 to 1, or NaN */
};

/* Units that are needed on either side, pooled and alone, and the most that are looked at. */
enum { LM_DETECT_FEW = 8, LM_DETECT_LEAST = 64, LM_DETECT_MOST = 20000 };

/* Hidden are those with this label, public those with 0; others do not count. Draws samples with a
 * seed of its own, always the same. */
int lm_detect(const struct lm_detect_view *view, uint8_t label, struct lm_detect_result *result,
	      struct lmodel_error *error) LM_MUST_CHECK;

/* Area under the curve of telling `a` from `b` by a threshold: the chance that one of `a` is above
 * one of `b`, ties half. Sorts both. */
double lm_detect_auc(double *a, size_t n, double *b, size_t m);

/* (q99.5 - q95) / (q95 - q50). NaN when that is nothing by nothing. Sorts. */
double lm_detect_tail(double *values, size_t n);

/* A number for each of the `n` units, in `out`. False: the detector does not apply. */
struct lm_detect_state;
struct lm_detect_state *lm_detect_state_new(const struct lm_detect_view *view, uint8_t label,
					    struct lmodel_error *error);
bool lm_detect_feature(const struct lm_detect_state *state, enum lm_detector detector,
		       const size_t *units, size_t n, double *out);
void lm_detect_state_free(struct lm_detect_state *state);

#endif
