/* Key files of input transforms; what is one transforms a small image, and back. */
#include "base/base.h"

#include <lmodel/transform.h>

enum { SIDE = 16, ROOM = SIDE * SIDE * 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_image(const struct lmodel_transform *t)
{
	const struct lmodel_transform_info *info = lmodel_transform_info(t);
	struct lmodel_images images = {
		.count = 1, .height = info->block, .width = info->block,
		.row_stride = (size_t)info->block * info->channels,
		.column_stride = info->channels, .channel_stride = 1,
	};
	uint8_t in[ROOM], back[ROOM];
	uint16_t made[ROOM];
	size_t count = images.height * images.row_stride;

	if (count > ROOM)
		return;
	for (size_t i = 0; i < ROOM; i++)
		in[i] = (uint8_t)(i * 7);
	if (lmodel_transform_apply(t, false, &images, in, made, NULL) != LMODEL_OK)
		abort();
	images.sample = strcmp(info->method, "ffx") == 0 ? LMODEL_SAMPLE_U16 : LMODEL_SAMPLE_U8;
	if (lmodel_transform_apply(t, true, &images, made, back, NULL) != LMODEL_OK ||
	    memcmp(in, back, count) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_transform *t = NULL;
	int r = lmodel_transform_parse(&t, (const char *)data, size, "input", &error);

	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	if (r == LMODEL_OK)
		try_image(t);
	lmodel_transform_free(t);
	return 0;
}
