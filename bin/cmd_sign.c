/* lmodel sign */
#include <stdio.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "signers.h"
#include "text.h"

static const char *key, *signature, *signers;
static bool print;

static const struct option_row options[] = {
	{ "key", 'k', "KEY", "sign with this Ed25519 SSH key, a file", option_text, &key },
	{ "print", 0, NULL, "write what is to be signed to standard output", option_flag, &print },
	{ "import", 0, "FILE", "take in a signature made by ssh-keygen or minisign", option_text,
	  &signature },
	{ "signers", 0, "FILE", "for a minisign signature: its public key", option_text, &signers },
	OPTIONS_COMMON,
};

static int check(const char *archive)
{
	int modes = (key != NULL) + print + (signature != NULL);

	if (modes == 0)
		return message_usage(&cmd_sign, "--key KEY, --print or --import FILE is missing");
	if (modes > 1)
		return message_usage(&cmd_sign, "--key, --print and --import exclude each other");
	if (signers != NULL && signature == NULL)
		return message_usage(&cmd_sign, "--signers is for --import FILE");
	if (!print && strcmp(archive, "-") == 0)
		return message_usage(&cmd_sign, "only --print works on standard streams");
	return LMODEL_OK;
}

/* Byte for byte: the signature is over just this. */
static int print_statement(const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive;
	struct lmodel_info info;

	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return message_fail(&error);
	lmodel_info(archive, &info);
	fputs(info.statement, stdout);
	lmodel_close(archive);
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r = check(operands[0]);

	(void)count;
	if (r != LMODEL_OK)
		return r;
	if (print)
		return print_statement(operands[0]);
	if (key != NULL && (r = signers_check_key(key)) != LMODEL_OK)
		return r;
	if (key != NULL)
		r = lmodel_sign(operands[0], key, &error);
	else
		r = lmodel_sign_import(operands[0], signature, signers, &error);
	if (r != LMODEL_OK)
		return message_fail(&error);
	message_detail("%s: %s", TEXT_QUOTE(operands[0]),
		       key != NULL ? "signed" : "the signature is in it");
	return LMODEL_OK;
}

const struct cmd cmd_sign = {
	.name = "sign",
	.synopsis = "[-k KEY | --print | --import FILE] [options] ARCHIVE",
	.summary = "sign an archive, for readers without its keys",
	.about =
	"Signs what ARCHIVE is with an Ed25519 SSH key, or takes in a signature that was\n"
	"made elsewhere of what --print writes. 'lmodel verify --signers FILE' checks it,\n"
	"and so does ssh-keygen. Weights are neither read nor written.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
