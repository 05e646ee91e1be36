/* The directory where blocks of archives from elsewhere are kept (spec: 17.3). Nothing in it is
 * trusted: whoever reads an archive checks digests, and fetches again what does not have them. */
#ifndef LM_CACHE_H
#define LM_CACHE_H

#include "base/base.h"
#include "crypto/crypto.h"
#include "net/blockmap.h"

#define LM_CACHE_BYTES (UINT64_C(1) << 30) /* in total, unless $LMODEL_CACHE_BYTES says otherwise */

/* A key as the beginning of names of files. */
#define LM_CACHE_NAME (2 * LM_SHA256_SIZE + 1)

/* `*limit` from $LMODEL_CACHE_BYTES. EUSAGE when that is no number. */
int lm_cache_limit(uint64_t *limit, struct lmodel_error *error) LM_MUST_CHECK;

/* $XDG_CACHE_HOME/lmodel or ~/.cache/lmodel, in fresh memory. Relative paths do not count (XDG Base
 * Directory Specification). NULL: there is none. */
char *lm_cache_path(void);

/* The directory, made when it is not there: `path`, or lm_cache_path(). -1 when there is no way to
 * one that is the user's own. */
int lm_cache_open(const char *path);

/* The file that holds the blocks of `key`, `size` bytes long, and the bits of those that are there.
 * -1 when that cannot be. */
int lm_cache_file(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size, uint8_t *bits);

/* Adds blocks to the map, takes those of `gone` out, and then drops the archives that were used
 * longest ago until all is within `limit`, this one last. Other processes do the same: nothing is
 * done when `fd` is no longer the file of that name. */
void lm_cache_save(int directory, const uint8_t key[LM_SHA256_SIZE], int fd, uint64_t size,
		   const uint8_t *added, const uint8_t *gone, uint64_t limit);

#endif
