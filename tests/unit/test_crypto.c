/* crypto/: secret.c, kdf.c, aead.c and curve.c against the vectors of their RFCs. */
#include <sys/resource.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/curve.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"
#include "lib/tap.h"

#include <lmodel/error.h>

/* Bytes of hexadecimal text, spaces allowed between them; at most `size`. */
static size_t unhex(uint8_t *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text += 2) {
		unsigned byte;

		while (*text == ' ')
			text++;
		if (n == size || sscanf(text, "%2x", &byte) != 1)
			abort();
		out[n++] = (uint8_t)byte;
	}
	return n;
}

#define HEX(name, size, text)                                                                  \
	uint8_t name[size];                                                                    \
	if (unhex(name, sizeof(name), text) != sizeof(name))                                   \
	abort()

static int is_hex(const uint8_t *got, size_t len, const char *wanted, const char *what)
{
	uint8_t bytes[256];
	char text[2 * sizeof(bytes) + 1];

	if (ok(unhex(bytes, sizeof(bytes), wanted) == len && memcmp(got, bytes, len) == 0, "%s", what))
		return 1;
	lm_hex(text, got, LM_MIN(len, sizeof(bytes)));
	printf("#   got    %s\n#   wanted %s\n", text, wanted);
	return 0;
}

/* ---- secrets ---- */

static bool all_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

static void test_secret_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 32, 4096, 4097, 70000, 1 << 20 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	for (size_t i = 0; i < LM_COUNT(sizes); i++) {
		size_t n = sizes[i];
		uint8_t *p = lm_secret_alloc(n, &error);

		ok(p != NULL && all_zero(p, n) && (uintptr_t)p % 8 == 0,
		   "secret memory: %zu bytes, zero and aligned", n);
		if (p != NULL && n > 0)
			memset(p, 0xa5, n);
		lm_secret_free(p);
		p = lm_secret_alloc(n, &error);
		ok(p != NULL && all_zero(p, n), "... and again after use");
		lm_secret_free(p);
	}
	lm_secret_free(NULL);
	ok(lm_secret_alloc(SIZE_MAX, &error) == NULL, "secret memory: more than there is");
	is_error(&error, LMODEL_EFAILED, "out of memory", "... says so");
	ok(lm_secret_alloc(SIZE_MAX - 8, NULL) == NULL && lm_secret_alloc(PTRDIFF_MAX, NULL) == NULL,
	   "... also where the size would overflow");
}

/* More small ones than the pool holds: the rest come from elsewhere, until that ends as well. */
static void test_secret_exhausted(void)
{
	enum { MANY = 400, SIZE = 1000 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *p[MANY];
	struct rlimit before, none;
	bool good = true;

	for (size_t i = 0; i < MANY; i++) {
		p[i] = lm_secret_alloc(SIZE, &error);
		good = good && p[i] != NULL && all_zero(p[i], SIZE);
		if (p[i] != NULL)
			memset(p[i], (int)i, SIZE);
	}
	ok(good, "secret memory: more than the pool holds");
	for (size_t i = 0; i < MANY; i++)
		good = good && p[i][0] == (uint8_t)i && memcmp(p[i], p[i] + 1, SIZE - 1) == 0;
	ok(good, "... each its own");

	getrlimit(RLIMIT_AS, &before);
	none = before;
	none.rlim_cur = 0;
	if (setrlimit(RLIMIT_AS, &none) != 0)
		abort();
	p[0][0] = lm_secret_alloc(SIZE, &error) != NULL;
	setrlimit(RLIMIT_AS, &before);
	ok(p[0][0] == 0, "secret memory: neither in the pool nor elsewhere");
	is_error(&error, LMODEL_EFAILED, "out of memory", "... is an error");
	for (size_t i = 0; i < MANY; i++)
		lm_secret_free(p[i]);
	p[0] = lm_secret_alloc(SIZE, NULL);
	ok(p[0] != NULL, "... and there is some again after freeing");
	lm_secret_free(p[0]);
}

/* The kernel's view of the mapping that holds `address`: the value of `field` in smaps. */
static bool in_smaps(const void *address, const char *field, const char *wanted)
{
	char line[512];
	bool here = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "re");

	if (f == NULL)
		abort();
	while (fgets(line, sizeof(line), f) != NULL) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (here && strncmp(line, field, strlen(field)) == 0)
			found = strstr(line, wanted) != NULL;
	}
	fclose(f);
	return found;
}

static void test_secret_pages(void)
{
	static const size_t sizes[] = { 32, 100000 };
	int on_stack = 0;

	ok(!in_smaps(&on_stack, "VmFlags:", " dd"), "ordinary memory goes into core dumps");
	for (size_t i = 0; i < LM_COUNT(sizes); i++) {
		void *p = lm_secret_alloc(sizes[i], NULL);

		ok(p != NULL && in_smaps(p, "VmFlags:", " dd"),
		   "secret memory: %zu bytes stay out of core dumps", sizes[i]);
		lm_secret_free(p);
	}
}

static void test_wipe_and_equal(void)
{
	uint8_t a[300], b[300];
	unsigned missed = 0;

	memset(a, 7, sizeof(a));
	lm_wipe(a + 1, 0);
	lm_wipe(a + 100, 100);
	ok(a[99] == 7 && a[200] == 7 && all_zero(a + 100, 100), "wipe: those bytes and no others");
	lm_wipe(NULL, 0);

	memset(a, 7, sizeof(a));
	memcpy(b, a, sizeof(a));
	ok(lm_secret_equal(a, b, sizeof(a)) && lm_secret_equal(a, b, 0), "equal");
	for (size_t i = 0; i < sizeof(a); i++)
		for (int bit = 0; bit < 8; bit++) {
			b[i] ^= (uint8_t)(1 << bit);
			missed += lm_secret_equal(a, b, sizeof(a));
			b[i] ^= (uint8_t)(1 << bit);
		}
	is_int(missed, 0, "equal: no single bit is missed");
	b[200] ^= 1;
	ok(lm_secret_equal(a, b, 200) && !lm_secret_equal(a, b, 201), "equal: of that length");
}

/* ---- key derivation ---- */

/* RFC 5869, appendix A.1 to A.3. */
static void test_hkdf_sha256(void)
{
	uint8_t ikm[80], salt[80], info[80], out[82];

	memset(ikm, 0x0b, 22);
	for (int i = 0; i < 13; i++)
		salt[i] = (uint8_t)i;
	for (int i = 0; i < 10; i++)
		info[i] = (uint8_t)(0xf0 + i);
	lm_hkdf_sha256(out, 42, ikm, 22, salt, 13, info, 10);
	is_hex(out, 42,
	       "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
	       "HKDF-SHA-256: RFC 5869, A.1");

	for (int i = 0; i < 80; i++) {
		ikm[i] = (uint8_t)i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (uint8_t)(0xb0 + i);
	}
	lm_hkdf_sha256(out, 82, ikm, 80, salt, 80, info, 80);
	is_hex(out, 82,
	       "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41"
	       "c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
	       "HKDF-SHA-256: RFC 5869, A.2");

	memset(ikm, 0x0b, 22);
	lm_hkdf_sha256(out, 42, ikm, 22, NULL, 0, NULL, 0);
	is_hex(out, 42,
	       "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
	       "HKDF-SHA-256: RFC 5869, A.3 (no salt, no info)");
}

static void test_hkdf_lengths(void)
{
	static const uint8_t zeros[32];
	uint8_t all[255 * 64], part[255 * 64], hashed[32], a[32], b[32], key[100];
	unsigned bad = 0;

	memset(key, 3, sizeof(key));
	lm_hkdf_expand_sha512(all, sizeof(all), key, 32, "info", 4);
	for (size_t n = 1; n < 200; n++) {
		memset(part, 0xee, n + 1);
		lm_hkdf_expand_sha512(part, n, key, 32, "info", 4);
		bad += memcmp(part, all, n) != 0 || part[n] != 0xee;
	}
	is_int(bad, 0, "HKDF: a shorter output is the start of a longer one");
	ok(memcmp(all + 254 * 64, all, 64) != 0 && !all_zero(all + 254 * 64, 64),
	   "HKDF: the longest output");

	/* RFC 2104: a key longer than a block counts as its hash, none as zeros. */
	lm_sha256(hashed, key, 100);
	lm_hkdf_sha256(a, 32, "x", 1, key, 100, NULL, 0);
	lm_hkdf_sha256(b, 32, "x", 1, hashed, 32, NULL, 0);
	ok(memcmp(a, b, 32) == 0, "HKDF: a salt longer than a block");
	lm_hkdf_sha256(a, 32, NULL, 0, NULL, 0, "x", 1);
	lm_hkdf_sha256(b, 32, NULL, 0, zeros, 32, "x", 1);
	ok(memcmp(a, b, 32) == 0, "HKDF: neither key nor salt");
}

/* RFC 5869 has none with SHA-512: two values of python3-cryptography's HKDFExpand. */
static void test_hkdf_sha512(void)
{
	uint8_t key[32], out[100];

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	lm_hkdf_expand_sha512(out, 100, key, 32, "lmodel", 6);
	is_hex(out, 100, "dcc677a9be5726d286d9a0c62cb93cd742f23464d2037a1085d89bc1ce198b0e31d00a92"
	       "e5bc18147d62ec0c6d50bbc81df04c0b5eeb6aeab5ce2af2c9f56bd84c88f40969d45461"
	       "ece56d4ad4643e4d98c362d69c2a3e55638490c5d462a1dface2fd23",
	       "HKDF-Expand-SHA-512: 100 bytes");
	lm_hkdf_expand_sha512(out, 32, key, 32, NULL, 0);
	is_hex(out, 32, "a5df768b23b9d396d5a65528c4b4cd896a50f068f1612236ee43350bd287a5be",
	       "HKDF-Expand-SHA-512: no info");
}

static void test_scrypt(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t out[64];

	is_int(lm_scrypt(out, 64, "pleaseletmein", 13, "SodiumChloride", 14, 14, &error), LMODEL_OK,
	       "scrypt");
	is_hex(out, 64,
	       "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
	       "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
	       "... RFC 7914, 12, N = 16384");
	is_int(lm_scrypt(out, 32, "", 0, "salt", 4, 4, &error), LMODEL_OK, "scrypt: no passphrase");
	is_hex(out, 32, "bcda6cb6c38d6459c333688c498370f474cf36a046e49430d82c717893f716bf",
	       "... as Python's hashlib has it");
	is_int(lm_scrypt(out, 32, "x", 1, "salt", 4, 0, NULL), LMODEL_ELIMIT, "scrypt: N = 1");
	is_int(lm_scrypt(out, 32, "x", 1, "salt", 4, 31, &error), LMODEL_ELIMIT, "scrypt: N = 2^31");
	is_error(&error, LMODEL_ELIMIT, "work factor 31", "... is named");
}

/* ---- ChaCha20-Poly1305 ---- */

/* python3-cryptography's: RFC 8439 has a vector with associated data only. */
static void test_chacha_vectors(void)
{
	static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer "
					"you only one tip for the future, sunscreen would be it.";
	static const struct {
		size_t len;
		const char *sealed;
	} vectors[] = {
		{ 0, "a0784d7a4716f3feb4f64e7f4b39bf04" },
		{ 1, "d39614ae9894890cdbb8756ba13766c5aa" },
		{ 114, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e"
		       "8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c"
		       "9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d265"
		       "86cec64b61166a23a4681fd59456aea1d29f82477216" },
	};
	uint8_t key[32], out[114 + 16], back[114];
	HEX(nonce, 12, "070000004041424344454647");

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	for (size_t i = 0; i < LM_COUNT(vectors); i++) {
		size_t n = vectors[i].len;

		is_int(lm_chacha_seal(key, nonce, sunscreen, n, out, NULL), LMODEL_OK, "seal");
		is_hex(out, n + 16, vectors[i].sealed, "... gives what it should");
		ok(lm_chacha_open(key, nonce, out, n + 16, back) && memcmp(back, sunscreen, n) == 0,
		   "... and opens");
	}
	/* RFC 8439, 2.8.2: the ciphertext does not depend on the associated data. */
	HEX(rfc, 16, "d31a8d34648e60db7b86afbc53ef7ec2");
	ok(memcmp(out, rfc, 16) == 0, "seal: the ciphertext of RFC 8439, 2.8.2");
}

static void test_chacha_refusals(void)
{
	uint8_t key[32] = { 1 }, nonce[12] = { 2 }, plain[50], sealed[66], out[50];
	unsigned opened = 0, left = 0;

	memset(plain, 0x55, sizeof(plain));
	if (lm_chacha_seal(key, nonce, plain, sizeof(plain), sealed, NULL) != LMODEL_OK)
		abort();
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 0x77, sizeof(out));
		opened += lm_chacha_open(key, nonce, sealed, sizeof(sealed), out);
		left += !all_zero(out, sizeof(out));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	is_int(opened, 0, "open: no bit may be flipped");
	is_int(left, 0, "... and what came out is zero");
	for (size_t n = 0; n < sizeof(sealed); n++) {
		memset(out, 0x77, sizeof(out));
		opened += lm_chacha_open(key, nonce, sealed, n, out);
		left += n >= 16 && !all_zero(out, n - 16);
	}
	is_int(opened, 0, "open: nothing may be cut off");
	is_int(left, 0, "... and what came out is zero");
	key[31] ^= 1;
	ok(!lm_chacha_open(key, nonce, sealed, sizeof(sealed), out), "open: another key");
	key[31] ^= 1;
	nonce[11] ^= 1;
	ok(!lm_chacha_open(key, nonce, sealed, sizeof(sealed), out), "open: another nonce");
	nonce[11] ^= 1;
	ok(lm_chacha_open(key, nonce, sealed, sizeof(sealed), out), "open: the right ones");
}

/* ---- keystream ---- */

static void test_keystream(const char *by)
{
	enum { LEN = 6000 };
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 1023, 1024, 1025, 2048, 3000 };
	uint8_t key[32], all[LEN], part[LEN];
	struct lm_keystream *s;
	unsigned bad = 0;

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	s = lm_keystream_new(key, NULL);
	if (!ok(s != NULL, "keystream, by %s", by))
		return;
	lm_keystream_read(s, 0, all, LEN);
	/* FIPS 197, C.3 has this key; the blocks are those of python3-cryptography's AES-256-ECB. */
	is_hex(all, 32, "f29000b62a499fd0a9f39a6add2e7780f05d76ae4ab99fe5a6f69b3148c2363d",
	       "keystream: blocks 0 and 1");
	is_hex(all + 16 * 300, 16, "36979303868ca684dc203bed95bb97a6", "keystream: block 300");
	lm_keystream_read(s, UINT64_MAX - 15, part, 16);
	is_hex(part, 16, "dba8f19b17e38952e683247430dc034b",
	       "keystream: the last block below 2^64 bytes");
	for (size_t i = 0; i < LM_COUNT(sizes); i++)
		for (size_t at = 0; at + sizes[i] < LEN; at += at % 3 == 0 ? 1 : 331) {
			part[sizes[i]] = 0xee;
			lm_keystream_read(s, at, part, sizes[i]);
			bad += memcmp(part, all + at, sizes[i]) != 0 || part[sizes[i]] != 0xee;
		}
	is_int(bad, 0, "keystream: the same from any place, in any length");
	lm_keystream_free(s);
	key[0] ^= 1;
	s = lm_keystream_new(key, NULL);
	if (s == NULL)
		abort();
	lm_keystream_read(s, 0, part, 32);
	ok(memcmp(part, all, 32) != 0, "keystream: another with another key");
	lm_keystream_free(s);
	lm_keystream_free(NULL);
}

/* ---- X25519 ---- */

/* RFC 7748, 5.2 and 6.1. */
static void test_x25519_vectors(void)
{
	static const char *const vectors[][3] = {
		{ "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
		  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
		  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552" },
		{ "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
		  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
		  "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957" },
	};
	uint8_t shared[32], k[32] = { 9 }, u[32] = { 9 };

	for (size_t i = 0; i < LM_COUNT(vectors); i++) {
		HEX(scalar, 32, vectors[i][0]);
		HEX(point, 32, vectors[i][1]);
		ok(lm_x25519(shared, scalar, point), "X25519");
		is_hex(shared, 32, vectors[i][2], "... RFC 7748, 5.2");
	}
	for (int i = 1; i <= 1000; i++) {
		if (!lm_x25519(shared, k, u))
			abort();
		memcpy(u, k, 32);
		memcpy(k, shared, 32);
		if (i == 1)
			is_hex(k, 32,
			       "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
			       "X25519: RFC 7748, 5.2, once");
	}
	is_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
	       "X25519: RFC 7748, 5.2, a thousand times");

	HEX(alice, 32, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	HEX(bob, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	lm_x25519_public(u, alice);
	is_hex(u, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
	       "X25519: RFC 7748, 6.1, Alice's public key");
	ok(lm_x25519(shared, bob, u), "... with Bob's secret one");
	is_hex(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
	       "... the shared secret");
	lm_x25519_public(u, bob);
	ok(lm_x25519(k, alice, u) && memcmp(k, shared, 32) == 0, "... the same for Alice");
}

/* Points of order 1, 2, 4 and 8 of the curve and its twist, and their other encodings. */
static void test_x25519_low_order(void)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t scalar[32], shared[32];
	unsigned accepted = 0, left = 0;

	for (int i = 0; i < 32; i++)
		scalar[i] = (uint8_t)(i * 37 + 5);
	for (size_t i = 0; i < LM_COUNT(points); i++) {
		HEX(point, 32, points[i]);
		for (int high = 0; high < 2; high++) {
			memset(shared, 0x77, 32);
			accepted += lm_x25519(shared, scalar, point);
			left += !all_zero(shared, 32);
			point[31] ^= 0x80;
		}
	}
	is_int(accepted, 0, "X25519: points of low order are refused");
	is_int(left, 0, "... the result being zero");
}

/* ---- Ed25519 ---- */

struct ed_vector {
	const char *seed, *public_key, *message, *signature, *montgomery;
};

/* RFC 8032, 7.1, tests 1 to 3; the X25519 forms are python3-cryptography's for the secret scalar
 * (SHA-512 of the seed). */
static const struct ed_vector ed_vectors[] = {
	{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
	  "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
	  "d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e" },
	{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	  "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
	  "25c704c594b88afc00a76b69d1ed2b984d7e22550f3ed0802d04fbcd07d38d47" },
	{ "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	  "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	  "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
	  "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
	  "cbb22fc9f790bd3eba9b84680c157ca4950a9894362601701f89c3c4d9fda23a" },
};

static void test_ed25519_vectors(void)
{
	for (size_t i = 0; i < LM_COUNT(ed_vectors); i++) {
		const struct ed_vector *v = &ed_vectors[i];
		uint8_t key[32], signature[64], message[2], u[32];
		size_t len = unhex(message, sizeof(message), v->message);
		HEX(seed, 32, v->seed);

		is_int(lm_ed25519_public(key, seed, NULL), LMODEL_OK, "Ed25519: public key");
		is_hex(key, 32, v->public_key, "... RFC 8032, 7.1");
		is_int(lm_ed25519_sign(signature, seed, message, len, NULL), LMODEL_OK,
		       "Ed25519: signature");
		is_hex(signature, 64, v->signature, "... RFC 8032, 7.1");
		ok(lm_ed25519_verify(key, message, len, signature), "... verifies");
		ok(!lm_ed25519_verify(key, "other", 5, signature), "... of that message alone");
		ok(lm_ed25519_to_x25519(u, key), "Ed25519 to X25519");
		is_hex(u, 32, v->montgomery, "... is the public key of the same scalar");
		key[31] ^= 0x80;
		memset(u, 0, sizeof(u));
		ok(lm_ed25519_to_x25519(u, key), "... the negative point");
		is_hex(u, 32, v->montgomery, "... has the same u");
	}
}

static void test_ed25519_refusals(void)
{
	/* The order of the base point: S and S + L fulfil the same equation. */
	HEX(order, 32, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
	HEX(seed, 32, ed_vectors[2].seed);
	HEX(key, 32, ed_vectors[2].public_key);
	HEX(signature, 64, ed_vectors[2].signature);
	HEX(message, 2, ed_vectors[2].message);
	uint8_t big[20000], long_signature[64];
	unsigned accepted = 0, carry = 0;

	for (size_t bit = 0; bit < 8 * 64; bit++) {
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += lm_ed25519_verify(key, message, 2, signature);
		signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * 32; bit++) {
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += lm_ed25519_verify(key, message, 2, signature);
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	is_int(accepted, 0, "Ed25519: no bit of signature or key may be flipped");
	ok(lm_ed25519_verify(key, message, 2, signature), "... as it was, it verifies");
	for (int i = 0; i < 32; i++) {
		carry += (unsigned)signature[32 + i] + order[i];
		signature[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	ok(carry == 0 && !lm_ed25519_verify(key, message, 2, signature),
	   "Ed25519: no second signature by adding the order");
	memcpy(signature + 32, order, 32);
	ok(!lm_ed25519_verify(key, message, 2, signature), "Ed25519: S must be below the order");

	memset(big, 0x5a, sizeof(big));
	ok(lm_ed25519_sign(long_signature, seed, big, sizeof(big), NULL) == LMODEL_OK &&
	   lm_ed25519_verify(key, big, sizeof(big), long_signature), "Ed25519: a longer message");
	big[19999] ^= 1;
	ok(!lm_ed25519_verify(key, big, sizeof(big), long_signature), "... to its last byte");
}

static void test_ed25519_to_x25519(void)
{
	static const struct {
		const char *key, *u, *what; /* u NULL: no point of the curve, or none with a u */
	} cases[] = {
		{ "b5076a8474a832daee4dd5b4040983b6623b5f344aca57d4d6ee4baf3f259e6e",
		  "f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50",
		  "a key known from elsewhere" },
		{ "0000000000000000000000000000000000000000000000000000000000000000",
		  "0100000000000000000000000000000000000000000000000000000000000000", "y = 0" },
		{ "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		  "0000000000000000000000000000000000000000000000000000000000000000", "y = -1" },
		{ "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", NULL,
		  "y = -1, x = 0 marked negative" },
		{ "0100000000000000000000000000000000000000000000000000000000000000", NULL, "y = 1" },
		{ "0100000000000000000000000000000000000000000000000000000000000080", NULL,
		  "y = 1, x = 0 marked negative" },
		{ "0200000000000000000000000000000000000000000000000000000000000000", NULL, "y = 2" },
		{ "0700000000000000000000000000000000000000000000000000000000000080", NULL, "y = 7" },
		{ "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", NULL, "y = p" },
		{ "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", NULL,
		  "y = p + 3, though 3 would do" },
		{ "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", NULL,
		  "all ones" },
	};
	HEX(three, 32, "0300000000000000000000000000000000000000000000000000000000000000");
	uint8_t u[32];

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		HEX(key, 32, cases[i].key);
		memset(u, 0x77, sizeof(u));
		ok(lm_ed25519_to_x25519(u, key) == (cases[i].u != NULL), "Ed25519 to X25519: %s",
		   cases[i].what);
		is_hex(u, 32, cases[i].u != NULL ? cases[i].u : cases[1].key, "... the result");
	}
	ok(lm_ed25519_to_x25519(u, three), "Ed25519 to X25519: y = 3");
}

/* Against one at a time; every place where padding begins, and messages of unlike length. */
static void test_sha256_pair(void)
{
	static uint8_t bytes[4000];
	size_t wrong = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 >> 3);
	for (size_t a = 0; a < 200; a++)
		for (size_t b = 0; b < sizeof(bytes) - 200; b += b < 200 ? 1 : 611) {
			const struct lm_message m[2] = { { bytes + 1, a }, { bytes + a, b } };
			uint8_t both[2][LM_SHA256_SIZE], one[2][LM_SHA256_SIZE];

			lm_sha256_pair(both, m);
			lm_sha256(one[0], m[0].bytes, a);
			lm_sha256(one[1], m[1].bytes, b);
			wrong += memcmp(both, one, sizeof(both)) != 0;
		}
	ok(wrong == 0, "SHA-256 of two messages is that of each (%zu are not)", wrong);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK || lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	test_secret_sizes();
	test_secret_exhausted();
	test_secret_pages();
	test_wipe_and_equal();
	test_sha256_pair();
	test_hkdf_sha256();
	test_hkdf_lengths();
	test_hkdf_sha512();
	test_scrypt();
	test_chacha_vectors();
	test_chacha_refusals();
	for (unsigned i = 0; lm_keystream_limit(i) == i; i++)
		test_keystream(i == 0 ? "libgcrypt" : i == 1 ? "AES-NI" : "VAES");
	lm_keystream_limit(~0u);
	test_x25519_vectors();
	test_x25519_low_order();
	test_ed25519_vectors();
	test_ed25519_refusals();
	test_ed25519_to_x25519();
	return done();
}
