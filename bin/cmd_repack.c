/* lmodel repack */
#include <string.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "progress.h"
#include "text.h"

static const char *output;
static bool force;
static struct option_level level;
static uint64_t chunk_size;
static unsigned jobs;

static const struct option_row options[] = {
	{ "output", 'o', "OUT", "write to OUT and leave ARCHIVE as it is", option_text, &output },
	{ "force", 'f', NULL, "replace OUT when it exists", option_flag, &force },
	OPTION_LEVEL(level),
	OPTION_CHUNK(chunk_size),
	OPTION_JOBS(jobs),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int run(int count, char **operands)
{
	struct lmodel_repack_options o = LMODEL_REPACK_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const char *target = output != NULL ? output : operands[0];
	char before[TEXT_HUMAN], after[TEXT_HUMAN];
	uint64_t old_size;
	int r;

	(void)count;
	if (strcmp(operands[0], "-") == 0 || (output != NULL && strcmp(output, "-") == 0))
		return message_usage(&cmd_repack, "repack works on files, not on standard streams");
	if (force && output == NULL)
		return message_usage(&cmd_repack, "--force is for -o OUT");
	old_size = size_of(operands[0]);
	o.run.jobs = jobs;
	o.recode = level.given || chunk_size > 0;
	o.level = (enum lmodel_level)level.level;
	o.chunk_bytes = chunk_size;
	o.overwrite = force;
	progress_begin(&o.run, "repack");
	r = lmodel_repack(operands[0], output, &o, &error);
	progress_end();
	if (r != LMODEL_OK)
		return message_fail(&error);
	message_detail("%s: %s -> %s", TEXT_QUOTE(target), text_human(before, old_size),
		       text_human(after, size_of(target)));
	return LMODEL_OK;
}

const struct cmd cmd_repack = {
	.name = "repack",
	.synopsis = "[-o OUT] [options] ARCHIVE",
	.summary = "write an archive anew: compact it, change its compression",
	.about =
	"Writes ARCHIVE anew, in its place or to OUT: without dead ranges, with room in\n"
	"the manifest. With --level or --chunk-size every chunk is coded anew.\n",
	.options = options,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
