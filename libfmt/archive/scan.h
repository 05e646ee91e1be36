/* Reading many members through the worker pool: every chunk read, verified and, unless told
 * otherwise, decoded on a worker; handed on there and then, or in order. */
#ifndef LM_SCAN_H
#define LM_SCAN_H

#include <lmodel/run.h>

#include "archive/archive.h"

/* Raw bytes [from, from + len) of a member. */
struct lm_scan_item {
	size_t member;
	uint64_t from, len;
};

/* One chunk's share of an item. */
struct lm_scan_piece {
	size_t item;
	uint64_t at;                /* of `bytes` within the item */
	uint8_t *bytes;             /* raw, may be changed; NULL with `stored_only` */
	size_t len;
	uint32_t chunk;             /* in the member */
	const uint8_t *stored;      /* as in the file, digest checked; with `stored_only`, else NULL */
	size_t stored_len;
	const uint8_t *digest;
};

struct lm_scan {
	const struct lmodel_archive *archive;
	const struct lm_scan_item *items;
	size_t item_count;
	bool stored_only;           /* do not decode; items are whole members */
	/* Where a chunk of `len` bytes that lies whole within an item, from `at` on, is decoded to;
	 * NULL, or where it gives that: a buffer of the scan's. */
	uint8_t *(*place)(void *context, size_t item, uint64_t at, size_t len);

	/* On a worker, several at once. May be NULL. */
	int (*work)(void *context, unsigned worker, const struct lm_scan_piece *piece,
		    struct lmodel_error *error);
	/* On a worker, instead of `work`: the item's piece from `at` on cannot be had. May be NULL. */
	void (*lost)(void *context, size_t item, uint64_t at);
	/* On a worker, after `work`, one at a time, in any order: for writing to files. May be NULL. */
	int (*put)(void *context, unsigned worker, const struct lm_scan_piece *piece,
		   struct lmodel_error *error);
	/* On the calling thread, in order. May be NULL. */
	int (*emit)(void *context, const struct lm_scan_piece *piece, struct lmodel_error *error);
	/* Given a failure of an item's reading, in order; the scan goes on when it returns
	 * LMODEL_OK. NULL: the first failure ends the scan. */
	int (*fault)(void *context, size_t item, const struct lmodel_error *failure);
	void *context;
};

/* Runs; progress counts raw bytes. */
int lm_scan_run(const struct lm_scan *scan, const struct lmodel_run *run,
		struct lmodel_error *error) LM_MUST_CHECK;

#endif
