/* lmodel rekey */
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "keys.h"
#include "message.h"
#include "text.h"

static struct key_options keys; /* -i alone */
static struct option_list tiers;

static const struct option_row options[] = {
	{ "identity", 'i', "OWNER", "an owner's key file; may be given again", option_list,
	  &keys.identities },
	{ "tier", 0, "NAME", "the tier to lock anew; may be given again", option_list, &tiers },
	OPTIONS_COMMON,
};

static int run(int count, char **operands)
{
	struct lmodel_rekey_options o = LMODEL_REKEY_OPTIONS_INIT;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	int r;

	(void)count;
	if (strcmp(operands[0], "-") == 0)
		return message_usage(&cmd_rekey, "rekey works on files, not on standard streams");
	r = keys_check_owner(&cmd_rekey, &keys);
	if (r == LMODEL_OK)
		r = keys_ring(&ring, &keys, true);
	if (r != LMODEL_OK)
		return r;
	o.run.notice = message_from_library;
	r = lmodel_rekey(operands[0], ring, tiers.items, tiers.count, &o, &error);
	lmodel_keyring_free(ring);
	return r == LMODEL_OK ? r : message_fail(&error);
}

const struct cmd cmd_rekey = {
	.name = "rekey",
	.synopsis = "[-i OWNER] [options] ARCHIVE",
	.summary = "lock tiers anew: old keys no longer open them",
	.about =
	"Gives tiers of ARCHIVE new keys: their shards are encrypted anew, and everybody\n"
	"who has a slot gets the new keys without being asked. Without --tier, all tiers\n"
	"that somebody who was revoked since could open. Detached grants of these tiers\n"
	"are outdated. Needs an owner's key. Whoever has an older copy of the file, or the\n"
	"weights, keeps them.\n",
	.options = options,
	.secrets = true,
	.least = 1,
	.most = 1,
	.missing = "ARCHIVE",
	.run = run,
};
