/* lmodel transform */
#include <string.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "samefile.h"
#include "signers.h"
#include "text.h"

static const char *key, *name;
static struct key_options keys;
static struct signer_options signers;
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
	{ "name", 0, "NAME", "of the key in ARCHIVE; input-transform.json unless given",
	  option_text, &name },
	OPTIONS_KEYS(keys),
	OPTIONS_SIGNERS(signers),
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

/* `archive` is NULL with a key file. */
static int check_source(const char *archive, char **files)
{
	if (archive == NULL && key == NULL)
		return message_usage(&cmd_transform, "ARCHIVE or --key is missing");
	if (archive != NULL && key != NULL)
		return message_usage(&cmd_transform, "ARCHIVE and --key exclude each other");
	if (key != NULL && (keys_given(&keys) || name != NULL))
		return message_usage(&cmd_transform, "--%s is for the key in an ARCHIVE",
				     name != NULL ? "name" : "identity");
	if (strcmp(files[0], "-") == 0 && strcmp(key != NULL ? key : archive, "-") == 0)
		return message_usage(&cmd_transform,
				     "one thing alone can come from standard input");
	return archive != NULL && strcmp(files[0], "-") == 0 ?
		       keys_check(&cmd_transform, &keys, "-") :
		       keys_check(&cmd_transform, &keys, archive != NULL ? archive : "");
}

static int check(const char *archive, char **files)
{
	const char *inputs[] = { key, archive, files[0] };
	int r = check_source(archive, files);

	if (r == LMODEL_OK)
		r = signers_check(&cmd_transform, &signers);
	if (r != LMODEL_OK)
		return r;
	if (strcmp(files[1], "-") == 0 && isatty(STDOUT_FILENO))
		return message_usage(&cmd_transform, "images are not written to a terminal");
	return samefile_check(&cmd_transform, files[1], inputs, COUNT(inputs));
}

/* The archive is closed again before the images are read. */
static int open_key(struct lmodel_transform **t, const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive;
	bool unlocked;
	int r;

	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return message_fail(&error);
	r = signers_demand(archive, path, &signers);
	if (r == LMODEL_OK)
		r = keys_unlock(archive, &keys, true, &unlocked);
	if (r == LMODEL_OK && lmodel_transform_open(t, archive, name, &error) != LMODEL_OK)
		r = message_fail(&error);
	lmodel_close(archive);
	return r;
}

static int run(int count, char **operands)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const char *archive = count == 3 ? operands[0] : NULL;
	char **files = operands + (count - 2);
	struct lmodel_transform *t;
	int r = check(archive, files);

	if (r == LMODEL_OK && archive != NULL)
		r = open_key(&t, archive);
	else if (r == LMODEL_OK && lmodel_transform_load(&t, key, &error) != LMODEL_OK)
		r = message_fail(&error);
	if (r != LMODEL_OK)
		return r;
	r = transform(t, files);
	lmodel_transform_free(t);
	return r;
}

const struct cmd cmd_transform = {
	.name = "transform",
	.synopsis = "[options] [ARCHIVE] IN OUT",
	.summary = "transform images for a model with a key",
	.about =
	"Transforms the image in IN, a PNG file, or the images of an array, a NumPy .npy\n"
	"file, as the model in ARCHIVE wants them. The key is an attachment of it, under\n"
	"a tier, or in a file: --key. \"-\" is standard input or output.\n",
	.options = options,
	.secrets = true,
	.least = 2,
	.most = 3,
	.missing = "IN or OUT",
	.run = run,
};
