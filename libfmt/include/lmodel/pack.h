/* Making archives: pack and repack.
 *
 * Outputs are published whole: they are written to an unnamed temporary file in the target's
 * directory, synced, and then given their name. After any failure, SIGKILL included, nothing
 * half-written is left. Where the file system has no unnamed files, a hidden temporary name
 * is used; then only SIGKILL can leave one. */
#ifndef LMODEL_PACK_H
#define LMODEL_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmodel/error.h>
#include <lmodel/protect.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* How hard the codec tries (spec: 5). All levels read back alike. */
enum lmodel_level {
	LMODEL_LEVEL_DEFAULT = 0, /* byte planes and entropy coding; matching where
	                             a sample says so */
	LMODEL_LEVEL_FAST = 1,    /* byte planes and entropy coding alone */
	LMODEL_LEVEL_SMALL = 2,   /* try everything on every chunk, keep the smallest; slow */
};

#define LMODEL_CHUNK_DEFAULT (UINT64_C(1) << 20)
#define LMODEL_CHUNK_MIN (UINT64_C(1) << 12)
#define LMODEL_CHUNK_MAX (UINT64_C(1) << 26)

/* A side file to carry along. */
struct lmodel_attach {
	const char *path; /* file to read */
	const char *name; /* name in the archive; NULL: the last part of `path` */
	const char *tier; /* sealed for who has this tier: name and length, padded, are all that
	                     others see; NULL: public */
};

struct lmodel_pack_options {
	size_t size;               /* sizeof(struct lmodel_pack_options) */
	struct lmodel_run run;
	enum lmodel_level level;
	uint64_t chunk_bytes;      /* raw bytes a chunk, a multiple of 4096; 0: the default */
	const struct lmodel_attach *attach;
	size_t attach_count;
	const unsigned char *seed; /* reproducible output: nothing random, no clock. For tests */
	size_t seed_len;           /* 0: no seed */
	bool overwrite;            /* replace an existing output, as a whole */
	const struct lmodel_protect_options *protect; /* NULL: everything is public */
	const char *const *input_names; /* what each input file is called in the archive, a relative
	                              folder; NULL, or an entry that is: the last part of its path */
};
#define LMODEL_PACK_OPTIONS_INIT { .size = sizeof(struct lmodel_pack_options) }

/* Packs models into one archive at `output` ("-": standard output, through a temporary file
 * in $TMPDIR). Each input is a file of a format that the spec's section 11 has, a directory in
 * the Hugging Face layout, or "-" for such a file on standard input. Tensor names must be unique
 * over all inputs. Tensors with equal dtype and bytes are stored once.
 *
 * Memory is bounded: O(jobs x chunk) + about 2 KiB a tensor, whatever the size of the model.
 *
 * Errors: EUSAGE, ECORRUPT (a malformed input), EUNSUPPORTED (unknown dtype or kind of
 * input), ELIMIT, EFAILED (also: output exists and `overwrite` is false, or an input was changed
 * while it was read). */
int lmodel_pack(const char *output, const char *const *inputs, size_t input_count,
		const struct lmodel_pack_options *options, struct lmodel_error *error);

struct lmodel_repack_options {
	size_t size;               /* sizeof(struct lmodel_repack_options) */
	struct lmodel_run run;
	bool recode;               /* code every chunk anew with `level` and `chunk_bytes`;
	                              otherwise stored bytes are moved as they are */
	enum lmodel_level level;
	uint64_t chunk_bytes;      /* 0: as it is */
	bool overwrite;            /* for an `output` that exists */
};
#define LMODEL_REPACK_OPTIONS_INIT { .size = sizeof(struct lmodel_repack_options) }

/* Writes the archive anew: dead ranges gone, room in the manifest slots as for a new archive.
 * Everything read is verified on the way. With `output` NULL the archive itself is replaced,
 * under its writer lock, by one rename; readers that have it open go on with the old file.
 * The archive id stays. Without `recode` the content root stays too, and so does every
 * signature; with it the content generation rises by one.
 *
 * Errors: as lmodel_open(); EFAILED (output exists, or the file was replaced meanwhile). */
int lmodel_repack(const char *archive, const char *output,
		  const struct lmodel_repack_options *options, struct lmodel_error *error);

struct lmodel_strip_options {
	size_t size;               /* sizeof(struct lmodel_strip_options) */
	struct lmodel_run run;
	bool overwrite;
};
#define LMODEL_STRIP_OPTIONS_INIT { .size = sizeof(struct lmodel_strip_options) }

/* Writes a copy of the archive without the shards of the tiers above `tier` (NULL: of all tiers).
 * Needs no key. The copy says of those tiers that they are absent; statement, MACs, signatures and
 * slots stay.
 *
 * Errors: EUSAGE (no such tier), and as lmodel_repack(). */
int lmodel_strip(const char *archive, const char *tier, const char *output,
		 const struct lmodel_strip_options *options, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
