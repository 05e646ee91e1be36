#include "registry/assembly.h"

#include <errno.h>
#include <unistd.h>

#include "base/io.h"

int lm_assembly_begin(struct lm_assembly *a, struct lm_exchange *exchange,
		      const struct lm_image *image, struct lmodel_error *error)
{
	size_t count = image->layers.count;

	*a = (struct lm_assembly){ .exchange = exchange, .image = image, .fd = -1 };
	a->wanted = calloc(count, sizeof(*a->wanted));
	a->fate = calloc(count, sizeof(*a->fate));
	a->source = calloc(count, sizeof(*a->source));
	if (a->wanted == NULL || a->fate == NULL || a->source == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < count; i++) {
		a->wanted[i] = true;
		a->fate[i] = LMODEL_LAYER_LEFT;
		a->source[i] = LM_NONE;
	}
	return LMODEL_OK;
}

void lm_assembly_end(struct lm_assembly *a)
{
	free(a->wanted);
	free(a->fate);
	free(a->source);
	lmodel_close(a->old);
	lm_layers_free(&a->old_layers);
}

/* ---- what is there ---- */

static int digest_old(void *context, size_t index, struct lmodel_error *error)
{
	struct lm_assembly *a = context;
	struct lm_layer *old = &a->old_layers.layers[index];
	bool asked = false;

	for (size_t i = 0; i < a->image->layers.count && !asked; i++)
		asked = a->image->layers.layers[i].length == old->length;
	return asked ? lm_exchange_digest(a->exchange, a->old->file.fd, a->old->label, old->offset,
					 old->length, old->digest, error) :
		       LMODEL_OK;
}

/* A file that is damaged or was cut off is no failure of the pull: it just helps less. */
int lm_assembly_match(struct lm_assembly *a, struct lmodel_error *error)
{
	const struct lm_layers *layers = &a->image->layers;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	int r;

	if (a->old == NULL)
		return LMODEL_OK;
	if (lm_layers_plan(&a->old_layers, &a->old->manifest, a->old->slots.slot_size,
			   a->old->footer.committed_len, a->old->label, NULL) != LMODEL_OK)
		return LMODEL_OK;
	for (size_t i = 0; i < a->old_layers.count; i++)
		lm_exchange_expect(a->exchange, a->old_layers.layers[i].length);
	r = lm_exchange_each(a->exchange, a->old_layers.count, digest_old, a, &e);
	if (r == LMODEL_EFAILED)
		return lm_fail(error, LMODEL_EFAILED, "%s", e.message);
	if (r != LMODEL_OK) {
		lm_notice(a->exchange->run, "%s", e.message);
		atomic_store(&a->exchange->stop, false);
		atomic_store(&a->exchange->stopped_ms, 0);
		return LMODEL_OK;
	}
	for (size_t i = 0; i < layers->count; i++)
		for (size_t o = 0; o < a->old_layers.count && a->source[i] == LM_NONE; o++)
			if (layers->layers[i].length == a->old_layers.layers[o].length &&
			    strcmp(layers->layers[i].digest, a->old_layers.layers[o].digest) == 0)
				a->source[i] = o;
	return LMODEL_OK;
}

/* ---- layers to their places ---- */

struct sink {
	struct lm_assembly *assembly;
	uint64_t at, left;
};

static int take(void *context, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct sink *sink = context;
	struct lm_assembly *a = sink->assembly;
	int r;

	if (len > sink->left)
		return lm_fail(error, LMODEL_ECORRUPT, "a layer is longer than it was said to be");
	r = lm_write_at(a->fd, a->label, bytes, len, sink->at, error);
	sink->at += len;
	sink->left -= len;
	lm_exchange_advance(a->exchange, len);
	return r == LMODEL_OK ? lm_exchange_check(a->exchange, error) : r;
}

/* By the file system where it can share blocks or copies by itself. */
static int copy_range(const struct lm_assembly *a, uint64_t from, uint64_t to, uint64_t length,
		      struct lmodel_error *error)
{
	enum { BUFFER = 1 << 18 };
	LM_FREE uint8_t *buffer = NULL;
	off_t in = (off_t)from, out = (off_t)to;
	int r = LMODEL_OK;

	while (length > 0) {
		ssize_t n = copy_file_range(a->old->file.fd, &in, a->fd, &out,
					    (size_t)LM_MIN(length, UINT64_C(1) << 26), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length -= (uint64_t)n;
		lm_exchange_advance(a->exchange, (uint64_t)n);
		if (lm_exchange_check(a->exchange, error))
			return LMODEL_EFAILED;
	}
	buffer = length > 0 ? malloc(BUFFER) : NULL;
	if (length > 0 && buffer == NULL)
		return lm_fail_memory(error);
	for (from = (uint64_t)in, to = (uint64_t)out; length > 0 && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(length, (uint64_t)BUFFER);

		r = lm_read_at(a->old->file.fd, a->old->label, buffer, n, from, error);
		if (r == LMODEL_OK)
			r = lm_write_at(a->fd, a->label, buffer, n, to, error);
		if (r == LMODEL_OK)
			r = lm_exchange_check(a->exchange, error);
		lm_exchange_advance(a->exchange, n);
		from += n;
		to += n;
		length -= n;
	}
	return r;
}

static int bring(struct lm_assembly *a, size_t index, struct lmodel_error *error)
{
	const struct lm_layer *layer = &a->image->layers.layers[index];
	struct sink sink = { .assembly = a, .at = layer->offset, .left = layer->length };

	if (a->source[index] != LM_NONE) {
		a->fate[index] = LMODEL_LAYER_COPIED;
		return copy_range(a, a->old_layers.layers[a->source[index]].offset, layer->offset,
				  layer->length, error);
	}
	a->fate[index] = LMODEL_LAYER_FETCHED;
	return lm_registry_get_blob(a->exchange->registry, layer->digest, layer->length, take,
				    &sink, error);
}

static int bring_wanted(void *context, size_t index, struct lmodel_error *error)
{
	struct lm_assembly *a = context;

	index++; /* layer 0 is there */
	return a->wanted[index] ? bring(a, index, error) : LMODEL_OK;
}

int lm_assembly_first(struct lm_assembly *a, struct lmodel_error *error)
{
	const struct lm_layers *layers = &a->image->layers;

	if (ftruncate(a->fd, (off_t)layers->size) != 0)
		return lm_fail_errno(error, "%s", a->label);
	lm_exchange_expect(a->exchange, layers->layers[0].length);
	return bring(a, 0, error);
}

int lm_assembly_rest(struct lm_assembly *a, struct lmodel_error *error)
{
	const struct lm_layers *layers = &a->image->layers;
	int r;

	for (size_t i = 1; i < layers->count; i++)
		if (a->wanted[i])
			lm_exchange_expect(a->exchange, layers->layers[i].length);
	r = lm_exchange_each(a->exchange, layers->count - 1, bring_wanted, a, error);
	for (size_t i = 0; i < layers->count; i++)
		if (a->fate[i] == LMODEL_LAYER_COPIED)
			a->copied += layers->layers[i].length;
	return r;
}
