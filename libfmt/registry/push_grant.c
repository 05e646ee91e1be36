/* lmodel_push_grant(): a grant beside an archive in a registry (spec: 16.5). */
#include <lmodel/registry.h>

#include "archive/archive.h"
#include "archive/options.h"
#include "registry/exchange.h"
#include "registry/grants.h"
#include "registry/image.h"

int lmodel_push_grant(const char *path, const char *reference, const char *grant, size_t len,
		      const struct lmodel_push_grant_options *given,
		      char digest[LMODEL_DIGEST_SIZE], struct lmodel_error *error)
{
	struct lmodel_push_grant_options options = LMODEL_PUSH_GRANT_OPTIONS_INIT;
	struct lm_registry_manifest manifest = { .bytes = NULL };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_image image = { .generation = 0 };
	struct lmodel_archive *archive = NULL;
	char made[LM_DIGEST_SIZE] = "";
	struct lm_exchange s;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	r = lm_exchange_begin(&s, reference, options.plain_http, &options.run, error);
	if (r == LMODEL_OK)
		r = lmodel_open(&archive, path, error);
	if (r == LMODEL_OK)
		r = lm_registry_get_manifest(s.registry, NULL, &manifest, NULL, error);
	if (r == LMODEL_OK)
		r = lm_image_parse(&image, manifest.bytes, manifest.len, s.reference.text, error);
	if (r == LMODEL_OK && strcmp(image.id, archive->manifest.id) != 0)
		r = lm_fail(error, LMODEL_EUSAGE, "%s: is another archive than %s",
			    s.reference.text, archive->label);
	if (r == LMODEL_OK && image.generation != archive->manifest.content_generation)
		r = lm_fail(error, LMODEL_EUSAGE,
			    "%s: has content generation %ju, %s has %ju: push it first",
			    s.reference.text, (uintmax_t)image.generation, archive->label,
			    (uintmax_t)archive->manifest.content_generation);
	if (r == LMODEL_OK && grant != NULL)
		r = lm_grants_attach(s.registry, image.id, grant, len, manifest.digest,
				     manifest.len, made, error);
	if (r == LMODEL_OK && digest != NULL)
		memcpy(digest, made, sizeof(made));
	lm_image_free(&image);
	lm_registry_manifest_free(&manifest);
	lmodel_close(archive);
	lm_exchange_end(&s);
	return r;
}
