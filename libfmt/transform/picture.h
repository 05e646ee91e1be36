/* Files of images: PNG, and NumPy's arrays. */
#ifndef LM_PICTURE_H
#define LM_PICTURE_H

#include "import/source.h"
#include "transform/input.h"
#include "transform/transform.h"

#define LM_NPY_MAGIC "\x93NUMPY"
#define LM_NPY_HEADER_LIMIT 65536

/* One transformation of a file. */
struct lm_picture_job {
	const struct lmodel_transform *transform;
	const struct lmodel_transform_options *options;
	const struct lmodel_run *run;
	struct lm_input *in;
	int out;
	const char *out_label;
};

int lm_picture_png(const struct lm_picture_job *job, struct lmodel_error *error) LM_MUST_CHECK;
int lm_picture_npy(const struct lm_picture_job *job, struct lmodel_error *error) LM_MUST_CHECK;

/* An array that may hold images. */
struct lm_array {
	enum lmodel_sample sample;
	unsigned rank;
	uint64_t shape[LM_RANK_LIMIT];
};

/* The dictionary of a .npy header (import/npy.h). EUNSUPPORTED for other types than uint8, uint16
 * and float32, and for Fortran order. */
int lm_array_parse(struct lm_array *array, const char *text, size_t len, bool latin,
		   const char *label, struct lmodel_error *error) LM_MUST_CHECK;

/* Where the images of the array are. EUSAGE when it has none, or several ways to see it, ELIMIT
 * when they are too large. */
int lm_array_images(struct lmodel_images *images, const struct lm_array *array, size_t channels,
		    enum lmodel_layout layout, const char *label, struct lmodel_error *error)
	LM_MUST_CHECK;

#endif
