#include "crypto/age/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void lm_base64_encode(char *text, const uint8_t *bytes, size_t len)
{
	uint32_t bits = 0;
	unsigned held = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (held += 8; held >= 6; held -= 6)
			*text++ = alphabet[bits >> (held - 6) & 63];
	}
	if (held > 0)
		*text = alphabet[bits << (6 - held) & 63];
}

/* By comparisons, not by a table: private keys come this way too. */
static int value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool lm_base64_decode(uint8_t *bytes, const uint8_t *text, size_t len)
{
	uint32_t bits = 0;
	unsigned held = 0;

	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		int value = value_of(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*bytes++ = (uint8_t)(bits >> held);
		}
	}
	return (bits & ((1u << held) - 1)) == 0; /* RFC 4648, section 3.5 */
}

bool lm_base64_decode_exact(uint8_t *bytes, size_t bytes_len, const uint8_t *text, size_t len)
{
	return len == lm_base64_encoded(bytes_len) && lm_base64_decode(bytes, text, len);
}
