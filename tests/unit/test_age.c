/* crypto/age/: files, from both ends and with whatever can be wrong in them. */
#include "crypto/age/age.h"

#include "crypto/age/armor.h"
#include "crypto/crypto.h"
#include "lib/age_keys.h"
#include "lib/tap.h"

enum { LARGE = (128 << 10) + 1 };

static uint8_t large[LARGE];

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
			ok(lm_armor_begins(file.bytes, file.len) == armor, "%s: armor %d", kind,
			   armor);
			if (i == 0) {
				is_int(lm_age_inspect(file.bytes, file.len, kinds, sizeof(kinds),
						      NULL),
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
			changed += r != LMODEL_ECORRUPT && r != LMODEL_ENOKEY &&
				   r != LMODEL_ELIMIT && r != LMODEL_EUNSUPPORTED;
			copy[i] ^= (uint8_t)(1 << bit);
		}
	is_int((intmax_t)changed, 0, kind);
	for (size_t n = 0; n < file.len - armor; n++)
		cut += opens(identity, copy, n, "plaintext", 9) != LMODEL_ECORRUPT;
	is_int((intmax_t)cut, 0, "every shorter file is corrupt");
	copy[file.len] = 'x';
	is_int(opens(identity, copy, file.len + 1, "plaintext", 9), LMODEL_ECORRUPT,
	       "a longer file");
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
		ok(text == NULL ? lm_age_identity_recipient(of[i].identity) == NULL
				: strcmp(lm_age_identity_recipient(of[i].identity), text) == 0,
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
	struct lm_age_identity *identity[3] = { random_identity(), ssh_identity(),
						random_identity() };
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
	is_int(lm_age_inspect(file.bytes, file.len, kinds, sizeof(kinds), NULL), LMODEL_OK,
	       "inspect");
	is_str(kinds, "X25519,ssh-ed25519,X25519", "their kinds");
	is_int(lm_age_inspect(file.bytes, file.len, few, sizeof(few), NULL), LMODEL_OK, "inspect");
	is_str(few, "X25519,ss", "cut to the room there is");
	is_int(lm_age_decrypt((const struct lm_age_identity *const *)strangers, 2, file.bytes,
			      file.len, &plain, &len, &error),
	       LMODEL_ENOKEY, "strangers");
	is_error(&error, LMODEL_ENOKEY, "none of the 2 identities", "the message says how many");
	is_int(lm_age_decrypt(NULL, 0, file.bytes, file.len, &plain, &len, NULL), LMODEL_ENOKEY,
	       "no identity at all");
	free(file.bytes);

	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(encrypt(&file, recipient, 4, "x", 1, false, NULL, &error), LMODEL_EUSAGE,
	       "a passphrase beside others");
	is_int(encrypt(&file, recipient, 0, "x", 1, false, NULL, NULL), LMODEL_EUSAGE,
	       "no recipient");
	file = encrypted(recipient[3], "x", 1, false);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	lm_age_identity_free(strangers[1]);
	strangers[1] = passphrase_identity("y");
	is_int(lm_age_decrypt((const struct lm_age_identity *const *)strangers, 2, file.bytes,
			      file.len, &plain, &len, &error),
	       LMODEL_ENOKEY, "another passphrase");
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
	struct lm_age_identity *other = random_identity();
	struct lm_age_recipient *recipient[3] = {
		recipient_of(example_recipient),
		recipient_of(ssh_recipient),
		recipient_of(lm_age_identity_recipient(other)),
	};
	struct lm_age_recipient *locked = passphrase_recipient("p");
	enum { CASES = 6 };
	struct file file[CASES] = { { NULL, 0 } };
	const struct {
		size_t count, second;
		const char *plain;
		uint8_t first;
	} cases[CASES] = {
		{ 2, 1, "one", 1 }, { 2, 1, "one", 1 }, { 2, 1, "two", 1 },
		{ 2, 1, "one", 2 }, { 1, 1, "one", 1 }, { 2, 2, "one", 1 },
	};

	for (int i = 0; i < CASES; i++) {
		struct lm_age_recipient *list[2] = { recipient[0], recipient[cases[i].second] };

		entropy[0] = cases[i].first;
		if (encrypt(&file[i], list, cases[i].count, cases[i].plain, 3, false, entropy,
			    NULL) != LMODEL_OK)
			abort();
	}
	ok(file[0].len == file[1].len && memcmp(file[0].bytes, file[1].bytes, file[0].len) == 0,
	   "the same entropy gives the same file");
	/* The share of the first recipient stands at 32, the payload's nonce before the last 35. */
	for (int i = 2; i < CASES; i++)
		ok(memcmp(file[0].bytes + 32, file[i].bytes + 32, 43) != 0 &&
			   memcmp(file[0].bytes + file[0].len - 35,
				  file[i].bytes + file[i].len - 35, 16) != 0,
		   "another plaintext, entropy or list of recipients (%d): other shares and nonces",
		   i);
	for (int i = 0; i < CASES; i++) {
		free(file[i].bytes);
		file[i].bytes = NULL;
	}
	if (encrypt(&file[0], &locked, 1, "one", 3, true, entropy, NULL) != LMODEL_OK ||
	    encrypt(&file[1], &locked, 1, "one", 3, true, entropy, NULL) != LMODEL_OK ||
	    encrypt(&file[2], &locked, 1, "one", 3, true, NULL, NULL) != LMODEL_OK)
		abort();
	is_str((char *)file[0].bytes, (char *)file[1].bytes, "the same for a passphrase");
	ok(strcmp((char *)file[0].bytes, (char *)file[2].bytes) != 0,
	   "and without entropy another");
	for (int i = 0; i < 3; i++)
		free(file[i].bytes);
	for (int i = 0; i < 3; i++)
		lm_age_recipient_free(recipient[i]);
	lm_age_recipient_free(locked);
	lm_age_identity_free(other);
}

/* Text of a file up to the end of its header, for answers that come before any key is used. */
static void answers(const char *text, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char kinds[64];

	is_int(lm_age_inspect((const uint8_t *)text, strlen(text), kinds, sizeof(kinds), &error),
	       code, what);
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
	answers("age-encryption.org/v1", LMODEL_ECORRUPT, "version line",
		"no end of the first line");
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
	answers(V1 "-> new a b c d e f\n" B43 B43 "\n" END, LMODEL_ECORRUPT,
		"stanza 1 is malformed", "a line of 86");
	p = stpcpy(p, V1);
	for (int i = 0; i < MANY; i++)
		p = stpcpy(p, "-> a\n\n");
	stpcpy(p, END);
	answers(many, LMODEL_ELIMIT, "more than 1024", "1025 stanzas");
	is_int(opens(NULL, zeros, LM_AGE_FILE_LIMIT + 1, "", 0), LMODEL_ELIMIT,
	       "a file over the limit");
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
int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 31 + (i >> 8) + 1);
	test_kinds();
	test_several();
	test_entropy();
	test_headers();
	return done();
}
