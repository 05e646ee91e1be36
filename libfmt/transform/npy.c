/* Arrays of images: some at a time, however many there are. */
#include "base/dtype.h"
#include "base/io.h"
#include "export/export.h"
#include "transform/picture.h"

enum { AT_ONCE = 1 << 20 }; /* bytes, unless one image has more */

static int read_header(const struct lm_picture_job *job, struct lm_array *array,
		       struct lmodel_error *error)
{
	LM_FREE char *text = NULL;
	uint8_t head[12];
	const char *label = job->in->label;
	uint32_t len;
	int r = lm_input_read(job->in, head, 10, error);

	if (r != LMODEL_OK)
		return r;
	len = head[8] | (uint32_t)head[9] << 8;
	if (head[6] < 1 || head[6] > 3 || head[7] != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: a .npy file of version %u.%u",
			       label, head[6], head[7]);
	if (head[6] > 1) {
		r = lm_input_read(job->in, head + 10, 2, error);
		if (r != LMODEL_OK)
			return r;
		len = lm_get_u32(head + 8);
	}
	if (len > LM_NPY_HEADER_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: a .npy header of %u bytes", label, len);
	text = malloc(len + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	r = lm_input_read(job->in, text, len, error);
	return r == LMODEL_OK ? lm_array_parse(array, text, len, head[6] < 3, label, error) : r;
}

static int write_header(const struct lm_picture_job *job, const struct lm_array *array,
			enum lmodel_sample sample, struct lmodel_error *error)
{
	static const char *const names[] = {
		[LMODEL_SAMPLE_U8] = "U8", [LMODEL_SAMPLE_U16] = "U16", [LMODEL_SAMPLE_F32] = "F32",
	};
	LM_FREE uint8_t *header = NULL;
	size_t len;
	int r = lm_export_npy(lm_dtype_find(names[sample]), array->rank, array->shape, &header, &len,
			      error);

	return r == LMODEL_OK ? lm_write_all(job->out, job->out_label, header, len, error) : r;
}

static int convert(const struct lm_picture_job *job, const struct lmodel_images *images,
		   enum lmodel_sample made, struct lmodel_error *error)
{
	size_t samples = images->image_stride, in_bytes = samples * lm_sample_bytes(images->sample);
	size_t group = LM_MAX(AT_ONCE / LM_MAX(in_bytes, 1), 1), out_bytes;
	LM_FREE void *in = NULL;
	LM_FREE void *out = NULL;
	struct lmodel_images some = *images;
	struct lm_meter meter;
	int r = LMODEL_OK;

	group = LM_MIN(group, LM_MAX(images->count, 1));
	out_bytes = samples * lm_sample_bytes(made);
	in = malloc(group * in_bytes + 1);
	out = malloc(group * out_bytes + 1);
	if (in == NULL || out == NULL)
		return lm_fail_memory(error);
	lm_meter_begin(&meter, job->run, (uint64_t)images->count * in_bytes);
	for (size_t i = 0; i < images->count; i += some.count) {
		some.count = LM_MIN(group, images->count - i);
		r = lm_input_read(job->in, in, some.count * in_bytes, error);
		if (r == LMODEL_OK)
			r = lm_transform_images(job->transform, job->options->inverse, &some, in,
						out, i, job->in->label, error);
		if (r == LMODEL_OK)
			r = lm_write_all(job->out, job->out_label, out, some.count * out_bytes,
					 error);
		if (r == LMODEL_OK)
			r = lm_meter_add(&meter, some.count * in_bytes, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

int lm_picture_npy(const struct lm_picture_job *job, struct lmodel_error *error)
{
	const struct lmodel_transform_info *info = &job->transform->info;
	struct lm_array array = { .rank = 0 };
	struct lmodel_images images, none;
	enum lmodel_sample made;
	int r = read_header(job, &array, error);

	if (r == LMODEL_OK)
		r = lm_array_images(&images, &array, info->channels, job->options->layout,
				  job->in->label, error);
	if (r != LMODEL_OK)
		return r;
	r = lmodel_transform_sample(job->transform, job->options->inverse, array.sample, &made,
				    error);
	none = images;
	none.count = 0; /* what is wrong with their size is told before anything is written */
	if (r == LMODEL_OK)
		r = lm_transform_images(job->transform, job->options->inverse, &none, NULL, NULL, 0,
					job->in->label, error);
	if (r == LMODEL_OK)
		r = write_header(job, &array, made, error);
	if (r == LMODEL_OK)
		r = convert(job, &images, made, error);
	return r == LMODEL_OK ? lm_input_finish(job->in, error) : r;
}
