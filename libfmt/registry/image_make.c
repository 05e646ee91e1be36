/* The documents that describe an archive in a registry (spec: 16.2). */
#include "registry/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "registry/json_write.h"

/* RFC 3339; what no calendar has becomes its first moment. */
static void format_time(char text[32], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900)
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* ---- the config ---- */

static json_t *make_config(const struct lm_layers *layers, const char *created, const char *name)
{
	json_t *root = json_object(), *descriptor = json_object(), *config = json_object();
	json_t *modelfs = json_object(), *ids = json_array();
	bool failed = false;

	for (size_t i = 0; i < layers->count; i++)
		failed |= json_array_append_new(ids, json_string(layers->layers[i].digest)) != 0;
	failed |= lm_json_put_text(descriptor, "createdAt", created);
	failed |= lm_json_put_text(descriptor, "name", name);
	failed |= lm_json_put_text(config, "format", "lmodel");
	failed |= lm_json_put_text(modelfs, "type", "layers");
	failed |= json_object_set_new(modelfs, "diffIds", ids) != 0;
	failed |= json_object_set_new(root, "descriptor", descriptor) != 0;
	failed |= json_object_set_new(root, "modelfs", modelfs) != 0;
	failed |= json_object_set_new(root, "config", config) != 0;
	if (!failed)
		return root;
	json_decref(root);
	return NULL;
}

/* ---- the manifest ---- */

static int digits_of(size_t count)
{
	return count > 1000 ? 4 : 3; /* LM_LAYERS has four */
}

static json_t *make_layer(const struct lm_layers *layers, size_t index, const struct lm_manifest *m,
			  const char *name)
{
	const struct lm_layer *layer = &layers->layers[index];
	const char *tier = layer->kind == LM_LAYER_TIER ? m->tiers[layer->tier].name : NULL;
	json_t *object = lm_json_descriptor(LM_IMAGE_LAYER_TYPE, layer->digest, layer->length);
	json_t *notes = json_object();
	char path[LM_IMAGE_NAME_LIMIT + LM_TIER_NAME_LIMIT + 64], offset[24];
	bool failed;

	snprintf(path, sizeof(path), "%s.lmodel.parts/%0*zu-%s%s%s", name,
		 digits_of(layers->count), index, lm_layer_kind_name(layer->kind),
		 tier != NULL ? "-" : "", tier != NULL ? tier : "");
	snprintf(offset, sizeof(offset), "%" PRIu64, layer->offset);
	failed = lm_json_put_text(notes, "org.cncf.model.filepath", path);
	failed |= lm_json_put_text(notes, "org.opencontainers.image.title", path);
	failed |= lm_json_put_text(notes, "org.lmodel.offset", offset);
	failed |= lm_json_put_text(notes, "org.lmodel.kind", lm_layer_kind_name(layer->kind));
	failed |= tier != NULL && lm_json_put_text(notes, "org.lmodel.tier", tier);
	failed |= json_object_set_new(object, "annotations", notes) != 0;
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

/* "OFFSET+LENGTH,...": empty when there are none. */
static char *dead_text(const struct lm_layers *layers, struct lmodel_error *error)
{
	enum { ENTRY = 42 };
	char *text = calloc(layers->dead_count + 1, ENTRY);
	size_t len = 0;

	if (text == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	for (size_t i = 0; i < layers->dead_count; i++)
		len += (size_t)snprintf(text + len, ENTRY, "%s%" PRIu64 "+%" PRIu64,
					i > 0 ? "," : "", layers->dead[i].offset,
					layers->dead[i].length);
	return text;
}

static json_t *make_notes(const struct lm_layers *layers, const struct lm_manifest *m,
			  const char *created, const char *dead)
{
	json_t *notes = json_object();
	char number[24];
	bool failed = lm_json_put_text(notes, "org.lmodel.id", m->id);

	snprintf(number, sizeof(number), "%" PRIu64, m->content_generation);
	failed |= lm_json_put_text(notes, "org.lmodel.generation", number);
	snprintf(number, sizeof(number), "%" PRIu64, layers->size);
	failed |= lm_json_put_text(notes, "org.lmodel.size", number);
	failed |= dead[0] != '\0' && lm_json_put_text(notes, "org.lmodel.dead", dead);
	failed |= lm_json_put_text(notes, "org.opencontainers.image.created", created);
	if (!failed)
		return notes;
	json_decref(notes);
	return NULL;
}

static json_t *make_manifest(const struct lm_image_texts *texts, const struct lm_layers *layers,
			     const struct lm_manifest *m, const char *name, json_t *notes)
{
	json_t *config = lm_json_descriptor(LM_IMAGE_CONFIG_TYPE, texts->config_digest,
					    texts->config_len);
	json_t *root = lm_json_artifact(LM_IMAGE_ARTIFACT_TYPE, config);
	json_t *array = json_array();
	bool failed = false;

	for (size_t i = 0; i < layers->count; i++)
		failed |= json_array_append_new(array, make_layer(layers, i, m, name)) != 0;
	failed |= json_object_set_new(root, "layers", array) != 0;
	failed |= json_object_set_new(root, "annotations", notes) != 0;
	if (!failed)
		return root;
	json_decref(root);
	return NULL;
}

int lm_image_make(struct lm_image_texts *texts, const struct lm_layers *layers,
		  const struct lm_manifest *m, const char *name, struct lmodel_error *error)
{
	struct lm_image_texts made = { 0 };
	LM_FREE char *dead = dead_text(layers, error);
	char created[32];
	int r;

	*texts = made;
	if (dead == NULL)
		return LMODEL_EFAILED;
	if (strlen(name) > LM_IMAGE_NAME_LIMIT)
		return lm_fail(error, LMODEL_EUSAGE, "%s: a name of over %d bytes", LM_QUOTE(name),
			       LM_IMAGE_NAME_LIMIT);
	format_time(created, m->created);
	r = lm_json_text(make_config(layers, created, name), &made.config, &made.config_len, error);
	if (r == LMODEL_OK) {
		lm_digest_of(made.config_digest, made.config, made.config_len);
		r = lm_json_text(make_manifest(&made, layers, m, name,
					       make_notes(layers, m, created, dead)),
				 &made.manifest, &made.manifest_len, error);
	}
	if (r == LMODEL_OK && LM_MAX(made.manifest_len, made.config_len) > LM_IMAGE_LIMIT)
		r = lm_fail(error, LMODEL_ELIMIT, "the manifest for the registry has %zu bytes",
			    made.manifest_len);
	if (r != LMODEL_OK)
		lm_image_texts_free(&made);
	else
		*texts = made;
	return r;
}

void lm_image_texts_free(struct lm_image_texts *texts)
{
	free(texts->manifest);
	free(texts->config);
	*texts = (struct lm_image_texts){ 0 };
}
