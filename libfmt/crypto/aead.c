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

/* ---- keystream ---- */

/* Short reads in a row are served from a window: setting the counter costs more than they do. */
enum { WINDOW = 1024, BLOCK = 16 };

struct lm_keystream {
	gcry_cipher_hd_t cipher;
	uint64_t number; /* of the window that is held */
	uint8_t window[WINDOW];
};

struct lm_keystream *lm_keystream_new(const uint8_t key[32], struct lmodel_error *error)
{
	struct lm_keystream *stream = lm_secret_alloc(sizeof(*stream), error);

	if (stream == NULL)
		return NULL;
	stream->number = UINT64_MAX; /* behind the last */
	/* Not from the secure pool: there may be one a tensor and worker, and closing wipes. */
	if (gcry_cipher_open(&stream->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) != 0 ||
	    gcry_cipher_setkey(stream->cipher, key, 32) != 0) {
		lm_fail(error, LMODEL_EFAILED, "cannot set up AES-256");
		lm_keystream_free(stream);
		return NULL;
	}
	return stream;
}

static const uint8_t zeros[4 * WINDOW];

/* `len` bytes from the start of window `number`. */
static void generate(struct lm_keystream *stream, uint64_t number, uint8_t *out, size_t len)
{
	uint64_t block = number * (WINDOW / BLOCK);
	uint8_t counter[BLOCK] = { 0 };

	for (int i = 0; i < 8; i++)
		counter[BLOCK - 1 - i] = (uint8_t)(block >> (8 * i));
	gcry_cipher_setctr(stream->cipher, counter, sizeof(counter));
	for (size_t n; len > 0; out += n, len -= n) {
		n = LM_MIN(len, sizeof(zeros));
		gcry_cipher_encrypt(stream->cipher, out, n, zeros, n);
	}
}

void lm_keystream_read(struct lm_keystream *stream, uint64_t offset, void *out, size_t len)
{
	uint8_t *to = out;

	while (len > 0) {
		uint64_t number = offset / WINDOW;
		size_t skip = offset % WINDOW, n = LM_MIN(len, WINDOW - skip);

		if (n == WINDOW) {
			n = len - len % WINDOW;
			generate(stream, number, to, n);
		} else {
			if (number != stream->number)
				generate(stream, number, stream->window, WINDOW);
			stream->number = number;
			memcpy(to, stream->window + skip, n);
		}
		to += n;
		offset += n;
		len -= n;
	}
}

void lm_keystream_free(struct lm_keystream *stream)
{
	if (stream == NULL)
		return;
	gcry_cipher_close(stream->cipher);
	lm_secret_free(stream);
}
