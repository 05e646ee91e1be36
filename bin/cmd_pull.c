/* lmodel pull */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "samefile.h"
#include "signers.h"
#include "text.h"
#include "transfers.h"

static const char *output, *tier;
static bool base, force, plain_http, json;
static struct key_options keys;
static struct signer_options signers;
static unsigned jobs;

static const struct option_row options[] = {
	{ "output", 'o', "OUT", "the file; the last part of NAME and .lmodel is the default",
	  option_text, &output },
	{ "force", 'f', NULL, "replace OUT when it is something else than this archive",
	  option_flag, &force },
	{ "tier", 0, "NAME", "fetch the tiers up to this one", option_text, &tier },
	{ "base", 0, NULL, "fetch no tier", option_flag, &base },
	OPTIONS_KEYS(keys),
	OPTIONS_SIGNERS(signers),
	OPTION_PLAIN_HTTP(plain_http),
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

/* What the library calls it when nobody says. */
static char *output_path(const char *reference)
{
	const char *name = text_base(reference);

	return output != NULL ? text_format("%s", output) :
				text_format("%.*s.lmodel", (int)strcspn(name, ":@"), name);
}

static int check_options(const char *reference)
{
	int r = transfers_check(&cmd_pull, reference);

	if (r == LMODEL_OK && tier != NULL && base)
		r = message_usage(&cmd_pull, "--tier and --base exclude each other");
	if (r == LMODEL_OK && output != NULL && strcmp(output, "-") == 0)
		r = message_usage(&cmd_pull, "pull writes a file, no standard stream");
	if (r == LMODEL_OK)
		r = keys_check(&cmd_pull, &keys, reference);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_pull, output, keys.identities.items, keys.identities.count);
	return r == LMODEL_OK ? signers_check(&cmd_pull, &signers) : r;
}

static void print_json(const char *reference, const char *path,
		       const struct lmodel_pull_report *report, json_t *layers)
{
	json_t *document = json_document();

	json_put(document, "reference", json_text(reference));
	json_put(document, "output", json_text(path));
	json_put(document, "digest", json_text(report->digest));
	json_put(document, "changed", json_bool(report->changed));
	json_put(document, "bytes_received", json_number(report->received));
	json_put(document, "bytes_copied", json_number(report->copied));
	json_put(document, "requests", json_number(report->requests));
	json_put(document, "tier", json_text(report->tier[0] != '\0' ? report->tier : NULL));
	json_put(document, "absent", json_number(report->absent));
	json_put(document, "grant", json_text(report->grant));
	json_put(document, "signed_by", json_text(report->signed_by));
	json_put(document, "layers", layers);
	json_print(document);
}

static void tell(const char *path, const struct lmodel_pull_report *report)
{
	if (report->grant != NULL)
		message_notice("%s: the grant, to be given with the key: extract -i KEY -i GRANT",
			       TEXT_QUOTE(report->grant));
	if (report->signed_by != NULL)
		message_detail("%s: signed by %s", TEXT_QUOTE(path), TEXT_QUOTE(report->signed_by));
	if (report->absent > 0)
		message_detail("%s: %zu tier%s not in this file", TEXT_QUOTE(path), report->absent,
			       report->absent == 1 ? " is" : "s are");
	message_detail("%s: %s%s, %" PRIu64 " bytes received in %" PRIu64 " requests, %" PRIu64
		       " were there", TEXT_QUOTE(path), report->digest,
		       report->changed ? "" : " as before", report->received, report->requests,
		       report->copied);
}

static int pull(const char *reference, struct lmodel_keyring *ring)
{
	struct lmodel_pull_options o = LMODEL_PULL_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_pull_report report;
	json_t *layers = json ? json_array() : NULL;
	char *path = output_path(reference);
	int r;

	o.run.jobs = jobs;
	o.plain_http = plain_http;
	o.output = output;
	o.tier = tier;
	o.base = base;
	o.keyring = ring;
	o.overwrite = force;
	o.allow_rollback = keys.allow_rollback;
	o.signers = signers.file;
	o.layer = transfers_layer;
	transfers_begin(layers);
	progress_begin(&o.run, "pull");
	r = lmodel_pull(reference, &o, &report, &error);
	progress_end();
	if (r != LMODEL_OK) {
		json_decref(layers);
		free(path);
		return message_fail(&error);
	}
	tell(path, &report);
	if (json)
		print_json(reference, path, &report, layers);
	lmodel_pull_report_free(&report);
	free(path);
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_keyring *ring = NULL;
	int r = check_options(operands[0]);

	(void)count;
	if (r == LMODEL_OK)
		r = keys_ring(&ring, &keys, false);
	if (r == LMODEL_OK)
		r = pull(operands[0], ring);
	lmodel_keyring_free(ring);
	return r;
}

const struct cmd cmd_pull = {
	.name = "pull",
	.synopsis = "[options] REFERENCE",
	.summary = "fetch an archive from a registry",
	.about =
	"Fetches an archive that push has put into a registry, checks every byte of it,\n"
	"and writes it to OUT; with --tier or --base a part, which a later pull\n"
	"completes. What OUT has already is not fetched. A key finds the grant that was\n"
	"attached for it.\n",
	.options = options,
	.remote = REMOTE_TALKS,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "REFERENCE",
	.run = run,
};
