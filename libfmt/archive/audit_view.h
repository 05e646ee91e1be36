/* A tensor of the base as detectors look at it: whole, or a sample of its rows. */
#ifndef LM_AUDIT_VIEW_H
#define LM_AUDIT_VIEW_H

#include "archive/hidden.h"
#include "archive/member.h"
#include "protect/detect.h"

/* Values of a view at most, and of one unit. */
enum { LM_VIEW_VALUES = 1 << 21, LM_VIEW_INNER = 4096 };

/* Fills in a view of the tensor that `hidden` was just opened for; labels are as there. */
int lm_audit_view(struct lm_detect_view *view, struct lm_hidden *hidden, struct lm_reader *reader,
		  struct lmodel_error *error) LM_MUST_CHECK;
void lm_audit_view_free(struct lm_detect_view *view);

#endif
