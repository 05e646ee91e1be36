/* Archives that stay where they are: read over the network by ranges (spec: 17).
 *
 * The manifest is fetched first, then just what is read, in blocks of 64 KiB, each checked as in a
 * local file. Blocks are kept in a cache, which is not trusted either. */
#ifndef LMODEL_REMOTE_H
#define LMODEL_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct lmodel_remote_options {
	size_t size;               /* sizeof(struct lmodel_remote_options) */
	bool plain_http;           /* http to other hosts than this machine, too */
	bool no_cache;             /* keep nothing on disk */
	const char *cache;         /* directory; NULL: $XDG_CACHE_HOME/lmodel or ~/.cache/lmodel */
	uint64_t cache_bytes;      /* of all archives in it; 0: $LMODEL_CACHE_BYTES, or 1 GiB */
	int (*stopped)(void *context); /* asked a few times a second while something is fetched, on
	                              the thread that waits for it; not 0: EFAILED "interrupted".
	                              NULL: nobody. It has to live as long as the archive */
	void *context;
};
#define LMODEL_REMOTE_OPTIONS_INIT { .size = sizeof(struct lmodel_remote_options) }

/* Whether text names something elsewhere: begins with https://, http:// or oci://. */
bool lmodel_is_remote(const char *text);

/* lmodel_open() for an archive behind
 *   https://HOST[:PORT]/PATH    a file on a server that gives ranges, or a small one
 *   oci://HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]    an artifact of lmodel_push()
 * and http:// for this machine, or with `plain_http`. What follows "?" in an address is never in
 * messages or names of files. The archive is used and closed as any other, but lmodel_verify()
 * refuses it (EUSAGE), and functions that take a path take no address. lmodel_unlock() of one in a
 * registry tries the grants that are attached there, where the keys open nothing by themselves. When the file changes
 * meanwhile, reading fails with EFAILED.
 *
 * Errors: EUSAGE (what is no such address; plain http), EFAILED (network, no such file, access
 * refused), EUNSUPPORTED (a server that gives no ranges, an artifact of another kind), ECORRUPT
 * (also: a server that contradicts itself), ELIMIT. */
int lmodel_open_remote(struct lmodel_archive **out, const char *address,
		       const struct lmodel_remote_options *options, struct lmodel_error *error);

/* What it has cost so far. */
struct lmodel_remote_usage {
	uint64_t fetched;          /* bytes of the bodies of all answers */
	uint64_t requests;         /* those that were tried again, too */
	uint64_t cached;           /* bytes that the cache gave instead, each counted once */
};

/* All zeros for a local archive. */
void lmodel_remote_usage(const struct lmodel_archive *archive, struct lmodel_remote_usage *usage);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
