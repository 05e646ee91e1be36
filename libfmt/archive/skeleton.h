/* Skeletons: the program that writes an input file again (spec: 3.6). */
#ifndef LM_SKELETON_H
#define LM_SKELETON_H

#include "archive/scan.h"
#include "base/permute.h"
#include "import/source.h"

#define LM_SCRATCH SIZE_MAX /* instead of an output: the file for tensors with other axes */

/* A tensor that is written to the scratch file first, then with its axes permuted to its place. */
struct lm_plan_axes {
	size_t tensor;
	uint64_t from;         /* in the scratch file */
	size_t file;
	uint64_t to;
	uint8_t axes[LM_PERMUTE_RANK];
};

/* Four bytes of an output: the CRC-32 of others, once all these are there. */
struct lm_plan_crc {
	size_t file;
	uint64_t to, begin, end;
};

/* A growing list of pieces to copy, and where each goes; then what is left to do. */
struct lm_plan {
	struct lm_scan_item *items;
	uint64_t *to;          /* offset in the output */
	size_t *file;          /* which output */
	size_t count, capacity;
	struct lm_plan_axes *axes;
	size_t axes_count, axes_capacity;
	struct lm_plan_crc *crcs;
	size_t crc_count, crc_capacity;
	uint64_t scratch;      /* bytes of the scratch file */
	struct lm_model *layout; /* the last file that lm_skeleton_check() read, and its number: */
	size_t layout_source;    /* one with external data also tells what is in the files behind */
	bool keep_layout;        /* also of a file without such data */
};

int lm_plan_add(struct lm_plan *plan, size_t member, uint64_t from, uint64_t len, size_t file,
		uint64_t to, struct lmodel_error *error) LM_MUST_CHECK;
int lm_plan_add_crc(struct lm_plan *plan, size_t file, uint64_t to, uint64_t begin, uint64_t end,
		    struct lmodel_error *error) LM_MUST_CHECK;
void lm_plan_clear(struct lm_plan *plan); /* of its pieces; for the next source */
void lm_plan_free(struct lm_plan *plan);

/* Where in a plan one source begins. */
struct lm_plan_mark {
	size_t item, axes, crc;
};

/* Adds what the records of a skeleton say, whether or not it makes sense as a file. */
int lm_skeleton_walk(const struct lmodel_archive *archive, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error) LM_MUST_CHECK;

/* That the file which the plan from `mark` on writes is the one that the rows describe: read by
 * its importer, with zeros for tensor bytes and CRCs, it has the same tensors in the same order and
 * places, and the same metadata. Otherwise the file written again would be another model than the
 * one listed. What is in a file of external data is asked of the graph in front of it, and a graph
 * has those files behind it that it names. ECORRUPT. Part of lm_skeleton_plan(). */
int lm_skeleton_check(const struct lmodel_archive *archive, size_t source, struct lm_plan *plan,
		      const struct lm_plan_mark *mark, struct lmodel_error *error)
	LM_MUST_CHECK;

/* Adds what makes up source `source` again, as output `file`, from offset 0 on. ECORRUPT when
 * the skeleton is not well-formed, names tensors of another source or twice, or does not
 * add up to the source's size. */
int lm_skeleton_plan(const struct lmodel_archive *archive, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error) LM_MUST_CHECK;

/* The source as its importer reads it, with zeros for tensor bytes: checked as above. `model` is
 * zeroed; to be freed after success. */
int lm_skeleton_read(const struct lmodel_archive *archive, size_t source, struct lm_model *model,
		     struct lmodel_error *error) LM_MUST_CHECK;

#endif
