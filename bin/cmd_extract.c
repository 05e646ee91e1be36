/* lmodel extract */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "remote.h"
#include "samefile.h"
#include "signers.h"
#include "text.h"

static const char *output, *directory;
static enum lmodel_format format;
static bool format_given;
static struct option_list excludes;
static uint64_t max_shard_size;
static struct level_options level;
static struct key_options keys;
static struct remote_options remote;
static struct signer_options signers;
static bool force, json;
static unsigned jobs;

static const char *const format_names[] = {
	[LMODEL_FORMAT_SAFETENSORS] = "safetensors",
	[LMODEL_FORMAT_NATIVE] = "native",
	[LMODEL_FORMAT_NPZ] = "npz",
	[LMODEL_FORMAT_NPY] = "npy",
	[LMODEL_FORMAT_GGUF] = "gguf",
};

static const char *option_format(void *value, const char *argument)
{
	for (size_t i = 0; i < COUNT(format_names); i++)
		if (strcmp(argument, format_names[i]) == 0) {
			*(enum lmodel_format *)value = (enum lmodel_format)i;
			format_given = true;
			return NULL;
		}
	return "is not one of safetensors, npz, npy, gguf, native";
}

static const struct option_row options[] = {
	{ "output", 'o', "OUT", "a file, a directory (DIR/), or \"-\": standard output",
	  option_text, &output },
	{ "directory", 'C', "DIR", "put OUT below DIR", option_text, &directory },
	{ "force", 'f', NULL, "replace files that exist; lose what the format cannot keep",
	  option_flag, &force },
	{ "format", 0, "FORMAT", "safetensors, npz, npy, gguf, or native: the inputs as they were",
	  option_format, &format },
	{ "exclude", 0, "PATTERN", "leave out what PATTERN picks; may be given again", option_list,
	  &excludes },
	{ "max-shard-size", 0, "SIZE",
	  "split into files of SIZE tensor bytes at most; needs -o DIR/", option_size,
	  &max_shard_size },
	OPTIONS_KEYS(keys),
	OPTIONS_LEVEL(level),
	OPTIONS_SIGNERS(signers),
	OPTIONS_REMOTE(remote),
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

/* The archive's name without .lmodel, or that of its repository; "model" for standard input. */
static char *archive_stem(const char *path)
{
	const char *base = text_base(path);
	size_t len = strlen(base);

	if (strncasecmp(path, "oci://", 6) == 0)
		len = strcspn(base, ":@");
	else if (text_ends(base, ".lmodel"))
		len -= strlen(".lmodel");
	if (strcmp(path, "-") == 0 || len == 0)
		return text_format("model");
	return text_format("%.*s", (int)len, base);
}

/* The archive's author does not choose hidden files, or files of other kinds, here. */
static bool safe_default(const char *name)
{
	return text_weights_suffix(name) != NULL && text_base(name)[0] != '.';
}

/* What files of a format usually end in. */
static const char *usual_suffix(const char *source_format)
{
	return strncmp(source_format, "pytorch", 7) == 0 ? "pth" : source_format;
}

/* When it is not given the format is what the output's name ends in: that of the input itself, or
 * of one that can be made. */
static void choose_format(const struct lmodel_archive *archive, bool whole)
{
	const char *dot = output != NULL ? strrchr(text_base(output), '.') : NULL;
	struct lmodel_info info;

	lmodel_info(archive, &info);
	if (format_given || dot == NULL || max_shard_size > 0)
		return;
	if (strcmp(dot, ".npz") == 0)
		format = LMODEL_FORMAT_NPZ;
	else if (strcmp(dot, ".npy") == 0)
		format = LMODEL_FORMAT_NPY;
	else if (strcmp(dot, ".gguf") == 0)
		format = LMODEL_FORMAT_GGUF;
	else if (whole && info.source_count == 1 && strcmp(dot, ".safetensors") != 0 &&
		 safe_default(output) && text_ends(lmodel_source_at(archive, 0)->name, dot))
		format = LMODEL_FORMAT_NATIVE;
}

static char *default_output(const struct lmodel_archive *archive, const char *path)
{
	char *stem = archive_stem(path), *name;
	struct lmodel_info info;

	lmodel_info(archive, &info);
	if (format != LMODEL_FORMAT_NATIVE)
		name = text_format("%s.%s", stem, format_names[format]);
	else if (info.source_count == 1 && safe_default(lmodel_source_at(archive, 0)->name))
		name = text_format("%s", text_base(lmodel_source_at(archive, 0)->name));
	else if (info.source_count == 1)
		name = text_format("%s.%s", stem,
				   usual_suffix(lmodel_source_at(archive, 0)->format));
	else
		name = text_format("%s/", stem);
	free(stem);
	return name;
}

/* The output as the library takes it. A name from the archive must not turn into "-". */
static char *output_path(const struct lmodel_archive *archive, const char *path)
{
	char *name, *joined;

	if (output != NULL && strcmp(output, "-") == 0)
		return text_format("-");
	name = output != NULL ? text_format("%s", output) : default_output(archive, path);
	if (directory == NULL && strcmp(name, "-") != 0)
		return name;
	if (name[0] == '/')
		return name;
	joined = text_format("%s/%s", directory != NULL ? directory : ".", name);
	free(name);
	return joined;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return text_ends(path, "/") || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int report(const struct lmodel_archive *archive, const char *path, size_t pattern_count,
		  char **patterns)
{
	const struct lmodel_tier *tier = lmodel_tier_in_use(archive);
	const struct lmodel_tensor *t;
	uint64_t bytes = 0, tensors = 0;
	char size[TEXT_HUMAN];
	json_t *document;

	for (size_t i = 0; (t = lmodel_tensor_at(archive, i)) != NULL; i++) {
		bool picked = pattern_count == 0;

		for (size_t p = 0; p < pattern_count && !picked; p++)
			picked = lmodel_match(patterns[p], t->name);
		for (size_t x = 0; x < excludes.count && picked; x++)
			picked = !lmodel_match(excludes.items[x], t->name);
		tensors += picked;
		bytes += picked ? t->bytes : 0;
	}
	message_detail("%s: %ju tensor%s, %s%s%s", TEXT_QUOTE(path), (uintmax_t)tensors,
		       text_plural(tensors), text_human(size, bytes),
		       tier != NULL ? ", tier " : "", tier != NULL ? TEXT_QUOTE(tier->name) : "");
	if (!json)
		return LMODEL_OK;
	document = json_document();
	json_put(document, "output", json_text(path));
	json_put(document, "format", json_text(format_names[format]));
	json_put(document, "tier", json_text(tier != NULL ? tier->name : NULL));
	json_put(document, "tensors", json_number(tensors));
	json_put(document, "bytes", json_number(bytes));
	json_print(document);
	return LMODEL_OK;
}

static int extract(struct lmodel_archive *archive, const char *path, int pattern_count,
		   char **patterns)
{
	struct lmodel_extract_options o = LMODEL_EXTRACT_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r;

	if (max_shard_size > 0 && !is_directory(path))
		return message_usage(&cmd_extract, "--max-shard-size needs a directory: -o DIR/");
	o.run.jobs = jobs;
	o.format = format;
	o.patterns = (const char *const *)patterns;
	o.pattern_count = (size_t)pattern_count;
	o.excludes = excludes.items;
	o.exclude_count = excludes.count;
	o.max_shard_bytes = max_shard_size;
	o.overwrite = o.lossy = force;
	progress_begin(&o.run, "extract");
	r = lmodel_extract(archive, path, &o, &error);
	progress_end();
	if (r != LMODEL_OK)
		return message_fail(&error);
	return report(archive, path, o.pattern_count, patterns);
}

static int check_options(int pattern_count)
{
	bool stream = output != NULL && strcmp(output, "-") == 0;

	if (format == LMODEL_FORMAT_NATIVE && (pattern_count > 0 || excludes.count > 0))
		return message_usage(&cmd_extract,
				     "--format native gives whole files: no patterns");
	if (format == LMODEL_FORMAT_NATIVE && max_shard_size > 0)
		return message_usage(&cmd_extract, "--format native keeps the files as they were: "
						   "no --max-shard-size");
	if (max_shard_size > 0 && (output == NULL || stream))
		return message_usage(&cmd_extract, "--max-shard-size needs a directory: -o DIR/");
	if (stream && json)
		return message_usage(&cmd_extract, "--json and -o - both need standard output");
	if (stream && isatty(STDOUT_FILENO))
		return message_usage(&cmd_extract, "weights are not written to a terminal");
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_archive *archive;
	char *path;
	int r = check_options(count - 1);

	if (r == LMODEL_OK)
		r = keys_check(&cmd_extract, &keys, operands[0]);
	if (r == LMODEL_OK)
		r = keys_check_level(&cmd_extract, &level);
	if (r == LMODEL_OK)
		r = signers_check(&cmd_extract, &signers);
	if (r != LMODEL_OK)
		return r;
	r = remote_open(&archive, operands[0], &remote);
	if (r != LMODEL_OK)
		return r;
	r = signers_demand(archive, operands[0], &signers);
	if (r == LMODEL_OK)
		r = keys_use_level(archive, operands[0], &keys, &level);
	if (r == LMODEL_OK) {
		choose_format(archive, count == 1 && excludes.count == 0);
		path = output_path(archive, operands[0]);
		r = samefile_check(&cmd_extract, path, (const char *const *)operands, 1);
		if (r == LMODEL_OK)
			r = samefile_check(&cmd_extract, path, keys.identities.items,
					   keys.identities.count);
		if (r == LMODEL_OK)
			r = extract(archive, path, count - 1, operands + 1);
		free(path);
	}
	remote_close(archive);
	return r;
}

const struct cmd cmd_extract = {
	.name = "extract",
	.synopsis = "[-o OUT] [options] ARCHIVE [PATTERN...]",
	.summary = "get the weights out",
	.about =
	"Writes the weights of ARCHIVE (\"-\": standard input), or those of the tensors\n"
	"that a PATTERN picks, to OUT, or to a file in the current directory that has\n"
	"the archive's name, ending in .safetensors or in what --format says. Without\n"
	"--format an OUT that ends in .npz, .npy or .gguf, or as the one input did, says\n"
	"the format. Side files are written into directories only. Of an archive with\n"
	"tiers it is the weights of the highest tier that the keys open, without a key\n"
	"the public ones.\n",
	.options = options,
	.secrets = true,
	.remote = REMOTE_READS,
	.least = 1,
	.most = -1,
	.missing = "ARCHIVE",
	.run = run,
};
