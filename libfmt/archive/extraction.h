/* What the parts of lmodel_extract() share. */
#ifndef LM_EXTRACTION_H
#define LM_EXTRACTION_H

#include <lmodel/extract.h>

#include "archive/outputs.h"
#include "archive/overlay.h"
#include "archive/shard.h"
#include "archive/skeleton.h"

struct extraction {
	struct lmodel_archive *archive;
	const struct lmodel_extract_options *options;
	size_t *chosen;              /* tensor indices, in order */
	size_t chosen_count;
	struct lm_outputs outputs;
	struct lm_plan plan;
	int spool;                   /* of a stream that cannot go out as it is read, or -1 */
	size_t *sealed_file;         /* output of each side file of a tier, or LM_NONE */
	int scratch;                 /* for tensors whose axes are to be permuted, or -1 */

	/* True values: for each item of the plan whether its chunks get them before they are
	 * written; NULL when no tier is in force. */
	bool *on_the_way;
	size_t *tensor_of;           /* member -> tensor, LM_NONE: not a tensor's */
	struct lm_overlay *overlay;  /* NULL when none is */
};

/* The tensors that patterns pick. EUSAGE when one picks nothing. */
int lm_extraction_choose(struct extraction *x, struct lmodel_error *error) LM_MUST_CHECK;

/* Outputs and plan for files in a directory, for one file. `whole`: all tensors were asked for. */
int lm_extraction_plan_directory(struct extraction *x, bool whole,
				 struct lmodel_error *error) LM_MUST_CHECK;
int lm_extraction_plan_file(struct extraction *x, const char *name, bool whole,
			    struct lmodel_error *error) LM_MUST_CHECK;

/* The chosen tensor number `index` as it would be placed. */
struct lm_export_tensor lm_extraction_tensor(const struct extraction *x, size_t index);

/* All that is chosen in one GGUF file `name`. */
int lm_extraction_plan_gguf(struct extraction *x, const char *name,
			    struct lmodel_error *error) LM_MUST_CHECK;

/* Whether GGUF has no such type, and its elements could be written as bytes. */
bool lm_extraction_gguf_lacks(const struct lm_dtype *dtype);

/* Tells what of the chosen tensors and their metadata the format cannot keep, or refuses. */
int lm_extraction_check_loss(const struct extraction *x, struct lmodel_error *error) LM_MUST_CHECK;

/* The NumPy description of an opaque tensor, and the rank of its array, which is one less when
 * the last dimension is the width of the elements. False when there is none that fits. */
bool lm_extraction_describe(const struct extraction *x, size_t tensor, const char **descr,
			    unsigned *rank);

#endif
