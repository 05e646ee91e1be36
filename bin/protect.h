/* What pack is told about tiers and keys. */
#ifndef PROTECT_H
#define PROTECT_H

#include <stdbool.h>
#include <stddef.h>

#include <lmodel.h>

#include "keys.h"
#include "options.h"
#include "passphrase.h"
#include "recipients.h"

struct protect_args {
	struct protect_tiers { struct lmodel_tier_amount *list; size_t count; } tiers;
	struct protect_choice { bool given; int value; } select, mask, unit, scope;
	struct option_list includes, excludes, recipients, files, passphrases, owners, auditors;
	struct passphrase_source source;
	struct key_options like_keys; /* -i alone */
	const char *scores, *reference, *ancestor, *like;
	bool raw_scores, test_keys;
};

option_set_fn option_tier, option_select, option_mask, option_unit, option_scope;

#define OPTIONS_PROTECT(args) \
	{ "tier", 0, "NAME=AMOUNT", \
	  "encrypt AMOUNT (1000 units, 4% or 0.04 of them; 0: side files alone); again for each " \
	  "tier, lowest first", \
	  option_tier, &(args).tiers }, \
	{ "select", 0, "METHOD", "pss (the default), magnitude, random or all", option_select, \
	  &(args).select }, \
	{ "mask", 0, "METHOD", \
	  "what the base shows instead: dprm (the default), zero, deep-lock or perturb", \
	  option_mask, &(args).mask }, \
	{ "unit", 0, "UNIT", "element, slice, row, column or block", option_unit, &(args).unit }, \
	{ "scope", 0, "SCOPE", "share AMOUNT out by equal (the default), model or layer", \
	  option_scope, &(args).scope }, \
	{ "scores", 0, "FILE", "how important each parameter is, as a model file", option_text, \
	  &(args).scores }, \
	{ "raw-scores", 0, NULL, "do not divide scores by row and column scale", option_flag, \
	  &(args).raw_scores }, \
	{ "reference", 0, "FILE", "the public weights; what differs is encrypted", \
	  option_text, &(args).reference }, \
	{ "ancestor", 0, "FILE", \
	  "a public base model; encrypt in what differs from it alone", \
	  option_text, &(args).ancestor }, \
	{ "like", 0, "ARCHIVE", \
	  "an earlier release: equal tensors are protected just as in it", option_text, \
	  &(args).like }, \
	{ "identity", 'i', "FILE", "an owner's key file for it; may be given again", option_list, \
	  &(args).like_keys.identities }, \
	{ "include", 0, "PATTERN", "encrypt in these tensors alone; may be given again", \
	  option_list, &(args).includes }, \
	{ "exclude", 0, "PATTERN", "encrypt nothing in these; may be given again", option_list, \
	  &(args).excludes }, \
	{ "owner", 0, "RECIPIENT", "reads all, grants, revokes; may be given again", option_list, \
	  &(args).owners }, \
	{ "recipient", 'r', "RECIPIENT=TIER", "let in up to TIER; may be given again", \
	  option_list, &(args).recipients }, \
	{ "recipients-file", 'R', "FILE=TIER", "the same for each line of FILE", option_list, \
	  &(args).files }, \
	{ "audit", 0, "RECIPIENT", "sees what is encrypted, no value; may be given again", \
	  option_list, &(args).auditors }, \
	{ "passphrase", 0, "TIER", "let in up to TIER by a passphrase, which is asked for", \
	  option_list, &(args).passphrases }, \
	OPTIONS_PASSPHRASE_SOURCE((args).source), \
	{ "test-keys", 0, NULL, "let --seed make the keys, too", option_flag, &(args).test_keys }

struct protect {
	struct lmodel_protect_options options;
	struct grantees grantees;
	struct passphrase *passphrases; /* one for each of --passphrase */
	size_t passphrase_count;
	struct lmodel_keyring *like_keys;
};

/* Checks what can be checked without the input, reads recipients and passphrases. Gives the exit
 * status. protect_free() wipes, after a failure too. */
int protect_gather(const struct cmd *cmd, const struct protect_args *args, bool seeded,
		   bool stdin_taken, struct protect *protect);
void protect_free(struct protect *protect);

#endif
