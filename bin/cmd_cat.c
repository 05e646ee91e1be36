/* lmodel cat */
#include <stdio.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "remote.h"
#include "signers.h"
#include "text.h"

static struct level_options level;
static struct key_options keys;
static struct remote_options remote;
static struct signer_options signers;
static unsigned jobs;
static bool raw;

static const struct option_row options[] = {
	{ "raw", 0, NULL, "the bytes alone, without a .npy header", option_flag, &raw },
	OPTIONS_KEYS(keys),
	OPTIONS_LEVEL(level),
	OPTIONS_SIGNERS(signers),
	OPTIONS_REMOTE(remote),
	OPTION_JOBS(jobs),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static int cat(struct lmodel_archive *archive, char **operands)
{
	const struct lmodel_tensor *tensor = lmodel_tensor_find(archive, operands[1]);
	const struct lmodel_attachment *file = lmodel_attachment_find(archive, operands[1]);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	bool unlocked;
	int r;

	if (tensor == NULL && file == NULL) {
		message_error("%s: no tensor or side file %s", TEXT_QUOTE(operands[0]),
			      TEXT_QUOTE(operands[1]));
		return LMODEL_EUSAGE;
	}
	r = tensor != NULL ? keys_use_level(archive, operands[0], &keys, &level)
			   : keys_unlock(archive, &keys, !level.base, &unlocked);
	if (r != LMODEL_OK)
		return r;
	progress_begin(&run, "cat");
	r = tensor != NULL ? lmodel_cat(archive, tensor, STDOUT_FILENO, raw, &run, &error)
			   : lmodel_attachment_cat(archive, file, STDOUT_FILENO, &run, &error);
	progress_end();
	return r != LMODEL_OK ? message_fail(&error) : LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_archive *archive;
	int r;

	(void)count;
	r = keys_check(&cmd_cat, &keys, operands[0]);
	if (r == LMODEL_OK)
		r = keys_check_level(&cmd_cat, &level);
	if (r == LMODEL_OK)
		r = signers_check(&cmd_cat, &signers);
	if (r != LMODEL_OK)
		return r;
	if (isatty(STDOUT_FILENO))
		return message_usage(&cmd_cat, "weights are not written to a terminal");
	r = remote_open(&archive, operands[0], &remote);
	if (r != LMODEL_OK)
		return r;
	r = signers_demand(archive, operands[0], &signers);
	if (r == LMODEL_OK)
		r = cat(archive, operands);
	remote_close(archive);
	return r;
}

const struct cmd cmd_cat = {
	.name = "cat",
	.synopsis = "[options] ARCHIVE NAME",
	.summary = "write one tensor or side file to standard output",
	.about =
	"Writes one tensor of ARCHIVE (\"-\": standard input) to standard output as a NumPy\n"
	".npy file. NAME is its whole name. Of an archive with tiers it is the weights\n"
	"that the keys open. When no tensor has that name a side file is written, as it\n"
	"is.\n",
	.options = options,
	.secrets = true,
	.remote = REMOTE_READS,
	.least = 2,
	.most = 2,
	.missing = "ARCHIVE or NAME",
	.run = run,
};
