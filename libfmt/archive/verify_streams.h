#ifndef LM_VERIFY_STREAMS_H
#define LM_VERIFY_STREAMS_H

#include <lmodel/run.h>

#include "archive/archive.h"

/* Reads every stream of every tier that is present. Calls `bad` for each one that is not what its
 * row says; adds their bytes to `*bytes`. `run` may be NULL. */
int lm_verify_streams(const struct lmodel_archive *archive, const struct lmodel_run *run,
		      void (*bad)(void *context, const char *message), void *context,
		      uint64_t *bytes, struct lmodel_error *error) LM_MUST_CHECK;

#endif
