/* lmodel grant */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "keys.h"
#include "message.h"
#include "recipients.h"
#include "samefile.h"
#include "text.h"

static struct key_options owners; /* -i and --allow-rollback alone */
static struct passphrase_source source;
static struct option_list recipients, files;
static const char *tier, *label, *detached, *book, *push;
static bool ask, audit, owner, force, plain_http, json;

static const struct option_row options[] = {
	{ "identity", 'i', "OWNER", "an owner's key file; may be given again", option_list,
	  &owners.identities },
	{ "tier", 0, "NAME", "let in up to this tier", option_text, &tier },
	{ "audit", 0, NULL, "let see what is encrypted, and no value of it", option_flag, &audit },
	{ "owner", 0, NULL, "let read all, grant and revoke", option_flag, &owner },
	{ "recipient", 'r', "RECIPIENT", "age1... or an ssh-ed25519 key; may be given again",
	  option_list, &recipients },
	{ "recipients-file", 'R', "FILE", "recipients, one a line; may be given again",
	  option_list, &files },
	{ "passphrase", 0, NULL, "ask for a passphrase to let in by", option_flag, &ask },
	OPTIONS_PASSPHRASE_SOURCE(source),
	{ "label", 0, "LABEL", "what the owner's book, which is sealed, says of them",
	  option_text, &label },
	{ "detached", 0, "FILE", "write the grant to FILE and leave ARCHIVE as it is", option_text,
	  &detached },
	{ "push", 0, "REFERENCE", "attach the grant to the archive in a registry, which does not "
	  "change", option_text, &push },
	OPTION_PLAIN_HTTP(plain_http),
	{ "force", 'f', NULL, "replace the FILE of --detached when it exists", option_flag,
	  &force },
	{ "book", 0, "FILE", "where detached grants are written down, sealed", option_text, &book },
	OPTION_ROLLBACK(owners),
	OPTION_JSON(json),
	OPTIONS_COMMON,
};

static bool by_passphrase(void)
{
	return ask || passphrase_has_source(&source);
}

static int check_streams(const char *archive)
{
	size_t streams = passphrase_from_stdin(&source);

	if (strcmp(archive, "-") == 0)
		return message_usage(&cmd_grant, "grant works on files, not on standard streams");
	for (size_t i = 0; i < files.count; i++)
		streams += strcmp(files.items[i], "-") == 0;
	for (size_t i = 0; i < owners.identities.count; i++)
		streams += strcmp(owners.identities.items[i], "-") == 0;
	if (streams > 1)
		return message_usage(&cmd_grant, "one thing alone can come from standard input");
	return LMODEL_OK;
}

static int check_options(const char *archive)
{
	if ((tier != NULL) + audit + owner == 0)
		return message_usage(&cmd_grant, "--tier NAME, --audit or --owner is missing");
	if ((tier != NULL) + audit + owner > 1)
		return message_usage(&cmd_grant, "--tier, --audit and --owner exclude each other");
	if (recipients.count + files.count == 0 && !by_passphrase())
		return message_usage(&cmd_grant,
				     "nobody to let in: --recipient, --recipients-file or "
				     "--passphrase");
	if (source.file != NULL && source.fd.given)
		return message_usage(&cmd_grant,
				     "--passphrase-file and --passphrase-fd exclude each other");
	if ((detached != NULL || push != NULL) && by_passphrase())
		return message_usage(&cmd_grant,
				     "--detached and --push are for a recipient: no passphrase");
	if (detached == NULL && force)
		return message_usage(&cmd_grant, "--force is for --detached FILE");
	if (detached == NULL && push == NULL && book != NULL)
		return message_usage(&cmd_grant, "--book is for --detached FILE and --push");
	if (push == NULL && plain_http)
		return message_usage(&cmd_grant, "--plain-http is for --push");
	if (book != NULL && strcmp(book, "-") == 0)
		return message_usage(&cmd_grant, "--book is a file, no standard stream");
	if (detached != NULL && strcmp(detached, "-") == 0 && json)
		return message_usage(&cmd_grant,
				     "--json and --detached - both need standard output");
	return check_streams(archive);
}

static int gather(struct grantees *grantees, struct passphrase *p)
{
	struct lmodel_grantee like = {
		.role = owner ? LMODEL_OWNER : audit ? LMODEL_AUDITOR : LMODEL_HOLDER,
		.tier = tier,
		.label = label,
	};
	int r = LMODEL_OK;

	for (size_t i = 0; i < recipients.count && r == LMODEL_OK; i++)
		r = grantees_add(&cmd_grant, grantees, "recipient", recipients.items[i], &like);
	if (r == LMODEL_OK)
		r = keys_check_owner(&cmd_grant, &owners);
	for (size_t i = 0; i < files.count && r == LMODEL_OK; i++)
		r = grantees_add_file(grantees, files.items[i], &like);
	if (r == LMODEL_OK && (detached != NULL || push != NULL) && grantees->count > 1)
		r = message_usage(&cmd_grant, "--%s is for one recipient",
				  detached != NULL ? "detached" : "push");
	if (r == LMODEL_OK && by_passphrase()) {
		r = passphrase_get(&source, "new passphrase", true, p);
		like.passphrase = p->text;
		like.passphrase_len = p->len;
		if (r == LMODEL_OK)
			grantees_add_passphrase(grantees, &like);
	}
	return r;
}

/* Without `text` just whether it could be. */
static int attach(const char *archive, const char *text, char digest[LMODEL_DIGEST_SIZE])
{
	struct lmodel_push_grant_options o = LMODEL_PUSH_GRANT_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	o.plain_http = plain_http;
	o.run.notice = message_from_library;
	if (lmodel_push_grant(archive, push, text, text != NULL ? strlen(text) : 0, &o, digest,
			      &error) != LMODEL_OK)
		return message_fail(&error);
	if (text != NULL)
		message_detail("%s: a grant, %s", TEXT_QUOTE(push), digest);
	return LMODEL_OK;
}

static void report(const char *archive, const unsigned *slots, size_t count, const char *digest)
{
	json_t *document, *array = json_array();

	for (size_t i = 0; i < count; i++) {
		message_detail("%s: slot %u", TEXT_QUOTE(archive), slots[i]);
		json_push(array, json_number(slots[i]));
	}
	if (detached != NULL)
		message_detail("%s: a grant for %s",
			       strcmp(detached, "-") == 0 ? "standard output"
							  : TEXT_QUOTE(detached),
			       TEXT_QUOTE(archive));
	if (!json) {
		json_decref(array);
		return;
	}
	document = json_document();
	json_put(document, "archive", json_text(archive));
	json_put(document, "detached", json_text(detached));
	json_put(document, "pushed", json_text(push != NULL ? digest : NULL));
	json_put(document, "slots", array);
	json_print(document);
}

static int grant(const char *archive, const struct grantees *grantees)
{
	struct lmodel_grant_options o = LMODEL_GRANT_OPTIONS_INIT;
	unsigned *slots = calloc(grantees->count, sizeof(*slots));
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char digest[LMODEL_DIGEST_SIZE] = "", *text = NULL;
	bool apart = detached != NULL || push != NULL;
	struct lmodel_keyring *ring;
	int r = keys_ring(&ring, &owners, true);

	if (slots == NULL)
		message_no_memory();
	/* Before the grant is made, and written down as given. */
	if (r == LMODEL_OK && push != NULL)
		r = attach(archive, NULL, digest);
	o.text = push != NULL ? &text : NULL;
	o.detached = detached;
	o.overwrite = force;
	o.book = book;
	o.notice = message_from_library;
	if (r == LMODEL_OK &&
	    lmodel_grant(archive, ring, grantees->list, grantees->count, &o, slots, &error) !=
		    LMODEL_OK)
		r = message_fail(&error);
	lmodel_keyring_free(ring);
	if (r == LMODEL_OK && push != NULL)
		r = attach(archive, text, digest);
	if (r == LMODEL_OK) {
		grantees_notice_ssh(grantees);
		report(archive, slots, apart ? 0 : grantees->count, digest);
	}
	free(text);
	free(slots);
	return r;
}

static int run(int count, char **operands)
{
	struct grantees grantees = { .count = 0 };
	struct passphrase p = { .len = 0 };
	int r = check_options(operands[0]);

	(void)count;
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_grant, detached, (const char *const *)operands, 1);
	if (r == LMODEL_OK)
		r = samefile_check(&cmd_grant, detached, owners.identities.items,
				   owners.identities.count);
	if (r == LMODEL_OK)
		r = gather(&grantees, &p);
	if (r == LMODEL_OK)
		r = grant(operands[0], &grantees);
	passphrase_wipe(&p);
	grantees_free(&grantees);
	return r;
}

const struct cmd cmd_grant = {
	.name = "grant",
	.synopsis = "[-i OWNER] [options] ARCHIVE",
	.summary = "let somebody in: add key slots",
	.about =
	"Adds a key slot to ARCHIVE for each recipient, or writes a grant to a file of\n"
	"its own, or puts it beside the archive in a registry. Needs an owner's key.\n"
	"Weights are neither read nor written.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
