#include "crypto/aead.h"

#include <gcrypt.h>

#include "crypto/secret.h"

/* Short reads in a row are served from a window: setting the counter costs more than they do. */
enum { WINDOW = 1024, BLOCK = 16 };

struct lm_keystream {
	gcry_cipher_hd_t cipher;
	uint64_t number; /* of the window that is held */
	uint8_t window[WINDOW];
};

/* No secret memory: there may be one a tensor and worker, and both parts are wiped. */
struct lm_keystream *lm_keystream_new(const uint8_t key[32], struct lmodel_error *error)
{
	struct lm_keystream *stream = malloc(sizeof(*stream));

	if (stream == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	stream->cipher = NULL;
	stream->number = UINT64_MAX; /* behind the last */
	if (gcry_cipher_open(&stream->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) == 0 &&
	    gcry_cipher_setkey(stream->cipher, key, 32) == 0)
		return stream;
	lm_fail(error, LMODEL_EFAILED, "cannot set up AES-256");
	lm_keystream_free(stream);
	return NULL;
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
	lm_wipe(stream, sizeof(*stream));
	free(stream);
}
