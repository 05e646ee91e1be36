#include "crypto/aead.h"

#include <gcrypt.h>

#include "crypto/secret.h"

/* ---- ChaCha20-Poly1305 ---- */

static gcry_error_t start(gcry_cipher_hd_t *cipher, const uint8_t *key, const uint8_t *nonce)
{
	gcry_error_t e = gcry_cipher_open(cipher, GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305,
					  GCRY_CIPHER_SECURE);

	if (e != 0) /* the pool is small; closing wipes in any case */
		e = gcry_cipher_open(cipher, GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305, 0);
	if (e != 0) {
		*cipher = NULL;
		return e;
	}
	e = gcry_cipher_setkey(*cipher, key, LM_AEAD_KEY);
	return e != 0 ? e : gcry_cipher_setiv(*cipher, nonce, LM_AEAD_NONCE);
}

int lm_chacha_seal(const uint8_t key[LM_AEAD_KEY], const uint8_t nonce[LM_AEAD_NONCE],
		   const void *plain, size_t len, uint8_t *out, struct lmodel_error *error)
{
	gcry_cipher_hd_t cipher;
	gcry_error_t e = start(&cipher, key, nonce);

	if (e == 0 && len > 0)
		e = gcry_cipher_encrypt(cipher, out, len, plain, len);
	if (e == 0)
		e = gcry_cipher_gettag(cipher, out + len, LM_AEAD_TAG);
	gcry_cipher_close(cipher);
	if (e == 0)
		return LMODEL_OK;
	lm_wipe(out, len + LM_AEAD_TAG);
	return lm_fail(error, LMODEL_EFAILED, "cannot encrypt: %s", gcry_strerror(e));
}

bool lm_chacha_open(const uint8_t key[LM_AEAD_KEY], const uint8_t nonce[LM_AEAD_NONCE],
		    const uint8_t *sealed, size_t len, uint8_t *out)
{
	gcry_cipher_hd_t cipher;
	gcry_error_t e;

	if (len < LM_AEAD_TAG)
		return false;
	len -= LM_AEAD_TAG;
	e = start(&cipher, key, nonce);
	if (e == 0 && len > 0)
		e = gcry_cipher_decrypt(cipher, out, len, sealed, len);
	if (e == 0)
		e = gcry_cipher_checktag(cipher, sealed + len, LM_AEAD_TAG);
	gcry_cipher_close(cipher);
	if (e != 0) /* libgcrypt decrypts before it knows */
		lm_wipe(out, len);
	return e == 0;
}
