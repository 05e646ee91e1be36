/* Checking and comparing archives. */
#ifndef LMODEL_CHECK_H
#define LMODEL_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <lmodel/archive.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum lmodel_severity {
	LMODEL_NOTE = 0,  /* worth knowing, harmless: bytes of an interrupted append */
	LMODEL_FAULT = 1, /* damage or forgery */
};

/* Called once for each finding, with one printable line that says what is wrong and where. */
typedef void lmodel_finding_fn(void *context, enum lmodel_severity severity, const char *message);

struct lmodel_verify_report {
	uint64_t bytes;       /* bytes of the file that were read and checked */
	uint64_t chunks;
	size_t members;
	size_t faults;
	size_t notes;
};

/* Reads and checks everything: both manifest slots and their padding, the tar's member list
 * against the manifest, every chunk's SHA-256, that every chunk decodes to its raw length,
 * that every input file can be written again and says what the manifest says of it,
 * padding, dead ranges (zero, exactly where the manifest says), the bytes after the committed
 * length. Goes on after a fault to find the others. `report` may be NULL.
 * `finding` is called with `run->context`.
 *
 * Returns LMODEL_OK, ECORRUPT when there was a fault (error: a summary), EFAILED. */
int lmodel_verify(struct lmodel_archive *archive, const struct lmodel_run *run,
		  lmodel_finding_fn *finding, struct lmodel_verify_report *report,
		  struct lmodel_error *error);

/* Mends what a crash or a damaged manifest slot leaves, and nothing else: commits the newest
 * valid manifest to both slots again and removes bytes after the committed length. Takes the
 * writer lock. `*changed` says whether anything was written. Tensor data is not touched. */
int lmodel_repair(const char *path, int *changed, struct lmodel_error *error);

enum lmodel_difference {
	LMODEL_ONLY_A = 0,    /* tensor in A alone */
	LMODEL_ONLY_B = 1,
	LMODEL_DTYPE = 2,     /* in both, another dtype */
	LMODEL_SHAPE = 3,     /* in both, another shape */
	LMODEL_CONTENT = 4,   /* in both, other bytes: `elements` says how many elements */
	LMODEL_METADATA = 5,  /* `name` is "source: key" */
	LMODEL_ATTACHMENT = 6,/* in one alone, or other bytes: `detail` says which; of tiers names,
	                         tiers and padded lengths are compared */
};

struct lmodel_diff_entry {
	enum lmodel_difference kind;
	const char *name;
	const char *detail;   /* printable, e.g. "F32 -> BF16", or "" */
	uint64_t elements;    /* differing elements, for LMODEL_CONTENT; bytes for sub-byte dtypes
	                         and attachments */
};

/* Calls `entry` for each difference of B from A, tensors in A's order, then B's own, then
 * metadata, then attachments. Tensors whose stored chunks have the same digests are equal without
 * being read. Returns LMODEL_OK whether or not there are differences; `*count` is their
 * number. */
int lmodel_diff(struct lmodel_archive *a, struct lmodel_archive *b, const struct lmodel_run *run,
		void (*entry)(void *context, const struct lmodel_diff_entry *entry),
		size_t *count, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
