/* Which dimensions of an array are an image's. */
#include "transform/picture.h"

#include "import/npy.h"

/* What images are made of, among what an array may hold. */
static int find_sample(const struct lm_npy *npy, enum lmodel_sample *sample, const char *label,
		       struct lmodel_error *error)
{
	static const struct { const char *dtype; enum lmodel_sample sample; } types[] = {
		{ "U8", LMODEL_SAMPLE_U8 }, { "U16", LMODEL_SAMPLE_U16 },
		{ "F32", LMODEL_SAMPLE_F32 },
	};
	for (size_t i = 0; i < LM_COUNT(types); i++)
		if (strcmp(npy->dtype->name, types[i].dtype) == 0) {
			*sample = types[i].sample;
			return LMODEL_OK;
		}
	return lm_fail(error, LMODEL_EUNSUPPORTED,
		       "%s: an array of %s; images are uint8, uint16 or float32, little-endian",
		       label, npy->descr != NULL ? LM_QUOTE(npy->descr) : npy->dtype->name);
}

int lm_array_parse(struct lm_array *array, const char *text, size_t len, bool latin,
		   const char *label, struct lmodel_error *error)
{
	struct lm_npy npy = { .rank = 0 };
	int r = lm_npy_parse(&npy, text, len, latin, label, "array", error);

	if (r == LMODEL_OK)
		r = find_sample(&npy, &array->sample, label, error);
	if (r == LMODEL_OK && npy.permuted)
		r = lm_fail(error, LMODEL_EUNSUPPORTED, "%s: an array in Fortran order", label);
	if (r == LMODEL_OK) {
		array->rank = npy.rank;
		for (unsigned i = 0; i < npy.rank; i++)
			array->shape[i] = npy.shape[i];
	}
	lm_npy_free(&npy);
	return r;
}

/* Which dimension is which; -1: there is none. */
struct form {
	const char *name;
	enum lmodel_layout layout;
	unsigned rank;
	int count, height, width, channel;
};

static const struct form forms[] = {
	{ "hw", LMODEL_LAYOUT_HW, 2, -1, 0, 1, -1 },
	{ "hwc", LMODEL_LAYOUT_HWC, 3, -1, 0, 1, 2 },
	{ "chw", LMODEL_LAYOUT_CHW, 3, -1, 1, 2, 0 },
	{ "nhw", LMODEL_LAYOUT_NHW, 3, 0, 1, 2, -1 },
	{ "nhwc", LMODEL_LAYOUT_NHWC, 4, 0, 1, 2, 3 },
	{ "nchw", LMODEL_LAYOUT_NCHW, 4, 0, 2, 3, 1 },
};

static bool fits(const struct form *form, const struct lm_array *array, size_t channels)
{
	return form->rank == array->rank &&
	       (form->channel < 0 ? 1 : array->shape[form->channel]) == channels;
}

/* Grey images without a dimension of channels are the last to be thought of: (28, 28, 1) is one. */
static const struct form *find_form(const struct lm_array *array, size_t channels, size_t *count)
{
	const struct form *found = NULL;

	*count = 0;
	for (size_t i = 0; i < LM_COUNT(forms); i++) {
		if (!fits(&forms[i], array, channels) ||
		    (found != NULL && forms[i].layout == LMODEL_LAYOUT_NHW))
			continue;
		found = &forms[i];
		++*count;
	}
	return found;
}

static int choose_form(const struct form **form, const struct lm_array *array, size_t channels,
		       enum lmodel_layout layout, const char *label, struct lmodel_error *error)
{
	size_t count;

	if (array->rank < 2 || array->rank > 4)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: an array of %u dimensions; images have 2 to 4", label,
			       array->rank);
	*form = find_form(array, channels, &count);
	if (layout != LMODEL_LAYOUT_AUTO) {
		*form = NULL;
		for (size_t i = 0; i < LM_COUNT(forms); i++)
			if (forms[i].layout == layout && fits(&forms[i], array, channels))
				*form = &forms[i];
		count = 1;
	}
	if (*form == NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: no dimension of its %u is the %zu channel%s of the key", label,
			       array->rank, channels, channels == 1 ? "" : "s");
	if (count > 1)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: more than one dimension could be the %zu channel%s: "
			       "--layout tells", label, channels, channels == 1 ? "" : "s");
	return LMODEL_OK;
}

static uint64_t stride_of(const struct lm_array *array, int dimension)
{
	uint64_t stride = 1;

	for (unsigned i = array->rank; dimension >= 0 && i > (unsigned)dimension + 1; i--)
		stride *= array->shape[i - 1];
	return dimension < 0 ? 0 : stride;
}

int lm_array_images(struct lmodel_images *images, const struct lm_array *array, size_t channels,
		  enum lmodel_layout layout, const char *label, struct lmodel_error *error)
{
	const struct form *form = NULL;
	uint64_t samples = channels, count, bytes;
	int r = choose_form(&form, array, channels, layout, label, error);

	if (r != LMODEL_OK)
		return r;
	if (!lm_mul(samples, array->shape[form->height], &samples) ||
	    !lm_mul(samples, array->shape[form->width], &samples) ||
	    samples > LMODEL_TRANSFORM_IMAGE_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%s: an image of over %d samples", label,
			       LMODEL_TRANSFORM_IMAGE_MAX);
	count = form->count < 0 ? 1 : array->shape[form->count];
	if (!lm_mul(samples, count, &bytes) || !lm_mul(bytes, 4, &bytes) || bytes > INT64_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%s: over 2^63 bytes of images", label);
	*images = (struct lmodel_images){
		.sample = array->sample,
		.count = (size_t)count,
		.height = (size_t)array->shape[form->height],
		.width = (size_t)array->shape[form->width],
		.image_stride = (size_t)samples,
		.row_stride = (size_t)stride_of(array, form->height),
		.column_stride = (size_t)stride_of(array, form->width),
		.channel_stride = (size_t)stride_of(array, form->channel),
	};
	return LMODEL_OK;
}
