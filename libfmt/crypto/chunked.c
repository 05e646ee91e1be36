#include "crypto/chunked.h"

#include <gcrypt.h>

#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

enum { KEY = 32, NONCE = 12, COMMITMENT = 32 };

struct lm_sealer {
	gcry_cipher_hd_t cipher;
	uint8_t nonce[NONCE]; /* the base nonce */
	uint64_t next;        /* chunk to be sealed */
	bool ended;           /* nothing may be sealed (any more) */
};

bool lm_sealed_plain_len(uint64_t sealed, uint64_t *plain)
{
	const uint64_t whole = LM_SEALED_CHUNK + LM_SEALED_TAG;
	uint64_t chunks, rest;

	if (sealed < LM_SEALED_HEAD + LM_SEALED_TAG || sealed > lm_sealed_len(LM_SEALED_LIMIT))
		return false;
	chunks = (sealed - LM_SEALED_HEAD) / whole;
	rest = (sealed - LM_SEALED_HEAD) % whole;
	if (rest < LM_SEALED_TAG)
		return false;
	*plain = chunks * LM_SEALED_CHUNK + rest - LM_SEALED_TAG;
	return true;
}

/* c2sp.org/chunked-encryption, "Key derivation": key, base nonce and commitment. */
static int derive(uint8_t derived[KEY + NONCE + COMMITMENT], const uint8_t key[32],
		  const uint8_t salt[LM_SEALED_SALT], const void *context, size_t context_len,
		  struct lmodel_error *error)
{
	/* The NUL between the name of the AEAD and the salt is the string's own. */
	static const char label[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM";
	const size_t fixed = sizeof(label) + LM_SEALED_SALT;
	LM_FREE uint8_t *info = NULL;

	if (context_len < SIZE_MAX - fixed)
		info = malloc(fixed + context_len);
	if (info == NULL)
		return lm_fail_memory(error);
	memcpy(info, label, sizeof(label));
	memcpy(info + sizeof(label), salt, LM_SEALED_SALT);
	if (context_len > 0)
		memcpy(info + fixed, context, context_len);
	lm_hkdf_expand_sha512(derived, KEY + NONCE + COMMITMENT, key, 32, info,
			      fixed + context_len);
	return LMODEL_OK;
}

static struct lm_sealer *sealer_from(const uint8_t derived[KEY + NONCE], struct lmodel_error *error)
{
	struct lm_sealer *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	/* The secure pool holds some thirty of these: more are kept in other memory, and like the
	 * first are wiped when closed. */
	if ((gcry_cipher_open(&s->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM,
			      GCRY_CIPHER_SECURE) != 0 &&
	     gcry_cipher_open(&s->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0) ||
	    gcry_cipher_setkey(s->cipher, derived, KEY) != 0) {
		lm_fail(error, LMODEL_EFAILED, "cannot set up AES-256-GCM");
		lm_sealer_free(s);
		return NULL;
	}
	memcpy(s->nonce, derived + KEY, NONCE);
	return s;
}

struct lm_sealer *lm_sealer_new(const uint8_t key[32], const void *context, size_t context_len,
				const uint8_t *salt, uint8_t head[LM_SEALED_HEAD],
				struct lmodel_error *error)
{
	uint8_t derived[KEY + NONCE + COMMITMENT];
	struct lm_sealer *s = NULL;

	if (salt != NULL)
		memcpy(head, salt, LM_SEALED_SALT);
	else
		lm_random(head, LM_SEALED_SALT);
	if (derive(derived, key, head, context, context_len, error) != LMODEL_OK)
		return NULL;
	memcpy(head + LM_SEALED_SALT, derived + KEY + NONCE, COMMITMENT);
	s = sealer_from(derived, error);
	lm_wipe(derived, sizeof(derived));
	return s;
}

struct lm_sealer *lm_opener_new(const uint8_t key[32], const void *context, size_t context_len,
				const uint8_t head[LM_SEALED_HEAD], struct lmodel_error *error)
{
	uint8_t derived[KEY + NONCE + COMMITMENT];
	struct lm_sealer *s = NULL;

	if (derive(derived, key, head, context, context_len, error) != LMODEL_OK)
		return NULL;
	if (lm_secret_equal(head + LM_SEALED_SALT, derived + KEY + NONCE, COMMITMENT))
		s = sealer_from(derived, error);
	else
		lm_fail(error, LMODEL_ECORRUPT, "encrypted data does not belong here");
	lm_wipe(derived, sizeof(derived));
	if (s != NULL)
		s->ended = true; /* sealing under a key that was used already would repeat nonces */
	return s;
}

/* Whether chunk `index` with `len` bytes of plaintext is within the limit. */
static bool in_limit(uint64_t index, size_t len)
{
	return len <= LM_SEALED_CHUNK && index <= LM_SEALED_LIMIT / LM_SEALED_CHUNK &&
	       index * LM_SEALED_CHUNK + len <= LM_SEALED_LIMIT;
}

/* The nonce of a chunk is the base nonce XOR its number, big-endian and as wide. */
static gcry_error_t set_nonce(struct lm_sealer *s, uint64_t index)
{
	uint8_t nonce[NONCE];

	memcpy(nonce, s->nonce, NONCE);
	for (int i = 0; i < 8; i++)
		nonce[NONCE - 1 - i] ^= (uint8_t)(index >> (8 * i));
	return gcry_cipher_setiv(s->cipher, nonce, NONCE);
}

int lm_sealer_chunk(struct lm_sealer *s, const void *plain, size_t len, uint8_t *out,
		    struct lmodel_error *error)
{
	gcry_error_t e;

	if (s->ended || len > LM_SEALED_CHUNK)
		return lm_fail(error, LMODEL_EUSAGE, "no chunk of %zu bytes can follow here", len);
	if (!in_limit(s->next, len))
		return lm_fail(error, LMODEL_ELIMIT, "more than %ju bytes in one encrypted message",
			       (uintmax_t)LM_SEALED_LIMIT);
	e = set_nonce(s, s->next++);
	if (e == 0 && len > 0)
		e = gcry_cipher_encrypt(s->cipher, out, len, plain, len);
	if (e == 0)
		e = gcry_cipher_gettag(s->cipher, out + len, LM_SEALED_TAG);
	s->ended = e != 0 || len < LM_SEALED_CHUNK;
	if (e == 0)
		return LMODEL_OK;
	lm_wipe(out, len + LM_SEALED_TAG);
	return lm_fail(error, LMODEL_EFAILED, "cannot encrypt: %s", gcry_strerror(e));
}

int lm_opener_chunk(struct lm_sealer *s, uint64_t index, const uint8_t *sealed, size_t len,
		    void *out, struct lmodel_error *error)
{
	gcry_error_t e;

	if (len < LM_SEALED_TAG)
		return lm_fail(error, LMODEL_ECORRUPT, "encrypted data is truncated");
	len -= LM_SEALED_TAG;
	if (!in_limit(index, len)) {
		lm_wipe(out, len);
		return lm_fail(error, LMODEL_ECORRUPT, "encrypted data is too long");
	}
	e = set_nonce(s, index);
	if (e == 0 && len > 0)
		e = gcry_cipher_decrypt(s->cipher, out, len, sealed, len);
	if (e == 0)
		e = gcry_cipher_checktag(s->cipher, sealed + len, LM_SEALED_TAG);
	if (e == 0)
		return LMODEL_OK;
	lm_wipe(out, len); /* libgcrypt decrypts before it knows */
	return lm_fail(error, LMODEL_ECORRUPT, "encrypted data is damaged");
}

void lm_sealer_free(struct lm_sealer *s)
{
	if (s == NULL)
		return;
	gcry_cipher_close(s->cipher);
	lm_wipe(s, sizeof(*s));
	free(s);
}

static void sealer_cleanup(struct lm_sealer **s)
{
	lm_sealer_free(*s);
}

int lm_seal_message(const uint8_t key[32], const void *context, size_t context_len,
		    const uint8_t *salt, const void *plain, size_t len, uint8_t **out,
		    size_t *out_len, struct lmodel_error *error)
{
	LM_CLEANUP(sealer_cleanup) struct lm_sealer *s = NULL;
	LM_FREE uint8_t *sealed = NULL;
	const uint8_t *from = plain;
	uint8_t *to;
	size_t n;

	if (len > LM_SEALED_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "more than %ju bytes in one encrypted message",
			       (uintmax_t)LM_SEALED_LIMIT);
	if (lm_sealed_len(len) <= PTRDIFF_MAX)
		sealed = malloc((size_t)lm_sealed_len(len));
	if (sealed == NULL)
		return lm_fail_memory(error);
	s = lm_sealer_new(key, context, context_len, salt, sealed, error);
	if (s == NULL)
		return LMODEL_EFAILED;
	to = sealed + LM_SEALED_HEAD;
	*out_len = (size_t)lm_sealed_len(len);
	do {
		n = LM_MIN(len, (size_t)LM_SEALED_CHUNK);
		if (lm_sealer_chunk(s, from, n, to, error) != LMODEL_OK)
			return LMODEL_EFAILED;
		if (n > 0)
			from += n;
		to += n + LM_SEALED_TAG;
		len -= n;
	} while (n == LM_SEALED_CHUNK);
	*out = sealed;
	sealed = NULL;
	return LMODEL_OK;
}

int lm_open_message(const uint8_t key[32], const void *context, size_t context_len,
		    const uint8_t *sealed, size_t sealed_len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error)
{
	LM_CLEANUP(sealer_cleanup) struct lm_sealer *s = NULL;
	LM_SECRET uint8_t *plain = NULL;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	uint64_t len, done = 0;
	size_t n;

	if (!lm_sealed_plain_len(sealed_len, &len))
		return lm_fail(error, LMODEL_ECORRUPT, "encrypted data is truncated");
	s = lm_opener_new(key, context, context_len, sealed, &local);
	if (s == NULL)
		return lm_fail(error, local.code, "%s", local.message);
	plain = lm_secret_alloc((size_t)len, error);
	if (plain == NULL)
		return LMODEL_EFAILED;
	sealed += LM_SEALED_HEAD;
	do {
		n = (size_t)LM_MIN(len - done, (uint64_t)LM_SEALED_CHUNK);
		if (lm_opener_chunk(s, done / LM_SEALED_CHUNK, sealed, n + LM_SEALED_TAG,
				    plain + done, error) != LMODEL_OK)
			return LMODEL_ECORRUPT;
		sealed += n + LM_SEALED_TAG;
		done += n;
	} while (n == LM_SEALED_CHUNK);
	*out = plain;
	*out_len = (size_t)len;
	plain = NULL;
	return LMODEL_OK;
}
