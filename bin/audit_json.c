/* The report for programs. */
#include <stdio.h>
#include <string.h>

#include <lmodel.h>

#include "audit.h"
#include "inspect.h"
#include "message.h"

/* Null when it is not known. */
static json_t *real(double value, bool known)
{
	return known ? json_real(value) : json_null();
}

static json_t *detection_json(const struct lmodel_detection *d)
{
	json_t *object = json_object();

	if (d->tensors == 0) {
		json_decref(object);
		return json_null();
	}
	json_put(object, "tensors", json_number(d->tensors));
	json_put(object, "detector", json_text(d->detector));
	json_put(object, "mean", real(d->mean, true));
	json_put(object, "most", real(d->most, true));
	json_put(object, "most_tensor", json_text(d->tensor));
	json_put(object, "lot", real(d->lot, true));
	json_put(object, "position", json_text(d->position));
	json_put(object, "position_mean", real(d->position_mean, d->position != NULL));
	json_put(object, "position_most", real(d->position_most, d->position != NULL));
	json_put(object, "tail", real(d->tail, d->tail_known));
	return object;
}

static json_t *pooled_json(const struct lmodel_detection *d)
{
	json_t *object = json_object();

	if (d->pooled_tensors == 0) {
		json_decref(object);
		return json_null();
	}
	json_put(object, "tensors", json_number(d->pooled_tensors));
	json_put(object, "detector", json_text(d->pooled_detector));
	json_put(object, "area", real(d->pooled, true));
	json_put(object, "lot", real(d->pooled_lot, true));
	return object;
}

static json_t *tiers_json(const struct lmodel_archive *archive,
			  const struct lmodel_audit_report *r)
{
	json_t *array = inspect_tiers_json(archive);

	for (size_t i = 0; i < r->tier_count; i++) {
		const struct lmodel_audit_tier *t = &r->tiers[i];
		json_t *object = json_array_get(array, i);

		json_put(object, "recoverable", json_bool(t->recoverable));
		json_put(object, "given", json_bool(t->given));
		json_put(object, "exact", json_bool(t->exact));
		json_put(object, "units", json_number(t->units));
		json_put(object, "elements", json_number(t->elements));
		json_put(object, "bytes", json_number(t->bytes));
		json_put(object, "detection", detection_json(&t->detection));
		json_put(object, "pooled", pooled_json(&t->detection));
	}
	return array;
}

static void print_shards(const struct lmodel_audit_report *r)
{
	for (size_t i = 0; i < r->shard_count && !message_stdout_failed(); i++) {
		const struct lmodel_audit_shard *s = &r->shards[i];
		json_t *object = json_object();

		json_put(object, "tensor", json_text(s->tensor->name));
		json_put(object, "tier", json_text(r->tiers[s->tier].tier->name));
		json_put(object, "unit", json_text(s->unit));
		json_put(object, "unit_count", json_number(s->unit_count));
		json_put(object, "unit_bytes", json_number(s->unit_bytes));
		json_put(object, "stored_bytes", json_number(s->stored_bytes));
		json_put(object, "exact", json_bool(s->exact));
		json_put(object, "units", json_number(s->units));
		json_put(object, "elements", json_number(s->elements));
		json_put(object, "bytes", json_number(s->bytes));
		json_put(object, "detection", detection_json(&s->detection));
		json_print_item(object, i == 0);
	}
}

/* Side files of tiers, as they show. */
static json_t *sealed_json(const struct lmodel_archive *archive)
{
	const struct lmodel_attachment *a;
	json_t *array = json_array();

	for (size_t i = 0; (a = lmodel_attachment_at(archive, i)) != NULL; i++) {
		json_t *object;

		if (a->tier == NULL)
			continue;
		object = json_object();
		json_put(object, "name", json_text(a->name));
		json_put(object, "tier", json_text(a->tier));
		json_put(object, "exact", json_bool(a->open));
		json_put(object, "bytes", json_number(a->bytes));
		json_put(object, "stored_bytes", json_number(a->stored_bytes));
		json_push(array, object);
	}
	return array;
}

/* Whom a slot is for is the owner's to know: not here, whatever the key. */
static json_t *slots_json(const struct lmodel_archive *archive)
{
	json_t *array = inspect_slots_json(archive);
	json_t *slot;
	size_t i;

	json_array_foreach(array, i, slot) {
		json_object_del(slot, "label");
		json_object_del(slot, "recipient");
	}
	return array;
}

static void print_against(const struct audit_against *against)
{
	const struct lmodel_audit_comparison *c = against->sum;
	json_t *object = json_object();

	json_put(object, "archive", json_text(against->name));
	json_put(object, "equal", json_number(c->equal));
	json_put(object, "unequal", json_number(c->unequal));
	json_put(object, "other", json_number(c->other));
	json_put(object, "exact", json_bool(c->exact_a && c->exact_b));
	json_put(object, "unit_count", json_number(c->unit_count));
	json_put(object, "differing", json_number(c->differing));
	json_put(object, "hidden", json_number(c->hidden));
	json_put(object, "given_away", json_number(c->given_away));
	fputs(", \"against\": {", stdout);
	json_print_members(object, true);
	json_print_list("changes");
	for (size_t i = 0; i < against->change_count && !message_stdout_failed(); i++) {
		const struct lmodel_audit_change *change = &against->changes[i];
		json_t *item = json_object();

		json_put(item, "tensor", json_text(change->tensor->name));
		json_put(item, "unit", json_text(change->unit));
		json_put(item, "unit_count", json_number(change->unit_count));
		json_put(item, "differing", json_number(change->differing));
		json_put(item, "hidden", json_number(change->hidden));
		json_put(item, "given_away", json_number(change->given_away));
		json_print_item(item, i == 0);
	}
	fputs("]}", stdout);
}

void audit_print_json(const struct lmodel_archive *archive, const struct lmodel_audit_report *r,
		      const struct audit_against *against)
{
	json_t *d = json_document(), *rest = json_object(), *findings = json_array();
	struct lmodel_info info;

	lmodel_info(archive, &info);
	for (size_t i = 0; i < r->finding_count; i++)
		json_push(findings, json_text(r->findings[i]));
	json_put(d, "id", json_text(info.id));
	json_put(d, "content_generation", json_number(info.content_generation));
	json_put(d, "content_root", json_text(info.content_root));
	json_put(d, "signatures", inspect_signatures_json(archive));
	json_put(d, "slots", slots_json(archive));
	json_put(d, "exact", json_bool(r->exact));
	json_put(d, "hidden_elements", json_number(r->elements));
	json_put(d, "hidden_bytes", json_number(r->bytes));
	json_put(d, "elements", json_number(r->all_elements));
	json_put(d, "bytes", json_number(r->all_bytes));
	json_put(d, "tiers", tiers_json(archive, r));
	putchar('{');
	json_print_members(d, true);
	json_print_list("shards");
	print_shards(r);
	putchar(']');
	json_put(rest, "attachments", sealed_json(archive));
	if (against == NULL)
		json_put(rest, "against", json_null());
	json_print_members(rest, false);
	if (against != NULL)
		print_against(against);
	rest = json_object();
	json_put(rest, "findings", findings);
	json_print_members(rest, false);
	puts("}");
}
