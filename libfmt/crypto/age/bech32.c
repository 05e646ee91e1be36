#include "crypto/age/bech32.h"

enum { CHECKSUM = 6 };

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_upper(const char *text)
{
	while (*text != '\0' && (*text < 'A' || *text > 'Z') && (*text < 'a' || *text > 'z'))
		text++;
	return *text >= 'A' && *text <= 'Z';
}

/* One more symbol of five bits into the checksum. */
static uint32_t step(uint32_t sum, unsigned symbol)
{
	static const uint32_t generator[5] = {
		0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3,
	};
	uint32_t top = sum >> 25;

	sum = (sum & 0x1ffffff) << 5 ^ symbol;
	for (int i = 0; i < 5; i++)
		sum ^= generator[i] & (0u - (top >> i & 1));
	return sum;
}

/* The human-readable part counts in lower case: its high bits, a zero, its low bits. */
static uint32_t begin(const char *hrp)
{
	uint32_t sum = 1;

	for (const char *p = hrp; *p != '\0'; p++)
		sum = step(sum, (unsigned)to_lower(*p) >> 5);
	sum = step(sum, 0);
	for (const char *p = hrp; *p != '\0'; p++)
		sum = step(sum, (unsigned)to_lower(*p) & 31);
	return sum;
}

void lm_bech32_encode(char *text, const char *hrp, const uint8_t *bytes, size_t len)
{
	uint32_t sum = begin(hrp), bits = 0;
	bool upper = is_upper(hrp);
	unsigned held = 0;
	size_t at = strlen(hrp);

	memcpy(text, hrp, at);
	text[at++] = '1';
	for (size_t i = 0; i < len || held > 0;) {
		unsigned symbol;

		if (held < 5 && i < len) {
			bits = bits << 8 | bytes[i++];
			held += 8;
		} else if (held < 5) {
			bits <<= 5 - held;
			held = 5;
		}
		if (held < 5)
			continue;
		held -= 5;
		symbol = bits >> held & 31;
		sum = step(sum, symbol);
		text[at++] = charset[symbol];
	}
	for (int i = 0; i < CHECKSUM; i++)
		sum = step(sum, 0);
	sum ^= 1;
	for (int i = 0; i < CHECKSUM; i++)
		text[at++] = charset[sum >> 5 * (CHECKSUM - 1 - i) & 31];
	text[at] = '\0';
	for (char *p = text; upper && *p != '\0'; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
}

/* The symbol of a character in the wanted case, or -1. The search does not stop early. */
static int symbol_of(char c, bool upper)
{
	int found = -1;

	if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z')
		return -1;
	c = to_lower(c);
	for (int i = 0; i < 32; i++)
		if (charset[i] == c)
			found = i;
	return found;
}

bool lm_bech32_decode(const char *hrp, uint8_t *bytes, size_t len, const char *text,
		      size_t text_len)
{
	size_t hrp_len = strlen(hrp), done = 0;
	bool upper = is_upper(hrp);
	uint32_t sum = begin(hrp), bits = 0;
	unsigned held = 0;

	if (text_len != lm_bech32_encoded(hrp_len, len) || memcmp(text, hrp, hrp_len) != 0 ||
	    text[hrp_len] != '1')
		return false;
	for (size_t i = hrp_len + 1; i < text_len; i++) {
		int symbol = symbol_of(text[i], upper);

		if (symbol < 0)
			return false;
		sum = step(sum, (unsigned)symbol);
		if (i >= text_len - CHECKSUM)
			continue;
		bits = bits << 5 | (uint32_t)symbol;
		held += 5;
		if (held >= 8) {
			held -= 8;
			bytes[done++] = (uint8_t)(bits >> held);
		}
	}
	return sum == 1 && done == len && (bits & ((1u << held) - 1)) == 0;
}
