/* lmodel verify */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "message.h"
#include "progress.h"
#include "text.h"

static bool repair, json;
static unsigned jobs;

static const struct option_row options[] = {
	{ "repair", 0, NULL, "first mend what a crash or a damaged manifest copy left", option_flag,
	  &repair },
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static struct {
	char *name;       /* of the archive, printable */
	json_t *findings; /* with --json */
	struct lmodel_verify_report report;
	bool repaired;
} state;

static void on_finding(void *context, enum lmodel_severity severity, const char *text)
{
	const char *kind = severity == LMODEL_NOTE ? "note" : "fault";

	(void)context;
	message_notice("%s: %s: %s", state.name, kind, text);
	if (json) {
		json_t *object = json_object();

		json_put(object, "severity", json_text(kind));
		json_put(object, "message", json_text(text));
		json_push(state.findings, object);
	}
}

static void print_json(int status)
{
	json_t *document = json_document();

	json_put(document, "ok", json_bool(status == LMODEL_OK));
	json_put(document, "status", json_number((uint64_t)status));
	json_put(document, "repaired", json_bool(state.repaired));
	json_put(document, "members", json_number(state.report.members));
	json_put(document, "chunks", json_number(state.report.chunks));
	json_put(document, "bytes", json_number(state.report.bytes));
	json_put(document, "faults", json_number(state.report.faults));
	json_put(document, "notes", json_number(state.report.notes));
	json_put(document, "findings", state.findings);
	json_print(document);
}

/* A failure that ended the check: the only finding there is, or the last one. */
static int broke_off(const struct lmodel_error *error)
{
	message_fail(error);
	state.report.faults++;
	if (json) {
		json_t *object = json_object();

		json_put(object, "severity", json_text("fault"));
		json_put(object, "message", json_text(error->message));
		json_push(state.findings, object);
	}
	return (int)error->code;
}

static int check(const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	struct lmodel_archive *archive;
	char size[TEXT_HUMAN];
	int r, changed = 0;

	if (repair && lmodel_repair(path, &changed, &error) != LMODEL_OK)
		return broke_off(&error);
	state.repaired = changed != 0;
	if (changed)
		message_notice("%s: repaired", state.name);
	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return broke_off(&error);
	progress_begin(&run, "verify");
	r = lmodel_verify(archive, &run, on_finding, &state.report, &error);
	progress_end();
	lmodel_close(archive);
	/* Faults have each been told; what stopped the check has not. */
	if (r != LMODEL_OK && (r != LMODEL_ECORRUPT || state.report.faults == 0))
		return broke_off(&error);
	if (r == LMODEL_OK)
		message_detail("%s: ok: %zu member%s, %" PRIu64 " chunk%s, %s", state.name,
			       state.report.members, text_plural(state.report.members),
			       state.report.chunks, text_plural(state.report.chunks),
			       text_human(size, state.report.bytes));
	return r;
}

static int run(int count, char **operands)
{
	int status;

	(void)count;
	state.name = text_archive(operands[0]);
	state.findings = json ? json_array() : NULL;
	status = check(operands[0]);
	if (json)
		print_json(status);
	free(state.name);
	return status;
}

const struct cmd cmd_verify = {
	.name = "verify",
	.synopsis = "[options] ARCHIVE",
	.summary = "check every byte",
	.about =
	"Reads ARCHIVE (\"-\": standard input) whole and checks every byte of it. One line\n"
	"on standard error for each fault (exit status 4) or note; -q leaves these out.\n",
	.options = options,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
