/* lmodel transform */
#include <string.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "progress.h"
#include "samefile.h"
#include "text.h"

static const char *key;
static bool force;
static struct lmodel_transform_options how;

static const char *option_layout(void *value, const char *argument)
{
	static const char *const names[] = {
		[LMODEL_LAYOUT_HW] = "hw",     [LMODEL_LAYOUT_NHW] = "nhw",
		[LMODEL_LAYOUT_HWC] = "hwc",   [LMODEL_LAYOUT_CHW] = "chw",
		[LMODEL_LAYOUT_NHWC] = "nhwc", [LMODEL_LAYOUT_NCHW] = "nchw",
	};

	for (size_t i = LMODEL_LAYOUT_HW; i < COUNT(names); i++)
		if (strcmp(argument, names[i]) == 0) {
			*(enum lmodel_layout *)value = (enum lmodel_layout)i;
			return NULL;
		}
	return "is not one of hw, nhw, hwc, chw, nhwc, nchw";
}

static const struct option_row options[] = {
	{ "key", 'k', "FILE", "the key file of the transform", option_text, &key },
	{ "inverse", 0, NULL, "back to the images", option_flag, &how.inverse },
	{ "layout", 0, "DIMS", "of an array: hw, nhw, hwc, chw, nhwc or nchw", option_layout,
	  &how.layout },
	{ "force", 'f', NULL, "replace OUT", option_flag, &force },
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static int transform(const struct lmodel_transform *t, char **files)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = 1 };
	int r;

	how.replace = force;
	progress_begin(&run, "transform");
	r = lmodel_transform_file(t, files[0], files[1], &how, &run, &error);
	progress_end();
	return r != LMODEL_OK ? message_fail(&error) : LMODEL_OK;
}

static int check(char **operands)
{
	const char *inputs[] = { key, operands[0] };

	if (key == NULL)
		return message_usage(&cmd_transform, "--key is missing");
	if (strcmp(key, "-") == 0 && strcmp(operands[0], "-") == 0)
		return message_usage(&cmd_transform,
				     "one thing alone can come from standard input");
	if (strcmp(operands[1], "-") == 0 && isatty(STDOUT_FILENO))
		return message_usage(&cmd_transform, "images are not written to a terminal");
	return samefile_check(&cmd_transform, operands[1], inputs, COUNT(inputs));
}

static int run(int count, char **operands)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_transform *t;
	int r = check(operands);

	(void)count;
	if (r != LMODEL_OK)
		return r;
	if (lmodel_transform_load(&t, key, &error) != LMODEL_OK)
		return message_fail(&error);
	r = transform(t, operands);
	lmodel_transform_free(t);
	return r;
}

const struct cmd cmd_transform = {
	.name = "transform",
	.synopsis = "[options] IN OUT",
	.summary = "transform images for a model with a key",
	.about =
	"Transforms the image in IN, a PNG file, or the images of an array, a NumPy .npy\n"
	"file, as the model wants them that was trained with the key; \"-\" is standard\n"
	"input or output.\n",
	.options = options,
	.secrets = true,
	.least = 2,
	.most = 2,
	.missing = "IN or OUT",
	.run = run,
};
