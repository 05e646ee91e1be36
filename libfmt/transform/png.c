/* PNG files, whole in memory. Pixels are taken as they are stored, without any colour management;
 * palettes and less than 8 bits become 8 bits a sample. Other chunks are left behind. */
#include <setjmp.h>

#include "base/io.h"
#include "transform/libpng.h"
#include "transform/picture.h"

enum { CHUNK_LIMIT = 1 << 23 };

struct picture {
	const struct lm_picture_job *job;
	struct lmodel_error *error;
	jmp_buf jump;               /* libpng's errors must not return */
	png_structp png;
	png_infop info;
	bool writes;
	uint32_t width, height;
	int colour, passes;
	unsigned samples, channels; /* of a pixel: all, and without alpha */
	enum lmodel_sample type, made;
	uint8_t *in, *out;
};

static void on_error(png_structp png, png_const_charp message)
{
	struct picture *p = lm_libpng.get_error_ptr(png);

	lm_fail(p->error, p->writes ? LMODEL_EFAILED : LMODEL_ECORRUPT, "%s: PNG: %s",
		p->writes ? p->job->out_label : p->job->in->label, LM_QUOTE(message));
	longjmp(p->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static void read_bytes(png_structp png, png_bytep bytes, size_t len)
{
	struct picture *p = lm_libpng.get_io_ptr(png);

	if (lm_input_read(p->job->in, bytes, len, p->error))
		lm_libpng.error(png, "read");
}

static void write_bytes(png_structp png, png_bytep bytes, size_t len)
{
	struct picture *p = lm_libpng.get_io_ptr(png);

	if (lm_write_all(p->job->out, p->job->out_label, bytes, len, p->error))
		lm_libpng.error(png, "write");
}

static void flush(png_structp png)
{
	(void)png;
}

/* Runs what calls libpng; false when that failed. */
static bool guarded(struct picture *p, void (*work)(struct picture *))
{
	if (setjmp(p->jump) != 0)
		return false;
	work(p);
	return true;
}

static bool too_large(const struct picture *p, unsigned samples)
{
	return (uint64_t)p->width * p->height > LMODEL_TRANSFORM_IMAGE_MAX / samples;
}

/* Ends early, before libpng allocates rows, when the image is too large. */
static void read_head(struct picture *p)
{
	int depth, interlace, compression, filter;

	lm_libpng.set_read_fn(p->png, p, read_bytes);
	lm_libpng.set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	lm_libpng.set_chunk_malloc_max(p->png, CHUNK_LIMIT);
	/* ancillary chunks: nothing in them has to do with the samples, but for tRNS */
	lm_libpng.set_keep_unknown_chunks(p->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	lm_libpng.read_info(p->png, p->info);
	lm_libpng.get_IHDR(p->png, p->info, &p->width, &p->height, &depth, &p->colour, &interlace,
		     &compression, &filter);
	if (too_large(p, 1))
		return;
	if (p->colour == PNG_COLOR_TYPE_PALETTE)
		lm_libpng.set_palette_to_rgb(p->png);
	else if (depth < 8)
		lm_libpng.set_expand_gray_1_2_4_to_8(p->png);
	if (lm_libpng.get_valid(p->png, p->info, PNG_INFO_tRNS))
		lm_libpng.set_tRNS_to_alpha(p->png);
	if (depth == 16)
		lm_libpng.set_swap(p->png);
	p->passes = lm_libpng.set_interlace_handling(p->png);
	lm_libpng.read_update_info(p->png, p->info);
	p->type = depth == 16 ? LMODEL_SAMPLE_U16 : LMODEL_SAMPLE_U8;
	p->colour = lm_libpng.get_color_type(p->png, p->info);
	p->samples = lm_libpng.get_channels(p->png, p->info);
	p->channels = p->samples - ((p->colour & PNG_COLOR_MASK_ALPHA) != 0);
}

static void read_rows(struct picture *p)
{
	size_t row = lm_libpng.get_rowbytes(p->png, p->info);

	for (int i = 0; i < p->passes; i++)
		for (size_t y = 0; y < p->height; y++)
			lm_libpng.read_row(p->png, p->in + y * row, NULL);
	lm_libpng.read_end(p->png, NULL);
}

static void write_all(struct picture *p)
{
	size_t row = (size_t)p->width * p->samples * lm_sample_bytes(p->made);

	lm_libpng.set_write_fn(p->png, p, write_bytes, flush);
	lm_libpng.set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	lm_libpng.set_IHDR(p->png, p->info, p->width, p->height, (int)lm_sample_bytes(p->made) * 8,
		     p->colour, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	lm_libpng.write_info(p->png, p->info);
	if (p->made == LMODEL_SAMPLE_U16)
		lm_libpng.set_swap(p->png);
	for (size_t y = 0; y < p->height; y++)
		lm_libpng.write_row(p->png, p->out + y * row);
	lm_libpng.write_end(p->png, NULL);
}

static int check_head(struct picture *p)
{
	const struct lmodel_transform *t = p->job->transform;
	const char *label = p->job->in->label;

	if (too_large(p, LM_MAX(p->samples, 1)))
		return lm_fail(p->error, LMODEL_ELIMIT, "%s: an image of over %d samples", label,
			       LMODEL_TRANSFORM_IMAGE_MAX);
	if (p->channels != t->info.channels)
		return lm_fail(p->error, LMODEL_EUSAGE,
			       "%s: an image of %u channel%s; the key is for %u", label,
			       p->channels, p->channels == 1 ? "" : "s", t->info.channels);
	return lmodel_transform_sample(t, p->job->options->inverse, p->type, &p->made, p->error);
}

/* Alpha is what the rest of a pixel is shown with, and no part of it: it stays. */
static void copy_alpha(struct picture *p)
{
	size_t count = (size_t)p->width * p->height * p->samples;

	if (p->samples == p->channels)
		return;
	if (p->made == p->type) {
		memcpy(p->out, p->in, count * lm_sample_bytes(p->type));
		return;
	}
	for (size_t i = p->channels; i < count; i += p->samples) {
		if (p->made == LMODEL_SAMPLE_U16)
			((uint16_t *)(void *)p->out)[i] = (uint16_t)(p->in[i] * 257);
		else
			p->out[i] = (uint8_t)(((uint16_t *)(void *)p->in)[i] >> 8);
	}
}

static int convert(struct picture *p)
{
	struct lmodel_images images = {
		.sample = p->type, .count = 1, .height = p->height, .width = p->width,
		.row_stride = (size_t)p->width * p->samples, .column_stride = p->samples,
		.channel_stride = 1,
	};

	copy_alpha(p);
	return lm_transform_images(p->job->transform, p->job->options->inverse, &images, p->in,
				   p->out, 0, p->job->in->label, p->error);
}

static int read_picture(struct picture *p)
{
	size_t count;
	int r = lm_libpng_load(p->error);

	if (r != LMODEL_OK)
		return r;
	p->png = lm_libpng.create_read_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
	p->info = p->png != NULL ? lm_libpng.create_info_struct(p->png) : NULL;
	if (p->info == NULL)
		return lm_fail_memory(p->error);
	if (!guarded(p, read_head))
		return (int)p->error->code;
	r = check_head(p);
	if (r != LMODEL_OK)
		return r;
	count = (size_t)p->width * p->height * p->samples;
	p->in = malloc(count * lm_sample_bytes(p->type));
	p->out = malloc(count * lm_sample_bytes(p->made));
	if (p->in == NULL || p->out == NULL)
		return lm_fail_memory(p->error);
	return guarded(p, read_rows) ? LMODEL_OK : (int)p->error->code;
}

static int write_picture(struct picture *p)
{
	lm_libpng.destroy_read_struct(&p->png, &p->info, NULL);
	p->writes = true;
	p->png = lm_libpng.create_write_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
	p->info = p->png != NULL ? lm_libpng.create_info_struct(p->png) : NULL;
	if (p->info == NULL)
		return lm_fail_memory(p->error);
	return guarded(p, write_all) ? LMODEL_OK : (int)p->error->code;
}

int lm_picture_png(const struct lm_picture_job *job, struct lmodel_error *error)
{
	struct picture p = { .job = job, .error = error };
	int r = read_picture(&p);

	if (r == LMODEL_OK)
		r = convert(&p);
	if (r == LMODEL_OK)
		r = write_picture(&p);
	if (p.png != NULL && p.writes)
		lm_libpng.destroy_write_struct(&p.png, &p.info);
	else if (p.png != NULL)
		lm_libpng.destroy_read_struct(&p.png, &p.info, NULL);
	free(p.in);
	free(p.out);
	return r;
}
