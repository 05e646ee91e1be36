#include "registry/remote_image.h"

/* Nobody else's files have these names. */
static int make_key(struct lm_remote_image *image, struct lmodel_error *error)
{
	struct lm_hash *hash = lm_hash_new(error);

	if (hash == NULL)
		return LMODEL_EFAILED;
	lm_hash_add(hash, "lmodel oci\n", 11);
	lm_hash_add(hash, image->digest, strlen(image->digest));
	lm_hash_finish(hash, image->key);
	lm_hash_free(hash);
	return LMODEL_OK;
}

int lm_remote_image_open(struct lm_remote_image *image, struct lm_http *http, const char *address,
			 struct lmodel_error *error)
{
	struct lm_registry_manifest manifest = { 0 };
	int r;

	*image = (struct lm_remote_image){ 0 };
	r = lm_reference_parse(&image->reference, address, error);
	if (r != LMODEL_OK)
		return r;
	image->label = lm_strdup(image->reference.text, error);
	if (image->label != NULL)
		image->registry = lm_registry_new(http, &image->reference, error);
	if (image->registry == NULL)
		return LMODEL_EFAILED;
	r = lm_registry_get_manifest(image->registry, NULL, &manifest, NULL, error);
	if (r == LMODEL_OK)
		r = lm_image_parse(&image->image, manifest.bytes, manifest.len, image->label, error);
	if (r == LMODEL_OK) {
		memcpy(image->digest, manifest.digest, sizeof(image->digest));
		r = make_key(image, error);
	}
	if (r == LMODEL_OK && image->image.layers.size > LM_BLOCKMAP_SIZE_LIMIT)
		r = lm_fail(error, LMODEL_ELIMIT,
			    "%s: has %ju bytes; at most %ju are read from elsewhere", image->label,
			    (uintmax_t)image->image.layers.size, (uintmax_t)LM_BLOCKMAP_SIZE_LIMIT);
	lm_registry_manifest_free(&manifest);
	return r;
}

void lm_remote_image_close(struct lm_remote_image *image)
{
	if (image->registry != NULL)
		lm_registry_free(image->registry);
	lm_image_free(&image->image);
	lm_reference_free(&image->reference);
	free(image->label);
	*image = (struct lm_remote_image){ 0 };
}

/* The last layer that begins at or before `offset`; the first one begins at 0. */
static const struct lm_layer *layer_at(const struct lm_layers *layers, uint64_t offset)
{
	size_t low = 0, high = layers->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (layers->layers[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &layers->layers[low];
}

int lm_remote_image_fetch(void *context, uint64_t offset, void *buffer, size_t len,
			  struct lmodel_error *error)
{
	const struct lm_remote_image *image = context;
	const struct lm_layers *layers = &image->image.layers;
	const struct lm_layer *layer = layer_at(layers, offset);
	const struct lm_layer *end = layers->layers + layers->count;
	uint8_t *out = buffer;

	memset(buffer, 0, len); /* what is in no layer */
	for (; layer < end && layer->offset < offset + len; layer++) {
		uint64_t from = LM_MAX(offset, layer->offset);
		uint64_t to = LM_MIN(offset + len, layer->offset + layer->length);
		int r;

		if (from >= to)
			continue;
		r = lm_registry_get_range(image->registry, layer->digest, from - layer->offset,
					  out + (from - offset), (size_t)(to - from), error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

static int hash_region(struct lm_ranges *ranges, uint64_t len, char text[LM_DIGEST_SIZE],
		       struct lmodel_error *error)
{
	enum { PIECE = 1 << 18 };
	LM_FREE uint8_t *piece = malloc(PIECE);
	uint8_t digest[LM_SHA256_SIZE];
	struct lm_hash *hash;
	int r = LMODEL_OK;

	if (piece == NULL)
		return lm_fail_memory(error);
	hash = lm_hash_new(error);
	if (hash == NULL)
		return LMODEL_EFAILED;
	lm_ranges_will_need(ranges, 0, len);
	for (uint64_t at = 0; at < len && r == LMODEL_OK; at += PIECE) {
		size_t n = (size_t)LM_MIN(len - at, (uint64_t)PIECE);

		r = lm_ranges_read(ranges, piece, n, at, error);
		if (r == LMODEL_OK)
			lm_hash_add(hash, piece, n);
	}
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	lm_digest_text(text, digest);
	return r;
}

int lm_remote_image_check(const struct lm_remote_image *image, struct lm_ranges *ranges,
			  struct lmodel_error *error)
{
	const struct lm_layer *layer = &image->image.layers.layers[0];
	char digest[LM_DIGEST_SIZE];

	do {
		int r = hash_region(ranges, layer->length, digest, error);

		if (r != LMODEL_OK)
			return r;
	} while (strcmp(digest, layer->digest) != 0 && lm_ranges_doubt(ranges, 0, layer->length));
	if (strcmp(digest, layer->digest) == 0)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_ECORRUPT, "%s: the first layer is not %s", image->label,
		       layer->digest);
}

int lm_remote_image_matches(const struct lm_remote_image *image,
			    const struct lmodel_archive *archive, struct lmodel_error *error)
{
	return lm_image_check(&image->image, &archive->manifest, archive->slots.slot_size,
			      archive->footer.committed_len, image->label, error);
}
