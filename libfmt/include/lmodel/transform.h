/* Keyed input transforms: a model that is fine-tuned on transformed images is of use to those alone
 * who can transform theirs in the same way (M. AprilPyone and H. Kiya, "Transfer Learning-Based
 * Model Protection With Secret Key", ICIP 2021; spec: 15).
 *
 * Images are cut into blocks of `block` x `block` pixels, and all blocks of all images are treated
 * alike: "shf" permutes the samples of a block, "np" replaces half of them by what is missing to
 * white, "ffx" encrypts half of them to 0..999. The key belongs into a tier of the archive of its
 * model, as the attachment input-transform.json. What is read of it is wiped when it is freed. */
#ifndef LMODEL_TRANSFORM_H
#define LMODEL_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>

#include <lmodel/archive.h>
#include <lmodel/error.h>
#include <lmodel/run.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct lmodel_transform;

#define LMODEL_TRANSFORM_BLOCK_MAX 256
#define LMODEL_TRANSFORM_CHANNELS_MAX 64
#define LMODEL_TRANSFORM_POSITIONS_MAX 1048576 /* block * block * channels */
#define LMODEL_TRANSFORM_IMAGE_MAX 67108864    /* samples of one image in a file */

struct lmodel_transform_info {
	const char *method; /* "shf", "np" or "ffx" */
	unsigned block;     /* pixels a side */
	unsigned channels;  /* samples a pixel */
	double bits;        /* log2 of the number of transforms that a key is one of; 256 at most */
};

/* A fresh key. EUSAGE for a method or numbers that there are none of. */
int lmodel_transform_new(struct lmodel_transform **out, const char *method, unsigned block,
			 unsigned channels, struct lmodel_error *error);

/* The text of a key file. `label` names it in messages, which never hold a part of the key.
 * Errors: ECORRUPT, EUNSUPPORTED (a newer version, another method), ELIMIT. */
int lmodel_transform_parse(struct lmodel_transform **out, const char *text, size_t len,
			   const char *label, struct lmodel_error *error);

/* The same of a file; "-" is standard input. */
int lmodel_transform_load(struct lmodel_transform **out, const char *path,
			  struct lmodel_error *error);

/* The attachment of that name of the archive (NULL: input-transform.json), whose tier has been
 * opened with lmodel_unlock() unless it is public. EUSAGE when there is none, ENOKEY when it is
 * closed. */
#define LMODEL_TRANSFORM_NAME "input-transform.json"
int lmodel_transform_open(struct lmodel_transform **out, struct lmodel_archive *archive,
			  const char *name, struct lmodel_error *error);

/* Writes the key file: mode 0600, never over a file that exists; NULL or "-" is standard output. */
int lmodel_transform_save(const struct lmodel_transform *transform, const char *path,
			  struct lmodel_error *error);

/* Valid as long as the transform. */
const struct lmodel_transform_info *lmodel_transform_info(
	const struct lmodel_transform *transform);

void lmodel_transform_free(struct lmodel_transform *transform); /* wipes; NULL is allowed */

/* ---- images in memory ---- */

enum lmodel_sample {
	LMODEL_SAMPLE_U8 = 0,  /* 0..255 */
	LMODEL_SAMPLE_U16 = 1, /* 0..65535, of the machine's byte order; with "ffx" 0..999 */
	LMODEL_SAMPLE_F32 = 2, /* "np" and "ffx" take 0 to 1, before any normalisation */
};

/* `count` images. Strides are in samples; each image has the transform's number of channels. */
struct lmodel_images {
	enum lmodel_sample sample;
	size_t count, height, width;
	size_t image_stride, row_stride, column_stride, channel_stride;
};

/* The type of what comes out: that of the input, but for "ffx", which makes U16 of U8 and, inverse,
 * U8 of U16. EUNSUPPORTED for what the method cannot take. */
int lmodel_transform_sample(const struct lmodel_transform *transform, bool inverse,
			    enum lmodel_sample in, enum lmodel_sample *out,
			    struct lmodel_error *error);

/* Transforms from `in` to `out`, which have the same strides and must not overlap; samples between
 * those that the strides name are left alone. The inverse of "np" on F32 is exact up to rounding,
 * every other inverse is exact.
 * Errors: EUSAGE (blocks do not divide the image, a value out of range), EUNSUPPORTED, ECORRUPT
 * (inverse "ffx": a value that this key never makes). After a failure `out` is of no use. */
int lmodel_transform_apply(const struct lmodel_transform *transform, bool inverse,
			   const struct lmodel_images *images, const void *in, void *out,
			   struct lmodel_error *error);

/* ---- files ---- */

enum lmodel_layout {
	LMODEL_LAYOUT_AUTO = 0, /* the one that the shape and the number of channels leave */
	LMODEL_LAYOUT_HW = 1,
	LMODEL_LAYOUT_NHW = 2,
	LMODEL_LAYOUT_HWC = 3,
	LMODEL_LAYOUT_CHW = 4,
	LMODEL_LAYOUT_NHWC = 5,
	LMODEL_LAYOUT_NCHW = 6,
};

struct lmodel_transform_options {
	bool inverse;
	bool replace;              /* an output that exists */
	enum lmodel_layout layout; /* of an array; images in PNG files have none */
};

/* Transforms a PNG file, or a .npy file with an array of one or many images (uint8, uint16,
 * float32), which passes through in pieces. "-" is standard input or output; an output file appears
 * whole or not at all. An alpha channel passes untouched.
 * Errors: as above; ECORRUPT, EUNSUPPORTED and ELIMIT for the input. */
int lmodel_transform_file(const struct lmodel_transform *transform, const char *in, const char *out,
			  const struct lmodel_transform_options *options,
			  const struct lmodel_run *run, struct lmodel_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
