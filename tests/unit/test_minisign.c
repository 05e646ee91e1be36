/* crypto/sig/minisign.c, crypto/blake2b.c */
#include <stdio.h>

#include "crypto/age/base64.h"
#include "crypto/blake2b.h"
#include "crypto/crypto.h"
#include "crypto/sig/minisign.h"
#include "lib/tap.h"

/* Made by minisign 0.11. */
#define KEY "RWR1NWZA5k3wr0Jo5zlR+tgOvHMWjtYhoIzAFyChkI8Mz3QrnPAw68IX"
static const char key_text[] = KEY;
static const char message[] = "a statement\n";
#define MESSAGE message, sizeof(message) - 1
static const char prehashed[] =
	"untrusted comment: signature from minisign secret key\n"
	"RUR1NWZA5k3wr9P/H//Qrt5mlmyeklRNNXyU1VM2Cl8oHIgLTrsjPGnOfdxBZACG81ZL3m5heeMYxFWCX3UYfX8xYJ"
	"MM1hWwpAA=\n"
	"trusted comment: signed for a test\n"
	"JD0xwtgshSf06nnjyP+KczpHDYrF4MB+MyLN2qfGqfTN2C3zW9WYtfWadM11Ml7/BpjWyQ6xBx9ZCks61CD"
	"hAQ==\n";
static const char legacy[] =
	"untrusted comment: signature from minisign secret key\n"
	"RWR1NWZA5k3wr7MfLHVUrWMJqsPi98rrYtw1EIDazOH3wAMt2jwaD4O6MAbe4TjKbYy4BgQNBJSfSPRw3Rn7cdegrk"
	"bFYQDVjwI=\n"
	"trusted comment: signed for a test\n"
	"sjms7oWQnzvdMafQK9AgYYb6e0LZV4v1F1Msw8xibwFycnVJQJJiF+vAQnNYsaEYSUHRFT1mJCyQQrlDvb"
	"vWCQ==\n";

static struct lm_minisign_key key;
static struct lm_minisign sig;

static bool verifies(const void *text, size_t len)
{
	return lm_minisign_parse(&sig, text, len, NULL) == LMODEL_OK &&
	       lm_minisign_verify(&sig, &key, MESSAGE);
}

static void test_blake2b(void)
{
	/* RFC 7693, appendix A */
	static const char abc[] =
		"ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
		"7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
	uint8_t digest[LM_BLAKE2B_SIZE], empty[LM_BLAKE2B_SIZE];
	char hex[2 * LM_BLAKE2B_SIZE + 1];

	lm_blake2b(digest, "abc", 3);
	lm_hex(hex, digest, sizeof(digest));
	is_str(hex, abc, "BLAKE2b: the example of the RFC");
	lm_blake2b(digest, NULL, 0);
	lm_blake2b(empty, "abc", 0);
	ok(memcmp(digest, empty, sizeof(digest)) == 0, "BLAKE2b: nothing");
}

static void test_key(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char id[LM_MINISIGN_ID], copy[sizeof(key_text)], longer[] = KEY "=";
	size_t len = sizeof(key_text) - 1, taken = 0;
	uint8_t bytes[42];

	ok(len == LM_MINISIGN_KEY_TEXT &&
		   lm_minisign_key_parse(&key, key_text, len, &error) == LMODEL_OK,
	   "a public key");
	lm_minisign_id(id, key.id);
	is_str(id, "AFF04DE640663575", "its id as minisign shows it");
	for (size_t n = 0; n < len; n++)
		taken += lm_minisign_key_parse(&key, key_text, n, NULL) == LMODEL_OK;
	is_int((intmax_t)taken, 0, "no key that is cut");
	is_int(lm_minisign_key_parse(&key, longer, len + 1, &error), LMODEL_ECORRUPT,
	       "nor one that is too long");
	if (!lm_base64_decode_exact(bytes, 42, (const uint8_t *)key_text, len))
		abort();
	bytes[1] = 'D';
	lm_base64_encode(copy, bytes, 42);
	is_int(lm_minisign_key_parse(&key, copy, len, NULL), LMODEL_EUNSUPPORTED,
	       "a key of another algorithm");
	if (lm_minisign_key_parse(&key, key_text, len, NULL))
		abort();
}

static void test_made(void)
{
	for (int i = 0; i < 2; i++) {
		const char *made = i == 0 ? prehashed : legacy;
		struct lm_minisign_key other = key;
		size_t len = strlen(made);

		ok(lm_minisign_begins((const uint8_t *)made, len), "minisign's signature %d", i);
		ok(verifies(made, len), "it verifies");
		ok(sig.prehashed == (i == 0), "its algorithm");
		is_str(sig.trusted_comment, "signed for a test", "its trusted comment");
		ok(!lm_minisign_verify(&sig, &key, message, sizeof(message)) &&
			   !lm_minisign_verify(&sig, &key, message, 3) &&
			   !lm_minisign_verify(&sig, &key, NULL, 0),
		   "not for another message");
		other.id[7] ^= 1;
		ok(!lm_minisign_verify(&sig, &other, MESSAGE), "not by a key of another id");
		other = key;
		other.key[31] ^= 1;
		ok(!lm_minisign_verify(&sig, &other, MESSAGE), "not by another key of the same id");
		sig.prehashed = !sig.prehashed;
		ok(!lm_minisign_verify(&sig, &key, MESSAGE), "not by the other algorithm");
		sig.prehashed = !sig.prehashed;
		sig.trusted_comment[0] = 'S';
		ok(!lm_minisign_verify(&sig, &key, MESSAGE), "not with another trusted comment");
	}
	ok(!lm_minisign_begins((const uint8_t *)prehashed, 10) && !lm_minisign_begins(NULL, 0),
	   "no beginning");
}

static void test_hostile(const char *made, const char *what)
{
	size_t len = strlen(made), first = strcspn(made, "\n"), taken = 0;
	char text[1024], *exact;

	for (size_t n = 0; n < len - 1; n++) {
		exact = malloc(n + 1); /* for the sanitizer */
		memcpy(exact, made, n);
		taken += verifies(exact, n);
		free(exact);
	}
	is_int((intmax_t)taken, 0, what);
	ok(verifies(made, len - 1), "but the last newline may miss");
	for (size_t i = 0; i < 8 * len; i++) {
		size_t at = i / 8;

		memcpy(text, made, len);
		text[at] = (char)(text[at] ^ 1 << i % 8);
		/* behind the words that begin it, the first line says nothing */
		if (at >= 18 && at < first)
			continue;
		/* the last newline may be any white space */
		if (verifies(text, len) && !(at == len - 1 && strchr("\t\r ", text[at]) != NULL))
			taken++;
	}
	is_int((intmax_t)taken, 0, "no flipped bit is taken");
	memcpy(text, made, len + 1);
	memcpy(text + len, " \r\n\n", 4);
	ok(verifies(text, len + 4), "white space behind it");
	ok(!verifies(text, len + 5), "but no zero byte");
	text[len + 4] = 'x';
	ok(!verifies(text, len + 5), "and no fifth line");
}

static void test_lines(void)
{
	char text[1024];
	size_t n = 0;

	for (const char *p = prehashed; *p != '\0'; p++) {
		if (*p == '\n')
			text[n++] = '\r';
		text[n++] = *p;
	}
	ok(verifies(text, n), "lines that end with CR LF");
	n = 0;
	for (const char *p = prehashed; *p != '\0'; p++) {
		if (*p == '\n')
			text[n++] = '\r';
		if (*p == '\n')
			text[n++] = '\r';
		text[n++] = *p;
	}
	ok(!verifies(text, n), "with CR CR LF");
	is_int(lm_minisign_parse(&sig, NULL, 0, NULL), LMODEL_ECORRUPT, "nothing at all");
	is_int(lm_minisign_parse(&sig, (const uint8_t *)"\n\n\n\n", 4, NULL), LMODEL_ECORRUPT,
	       "empty lines");
}

/* ---- signatures of our own ---- */

static char *put(char *to, const char *text)
{
	memcpy(to, text, strlen(text));
	return to + strlen(text);
}

static char *put_padded(char *to, const uint8_t *bytes, size_t len)
{
	size_t n = lm_base64_encoded(len);

	lm_base64_encode(to, bytes, len);
	while (n % 4 != 0)
		to[n++] = '=';
	to[n++] = '\n';
	return to + n;
}

static const uint8_t seed[32] = "a seed for minisign signatures..";

static size_t make(char *text, const char *algorithm, size_t comment_len, const void *bytes,
		   size_t len)
{
	static uint8_t covered[64 + LM_MINISIGN_COMMENT + 64];
	uint8_t head[74] = { 0 }, global[64], digest[LM_BLAKE2B_SIZE];
	char *p = put(text, "untrusted comment: x\n");

	lm_blake2b(digest, bytes, len);
	if (strcmp(algorithm, "ED") == 0 ? lm_ed25519_sign(head + 10, seed, digest, 64, NULL)
					 : lm_ed25519_sign(head + 10, seed, bytes, len, NULL))
		abort();
	memcpy(head, algorithm, 2);
	memcpy(covered, head + 10, 64);
	memset(covered + 64, 'c', comment_len);
	if (lm_ed25519_sign(global, seed, covered, 64 + comment_len, NULL))
		abort();
	p = put_padded(p, head, sizeof(head));
	p = put(p, "trusted comment: ");
	memset(p, 'c', comment_len);
	p = put(p + comment_len, "\n");
	p = put_padded(p, global, sizeof(global));
	return (size_t)(p - text);
}

static void test_limits(void)
{
	static char text[LM_MINISIGN_LIMIT + 2];
	static uint8_t bytes[LM_MINISIGN_LEGACY + 1];
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_minisign_key ours = { .id = { 0 } };
	size_t len = make(text, "ED", LM_MINISIGN_COMMENT, MESSAGE);

	if (lm_ed25519_public(ours.key, seed, NULL))
		abort();
	ok(lm_minisign_parse(&sig, (uint8_t *)text, len, &error) == LMODEL_OK &&
		   lm_minisign_verify(&sig, &ours, MESSAGE),
	   "the longest trusted comment");
	len = make(text, "ED", LM_MINISIGN_COMMENT + 1, MESSAGE);
	is_int(lm_minisign_parse(&sig, (uint8_t *)text, len, &error), LMODEL_ELIMIT,
	       "a longer one");
	len = make(text, "ED", 0, MESSAGE);
	ok(lm_minisign_parse(&sig, (uint8_t *)text, len, NULL) == LMODEL_OK &&
		   lm_minisign_verify(&sig, &ours, MESSAGE),
	   "an empty trusted comment");
	memset(text + len, '\n', sizeof(text) - len);
	is_int(lm_minisign_parse(&sig, (uint8_t *)text, LM_MINISIGN_LIMIT, NULL), LMODEL_OK,
	       "a file as long as allowed");
	is_int(lm_minisign_parse(&sig, (uint8_t *)text, LM_MINISIGN_LIMIT + 1, NULL), LMODEL_ELIMIT,
	       "a longer one");
	len = make(text, "EE", 0, MESSAGE);
	is_int(lm_minisign_parse(&sig, (uint8_t *)text, len, NULL), LMODEL_EUNSUPPORTED,
	       "another algorithm");
	len = make(text, "Ed", 0, bytes, LM_MINISIGN_LEGACY);
	ok(lm_minisign_parse(&sig, (uint8_t *)text, len, NULL) == LMODEL_OK &&
		   lm_minisign_verify(&sig, &ours, bytes, LM_MINISIGN_LEGACY),
	   "legacy: the longest message");
	len = make(text, "Ed", 0, bytes, LM_MINISIGN_LEGACY + 1);
	ok(lm_minisign_parse(&sig, (uint8_t *)text, len, NULL) == LMODEL_OK &&
		   !lm_minisign_verify(&sig, &ours, bytes, LM_MINISIGN_LEGACY + 1),
	   "legacy: a longer one is not checked");
	len = make(text, "ED", 0, bytes, LM_MINISIGN_LEGACY + 1);
	ok(lm_minisign_parse(&sig, (uint8_t *)text, len, NULL) == LMODEL_OK &&
		   lm_minisign_verify(&sig, &ours, bytes, LM_MINISIGN_LEGACY + 1),
	   "but a hashed one is");
}

int main(void)
{
	if (lm_crypto_init(NULL))
		return 99;
	test_blake2b();
	test_key();
	test_made();
	test_hostile(prehashed, "prehashed: nothing that is cut");
	test_hostile(legacy, "legacy: nothing that is cut");
	test_lines();
	test_limits();
	return done();
}
