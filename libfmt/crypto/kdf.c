#include "crypto/kdf.h"

#include <gcrypt.h>

#include "crypto/secret.h"

enum { BLOCK_MOST = 128, DIGEST_MOST = 64, PARTS_MOST = 3 };

struct hash {
	int algorithm;
	size_t block, digest;
};

static const struct hash sha256 = { GCRY_MD_SHA256, 64, 32 };
static const struct hash sha512 = { GCRY_MD_SHA512, 128, 64 };

struct part {
	const void *bytes;
	size_t len;
};

/* libgcrypt's buffers are not const, and no address is needed for no bytes. */
static gcry_buffer_t buffer_of(const void *bytes, size_t len)
{
	static uint8_t nothing;

	return (gcry_buffer_t){
		.data = len == 0 ? &nothing : (void *)(uintptr_t)bytes,
		.len = len,
	};
}

/* HMAC (RFC 2104) over the parts. libgcrypt's own allocates and so can fail, which would leave
 * a key undefined; hashing buffers does not. */
static void hmac(const struct hash *hash, uint8_t *mac, const uint8_t *key, size_t key_len,
		 const struct part *parts, size_t count)
{
	uint8_t pad[BLOCK_MOST] = { 0 }, inner[DIGEST_MOST];
	gcry_buffer_t piece[PARTS_MOST + 1];

	if (key_len > hash->block)
		gcry_md_hash_buffer(hash->algorithm, pad, key, key_len);
	else if (key_len > 0)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < hash->block; i++)
		pad[i] ^= 0x36;
	piece[0] = buffer_of(pad, hash->block);
	for (size_t i = 0; i < count; i++)
		piece[i + 1] = buffer_of(parts[i].bytes, parts[i].len);
	gcry_md_hash_buffers(hash->algorithm, 0, inner, piece, (int)count + 1);
	for (size_t i = 0; i < hash->block; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	piece[1] = buffer_of(inner, hash->digest);
	gcry_md_hash_buffers(hash->algorithm, 0, mac, piece, 2);
	lm_wipe(pad, sizeof(pad));
	lm_wipe(inner, sizeof(inner));
}

/* RFC 5869, 2.3. */
static void expand(const struct hash *hash, uint8_t *out, size_t out_len, const void *prk,
		   size_t prk_len, const void *info, size_t info_len)
{
	uint8_t block[DIGEST_MOST], counter = 0;
	size_t before = 0;

	while (out_len > 0) {
		size_t n = LM_MIN(out_len, hash->digest);
		struct part parts[PARTS_MOST] = {
			{ block, before }, { info, info_len }, { &counter, 1 },
		};

		counter++;
		hmac(hash, block, prk, prk_len, parts, PARTS_MOST);
		memcpy(out, block, n);
		out += n;
		out_len -= n;
		before = hash->digest;
	}
	lm_wipe(block, sizeof(block));
}

void lm_hkdf_sha256(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len,
		    const void *salt, size_t salt_len, const void *info, size_t info_len)
{
	uint8_t prk[32];
	struct part part = { ikm, ikm_len };

	/* RFC 5869, 2.2; HMAC itself makes no salt a block of zeros. */
	hmac(&sha256, prk, salt, salt_len, &part, 1);
	expand(&sha256, out, out_len, prk, sizeof(prk), info, info_len);
	lm_wipe(prk, sizeof(prk));
}

void lm_hkdf_expand_sha512(uint8_t *out, size_t out_len, const void *prk, size_t prk_len,
			   const void *info, size_t info_len)
{
	expand(&sha512, out, out_len, prk, prk_len, info, info_len);
}

int lm_scrypt(uint8_t *out, size_t out_len, const char *passphrase, size_t passphrase_len,
	      const void *salt, size_t salt_len, unsigned log2_n, struct lmodel_error *error)
{
	gcry_error_t e;

	if (log2_n < 1 || log2_n > 30)
		return lm_fail(error, LMODEL_ELIMIT, "scrypt work factor %u", log2_n);
	/* libgcrypt takes N where other functions name a hash, and p as iterations; r is 8. */
	e = gcry_kdf_derive(passphrase_len == 0 ? "" : passphrase, passphrase_len, GCRY_KDF_SCRYPT,
			    1 << log2_n, salt_len == 0 ? "" : salt, salt_len, 1, out_len, out);
	if (e == 0)
		return LMODEL_OK;
	lm_wipe(out, out_len);
	if (gcry_err_code(e) == GPG_ERR_ENOMEM)
		return lm_fail(error, LMODEL_EFAILED, "no memory for scrypt: it takes %ju MiB",
			       (uintmax_t)1 << log2_n >> 10);
	return lm_fail(error, LMODEL_EFAILED, "scrypt: %s", gcry_strerror(e));
}

void lm_hmac_sha256(uint8_t mac[32], const void *key, size_t key_len, const void *bytes, size_t len)
{
	const struct part part = { bytes, len };

	hmac(&sha256, mac, key, key_len, &part, 1);
}
