/* Memory for keys, and handling them without leaving traces. */
#ifndef LM_SECRET_H
#define LM_SECRET_H

#include "base/base.h"

/* Zeroed memory, aligned for 64 bits: from libgcrypt's secure pool, or pages of its own when it is
 * long or the pool is full. Locked where the system allows it; never in a core dump (unless the
 * program set up libgcrypt's pool itself); wiped when freed. NULL with the error set when there
 * is none. */
void *lm_secret_alloc(size_t len, struct lmodel_error *error);
void lm_secret_free(void *secret); /* NULL is allowed */

static inline void lm_secret_cleanup(void *p)
{
	lm_secret_free(*(void **)p);
}
#define LM_SECRET LM_CLEANUP(lm_secret_cleanup)

/* Overwrites, and is never optimised away. */
void lm_wipe(void *bytes, size_t len);

/* Whether both are equal, in a time that depends on `len` alone. */
bool lm_secret_equal(const void *a, const void *b, size_t len);

#endif
