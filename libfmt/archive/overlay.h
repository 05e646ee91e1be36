/* True values over tensors whose bytes come chunk by chunk and from many threads: each shard is read
 * once, from front to end (spec: 7.6), by whoever has the chunk that comes next. */
#ifndef LM_OVERLAY_H
#define LM_OVERLAY_H

#include "archive/shard.h"

struct lm_overlay;

struct lm_overlay *lm_overlay_new(const struct lmodel_archive *archive, struct lmodel_error *error);
void lm_overlay_free(struct lm_overlay *overlay); /* NULL is allowed */

/* Whether a tensor has true values in force, and they can be put over it chunk by chunk: a lock is
 * over whole blocks, and its digests are, too. */
bool lm_overlay_covers(const struct lmodel_archive *archive, size_t tensor);

/* Over bytes [at, at + len) of a tensor. Pieces of one `item`, which is any number that tells
 * tensors apart, are all of the tensor, and are begun in their order: one that comes while those
 * before it are worked on by other threads waits for them. What was put counts when the last piece
 * has come through. */
int lm_overlay_put(struct lm_overlay *overlay, size_t item, size_t tensor, uint64_t at,
		   uint8_t *bytes, size_t len, struct lmodel_error *error) LM_MUST_CHECK;

/* The item's piece from `at` on will not come: those behind it fail, whose failure is not the one to
 * tell. Those before it do not. */
void lm_overlay_lost(struct lm_overlay *overlay, size_t item, size_t tensor, uint64_t at);

#endif
