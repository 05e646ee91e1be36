#include "registry/json_write.h"

#include "registry/image.h"

bool lm_json_put_text(json_t *object, const char *key, const char *text)
{
	return json_object_set_new(object, key, json_string(text)) != 0;
}

json_t *lm_json_descriptor(const char *media_type, const char *digest, uint64_t size)
{
	json_t *object = json_object();
	bool failed = lm_json_put_text(object, "mediaType", media_type);

	failed |= lm_json_put_text(object, "digest", digest);
	failed |= json_object_set_new(object, "size", json_integer((json_int_t)size)) != 0;
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

json_t *lm_json_artifact(const char *artifact_type, json_t *config)
{
	json_t *object = json_object();
	bool failed = json_object_set_new(object, "schemaVersion", json_integer(2)) != 0;

	failed |= lm_json_put_text(object, "mediaType", LM_OCI_MANIFEST);
	failed |= lm_json_put_text(object, "artifactType", artifact_type);
	failed |= json_object_set_new(object, "config", config) != 0;
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

int lm_json_text(json_t *root, char **text, size_t *len, struct lmodel_error *error)
{
	*text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	if (*text == NULL)
		return lm_fail_memory(error);
	*len = strlen(*text);
	return LMODEL_OK;
}
