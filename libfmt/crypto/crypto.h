/* Port to libgcrypt: the only folder that includes gcrypt.h. */
#ifndef LM_CRYPTO_H
#define LM_CRYPTO_H

#include "base/base.h"

#define LM_SHA256_SIZE 32

/* To be called before anything else here; cheap when repeated, safe from any thread. Leaves a
 * libgcrypt that the program has set up itself as it is. */
int lm_crypto_init(struct lmodel_error *error) LM_MUST_CHECK;

void lm_sha256(uint8_t digest[LM_SHA256_SIZE], const void *bytes, size_t len);

/* Hashing in pieces. */
struct lm_hash;
struct lm_hash *lm_hash_new(struct lmodel_error *error);
void lm_hash_add(struct lm_hash *hash, const void *bytes, size_t len);
void lm_hash_finish(struct lm_hash *hash, uint8_t digest[LM_SHA256_SIZE]);
void lm_hash_free(struct lm_hash *hash);

void lm_random(void *bytes, size_t len);

#endif
