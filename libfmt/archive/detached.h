/* Files of detached grants that a rekey makes again. */
#ifndef LM_DETACHED_H
#define LM_DETACHED_H

#include <lmodel/run.h>

#include "keys/book.h"

/* Writes the grant that `entry` had, from an owner's keys as they are now, to a file in `directory`
 * whose name comes from the label or the recipient and from `number`, and tells for whom it is. */
int lm_detached_write(const struct lm_grant *owner, const struct lm_book_entry *entry,
		      const char *directory, size_t number, const struct lmodel_run *run,
		      struct lmodel_error *error) LM_MUST_CHECK;

#endif
