/* The manifest of an archive, or of a grant, as a registry gives it. */
#include "base/base.h"
#include "registry/grants.h"
#include "registry/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds of every manifest that is taken. */
static void check(const struct lm_image *image)
{
	const struct lm_layers *l = &image->layers;
	uint64_t sum = 0;

	if (l->count < 2 || l->count > LM_LAYERS || l->dead_count > LM_LAYERS ||
	    l->layers[0].offset != 0 || l->layers[0].kind != LM_LAYER_MANIFEST ||
	    l->layers[l->count - 1].kind != LM_LAYER_END)
		abort();
	for (size_t i = 0; i < l->count; i++) {
		sum += l->layers[i].length;
		if (!lm_digest_check(l->layers[i].digest) ||
		    (l->layers[i].kind == LM_LAYER_TIER) !=
			    (l->layers[i].tier < image->tier_count) ||
		    (i > 0 && l->layers[i].offset < l->layers[i - 1].offset +
					    l->layers[i - 1].length))
			abort();
	}
	for (size_t i = 0; i < l->dead_count; i++)
		sum += l->dead[i].length;
	if (sum != l->size || l->size > INT64_MAX || strlen(image->id) != 36)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_grant_artifact grant;
	struct lm_image image;
	int r = lm_image_parse(&image, (const char *)data, size, "input", &error);

	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	if (r == LMODEL_OK)
		check(&image);
	lm_image_free(&image);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	r = lm_grant_artifact_parse(&grant, (const char *)data, size, "input", &error);
	if (r != (int)error.code ||
	    (r == LMODEL_OK && (!lm_digest_check(grant.digest) || strlen(grant.id) != 36 ||
				grant.size == 0 || grant.size > LM_GRANT_BLOB_LIMIT)))
		abort();
	return 0;
}
