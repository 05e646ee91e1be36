/* Which units of which tensors go into which tier (spec: 7.2, 7.3). Two streaming passes over the
 * data, in memory that does not grow with it; then membership is computed again, not stored,
 * wherever it is asked for. */
#ifndef LM_SELECT_H
#define LM_SELECT_H

#include <lmodel/run.h>

#include "import/source.h"
#include "protect/chosen.h"
#include "protect/units.h"

#define LM_TIER_LIMIT 16u

enum lm_select_method { LM_SELECT_PSS, LM_SELECT_MAGNITUDE, LM_SELECT_RANDOM, LM_SELECT_ALL };
enum lm_select_scope { LM_SCOPE_EQUAL, LM_SCOPE_MODEL, LM_SCOPE_LAYER };

/* Cumulative amount of a tier. Shares are rounded half up. */
struct lm_select_amount {
	const char *name;   /* for messages */
	bool is_share;
	double share;       /* (0, 1]: of the candidates of each tensor (layer), of the model */
	uint64_t units;     /* of each tensor, where it has as many (layer); of the model */
	bool bare;          /* adds nothing to the tier below; both amounts are ignored */
};

struct lm_select_options {
	enum lm_select_method method;
	enum lm_select_scope scope;
	bool raw_scores;                      /* do not divide by row and column scale */
	bool unit_given;
	enum lm_unit_kind unit;               /* else lm_unit_default() */
	const struct lm_select_amount *tiers; /* lowest first, rising; all: one, amount ignored */
	size_t tier_count;
	const char *const *includes, *const *excludes; /* lmodel_match() patterns */
	size_t include_count, exclude_count;
	const struct lm_model *scores;        /* NULL: |w|; random and all have none */
	const struct lm_model *reference;     /* NULL, or the public weights: units that differ are
	                                         candidates, no others */
	bool ancestor;                        /* the reference is one: the tiers need not hold all
	                                         that differs, and a tensor that it has not differs
	                                         as a whole */
	bool elements;                        /* the unit, if none is given: element where there is
	                                         such a thing */
	const char *directory;                /* for a temporary file; NULL: as lm_unnamed_file() */
	uint8_t key[32];                      /* of all random choices */
};

/* What was decided for a tensor. */
struct lm_selected_tensor {
	bool eligible;
	struct lm_units units;  /* valid when eligible */
	uint64_t candidates;    /* units that may be selected: units.count, or those that differ */
	uint64_t upto[LM_TIER_LIMIT]; /* units in tiers 0..t, exact */
};

struct lm_selection;

/* Runs the selection over all tensors of `model` that are no alias (alias[i] == SIZE_MAX; else the
 * tensor that holds the bytes, which a pattern for the alias includes). `alias` may be NULL: there
 * is none. The models are used as long as the selection lives; options and patterns are not.
 *
 * By default floating tensors of 64 elements or more are eligible; with include patterns, those
 * that one of them picks, whatever they hold; never what an exclude pattern picks.
 *
 * EUSAGE: no eligible tensor; a tier that gets no unit; amounts that do not rise, in every tensor;
 * a tier above the number of units; a pattern that picks nothing; scores or reference without a
 * tensor, of another shape (scores: the tensor's own shape, or one a unit) or dtype (reference;
 * scores: real numbers of whole bytes); a NaN among scores, or where they are sampled by (PSS) a
 * negative number; a top tier that does not hold every unit that differs from the reference.
 * EFAILED also when the data change between passes. */
int lm_select(struct lm_selection **out, const struct lm_model *model, const size_t *alias,
	      const struct lm_select_options *options, const struct lmodel_run *run,
	      struct lmodel_error *error) LM_MUST_CHECK;

const struct lm_selected_tensor *lm_selection_of(const struct lm_selection *selection,
						 size_t tensor);

/* Which tier (0 .. tier_count-1, LM_NO_TIER for none) each of the units [first, first+count) of an
 * eligible tensor is in. `bytes` holds those units' true bytes, as in the input; not read, and NULL
 * if you like, where lm_selection_needs_bytes() says no: so for columns and for units above
 * LM_UNIT_WINDOW bytes. Thread-safe; the answer is always the same. */
#define LM_UNIT_WINDOW 65536u
int lm_selection_tiers(const struct lm_selection *selection, size_t tensor, uint64_t first,
		       uint64_t count, const uint8_t *bytes, uint8_t *tiers,
		       struct lmodel_error *error) LM_MUST_CHECK;

/* Adds the same to `chosen`, less those of no tier; places count from `first`. */
int lm_selection_list(const struct lm_selection *selection, size_t tensor, uint64_t first,
		      uint64_t count, const uint8_t *bytes, struct lm_chosen *chosen,
		      struct lmodel_error *error) LM_MUST_CHECK;

/* Units of a window, when what was found of the tensor is kept: then the two functions above
 * read no bytes for whole windows, which begin at multiples of it. 0: it is not. */
size_t lm_selection_window(const struct lm_selection *selection, size_t tensor);

/* Whether lm_selection_tiers() needs the bytes of this tensor's units. */
bool lm_selection_needs_bytes(const struct lm_selection *selection, size_t tensor);

void lm_selection_free(struct lm_selection *selection);

#endif
