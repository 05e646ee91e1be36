/* lmodel rekey */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "cmd.h"
#include "json.h"
#include "keys.h"
#include "message.h"
#include "signers.h"
#include "text.h"

static struct key_options keys; /* -i and --allow-rollback alone */
static struct option_list tiers;
static const char *grants, *book, *sign_key;
static bool unsigned_after, json;

static const struct option_row options[] = {
	{ "identity", 'i', "OWNER", "an owner's key file; may be given again", option_list,
	  &keys.identities },
	{ "tier", 0, "NAME", "the tier to lock anew; may be given again", option_list, &tiers },
	{ "grants", 0, "DIR", "make outdated detached grants anew, as files in DIR", option_text,
	  &grants },
	{ "book", 0, "FILE", "where detached grants are written down, sealed", option_text, &book },
	{ "key", 'k', "KEY", "of a signed archive: sign it anew with this SSH key", option_text,
	  &sign_key },
	{ "unsigned", 0, NULL, "of a signed archive: leave it without a signature", option_flag,
	  &unsigned_after },
	OPTION_ROLLBACK(keys),
	OPTION_JSON(json),
	OPTIONS_COMMON,
};

/* Generations of the tiers, before: what has risen was locked anew. */
struct before {
	unsigned long long *generations;
	size_t count;
};

static int check(const char *archive)
{
	size_t streams = 0;

	if (strcmp(archive, "-") == 0)
		return message_usage(&cmd_rekey, "rekey works on files, not on standard streams");
	if (book != NULL && strcmp(book, "-") == 0)
		return message_usage(&cmd_rekey, "--book is a file, no standard stream");
	if (sign_key != NULL && unsigned_after)
		return message_usage(&cmd_rekey, "--key and --unsigned exclude each other");
	for (size_t i = 0; i < keys.identities.count; i++)
		streams += strcmp(keys.identities.items[i], "-") == 0;
	if (streams > 1)
		return message_usage(&cmd_rekey, "one thing alone can come from standard input");
	return keys_check_owner(&cmd_rekey, &keys);
}

static int look(struct before *before, const char *path)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive;
	size_t signatures;

	if (lmodel_open(&archive, path, &error) != LMODEL_OK)
		return message_fail(&error);
	signatures = lmodel_signature_count(archive);
	before->count = lmodel_tier_count(archive);
	before->generations = calloc(before->count + 1, sizeof(*before->generations));
	if (before->generations == NULL)
		message_no_memory();
	for (size_t i = 0; i < before->count; i++)
		before->generations[i] = lmodel_tier_at(archive, i)->generation;
	lmodel_close(archive);
	if (signatures > 0 && sign_key == NULL && !unsigned_after)
		return message_usage(&cmd_rekey, "%s is signed: --key KEY or --unsigned",
				     TEXT_QUOTE(path));
	return LMODEL_OK;
}

/* New grants are written when the old keys are gone already: what can fail is to fail before. */
static int make_directory(void)
{
	struct stat st;

	if (grants == NULL || mkdir(grants, 0777) == 0)
		return LMODEL_OK;
	if (errno == EEXIST && (stat(grants, &st) != 0 || !S_ISDIR(st.st_mode)))
		errno = ENOTDIR;
	else if (errno == EEXIST)
		return LMODEL_OK;
	message_error("%s: %s", TEXT_QUOTE(grants), strerror(errno));
	return LMODEL_EFAILED;
}

static int report(const char *path, const struct before *before)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	json_t *document, *array = json_array();
	struct lmodel_archive *archive;
	struct lmodel_info info;

	if (lmodel_open(&archive, path, &error) != LMODEL_OK) {
		json_decref(array);
		return message_fail(&error);
	}
	lmodel_info(archive, &info);
	for (size_t i = 0; i < lmodel_tier_count(archive); i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);
		json_t *object = json_object();

		json_put(object, "name", json_text(tier->name));
		json_put(object, "generation", json_number(tier->generation));
		if (i < before->count && tier->generation > before->generations[i]) {
			message_detail("%s: tier %s: generation %llu", TEXT_QUOTE(path),
				       TEXT_QUOTE(tier->name), tier->generation);
			json_push(array, object);
		} else {
			json_decref(object);
		}
	}
	document = json_document();
	json_put(document, "archive", json_text(path));
	json_put(document, "content_generation", json_number(info.content_generation));
	json_put(document, "tiers", array);
	json_put(document, "slots", json_number(lmodel_slot_count(archive)));
	json_put(document, "signed", json_bool(lmodel_signature_count(archive) > 0));
	if (json)
		json_print(document);
	else
		json_decref(document);
	lmodel_close(archive);
	return LMODEL_OK;
}

static int rekey(const char *path)
{
	struct lmodel_rekey_options o = LMODEL_REKEY_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	int r = keys_ring(&ring, &keys, true);

	if (r != LMODEL_OK)
		return r;
	o.run.notice = message_from_library;
	o.grants = grants;
	o.book = book;
	o.sign_key = sign_key;
	o.unsigned_after = unsigned_after;
	if (lmodel_rekey(path, ring, tiers.items, tiers.count, &o, &error) != LMODEL_OK)
		r = message_fail(&error);
	lmodel_keyring_free(ring);
	return r;
}

static int run(int count, char **operands)
{
	struct before before = { .count = 0 };
	int r = check(operands[0]);

	(void)count;
	if (r == LMODEL_OK)
		r = look(&before, operands[0]);
	if (r == LMODEL_OK && sign_key != NULL)
		r = signers_check_key(sign_key);
	if (r == LMODEL_OK)
		r = make_directory();
	if (r == LMODEL_OK)
		r = rekey(operands[0]);
	if (r == LMODEL_OK)
		r = report(operands[0], &before);
	free(before.generations);
	return r;
}

const struct cmd cmd_rekey = {
	.name = "rekey",
	.synopsis = "[-i OWNER] [options] ARCHIVE",
	.summary = "lock tiers anew: old keys no longer open them",
	.about =
	"Gives tiers of ARCHIVE new keys: their shards are encrypted anew, and everybody\n"
	"who has a slot gets the new keys without being asked. Without --tier, all tiers\n"
	"that somebody who was revoked since could open. Detached grants of these tiers\n"
	"are outdated. Needs an owner's key. Whoever has an older copy of the file, or\n"
	"the weights, keeps them.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
