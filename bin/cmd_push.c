/* lmodel push */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "progress.h"
#include "text.h"
#include "transfers.h"

static bool plain_http, json;
static const char *from;
static uint64_t chunk;
static unsigned jobs;

static const struct option_row options[] = {
	{ "from", 0, "NAME", "take layers from this repository of the registry, if it has them",
	  option_text, &from },
	{ "chunk", 0, "SIZE", "send so much in one request; 16MiB is the default", option_size,
	  &chunk },
	OPTION_PLAIN_HTTP(plain_http),
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static void print_json(const char *archive, const char *reference,
		       const struct lmodel_push_report *report, json_t *layers)
{
	json_t *document = json_document();

	json_put(document, "archive", json_text(archive));
	json_put(document, "reference", json_text(reference));
	json_put(document, "digest", json_text(report->digest));
	json_put(document, "changed", json_bool(report->changed));
	json_put(document, "bytes_sent", json_number(report->sent));
	json_put(document, "bytes_received", json_number(report->received));
	json_put(document, "requests", json_number(report->requests));
	json_put(document, "grants", json_number(report->grants));
	json_put(document, "layers", layers);
	json_print(document);
}

static void tell(const char *reference, const struct lmodel_push_report *report)
{
	char *name = text_escape(reference);

	if (report->grants > 0)
		message_detail("%s: %zu grant%s of the artifact before go with it", name,
			       report->grants, text_plural(report->grants));
	message_detail("%s: %s%s, %" PRIu64 " bytes sent in %" PRIu64 " requests", name,
		       report->digest, report->changed ? "" : " as before", report->sent,
		       report->requests);
	free(name);
}

static int run(int count, char **operands)
{
	struct lmodel_push_options o = LMODEL_PUSH_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_push_report report;
	json_t *layers = json ? json_array() : NULL;
	int r = transfers_check(&cmd_push, operands[1]);

	(void)count;
	if (r == LMODEL_OK && strcmp(operands[0], "-") == 0)
		r = message_usage(&cmd_push, "push works on files, not on standard streams");
	if (r == LMODEL_OK) {
		o.run.jobs = jobs;
		o.plain_http = plain_http;
		o.from = from;
		o.chunk = chunk;
		o.layer = transfers_layer;
		transfers_begin(layers);
		progress_begin(&o.run, "push");
		r = lmodel_push(operands[0], operands[1], &o, &report, &error);
		progress_end();
		if (r != LMODEL_OK)
			r = message_fail(&error);
	}
	if (r != LMODEL_OK) {
		json_decref(layers);
		return r;
	}
	tell(operands[1], &report);
	if (json)
		print_json(operands[0], operands[1], &report, layers);
	return LMODEL_OK;
}

const struct cmd cmd_push = {
	.name = "push",
	.synopsis = "[options] ARCHIVE REFERENCE",
	.summary = "put an archive into a registry",
	.about =
	"Puts ARCHIVE into a registry of container images, under REFERENCE:\n"
	"[https://|http://]HOST[:PORT]/NAME[:TAG]. What the registry has is not sent\n"
	"again.\n",
	.options = options,
	.remote = REMOTE_TALKS,
	.least = 2,
	.most = 2,
	.missing = "ARCHIVE or REFERENCE",
	.run = run,
};
