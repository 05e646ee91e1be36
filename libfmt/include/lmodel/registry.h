/* Archives in registries of container images: push, pull, and grants beside them (spec: 16).
 *
 * A reference is [oci://|https://|http://]HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]. Credentials are
 * those that $REGISTRY_AUTH_FILE, docker's config.json or podman's auth.json, or a helper that one
 * of them names, has for the host. Connections are by TLS, but for this machine, http:// in front,
 * and `plain_http`. */
#ifndef LMODEL_REGISTRY_H
#define LMODEL_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>
#include <lmodel/keys.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define LMODEL_DIGEST_SIZE 72 /* "sha256:", 64 hexadecimal digits, NUL */

/* What became of one layer. */
enum lmodel_layer_fate {
	LMODEL_LAYER_SENT = 0,     /* push: uploaded */
	LMODEL_LAYER_MOUNTED = 1,  /* push: taken over from another repository */
	LMODEL_LAYER_THERE = 2,    /* push: the repository had it */
	LMODEL_LAYER_FETCHED = 3,  /* pull: downloaded */
	LMODEL_LAYER_COPIED = 4,   /* pull: from the file that was there before */
	LMODEL_LAYER_LEFT = 5,     /* pull: of a tier that was not asked for */
};

/* A range of bytes of the archive's file. */
struct lmodel_layer {
	const char *kind;          /* "manifest", "base", "tier", "end" */
	const char *tier;          /* its name; NULL for other kinds */
	const char *digest;
	uint64_t offset, length;
	enum lmodel_layer_fate fate;
};

/* Called on the calling thread, in file order, when all transfers are done. */
typedef void lmodel_layer_fn(void *context, const struct lmodel_layer *layer);

struct lmodel_push_report {
	char digest[LMODEL_DIGEST_SIZE]; /* of the artifact's manifest: HOST/NAME@digest */
	uint64_t sent;             /* bytes of all bodies that were sent */
	uint64_t received;
	uint64_t requests;
	size_t grants;             /* that were attached to the artifact of before, and now are to
	                              this one */
	bool changed;              /* false: the tag was of this very artifact already */
};

struct lmodel_push_options {
	size_t size;               /* sizeof(struct lmodel_push_options) */
	struct lmodel_run run;     /* `jobs` layers at a time */
	bool plain_http;
	const char *from;          /* a repository of the same registry that may have layers;
	                              NULL: none */
	uint64_t chunk;            /* bytes of one request of an upload; 0: 16 MiB */
	const char *state;         /* directory for uploads that were cut off, so that a later push
	                              goes on with them; NULL: uploads/ in the directory of
	                              lmodel_open_remote()'s cache; "": nowhere */
	lmodel_layer_fn *layer;    /* called with `run.context`; NULL: nobody */
};
#define LMODEL_PUSH_OPTIONS_INIT { .size = sizeof(struct lmodel_push_options) }

/* Puts an archive under a tag. Layers that the repository has are not sent. The tag is set last:
 * until then nobody sees anything. Grants that were attached to the artifact that the tag had, when
 * that was the same archive, are attached to the new one. `report` may be NULL.
 *
 * Errors: EUSAGE (the reference; a digest in it), ECORRUPT (also: dead ranges that are not zero;
 * damaged slots), EFAILED (network, a registry's refusal, the archive was changed meanwhile),
 * ELIMIT, EUNSUPPORTED. */
int lmodel_push(const char *archive, const char *reference,
		const struct lmodel_push_options *options, struct lmodel_push_report *report,
		struct lmodel_error *error);

struct lmodel_pull_report {
	char digest[LMODEL_DIGEST_SIZE];
	uint64_t received;         /* bytes of all bodies that were received */
	uint64_t sent;
	uint64_t requests;
	uint64_t copied;           /* bytes that came from the file that was there before */
	bool changed;              /* false: the file had all of it; it was not touched */
	char tier[65];             /* the highest tier in the file; "": none, or the archive has none */
	size_t absent;             /* tiers that the file lacks */
	char *grant;               /* the file that the grant was written to; NULL: none. free() it */
	char *signed_by;           /* with `signers`: who; free() it */
};

struct lmodel_pull_options {
	size_t size;               /* sizeof(struct lmodel_pull_options) */
	struct lmodel_run run;
	bool plain_http;
	const char *output;        /* NULL: the repository's last part, ".lmodel", in the current
	                              directory */
	const char *tier;          /* fetch tiers up to this one; NULL: what keys open, or all */
	bool base;                 /* fetch no tier */
	const struct lmodel_keyring *keyring; /* looks for a grant, and proves the archive; NULL:
	                              no keys */
	bool overwrite;            /* replace an `output` that is not this archive */
	bool allow_rollback;       /* replace one that is newer */
	const char *signers;       /* somebody in this file has to have signed it, as for
	                              lmodel_check_signers(); NULL: nobody is asked for */
	lmodel_layer_fn *layer;
};
#define LMODEL_PULL_OPTIONS_INIT { .size = sizeof(struct lmodel_pull_options) }

/* Fetches an archive, all of it or up to a tier; the tiers above are absent then, and a later pull
 * completes the file to the bytes that were pushed. Every layer is checked against its digest, the
 * whole against what its own manifest says, and verified as by lmodel_verify(), before it appears
 * under its name. What a file that is there has already is taken from it.
 *
 * With keys: the grant that opens most, of those that are attached to the artifact, is written to
 * `output`.grant, unless the keys open as much without; without `tier` and `base` the tiers that are
 * opened so are fetched. `report` may be NULL.
 *
 * Errors: EUSAGE, ENOKEY (nothing opens), ECORRUPT (whatever is not what it claims), EUNSUPPORTED
 * (another kind of artifact), ELIMIT (also: no room in the manifest to write down what is absent),
 * EFAILED (network; `output` exists). Nothing is left behind. */
int lmodel_pull(const char *reference, const struct lmodel_pull_options *options,
		struct lmodel_pull_report *report, struct lmodel_error *error);
void lmodel_pull_report_free(struct lmodel_pull_report *report);

struct lmodel_push_grant_options {
	size_t size;               /* sizeof(struct lmodel_push_grant_options) */
	struct lmodel_run run;
	bool plain_http;
};
#define LMODEL_PUSH_GRANT_OPTIONS_INIT { .size = sizeof(struct lmodel_push_grant_options) }

/* Attaches a detached grant, as lmodel_grant() makes it, to the artifact that `reference` names,
 * which does not change. That has to be `archive`, at the same content generation: EUSAGE. With
 * `grant` NULL just looks whether it is. The digest of what was attached goes to `digest`, unless
 * that is NULL. */
int lmodel_push_grant(const char *archive, const char *reference, const char *grant, size_t len,
		      const struct lmodel_push_grant_options *options,
		      char digest[LMODEL_DIGEST_SIZE], struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
