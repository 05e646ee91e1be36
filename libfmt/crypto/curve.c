#include "crypto/curve.h"

#include <gcrypt.h>

#include "crypto/secret.h"

/* ---- X25519 ---- */

/* gcry_ecc_mul_point() clamps the scalar and ignores the point's highest bit, as RFC 7748 (5)
 * wants, but finds nothing wrong with a result of zero. */
static bool multiply(uint8_t result[LM_CURVE_KEY], const uint8_t scalar[LM_CURVE_KEY],
		     const uint8_t point[LM_CURVE_KEY])
{
	if (gcry_ecc_mul_point(GCRY_ECC_CURVE25519, result, scalar, point) == 0)
		return true;
	memset(result, 0, LM_CURVE_KEY);
	return false;
}

bool lm_x25519(uint8_t shared[LM_CURVE_KEY], const uint8_t scalar[LM_CURVE_KEY],
	       const uint8_t point[LM_CURVE_KEY])
{
	static const uint8_t zeros[LM_CURVE_KEY];

	return multiply(shared, scalar, point) && !lm_secret_equal(shared, zeros, LM_CURVE_KEY);
}

void lm_x25519_public(uint8_t point[LM_CURVE_KEY], const uint8_t scalar[LM_CURVE_KEY])
{
	static const uint8_t base[LM_CURVE_KEY] = { 9 };

	(void)multiply(point, scalar, base);
}

/* ---- Ed25519 ---- */

/* An S-expression made of secure memory is in secure memory itself, and wiped on release. */
static gcry_sexp_t private_key(const uint8_t seed[LM_CURVE_KEY], struct lmodel_error *error)
{
	gcry_sexp_t key = NULL;
	uint8_t *secret = gcry_malloc_secure(LM_CURVE_KEY);

	if (secret == NULL) {
		lm_fail(error, LMODEL_EFAILED, "out of memory for secrets");
		return NULL;
	}
	memcpy(secret, seed, LM_CURVE_KEY);
	if (gcry_sexp_build(&key, NULL, "(private-key (ecc (curve Ed25519) (flags eddsa) (d %b)))",
			    LM_CURVE_KEY, secret) != 0) {
		key = NULL;
		lm_fail_memory(error);
	}
	lm_wipe(secret, LM_CURVE_KEY);
	gcry_free(secret);
	return key;
}

int lm_ed25519_public(uint8_t public_key[LM_CURVE_KEY], const uint8_t seed[LM_CURVE_KEY],
		      struct lmodel_error *error)
{
	gcry_sexp_t key = private_key(seed, error);
	gcry_ctx_t curve = NULL;
	gcry_mpi_t q = NULL;
	const void *bytes = NULL;
	unsigned bits = 0;

	if (key == NULL)
		return LMODEL_EFAILED;
	if (gcry_mpi_ec_new(&curve, key, NULL) == 0)
		q = gcry_mpi_ec_get_mpi("q@eddsa", curve, 0);
	if (q != NULL && gcry_mpi_get_flag(q, GCRYMPI_FLAG_OPAQUE))
		bytes = gcry_mpi_get_opaque(q, &bits);
	if (bits == 8 * LM_CURVE_KEY)
		memcpy(public_key, bytes, LM_CURVE_KEY);
	gcry_mpi_release(q);
	gcry_ctx_release(curve);
	gcry_sexp_release(key);
	if (bits != 8 * LM_CURVE_KEY)
		return lm_fail(error, LMODEL_EFAILED, "cannot compute an Ed25519 public key");
	return LMODEL_OK;
}

/* S-expressions of libgcrypt 1.10 break from 64 KiB on: it reads past their end, or aborts. */
static gcry_sexp_t message_data(const void *message, size_t len)
{
	gcry_sexp_t data = NULL;

	if (len > 48 << 10 ||
	    gcry_sexp_build(&data, NULL, "(data (flags eddsa) (hash-algo sha512) (value %b))",
			    (int)len, len == 0 ? "" : message) != 0)
		return NULL;
	return data;
}

/* Half a signature; false unless it has 32 bytes. */
static bool take_half(uint8_t *half, gcry_sexp_t signature, const char *name)
{
	gcry_sexp_t list = gcry_sexp_find_token(signature, name, 0);
	size_t len = 0;
	const char *bytes = list == NULL ? NULL : gcry_sexp_nth_data(list, 1, &len);
	bool whole = bytes != NULL && len == LM_SIGNATURE / 2;

	if (whole)
		memcpy(half, bytes, len);
	gcry_sexp_release(list);
	return whole;
}

int lm_ed25519_sign(uint8_t signature[LM_SIGNATURE], const uint8_t seed[LM_CURVE_KEY],
		    const void *message, size_t len, struct lmodel_error *error)
{
	gcry_sexp_t key = private_key(seed, error), data, result = NULL;
	bool made;

	if (key == NULL)
		return LMODEL_EFAILED;
	data = message_data(message, len);
	made = data != NULL && gcry_pk_sign(&result, data, key) == 0 &&
	       take_half(signature, result, "r") &&
	       take_half(signature + LM_SIGNATURE / 2, result, "s");
	gcry_sexp_release(result);
	gcry_sexp_release(data);
	gcry_sexp_release(key);
	if (!made)
		return lm_fail(error, LMODEL_EFAILED, "cannot make an Ed25519 signature");
	return LMODEL_OK;
}

/* Whether S is below the order of the base point (RFC 8032, 5.1.7): libgcrypt 1.10 takes larger
 * ones, so that anyone could make a second signature from a first. */
static bool scalar_in_range(const uint8_t s[32])
{
	static const uint8_t order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
		0xde, 0x14, [31] = 0x10,
	};

	for (int i = 31; i >= 0; i--)
		if (s[i] != order[i])
			return s[i] < order[i];
	return false;
}

bool lm_ed25519_verify(const uint8_t public_key[LM_CURVE_KEY], const void *message, size_t len,
		       const uint8_t signature[LM_SIGNATURE])
{
	gcry_sexp_t key = NULL, data = NULL, claim = NULL;
	bool valid;

	if (!scalar_in_range(signature + LM_SIGNATURE / 2))
		return false;
	data = message_data(message, len);
	valid = data != NULL &&
		gcry_sexp_build(&key, NULL,
				"(public-key (ecc (curve Ed25519) (flags eddsa) (q %b)))",
				LM_CURVE_KEY, public_key) == 0 &&
		gcry_sexp_build(&claim, NULL, "(sig-val (eddsa (r %b) (s %b)))", LM_SIGNATURE / 2,
				signature, LM_SIGNATURE / 2, signature + LM_SIGNATURE / 2) == 0 &&
		gcry_pk_verify(claim, data, key) == 0;
	gcry_sexp_release(claim);
	gcry_sexp_release(key);
	gcry_sexp_release(data);
	return valid;
}

/* ---- from Ed25519 to X25519 ---- */

static bool get_number(gcry_mpi_t *n, const uint8_t *little_endian)
{
	uint8_t bytes[LM_CURVE_KEY];

	for (int i = 0; i < LM_CURVE_KEY; i++)
		bytes[i] = little_endian[LM_CURVE_KEY - 1 - i];
	return gcry_mpi_scan(n, GCRYMPI_FMT_USG, bytes, sizeof(bytes), NULL) == 0;
}

static bool put_number(uint8_t *little_endian, gcry_mpi_t n)
{
	uint8_t bytes[LM_CURVE_KEY];
	size_t len = 0;

	if (gcry_mpi_print(GCRYMPI_FMT_USG, bytes, sizeof(bytes), &len, n) != 0)
		return false;
	memset(little_endian, 0, LM_CURVE_KEY);
	for (size_t i = 0; i < len; i++)
		little_endian[i] = bytes[len - 1 - i];
	return true;
}

/* Whether there is an x with -x^2 + y^2 = 1 + d x^2 y^2, d = -121665/121666 (RFC 8032, 5.1):
 * x^2 = 121666 (y^2 - 1) / (121666 - 121665 y^2), so numerator times denominator must be a
 * square, which Euler's criterion tells. The numbers are public: their timing tells nothing. */
static bool has_x(gcry_mpi_t y, gcry_mpi_t p)
{
	gcry_mpi_t square = gcry_mpi_new(0), w = gcry_mpi_new(0), half = gcry_mpi_new(0);
	gcry_mpi_t one = gcry_mpi_set_ui(NULL, 1);
	bool is_square;

	gcry_mpi_mulm(square, y, y, p);
	gcry_mpi_mul_ui(w, square, 121665);
	gcry_mpi_set_ui(half, 121666);
	gcry_mpi_subm(w, half, w, p);
	gcry_mpi_mul_ui(w, w, 121666);
	gcry_mpi_subm(square, square, one, p);
	gcry_mpi_mulm(w, w, square, p);
	gcry_mpi_sub_ui(half, p, 1);
	gcry_mpi_rshift(half, half, 1);
	gcry_mpi_powm(w, w, half, p);
	is_square = gcry_mpi_cmp_ui(w, 1) <= 0;
	gcry_mpi_release(square);
	gcry_mpi_release(w);
	gcry_mpi_release(half);
	gcry_mpi_release(one);
	return is_square;
}

/* u = (1 + y) / (1 - y) (RFC 7748, 4.1). For y = 1, the neutral element, there is none. */
static bool birational(gcry_mpi_t u, gcry_mpi_t y, gcry_mpi_t p)
{
	gcry_mpi_t one = gcry_mpi_set_ui(NULL, 1), below = gcry_mpi_new(0);
	bool exists;

	gcry_mpi_subm(below, one, y, p);
	exists = gcry_mpi_invm(below, below, p) != 0;
	gcry_mpi_addm(u, one, y, p);
	gcry_mpi_mulm(u, u, below, p);
	gcry_mpi_release(one);
	gcry_mpi_release(below);
	return exists;
}

bool lm_ed25519_to_x25519(uint8_t point[LM_CURVE_KEY], const uint8_t public_key[LM_CURVE_KEY])
{
	static const uint8_t prime[LM_CURVE_KEY] = { /* 2^255 - 19 */
		0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0x7f,
	};
	uint8_t bytes[LM_CURVE_KEY];
	gcry_mpi_t p = NULL, y = NULL, u = NULL, last = NULL;
	bool valid, negative = (public_key[31] & 0x80) != 0;

	memcpy(bytes, public_key, sizeof(bytes));
	bytes[31] &= 0x7f;
	valid = get_number(&p, prime) && get_number(&y, bytes) && gcry_mpi_cmp(y, p) < 0;
	if (valid) {
		/* y = -1 means x = 0, which has no negative (RFC 8032, 5.1.3). */
		last = gcry_mpi_new(0);
		gcry_mpi_sub_ui(last, p, 1);
		u = gcry_mpi_new(0);
		valid = has_x(y, p) && !(negative && gcry_mpi_cmp(y, last) == 0) &&
			birational(u, y, p) && put_number(point, u);
	}
	gcry_mpi_release(last);
	gcry_mpi_release(p);
	gcry_mpi_release(y);
	gcry_mpi_release(u);
	if (!valid)
		memset(point, 0, LM_CURVE_KEY);
	return valid;
}
