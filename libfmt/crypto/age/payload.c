#include "crypto/age/payload.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

enum { CHUNK = 64 << 10, SEALED = CHUNK + LM_AEAD_TAG };

size_t lm_age_payload_len(size_t plain)
{
	size_t chunks = plain == 0 ? 1 : (plain - 1) / CHUNK + 1;

	return plain + chunks * LM_AEAD_TAG;
}

bool lm_age_payload_plain_len(size_t sealed, size_t *plain)
{
	size_t rest = sealed % SEALED;

	/* The last chunk may be full; it is empty only when it is the first. */
	if (sealed < LM_AEAD_TAG || (rest != 0 && rest < LM_AEAD_TAG) ||
	    (rest == LM_AEAD_TAG && sealed > SEALED))
		return false;
	*plain = sealed / SEALED * CHUNK + (rest == 0 ? 0 : rest - LM_AEAD_TAG);
	return true;
}

/* 11 bytes of counter, big-endian, and whether it is the last chunk. */
static void chunk_nonce(uint8_t nonce[LM_AEAD_NONCE], uint64_t index, bool last)
{
	memset(nonce, 0, LM_AEAD_NONCE);
	for (int i = 0; i < 8; i++)
		nonce[10 - i] = (uint8_t)(index >> (8 * i));
	nonce[11] = last;
}

static uint8_t *payload_key(const uint8_t *file_key, const uint8_t *nonce,
			    struct lmodel_error *error)
{
	uint8_t *key = lm_secret_alloc(LM_AEAD_KEY, error);

	if (key != NULL)
		lm_hkdf_sha256(key, LM_AEAD_KEY, file_key, LM_AGE_FILE_KEY, nonce, LM_AGE_NONCE,
			       "payload", 7);
	return key;
}

int lm_age_payload_seal(const uint8_t file_key[LM_AGE_FILE_KEY], const uint8_t nonce[LM_AGE_NONCE],
			const uint8_t *plain, size_t len, uint8_t *out, struct lmodel_error *error)
{
	LM_SECRET uint8_t *key = payload_key(file_key, nonce, error);
	uint64_t index = 0;
	size_t done = 0;

	if (key == NULL)
		return LMODEL_EFAILED;
	do {
		size_t n = LM_MIN(len - done, (size_t)CHUNK);
		uint8_t chunk[LM_AEAD_NONCE];

		chunk_nonce(chunk, index++, done + n == len);
		if (lm_chacha_seal(key, chunk, plain + done, n, out, error))
			return LMODEL_EFAILED;
		out += n + LM_AEAD_TAG;
		done += n;
	} while (done < len);
	return LMODEL_OK;
}

int lm_age_payload_open(const uint8_t file_key[LM_AGE_FILE_KEY], const uint8_t nonce[LM_AGE_NONCE],
			const uint8_t *sealed, size_t len, uint8_t *out, struct lmodel_error *error)
{
	LM_SECRET uint8_t *key = payload_key(file_key, nonce, error);
	uint64_t index = 0;

	if (key == NULL)
		return LMODEL_EFAILED;
	for (size_t done = 0; done < len;) {
		size_t n = LM_MIN(len - done, (size_t)SEALED);
		uint8_t chunk[LM_AEAD_NONCE];

		chunk_nonce(chunk, index, done + n == len);
		if (!lm_chacha_open(key, chunk, sealed + done, n, out))
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: chunk %ju of the payload is damaged or cut",
				       (uintmax_t)index);
		out += n - LM_AEAD_TAG;
		done += n;
		index++;
	}
	return LMODEL_OK;
}
