/* audit --positions: unit numbers of one tensor. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmodel.h>

#include "audit.h"
#include "message.h"
#include "text.h"

struct printer {
	const char *tier;
	json_t *runs;
	uint64_t first, count;   /* of the run that may still go on */
};

static int print_range(void *context, uint64_t first, uint64_t count)
{
	struct printer *p = context;

	if (p->count > 0 && p->first + p->count == first) {
		p->count += count;
		return 0;
	}
	if (p->count > 0)
		printf("%s %" PRIu64 "-%" PRIu64 "\n", p->tier, p->first, p->first + p->count - 1);
	p->first = first;
	p->count = count;
	return message_stdout_failed();
}

static int print_numbers(void *context, uint64_t first, uint64_t count)
{
	(void)context;
	for (uint64_t u = first; u < first + count; u++) {
		unsigned char bytes[8];

		for (int i = 0; i < 8; i++)
			bytes[i] = (unsigned char)(u >> (8 * i));
		fwrite(bytes, sizeof(bytes), 1, stdout);
	}
	return message_stdout_failed();
}

static int keep_range(void *context, uint64_t first, uint64_t count)
{
	struct printer *p = context;
	json_t *run = json_array();

	json_push(run, json_number(first));
	json_push(run, json_number(first + count - 1));
	json_push(p->runs, run);
	return 0;
}

/* ---- .npy, version 1.0 ---- */

static void print_npy_header(uint64_t count)
{
	char *text = text_format("{'descr': '<u8', 'fortran_order': False, 'shape': (%" PRIu64
				 ",), }", count);
	size_t len = strlen(text), padded = (10 + len + 1 + 63) / 64 * 64 - 10;

	fwrite("\x93NUMPY\x01\x00", 8, 1, stdout);
	putchar((int)(padded & 0xff));
	putchar((int)(padded >> 8));
	printf("%-*s\n", (int)padded - 1, text);
	free(text);
}

/* ---- tiers ---- */

struct chosen {
	const struct lmodel_tier *tiers[16];
	size_t count;
};

static int choose(const struct lmodel_archive *archive, const char *name, const char *tier,
		  struct chosen *chosen)
{
	const struct lmodel_tier *t;
	bool found = false;

	for (size_t i = 0; (t = lmodel_tier_at(archive, i)) != NULL; i++) {
		if (tier != NULL && strcmp(tier, t->name) != 0)
			continue;
		found = true;
		if (tier != NULL || (t->positions_open && !t->absent))
			chosen->tiers[chosen->count++] = t;
		else
			message_notice("%s: tier %s: %s", name, TEXT_QUOTE(t->name),
				       t->absent ? "is not in this file" :
						   "no key opens its positions");
	}
	if (tier != NULL && !found) {
		message_error("%s: no tier %s", name, TEXT_QUOTE(tier));
		return LMODEL_EUSAGE;
	}
	if (chosen->count == 0 && lmodel_tier_count(archive) > 0) {
		message_error("%s: no key opens positions: -i FILE", name);
		return LMODEL_ENOKEY;
	}
	return LMODEL_OK;
}

/* ---- formats ---- */

struct listing {
	const struct lmodel_archive *archive;
	const struct lmodel_tensor *tensor;
	struct chosen chosen;
};

static int walk(const struct listing *l, size_t i, struct lmodel_positions *about,
		lmodel_positions_fn *each, void *context)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	return lmodel_positions(l->archive, l->tensor, l->chosen.tiers[i]->name, about, each,
				context, &error) == LMODEL_OK ? LMODEL_OK : message_fail(&error);
}

static int list_ranges(const struct listing *l)
{
	struct lmodel_positions about;
	int r = LMODEL_OK;

	for (size_t i = 0; i < l->chosen.count && r == LMODEL_OK; i++) {
		struct printer p = { .tier = l->chosen.tiers[i]->name };

		r = walk(l, i, &about, print_range, &p);
		if (p.count > 0)
			print_range(&p, UINT64_MAX, 0);
	}
	return r;
}

/* The header states how many there are: they are counted first, and proven. */
static int list_npy(const struct listing *l)
{
	struct lmodel_positions about;
	uint64_t count = 0;
	int r = LMODEL_OK;

	for (size_t i = 0; i < l->chosen.count && r == LMODEL_OK; i++) {
		r = walk(l, i, &about, NULL, NULL);
		count += about.hidden;
	}
	if (r == LMODEL_OK)
		print_npy_header(count);
	for (size_t i = 0; i < l->chosen.count && r == LMODEL_OK; i++)
		r = walk(l, i, &about, print_numbers, NULL);
	return r;
}

static int list_json(const struct listing *l)
{
	json_t *document = json_document(), *tiers = json_array();
	int r = LMODEL_OK;

	json_put(document, "tensor", json_text(l->tensor->name));
	for (size_t i = 0; i < l->chosen.count && r == LMODEL_OK; i++) {
		struct printer p = { .runs = json_array() };
		struct lmodel_positions about;
		json_t *object = json_object();

		r = walk(l, i, &about, keep_range, &p);
		json_put(object, "tier", json_text(l->chosen.tiers[i]->name));
		json_put(object, "unit", json_text(about.unit));
		json_put(object, "unit_count", json_number(about.unit_count));
		json_put(object, "unit_bytes", json_number(about.unit_bytes));
		json_put(object, "hidden", json_number(about.hidden));
		json_put(object, "runs", p.runs);
		json_push(tiers, object);
	}
	json_put(document, "tiers", tiers);
	if (r == LMODEL_OK)
		json_print(document);
	else
		json_decref(document);
	return r;
}

int audit_positions(const struct lmodel_archive *archive, const char *path, const char *tensor,
		    const char *tier, enum positions_format format)
{
	struct listing l = { .archive = archive, .tensor = lmodel_tensor_find(archive, tensor) };
	char *name = text_archive(path);
	int r;

	if (l.tensor == NULL) {
		message_error("%s: no tensor %s", name, TEXT_QUOTE(tensor));
		r = LMODEL_EUSAGE;
	} else {
		r = choose(archive, name, tier, &l.chosen);
	}
	free(name);
	if (r != LMODEL_OK)
		return r;
	return format == POSITIONS_NPY  ? list_npy(&l) :
	       format == POSITIONS_JSON ? list_json(&l) : list_ranges(&l);
}
