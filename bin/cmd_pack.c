/* lmodel pack */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "progress.h"
#include "protect.h"
#include "samefile.h"
#include "signers.h"
#include "text.h"

#define SEED_MAX 64

static const char *output, *sign_key;
static struct option_list attachments;
static struct option_level level;
static uint64_t chunk_size;
static struct { unsigned char bytes[SEED_MAX]; size_t len; } seed;
static struct protect_args protect_args;
static bool force, json;
static unsigned jobs;

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static const char *option_seed(void *value, const char *argument)
{
	size_t len = strlen(argument);

	(void)value;
	if (len == 0 || len % 2 != 0 || len > sizeof(seed.bytes) * 2)
		return "is not 1 to 64 bytes of hexadecimal digits";
	for (size_t i = 0; i < len; i += 2) {
		int high = digit_of(argument[i]), low = digit_of(argument[i + 1]);

		if (high < 0 || low < 0)
			return "is not 1 to 64 bytes of hexadecimal digits";
		seed.bytes[i / 2] = (unsigned char)(high << 4 | low);
	}
	seed.len = len / 2;
	return NULL;
}

static const struct option_row options[] = {
	{ "output", 'o', "OUT", "the archive; \"-\" is standard output", option_text, &output },
	{ "force", 'f', NULL, "replace OUT when it exists", option_flag, &force },
	{ "attach", 0, "FILE[=NAME][@TIER]",
	  "carry a side file along, sealed for TIER if one is named; may be given again",
	  option_list, &attachments },
	OPTIONS_PROTECT(protect_args),
	{ "sign", 0, "KEY", "sign it with this Ed25519 SSH key, a file", option_text, &sign_key },
	OPTION_LEVEL(level),
	OPTION_CHUNK(chunk_size),
	{ "seed", 0, "HEX", "reproducible output: nothing random, no clock", option_seed, &seed },
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

/* The name of the only input, in the current directory; NULL where that does not tell. */
static char *default_output(int count, char **inputs)
{
	const char *base, *suffix;
	size_t len;

	if (count != 1 || strcmp(inputs[0], "-") == 0)
		return NULL;
	len = strlen(inputs[0]);
	while (len > 0 && inputs[0][len - 1] == '/')
		len--;
	inputs[0][len] = len > 0 ? '\0' : inputs[0][len];
	base = text_base(inputs[0]);
	if (base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return NULL;
	len = strlen(base);
	suffix = text_weights_suffix(base);
	if (suffix != NULL && suffix > base)
		len = (size_t)(suffix - base);
	return text_format("%.*s.lmodel", (int)len, base);
}

/* FILE[=NAME][@TIER]: split at the last '@' that no '/' follows, then at the last '='. Nothing
 * behind one of them is as if it was not there: so a FILE with an '@' or '=' ends with one more. */
static void split_attachment(char *text, struct lmodel_attach *attach)
{
	char *at = strrchr(text, '@'), *equals;

	*attach = (struct lmodel_attach){ .path = text };
	if (at != NULL && strchr(at, '/') == NULL) {
		*at = '\0';
		attach->tier = at[1] != '\0' ? at + 1 : NULL;
	}
	equals = strrchr(text, '=');
	if (equals != NULL) {
		*equals = '\0';
		attach->name = equals[1] != '\0' ? equals + 1 : NULL;
	}
}

static bool has_tier(const char *name)
{
	for (size_t i = 0; i < protect_args.tiers.count; i++)
		if (strcmp(protect_args.tiers.list[i].name, name) == 0)
			return true;
	return false;
}

static int split_attachments(char **texts, struct lmodel_attach *attach)
{
	for (size_t i = 0; i < attachments.count; i++) {
		texts[i] = text_format("%s", attachments.items[i]);
		split_attachment(texts[i], &attach[i]);
		if (attach[i].path[0] == '\0')
			return message_usage(&cmd_pack,
					     "option '--attach': %s is not FILE[=NAME][@TIER]",
					     TEXT_QUOTE(attachments.items[i]));
		if (attach[i].tier != NULL && !has_tier(attach[i].tier))
			return message_usage(&cmd_pack,
					     "option '--attach': there is no --tier %s (a FILE with "
					     "an '@' in its name ends with one more)",
					     TEXT_QUOTE(attach[i].tier));
	}
	return LMODEL_OK;
}

/* A tier without weights is one when there is something else in it. */
static int check_bare_tiers(const struct lmodel_attach *attach)
{
	for (size_t i = 0; i < protect_args.tiers.count; i++) {
		const struct lmodel_tier_amount *t = &protect_args.tiers.list[i];
		bool any = t->text == NULL || t->units > 0 || t->share > 0;

		for (size_t k = 0; k < attachments.count && !any; k++)
			any = attach[k].tier != NULL && strcmp(attach[k].tier, t->name) == 0;
		if (!any)
			return message_usage(&cmd_pack, "option '--tier': '%s=%s' is a tier of nothing",
					     t->name, t->text);
	}
	return LMODEL_OK;
}

/* What became of it, for -v and --json: read from the archive itself. */
static int report(const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char raw[TEXT_HUMAN], file[TEXT_HUMAN], ratio[TEXT_RATIO];
	struct lmodel_archive *archive;
	struct lmodel_info info;

	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return message_fail(&error);
	lmodel_info(archive, &info);
	message_detail("%s: %zu tensor%s, %s -> %s (%s)", TEXT_QUOTE(path), info.tensor_count,
		       text_plural(info.tensor_count), text_human(raw, info.tensor_bytes),
		       text_human(file, info.file_bytes),
		       text_ratio(ratio, info.file_bytes, info.tensor_bytes));
	if (json) {
		json_t *document = json_document();

		json_put(document, "output", json_text(path));
		json_put(document, "id", json_text(info.id));
		json_put(document, "content_root", json_text(info.content_root));
		json_put(document, "tensors", json_number(info.tensor_count));
		json_put(document, "aliases", json_number(info.alias_count));
		json_put(document, "attachments", json_number(info.attachment_count));
		json_put(document, "tiers", json_number(lmodel_tier_count(archive)));
		json_put(document, "slots", json_number(lmodel_slot_count(archive)));
		json_put(document, "signed",
			 json_bool(lmodel_signature_count(archive) > 0));
		json_put(document, "bytes", json_number(info.tensor_bytes));
		json_put(document, "stored_bytes", json_number(info.tensor_stored_bytes));
		json_put(document, "file_bytes", json_number(info.file_bytes));
		json_print(document);
	}
	lmodel_close(archive);
	return LMODEL_OK;
}

static int pack(const char *path, int count, char **inputs, const struct lmodel_attach *attach,
		const struct protect *protect)
{
	struct lmodel_pack_options o = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r;

	o.run.jobs = jobs;
	o.level = (enum lmodel_level)level.level;
	o.chunk_bytes = chunk_size;
	o.attach = attach;
	o.attach_count = attachments.count;
	o.seed = seed.bytes;
	o.seed_len = seed.len;
	o.overwrite = force;
	o.protect = protect_args.tiers.count > 0 ? &protect->options : NULL;
	progress_begin(&o.run, "pack");
	r = lmodel_pack(path, (const char *const *)inputs, (size_t)count, &o, &error);
	progress_end();
	if (r != LMODEL_OK)
		return message_fail(&error);
	grantees_notice_ssh(&protect->grantees);
	if (sign_key != NULL && lmodel_sign(path, sign_key, &error) != LMODEL_OK) {
		message_error("%s: packed, but not signed: %s", TEXT_QUOTE(path), error.message);
		return (int)error.code;
	}
	if ((json || message_verbose) && strcmp(path, "-") != 0)
		return report(path);
	return LMODEL_OK;
}

static bool reads_stdin(int count, char **inputs)
{
	for (int i = 0; i < count; i++)
		if (strcmp(inputs[i], "-") == 0)
			return true;
	return false;
}

static int run(int count, char **inputs)
{
	struct protect protect = { .passphrase_count = 0 };
	struct lmodel_attach *attach = calloc(attachments.count + 1, sizeof(*attach));
	char **texts = calloc(attachments.count + 1, sizeof(*texts));
	char *path = output != NULL ? text_format("%s", output) : default_output(count, inputs);
	const char *const beside[] = { protect_args.scores, protect_args.reference,
				       protect_args.ancestor };
	int r = LMODEL_OK;

	if (attach == NULL || texts == NULL)
		message_no_memory();
	if (path == NULL)
		r = message_usage(&cmd_pack,
				  "the input does not tell a name for the archive: -o OUT");
	else if (strcmp(path, "-") == 0 && json)
		r = message_usage(&cmd_pack, "--json and -o - both need standard output");
	else if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO))
		r = message_usage(&cmd_pack, "an archive is not written to a terminal");
	else if (strcmp(path, "-") == 0 && sign_key != NULL)
		r = message_usage(&cmd_pack, "--sign needs a file: -o OUT");
	if (r == LMODEL_OK)
		r = split_attachments(texts, attach);
	if (r == LMODEL_OK)
		r = check_bare_tiers(attach);
	if (r == LMODEL_OK)
		r = protect_gather(&cmd_pack, &protect_args, seed.len > 0,
				   reads_stdin(count, inputs), &protect);
	if (r == LMODEL_OK && sign_key != NULL)
		r = signers_check_key(sign_key);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_pack, path, (const char *const *)inputs, (size_t)count);
	for (size_t i = 0; i < attachments.count && r == LMODEL_OK; i++)
		r = samefile_check(&cmd_pack, path, &attach[i].path, 1);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_pack, path, beside, COUNT(beside));
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_pack, path, protect_args.like_keys.identities.items,
				   protect_args.like_keys.identities.count);
	if (r == LMODEL_OK)
		r = pack(path, count, inputs, attach, &protect);
	protect_free(&protect);
	for (size_t i = 0; i < attachments.count; i++)
		free(texts[i]);
	free(texts);
	free(attach);
	free(path);
	return r;
}

const struct cmd cmd_pack = {
	.name = "pack",
	.synopsis = "[-o OUT] [options] INPUT...",
	.summary = "make an archive",
	.about =
	"Makes an archive of model weights. INPUT is a file of safetensors, GGUF, NumPy,\n"
	"PyTorch or ONNX, a directory in the Hugging Face layout, or \"-\", standard input.\n"
	"Without -o the archive of a single INPUT gets its name, ending in .lmodel, in\n"
	"the current directory. With --tier some of the weights are encrypted; everybody\n"
	"can read the rest, and stand-ins in their place.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = -1,
	.missing = "INPUT",
	.run = run,
};
