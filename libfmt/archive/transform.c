/* lmodel_transform_open(): the key of an input transform that an archive carries (spec: 15). */
#include <lmodel/transform.h>

#include "archive/archive.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "transform/transform.h"

int lmodel_transform_open(struct lmodel_transform **out, struct lmodel_archive *archive,
			  const char *name, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	const struct lmodel_attachment *found;
	LM_SECRET char *text = NULL;
	LM_FREE char *label = NULL;
	size_t len;
	int r;

	error = error != NULL ? error : &local;
	name = name != NULL ? name : LMODEL_TRANSFORM_NAME;
	found = lmodel_attachment_find(archive, name);
	if (found == NULL)
		return lm_fail(error, LMODEL_EUSAGE, "%s: has no attachment %s", archive->label,
			       LM_QUOTE(name));
	/* What a closed tier has of it is longer than it is: reading says that it is closed. */
	if (found->open && found->bytes > LM_TRANSFORM_TEXT_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: attachment %s: over %d bytes: no key of a transform",
			       archive->label, LM_QUOTE(name), LM_TRANSFORM_TEXT_LIMIT);
	label = lm_format(error, "%s: %s", archive->label, LM_QUOTE(name));
	if (label == NULL || lm_crypto_init(error) != LMODEL_OK)
		return LMODEL_EFAILED;
	len = found->open ? (size_t)found->bytes : 0;
	text = lm_secret_alloc(LM_TRANSFORM_TEXT_LIMIT, error);
	if (text == NULL)
		return LMODEL_EFAILED;
	r = lmodel_attachment_read(archive, found, 0, text, len, error);
	return r == LMODEL_OK ? lmodel_transform_parse(out, text, len, label, error) : r;
}
