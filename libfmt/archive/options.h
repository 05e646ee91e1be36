/* Option structs of the public headers: read no more than the caller's version has. */
#ifndef LM_OPTIONS_H
#define LM_OPTIONS_H

#include <lmodel/pack.h>

#include "base/base.h"

/* Copies what the caller's struct has; fields that came later keep their defaults. */
#define LM_OPTIONS_COPY(to, given) \
	memcpy((to), (given), LM_MIN(sizeof(*(to)), (given)->size))

static inline int lm_check_coding_options(enum lmodel_level level, uint64_t chunk_bytes,
					  struct lmodel_error *error)
{
	if (level != LMODEL_LEVEL_DEFAULT && level != LMODEL_LEVEL_FAST &&
	    level != LMODEL_LEVEL_SMALL)
		return lm_fail(error, LMODEL_EUSAGE, "level %d is not defined", (int)level);
	if (chunk_bytes < LMODEL_CHUNK_MIN || chunk_bytes > LMODEL_CHUNK_MAX ||
	    chunk_bytes % LMODEL_CHUNK_MIN != 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "chunk size %ju: must be a multiple of 4096 from 4096 to 67108864",
			       (uintmax_t)chunk_bytes);
	return LMODEL_OK;
}

#endif
