/* C2SP chunked encryption with AES-256-GCM ("Cobblestone-256", c2sp.org/chunked-encryption):
 *
 *     salt (24) | commitment (32) | chunks of 16384 bytes of plaintext + 16 of tag, the last short
 *
 * The key derivation is HKDF-Expand with SHA-512 and binds the context; the commitment is checked
 * before a byte is decrypted. A chunk can be read alone. */
#ifndef LM_CHUNKED_H
#define LM_CHUNKED_H

#include "base/base.h"

#define LM_SEALED_SALT 24
#define LM_SEALED_HEAD 56u    /* salt and commitment */
#define LM_SEALED_CHUNK 16384u /* plaintext bytes a chunk */
#define LM_SEALED_TAG 16u

/* Length of the ciphertext of `plain` bytes (at most LM_SEALED_LIMIT, which is lower than the
 * construction's own limit): plain / 16384 full chunks and a last one that is shorter, possibly
 * empty. */
static inline uint64_t lm_sealed_len(uint64_t plain)
{
	return LM_SEALED_HEAD + plain + LM_SEALED_TAG * (plain / LM_SEALED_CHUNK + 1);
}
#define LM_SEALED_LIMIT (UINT64_C(1) << 35)

/* Plaintext length of `sealed` bytes; false when no plaintext has that length. */
bool lm_sealed_plain_len(uint64_t sealed, uint64_t *plain) LM_MUST_CHECK;

/* One message, by one thread. */
struct lm_sealer;

/* To encrypt. `salt` NULL: a random one, else 24 bytes that never meet the same key twice with
 * another plaintext. The head goes to `head`. */
struct lm_sealer *lm_sealer_new(const uint8_t key[32], const void *context, size_t context_len,
				const uint8_t *salt, uint8_t head[LM_SEALED_HEAD],
				struct lmodel_error *error);

/* The next chunk, in order: LM_SEALED_CHUNK bytes each but the last, which is shorter and ends
 * the message. `out` takes len + LM_SEALED_TAG bytes, no overlap. */
int lm_sealer_chunk(struct lm_sealer *sealer, const void *plain, size_t len, uint8_t *out,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* To decrypt. NULL with ECORRUPT ("does not belong here") when the commitment is not that of key,
 * salt and context; NULL with EFAILED when there is no memory. */
struct lm_sealer *lm_opener_new(const uint8_t key[32], const void *context, size_t context_len,
				const uint8_t head[LM_SEALED_HEAD], struct lmodel_error *error);

/* Chunk `index` of `len` bytes with its tag, in any order; only a chunk shorter than
 * LM_SEALED_CHUNK + LM_SEALED_TAG is the last. `out` takes len - LM_SEALED_TAG bytes, which are
 * zero after a failure. ECORRUPT. */
int lm_opener_chunk(struct lm_sealer *opener, uint64_t index, const uint8_t *sealed, size_t len,
		    void *out, struct lmodel_error *error) LM_MUST_CHECK;

void lm_sealer_free(struct lm_sealer *sealer); /* NULL is allowed */

/* Whole messages in memory. `*out` is fresh; of lm_open_message() it is secret memory
 * (lm_secret_free()). */
int lm_seal_message(const uint8_t key[32], const void *context, size_t context_len,
		    const uint8_t *salt, const void *plain, size_t len, uint8_t **out,
		    size_t *out_len, struct lmodel_error *error) LM_MUST_CHECK;
int lm_open_message(const uint8_t key[32], const void *context, size_t context_len,
		    const uint8_t *sealed, size_t sealed_len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
