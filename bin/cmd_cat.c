/* lmodel cat */
#include <stdio.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "progress.h"
#include "text.h"

static bool raw;
static unsigned jobs;

static const struct option_row options[] = {
	{ "raw", 0, NULL, "the bytes alone, without a .npy header", option_flag, &raw },
	OPTION_JOBS(jobs),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static int run(int count, char **operands)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	const struct lmodel_tensor *tensor;
	struct lmodel_archive *archive;
	int r;

	(void)count;
	if (isatty(STDOUT_FILENO))
		return message_usage(&cmd_cat, "weights are not written to a terminal");
	if (lmodel_open(&archive, operands[0], &error) != LMODEL_OK)
		return message_fail(&error);
	tensor = lmodel_tensor_find(archive, operands[1]);
	if (tensor == NULL) {
		message_error("%s: no tensor %s", TEXT_QUOTE(operands[0]), TEXT_QUOTE(operands[1]));
		lmodel_close(archive);
		return LMODEL_EUSAGE;
	}
	progress_begin(&run, "cat");
	r = lmodel_cat(archive, tensor, STDOUT_FILENO, raw, &run, &error);
	progress_end();
	lmodel_close(archive);
	return r != LMODEL_OK ? message_fail(&error) : LMODEL_OK;
}

const struct cmd cmd_cat = {
	.name = "cat",
	.synopsis = "[options] ARCHIVE TENSOR",
	.summary = "write one tensor to standard output",
	.about =
	"Writes one tensor of ARCHIVE (\"-\": standard input) to standard output as a NumPy\n"
	".npy file. TENSOR is its whole name.\n",
	.options = options,
	.least = 2,
	.most = 2,
	.missing = "ARCHIVE or TENSOR",
	.run = run,
};
