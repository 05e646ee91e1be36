/* crypto/chunked.c: the vectors of tests/vectors/chunked.json, and what must be refused. */
#include "crypto/chunked.h"

#include <jansson.h>

#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "lib/tap.h"

#include <lmodel/error.h>

enum { CHUNK = LM_SEALED_CHUNK, WHOLE = LM_SEALED_CHUNK + LM_SEALED_TAG };

static const uint8_t key[32] = { 1, 2, 3 }, salt[LM_SEALED_SALT] = { 4, 5, 6 };
static const char context[] = "shard 7";

/* The rule for plaintexts in tests/vectors/check.py. */
static uint8_t *pattern(size_t len, uint32_t seed)
{
	uint8_t *bytes = malloc(len + 1);

	if (bytes == NULL)
		abort();
	for (size_t i = 0; i < len; i++) {
		seed = (uint32_t)((uint64_t)1664525 * seed + 1013904223);
		bytes[i] = (uint8_t)(seed >> 24);
	}
	return bytes;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

struct message {
	size_t len, sealed_len;
	uint8_t *plain, *sealed;
};

static struct message message_of(size_t len)
{
	struct message m = { .len = len, .plain = pattern(len, (uint32_t)len + 1) };

	if (lm_seal_message(key, context, strlen(context), salt, m.plain, len, &m.sealed,
			    &m.sealed_len, NULL) != LMODEL_OK)
		abort();
	return m;
}

static void message_free(struct message *m)
{
	free(m->plain);
	free(m->sealed);
}
#define MESSAGE LM_CLEANUP(message_free) struct message

/* Opens `len` bytes; LMODEL_OK only when they are the message's plaintext. */
static int open_bytes(const struct message *m, const uint8_t *sealed, size_t len,
		      struct lmodel_error *error)
{
	uint8_t *plain = NULL;
	size_t plain_len = 0;
	int r = lm_open_message(key, context, strlen(context), sealed, len, &plain, &plain_len, error);

	if (r == LMODEL_OK && (plain_len != m->len || memcmp(plain, m->plain, m->len) != 0))
		r = -1;
	if (r != LMODEL_OK && r != -1 && plain != NULL)
		r = -2;
	lm_secret_free(plain);
	return r;
}

/* ---- vectors ---- */

static size_t unhex(uint8_t *out, size_t size, const char *text)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (i == size || sscanf(text + 2 * i, "%2x", &byte) != 1)
			abort();
		out[i] = (uint8_t)byte;
	}
	return n;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static bool same_hex(const uint8_t *bytes, size_t len, const char *wanted)
{
	LM_FREE char *text = malloc(2 * len + 1);

	if (text == NULL)
		abort();
	lm_hex(text, bytes, len);
	return strcmp(text, wanted) == 0;
}

static void check_vector(const char *name, const json_t *in, const json_t *out)
{
	const json_t *rule = json_object_get(in, "plaintext");
	size_t len = (size_t)json_integer_value(json_object_get(rule, "length"));
	LM_FREE uint8_t *plain =
		pattern(len, (uint32_t)json_integer_value(json_object_get(rule, "seed")));
	LM_FREE uint8_t *sealed = NULL;
	LM_SECRET uint8_t *back = NULL;
	const json_t *whole = json_object_get(out, "ciphertext");
	uint8_t k[32], s[LM_SEALED_SALT], c[2000], digest[LM_SHA256_SIZE];
	size_t sealed_len = 0, back_len = 0, c_len = unhex(c, sizeof(c), text_of(in, "context"));

	if (unhex(k, sizeof(k), text_of(in, "key")) != sizeof(k) ||
	    unhex(s, sizeof(s), text_of(in, "salt")) != sizeof(s))
		abort();
	if (!is_int(lm_seal_message(k, c, c_len, s, plain, len, &sealed, &sealed_len, NULL), LMODEL_OK,
		    name))
		return;
	lm_sha256(digest, sealed, sealed_len);
	is_int((intmax_t)sealed_len, json_integer_value(json_object_get(out, "length")), "... length");
	ok(same_hex(sealed, LM_SEALED_HEAD, text_of(out, "head")), "... head");
	ok(same_hex(digest, sizeof(digest), text_of(out, "sha256")), "... SHA-256");
	if (whole != NULL)
		ok(same_hex(sealed, sealed_len, json_string_value(whole)), "... every byte");
	ok(lm_open_message(k, c, c_len, sealed, sealed_len, &back, &back_len, NULL) == LMODEL_OK &&
	   back_len == len && memcmp(back, plain, len) == 0, "... opens");
}

static void test_vectors(void)
{
	const char *top = getenv("srcdir");
	LM_FREE char *path = lm_format(NULL, "%s/tests/vectors/chunked.json", top ? top : ".");
	json_error_t problem;
	json_t *file = json_load_file(path, 0, &problem), *vectors = json_object_get(file, "vectors"), *v;
	size_t i;

	if (!ok(json_array_size(vectors) >= 14, "%s has the vectors", path))
		printf("#   %s\n", problem.text);
	json_array_foreach(vectors, i, v)
		check_vector(text_of(v, "name"), json_object_get(v, "in"), json_object_get(v, "out"));
	json_decref(file);
}

/* ---- lengths ---- */

static void test_lengths(void)
{
	static const size_t lengths[] = { 0, 1, 16383, 16384, 16385, 32768, 100000 };
	uint64_t plain = 0, last = 0;
	unsigned bad = 0;

	for (size_t i = 0; i < LM_COUNT(lengths); i++) {
		MESSAGE m = message_of(lengths[i]);

		is_int((intmax_t)m.sealed_len,
		       (intmax_t)(56 + m.len + 16 * (m.len / 16384 + 1)), "sealed length");
		is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_OK, "... opens");
		ok(lm_sealed_plain_len(m.sealed_len, &plain) && plain == m.len, "... and back");
	}
	for (uint64_t n = 0; n < 4 * WHOLE; n++) {
		uint64_t rest = (n - LM_SEALED_HEAD) % WHOLE;
		bool possible = n >= 72 && rest >= 16;

		bad += lm_sealed_plain_len(n, &plain) != possible;
		bad += possible && lm_sealed_len(plain) != n;
		bad += possible && plain != last++;
	}
	is_int(bad, 0, "lengths: every possible one and no other");
	ok(lm_sealed_plain_len(lm_sealed_len(LM_SEALED_LIMIT), &plain) && plain == LM_SEALED_LIMIT,
	   "lengths: the limit");
	ok(!lm_sealed_plain_len(lm_sealed_len(LM_SEALED_LIMIT) + 1, &plain) &&
	   !lm_sealed_plain_len(UINT64_MAX, &plain), "lengths: over the limit");
}

/* The limit of 2^35 bytes, where it is checked: sealing by number, opening by index. */
static void test_limit(void)
{
	const uint64_t end = LM_SEALED_LIMIT / CHUNK;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t head[LM_SEALED_HEAD], sealed[WHOLE], out[CHUNK];
	struct lm_sealer *s = lm_sealer_new(key, NULL, 0, salt, head, NULL), *o;
	uint8_t *none = NULL;
	size_t none_len = 0;

	if (s == NULL || lm_sealer_chunk(s, head, 20, sealed, NULL) != LMODEL_OK)
		abort();
	o = lm_opener_new(key, NULL, 0, head, NULL);
	if (o == NULL)
		abort();
	is_int(lm_opener_chunk(o, end, sealed, 36, out, &error), LMODEL_ECORRUPT, "limit: chunk 2^21");
	is_error(&error, LMODEL_ECORRUPT, "too long", "... is too long with bytes in it");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(lm_opener_chunk(o, end, sealed, 16, out, &error), LMODEL_ECORRUPT, "... without,");
	is_error(&error, LMODEL_ECORRUPT, "damaged", "... is only not this one");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(lm_opener_chunk(o, UINT64_MAX, sealed, 16, out, &error), LMODEL_ECORRUPT,
	       "limit: chunk 2^64 - 1");
	is_error(&error, LMODEL_ECORRUPT, "too long", "... is too long");
	is_int(lm_opener_chunk(o, 0, sealed, 36, out, NULL), LMODEL_OK, "... chunk 0 opens");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(lm_seal_message(key, NULL, 0, salt, head, (size_t)LM_SEALED_LIMIT + 1, &none, &none_len,
			       &error), LMODEL_ELIMIT, "limit: a longer message");
	is_error(&error, LMODEL_ELIMIT, "34359738368", "... names the limit");
	lm_sealer_free(s);
	lm_sealer_free(o);
}

/* ---- refusals ---- */

static void test_commitment(void)
{
	MESSAGE m = message_of(100);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t other[32], head[LM_SEALED_HEAD];
	unsigned opened = 0, wrong = 0;

	for (size_t bit = 0; bit < 8 * 32; bit++) {
		memcpy(other, key, 32);
		other[bit / 8] ^= (uint8_t)(1 << bit % 8);
		opened += lm_opener_new(other, context, strlen(context), m.sealed, NULL) != NULL;
	}
	is_int(opened, 0, "commitment: another key");
	for (size_t bit = 0; bit < 8 * sizeof(head); bit++) {
		error = (struct lmodel_error)LMODEL_ERROR_INIT;
		memcpy(head, m.sealed, sizeof(head));
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
		opened += lm_opener_new(key, context, strlen(context), head, &error) != NULL;
		wrong += error.code != LMODEL_ECORRUPT;
	}
	is_int(opened, 0, "commitment: another salt or commitment");
	is_int(wrong, 0, "... with the right error");
	ok(lm_opener_new(key, "shard 8", 7, m.sealed, NULL) == NULL &&
	   lm_opener_new(key, "shard 7", 6, m.sealed, NULL) == NULL &&
	   lm_opener_new(key, "shard 7", 8, m.sealed, NULL) == NULL &&
	   lm_opener_new(key, NULL, 0, m.sealed, NULL) == NULL, "commitment: another context");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	m.sealed[30] ^= 1;
	is_int(open_bytes(&m, m.sealed, m.sealed_len, &error), LMODEL_ECORRUPT, "commitment: a message");
	is_error(&error, LMODEL_ECORRUPT, "does not belong here", "... does not belong here");
}

/* A message of three chunks, the last of 100 bytes. */
static void test_damage(void)
{
	MESSAGE m = message_of(2 * CHUNK + 100);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	unsigned opened = 0, flips = 0;

	for (size_t chunk = 0; chunk < 3; chunk++) {
		size_t from = LM_SEALED_HEAD + chunk * WHOLE, len = chunk < 2 ? WHOLE : 116;

		for (size_t at = 0; at < len; at++) {
			if (at >= 20 && at + 20 < len && at % 509 != 0)
				continue;
			flips++;
			m.sealed[from + at] ^= (uint8_t)(1 << at % 8);
			opened += open_bytes(&m, m.sealed, m.sealed_len, &error) != LMODEL_ECORRUPT;
			m.sealed[from + at] ^= (uint8_t)(1 << at % 8);
		}
	}
	is_int(flips, 2 * (40 + 32) + 40, "damage: both ends of all chunks and bytes between");
	is_int(opened, 0, "damage: no flip passes");
	is_error(&error, LMODEL_ECORRUPT, "damaged", "... are damage");
	is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_OK, "... undone, it opens");
}

static void test_truncation(void)
{
	MESSAGE m = message_of(3 * CHUNK);
	unsigned opened = 0;
	uint8_t *more = malloc(m.sealed_len + WHOLE);

	if (more == NULL)
		abort();
	for (size_t chunks = 0; chunks <= 3; chunks++)
		for (size_t extra = 0; extra < 20; extra++)
			opened += chunks * WHOLE + LM_SEALED_HEAD + extra < m.sealed_len &&
				  open_bytes(&m, m.sealed, LM_SEALED_HEAD + chunks * WHOLE + extra,
					     NULL) != LMODEL_ECORRUPT;
	for (size_t cut = 1; cut < m.sealed_len; cut += cut < 100 ? 1 : 1021)
		opened += open_bytes(&m, m.sealed, m.sealed_len - cut, NULL) != LMODEL_ECORRUPT;
	is_int(opened, 0, "truncation: at chunks and anywhere else");
	memcpy(more, m.sealed, m.sealed_len);
	memcpy(more + m.sealed_len, m.sealed + LM_SEALED_HEAD, WHOLE);
	for (size_t extra = 1; extra <= WHOLE; extra += extra < 40 ? 1 : 1021)
		opened += open_bytes(&m, more, m.sealed_len + extra, NULL) != LMODEL_ECORRUPT;
	is_int(opened, 0, "extension: by pieces of a chunk");
	/* Chunk 0 in the place of the empty last one, then the last one. */
	memcpy(more + LM_SEALED_HEAD + 3 * WHOLE, m.sealed + LM_SEALED_HEAD, WHOLE);
	memcpy(more + m.sealed_len - 16 + WHOLE, m.sealed + m.sealed_len - 16, 16);
	is_int(open_bytes(&m, more, m.sealed_len + WHOLE, NULL), LMODEL_ECORRUPT,
	       "extension: by a chunk before the last");
	free(more);
}

static void test_swap(void)
{
	MESSAGE m = message_of(2 * CHUNK + 5);
	MESSAGE other = message_of(2 * CHUNK + 6);
	uint8_t *a = m.sealed + LM_SEALED_HEAD, *b = a + WHOLE, held[WHOLE];

	memcpy(held, a, WHOLE);
	memcpy(a, b, WHOLE);
	is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_ECORRUPT, "swap: a chunk twice");
	memcpy(b, held, WHOLE);
	is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_ECORRUPT, "swap: two chunks");
	memcpy(b, a, WHOLE);
	memcpy(a, held, WHOLE);
	is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_OK, "... put back");

	/* Same key and salt, so the same chunk keys: what the salt's rule is there to forbid. */
	memcpy(b + WHOLE, other.sealed + LM_SEALED_HEAD + 2 * WHOLE, 21);
	is_int(open_bytes(&m, m.sealed, m.sealed_len, NULL), LMODEL_ECORRUPT,
	       "swap: the start of another last chunk");
}

/* ---- single chunks ---- */

static void test_random_access(void)
{
	static const uint64_t order[] = { 3, 0, 6, 1, 6, 5, 2, 4, 0 };
	MESSAGE m = message_of(100000); /* 6 chunks and 1696 bytes */
	struct lm_sealer *o = lm_opener_new(key, context, strlen(context), m.sealed, NULL);
	uint8_t out[CHUNK];
	unsigned bad = 0, left = 0;

	if (!ok(o != NULL, "opener"))
		return;
	for (size_t i = 0; i < LM_COUNT(order); i++) {
		uint64_t k = order[i];
		size_t n = k < 6 ? CHUNK : 1696;
		const uint8_t *at = m.sealed + LM_SEALED_HEAD + k * WHOLE;

		memset(out, 0x77, sizeof(out));
		bad += lm_opener_chunk(o, k, at, n + 16, out, NULL) != LMODEL_OK ||
		       memcmp(out, m.plain + k * CHUNK, n) != 0;
		memset(out, 0x77, sizeof(out));
		bad += lm_opener_chunk(o, k + 1, at, n + 16, out, NULL) != LMODEL_ECORRUPT;
		left += !all_zero(out, n);
		memset(out, 0x77, sizeof(out));
		bad += lm_opener_chunk(o, k, at, n + 15, out, NULL) != LMODEL_ECORRUPT;
		left += !all_zero(out, n - 1);
	}
	is_int(bad, 0, "random access: each chunk in its place, and in no other");
	is_int(left, 0, "... nothing comes out of a wrong one");
	for (size_t n = 0; n < 16; n++)
		bad += lm_opener_chunk(o, 6, m.sealed, n, out, NULL) != LMODEL_ECORRUPT;
	is_int(bad, 0, "random access: less than a tag");
	ok(lm_sealer_chunk(o, m.plain, 5, out, NULL) == LMODEL_EUSAGE,
	   "an opener does not seal: its nonces are used");
	lm_sealer_free(o);
	lm_sealer_free(NULL);
}

static void test_sealer(void)
{
	MESSAGE m = message_of(CHUNK);
	uint8_t head[LM_SEALED_HEAD], second[LM_SEALED_HEAD], out[WHOLE + 1], last[16];
	LM_FREE uint8_t *plain = pattern(CHUNK + 1, CHUNK + 1);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_sealer *s = lm_sealer_new(key, context, strlen(context), salt, head, NULL);

	if (!ok(s != NULL && memcmp(head, m.sealed, LM_SEALED_HEAD) == 0, "sealer: head"))
		return;
	is_int(lm_sealer_chunk(s, plain, CHUNK + 1, out, NULL), LMODEL_EUSAGE, "... too large a chunk");
	ok(lm_sealer_chunk(s, plain, CHUNK, out, NULL) == LMODEL_OK &&
	   memcmp(out, m.sealed + LM_SEALED_HEAD, WHOLE) == 0, "... a full chunk");
	ok(lm_sealer_chunk(s, NULL, 0, last, NULL) == LMODEL_OK &&
	   memcmp(last, m.sealed + LM_SEALED_HEAD + WHOLE, 16) == 0, "... the empty last chunk");
	is_int(lm_sealer_chunk(s, plain, 1, out, &error), LMODEL_EUSAGE, "... and no more");
	is_error(&error, LMODEL_EUSAGE, "can follow", "... says so");
	lm_sealer_free(s);

	s = lm_sealer_new(key, NULL, 0, NULL, head, NULL);
	lm_sealer_free(s);
	s = lm_sealer_new(key, NULL, 0, NULL, second, NULL);
	lm_sealer_free(s);
	ok(memcmp(head, second, LM_SEALED_SALT) != 0 && memcmp(head + 24, second + 24, 32) != 0,
	   "sealer: a random salt, so another commitment");
}

/* More at a time than the secure pool has room for. */
static void test_many(void)
{
	enum { MANY = 100 };
	MESSAGE m = message_of(200);
	struct lm_sealer *o[MANY];
	uint8_t out[200];
	unsigned good = 0;

	for (size_t i = 0; i < MANY; i++)
		o[i] = lm_opener_new(key, context, strlen(context), m.sealed, NULL);
	for (size_t i = 0; i < MANY; i++)
		good += o[i] != NULL && lm_opener_chunk(o[i], 0, m.sealed + LM_SEALED_HEAD, 216, out,
							NULL) == LMODEL_OK;
	for (size_t i = 0; i < MANY; i++)
		lm_sealer_free(o[i]);
	is_int(good, MANY, "a hundred openers at a time");
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	test_vectors();
	test_lengths();
	test_limit();
	test_commitment();
	test_damage();
	test_truncation();
	test_swap();
	test_random_access();
	test_sealer();
	test_many();
	return done();
}
