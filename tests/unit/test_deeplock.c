/* Deep-Lock: the S-box and the schedule are those of AES, any range is what the whole is, another
 * key gives noise; and it is as weak as is said of it (spec: 7.8). */
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/deeplock.h"
#include "lib/vectors.h"

enum { ROUND_KEYS = 240, WHOLE = 3 * 65536 + 1000 };

static uint8_t plain[WHOLE], locked[WHOLE], other[WHOLE];

static void fill(uint8_t *bytes_, size_t len, uint32_t x)
{
	for (size_t i = 0; i < len; i++) {
		x = 1664525 * x + 1013904223;
		bytes_[i] = (uint8_t)(x >> 24);
	}
}

static size_t equal_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += a[i] == b[i];
	return n;
}

/* ---- known answers ---- */

static void check(const char *name, const json_t *in, const json_t *out)
{
	const json_t *rule = json_object_get(in, "plain");
	size_t len = (size_t)number(rule, "length");
	uint64_t offset = number(in, "offset");
	uint8_t lock_key[32], tensor_key[32], digest[LM_SHA256_SIZE], words[256];

	key(in, "key", lock_key);
	fill(plain, len, (uint32_t)number(rule, "seed"));
	memcpy(locked, plain, len);
	lm_lock(lock_key, offset, locked, len);
	lm_sha256(digest, locked, len);
	ok(is_hex(digest, sizeof(digest), out, "sha256") &&
	   (len > 256 || is_hex(locked, len, out, "locked")), "%s", name);
	lm_unlock(lock_key, offset, locked, len);
	ok(memcmp(locked, plain, len) == 0, "... and back");
	lm_lock_tensor_key(tensor_key, lock_key, text(in, "tensor"));
	ok(is_hex(tensor_key, sizeof(tensor_key), out, "tensor_key"), "... key of a tensor");
	lm_lock_schedule(lock_key, sizeof(words) / 32, words);
	ok(is_hex(words, sizeof(words), out, "schedule"), "... schedule");
}

/* FIPS 197, A.3. */
static void check_expansion(void)
{
	static const char given[] = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
	static const char w8[] = "9ba354118e6925afa51a8b5f2067fcde"; /* words 8 to 11 */
	static const char w56[] = "fe4890d1e6188d0b046df344706c631e"; /* 56 to 59 */
	json_t *o = json_pack("{s:s,s:s,s:s}", "key", given, "w8", w8, "w56", w56);
	uint8_t schedule_key[32], words[256];

	key(o, "key", schedule_key);
	lm_lock_schedule(schedule_key, 8, words);
	ok(memcmp(words, schedule_key, 32) == 0, "the schedule begins with the key");
	ok(is_hex(words + 32, 16, o, "w8"), "FIPS 197, A.3: words 8 to 11");
	ok(is_hex(words + 224, 16, o, "w56"), "FIPS 197, A.3: words 56 to 59");
	json_decref(o);
}

/* ---- AES-256 from this S-box and schedule is the library's ---- */

static uint8_t twice(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
}

/* From outside: the byte that is locked as 0x63, which is S(0), is the k of its place. */
static void find_sbox(uint8_t sbox[256])
{
	static const uint8_t some_key[32] = { 9 };
	uint8_t k = 0, byte;

	for (unsigned guess = 0; guess < 256; guess++) {
		byte = (uint8_t)guess;
		lm_lock(some_key, 0, &byte, 1);
		if (byte == 0x63)
			k = (uint8_t)guess;
	}
	for (unsigned i = 0; i < 256; i++) {
		sbox[i] = (uint8_t)i ^ k;
		lm_lock(some_key, 0, &sbox[i], 1);
	}
}

static void encrypt(const uint8_t sbox[256], const uint8_t *round_keys, uint8_t state[16])
{
	for (int round = 0; round < 15; round++) {
		uint8_t shifted[16];

		for (int i = 0; i < 16; i++)
			shifted[i] = sbox[state[5 * i % 16]];
		for (int i = 0; i < 16 && round > 0; i++) {
			int column = i & ~3;
			uint8_t a = shifted[i], b = shifted[column | ((i + 1) & 3)];

			state[i] = round == 14 ? a :
				   (uint8_t)(twice(a) ^ twice(b) ^ b ^
					     shifted[column | ((i + 2) & 3)] ^
					     shifted[column | ((i + 3) & 3)]);
		}
		for (int i = 0; i < 16; i++)
			state[i] ^= round_keys[16 * round + i];
	}
}

static void check_aes(void)
{
	uint8_t aes_key[32], words[256], sbox[256], state[16] = { 0 }, wanted[16];
	struct lm_keystream *stream;
	size_t good = 0;

	find_sbox(sbox);
	for (uint32_t i = 0; i < 20; i++) {
		fill(aes_key, sizeof(aes_key), i);
		lm_lock_schedule(aes_key, 8, words);
		memset(state, 0, sizeof(state));
		encrypt(sbox, words, state);
		stream = lm_keystream_new(aes_key, NULL); /* AES-256-CTR from counter 0 */
		if (stream == NULL)
			abort();
		lm_keystream_read(stream, 0, wanted, sizeof(wanted));
		lm_keystream_free(stream);
		good += memcmp(state, wanted, sizeof(wanted)) == 0;
	}
	is_int((intmax_t)good, 20, "AES-256 from the S-box and the schedule is AES-256");
}

/* ---- ranges ---- */

static void check_ranges(void)
{
	static const uint8_t lock_key[32] = { 7, 7 };
	uint32_t x = 5;
	bool good = true;

	fill(plain, WHOLE, 77);
	memcpy(locked, plain, WHOLE);
	lm_lock(lock_key, 0, locked, WHOLE);
	for (int i = 0; i < 400 && good; i++) {
		size_t from, len;

		x = 1664525 * x + 1013904223;
		from = x % WHOLE;
		x = 1664525 * x + 1013904223;
		len = LM_MIN(i % 4 == 0 ? x % WHOLE : x % 70, WHOLE - from);
		memcpy(other, plain + from, len);
		lm_lock(lock_key, from, other, len);
		good &= memcmp(other, locked + from, len) == 0;
		lm_unlock(lock_key, from, other, len);
		good &= memcmp(other, plain + from, len) == 0;
	}
	ok(good, "any range alone is as in the whole");
	memset(plain, 0, WHOLE);
	memcpy(locked, plain, WHOLE);
	lm_lock(lock_key, 0, locked, WHOLE);
	ok(equal_bytes(locked, locked + 65536, 65536) < 512,
	   "equal blocks of a tensor do not look alike");
}

/* ---- other keys ---- */

static void check_keys(void)
{
	uint8_t lock_key[32] = { 1, 2, 3 }, one[32], two[32], digest[32], wrong[32];
	size_t most = 0, same = 0;
	enum { LEN = 8192 };

	fill(plain, LEN, 3);
	memcpy(locked, plain, LEN);
	lm_lock(lock_key, 65536, locked, LEN);
	lm_sha256(digest, plain, LEN);
	for (unsigned bit = 0; bit < 256; bit++) {
		lock_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
		memcpy(other, locked, LEN);
		lm_unlock(lock_key, 65536, other, LEN);
		most = LM_MAX(most, equal_bytes(other, plain, LEN));
		lm_sha256(wrong, other, LEN);
		same += memcmp(wrong, digest, sizeof(digest)) == 0;
		lock_key[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* By chance 32 of 8192 bytes, with a deviation of 6. */
	ok(most < 80, "with a key bit flipped, whichever it is, noise comes out: %zu of %d bytes are "
	   "right at most", most, LEN);
	is_int((intmax_t)same, 0, "... and the digest tells");
	lm_lock_tensor_key(one, lock_key, "a.weight");
	lm_lock_tensor_key(two, lock_key, "b.weight");
	memcpy(locked, plain, LEN);
	memcpy(other, plain, LEN);
	lm_lock(one, 0, locked, LEN);
	lm_lock(two, 0, other, LEN);
	ok(equal_bytes(locked, other, LEN) < 80, "equal tensors do not look alike");
}

/* ---- what is said of it: 32 known bytes in a row open the block ---- */

static uint32_t word_at(const uint8_t *bytes_, size_t index)
{
	return lm_get_u32(bytes_ + 4 * index);
}

static uint32_t sub_word(const uint8_t sbox[256], uint32_t w)
{
	return (uint32_t)sbox[w & 0xff] | (uint32_t)sbox[w >> 8 & 0xff] << 8 |
	       (uint32_t)sbox[w >> 16 & 0xff] << 16 | (uint32_t)sbox[w >> 24] << 24;
}

/* The word that w[i] came from, with the one before it: w[i - 8]. */
static uint32_t back(const uint8_t sbox[256], size_t i, uint32_t word, uint32_t before)
{
	uint32_t rcon = 1;

	for (size_t k = 1; k < i / 8; k++)
		rcon = twice((uint8_t)rcon);
	if (i % 8 == 0)
		return word ^ sub_word(sbox, before >> 8 | before << 24) ^ rcon;
	return word ^ (i % 4 == 0 ? sub_word(sbox, before) : before);
}

static void check_attack(void)
{
	static const uint8_t lock_key[32] = { 200, 1, 99 };
	enum { LEN = 65536, KNOWN = 1600 * 4, FIRST = KNOWN / 4 };
	static uint32_t w[FIRST + 8];
	static uint8_t schedule[LEN];
	uint8_t sbox[256], restore[256];

	find_sbox(sbox);
	for (unsigned i = 0; i < 256; i++)
		restore[sbox[i]] = (uint8_t)i;
	fill(plain, LEN, 11);
	memset(plain + KNOWN, 0, 32); /* eight zeros of an unused row */
	memcpy(locked, plain, LEN);
	lm_lock(lock_key, 0, locked, LEN);

	/* Only `locked`, and that these 32 are zeros. */
	for (size_t i = 0; i < 32; i++)
		other[i] = restore[locked[KNOWN + i]];
	for (size_t i = 0; i < 8; i++)
		w[FIRST + i] = word_at(other, i);
	for (size_t i = FIRST + 7; i >= 8; i--)
		w[i - 8] = back(sbox, i, w[i], w[i - 1]);
	for (size_t i = 0; i < 8; i++)
		lm_put_u32(other + 4 * i, w[i]);
	lm_lock_schedule(other, LEN / 32, schedule);
	for (size_t i = 0; i < LEN; i++)
		locked[i] = restore[locked[i]] ^ schedule[i];
	ok(memcmp(locked, plain, LEN) == 0, "32 known bytes open their block, without a key");
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	vectors("deeplock.json", 9, check);
	check_expansion();
	check_aes();
	check_ranges();
	check_keys();
	check_attack();
	return done();
}
