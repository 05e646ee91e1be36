/* What one worker keeps between chunks; private to the codec. */
#ifndef LM_CONTEXT_H
#define LM_CONTEXT_H

/* ZSTD_c_literalCompressionMode is experimental: config.h says whether zstd.h has it. */
#ifdef HAVE_ZSTD_LITERAL_MODE
#define ZSTD_STATIC_LINKING_ONLY
#endif
#include <zstd.h>

#include "codec/codec.h"

#define LM_PLANES_MAX 8  /* the widest word */
#define LM_TURNED 2      /* bits by which words of LM_METHOD_TURNED are turned */
#define LM_PLANE_ENTRY 5 /* bytes of a plane's entry: u8 method, u32 length (spec: 5) */

struct lm_scratch {
	uint8_t *bytes;
	size_t size;
};

struct lm_codec {
	ZSTD_CCtx *entropy; /* codes literals, looks for no matches */
	ZSTD_CCtx *match;   /* ordinary zstd at a level set per use */
	ZSTD_DCtx *decode;
	struct lm_scratch planes; /* the planes of one chunk */
	struct lm_scratch frame;  /* a frame that may turn out too long to keep */
	struct lm_scratch stream; /* of a plane that is coded by rANS */
	struct lm_scratch list;   /* what such a plane escapes */
	struct lm_scratch classes; /* of its groups */
};

/* Makes room for `size` bytes, whose old content is lost. */
int lm_scratch_reserve(struct lm_scratch *scratch, size_t size, struct lmodel_error *error)
	LM_MUST_CHECK;

/* The coding that a chunk of `raw_len` bytes really has: width 1 where words do not fit. */
struct lm_coding lm_coding_for(struct lm_coding coding, size_t raw_len);

#endif
