/* crypto/age/: base 64, Bech32 and armor. */
#include <stdio.h>

#include "crypto/age/armor.h"
#include "crypto/age/base64.h"
#include "crypto/age/bech32.h"
#include "lib/tap.h"

/* The example of c2sp.org/age: 32 bytes of 0x42. */
static const char example_identity[] =
	"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

static uint8_t large[300];

static void test_base64(void)
{
	static const char *const texts[] = { "",       "Zg",	  "Zm8",     "Zm9v",
					     "Zm9vYg", "Zm9vYmE", "Zm9vYmFy" };
	static const char *const bad[] = { "Z",	    "Zh",     "Zm9",  "Zg==",
					   "Zm9vY", "Zm9v\n", "Zm-v", "Z m9" };
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
		   memcmp(bytes, wanted, 32) == 0,
	   "Bech32: the example of the specification");
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
	ok(lm_bech32_decode("age-secret-key-", bytes, 32, text, len),
	   "Bech32: which is a text too");
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
int main(void)
{
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 31 + (i >> 8) + 1);
	test_base64();
	test_bech32();
	test_armor();
	return done();
}
