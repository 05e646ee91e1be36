/* The keys that a command is given, and what they open. */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>

#include "options.h"
#include "passphrase.h"

struct cmd;
struct lmodel_archive;
struct lmodel_keyring;

struct key_options {
	struct option_list identities;
	bool ask; /* for a passphrase, on the terminal */
	bool allow_rollback;
	struct passphrase_source source;
};

/* Which weights, of those that the keys open. */
struct level_options {
	const char *tier;
	bool base, allow_absent;
};

#define OPTION_IDENTITY(keys) \
	{ "identity", 'i', "FILE", "a key file; may be given again", option_list, \
	  &(keys).identities }
#define OPTION_ROLLBACK(keys) \
	{ "allow-rollback", 0, NULL, "take an older copy than what was seen before", option_flag, \
	  &(keys).allow_rollback }
#define OPTIONS_KEYS(keys) \
	OPTION_IDENTITY(keys), \
	{ "passphrase", 0, NULL, "ask for a passphrase on the terminal", option_flag, \
	  &(keys).ask }, \
	OPTIONS_PASSPHRASE_SOURCE((keys).source), \
	OPTION_ROLLBACK(keys)
#define OPTIONS_LEVEL(level) \
	{ "tier", 0, "NAME", "just this tier, not the highest that the keys open", option_text, \
	  &(level).tier }, \
	{ "base", 0, NULL, "the public weights; needs no key", option_flag, &(level).base }, \
	{ "allow-absent", 0, NULL, "take a lower tier when shards are not in the file", \
	  option_flag, &(level).allow_absent }

/* What does not go together. `archive` is the operand. */
int keys_check(const struct cmd *cmd, const struct key_options *keys, const char *archive);
int keys_check_level(const struct cmd *cmd, const struct level_options *level);

/* For commands that need an owner's key: whether there is one to try. */
int keys_check_owner(const struct cmd *cmd, const struct key_options *keys);

/* Whether the command line has a key. */
bool keys_given(const struct key_options *keys);

/* All keys given, else the file that $LMODEL_IDENTITY names, when `environment`. `*ring` is NULL
 * when there is none. It remembers archives in the user's state directory. These give the exit
 * status. */
int keys_ring(struct lmodel_keyring **ring, const struct key_options *keys, bool environment);

/* Opens what the keys open; `*unlocked` is false when there is no key. A key that
 * was named has to open something. */
int keys_unlock(struct lmodel_archive *archive, const struct key_options *keys, bool environment,
		bool *unlocked);

/* Unlocks, and chooses the weights that are read from now on. */
int keys_use_level(struct lmodel_archive *archive, const char *path,
		   const struct key_options *keys, const struct level_options *level);

#endif
