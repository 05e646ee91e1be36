/* The random numbers of one age file: fresh ones, or all derived from 32 bytes. */
#ifndef LM_AGE_DRAW_H
#define LM_AGE_DRAW_H

#include "base/base.h"

#define LM_AGE_ENTROPY 32

struct lm_age_draw;

/* `entropy` NULL: fresh ones. Otherwise they depend on the entropy, the texts of the recipients and
 * the plaintext, so that one key and nonce never meet two plaintexts. NULL with the error set. */
struct lm_age_recipient;
struct lm_age_draw *lm_age_draw_new(const uint8_t *entropy,
				    const struct lm_age_recipient *const *recipients, size_t count,
				    const void *plain, size_t len, struct lmodel_error *error);

/* Each pair of label and index is another number. */
void lm_age_draw(const struct lm_age_draw *draw, const char *label, size_t index, uint8_t *out,
		 size_t len);
void lm_age_draw_free(struct lm_age_draw *draw); /* NULL is allowed */

#endif
