#include "protect.h"

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

#define TIER_LIMIT 16
#define TIER_NAME_LIMIT 64
#define AMOUNT_LIMIT 32

/* ---- values of options ---- */

static const char *const select_names[] = { "pss", "magnitude", "random", "all" };
static const char *const mask_names[] = { "dprm", "zero", "deep-lock", "perturb" };
static const char *const unit_names[] = { "default", "element", "slice", "row", "column", "block" };
static const char *const scope_names[] = { "equal", "model", "layer" };

static bool choose(struct protect_choice *choice, const char *argument, const char *const *names,
		   size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(argument, names[i]) == 0) {
			*choice = (struct protect_choice){ true, (int)i };
			return true;
		}
	return false;
}

const char *option_select(void *value, const char *argument)
{
	return choose(value, argument, select_names, COUNT(select_names))
		       ? NULL : "is not one of pss, magnitude, random, all";
}

const char *option_mask(void *value, const char *argument)
{
	return choose(value, argument, mask_names, COUNT(mask_names))
		       ? NULL : "is not one of dprm, zero, deep-lock, perturb";
}

const char *option_unit(void *value, const char *argument)
{
	return choose(value, argument, unit_names, COUNT(unit_names))
		       ? NULL : "is not one of default, element, slice, row, column, block";
}

const char *option_scope(void *value, const char *argument)
{
	return choose(value, argument, scope_names, COUNT(scope_names))
		       ? NULL : "is not one of equal, model, layer";
}

static bool is_tier_name(const char *name, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";

	return len >= 1 && len <= TIER_NAME_LIMIT && name[0] != '.' && name[0] != '-' &&
	       strspn(name, letters) >= len;
}

/* "1000" is a count, "4%" and "0.04" are shares. The program runs in the C locale, so a point is
 * a point. */
static const char *parse_amount(const char *text, struct lmodel_tier_amount *amount)
{
	size_t digits = strspn(text, "0123456789"), used = digits, places = 0;
	bool percent;

	if (text[digits] == '\0' && digits > 0) {
		if (!text_parse_count(text, &amount->units))
			return "is too large a number of units";
		return NULL; /* 0: for side files alone */
	}
	if (text[used] == '.') {
		places = strspn(text + used + 1, "0123456789");
		used += 1 + places;
	}
	percent = text[used] == '%';
	if (digits + places == 0 || text[used + percent] != '\0' || used > AMOUNT_LIMIT)
		return "has no amount such as 1000 (units), 4% or 0.04 (a share of them)";
	amount->share = strtod(text, NULL) / (percent ? 100 : 1);
	if (amount->share <= 0)
		return "is a tier of nothing";
	return amount->share > 1 ? "is more than there is (100%, 1.0)" : NULL;
}

const char *option_tier(void *value, const char *argument)
{
	struct lmodel_tier_amount amount = { .share = 0 }, *list;
	size_t len = strcspn(argument, "=");
	struct protect_tiers *tiers = value;
	const char *wrong = NULL;

	if (!is_tier_name(argument, len))
		return "does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, "
		       "no . or - first";
	if (argument[len] == '=') {
		amount.text = argument + len + 1;
		wrong = parse_amount(amount.text, &amount);
	}
	if (wrong != NULL)
		return wrong;
	if (tiers->count == TIER_LIMIT)
		return "is one too many: there can be 16 tiers";
	list = realloc(tiers->list, (tiers->count + 1) * sizeof(*list));
	if (list == NULL)
		message_no_memory();
	amount.name = text_format("%.*s", (int)len, argument);
	list[tiers->count++] = amount;
	tiers->list = list;
	return NULL;
}

/* ---- what goes together ---- */

/* The first option given that makes sense with tiers alone. */
static const char *tierless_option(const struct protect_args *args)
{
	const struct { bool given; const char *name; } all[] = {
		{ args->select.given, "select" },
		{ args->mask.given, "mask" },
		{ args->unit.given, "unit" },
		{ args->scope.given, "scope" },
		{ args->scores != NULL, "scores" },
		{ args->raw_scores, "raw-scores" },
		{ args->reference != NULL, "reference" },
		{ args->ancestor != NULL, "ancestor" },
		{ args->like != NULL, "like" },
		{ args->like_keys.identities.count > 0, "identity" },
		{ args->includes.count > 0, "include" },
		{ args->excludes.count > 0, "exclude" },
		{ args->owners.count > 0, "owner" },
		{ args->recipients.count > 0, "recipient" },
		{ args->files.count > 0, "recipients-file" },
		{ args->auditors.count > 0, "audit" },
		{ args->passphrases.count > 0, "passphrase" },
		{ args->source.file != NULL, "passphrase-file" },
		{ args->source.fd.given, "passphrase-fd" },
		{ args->test_keys, "test-keys" },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		if (all[i].given)
			return all[i].name;
	return NULL;
}

static bool is_locked(const struct protect_args *args)
{
	return args->mask.value == LMODEL_MASK_DEEP_LOCK;
}

/* --mask deep-lock means all. */
static bool selects_all(const struct protect_args *args)
{
	return args->select.value == LMODEL_SELECT_ALL || is_locked(args);
}

static int check_tiers(const struct cmd *cmd, const struct protect_args *args)
{
	bool all = selects_all(args);
	bool rest = args->reference != NULL || args->ancestor != NULL;
	const char *why = is_locked(args) ? "--mask deep-lock" : "--select all";
	const struct protect_tiers *tiers = &args->tiers;

	if (all && tiers->count > 1)
		return message_usage(cmd, "%s makes one tier", why);
	if (all && tiers->list[0].text != NULL)
		return message_usage(cmd, "%s takes all: --tier %s, without an amount", why,
				     tiers->list[0].name);
	for (size_t i = 0; i < tiers->count; i++) {
		const struct lmodel_tier_amount *t = &tiers->list[i], *below = i > 0 ? t - 1 : t;
		bool whole = (all || rest) && i + 1 == tiers->count;

		for (size_t k = 0; k < i; k++)
			if (strcmp(tiers->list[k].name, t->name) == 0)
				return message_usage(cmd, "option '--tier': '%s' is given twice",
						     t->name);
		if (t->text == NULL && !whole)
			return message_usage(cmd,
					     "option '--tier': '%s' has no amount: NAME=AMOUNT",
					     t->name);
		/* Amounts of two kinds can only be compared when the model is known. */
		for (size_t k = i; k-- > 0 && below->units == 0 && below->share <= 0;)
			below = &tiers->list[k]; /* one with weights, if any */
		if (i > 0 && t->text != NULL &&
		    ((t->units > 0 && below->units > 0 && t->units <= below->units) ||
		     (t->share > 0 && below->share > 0 && t->share <= below->share)))
			return message_usage(cmd,
					     "option '--tier': '%s' is not more than '%s': a tier "
					     "counts those below it",
					     t->name, below->name);
	}
	return LMODEL_OK;
}

/* What the mask needs, and what it leaves no room for. */
static int check_mask(const struct cmd *cmd, const struct protect_args *args)
{
	const struct { bool given; const char *name; } idle[] = {
		{ args->select.given && args->select.value != LMODEL_SELECT_ALL, "select" },
		{ args->unit.given && args->unit.value != LMODEL_UNIT_DEFAULT, "unit" },
		{ args->scope.given, "scope" },
		{ args->reference != NULL, "reference" },
		{ args->ancestor != NULL, "ancestor" },
	};

	for (size_t i = 0; i < COUNT(idle) && is_locked(args); i++)
		if (idle[i].given)
			return message_usage(cmd, "--mask deep-lock locks every tensor whole: not "
					     "with --%s", idle[i].name);
	if (args->mask.value == LMODEL_MASK_PERTURB && args->reference == NULL)
		return message_usage(cmd, "--mask perturb shows weights that were perturbed: "
				     "--reference FILE");
	if (args->mask.given && args->reference != NULL && args->mask.value != LMODEL_MASK_PERTURB)
		return message_usage(cmd, "with --reference the base shows that file: --mask "
				     "perturb, or none");
	if (args->reference != NULL && args->ancestor != NULL)
		return message_usage(cmd, "--reference and --ancestor exclude each other");
	return LMODEL_OK;
}

static int check(const struct cmd *cmd, const struct protect_args *args, bool seeded,
		 bool stdin_taken)
{
	bool scored = (args->select.value == LMODEL_SELECT_PSS ||
		       args->select.value == LMODEL_SELECT_MAGNITUDE) && !is_locked(args);
	size_t streams = stdin_taken + (size_t)passphrase_from_stdin(&args->source);

	if (!scored && args->scores != NULL)
		return message_usage(cmd, "--scores is for --select pss and magnitude");
	if (!scored && args->raw_scores)
		return message_usage(cmd, "--raw-scores is for --select pss and magnitude");
	if (check_mask(cmd, args) != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (args->source.file != NULL && args->source.fd.given)
		return message_usage(cmd,
				     "--passphrase-file and --passphrase-fd exclude each other");
	if (passphrase_has_source(&args->source) && args->passphrases.count != 1)
		return message_usage(cmd, "--passphrase-%s is for one --passphrase TIER",
				     args->source.file != NULL ? "file" : "fd");
	if (args->owners.count == 0)
		return message_usage(cmd,
				     "an archive with tiers needs an owner: --owner RECIPIENT");
	if (seeded && !args->test_keys)
		return message_usage(cmd, "with --seed the keys follow from it: --test-keys says "
					  "that they may");
	if (!seeded && args->test_keys)
		return message_usage(cmd, "--test-keys is for --seed");
	for (size_t i = 0; i < args->files.count; i++)
		streams += strncmp(args->files.items[i], "-=", 2) == 0;
	if (streams > 1)
		return message_usage(cmd, "one thing alone can come from standard input");
	return check_tiers(cmd, args);
}

/* ---- whom to let in ---- */

/* The tier's name as the library is to have it; NULL, told, when there is none. */
static const char *tier_named(const struct cmd *cmd, const struct protect_args *args,
			      const char *option, const char *name)
{
	for (size_t i = 0; i < args->tiers.count; i++)
		if (strcmp(args->tiers.list[i].name, name) == 0)
			return args->tiers.list[i].name;
	if (is_tier_name(name, strlen(name)))
		message_usage(cmd, "option '--%s': there is no --tier '%s'", option, name);
	else
		message_usage(cmd, "option '--%s': %s is not a tier's name", option,
			      TEXT_QUOTE(name));
	return NULL;
}

/* RECIPIENT=TIER or FILE=TIER, split at the last '=': an SSH key may have some in its comment and
 * at the end of its base64. */
static int add_split(const struct cmd *cmd, const struct protect_args *args, bool is_file,
		     const char *argument, struct grantees *grantees)
{
	const char *option = is_file ? "recipients-file" : "recipient";
	const char *equals = strrchr(argument, '=');
	struct lmodel_grantee like = { .role = LMODEL_HOLDER };
	char *text;
	int r = LMODEL_OK;

	if (recipient_is_secret(argument)) /* before a message repeats it */
		return grantees_add(cmd, grantees, option, argument, &like);
	if (equals == NULL || equals[1] == '\0' || equals == argument)
		return message_usage(cmd, "option '--%s': %s is not %s=TIER", option,
				     TEXT_QUOTE(argument), is_file ? "FILE" : "RECIPIENT");
	like.tier = tier_named(cmd, args, option, equals + 1);
	if (like.tier == NULL)
		return LMODEL_EUSAGE;
	text = text_format("%.*s", (int)(equals - argument), argument);
	r = is_file ? grantees_add_file(grantees, text, &like)
		    : grantees_add(cmd, grantees, option, text, &like);
	free(text);
	return r;
}

static int add_role(const struct cmd *cmd, const struct option_list *list, const char *option,
		    enum lmodel_role role, struct grantees *grantees)
{
	const struct lmodel_grantee like = { .role = role };
	int r = LMODEL_OK;

	for (size_t i = 0; i < list->count && r == LMODEL_OK; i++)
		r = grantees_add(cmd, grantees, option, list->items[i], &like);
	return r;
}

static int add_passphrases(const struct cmd *cmd, const struct protect_args *args,
			   struct protect *protect)
{
	size_t count = args->passphrases.count;
	int r = LMODEL_OK;

	for (size_t i = 0; i < count; i++)
		if (tier_named(cmd, args, "passphrase", args->passphrases.items[i]) == NULL)
			return LMODEL_EUSAGE;
	protect->passphrases = calloc(count + 1, sizeof(*protect->passphrases));
	if (protect->passphrases == NULL)
		message_no_memory();
	protect->passphrase_count = count;
	for (size_t i = 0; i < count && r == LMODEL_OK; i++) {
		struct passphrase *p = &protect->passphrases[i];
		struct lmodel_grantee like = { .role = LMODEL_HOLDER, .passphrase = p->text };
		char *what = text_format("new passphrase for tier '%s'",
					 args->passphrases.items[i]);

		r = passphrase_get(&args->source, what, true, p);
		like.tier = args->passphrases.items[i];
		like.passphrase_len = p->len;
		if (r == LMODEL_OK)
			grantees_add_passphrase(&protect->grantees, &like);
		free(what);
	}
	return r;
}

static int add_grantees(const struct cmd *cmd, const struct protect_args *args,
			struct protect *protect)
{
	struct grantees *grantees = &protect->grantees;
	int r = add_role(cmd, &args->owners, "owner", LMODEL_OWNER, grantees);

	for (size_t i = 0; i < args->recipients.count && r == LMODEL_OK; i++)
		r = add_split(cmd, args, false, args->recipients.items[i], grantees);
	if (r == LMODEL_OK)
		r = add_role(cmd, &args->auditors, "audit", LMODEL_AUDITOR, grantees);
	for (size_t i = 0; i < args->files.count && r == LMODEL_OK; i++)
		r = add_split(cmd, args, true, args->files.items[i], grantees);
	return r == LMODEL_OK ? add_passphrases(cmd, args, protect) : r;
}

/* ---- */

int protect_gather(const struct cmd *cmd, const struct protect_args *args, bool seeded,
		   bool stdin_taken, struct protect *protect)
{
	struct lmodel_protect_options o = LMODEL_PROTECT_OPTIONS_INIT;
	const char *lone = args->tiers.count == 0 ? tierless_option(args) : NULL;
	int r;

	if (lone != NULL)
		return message_usage(cmd, "--%s is for archives with tiers: --tier NAME=AMOUNT",
				     lone);
	if (args->tiers.count == 0)
		return LMODEL_OK;
	r = check(cmd, args, seeded, stdin_taken);
	if (r == LMODEL_OK)
		r = add_grantees(cmd, args, protect);
	if (r == LMODEL_OK && args->like == NULL && args->like_keys.identities.count > 0)
		r = message_usage(cmd, "--identity opens the archive of --like");
	if (r == LMODEL_OK && args->like != NULL)
		r = keys_check_owner(cmd, &args->like_keys);
	if (r == LMODEL_OK && args->like != NULL)
		r = keys_ring(&protect->like_keys, &args->like_keys, true);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < args->tiers.count; i++)
		if (args->tiers.list[i].text == NULL) {
			args->tiers.list[i].share = 1;
			args->tiers.list[i].text = "100%";
		}
	o.tiers = args->tiers.list;
	o.tier_count = args->tiers.count;
	o.select = selects_all(args) ? LMODEL_SELECT_ALL : (enum lmodel_select)args->select.value;
	o.mask = (enum lmodel_mask)args->mask.value;
	o.unit = (enum lmodel_unit)args->unit.value;
	o.scope = (enum lmodel_scope)args->scope.value;
	o.raw_scores = args->raw_scores;
	o.includes = args->includes.items;
	o.include_count = args->includes.count;
	o.excludes = args->excludes.items;
	o.exclude_count = args->excludes.count;
	o.scores = args->scores;
	o.reference = args->reference;
	o.ancestor = args->ancestor;
	o.like = args->like;
	o.like_keys = protect->like_keys;
	o.grantees = protect->grantees.list;
	o.grantee_count = protect->grantees.count;
	o.test_keys = args->test_keys;
	protect->options = o;
	return LMODEL_OK;
}

void protect_free(struct protect *protect)
{
	for (size_t i = 0; i < protect->passphrase_count; i++)
		passphrase_wipe(&protect->passphrases[i]);
	free(protect->passphrases);
	lmodel_keyring_free(protect->like_keys);
	grantees_free(&protect->grantees);
}
