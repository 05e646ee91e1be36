/* lmodel audit */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "audit.h"
#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "progress.h"
#include "remote.h"
#include "samefile.h"
#include "text.h"

struct format_choice {
	bool given;
	enum positions_format format;
};

static struct key_options keys;
static const char *against, *bom, *positions, *tier;
static struct format_choice format;
static struct remote_options remote;
static bool json, force, no_detection;

static const char *option_format(void *value, const char *argument)
{
	static const char *const names[] = { "ranges", "npy", "json" };
	struct format_choice *choice = value;

	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(argument, names[i]) == 0) {
			*choice = (struct format_choice){ true, (enum positions_format)i };
			return NULL;
		}
	return "is not one of ranges, npy, json";
}

static const struct option_row options[] = {
	{ "positions", 0, "TENSOR", "print which units of a tensor are hidden, nothing else",
	  option_text, &positions },
	{ "tier", 0, "NAME", "with --positions: by this tier alone", option_text, &tier },
	{ "format", 0, "FORMAT", "with --positions: ranges, npy or json", option_format, &format },
	{ "against", 0, "OTHER", "what comparing with another release gives away", option_text,
	  &against },
	{ "cyclonedx", 0, "FILE", "write a CycloneDX 1.6 bill of materials", option_text, &bom },
	{ "force", 'f', NULL, "replace that file when it is there", option_flag, &force },
	{ "no-detection", 0, NULL, "leave the detection test out", option_flag, &no_detection },
	OPTIONS_KEYS(keys),
	OPTIONS_REMOTE(remote),
	OPTION_JSON(json),
	OPTION_PROGRESS,
	OPTIONS_COMMON,
};

/* ---- another release ---- */

struct comparison {
	struct lmodel_archive *other;
	struct lmodel_audit_comparison sum;
	struct lmodel_audit_change *changes;
	size_t count;
};

static struct comparison other;

static void keep_change(void *context, const struct lmodel_audit_change *change)
{
	struct lmodel_audit_change *more;

	(void)context;
	more = realloc(other.changes, (other.count + 1) * sizeof(*more));
	if (more == NULL)
		message_no_memory();
	other.changes = more;
	more[other.count++] = *change;
}

/* ---- keys ---- */

/* The key that was named has to open the archive; the other release may be under another one. */
static int unlock(struct lmodel_archive *archive, const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	char *name = text_archive(path);
	int r = LMODEL_OK;

	if (lmodel_tier_count(archive) == 0) {
		if (keys_given(&keys))
			message_notice("%s: nothing in it needs a key", name);
		free(name);
		return LMODEL_OK;
	}
	free(name);
	r = keys_ring(&ring, &keys, false);
	if (r != LMODEL_OK || ring == NULL)
		return r;
	if (lmodel_unlock(archive, ring, &error) != LMODEL_OK)
		r = message_fail(&error);
	if (r == LMODEL_OK && other.other != NULL && lmodel_tier_count(other.other) > 0) {
		int code = lmodel_unlock(other.other, ring, &error);

		if (code == LMODEL_ENOKEY)
			message_notice("%s", error.message);
		else if (code != LMODEL_OK)
			r = message_fail(&error);
	}
	lmodel_keyring_free(ring);
	return r;
}

/* ---- the report ---- */

static int tell(const struct lmodel_archive *archive, const char *path,
		const struct lmodel_audit_report *report)
{
	const struct audit_against compared = {
		.name = against, .sum = &other.sum, .changes = other.changes,
		.change_count = other.count,
	};
	const struct audit_against *with = against != NULL ? &compared : NULL;
	int r = LMODEL_OK;

	if (bom != NULL)
		r = audit_cyclonedx(archive, path, report, bom, force);
	if (bom == NULL || strcmp(bom, "-") != 0) {
		if (json)
			audit_print_json(archive, report, with);
		else if (bom == NULL || !message_quiet)
			audit_print(archive, path, report, with);
	}
	if (r == LMODEL_OK && report->finding_count > 0) {
		char *name = text_archive(path);

		message_error("%s: %zu finding%s", name, report->finding_count,
			      text_plural(report->finding_count));
		free(name);
		return LMODEL_ECORRUPT;
	}
	return r;
}

static int report(struct lmodel_archive *archive, const char *path)
{
	struct lmodel_audit_options how = LMODEL_AUDIT_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_audit_report *made = NULL;
	int r;

	how.no_detection = no_detection;
	progress_begin(&how.run, "audit");
	r = lmodel_audit(archive, &how, &made, &error);
	if (r == LMODEL_OK && against != NULL)
		r = lmodel_audit_against(archive, other.other, &how.run, keep_change, &other.sum,
					 &error);
	progress_end();
	r = r == LMODEL_OK ? tell(archive, path, made) : message_fail(&error);
	lmodel_audit_free(made);
	free(other.changes);
	return r;
}

/* ---- */

static int check(const char *path)
{
	int r = keys_check(&cmd_audit, &keys, path);

	if (r != LMODEL_OK)
		return r;
	if (positions == NULL && (tier != NULL || format.given))
		return message_usage(&cmd_audit, "--%s goes with --positions",
				     tier != NULL ? "tier" : "format");
	if (positions != NULL && (json || bom != NULL || against != NULL || no_detection))
		return message_usage(&cmd_audit,
				     "--positions prints positions alone: not with --%s",
				     json ? "json: --format json" : bom != NULL ? "cyclonedx" :
				     against != NULL ? "against" : "no-detection");
	if (bom == NULL && force)
		return message_usage(&cmd_audit, "--force goes with --cyclonedx");
	if (bom != NULL && strcmp(bom, "-") == 0 && json)
		return message_usage(&cmd_audit, "one document alone goes to standard output");
	if (against != NULL && strcmp(against, "-") == 0)
		return message_usage(&cmd_audit, "--against takes a file");
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	struct lmodel_archive *archive = NULL;
	int r = check(operands[0]);

	(void)count;
	if (against != NULL)
		against = remote_name(against);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_audit, bom, (const char *const *)operands, 1);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_audit, bom, &against, 1);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_audit, bom, keys.identities.items, keys.identities.count);
	if (r != LMODEL_OK)
		return r;
	r = remote_open(&archive, operands[0], &remote);
	if (r == LMODEL_OK && against != NULL)
		r = remote_open(&other.other, against, &remote);
	if (r == LMODEL_OK)
		r = unlock(archive, operands[0]);
	if (r == LMODEL_OK && positions != NULL)
		r = audit_positions(archive, operands[0], positions, tier, format.format);
	else if (r == LMODEL_OK)
		r = report(archive, operands[0]);
	remote_close(archive);
	remote_close(other.other);
	return r;
}

const struct cmd cmd_audit = {
	.name = "audit",
	.synopsis = "[options] ARCHIVE",
	.summary = "tell what is encrypted, where, and how well it hides",
	.about =
	"Tells what of ARCHIVE (\"-\": standard input) is encrypted, where, and how well it\n"
	"hides. Without a key: what the manifest discloses, with upper bounds. A key of\n"
	"an auditor, a holder or an owner gives exact sets, and the detection test of the\n"
	"tiers that it opens. No hidden value is read, whatever the key. Exit status 4\n"
	"when something does not agree (findings). ARCHIVE may be an address (https://,\n"
	"oci://).\n",
	.options = options,
	.secrets = true,
	.remote = REMOTE_READS,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
