/* A keyed input transform, drawn from its key (spec: 15). All of it is secret. */
#ifndef LM_TRANSFORM_H
#define LM_TRANSFORM_H

#include <lmodel/transform.h>

#include "base/base.h"

#define LM_TRANSFORM_KEY 32
#define LM_TRANSFORM_TEXT_LIMIT 4096 /* bytes of a key file (spec: 9) */

enum lm_transform_method { LM_TRANSFORM_SHF, LM_TRANSFORM_NP, LM_TRANSFORM_FFX };

#define LM_FFX_PLAIN 256  /* values of a sample */
#define LM_FFX_DOMAIN 1000 /* three decimal digits */

struct lmodel_transform {
	struct lmodel_transform_info info;
	enum lm_transform_method method;
	size_t positions;             /* of one block: row, column, channel */
	uint8_t key[LM_TRANSFORM_KEY];
	uint32_t *order;              /* position k takes the sample at order[k] */
	uint32_t *back;               /* the inverse permutation */
	uint16_t cipher[LM_FFX_PLAIN];
	uint16_t most;                /* the largest of `cipher` */
	int16_t plain[LM_FFX_DOMAIN]; /* -1: of no value */
};

/* Whether np and ffx change the sample at this position. */
static inline bool lm_transform_picks(const struct lmodel_transform *t, size_t position)
{
	return 2 * (uint64_t)t->order[position] >= t->positions;
}

extern const char *const lm_transform_methods[3];

/* Checks the numbers, and draws the permutation and the table. */
int lm_transform_make(struct lmodel_transform **out, enum lm_transform_method method,
		      uint64_t block, uint64_t channels, const uint8_t key[LM_TRANSFORM_KEY],
		      enum lmodel_code wrong, const char *label, struct lmodel_error *error)
	LM_MUST_CHECK;

static inline void lm_transform_cleanup(struct lmodel_transform **t)
{
	lmodel_transform_free(*t);
}
#define LM_TRANSFORM LM_CLEANUP(lm_transform_cleanup)

/* As lmodel_transform_apply(); `first` is the number of the first image, for messages, and `label`
 * the name of the file (NULL: none). */
int lm_transform_images(const struct lmodel_transform *t, bool inverse,
			const struct lmodel_images *images, const void *in, void *out,
			uint64_t first, const char *label, struct lmodel_error *error)
	LM_MUST_CHECK;

size_t lm_sample_bytes(enum lmodel_sample sample);

#endif
