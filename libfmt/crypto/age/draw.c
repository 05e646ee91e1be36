#include "crypto/age/draw.h"

#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#include <stdio.h>

struct lm_age_draw {
	bool fixed;
	uint8_t key[32];
};

/* A text ends with its NUL, so that no two lists of them are the same bytes. */
static int digest_input(uint8_t digest[LM_SHA256_SIZE],
			const struct lm_age_recipient *const *recipients, size_t count,
			const void *plain, size_t len, struct lmodel_error *error)
{
	struct lm_hash *hash = lm_hash_new(error);
	uint8_t number[8];

	if (hash == NULL)
		return LMODEL_EFAILED;
	lm_put_u64(number, count);
	lm_hash_add(hash, number, sizeof(number));
	for (size_t i = 0; i < count; i++)
		lm_hash_add(hash, recipients[i]->text, strlen(recipients[i]->text) + 1);
	if (len > 0)
		lm_hash_add(hash, plain, len);
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	return LMODEL_OK;
}

struct lm_age_draw *lm_age_draw_new(const uint8_t *entropy,
				    const struct lm_age_recipient *const *recipients, size_t count,
				    const void *plain, size_t len, struct lmodel_error *error)
{
	static const char info[] = "lmodel/1/age";
	struct lm_age_draw *draw = lm_secret_alloc(sizeof(*draw), error);
	uint8_t salt[LM_SHA256_SIZE];

	if (draw == NULL || entropy == NULL)
		return draw;
	if (digest_input(salt, recipients, count, plain, len, error)) {
		lm_age_draw_free(draw);
		return NULL;
	}
	draw->fixed = true;
	lm_hkdf_sha256(draw->key, sizeof(draw->key), entropy, LM_AGE_ENTROPY, salt, sizeof(salt),
		       info, sizeof(info) - 1);
	return draw;
}

void lm_age_draw(const struct lm_age_draw *draw, const char *label, size_t index, uint8_t *out,
		 size_t len)
{
	char info[64];
	int n;

	if (!draw->fixed) {
		lm_random(out, len);
		return;
	}
	n = snprintf(info, sizeof(info), "lmodel/1/age/%s/%zu", label, index);
	lm_hkdf_sha256(out, len, draw->key, sizeof(draw->key), NULL, 0, info, (size_t)n);
}

void lm_age_draw_free(struct lm_age_draw *draw)
{
	lm_secret_free(draw);
}
