/* A copy without the shards of some tiers, all else in its place (spec: 16.4). */
#include "base/io.h"
#include "container/tar.h"
#include "registry/assembly.h"

/* Whether the layer with this tier was left out. */
static bool is_left(const struct lm_assembly *a, const char *tier, const struct lm_layer **layer)
{
	const struct lm_layers *layers = &a->image->layers;

	for (size_t i = 0; i < layers->count; i++)
		if (layers->layers[i].kind == LM_LAYER_TIER && !a->wanted[i] &&
		    strcmp(a->image->tiers[layers->layers[i].tier], tier) == 0) {
			*layer = &layers->layers[i];
			return true;
		}
	return false;
}

/* The header before the data of one of its members, which begins at `from`. */
static int put_header(const struct lm_assembly *a, const struct lm_manifest *m,
		      const struct lm_tier_row *tier, enum lm_stream kind, uint64_t from,
		      struct lmodel_error *error)
{
	uint8_t header[LM_TAR_HEADER_MAX];
	char path[LM_TIER_PATH_SIZE];
	size_t len;
	int r;

	lm_tier_path(tier, kind, path);
	r = lm_tar_header(path, tier->length[kind], m->created,
			  tier->offset[kind] - from == LM_TAR_HEADER_MAX, header, &len, error);
	if (r == LMODEL_OK && from + len != tier->offset[kind])
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: no header fits before tier %s", a->label,
			    tier->name);
	return r == LMODEL_OK ? lm_write_at(a->fd, a->label, header, len, from, error) : r;
}

static int by_offset(const void *a, const void *b)
{
	const struct lm_dead_row *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int leave_out(const struct lm_assembly *a, struct lm_manifest *m, struct lm_tier_row *tier,
		     const struct lm_layer *layer, struct lmodel_error *error)
{
	uint64_t from = layer->offset;
	int r = LMODEL_OK;

	for (int kind = 0; kind < 2 && r == LMODEL_OK; kind++) {
		r = put_header(a, m, tier, (enum lm_stream)kind, from, error);
		m->dead[m->dead_count++] = (struct lm_dead_row){ .offset = tier->offset[kind],
								 .length = tier->length[kind] };
		from = lm_align(tier->offset[kind] + tier->length[kind], LM_TAR_BLOCK);
	}
	tier->absent = true;
	return r;
}

static int write_slots(const struct lm_assembly *a, const struct lmodel_archive *archive,
		       const struct lm_manifest *m, struct lmodel_error *error)
{
	const struct lm_slot_footer *footer = &archive->footer;
	uint8_t *image;
	uint64_t len;
	int r = lm_manifest_store(m, &image, &len, error);

	if (r != LMODEL_OK)
		return r;
	if (len > footer->slot_size - LM_SLOT_FOOTER)
		r = lm_fail(error, LMODEL_ELIMIT,
			    "%s: its manifest has no room to say which tiers are absent: pull all "
			    "of them, or have it repacked", a->label);
	else
		r = lm_slots_create(a->fd, a->label, footer->slot_size, m->created, image, len,
				    footer->committed_len, footer->commit_counter, error);
	lm_manifest_image_free(image);
	return r;
}

int lm_partial_make(struct lm_assembly *a, const struct lmodel_archive *archive,
		    struct lmodel_error *error)
{
	const struct lm_manifest *old = &archive->manifest;
	struct lm_manifest m = *old;
	LM_FREE struct lm_tier_row *tiers = calloc(old->tier_count + 1, sizeof(*tiers));
	LM_FREE struct lm_dead_row *dead = calloc(old->dead_count + 2 * old->tier_count + 1,
						  sizeof(*dead));
	const struct lm_layer *layer;
	bool any = false;
	int r = LMODEL_OK;

	if (tiers == NULL || dead == NULL)
		return lm_fail_memory(error);
	if (old->tier_count > 0)
		memcpy(tiers, old->tiers, old->tier_count * sizeof(*tiers));
	if (old->dead_count > 0)
		memcpy(dead, old->dead, old->dead_count * sizeof(*dead));
	m.tiers = tiers;
	m.dead = dead;
	for (size_t i = 0; i < m.tier_count && r == LMODEL_OK; i++)
		if (is_left(a, tiers[i].name, &layer)) {
			r = leave_out(a, &m, &tiers[i], layer, error);
			any = true;
		}
	qsort(dead, m.dead_count, sizeof(*dead), by_offset);
	return r == LMODEL_OK && any ? write_slots(a, archive, &m, error) : r;
}
