/* lmodel_pull(): an archive out of a registry (spec: 16.3 to 16.5). */
#include "registry/pull.h"

#include <lmodel/check.h>
#include <lmodel/sign.h>

#include "archive/options.h"
#include "base/io.h"
#include "keys/keyring.h"

/* ---- which tiers ---- */

static int level_of(const struct lm_pull *p, const char *tier, size_t *level,
		    struct lmodel_error *error)
{
	const struct lm_manifest *m = &p->head->manifest;

	for (*level = 0; *level < m->tier_count; ++*level)
		if (strcmp(m->tiers[*level].name, tier) == 0) {
			++*level;
			return LMODEL_OK;
		}
	return lm_fail(error, LMODEL_EUSAGE, "%s: has no tier %s", p->exchange.reference.text,
		       LM_QUOTE(tier));
}

/* What the keys open by themselves, then what somebody left for them beside the archive. */
static int find_keys(struct lm_pull *p, struct lmodel_error *error)
{
	struct lmodel_error own = LMODEL_ERROR_INIT;
	struct lm_sealed_grant one;
	struct lmodel_keyring with = *p->options.keyring;
	int r = lm_grants_level(p->head, p->options.keyring, &p->level, &own);

	if (r != LMODEL_OK && r != LMODEL_ENOKEY)
		return lm_fail(error, (enum lmodel_code)r, "%s", own.message);
	if (r == LMODEL_ENOKEY || p->level < p->head->manifest.tier_count) {
		int looked = lm_grants_find(p->exchange.registry, p->head, p->options.keyring,
					    p->manifest.digest, &p->options.run, &p->grant, error);

		if (looked != LMODEL_OK)
			return looked;
	}
	if (r == LMODEL_ENOKEY && !p->grant.opens)
		return lm_fail(error, LMODEL_ENOKEY, "%s", own.message);
	p->keep_grant = p->grant.opens && (r == LMODEL_ENOKEY || p->grant.level > p->level);
	if (p->keep_grant) {
		p->level = p->grant.level;
		one = (struct lm_sealed_grant){ .file = p->grant.file, .len = p->grant.len };
		with.detached = &one;
		with.detached_count = 1;
	}
	/* Proves the archive, and that it is no older one than was seen before. */
	return lmodel_unlock(p->head, &with, error);
}

/* No tier without those below it. What is there already stays, if it is of this state. */
static int choose_layers(struct lm_pull *p, size_t level, struct lmodel_error *error)
{
	const struct lm_manifest *m = &p->head->manifest;
	const struct lm_layers *layers = &p->image.layers;
	bool ladder = true;

	for (size_t t = 0; t < m->tier_count; t++) {
		size_t i = 0;

		while (i < layers->count &&
		       (layers->layers[i].kind != LM_LAYER_TIER ||
			strcmp(p->image.tiers[layers->layers[i].tier], m->tiers[t].name) != 0))
			i++;
		if (i == layers->count && t < level && p->options.tier != NULL)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tier %s is not there: it was pushed without",
				       p->exchange.reference.text, m->tiers[t].name);
		if (i == layers->count)
			continue;
		ladder = ladder && (t < level || p->assembly.source[i] != LM_NONE);
		p->assembly.wanted[i] = ladder;
	}
	return LMODEL_OK;
}

static int choose(struct lm_pull *p, struct lmodel_error *error)
{
	size_t level = p->head->manifest.tier_count;
	int r = LMODEL_OK;

	if (p->options.signers != NULL)
		r = lmodel_check_signers(p->head, p->options.signers, &p->report.signed_by, error);
	if (r == LMODEL_OK && p->options.tier != NULL)
		r = level_of(p, p->options.tier, &level, error);
	if (r == LMODEL_OK && p->options.keyring != NULL) {
		r = find_keys(p, error);
		if (r == LMODEL_OK && p->options.tier == NULL)
			level = p->level;
	}
	if (p->options.base)
		level = 0;
	return r == LMODEL_OK ? choose_layers(p, level, error) : r;
}

/* ---- what the registry says, and what its first layer says ---- */

static int get_image(struct lm_pull *p, struct lmodel_error *error)
{
	int r = lm_registry_get_manifest(p->exchange.registry, NULL, &p->manifest, NULL, error);

	return r != LMODEL_OK ? r : lm_image_parse(&p->image, p->manifest.bytes, p->manifest.len,
						   p->exchange.reference.text, error);
}

static int check_image(struct lm_pull *p, struct lmodel_error *error)
{
	const struct lmodel_archive *a = p->head;

	return lm_image_check(&p->image, &a->manifest, a->slots.slot_size, a->footer.committed_len,
			      p->exchange.reference.text, error);
}

/* ---- the whole ---- */

static int on_progress(void *context, uint64_t done, uint64_t total)
{
	struct lm_pull *p = context;
	uint64_t before = atomic_load(&p->exchange.total);

	return p->options.run.progress(p->options.run.context, before + done, before + total);
}

static void on_finding(void *context, enum lmodel_severity severity, const char *message)
{
	struct lm_pull *p = context;

	if (severity == LMODEL_FAULT)
		lm_fail(&p->fault, LMODEL_ECORRUPT, "%s: %s", p->exchange.reference.text, message);
}

static void report_tiers(struct lm_pull *p, const struct lm_manifest *m)
{
	for (size_t t = 0; t < m->tier_count; t++) {
		p->report.absent += m->tiers[t].absent;
		if (!m->tiers[t].absent)
			memcpy(p->report.tier, m->tiers[t].name, strlen(m->tiers[t].name) + 1);
	}
}

/* Every byte, before anybody sees the file. */
static int verify(struct lm_pull *p, struct lmodel_error *error)
{
	const struct lmodel_run run = {
		.jobs = p->options.run.jobs, .context = p,
		.progress = p->options.run.progress != NULL ? on_progress : NULL,
	};
	struct lmodel_archive *whole = NULL;
	int r = lm_archive_open_unnamed(&whole, p->out.fd, p->exchange.reference.text, error);

	if (r == LMODEL_OK)
		r = lmodel_verify(whole, &run, on_finding, NULL,
				  p->fault.code == LMODEL_OK ? error : NULL);
	if (r == LMODEL_ECORRUPT && p->fault.code != LMODEL_OK) {
		*error = p->fault;
		r = LMODEL_ECORRUPT;
	}
	if (r == LMODEL_OK)
		report_tiers(p, &whole->manifest);
	lmodel_close(whole);
	return r;
}

static int assemble(struct lm_pull *p, struct lmodel_error *error)
{
	int r = lm_assembly_first(&p->assembly, error);

	if (r == LMODEL_OK)
		r = lm_archive_open_unnamed(&p->head, p->out.fd, p->exchange.reference.text, error);
	if (r == LMODEL_OK)
		r = check_image(p, error);
	if (r == LMODEL_OK)
		r = lm_pull_check_rollback(p, error);
	if (r == LMODEL_OK)
		r = choose(p, error);
	if (r == LMODEL_OK)
		r = lm_pull_begin_grant(p, error);
	if (r == LMODEL_OK)
		r = lm_assembly_rest(&p->assembly, error);
	if (r == LMODEL_OK)
		r = lm_partial_make(&p->assembly, p->head, error);
	return r == LMODEL_OK ? verify(p, error) : r;
}

/* The file that is there has every layer in its place: it is the archive. */
static bool is_there(const struct lm_pull *p)
{
	const struct lm_layers *layers = &p->image.layers;

	if (p->old == NULL || p->old->slots.file_size != layers->size ||
	    p->assembly.old_layers.count != layers->count)
		return false;
	for (size_t i = 0; i < layers->count; i++)
		if (p->assembly.source[i] == LM_NONE ||
		    p->assembly.old_layers.layers[p->assembly.source[i]].offset !=
			    layers->layers[i].offset)
			return false;
	return true;
}

static int leave_as_it_is(struct lm_pull *p, struct lmodel_error *error)
{
	int r;

	p->head = p->old;
	for (size_t i = 0; i < p->image.layers.count; i++)
		p->assembly.fate[i] = LMODEL_LAYER_COPIED;
	r = check_image(p, error);
	if (r == LMODEL_OK)
		r = choose(p, error);
	if (r == LMODEL_OK)
		r = lm_pull_begin_grant(p, error);
	report_tiers(p, &p->head->manifest);
	p->head = NULL;
	return r;
}

static void tell_layers(const struct lm_pull *p)
{
	for (size_t i = 0; i < p->image.layers.count && p->options.layer != NULL; i++) {
		const struct lm_layer *l = &p->image.layers.layers[i];
		const struct lmodel_layer shown = {
			.kind = lm_layer_kind_name(l->kind),
			.tier = l->kind == LM_LAYER_TIER ? p->image.tiers[l->tier] : NULL,
			.digest = l->digest, .offset = l->offset, .length = l->length,
			.fate = p->assembly.fate[i],
		};

		p->options.layer(p->options.run.context, &shown);
	}
}

static int run(struct lm_pull *p, const char *reference, struct lmodel_error *error)
{
	struct lm_http_usage usage;
	int r = lm_exchange_begin(&p->exchange, reference, p->options.plain_http, &p->options.run,
				 error);

	if (r == LMODEL_OK)
		r = get_image(p, error);
	if (r == LMODEL_OK)
		r = lm_assembly_begin(&p->assembly, &p->exchange, &p->image, error);
	if (r == LMODEL_OK)
		r = lm_pull_open_target(p, error);
	if (r == LMODEL_OK)
		r = lm_assembly_match(&p->assembly, error);
	if (r == LMODEL_OK && is_there(p)) {
		r = leave_as_it_is(p, error);
	} else if (r == LMODEL_OK) {
		r = lm_pull_begin_output(p, error);
		if (r == LMODEL_OK)
			r = assemble(p, error);
		if (r == LMODEL_OK)
			r = lm_output_publish(&p->out, error);
		p->report.changed = true;
	}
	if (r == LMODEL_OK)
		r = lm_pull_publish_grant(p, error);
	if (r != LMODEL_OK)
		return r;
	tell_layers(p);
	lm_http_usage(p->exchange.http, &usage);
	memcpy(p->report.digest, p->manifest.digest, sizeof(p->report.digest));
	p->report.sent = usage.sent;
	p->report.received = usage.received;
	p->report.requests = usage.requests;
	p->report.copied = p->assembly.copied;
	return LMODEL_OK;
}

void lmodel_pull_report_free(struct lmodel_pull_report *report)
{
	free(report->grant);
	free(report->signed_by);
	*report = (struct lmodel_pull_report){ .changed = false };
}

int lmodel_pull(const char *reference, const struct lmodel_pull_options *given,
		struct lmodel_pull_report *report, struct lmodel_error *error)
{
	struct lm_pull p = { .options = LMODEL_PULL_OPTIONS_INIT, .out = LM_OUTPUT_INIT,
			  .grant_out = LM_OUTPUT_INIT, .lock = -1,
			  .fault = LMODEL_ERROR_INIT };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&p.options, given);
	if (p.options.tier != NULL && p.options.base)
		return lm_fail(error, LMODEL_EUSAGE, "a tier and the base exclude each other");
	r = run(&p, reference, error);
	lm_exchange_end(&p.exchange);
	lmodel_close(p.head);
	lm_assembly_end(&p.assembly);
	lm_output_release(&p.out);
	lm_output_release(&p.grant_out);
	lm_image_free(&p.image);
	lm_registry_manifest_free(&p.manifest);
	free(p.path);
	free(p.given);
	free(p.grant.file);
	if (p.lock >= 0)
		close(p.lock);
	if (r == LMODEL_OK && report != NULL)
		*report = p.report;
	else
		lmodel_pull_report_free(&p.report);
	return r;
}
