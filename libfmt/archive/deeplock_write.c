/* What the shard of a locked tensor is made of: its lock key, then a digest for each block. */
#include "archive/deeplock.h"

#include "crypto/secret.h"

int lm_lock_record(const struct lm_protected_model *p, size_t tensor, lm_lock_piece_fn *piece,
		   void *context, struct lmodel_error *error)
{
	const uint64_t bytes = p->model->tensors[tensor].bytes;
	LM_FREE uint8_t *block = malloc(LM_LOCK_BLOCK);
	uint8_t key[LM_LOCK_KEY], digest[LM_SHA256_SIZE];
	int r;

	if (block == NULL)
		return lm_fail_memory(error);
	lm_protected_lock_key(p, tensor, key);
	r = piece(context, key, sizeof(key), error);
	lm_wipe(key, sizeof(key));
	for (uint64_t at = 0; at < bytes && r == LMODEL_OK; at += LM_LOCK_BLOCK) {
		size_t n = (size_t)LM_MIN(bytes - at, (uint64_t)LM_LOCK_BLOCK);

		r = lm_model_read(p->model, tensor, at, block, n, error);
		if (r != LMODEL_OK)
			break;
		lm_sha256(digest, block, n);
		r = piece(context, digest, sizeof(digest), error);
	}
	return r;
}
