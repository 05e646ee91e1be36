#include "inspect.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"
#include "text.h"

#define LIST_LINES 6

size_t inspect_lines(void)
{
	return message_verbose ? SIZE_MAX : LIST_LINES;
}

void inspect_line(const char *label, const char *format, ...)
{
	va_list args;

	printf("%-14s", label);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void inspect_more(size_t count)
{
	if (count > inspect_lines())
		inspect_line("", "... and %zu more", count - inspect_lines());
}

/* ---- tiers ---- */

static const char *state_of(const struct lmodel_tier *tier)
{
	if (tier->absent)
		return tier->open ? "not in this file, open" : "not in this file";
	if (tier->open)
		return "open";
	return tier->positions_open ? "positions open" : "locked";
}

static bool same_method(const struct lmodel_tier *a, const struct lmodel_tier *b)
{
	return strcmp(a->select, b->select) == 0 && strcmp(a->mask, b->mask) == 0 &&
	       strcmp(a->unit, b->unit) == 0 && strcmp(a->scope, b->scope) == 0;
}

static void print_tier(const struct lmodel_tier *tier, int widest, int amounts)
{
	char tensors[TEXT_COUNT], size[TEXT_HUMAN];
	char *name = text_cut(tier->name, 64), *amount = text_cut(tier->amount, 32);

	inspect_line("", "%-*s  %*s  %6s tensor%-1s %10s  generation %llu, %s", widest, name,
		     amounts, amount, text_count(tensors, tier->tensor_count),
		     text_plural(tier->tensor_count), text_human(size, tier->stored_bytes),
		     tier->generation, state_of(tier));
	free(name);
	free(amount);
}

static void print_method(const struct lmodel_tier *tier)
{
	char *select = text_cut(tier->select, 16), *mask = text_cut(tier->mask, 16);
	char *unit = text_cut(tier->unit, 16), *scope = text_cut(tier->scope, 16);

	inspect_line("", "selected by %s, masked by %s, unit %s, scope %s", select, mask, unit,
		     scope);
	free(select);
	free(mask);
	free(unit);
	free(scope);
}

bool inspect_lacks_tiers(const struct lmodel_archive *archive)
{
	for (size_t i = 0; i < lmodel_tier_count(archive); i++)
		if (lmodel_tier_at(archive, i)->absent)
			return true;
	return false;
}

void inspect_tiers(const struct lmodel_archive *archive)
{
	size_t count = lmodel_tier_count(archive);
	int widest = 0, amounts = 0;

	if (count == 0) {
		inspect_line("protection", "none: every tensor is readable by anyone");
		return;
	}
	inspect_line("protection", "%zu tier%s, lowest first; without a key the base", count,
		     text_plural(count));
	for (size_t i = 0; i < count; i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);
		int name = (int)strnlen(tier->name, 64), amount = (int)strnlen(tier->amount, 32);

		widest = name > widest ? name : widest;
		amounts = amount > amounts ? amount : amounts;
	}
	/* Tiers of one archive are mostly made in one way, which is said once, below them. */
	for (size_t i = 0; i < count; i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);

		print_tier(tier, widest, amounts);
		if (i + 1 < count && same_method(tier, lmodel_tier_at(archive, i + 1)))
			continue;
		print_method(tier);
		if (tier->recoverable)
			inspect_line("", INSPECT_OBFUSCATION);
	}
}

json_t *inspect_tiers_json(const struct lmodel_archive *archive)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lmodel_tier_count(archive); i++) {
		const struct lmodel_tier *tier = lmodel_tier_at(archive, i);
		json_t *object = json_object();

		json_put(object, "name", json_text(tier->name));
		json_put(object, "amount", json_text(tier->amount));
		json_put(object, "select", json_text(tier->select));
		json_put(object, "mask", json_text(tier->mask));
		json_put(object, "unit", json_text(tier->unit));
		json_put(object, "scope", json_text(tier->scope));
		json_put(object, "generation", json_number(tier->generation));
		json_put(object, "tensors", json_number(tier->tensor_count));
		json_put(object, "stored_bytes", json_number(tier->stored_bytes));
		json_put(object, "recoverable", json_bool(tier->recoverable));
		json_put(object, "absent", json_bool(tier->absent));
		json_put(object, "open", json_bool(tier->open));
		json_put(object, "positions_open", json_bool(tier->positions_open));
		json_push(array, object);
	}
	return array;
}

/* ---- slots ---- */

static const char *role_name(enum lmodel_role role)
{
	switch (role) {
	case LMODEL_HOLDER:
		return "holder";
	case LMODEL_AUDITOR:
		return "audit";
	case LMODEL_OWNER:
		return "owner";
	}
	return "?";
}

static void print_slot(const struct lmodel_slot *slot, const char *heading)
{
	char *kind = text_cut(slot->kind, 16), *tier, *label, *recipient;

	if (!slot->known) {
		inspect_line(heading, "%4u  %s", slot->id, kind);
		free(kind);
		return;
	}
	tier = slot->tier != NULL ? text_cut(slot->tier, 64) : text_format("-");
	label = slot->label != NULL ? text_cut(slot->label, 40) : text_format("-");
	recipient = slot->recipient != NULL ? text_cut(slot->recipient, INSPECT_WIDTH)
					    : text_format("-");
	inspect_line(heading, "%4u  %-11s  %-6s  %s  %s  %s", slot->id, kind,
		     role_name(slot->role), tier, label, recipient);
	free(recipient);
	free(label);
	free(tier);
	free(kind);
}

void inspect_slots(const struct lmodel_archive *archive)
{
	size_t count = lmodel_slot_count(archive), shown = inspect_lines();

	if (count == 0 && lmodel_tier_count(archive) > 0)
		inspect_line("slots", "none: nobody can open it with a key");
	/* An owner looks for a number to revoke. */
	for (size_t i = 0; i < count; i++)
		if (lmodel_slot_at(archive, i)->known)
			shown = count;
	for (size_t i = 0; i < count && i < shown; i++)
		print_slot(lmodel_slot_at(archive, i), i == 0 ? "slots" : "");
	if (shown < count)
		inspect_more(count);
}

json_t *inspect_slots_json(const struct lmodel_archive *archive)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lmodel_slot_count(archive); i++) {
		const struct lmodel_slot *slot = lmodel_slot_at(archive, i);
		json_t *object = json_object();

		json_put(object, "id", json_number(slot->id));
		json_put(object, "kind", json_text(slot->kind));
		json_put(object, "known", json_bool(slot->known));
		json_put(object, "role", json_text(slot->known ? role_name(slot->role) : NULL));
		json_put(object, "tier", json_text(slot->known ? slot->tier : NULL));
		json_put(object, "label", json_text(slot->known ? slot->label : NULL));
		json_put(object, "recipient", json_text(slot->known ? slot->recipient : NULL));
		json_push(array, object);
	}
	return array;
}

/* ---- signatures ---- */

/* A minisign signature does not hold the key that it verifies under. */
static bool has_own_key(const struct lmodel_signature *signature)
{
	return strcmp(signature->kind, "minisign") != 0;
}

/* That a signature verifies says nothing of whose it is: anybody can sign. */
void inspect_signatures(const struct lmodel_archive *archive)
{
	size_t count = lmodel_signature_count(archive);

	if (count == 0)
		inspect_line("signature", "unsigned");
	for (size_t i = 0; i < count; i++) {
		const struct lmodel_signature *s = lmodel_signature_at(archive, i);
		char *kind = text_cut(s->kind, 16), *signer = text_cut(s->signer, 64);

		inspect_line(i > 0 ? "" : count == 1 ? "signature" : "signatures", "%s %s %s", kind,
			     signer,
			     !has_own_key(s) ? "not checked: verify --signers does" :
			     s->of_this      ? "verifies under its own key" :
					       "of another statement");
		free(signer);
		free(kind);
	}
}

json_t *inspect_signatures_json(const struct lmodel_archive *archive)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lmodel_signature_count(archive); i++) {
		const struct lmodel_signature *s = lmodel_signature_at(archive, i);
		json_t *object = json_object();

		json_put(object, "kind", json_text(s->kind));
		json_put(object, "signer", json_text(s->signer));
		json_put(object, "of_this",
			 has_own_key(s) ? json_bool(s->of_this) : json_text(NULL));
		json_push(array, object);
	}
	return array;
}
