/* Reading the manifest of an archive from a registry: all of it may be a lie (spec: 16.2). */
#include "registry/image.h"

#include "container/layout.h"
#include "registry/json_read.h"

struct parse {
	struct lm_image *image;
	const char *label;
	struct lmodel_error *error;
};

static int bad(const struct parse *p, const char *what)
{
	return lm_fail(p->error, LMODEL_ECORRUPT, "%s: %s", p->label, what);
}

static int bad_layer(const struct parse *p, size_t index, const char *what)
{
	return lm_fail(p->error, LMODEL_ECORRUPT, "%s: layer %zu: %s", p->label, index, what);
}

/* ---- layers ---- */

/* Row of the tier of that name; a new one may come once. */
static int add_tier(struct parse *p, size_t index, const char *name, size_t *tier)
{
	struct lm_image *o = p->image;

	if (name == NULL || !lm_tier_name_valid(name))
		return bad_layer(p, index, "has no name of a tier");
	for (size_t i = 0; i < o->tier_count; i++)
		if (strcmp(o->tiers[i], name) == 0)
			return lm_fail(p->error, LMODEL_ECORRUPT, "%s: tier %s comes twice",
				       p->label, name);
	if (o->tier_count == LM_TIER_ROW_LIMIT)
		return lm_fail(p->error, LMODEL_ELIMIT, "%s: has over %u tiers", p->label,
			       LM_TIER_ROW_LIMIT);
	o->tiers[o->tier_count] = lm_strdup(name, p->error);
	if (o->tiers[o->tier_count] == NULL)
		return LMODEL_EFAILED;
	*tier = o->tier_count++;
	return LMODEL_OK;
}

static int parse_layer(struct parse *p, size_t index, size_t count, const json_t *value)
{
	struct lm_layer *layer = &p->image->layers.layers[index];
	const json_t *notes = json_object_get(value, "annotations");
	const char *type, *kind = lm_json_member_text(notes, "org.lmodel.kind");
	const char *offset = lm_json_member_text(notes, "org.lmodel.offset");
	const char *tier = lm_json_member_text(notes, "org.lmodel.tier");

	layer->tier = LM_NONE;
	if (!lm_json_read_descriptor(value, &type, layer->digest, &layer->length))
		return bad_layer(p, index, "is not a descriptor with media type, digest and size");
	if (strcmp(type, LM_IMAGE_LAYER_TYPE) != 0)
		return lm_fail(p->error, LMODEL_EUNSUPPORTED, "%s: layer %zu: has the type %s",
			       p->label, index, LM_QUOTE(type));
	if (kind == NULL || !lm_layer_kind_parse(kind, &layer->kind))
		return bad_layer(p, index, "has no kind that is known");
	if (offset == NULL || !lm_decimal(offset, &layer->offset))
		return bad_layer(p, index, "has no offset");
	if (layer->length == 0)
		return bad_layer(p, index, "is empty");
	if ((index == 0) != (layer->kind == LM_LAYER_MANIFEST) ||
	    (index + 1 == count) != (layer->kind == LM_LAYER_END))
		return bad_layer(p, index, "is of a kind that does not belong there");
	if (layer->kind == LM_LAYER_MANIFEST && layer->length > lm_slots_end(LM_SLOT_LIMIT))
		return lm_fail(p->error, LMODEL_ELIMIT, "%s: has a manifest of %ju bytes; the limit is "
			       "%ju", p->label, (uintmax_t)layer->length,
			       (uintmax_t)lm_slots_end(LM_SLOT_LIMIT));
	if (layer->kind == LM_LAYER_END && layer->length != LM_TAR_END)
		return bad_layer(p, index, "is no end of an archive");
	if (layer->kind == LM_LAYER_TIER)
		return add_tier(p, index, tier, &layer->tier);
	return tier == NULL ? LMODEL_OK : bad_layer(p, index, "has the name of a tier");
}

static int parse_layers(struct parse *p, const json_t *array)
{
	struct lm_layers *o = &p->image->layers;
	size_t count = json_array_size(array);
	int r = LMODEL_OK;

	if (!json_is_array(array))
		return bad(p, "has no layers");
	if (count > LM_LAYERS)
		return lm_fail(p->error, LMODEL_ELIMIT, "%s: has %zu layers; the limit is %d",
			       p->label, count, LM_LAYERS);
	if (count < 2)
		return bad(p, "has too few layers for an archive");
	o->layers = calloc(count, sizeof(*o->layers));
	p->image->tiers = calloc(LM_TIER_ROW_LIMIT, sizeof(*p->image->tiers));
	if (o->layers == NULL || p->image->tiers == NULL)
		return lm_fail_memory(p->error);
	o->count = count;
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = parse_layer(p, i, count, json_array_get(array, i));
	return r;
}

/* ---- annotations ---- */

/* A number that ends at one of `ends`, which is passed over. */
static bool next_number(const char **at, const char *ends, uint64_t *number)
{
	char text[24];
	size_t len = strcspn(*at, ends);

	if (len >= sizeof(text))
		return false;
	memcpy(text, *at, len);
	text[len] = '\0';
	*at += len + ((*at)[len] != '\0');
	return lm_decimal(text, number);
}

static int parse_dead(struct parse *p, const char *text)
{
	struct lm_layers *o = &p->image->layers;
	size_t count = 1;

	if (text == NULL)
		return LMODEL_OK;
	for (const char *c = text; *c != '\0'; c++)
		count += *c == ',';
	if (count > LM_LAYERS)
		return lm_fail(p->error, LMODEL_ELIMIT, "%s: has %zu dead ranges; the limit is %d",
			       p->label, count, LM_LAYERS);
	o->dead = calloc(count, sizeof(*o->dead));
	if (o->dead == NULL)
		return lm_fail_memory(p->error);
	while (o->dead_count < count) {
		struct lm_range *d = &o->dead[o->dead_count++];

		if (!next_number(&text, "+", &d->offset) || !next_number(&text, ",", &d->length) ||
		    d->length == 0)
			return bad(p, "its dead ranges are not OFFSET+LENGTH,...");
	}
	return *text == '\0' ? LMODEL_OK : bad(p, "its dead ranges are not OFFSET+LENGTH,...");
}

static bool id_valid(const char *id)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? id[i] != '-' :
			   !((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f')))
			return false;
	}
	return id[36] == '\0';
}

static int parse_notes(struct parse *p, const json_t *notes)
{
	const char *id = lm_json_member_text(notes, "org.lmodel.id");
	const char *size = lm_json_member_text(notes, "org.lmodel.size");
	const char *generation = lm_json_member_text(notes, "org.lmodel.generation");

	if (id == NULL)
		return lm_fail(p->error, LMODEL_EUNSUPPORTED,
			       "%s: is a model in another form than an archive of lmodel",
			       p->label);
	if (!id_valid(id))
		return bad(p, "its id is none of an archive");
	memcpy(p->image->id, id, sizeof(p->image->id));
	if (size == NULL || !lm_decimal(size, &p->image->layers.size))
		return bad(p, "does not say how long the file is");
	if (generation == NULL || !lm_decimal(generation, &p->image->generation) ||
	    p->image->generation == 0)
		return bad(p, "does not say its content generation");
	return parse_dead(p, lm_json_member_text(notes, "org.lmodel.dead"));
}

/* Layers and dead ranges, both in order, fill the file. */
static int check_cover(const struct parse *p)
{
	const struct lm_layers *o = &p->image->layers;
	uint64_t end = 0;

	for (size_t layer = 0, dead = 0; layer < o->count || dead < o->dead_count;) {
		bool is_layer = dead == o->dead_count ||
				(layer < o->count &&
				 o->layers[layer].offset < o->dead[dead].offset);
		uint64_t offset = is_layer ? o->layers[layer].offset : o->dead[dead].offset;
		uint64_t length = is_layer ? o->layers[layer].length : o->dead[dead].length;

		if (offset != end)
			return lm_fail(p->error, LMODEL_ECORRUPT,
				       "%s: its layers do not fit together: one begins at %ju, "
				       "not at %ju", p->label, (uintmax_t)offset, (uintmax_t)end);
		if (!lm_add(end, length, &end) || end > INT64_MAX)
			return bad(p, "its layers are longer than a file can be");
		layer += is_layer;
		dead += !is_layer;
	}
	return end == o->size ? LMODEL_OK : bad(p, "its layers do not have the size of the file");
}

/* ---- the document ---- */

static int check_type(const struct parse *p, const json_t *root)
{
	const char *media = lm_json_member_text(root, "mediaType");
	const char *artifact = lm_json_member_text(root, "artifactType");
	uint64_t version;

	if (!lm_json_u64(json_object_get(root, "schemaVersion"), &version) || version != 2)
		return bad(p, "is no manifest of an artifact");
	if (media != NULL && strcmp(media, LM_OCI_MANIFEST) != 0)
		return lm_fail(p->error, LMODEL_EUNSUPPORTED, "%s: is %s, not one artifact",
			       p->label, LM_QUOTE(media));
	if (artifact == NULL || strcmp(artifact, LM_IMAGE_ARTIFACT_TYPE) != 0)
		return lm_fail(p->error, LMODEL_EUNSUPPORTED,
			       "%s: is no model, but an artifact of type %s", p->label,
			       artifact != NULL ? LM_QUOTE(artifact) : "container image");
	return LMODEL_OK;
}

static int parse(struct parse *p, const json_t *root)
{
	const char *type;
	int r = check_type(p, root);

	if (r == LMODEL_OK)
		r = parse_notes(p, json_object_get(root, "annotations"));
	if (r == LMODEL_OK &&
	    (!lm_json_read_descriptor(json_object_get(root, "config"), &type,
				      p->image->config_digest, &p->image->config_size) ||
	     strcmp(type, LM_IMAGE_CONFIG_TYPE) != 0))
		r = bad(p, "has no config of a model");
	if (r == LMODEL_OK)
		r = parse_layers(p, json_object_get(root, "layers"));
	return r == LMODEL_OK ? check_cover(p) : r;
}

int lm_image_parse(struct lm_image *image, const char *bytes, size_t len, const char *label,
		   struct lmodel_error *error)
{
	struct lm_image made = { .generation = 0 };
	struct parse p = { .image = &made, .label = label, .error = error };
	json_t *root = NULL;
	int r = lm_json_document(bytes, len, label, &root, error);

	*image = (struct lm_image){ .generation = 0 };
	if (r == LMODEL_OK)
		r = parse(&p, root);
	json_decref(root);
	if (r != LMODEL_OK)
		lm_image_free(&made);
	else
		*image = made;
	return r;
}

void lm_image_free(struct lm_image *image)
{
	for (size_t i = 0; i < image->tier_count; i++)
		free(image->tiers[i]);
	free(image->tiers);
	lm_layers_free(&image->layers);
	*image = (struct lm_image){ .generation = 0 };
}

/* ---- against the archive itself ---- */

static bool same_layer(const struct lm_image *image, const struct lm_layer *claimed,
		       const struct lm_layer *made, const struct lm_manifest *m)
{
	if (claimed->kind != made->kind || claimed->offset != made->offset ||
	    claimed->length != made->length)
		return false;
	return made->kind != LM_LAYER_TIER ||
	       strcmp(image->tiers[claimed->tier], m->tiers[made->tier].name) == 0;
}

int lm_image_matches(const struct lm_image *image, const struct lm_layers *layers,
		     const struct lm_manifest *m, const char *label, struct lmodel_error *error)
{
	const struct lm_layers *claimed = &image->layers;
	const struct parse p = { .label = label, .error = error };

	if (strcmp(image->id, m->id) != 0)
		return bad(&p, "its manifest layer is of another archive");
	if (image->generation != m->content_generation)
		return bad(&p, "its manifest layer is of another content generation");
	for (size_t i = 0; i < LM_MIN(claimed->count, layers->count); i++)
		if (!same_layer(image, &claimed->layers[i], &layers->layers[i], m))
			return bad_layer(&p, i, "is not what the archive has there");
	if (claimed->count != layers->count || claimed->size != layers->size)
		return bad(&p, "its layers are not those of the archive");
	if (claimed->dead_count != layers->dead_count ||
	    (layers->dead_count > 0 && memcmp(claimed->dead, layers->dead,
					      layers->dead_count * sizeof(*layers->dead)) != 0))
		return bad(&p, "its dead ranges are not those of the archive");
	return LMODEL_OK;
}

int lm_image_check(const struct lm_image *image, const struct lm_manifest *m, uint64_t slot_size,
		   uint64_t committed_len, const char *label, struct lmodel_error *error)
{
	struct lm_layers layers = { 0 };
	int r = lm_layers_plan(&layers, m, slot_size, committed_len, label, error);

	if (r == LMODEL_OK)
		r = lm_image_matches(image, &layers, m, label, error);
	lm_layers_free(&layers);
	return r;
}
