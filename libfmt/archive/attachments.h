/* Side files of an open archive, those of tiers too (spec: 3.7, 7.9). */
#ifndef LM_ATTACHMENTS_H
#define LM_ATTACHMENTS_H

#include <lmodel/run.h>

#include "archive/archive.h"
#include "archive/outputs.h"

/* The public view; what is open, and how long that is, once keys were given. */
int lm_archive_make_attachments(struct lmodel_archive *archive, struct lmodel_error *error)
	LM_MUST_CHECK;
void lm_archive_show_attachments(struct lmodel_archive *archive);

typedef int lm_sealed_take_fn(void *context, uint64_t at, const uint8_t *bytes, size_t len,
			      struct lmodel_error *error);

/* Reads all of a tier's side file, in pieces, in order. What `take`, which may be NULL, was given
 * counts when this returns LMODEL_OK. */
int lm_sealed_read(const struct lmodel_archive *archive, size_t sealed, lm_sealed_take_fn *take,
		   void *context, struct lmodel_error *error) LM_MUST_CHECK;

/* Extracting: adds an output for each side file of a tier in force but those that `skip`, which may
 * be NULL, picks; tells of those of other tiers. `*files` is fresh: an output or LM_NONE each. */
int lm_sealed_plan(const struct lmodel_archive *archive, const struct lmodel_run *run,
		   bool (*skip)(const char *name), struct lm_outputs *outputs, size_t **files,
		   struct lmodel_error *error) LM_MUST_CHECK;
int lm_sealed_write(const struct lmodel_archive *archive, struct lm_outputs *outputs,
		    const size_t *files, struct lmodel_error *error) LM_MUST_CHECK;

#endif
