#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

/* ---- the command line ---- */

bool keys_given(const struct key_options *keys)
{
	return keys->identities.count > 0 || keys->ask || passphrase_has_source(&keys->source);
}

int keys_check(const struct cmd *cmd, const struct key_options *keys, const char *archive)
{
	size_t streams = strcmp(archive, "-") == 0;

	if (keys->source.file != NULL && keys->source.fd.given)
		return message_usage(cmd,
				     "--passphrase-file and --passphrase-fd exclude each other");
	if (keys->ask && passphrase_has_source(&keys->source))
		return message_usage(cmd,
				     "--passphrase asks on the terminal: not with --passphrase-%s",
				     keys->source.file != NULL ? "file" : "fd");
	for (size_t i = 0; i < keys->identities.count; i++)
		streams += strcmp(keys->identities.items[i], "-") == 0;
	streams += passphrase_from_stdin(&keys->source);
	if (streams > 1)
		return message_usage(cmd, "one thing alone can come from standard input");
	return LMODEL_OK;
}

int keys_check_level(const struct cmd *cmd, const struct level_options *level)
{
	if (level->tier != NULL && level->base)
		return message_usage(cmd, "--tier and --base exclude each other");
	if (level->tier != NULL && level->allow_absent)
		return message_usage(cmd, "--tier and --allow-absent exclude each other");
	return LMODEL_OK;
}

/* One path; NULL: none. */
static const char *environment_identity(void)
{
	const char *path = getenv("LMODEL_IDENTITY");

	return path != NULL && path[0] != '\0' ? path : NULL;
}

int keys_check_owner(const struct cmd *cmd, const struct key_options *keys)
{
	if (keys->identities.count == 0 && environment_identity() == NULL)
		return message_usage(cmd, "an owner's key is missing: -i OWNER");
	return LMODEL_OK;
}

/* ---- the ring ---- */

struct asking {
	const struct key_options *keys;
	bool used; /* the passphrase of --passphrase-file was for a key file */
};

/* For an encrypted key file. */
static long answer(void *context, const char *what, char *buffer, size_t size)
{
	struct asking *asking = context;
	struct passphrase p = { .len = 0 };
	char *question = text_format("passphrase for %s", what);
	long len = -1;

	/* A stream gives it once: the second key file has to have one of its own. */
	if (!asking->used &&
	    passphrase_get(&asking->keys->source, question, false, &p) == LMODEL_OK &&
	    p.len <= size) {
		memcpy(buffer, p.text, p.len);
		len = (long)p.len;
	}
	asking->used = passphrase_has_source(&asking->keys->source);
	passphrase_wipe(&p);
	free(question);
	return len;
}

static int add_passphrase(struct lmodel_keyring *ring, const struct key_options *keys)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct passphrase p = { .len = 0 };
	int r = passphrase_get(&keys->source, "passphrase", false, &p);

	if (r == LMODEL_OK &&
	    lmodel_keyring_add_passphrase(ring, p.text, p.len, &error) != LMODEL_OK)
		r = message_fail(&error);
	passphrase_wipe(&p);
	return r;
}

static int fill(struct lmodel_keyring *ring, const struct key_options *keys, const char *extra)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct asking asking = { .keys = keys };

	lmodel_keyring_ask(ring, answer, &asking);
	for (size_t i = 0; i < keys->identities.count; i++)
		if (lmodel_keyring_add_file(ring, keys->identities.items[i], &error) != LMODEL_OK)
			return message_fail(&error);
	if (extra != NULL && lmodel_keyring_add_file(ring, extra, &error) != LMODEL_OK)
		return message_fail(&error);
	lmodel_keyring_ask(ring, NULL, NULL);
	if (keys->ask || (passphrase_has_source(&keys->source) && !asking.used))
		return add_passphrase(ring, keys);
	return LMODEL_OK;
}

/* As the XDG Base Directory Specification has it: what is no absolute path is not taken. NULL:
 * there is none. */
static char *state_directory(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state != NULL && state[0] == '/')
		return text_format("%s/lmodel", state);
	if (home != NULL && home[0] == '/')
		return text_format("%s/.local/state/lmodel", home);
	return NULL;
}

static int remember(struct lmodel_keyring *ring, const struct key_options *keys)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *directory = state_directory();
	int r = LMODEL_OK;

	if (directory != NULL &&
	    lmodel_keyring_remember(ring, directory, keys->allow_rollback, &error) != LMODEL_OK)
		r = message_fail(&error);
	free(directory);
	return r;
}

int keys_ring(struct lmodel_keyring **ring, const struct key_options *keys, bool environment)
{
	const char *extra = environment && !keys_given(keys) ? environment_identity() : NULL;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r;

	*ring = NULL;
	if (extra == NULL && !keys_given(keys))
		return LMODEL_OK;
	if (lmodel_keyring_new(ring, &error) != LMODEL_OK)
		return message_fail(&error);
	r = fill(*ring, keys, extra);
	if (r == LMODEL_OK)
		r = remember(*ring, keys);
	if (r != LMODEL_OK) {
		lmodel_keyring_free(*ring);
		*ring = NULL;
	}
	return r;
}

/* ---- opening ---- */

int keys_unlock(struct lmodel_archive *archive, const struct key_options *keys, bool environment,
		bool *unlocked)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;
	int r;

	*unlocked = false;
	/* A key that was named has to open something: an archive without tiers may be a forgery of
	 * one that had them. */
	if (lmodel_tier_count(archive) == 0 && !keys_given(keys))
		return LMODEL_OK;
	r = keys_ring(&ring, keys, environment);
	if (r != LMODEL_OK || ring == NULL)
		return r;
	if (lmodel_unlock(archive, ring, &error) != LMODEL_OK)
		r = message_fail(&error);
	lmodel_keyring_free(ring);
	*unlocked = r == LMODEL_OK;
	return r;
}

static bool has_tier(const struct lmodel_archive *archive, const char *name)
{
	for (size_t i = 0; i < lmodel_tier_count(archive); i++)
		if (strcmp(lmodel_tier_at(archive, i)->name, name) == 0)
			return true;
	return false;
}

static int use_tier(struct lmodel_archive *archive, const char *tier)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	return lmodel_use_tier(archive, tier, &error) != LMODEL_OK ? message_fail(&error)
								   : LMODEL_OK;
}

/* No key: nobody is to take the base for the model. */
static int use_base(struct lmodel_archive *archive, const char *name)
{
	size_t present = 0;
	bool weights = false;

	for (size_t i = 0; i < lmodel_tier_count(archive); i++) {
		present += !lmodel_tier_at(archive, i)->absent;
		weights |= lmodel_tier_at(archive, i)->tensor_count > 0;
	}
	if (!weights)
		message_notice("%s: all weights; side files of %zu tier%s a key", name, present,
			       present == 1 ? " need" : "s need");
	else if (present == 0)
		message_notice("%s: base weights only: the tiers are not in this file", name);
	else
		message_notice("%s: base weights only: %zu tier%s a key", name, present,
			       present == 1 ? " needs" : "s need");
	return use_tier(archive, NULL);
}

/* The keys open every tier up to one of them, or none. */
static int use_highest(struct lmodel_archive *archive, const char *name, bool allow_absent)
{
	const struct lmodel_tier *top = NULL, *absent = NULL, *used;

	for (size_t i = 0; i < lmodel_tier_count(archive); i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);

		if (!tier->open)
			break;
		top = tier;
		if (absent == NULL && tier->absent)
			absent = tier;
	}
	if (top == NULL) {
		message_error("%s: the keys given open no weights; --base gives the public ones",
			      name);
		return LMODEL_ENOKEY;
	}
	if (absent == NULL)
		return use_tier(archive, top->name);
	if (!allow_absent) {
		message_error("%s: tier %s is not in this file; --allow-absent or --tier takes "
			      "less",
			      name, TEXT_QUOTE(absent->name));
		return LMODEL_ECORRUPT;
	}
	lmodel_use_highest_present(archive);
	used = lmodel_tier_in_use(archive);
	if (used != NULL)
		message_notice("%s: tier %s is not in this file: weights of tier %s", name,
			       TEXT_QUOTE(absent->name), TEXT_QUOTE(used->name));
	else
		message_notice("%s: tier %s is not in this file: base weights only", name,
			       TEXT_QUOTE(absent->name));
	return LMODEL_OK;
}

static int use_level(struct lmodel_archive *archive, const char *name,
		     const struct key_options *keys, const struct level_options *level)
{
	bool unlocked;
	int r;

	if (level->tier != NULL && !has_tier(archive, level->tier)) {
		message_error("%s: no tier %s", name, TEXT_QUOTE(level->tier));
		return LMODEL_EUSAGE;
	}
	/* A key given beside --base still proves that the base is the packed one. */
	r = keys_unlock(archive, keys, !level->base, &unlocked);
	if (r != LMODEL_OK || lmodel_tier_count(archive) == 0)
		return r;
	if (level->base)
		return use_tier(archive, NULL);
	if (level->tier != NULL && !unlocked) {
		message_error("%s: tier %s needs a key: -i FILE", name, TEXT_QUOTE(level->tier));
		return LMODEL_ENOKEY;
	}
	if (level->tier != NULL)
		return use_tier(archive, level->tier);
	return unlocked ? use_highest(archive, name, level->allow_absent)
			: use_base(archive, name);
}

int keys_use_level(struct lmodel_archive *archive, const char *path,
		   const struct key_options *keys, const struct level_options *level)
{
	char *name = text_archive(path);
	int r = use_level(archive, name, keys, level);

	free(name);
	return r;
}
