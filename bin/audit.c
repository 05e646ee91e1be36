#include "audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "cmd.h"
#include "inspect.h"
#include "message.h"
#include "text.h"

/* A normal distribution has a tail of 0.57 or so, half of one 0.66; of that one without its
 * largest 8 % 0.21 is left. */
#define TAIL_CUT 0.4
#define TAIL_THIN 0.55

static const char *at_most(bool exact)
{
	return exact ? "" : "at most ";
}

/* ---- the archive ---- */

static bool is_owner(const struct lmodel_archive *archive)
{
	const struct lmodel_slot *slot;

	for (size_t i = 0; (slot = lmodel_slot_at(archive, i)) != NULL; i++)
		if (slot->known)
			return true;
	return false;
}

static const char *describe(const struct lmodel_slot *slot)
{
	if (!slot->known)
		return "not known";
	return slot->role == LMODEL_OWNER ? "owner" :
	       slot->role == LMODEL_AUDITOR ? "audit" : slot->tier;
}

/* "2 X25519, 1 passphrase"; an owner sees "1 owner, 2 gold" behind it, and names with -v alone. */
static void print_slots(const struct lmodel_archive *archive)
{
	const size_t count = lmodel_slot_count(archive);
	const bool owner = is_owner(archive);

	if (message_verbose && owner) {
		inspect_slots(archive);
		return;
	}
	if (count == 0)
		inspect_line("slots", "none: nobody can open it with a key");
	for (int round = 0; count > 0 && round <= owner; round++) {
		const char *separator = "";

		printf("%-14s", round == 0 ? "slots" : "");
		for (size_t i = 0; i < count; i++) {
			const struct lmodel_slot *slot = lmodel_slot_at(archive, i);
			const char *what = round == 0 ? slot->kind : describe(slot);
			size_t same = 0, before = 0;

			for (size_t k = 0; k < count; k++) {
				const struct lmodel_slot *other = lmodel_slot_at(archive, k);
				bool equal = strcmp(what, round == 0 ? other->kind :
								       describe(other)) == 0;

				same += equal;
				before += equal && k < i;
			}
			if (before > 0)
				continue;
			printf("%s%zu ", separator, same);
			text_print(stdout, what);
			separator = ", ";
		}
		putchar('\n');
	}
}

static void print_total(const struct lmodel_audit_report *r)
{
	char count[TEXT_COUNT], all[TEXT_COUNT], bytes[TEXT_HUMAN], ratio[TEXT_RATIO];

	inspect_line("hidden", "%s%s of %s parameters (%s), %s", at_most(r->exact),
		     text_count(count, r->elements), text_count(all, r->all_elements),
		     text_ratio(ratio, r->elements, r->all_elements), text_human(bytes, r->bytes));
	if (!r->exact)
		inspect_line("", "from padded lengths: an audit, holder or owner key (-i) tells "
				 "the exact sets");
}

/* ---- a tier ---- */

static const char *tail_text(const struct lmodel_detection *d)
{
	return d->tail < TAIL_CUT ? "cut off" : d->tail < TAIL_THIN ? "thin" : "whole";
}

static void print_detection(const struct lmodel_audit_tier *t)
{
	const struct lmodel_detection *d = &t->detection;

	if (d->tensors == 0 && d->pooled_tensors == 0) {
		inspect_line("", "  detection    not measurable: %s",
			     t->tier->absent           ? "its shards are not in this file" :
			     !t->tier->positions_open  ? "no key opens its positions" :
							 "too few units are hidden, or public");
		return;
	}
	if (d->tensors != 0)
		inspect_line("", "  decoys       %s tells them with AUC %.2f (%.2f at most; by lot %.2f)",
			     d->detector, d->mean, d->most, d->lot);
	if (d->pooled_tensors != 0)
		inspect_line("", "  pooled       %s tells them with AUC %.2f in %zu tensor%s "
				 "(by lot %.2f)", d->pooled_detector, d->pooled, d->pooled_tensors,
			     text_plural(d->pooled_tensors), d->pooled_lot);
	if (d->position != NULL)
		inspect_line("", "  places       %s tells them with AUC %.2f (%.2f at most)",
			     d->position, d->position_mean, d->position_most);
	if (d->tail_known)
		inspect_line("", "  absence      tail of public norms %.2f: %s", d->tail,
			     tail_text(d));
}

/* Name and padded length are public, and all that shows. */
static void print_side_files(const struct lmodel_archive *archive, const char *tier)
{
	const struct lmodel_attachment *a;
	size_t shown = 0, all = 0;

	for (size_t i = 0; (a = lmodel_attachment_at(archive, i)) != NULL; i++) {
		char size[TEXT_HUMAN], *name;

		if (a->tier == NULL || strcmp(a->tier, tier) != 0 || all++ >= inspect_lines())
			continue;
		shown++;
		name = text_cut(a->name, INSPECT_WIDTH - 40);
		inspect_line("", "  side file    %s, %s%s", name, at_most(a->open),
			     text_human(size, a->bytes));
		free(name);
	}
	if (all > shown)
		inspect_line("", "  ... and %zu more side files", all - shown);
}

static void print_tier(const struct lmodel_archive *archive, const struct lmodel_audit_tier *t,
		       const struct lmodel_audit_report *r)
{
	char count[TEXT_COUNT], units[TEXT_COUNT], size[TEXT_HUMAN], stored[TEXT_HUMAN];
	char ratio[TEXT_RATIO], *name = text_cut(t->tier->name, 64);
	char *amount = text_cut(t->tier->amount, 32), *select = text_cut(t->tier->select, 16);
	char *mask = text_cut(t->tier->mask, 16), *unit = text_cut(t->tier->unit, 16);
	char *scope = text_cut(t->tier->scope, 16);

	inspect_line("tier", "%s: %s by %s, mask %s, unit %s, scope %s; generation %llu%s", name,
		     amount[0] != '\0' ? amount : "all", select, mask, unit, scope,
		     t->tier->generation, t->tier->absent ? ", not in this file" : "");
	inspect_line("", "  %s%s unit%s, %s parameters (%s), %s; %zu tensor%s, %s stored",
		     at_most(t->exact), text_count(units, t->units), text_plural(t->units),
		     text_count(count, t->elements),
		     text_ratio(ratio, t->elements, r->all_elements), text_human(size, t->bytes),
		     t->tier->tensor_count,
		     text_plural(t->tier->tensor_count), text_human(stored, t->tier->stored_bytes));
	if (t->recoverable)
		inspect_line("", INSPECT_OBFUSCATION);
	if (t->given)
		inspect_line("", "  the public weights were given: what they tell of the true ones "
				 "is not known");
	if (t->tier->tensor_count > 0)
		print_detection(t);
	print_side_files(archive, t->tier->name);
	free(name);
	free(amount);
	free(select);
	free(mask);
	free(unit);
	free(scope);
}

/* ---- -v: a line a tensor and tier ---- */

static void print_area(double area, bool known)
{
	if (known)
		printf("  %5.2f", area);
	else
		printf("  %5s", "-");
}

static void print_shards(const struct lmodel_audit_report *r)
{
	int widest = 6, tiers = 4;

	for (size_t i = 0; i < r->shard_count; i++) {
		size_t n = lmodel_escape(NULL, 0, r->shards[i].tensor->name);
		size_t k = strlen(r->tiers[r->shards[i].tier].tier->name);

		widest = (int)n > widest && n < 1000 ? (int)n : widest;
		tiers = (int)k > tiers ? (int)k : tiers;
	}
	printf("\n%-*s  %-*s  %-7s  %12s  %12s  %8s  decoys  places  tail  detector\n", widest,
	       "tensor", tiers, "tier", "unit", "hidden", "of", "share");
	for (size_t i = 0; i < r->shard_count && !message_stdout_failed(); i++) {
		const struct lmodel_audit_shard *s = &r->shards[i];
		const struct lmodel_detection *d = &s->detection;
		char *name = text_escape(s->tensor->name), *unit = text_escape(s->unit);
		char share[TEXT_RATIO], count[TEXT_COUNT], all[TEXT_COUNT];
		char *hidden = text_format("%s%s", s->exact ? "" : "<= ",
					   text_count(count, s->units));

		printf("%-*s  %-*s  %-7s  %12s  %12s  %8s ", widest, name, tiers,
		       r->tiers[s->tier].tier->name, unit, hidden, text_count(all, s->unit_count),
		       text_ratio(share, s->units, s->unit_count));
		print_area(d->mean, d->tensors > 0);
		putchar(' ');
		print_area(d->position_mean, d->position != NULL);
		putchar(' ');
		print_area(d->tail, d->tail_known);
		printf("  %s\n", d->tensors > 0 ? d->detector : "-");
		free(name);
		free(unit);
		free(hidden);
	}
}

/* ---- against another release ---- */

static void print_against(const struct audit_against *against)
{
	const struct lmodel_audit_comparison *c = against->sum;
	char *name = text_archive(against->name);
	char units[TEXT_COUNT], all[TEXT_COUNT], hidden[TEXT_COUNT], given[TEXT_COUNT];
	char share[TEXT_RATIO], part[TEXT_RATIO];

	inspect_line("against", "%s: base of %zu tensor%s equal, of %zu not, %zu in one alone or "
		     "of another shape", name, c->equal, text_plural(c->equal), c->unequal,
		     c->other);
	inspect_line("", "%s of %s units of these differ (%s)", text_count(units, c->differing),
		     text_count(all, c->unit_count),
		     text_ratio(share, c->differing, c->unit_count));
	if (c->hidden > 0)
		inspect_line("", "%s of these are hidden ones: %s of what is hidden there (%s)%s",
			     text_count(given, c->given_away), text_count(hidden, c->hidden),
			     text_ratio(part, c->given_away, c->hidden),
			     c->exact_a && c->exact_b ? "" : ", as far as keys tell");
	else if (c->differing > 0 && !(c->exact_a && c->exact_b))
		inspect_line("", "which of them are hidden is not known without a key");
	/* Where next to nothing else differs, who lays both side by side sees the positions. */
	if (c->given_away > 0)
		inspect_line("", "who compares both finds hidden units with %s certainty",
			     text_ratio(part, c->given_away, c->differing));
	free(name);
	if (!message_verbose)
		return;
	for (size_t i = 0; i < against->change_count; i++) {
		const struct lmodel_audit_change *change = &against->changes[i];
		char *tensor = text_escape(change->tensor->name);

		inspect_line("", "%s: %s of %s %s units differ, %s of %s hidden ones", tensor,
			     text_count(units, change->differing),
			     text_count(all, change->unit_count), change->unit,
			     text_count(given, change->given_away),
			     text_count(hidden, change->hidden));
		free(tensor);
	}
}

void audit_print(const struct lmodel_archive *archive, const char *path,
		 const struct lmodel_audit_report *report, const struct audit_against *against)
{
	char *name = text_archive(strcmp(path, "-") == 0 ? path : text_base(path));
	struct lmodel_info info;

	lmodel_info(archive, &info);
	inspect_line("name", "%s", name);
	inspect_line("id", "%s, generation %" PRIu64, info.id, info.content_generation);
	inspect_line("content root", "%s", info.content_root);
	inspect_signatures(archive);
	if (report->tier_count == 0) {
		inspect_line("protection", "none: nothing is encrypted, every tensor is readable "
					   "by anyone");
	} else {
		print_slots(archive);
		print_total(report);
		for (size_t i = 0; i < report->tier_count; i++)
			print_tier(archive, &report->tiers[i], report);
	}
	if (against != NULL)
		print_against(against);
	for (size_t i = 0; i < report->finding_count; i++)
		inspect_line(i > 0 ? "" : "findings", "%s", report->findings[i]);
	if (message_verbose && report->shard_count > 0)
		print_shards(report);
	free(name);
}
