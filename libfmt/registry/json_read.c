#include "registry/json_read.h"

#include "net/fields.h"

#include "registry/image.h"

int lm_json_document(const char *bytes, size_t len, const char *label, json_t **root,
		     struct lmodel_error *error)
{
	/* Two containers a layer: itself and its annotations; others may put in more. */
	const struct lm_json_limits limits = { .depth = 16, .containers = 8 * LM_LAYERS };
	int r;

	*root = NULL;
	if (len > LM_IMAGE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: has %zu bytes; the limit is %ju", label,
			       len, (uintmax_t)LM_IMAGE_LIMIT);
	r = lm_json_parse(bytes, len, 0, label, &limits, root, error);
	if (r == LMODEL_OK && !json_is_object(*root))
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: is no JSON object", label);
	return r;
}

const char *lm_json_member_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

bool lm_json_read_descriptor(const json_t *value, const char **media_type,
			     char digest[LM_DIGEST_SIZE], uint64_t *size)
{
	const char *text = lm_json_member_text(value, "digest");

	*media_type = lm_json_member_text(value, "mediaType");
	if (*media_type == NULL || text == NULL || !lm_digest_check(text) ||
	    !lm_json_u64(json_object_get(value, "size"), size) || *size > INT64_MAX)
		return false;
	memcpy(digest, text, LM_DIGEST_SIZE);
	return true;
}

bool lm_decimal(const char *text, uint64_t *number)
{
	return (text[0] != '0' || text[1] == '\0') &&
	       lm_decimal_parse(text, strlen(text), number) && *number <= INT64_MAX;
}
