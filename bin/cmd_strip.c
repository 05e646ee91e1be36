/* lmodel strip */
#include <string.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "progress.h"
#include "samefile.h"
#include "text.h"

static const char *output, *tier;
static bool base, force;
static unsigned jobs;

static const struct option_row options[] = {
	{ "output", 'o', "OUT", "the copy; has to be given", option_text, &output },
	{ "force", 'f', NULL, "replace OUT when it exists", option_flag, &force },
	{ "tier", 0, "NAME", "leave out the tiers above this one", option_text, &tier },
	{ "base", 0, NULL, "leave out all tiers", option_flag, &base },
	OPTION_JOBS(jobs),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int check_options(const char *archive)
{
	if (tier != NULL && base)
		return message_usage(&cmd_strip, "--tier and --base exclude each other");
	if (tier == NULL && !base)
		return message_usage(&cmd_strip, "--tier NAME or --base is missing");
	if (output == NULL)
		return message_usage(&cmd_strip, "-o OUT is missing");
	if (strcmp(archive, "-") == 0 || strcmp(output, "-") == 0)
		return message_usage(&cmd_strip, "strip works on files, not on standard streams");
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_strip_options o = LMODEL_STRIP_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char before[TEXT_HUMAN], after[TEXT_HUMAN];
	int r = check_options(operands[0]);

	(void)count;
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_strip, output, (const char *const *)operands, 1);
	if (r != LMODEL_OK)
		return r;
	o.run.jobs = jobs;
	o.overwrite = force;
	progress_begin(&o.run, "strip");
	r = lmodel_strip(operands[0], tier, output, &o, &error);
	progress_end();
	if (r != LMODEL_OK)
		return message_fail(&error);
	message_detail("%s: %s -> %s", TEXT_QUOTE(output), text_human(before, size_of(operands[0])),
		       text_human(after, size_of(output)));
	return LMODEL_OK;
}

const struct cmd cmd_strip = {
	.name = "strip",
	.synopsis = "[options] ARCHIVE",
	.summary = "copy an archive without its higher tiers",
	.about =
	"Writes a copy of ARCHIVE to OUT that has the encrypted shards of the tiers up to\n"
	"NAME alone, or none of them. Needs no key. Slots, statement and signatures stay:\n"
	"whoever has a key can still tell that the rest is as it was packed.\n",
	.options = options,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
