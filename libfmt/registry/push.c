/* lmodel_push(): an archive into a registry (spec: 16.1, 16.2). */
#include <lmodel/registry.h>

#include <errno.h>

#include "archive/archive.h"
#include "archive/options.h"
#include "base/io.h"
#include "base/publish.h"
#include "net/cache.h"
#include "registry/exchange.h"
#include "registry/grants.h"
#include "registry/image.h"

struct push {
	struct lmodel_push_options options;
	struct lm_exchange exchange;
	struct lmodel_archive *archive;
	struct lm_slot slots[2];        /* as they were before anything was read */
	struct lm_layers layers;
	enum lmodel_layer_fate *fate;   /* of each */
	struct lm_image_texts texts;
	char digest[LM_DIGEST_SIZE];    /* of the manifest */
	struct lmodel_push_report report;
	char *state;                    /* directory of uploads that were cut off, or NULL */
};

static const uint8_t end_blocks[LM_TAR_END];

/* ---- whether it can be pushed ---- */

static int check_dead(struct push *p, const struct lm_range *dead, struct lmodel_error *error)
{
	enum { BUFFER = 1 << 16 };
	const struct lmodel_archive *a = p->archive;
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	uint64_t at = dead->offset, end = dead->offset + dead->length;
	int r = buffer == NULL ? lm_fail_memory(error) : LMODEL_OK;

	while (at < end && r == LMODEL_OK) {
		off_t data = lseek(a->file.fd, (off_t)at, SEEK_DATA);
		size_t n;

		if (data < 0 && errno == ENXIO)
			break; /* a hole to the end of the file */
		at = data < 0 ? at : LM_MIN((uint64_t)data, end);
		n = (size_t)LM_MIN(end - at, (uint64_t)BUFFER);
		r = lm_file_read(&a->file, buffer, n, at, error);
		if (r == LMODEL_OK && !lm_is_zero(buffer, n))
			r = lm_fail(error, LMODEL_ECORRUPT,
				    "%s: holds shards under an old key at %ju, which must not get "
				    "out: the next grant, revoke or rekey zeroes them, when nobody "
				    "reads the file", a->label, (uintmax_t)dead->offset);
		if (r == LMODEL_OK)
			r = lm_exchange_check(&p->exchange, error);
		at += n;
	}
	return r;
}

static int check_archive(struct push *p, struct lmodel_error *error)
{
	struct lmodel_archive *a = p->archive;
	int r = lm_slots_examine(&a->file, &a->slots, p->slots, error);

	if (r != LMODEL_OK)
		return r;
	if (!p->slots[0].valid || !p->slots[0].padded || !p->slots[1].valid ||
	    !p->slots[1].padded ||
	    memcmp(p->slots[0].footer.digest, p->slots[1].footer.digest, LM_SHA256_SIZE) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: its manifest slots are damaged, or somebody writes it now "
			       "(verify --repair mends damage)", a->label);
	if (memcmp(p->slots[0].footer.digest, a->footer.digest, LM_SHA256_SIZE) != 0)
		return lm_fail(error, LMODEL_EFAILED, "%s: was changed meanwhile; try again",
			       a->label);
	r = lm_layers_plan(&p->layers, &a->manifest, a->slots.slot_size, a->footer.committed_len,
			   a->label, error);
	for (size_t i = 0; i < p->layers.dead_count && r == LMODEL_OK; i++)
		r = check_dead(p, &p->layers.dead[i], error);
	for (size_t i = 0; i < a->manifest.tier_count && r == LMODEL_OK; i++)
		if (a->manifest.tiers[i].absent)
			lm_notice(&p->options.run,
				  "%s: tier %s is not in this file, nor in what is pushed",
				  a->label, a->manifest.tiers[i].name);
	return r;
}

/* A commit since would make what was read a mixture. */
static int check_unchanged(struct push *p, struct lmodel_error *error)
{
	struct lmodel_archive *a = p->archive;

	for (int i = 0; i < 2; i++) {
		struct lm_slot_footer footer;

		if (!lm_slot_footer_read(&a->file, &a->slots, i, &footer) ||
		    memcmp(footer.digest, p->slots[i].footer.digest, LM_SHA256_SIZE) != 0)
			return lm_fail(error, LMODEL_EFAILED,
				       "%s: was changed while it was read; try again", a->label);
	}
	return LMODEL_OK;
}

/* ---- layers ---- */

static int digest_layer(void *context, size_t index, struct lmodel_error *error)
{
	struct push *p = context;
	struct lm_layer *layer = &p->layers.layers[index];

	if (layer->kind != LM_LAYER_END)
		return lm_exchange_digest(&p->exchange, p->archive->file.fd, p->archive->label,
					 layer->offset, layer->length, layer->digest, error);
	/* Whatever an interrupted append has left there. */
	lm_digest_of(layer->digest, end_blocks, sizeof(end_blocks));
	lm_exchange_advance(&p->exchange, layer->length);
	return LMODEL_OK;
}

/* An earlier layer with the same bytes. */
static bool comes_before(const struct lm_layers *layers, size_t index)
{
	const struct lm_layer *layer = &layers->layers[index];

	for (size_t i = 0; i < index; i++)
		if (layers->layers[i].length == layer->length &&
		    strcmp(layers->layers[i].digest, layer->digest) == 0)
			return true;
	return false;
}

struct upload {
	struct push *push;
	uint64_t sent;           /* of the layer, so far */
};

static int on_sent(void *context, uint64_t sent)
{
	struct upload *u = context;

	if (sent > u->sent) {
		lm_exchange_advance(&u->push->exchange, sent - u->sent);
		u->sent = sent;
	}
	return lm_exchange_check(&u->push->exchange, NULL) != LMODEL_OK;
}

static int send_layer(struct push *p, const struct lm_layer *layer, struct lmodel_error *error)
{
	struct upload u = { .push = p };
	const struct lm_http_body body = {
		.bytes = layer->kind == LM_LAYER_END ? end_blocks : NULL, .fd = p->archive->file.fd,
		.label = p->archive->label, .offset = layer->offset, .length = layer->length,
	};
	const struct lm_upload_options options = {
		.chunk = p->options.chunk, .state = p->state, .progress = on_sent,
		.context = &u,
	};
	int r = lm_registry_put_blob(p->exchange.registry, layer->digest, &body, &options, error);

	if (r == LMODEL_OK)
		lm_exchange_advance(&p->exchange, layer->length - LM_MIN(u.sent, layer->length));
	return r;
}

static int put_layer(void *context, size_t index, struct lmodel_error *error)
{
	struct push *p = context;
	const struct lm_layer *layer = &p->layers.layers[index];
	bool there = comes_before(&p->layers, index), mounted = false;
	int r = LMODEL_OK;

	if (!there)
		r = lm_registry_has_blob(p->exchange.registry, layer->digest, layer->length, &there,
					 error);
	if (r == LMODEL_OK && !there && p->options.from != NULL)
		r = lm_registry_mount(p->exchange.registry, layer->digest, p->options.from,
				      &mounted, error);
	p->fate[index] = there ? LMODEL_LAYER_THERE :
			 mounted ? LMODEL_LAYER_MOUNTED : LMODEL_LAYER_SENT;
	if (r == LMODEL_OK && !there && !mounted)
		return send_layer(p, layer, error);
	if (r == LMODEL_OK)
		lm_exchange_advance(&p->exchange, layer->length);
	return r;
}

static int put_layers(struct push *p, struct lmodel_error *error)
{
	uint64_t bytes = 0;
	int r;

	p->fate = calloc(p->layers.count, sizeof(*p->fate));
	if (p->fate == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < p->layers.count; i++)
		bytes += p->layers.layers[i].length;
	lm_exchange_expect(&p->exchange, 2 * bytes);
	r = lm_exchange_each(&p->exchange, p->layers.count, digest_layer, p, error);
	if (r == LMODEL_OK)
		r = check_unchanged(p, error);
	if (r == LMODEL_OK)
		r = lm_exchange_each(&p->exchange, p->layers.count, put_layer, p, error);
	return r;
}

/* ---- the artifact ---- */

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

static int put_config(struct push *p, struct lmodel_error *error)
{
	const struct lm_http_body body = { .bytes = p->texts.config, .fd = -1,
					   .length = p->texts.config_len };
	const struct lm_upload_options options = { .chunk = 0 };
	bool there = false;
	int r = lm_registry_has_blob(p->exchange.registry, p->texts.config_digest,
				     p->texts.config_len, &there, error);

	return r != LMODEL_OK || there ? r :
		lm_registry_put_blob(p->exchange.registry, p->texts.config_digest, &body, &options,
				     error);
}

/* What the tag has now; grants for the same archive are attached to the new one first, so that
 * whoever finds that finds them. */
static int carry_grants(struct push *p, struct lmodel_error *error)
{
	struct lm_registry_manifest old = { .bytes = NULL };
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_image image = { .generation = 0 };
	bool found = false;
	int r = lm_registry_get_manifest(p->exchange.registry, p->exchange.reference.tag, &old,
					 &found, &e);

	if (r == LMODEL_EFAILED && found)
		r = lm_fail(error, LMODEL_EFAILED, "%s", e.message);
	else if (r == LMODEL_EFAILED)
		r = LMODEL_OK;
	p->report.changed = !found || strcmp(old.digest, p->digest) != 0;
	if (found && p->report.changed && r == LMODEL_OK &&
	    lm_image_parse(&image, old.bytes, old.len, p->exchange.reference.text, NULL) ==
		    LMODEL_OK && strcmp(image.id, p->archive->manifest.id) == 0)
		r = lm_grants_carry(p->exchange.registry, image.id, old.digest, p->digest,
				    p->texts.manifest_len, &p->report.grants, error);
	lm_image_free(&image);
	lm_registry_manifest_free(&old);
	return r;
}

static int put_artifact(struct push *p, struct lmodel_error *error)
{
	int r = lm_image_make(&p->texts, &p->layers, &p->archive->manifest,
			      last_part(p->exchange.reference.name), error);

	if (r != LMODEL_OK)
		return r;
	lm_digest_of(p->digest, p->texts.manifest, p->texts.manifest_len);
	r = put_config(p, error);
	if (r == LMODEL_OK)
		r = carry_grants(p, error);
	if (r == LMODEL_OK && p->report.changed)
		r = lm_registry_put_manifest(p->exchange.registry, p->exchange.reference.tag,
					     LM_OCI_MANIFEST, p->texts.manifest,
					     p->texts.manifest_len, NULL, error);
	return r;
}

static void tell_layers(const struct push *p)
{
	for (size_t i = 0; i < p->layers.count && p->options.layer != NULL; i++) {
		const struct lm_layer *l = &p->layers.layers[i];
		const struct lmodel_layer shown = {
			.kind = lm_layer_kind_name(l->kind),
			.tier = l->kind == LM_LAYER_TIER ?
					p->archive->manifest.tiers[l->tier].name : NULL,
			.digest = l->digest, .offset = l->offset, .length = l->length,
			.fate = p->fate[i],
		};

		p->options.layer(p->options.run.context, &shown);
	}
}

static int check_reference(const struct push *p, struct lmodel_error *error)
{
	const struct lm_reference *ref = &p->exchange.reference;

	if (ref->digest != NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: a push is to a tag, and makes the digest itself", ref->text);
	if (p->options.from == NULL)
		return LMODEL_OK;
	if (!lm_reference_is_name(p->options.from))
		return lm_fail(error, LMODEL_EUSAGE, "%s: is not the name of a repository",
			       LM_QUOTE(p->options.from));
	return LMODEL_OK;
}

/* Without a place for them, uploads that are cut off begin anew. */
static void choose_state(struct push *p)
{
	LM_FREE char *cache = p->options.state == NULL ? lm_cache_path() : NULL;

	if (p->options.state != NULL)
		p->state = lm_strdup(p->options.state, NULL);
	else if (cache != NULL)
		p->state = lm_format(NULL, "%s/uploads", cache);
	if (p->state != NULL &&
	    (p->state[0] == '\0' || lm_make_private(p->state, NULL) != LMODEL_OK)) {
		free(p->state);
		p->state = NULL;
	}
}

static int run(struct push *p, const char *path, const char *reference, struct lmodel_error *error)
{
	struct lm_http_usage usage;
	int r = lm_exchange_begin(&p->exchange, reference, p->options.plain_http, &p->options.run,
				 error);

	if (r == LMODEL_OK)
		r = check_reference(p, error);
	if (r == LMODEL_OK)
		choose_state(p);
	if (r == LMODEL_OK)
		r = lmodel_open(&p->archive, path, error);
	if (r == LMODEL_OK)
		r = check_archive(p, error);
	if (r == LMODEL_OK)
		r = put_layers(p, error);
	if (r == LMODEL_OK)
		r = put_artifact(p, error);
	if (r != LMODEL_OK)
		return r;
	tell_layers(p);
	lm_http_usage(p->exchange.http, &usage);
	memcpy(p->report.digest, p->digest, sizeof(p->report.digest));
	p->report.sent = usage.sent;
	p->report.received = usage.received;
	p->report.requests = usage.requests;
	return LMODEL_OK;
}

int lmodel_push(const char *archive, const char *reference,
		const struct lmodel_push_options *given, struct lmodel_push_report *report,
		struct lmodel_error *error)
{
	struct push p = { .options = LMODEL_PUSH_OPTIONS_INIT };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&p.options, given);
	r = run(&p, archive, reference, error);
	lm_exchange_end(&p.exchange);
	lmodel_close(p.archive);
	lm_layers_free(&p.layers);
	lm_image_texts_free(&p.texts);
	free(p.fate);
	free(p.state);
	if (r == LMODEL_OK && report != NULL)
		*report = p.report;
	return r;
}
