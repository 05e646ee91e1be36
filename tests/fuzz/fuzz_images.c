/* Files of images, PNG and .npy, through a transform: the first byte chooses its key. */
#include "transform/picture.h"

#include <sys/mman.h>

#define KEY(method, channels) "{\"lmodel\": \"input-transform\", \"version\": 1, \"method\": \"" \
	method "\", \"block\": 2, \"channels\": " #channels ", \"key\": \"" \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct lmodel_transform *transform_of(uint8_t choice)
{
	static const char *const keys[] = {
		KEY("shf", 3), KEY("shf", 1), KEY("np", 3), KEY("np", 1), KEY("ffx", 3), KEY("ffx", 1),
	};
	static struct lmodel_transform *made[LM_COUNT(keys)];
	size_t i = choice / 2 % LM_COUNT(keys);

	if (made[i] == NULL &&
	    lmodel_transform_parse(&made[i], keys[i], strlen(keys[i]), "key", NULL) != LMODEL_OK)
		abort();
	return made[i];
}

/* A header may promise gigabytes, which are not there: then nothing is written. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lmodel_transform_options options = { .replace = true };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_CLOSE int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	LM_FREE struct lm_input *input = calloc(1, sizeof(*input));
	struct lm_picture_job job = {
		.options = &options, .in = input, .out = out, .out_label = "output",
	};
	bool png = false;
	int r;

	if (size == 0 || in < 0 || out < 0 || input == NULL)
		return 0;
	options.inverse = (data[0] & 1) != 0;
	options.layout = (enum lmodel_layout)(data[0] >> 4) % 7;
	if (write(in, data + 1, size - 1) != (ssize_t)(size - 1) || lseek(in, 0, SEEK_SET) != 0)
		return 0;
	input->fd = in;
	input->label = "input";
	job.transform = transform_of(data[0]);
	r = lm_input_begins(input, "\x89PNG", 4, &png, &error);
	if (r == LMODEL_OK)
		r = png ? lm_picture_png(&job, &error) : lm_picture_npy(&job, &error);
	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	return 0;
}
