/* Publishers' signatures of the statement (spec: 8.9). */
#ifndef LM_SIGN_H
#define LM_SIGN_H

#include <lmodel/sign.h>

#include "archive/archive.h"

/* The public view, part of opening. */
int lm_archive_make_signatures(struct lmodel_archive *archive,
			       struct lmodel_error *error) LM_MUST_CHECK;
void lm_archive_free_signatures(struct lmodel_archive *archive);

/* Replaces all signatures of `manifest` by one of its statement, or by none where `key_file` is
 * NULL. The rows are new; the old ones are not freed. */
int lm_manifest_sign(struct lm_manifest *manifest, const char *key_file, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
