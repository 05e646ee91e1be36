/* lmodel revoke */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "recipients.h"
#include "text.h"

static struct key_options keys; /* -i and --allow-rollback alone */
static struct option_list labels, recipients;
static const char *book;

static const struct option_row options[] = {
	{ "identity", 'i', "OWNER", "an owner's key file; may be given again", option_list,
	  &keys.identities },
	{ "label", 0, "LABEL", "who has this label; may be given again", option_list, &labels },
	{ "recipient", 'r', "RECIPIENT", "this recipient; may be given again", option_list,
	  &recipients },
	{ "book", 0, "FILE", "where detached grants are written down, sealed", option_text, &book },
	OPTION_ROLLBACK(keys),
	OPTIONS_COMMON,
};

static int check(const char *archive, size_t slot_count, char **slots)
{
	uint64_t n;

	if (strcmp(archive, "-") == 0)
		return message_usage(&cmd_revoke, "revoke works on files, not on standard streams");
	if (slot_count + labels.count + recipients.count == 0)
		return message_usage(&cmd_revoke, "a SLOT, --label or --recipient is missing");
	if (book != NULL && strcmp(book, "-") == 0)
		return message_usage(&cmd_revoke, "--book is a file, no standard stream");
	for (size_t i = 0; i < slot_count; i++)
		if (!text_parse_count(slots[i], &n) || n == 0 || n > UINT_MAX)
			return message_usage(&cmd_revoke, "%s is not the number of a slot",
					     TEXT_QUOTE(slots[i]));
	for (size_t i = 0; i < labels.count; i++)
		if (labels.items[i][0] == '\0')
			return message_usage(&cmd_revoke, "option '--label': '' is empty");
	for (size_t i = 0; i < recipients.count; i++)
		if (recipients.items[i][0] == '\0')
			return message_usage(&cmd_revoke, "option '--recipient': '' is empty");
		else if (recipient_is_secret(recipients.items[i]))
			return message_usage(&cmd_revoke,
					     "option '--recipient': that is a secret key, not a "
					     "recipient; 'lmodel keygen -y FILE' tells the "
					     "recipient");
	return keys_check_owner(&cmd_revoke, &keys);
}

static int revoke(const char *path, const struct lmodel_revocation *list, size_t count)
{
	struct lmodel_revoke_options o = LMODEL_REVOKE_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	size_t removed = 0;
	int r = keys_ring(&ring, &keys, true);

	if (r != LMODEL_OK)
		return r;
	o.book = book;
	o.run.notice = message_from_library;
	r = lmodel_revoke(path, ring, list, count, &o, &removed, &error);
	lmodel_keyring_free(ring);
	if (r != LMODEL_OK)
		return message_fail(&error);
	message_detail("%s: %zu slot%s or detached grant%s removed", TEXT_QUOTE(path), removed,
		       text_plural(removed), text_plural(removed));
	return LMODEL_OK;
}

static int run(int count, char **operands)
{
	size_t slot_count = (size_t)count - 1, n = 0;
	struct lmodel_revocation *list;
	uint64_t slot = 0;
	int r = check(operands[0], slot_count, operands + 1);

	if (r != LMODEL_OK)
		return r;
	list = calloc(slot_count + labels.count + recipients.count, sizeof(*list));
	if (list == NULL)
		message_no_memory();
	for (size_t i = 0; i < slot_count; i++) {
		text_parse_count(operands[1 + i], &slot);
		list[n++].slot = (unsigned)slot;
	}
	for (size_t i = 0; i < labels.count; i++)
		list[n++].label = labels.items[i];
	for (size_t i = 0; i < recipients.count; i++)
		list[n++].recipient = recipients.items[i];
	r = revoke(operands[0], list, n);
	free(list);
	return r;
}

const struct cmd cmd_revoke = {
	.name = "revoke",
	.synopsis = "[-i OWNER] [options] ARCHIVE [SLOT...]",
	.summary = "take somebody out: remove key slots",
	.about =
	"Removes key slots from ARCHIVE: by their numbers SLOT, which 'lmodel inspect -i\n"
	"OWNER' shows, a label, or a recipient. Detached grants, which have no number,\n"
	"end with the next rekey. Needs an owner's key. Whoever has an older copy of the\n"
	"file, or the weights, keeps them.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = -1,
	.missing = "ARCHIVE",
	.run = run,
};
