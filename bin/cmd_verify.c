/* lmodel verify */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "signers.h"
#include "text.h"

static struct key_options keys;
static struct signer_options signers;
static bool repair, json;
static unsigned jobs;

static const struct option_row options[] = {
	{ "repair", 0, NULL, "first mend what a crash or a damaged manifest copy left", option_flag,
	  &repair },
	OPTIONS_KEYS(keys),
	OPTIONS_SIGNERS(signers),
	OPTION_JOBS(jobs),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

static struct {
	char *name;       /* of the archive, printable */
	json_t *findings; /* with --json */
	json_t *proved;   /* with --json: tiers whose keys prove the archive */
	char *signed_by;  /* printable; NULL: nobody was asked for */
	struct lmodel_verify_report report;
	struct lmodel_keyring *ring; /* NULL: no key given */
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
	json_put(document, "proved", state.proved);
	json_put(document, "signed_by", json_text(state.signed_by));
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

/* What the keys say of the archive: the statement's MAC under the key of each tier that they open.
 * False when that broke the check off. */
static bool prove(struct lmodel_archive *archive, struct lmodel_error *error)
{
	if (state.ring == NULL)
		return true;
	if (lmodel_tier_count(archive) == 0) {
		message_notice("%s: nothing in it needs a key", state.name);
		return true;
	}
	if (lmodel_unlock(archive, state.ring, error) != LMODEL_OK)
		return error->code == LMODEL_ECORRUPT;
	for (size_t i = 0; i < lmodel_tier_count(archive); i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);

		if (!tier->open && !tier->positions_open)
			continue;
		message_detail("%s: the %s of tier %s proves it authentic", state.name,
			       tier->open ? "key" : "audit key", TEXT_QUOTE(tier->name));
		if (json)
			json_push(state.proved, json_text(tier->name));
	}
	return true;
}

static int check_bytes(struct lmodel_archive *archive)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_run run = { .jobs = jobs };
	int r;

	progress_begin(&run, "verify");
	r = lmodel_verify(archive, &run, on_finding, &state.report, &error);
	progress_end();
	/* Faults have each been told; what stopped the check has not. */
	if (r != LMODEL_OK && (r != LMODEL_ECORRUPT || state.report.faults == 0))
		return broke_off(&error);
	return r;
}

static void say_ok(void)
{
	char size[TEXT_HUMAN];

	message_detail("%s: ok: %zu member%s, %" PRIu64 " chunk%s, %s", state.name,
		       state.report.members, text_plural(state.report.members),
		       state.report.chunks, text_plural(state.report.chunks),
		       text_human(size, state.report.bytes));
}

/* What signatures and keys said, after the bytes. */
static int add_fault(int status, const struct lmodel_error *error)
{
	if (error->code != LMODEL_ECORRUPT)
		return status;
	on_finding(NULL, LMODEL_FAULT, error->message);
	state.report.faults++;
	return status == LMODEL_OK ? LMODEL_ECORRUPT : status;
}

static int check(const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT, forged = LMODEL_ERROR_INIT;
	struct lmodel_error unproven = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive;
	int r, changed = 0;

	if (repair && lmodel_repair(path, &changed, &error) != LMODEL_OK)
		return broke_off(&error);
	state.repaired = changed != 0;
	if (changed)
		message_notice("%s: repaired", state.name);
	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return broke_off(&error);
	r = signers_verify(archive, path, &signers, &state.signed_by, &unproven);
	if (r != LMODEL_OK && r != LMODEL_ECORRUPT) {
		lmodel_close(archive);
		return broke_off(&unproven);
	}
	if (!prove(archive, &forged)) {
		lmodel_close(archive);
		return broke_off(&forged);
	}
	r = check_bytes(archive);
	lmodel_close(archive);
	/* Forged rows, all of them well-formed: the bytes have nothing to say of that. */
	r = add_fault(r, &unproven);
	r = add_fault(r, &forged);
	if (r == LMODEL_OK)
		say_ok();
	return r;
}

static int run(int count, char **operands)
{
	int status = keys_check(&cmd_verify, &keys, operands[0]);

	(void)count;
	if (status == LMODEL_OK)
		status = signers_check(&cmd_verify, &signers);
	if (status == LMODEL_OK)
		status = keys_ring(&state.ring, &keys, false);
	if (status != LMODEL_OK)
		return status;
	state.name = text_archive(operands[0]);
	state.findings = json ? json_array() : NULL;
	state.proved = json ? json_array() : NULL;
	status = check(operands[0]);
	if (json)
		print_json(status);
	lmodel_keyring_free(state.ring);
	free(state.signed_by);
	free(state.name);
	return status;
}

const struct cmd cmd_verify = {
	.name = "verify",
	.synopsis = "[options] ARCHIVE",
	.summary = "check every byte",
	.about =
	"Reads ARCHIVE (\"-\": standard input) whole and checks every byte of it. One line\n"
	"on standard error for each fault (exit status 4) or note; -q leaves these out.\n"
	"A key proves, besides, that the archive is what was packed; --signers, that its\n"
	"publisher says so.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
