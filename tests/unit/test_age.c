/* crypto/age/: the age format, from both ends and with whatever can be wrong in it. */
#include "crypto/age/age.h"

#include <stdio.h>

#include "crypto/age/armor.h"
#include "crypto/age/base64.h"
#include "crypto/age/bech32.h"
#include "crypto/age/ssh_key.h"
#include "crypto/crypto.h"
#include "crypto/curve.h"
#include "crypto/secret.h"
#include "lib/tap.h"

enum { WORK_FACTOR = 10, LARGE = (128 << 10) + 1 };

/* The example of c2sp.org/age: 32 bytes of 0x42. */
static const char example_identity[] =
	"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
static const char example_recipient[] =
	"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/* RFC 8032, 7.1, test 1, as an SSH key. */
static const uint8_t ssh_seed[32] = {
	0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
	0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
};
static const char ssh_recipient[] =
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

static uint8_t large[LARGE];

struct file {
	uint8_t *bytes;
	size_t len;
};

struct keys {
	struct lm_age_identity **list;
	size_t count;
};

static struct lm_age_recipient *recipient_of(const char *text)
{
	struct lm_age_recipient *recipient = NULL;

	if (lm_age_recipient_parse(&recipient, text, NULL) != LMODEL_OK)
		abort();
	return recipient;
}

static struct lm_age_recipient *passphrase_recipient(const char *text)
{
	struct lm_age_recipient *recipient = NULL;

	if (lm_age_recipient_passphrase(&recipient, text, strlen(text), WORK_FACTOR, NULL) != LMODEL_OK)
		abort();
	return recipient;
}

static struct lm_age_identity *passphrase_identity(const char *text)
{
	struct lm_age_identity *identity = NULL;

	if (lm_age_identity_passphrase(&identity, text, strlen(text), NULL) != LMODEL_OK)
		abort();
	return identity;
}

static struct lm_age_identity *random_identity(void)
{
	struct lm_age_identity *identity = NULL;

	if (lm_age_identity_generate(&identity, NULL) != LMODEL_OK)
		abort();
	return identity;
}

static int parse_bytes(struct keys *keys, const void *bytes, size_t len, lm_passphrase_fn *ask,
		       void *context, struct lmodel_error *error)
{
	return lm_age_identities_parse(&keys->list, &keys->count, bytes, len, "k.txt", ask, context,
				       error);
}

static int parse_text(struct keys *keys, const char *text, struct lmodel_error *error)
{
	return parse_bytes(keys, text, strlen(text), NULL, NULL, error);
}

static void keys_free(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		lm_age_identity_free(keys->list[i]);
	free(keys->list);
	*keys = (struct keys){ NULL, 0 };
}

static struct lm_age_identity *ssh_identity(void);

static int encrypt(struct file *file, struct lm_age_recipient *const *recipients, size_t count,
		   const void *plain, size_t len, bool armor, const uint8_t *entropy,
		   struct lmodel_error *error)
{
	return lm_age_encrypt((const struct lm_age_recipient *const *)recipients, count, plain, len,
			      armor, entropy, &file->bytes, &file->len, error);
}

static struct file encrypted(struct lm_age_recipient *recipient, const void *plain, size_t len,
			     bool armor)
{
	struct file file = { NULL, 0 };

	if (encrypt(&file, &recipient, 1, plain, len, armor, NULL, NULL) != LMODEL_OK)
		abort();
	return file;
}

/* The answer of lm_age_decrypt(); with LMODEL_OK, whether the plaintext is the wanted one. */
static int opens(const struct lm_age_identity *identity, const uint8_t *bytes, size_t len,
		 const void *plain, size_t plain_len)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *out = NULL;
	size_t out_len = 0;
	int r = lm_age_decrypt(&identity, 1, bytes, len, &out, &out_len, &error);

	if (r != (int)error.code || (r == LMODEL_OK) != (out != NULL))
		r = -1;
	if (r == LMODEL_OK &&
	    (out_len != plain_len || memcmp(out, plain, out_len) != 0 || out[out_len] != 0))
		r = -2;
	lm_secret_free(out);
	return r;
}

/* ---- base 64, Bech32, armor ---- */

static void test_base64(void)
{
	static const char *const texts[] = { "", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy" };
	static const char *const bad[] = { "Z", "Zh", "Zm9", "Zg==", "Zm9vY", "Zm9v\n", "Zm-v", "Z m9" };
	bool good = true;

	for (size_t i = 0; i < LM_COUNT(texts); i++) {
		char text[16] = "";
		uint8_t bytes[16];
		size_t len = strlen(texts[i]);

		lm_base64_encode(text, (const uint8_t *)"foobar", i);
		good = good && strcmp(text, texts[i]) == 0 && lm_base64_encoded(i) == len &&
		       lm_base64_decoded(len) == i &&
		       lm_base64_decode(bytes, (const uint8_t *)texts[i], len) &&
		       memcmp(bytes, "foobar", i) == 0;
	}
	ok(good, "base 64: the examples of RFC 4648 without padding");
	for (size_t i = 0; i < LM_COUNT(bad); i++) {
		uint8_t bytes[16];

		ok(!lm_base64_decode(bytes, (const uint8_t *)bad[i], strlen(bad[i])),
		   "base 64: malformed text %zu", i);
	}
}

static void test_bech32(void)
{
	uint8_t bytes[32], wanted[32];
	char text[128];
	size_t len = strlen(example_identity), missed = 0;

	memset(wanted, 0x42, sizeof(wanted));
	ok(lm_bech32_decode("AGE-SECRET-KEY-", bytes, 32, example_identity, len) &&
	   memcmp(bytes, wanted, 32) == 0, "Bech32: the example of the specification");
	lm_bech32_encode(text, "AGE-SECRET-KEY-", wanted, 32);
	is_str(text, example_identity, "Bech32: and back");
	for (size_t i = 0; i < len; i++)
		for (char c = '!'; c <= '~'; c++) {
			memcpy(text, example_identity, len + 1);
			text[i] = c;
			missed += c != example_identity[i] &&
				  lm_bech32_decode("AGE-SECRET-KEY-", bytes, 32, text, len);
		}
	is_int((intmax_t)missed, 0, "Bech32: every change of one character is found");
	memcpy(text, example_identity, len + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	ok(!lm_bech32_decode("AGE-SECRET-KEY-", bytes, 32, text, len), "Bech32: the other case");
	ok(lm_bech32_decode("age-secret-key-", bytes, 32, text, len), "Bech32: which is a text too");
	ok(!lm_bech32_decode("AGE-SECRET-KEY-", bytes, 31, example_identity, len) &&
	   !lm_bech32_decode("AGE-SECRET-KEY-", bytes, 32, example_identity, len - 1),
	   "Bech32: of another length");
	/* BIP 173's own, 20 bytes, and one that is longer than BIP 173 allows. */
	lm_bech32_encode(text, "a", wanted, 0);
	is_str(text, "a12uel5l", "Bech32: nothing but a checksum");
	for (size_t n = 1; n < 300; n++) {
		char *long_text = malloc(lm_bech32_encoded(3, n) + 1);
		uint8_t *back = malloc(n);

		if (long_text == NULL || back == NULL)
			abort();
		for (size_t i = 0; i < n; i++)
			large[i] = (uint8_t)(i * 7 + n);
		lm_bech32_encode(long_text, "age", large, n);
		if (strlen(long_text) != lm_bech32_encoded(3, n) ||
		    !lm_bech32_decode("age", back, n, long_text, strlen(long_text)) ||
		    memcmp(back, large, n) != 0)
			missed++;
		free(long_text);
		free(back);
	}
	is_int((intmax_t)missed, 0, "Bech32: lengths 1 to 299");
}

static void test_armor(void)
{
	static const char sound[] = "-----BEGIN AGE ENCRYPTED FILE-----\nZm8=\n"
				    "-----END AGE ENCRYPTED FILE-----\n";
	uint8_t *text = NULL, *back = NULL;
	size_t text_len, back_len, wrong = 0;

	for (size_t n = 0; n < 200; n++) {
		if (lm_armor_encode(large, n, &text, &text_len, NULL) != LMODEL_OK)
			abort();
		if (text[text_len] != '\0' || strlen((char *)text) != text_len ||
		    !lm_armor_begins(text, text_len) ||
		    lm_armor_decode(text, text_len, &back, &back_len, NULL) != LMODEL_OK ||
		    back_len != n || memcmp(back, large, n) != 0)
			wrong++;
		free(text);
		free(back);
		text = back = NULL;
	}
	is_int((intmax_t)wrong, 0, "armor: lengths 0 to 199");
	for (size_t cut = 0; cut < sizeof(sound) - 1; cut++) {
		int r = lm_armor_decode((const uint8_t *)sound, cut, &back, &back_len, NULL);

		wrong += (r == LMODEL_OK) != (cut == sizeof(sound) - 2);
		free(back);
		back = NULL;
	}
	is_int((intmax_t)wrong, 0, "armor: cut anywhere but before its last newline");
}

/* ---- files ---- */

static void round_trip(const char *kind, struct lm_age_recipient *recipient,
		       struct lm_age_identity *identity)
{
	static const size_t lengths[] = { 0, 1, 100, 65535, 65536, 65537, 131072, LARGE };
	struct lm_age_identity *stranger = random_identity();

	for (size_t i = 0; i < LM_COUNT(lengths); i++)
		for (int armor = 0; armor < 2; armor++) {
			struct file file = encrypted(recipient, large, lengths[i], armor);
			char kinds[32] = "";

			is_int(opens(identity, file.bytes, file.len, large, lengths[i]), LMODEL_OK,
			       kind);
			ok(lm_armor_begins(file.bytes, file.len) == armor, "%s: armor %d", kind, armor);
			if (i == 0) {
				is_int(lm_age_inspect(file.bytes, file.len, kinds, sizeof(kinds), NULL),
				       LMODEL_OK, "inspect");
				is_str(kinds, kind, "inspect: the kind");
				is_int(opens(stranger, file.bytes, file.len, "", 0), LMODEL_ENOKEY,
				       "a stranger's key");
			}
			free(file.bytes);
		}
	lm_age_identity_free(stranger);
}

/* Every byte changed in two ways, every shorter file, one that is longer: none is read. */
static void damage(const char *kind, struct lm_age_recipient *recipient,
		   struct lm_age_identity *identity, bool armor)
{
	struct file file = encrypted(recipient, "plaintext", 9, armor);
	size_t changed = 0, cut = 0;
	uint8_t *copy = malloc(file.len + 1);

	if (copy == NULL)
		abort();
	memcpy(copy, file.bytes, file.len);
	for (size_t i = 0; i < file.len; i++)
		for (int bit = 0; bit < 8; bit += 7) {
			int r;

			copy[i] ^= (uint8_t)(1 << bit);
			r = opens(identity, copy, file.len, "plaintext", 9);
			changed += r != LMODEL_ECORRUPT && r != LMODEL_ENOKEY && r != LMODEL_ELIMIT &&
				   r != LMODEL_EUNSUPPORTED;
			copy[i] ^= (uint8_t)(1 << bit);
		}
	is_int((intmax_t)changed, 0, kind);
	for (size_t n = 0; n < file.len - armor; n++)
		cut += opens(identity, copy, n, "plaintext", 9) != LMODEL_ECORRUPT;
	is_int((intmax_t)cut, 0, "every shorter file is corrupt");
	copy[file.len] = 'x';
	is_int(opens(identity, copy, file.len + 1, "plaintext", 9), LMODEL_ECORRUPT, "a longer file");
	is_int(opens(identity, copy, file.len, "plaintext", 9), LMODEL_OK, "the file as it was");
	free(copy);
	free(file.bytes);
}

static void test_kinds(void)
{
	struct {
		struct lm_age_recipient *recipient;
		struct lm_age_identity *identity;
	} of[] = {
		{ recipient_of(example_recipient), NULL },
		{ recipient_of(ssh_recipient), ssh_identity() },
		{ passphrase_recipient("a passphrase"), passphrase_identity("a passphrase") },
	};
	uint8_t scalar[32];

	memset(scalar, 0x42, sizeof(scalar));
	if (lm_age_identity_from_scalar(&of[0].identity, scalar, NULL) != LMODEL_OK)
		abort();
	for (size_t i = 0; i < LM_COUNT(of); i++) {
		const char *kind = lm_age_recipient_kind(of[i].recipient);
		const char *text = lm_age_recipient_text(of[i].recipient);

		is_str(lm_age_identity_kind(of[i].identity), kind, "the same kind");
		ok(text == NULL ? lm_age_identity_recipient(of[i].identity) == NULL :
				  strcmp(lm_age_identity_recipient(of[i].identity), text) == 0,
		   "%s: the identity knows its recipient", kind);
		round_trip(kind, of[i].recipient, of[i].identity);
		damage(kind, of[i].recipient, of[i].identity, false);
		damage(kind, of[i].recipient, of[i].identity, true);
	}
	for (size_t i = 0; i < LM_COUNT(of); i++) {
		lm_age_recipient_free(of[i].recipient);
		lm_age_identity_free(of[i].identity);
	}
}

static void test_several(void)
{
	struct lm_age_identity *identity[3] = { random_identity(), ssh_identity(), random_identity() };
	struct lm_age_identity *strangers[2] = { random_identity(), passphrase_identity("x") };
	struct lm_age_recipient *recipient[4];
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct file file = { NULL, 0 };
	uint8_t *plain = NULL;
	size_t len;
	char kinds[64], few[10];

	for (int i = 0; i < 3; i++)
		recipient[i] = recipient_of(lm_age_identity_recipient(identity[i]));
	recipient[3] = passphrase_recipient("x");
	is_int(encrypt(&file, recipient, 3, "to three", 8, false, NULL, &error), LMODEL_OK,
	       "a file for three");
	for (int i = 0; i < 3; i++)
		is_int(opens(identity[i], file.bytes, file.len, "to three", 8), LMODEL_OK,
		       "each of them opens it");
	is_int(lm_age_inspect(file.bytes, file.len, kinds, sizeof(kinds), NULL), LMODEL_OK, "inspect");
	is_str(kinds, "X25519,ssh-ed25519,X25519", "their kinds");
	is_int(lm_age_inspect(file.bytes, file.len, few, sizeof(few), NULL), LMODEL_OK, "inspect");
	is_str(few, "X25519,ss", "cut to the room there is");
	is_int(lm_age_decrypt((const struct lm_age_identity *const *)strangers, 2, file.bytes, file.len,
			      &plain, &len, &error), LMODEL_ENOKEY, "strangers");
	is_error(&error, LMODEL_ENOKEY, "none of the 2 identities", "the message says how many");
	is_int(lm_age_decrypt(NULL, 0, file.bytes, file.len, &plain, &len, NULL), LMODEL_ENOKEY,
	       "no identity at all");
	free(file.bytes);

	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(encrypt(&file, recipient, 4, "x", 1, false, NULL, &error), LMODEL_EUSAGE,
	       "a passphrase beside others");
	is_int(encrypt(&file, recipient, 0, "x", 1, false, NULL, NULL), LMODEL_EUSAGE, "no recipient");
	file = encrypted(recipient[3], "x", 1, false);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	lm_age_identity_free(strangers[1]);
	strangers[1] = passphrase_identity("y");
	is_int(lm_age_decrypt((const struct lm_age_identity *const *)strangers, 2, file.bytes, file.len,
			      &plain, &len, &error), LMODEL_ENOKEY, "another passphrase");
	is_error(&error, LMODEL_ENOKEY, "wrong passphrase", "the message says so");
	free(file.bytes);
	for (int i = 0; i < 3; i++)
		lm_age_identity_free(identity[i]);
	for (int i = 0; i < 4; i++)
		lm_age_recipient_free(recipient[i]);
	lm_age_identity_free(strangers[0]);
	lm_age_identity_free(strangers[1]);
}

static void test_entropy(void)
{
	uint8_t entropy[32] = { 1 };
	struct lm_age_recipient *recipient[2] = { recipient_of(example_recipient),
						  recipient_of(ssh_recipient) };
	struct lm_age_recipient *locked = passphrase_recipient("p");
	struct file file[6] = { { NULL, 0 } };
	const struct {
		size_t count;
		const char *plain;
		uint8_t first;
	} cases[6] = {
		{ 2, "one", 1 }, { 2, "one", 1 }, { 2, "two", 1 }, { 2, "one", 2 }, { 1, "one", 1 },
	};

	for (int i = 0; i < 5; i++) {
		entropy[0] = cases[i].first;
		if (encrypt(&file[i], recipient, cases[i].count, cases[i].plain, 3, false, entropy,
			    NULL) != LMODEL_OK)
			abort();
	}
	ok(file[0].len == file[1].len && memcmp(file[0].bytes, file[1].bytes, file[0].len) == 0,
	   "the same entropy gives the same file");
	/* The share of the first recipient stands at 32, the payload's nonce before the last 35. */
	for (int i = 2; i < 5; i++)
		ok(memcmp(file[0].bytes + 32, file[i].bytes + 32, 43) != 0 &&
		   memcmp(file[0].bytes + file[0].len - 35, file[i].bytes + file[i].len - 35, 16) != 0,
		   "another plaintext, entropy or list of recipients (%d): other shares and nonces", i);
	for (int i = 0; i < 5; i++) {
		free(file[i].bytes);
		file[i].bytes = NULL;
	}
	if (encrypt(&file[0], &locked, 1, "one", 3, true, entropy, NULL) != LMODEL_OK ||
	    encrypt(&file[1], &locked, 1, "one", 3, true, entropy, NULL) != LMODEL_OK ||
	    encrypt(&file[2], &locked, 1, "one", 3, true, NULL, NULL) != LMODEL_OK)
		abort();
	is_str((char *)file[0].bytes, (char *)file[1].bytes, "the same for a passphrase");
	ok(strcmp((char *)file[0].bytes, (char *)file[2].bytes) != 0, "and without entropy another");
	for (int i = 0; i < 3; i++)
		free(file[i].bytes);
	lm_age_recipient_free(recipient[0]);
	lm_age_recipient_free(recipient[1]);
	lm_age_recipient_free(locked);
}

/* Text of a file up to the end of its header, for answers that come before any key is used. */
static void answers(const char *text, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char kinds[64];

	is_int(lm_age_inspect((const uint8_t *)text, strlen(text), kinds, sizeof(kinds), &error), code,
	       what);
	is_error(&error, code, part, what);
}

#define V1 "age-encryption.org/v1\n"
#define B43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define END "--- " B43 "\n0123456789abcdef"

static void test_headers(void)
{
	enum { MANY = 1025 };
	struct lm_age_recipient *recipient = recipient_of(example_recipient);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *many = malloc(64 + MANY * 6 + 100), *p = many;
	uint8_t *zeros = calloc(1, LM_AGE_FILE_LIMIT + 1);
	struct file file = { NULL, 0 };

	if (many == NULL || zeros == NULL)
		abort();
	answers("", LMODEL_ECORRUPT, "is not an age file", "an empty file");
	answers("age-encryption.org/v1", LMODEL_ECORRUPT, "version line", "no end of the first line");
	answers("age-encryption.org/v2\n", LMODEL_EUNSUPPORTED, "another version", "version 2");
	answers("age-encryption.org/v1\r\n", LMODEL_ECORRUPT, "version line", "CR LF");
	answers("age-encryption.org/\n", LMODEL_ECORRUPT, "version line", "no version");
	answers(V1 END, LMODEL_ECORRUPT, "no stanza", "no stanza");
	answers(V1 "-> a\n\n--- " B43 "\n0123456789abcde", LMODEL_ECORRUPT, "truncated",
		"a nonce of 15 bytes");
	answers(V1 "-> X25519 " B43 "\n" B43 "\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n" B43 "\n" END,
		LMODEL_ECORRUPT, "beside other", "a passphrase that is not alone");
	answers(V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 21\n" B43 "\n" END, LMODEL_ELIMIT,
		"work factor of 21", "a work factor over the limit");
	answers(V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 99999999999999999999999\n" B43 "\n" END,
		LMODEL_ELIMIT, "work factor", "a work factor without end");
	answers(V1 "-> ssh-ed25519 AAAAAA\n" B43 "\n" END, LMODEL_ECORRUPT, "ssh-ed25519",
		"an ssh-ed25519 stanza without a share");
	answers(V1 "-> ssh-ed25519 AAAAAA " B43 "\n" B43 "A\n" END, LMODEL_ECORRUPT,
		"wrapped key of 33 bytes", "a body of 33 bytes");
	answers(V1 "-> new a b c d e f\n" B43 B43 "\n" END, LMODEL_ECORRUPT, "stanza 1 is malformed",
		"a line of 86");
	p = stpcpy(p, V1);
	for (int i = 0; i < MANY; i++)
		p = stpcpy(p, "-> a\n\n");
	stpcpy(p, END);
	answers(many, LMODEL_ELIMIT, "more than 1024", "1025 stanzas");
	is_int(opens(NULL, zeros, LM_AGE_FILE_LIMIT + 1, "", 0), LMODEL_ELIMIT, "a file over the limit");
	is_int(encrypt(&file, &recipient, 1, zeros, LM_AGE_FILE_LIMIT, false, NULL, &error),
	       LMODEL_ELIMIT, "a plaintext too long for the limit");
	for (int armor = 0; armor < 2; armor++) {
		size_t n = (armor ? 773500 : 1047900);
		struct lm_age_identity *identity = NULL;
		uint8_t scalar[32];

		memset(scalar, 0x42, sizeof(scalar));
		if (lm_age_identity_from_scalar(&identity, scalar, NULL) != LMODEL_OK)
			abort();
		file = encrypted(recipient, zeros, n, armor);
		is_int(opens(identity, file.bytes, file.len, zeros, n), LMODEL_OK,
		       "a file just below the limit is read");
		free(file.bytes);
		lm_age_identity_free(identity);
	}
	lm_age_recipient_free(recipient);
	free(many);
	free(zeros);
}

/* ---- recipients ---- */

static void test_recipients(void)
{
	static const struct {
		const char *text;
		int code;
		const char *part;
	} bad[] = {
		{ "", LMODEL_EUSAGE, "not a recipient" },
		{ "hunter2", LMODEL_EUSAGE, "not a recipient" },
		{ example_identity, LMODEL_EUSAGE, "secret key" },
		{ "age-secret-key-1gfp", LMODEL_EUSAGE, "secret key" },
		{ "AGE-PLUGIN-YUBIKEY-1", LMODEL_EUSAGE, "secret key" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----", LMODEL_EUSAGE, "secret key" },
		{ "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwk", LMODEL_EUSAGE,
		  "mistyped" },
		{ "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujw", LMODEL_EUSAGE,
		  "mistyped" },
		{ "age1pq1x34nzsvr0rx", LMODEL_EUNSUPPORTED, "post-quantum" },
		{ "age1yubikey1qt8lw0", LMODEL_EUNSUPPORTED, "plugin" },
		{ "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB", LMODEL_EUNSUPPORTED, "SSH" },
		{ "ecdsa-sha2-nistp256 AAAA", LMODEL_EUNSUPPORTED, "SSH" },
		{ "sk-ssh-ed25519@openssh.com AAAA", LMODEL_EUNSUPPORTED, "SSH" },
		{ "ssh-ed25519", LMODEL_EUSAGE, "malformed" },
		{ "ssh-ed25519 AAAA", LMODEL_EUSAGE, "malformed" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE4AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
		  LMODEL_EUSAGE, "another kind" },
		/* y = 2 is on no point of the curve; y = 1 is the neutral element */
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		  LMODEL_EUSAGE, "no usable key" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		  LMODEL_EUSAGE, "no usable key" },
	};
	struct lm_age_recipient *recipient = NULL;
	char text[128], upper[128];
	uint8_t zeros[32] = { 0 };

	for (size_t i = 0; i < LM_COUNT(bad); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		int r = lm_age_recipient_parse(&recipient, bad[i].text, &error);

		ok(r == bad[i].code && (int)error.code == r && recipient == NULL &&
		   strstr(error.message, bad[i].part) != NULL, "recipient %zu is refused: %s", i,
		   error.message);
		ok(strlen(bad[i].text) < 5 || strstr(error.message, bad[i].text) == NULL,
		   "and not repeated");
	}
	lm_bech32_encode(text, "age", zeros, 32);
	is_int(lm_age_recipient_parse(&recipient, text, NULL), LMODEL_EUSAGE, "a point of low order");
	for (size_t i = 0; i <= strlen(example_recipient); i++)
		upper[i] = (char)(example_recipient[i] >= 'a' && example_recipient[i] <= 'z' ?
					  example_recipient[i] - 32 : example_recipient[i]);
	ok(lm_age_recipient_parse(&recipient, upper, NULL) != LMODEL_OK, "upper case");

	recipient = recipient_of(example_recipient);
	is_str(lm_age_recipient_text(recipient), example_recipient, "the text of an age1 recipient");
	lm_age_recipient_free(recipient);
	snprintf(text, sizeof(text), "%s me@here and there\n", ssh_recipient);
	recipient = recipient_of(text);
	is_str(lm_age_recipient_text(recipient), ssh_recipient, "an SSH key without its comment");
	lm_age_recipient_free(recipient);
	recipient = NULL;
	snprintf(text, sizeof(text), "%s me@here\nand there", ssh_recipient);
	is_int(lm_age_recipient_parse(&recipient, text, NULL), LMODEL_EUSAGE, "two lines");
	is_int(lm_age_recipient_passphrase(&recipient, "", 0, 10, NULL), LMODEL_EUSAGE,
	       "an empty passphrase");
	is_int(lm_age_recipient_passphrase(&recipient, "x", 1, 21, NULL), LMODEL_EUSAGE,
	       "a work factor that could not be read");
	is_int(lm_age_recipient_passphrase(&recipient, "x", 1, 0, NULL), LMODEL_EUSAGE,
	       "a work factor of nothing");
	is_int(lm_age_recipient_passphrase(&recipient, (char *)large, 1025, 10, NULL), LMODEL_EUSAGE,
	       "a passphrase over the limit");
}

/* ---- key files ---- */

static void refused(const char *text, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct keys keys = { NULL, 0 };

	is_int(parse_text(&keys, text, &error), code, what);
	is_error(&error, code, part, what);
	ok(keys.count == 0 && keys.list == NULL && strstr(error.message, "k.txt") != NULL &&
	   strstr(error.message, "GFPYY") == NULL && strstr(error.message, "garbage") == NULL,
	   "the file is named, nothing of it is told");
}

static void test_identity_files(void)
{
	struct keys keys = { NULL, 0 };
	char text[400];
	struct lm_age_identity *other = random_identity();
	char *other_text = lm_age_identity_text(other, NULL);

	if (other_text == NULL)
		abort();
	snprintf(text, sizeof(text), "# made today\r\n\n  \n%s\r\n#\n%s", example_identity, other_text);
	is_int(parse_text(&keys, text, NULL), LMODEL_OK, "comments, blank lines, CR LF, two keys");
	is_int((intmax_t)keys.count, 2, "both are found");
	is_str(lm_age_identity_recipient(keys.list[0]), example_recipient, "the first");
	is_str(lm_age_identity_recipient(keys.list[1]), lm_age_identity_recipient(other), "the second");
	is_int(parse_text(&keys, example_identity, NULL), LMODEL_OK, "one more file");
	is_int((intmax_t)keys.count, 3, "is appended");
	is_int(parse_text(&keys, "garbage", NULL), LMODEL_ECORRUPT, "and one that is none");
	is_int((intmax_t)keys.count, 3, "changes nothing");
	keys_free(&keys);

	refused("", LMODEL_ECORRUPT, "holds no identity", "an empty file");
	refused("# AGE-SECRET-KEY-1\n\n", LMODEL_ECORRUPT, "holds no identity", "only comments");
	snprintf(text, sizeof(text), "%s\ngarbage\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 2: is not an identity", "garbage behind a key");
	snprintf(text, sizeof(text), " %s\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 1: is not an identity", "a blank before a key");
	snprintf(text, sizeof(text), "\n%sQ\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 2: a malformed identity", "one character too many");
	snprintf(text, sizeof(text), "%.60s\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 1: a malformed identity", "a key that is cut");
	refused("AGE-SECRET-KEY-PQ-1GFPYY\n", LMODEL_EUNSUPPORTED, "post-quantum", "post-quantum");
	refused("AGE-PLUGIN-X-1GFPYY\n", LMODEL_EUNSUPPORTED, "plugin", "a plugin");
	refused("-----BEGIN RSA PRIVATE KEY-----\nGFPYY\n", LMODEL_EUNSUPPORTED, "PEM", "an old RSA key");
	refused("-----BEGIN OPENSSH PRIVATE KEY-----\nGFPYY\n", LMODEL_ECORRUPT, "malformed",
		"an SSH key that is cut");
	refused(example_recipient, LMODEL_ECORRUPT, "is not an identity", "a recipient");
	is_int(parse_bytes(&keys, "AGE\0garbage", 11, NULL, NULL, NULL), LMODEL_ECORRUPT, "a NUL");
	lm_secret_free(other_text);
	lm_age_identity_free(other);
}

struct asked {
	const char *passphrase;
	int times, answer;
};

static int ask(void *context, const char *what, char **out, struct lmodel_error *error)
{
	struct asked *asked = context;

	asked->times++;
	if (asked->answer != LMODEL_OK)
		return lm_fail(error, LMODEL_EFAILED, "no terminal");
	if (strcmp(what, "k.txt") != 0)
		abort();
	*out = lm_secret_alloc(strlen(asked->passphrase) + 1, error);
	if (*out == NULL)
		abort();
	memcpy(*out, asked->passphrase, strlen(asked->passphrase));
	return LMODEL_OK;
}

static void locked_answers(const struct file *file, struct asked *asked, int code, const char *part,
			   const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct keys keys = { NULL, 0 };

	is_int(parse_bytes(&keys, file->bytes, file->len, asked == NULL ? NULL : ask, asked, &error),
	       code, what);
	is_error(&error, code, part, what);
	keys_free(&keys);
}

static void test_locked_files(void)
{
	struct lm_age_recipient *recipient = passphrase_recipient("sesame");
	struct lm_age_recipient *key = recipient_of(example_recipient);
	struct asked right = { "sesame", 0, LMODEL_OK }, wrong = { "garbage", 0, LMODEL_OK };
	struct asked empty = { "", 0, LMODEL_OK }, none = { "", 0, LMODEL_EFAILED };
	struct keys keys = { NULL, 0 };

	for (int armor = 0; armor < 2; armor++) {
		struct file file = encrypted(recipient, example_identity, strlen(example_identity), armor);

		right.times = 0;
		is_int(parse_bytes(&keys, file.bytes, file.len, ask, &right, NULL), LMODEL_OK,
		       "a key file under a passphrase");
		is_int(right.times, 1, "asked once");
		is_str(keys.count == 1 ? lm_age_identity_recipient(keys.list[0]) : NULL,
		       example_recipient, "the key inside");
		keys_free(&keys);
		locked_answers(&file, &wrong, LMODEL_ENOKEY, "k.txt: wrong passphrase", "another");
		locked_answers(&file, &empty, LMODEL_EUSAGE, "empty", "an empty one");
		locked_answers(&file, &none, LMODEL_EFAILED, "no terminal", "none to be had");
		locked_answers(&file, NULL, LMODEL_ENOKEY, "encrypted with a passphrase", "no one to ask");
		file.bytes[file.len - 60] ^= 1;
		locked_answers(&file, &right, LMODEL_ECORRUPT, "k.txt: ", "a damaged file");
		free(file.bytes);
	}
	for (int nested = 0; nested < 3; nested++) {
		struct file inner = encrypted(recipient, "x", 1, false), file;

		if (nested == 0)
			file = encrypted(recipient, inner.bytes, inner.len, true);
		else if (nested == 1)
			file = encrypted(recipient, "garbage", 7, false);
		else
			file = encrypted(key, example_identity, strlen(example_identity), false);
		right.times = 0;
		locked_answers(&file, &right, nested == 1 ? LMODEL_ECORRUPT : LMODEL_EUNSUPPORTED,
			       nested == 0 ? "twice" : nested == 1 ? "line 1: is not" : "to a key",
			       "something else inside, or for a key");
		is_int(right.times, nested < 2, "asked only when it could help");
		free(inner.bytes);
		free(file.bytes);
	}
	lm_age_recipient_free(recipient);
	lm_age_recipient_free(key);
}

/* ---- SSH keys ---- */

struct blob {
	uint8_t bytes[1024];
	size_t len;
};

static void put(struct blob *blob, const void *bytes, size_t len)
{
	memcpy(blob->bytes + blob->len, bytes, len);
	blob->len += len;
}

static void put_number(struct blob *blob, uint32_t n)
{
	uint8_t bytes[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	put(blob, bytes, 4);
}

static void put_string(struct blob *blob, const void *bytes, size_t len)
{
	put_number(blob, (uint32_t)len);
	put(blob, bytes, len);
}

enum fault {
	NO_FAULT, FAULT_MAGIC, FAULT_COUNT, FAULT_CHECK, FAULT_PADDING, FAULT_MORE_PADDING, FAULT_INNER,
	FAULT_HALVES, FAULT_SEED, FAULT_OUTER, FAULT_TRAILING, FAULT_KDF, FAULT_CIPHER, FAULT_KIND,
};

static void make_private(struct blob *out, enum fault fault)
{
	struct blob public = { .len = 0 }, section = { .len = 0 };
	const char *kind = fault == FAULT_KIND ? "ssh-ed25518" : "ssh-ed25519";
	const char *cipher = fault == FAULT_CIPHER ? "aes256-ctr" : "none";
	uint8_t key[32], private[64];

	if (lm_ed25519_public(key, ssh_seed, NULL) != LMODEL_OK)
		abort();
	memcpy(private, ssh_seed, 32);
	memcpy(private + 32, key, 32);
	private[0] ^= fault == FAULT_SEED;
	private[32] ^= fault == FAULT_HALVES;
	put_number(&section, 0x01020304);
	put_number(&section, fault == FAULT_CHECK ? 0x01020305 : 0x01020304);
	put_string(&section, fault == FAULT_INNER ? "ssh-ed25518" : "ssh-ed25519", 11);
	put_string(&section, key, 32);
	put_string(&section, private, 64);
	put_string(&section, "me", 2);
	for (uint8_t i = 1; section.len % 8 != 0 || (fault == FAULT_MORE_PADDING && i < 9); i++) {
		uint8_t byte = (uint8_t)(fault == FAULT_PADDING ? i + 1 : i);

		put(&section, &byte, 1);
	}
	key[1] ^= fault == FAULT_OUTER;
	put_string(&public, kind, 11);
	put_string(&public, key, 32);
	out->len = 0;
	put(out, fault == FAULT_MAGIC ? "openssh-key-v2" : "openssh-key-v1", 15);
	put_string(out, cipher, strlen(cipher));
	put_string(out, fault == FAULT_KDF ? "bcrypt" : "none", fault == FAULT_KDF ? 6 : 4);
	put_string(out, "", 0);
	put_number(out, fault == FAULT_COUNT ? 2 : 1);
	put_string(out, public.bytes, public.len);
	put_string(out, section.bytes, section.len);
	if (fault == FAULT_TRAILING)
		put(out, "x", 1);
}

static void make_pem(char text[2048], const struct blob *blob, size_t width, const char *eol)
{
	char body[1400] = "", *p = text;
	size_t len = lm_base64_encoded(blob->len);

	lm_base64_encode(body, blob->bytes, blob->len);
	while (len % 4 != 0)
		body[len++] = '=';
	p += sprintf(p, "-----BEGIN OPENSSH PRIVATE KEY-----%s", eol);
	for (size_t i = 0; i < len; i += width)
		p += sprintf(p, "%.*s%s", (int)LM_MIN(width, len - i), body + i, eol);
	sprintf(p, "-----END OPENSSH PRIVATE KEY-----%s", eol);
}

static struct lm_age_identity *ssh_identity(void)
{
	struct lm_age_identity *identity;
	struct keys keys = { NULL, 0 };
	struct blob blob;
	char text[2048];

	make_private(&blob, NO_FAULT);
	make_pem(text, &blob, 70, "\n");
	if (parse_text(&keys, text, NULL) != LMODEL_OK || keys.count != 1)
		abort();
	identity = keys.list[0];
	free(keys.list);
	return identity;
}

static void test_ssh_files(void)
{
	static const size_t widths[] = { 70, 64, 4, 2000 };
	struct blob blob;
	char text[2048];
	struct keys keys = { NULL, 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	size_t accepted = 0;
	uint8_t entropy[32] = { 0 };

	make_private(&blob, NO_FAULT);
	for (size_t i = 0; i < LM_COUNT(widths); i++) {
		make_pem(text, &blob, widths[i], i == 1 ? "\r\n" : "\n");
		is_int(parse_text(&keys, text, NULL), LMODEL_OK, "an SSH key, of any width of lines");
		is_str(keys.count == 1 ? lm_age_identity_recipient(keys.list[0]) : NULL, ssh_recipient,
		       "its public key");
		keys_free(&keys);
	}
	for (size_t cut = 0; cut < blob.len; cut++) {
		struct blob shorter = blob;

		shorter.len = cut;
		make_pem(text, &shorter, 70, "\n");
		accepted += parse_text(&keys, text, NULL) != LMODEL_ECORRUPT;
	}
	is_int((intmax_t)accepted, 0, "cut anywhere it is corrupt");
	for (size_t i = 0; i < blob.len; i++) {
		struct blob changed = blob;

		changed.bytes[i] ^= 0x41;
		make_pem(text, &changed, 70, "\n");
		if (parse_text(&keys, text, NULL) == LMODEL_OK) {
			accepted++;
			/* only the comment, 2 bytes, counts for nothing */
			is_str(lm_age_identity_recipient(keys.list[0]), ssh_recipient, "still the key");
			keys_free(&keys);
		}
	}
	is_int((intmax_t)accepted, 2, "every byte but the comment's matters");
	for (enum fault fault = FAULT_MAGIC; fault < FAULT_CIPHER; fault++) {
		make_private(&blob, fault);
		make_pem(text, &blob, 70, "\n");
		is_int(parse_text(&keys, text, NULL), LMODEL_ECORRUPT, "an SSH key with a fault");
	}
	make_private(&blob, FAULT_KIND);
	make_pem(text, &blob, 70, "\n");
	is_int(parse_text(&keys, text, &error), LMODEL_EUNSUPPORTED, "an SSH key of another kind");
	is_error(&error, LMODEL_EUNSUPPORTED, "another kind than Ed25519", "says what it may be");
	make_private(&blob, FAULT_CIPHER);
	make_pem(text, &blob, 70, "\n");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(parse_text(&keys, text, &error), LMODEL_EUNSUPPORTED, "a locked SSH key");
	is_error(&error, LMODEL_EUNSUPPORTED, "ssh-keygen -p", "says what helps");
	make_pem(text, &blob, 70, "\n\n- ");
	is_int(parse_text(&keys, text, NULL), LMODEL_ECORRUPT, "other characters between the lines");

	/* such an identity has no text, and a text is not for printing by mistake */
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	keys.list = calloc(1, sizeof(*keys.list));
	keys.list[0] = ssh_identity();
	keys.count = 1;
	ok(lm_age_identity_text(keys.list[0], &error) == NULL && error.code == LMODEL_EUSAGE,
	   "no text of an SSH identity");
	keys_free(&keys);
	is_int(lm_age_identity_from_scalar((keys.list = calloc(1, sizeof(*keys.list))), entropy, NULL),
	       LMODEL_OK, "an identity of zeros, which clamping makes a key");
	keys.count = 1;
	keys_free(&keys);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	test_base64();
	test_bech32();
	test_armor();
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 31 + (i >> 8) + 1);
	test_kinds();
	test_several();
	test_entropy();
	test_headers();
	test_recipients();
	test_identity_files();
	test_locked_files();
	test_ssh_files();
	return done();
}
