/* Text from outside: UTF-8, escaping, safe paths, patterns. */
#include "base/base.h"

#include <fnmatch.h>
#include <stdio.h>

#include <lmodel/archive.h>

size_t lm_utf8_next(const unsigned char *s, size_t len, uint32_t *code_point)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return *code_point = s[0], 1;
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		n = 2, c = s[0] & 0x1fu;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		n = 3, c = s[0] & 0x0fu;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		n = 4, c = s[0] & 0x07u;
	else
		return 0;
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*code_point = c;
	return n;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* How many bytes at the beginning are from ' ' to '~': of most names, all. Eight a step. */
static size_t printable_prefix(const char *text, size_t len)
{
	size_t n = 0;

	for (uint64_t word; len - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, text + n, sizeof(word));
		/* the high bit of a byte, or one that leaves when 0x20 is taken, or comes with 1 */
		if (((word | (word - EACH(0x20)) | (word + EACH(1))) & EACH(0x80)) != 0)
			break;
	}
	while (n < len && text[n] >= 0x20 && text[n] < 0x7f)
		n++;
	return n;
}

bool lm_utf8_valid(const char *text, size_t len)
{
	size_t n = printable_prefix(text, len);
	uint32_t c;

	while (n < len) {
		size_t step = lm_utf8_next((const unsigned char *)text + n, len - n, &c);

		if (step == 0)
			return false;
		n += step;
	}
	return true;
}

bool lm_text_valid(const char *text, size_t len)
{
	size_t n = printable_prefix(text, len);

	return n == len || (memchr(text + n, '\0', len - n) == NULL &&
			    lm_utf8_valid(text + n, len - n));
}

/* Characters that change how their neighbours are shown, or are not shown at all. */
static bool is_deceptive(uint32_t c)
{
	static const struct { uint32_t first, last; } range[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x34f, 0x34f },
		{ 0x600, 0x605 },   { 0x61c, 0x61c },   { 0x6dd, 0x6dd },   { 0x70f, 0x70f },
		{ 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
		{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xffff },
		{ 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff }, { 0xf0000, 0x10ffff },
		{ 0xe000, 0xf8ff }, /* private use */
	};

	for (size_t i = 0; i < LM_COUNT(range); i++)
		if (c >= range[i].first && c <= range[i].last)
			return true;
	return false;
}

size_t lmodel_escape(char *out, size_t size, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t left = strlen(text), needed = 0, used = 0;
	bool cut = false;

	needed = printable_prefix(text, left);
	if (memchr(text, '\\', needed) != NULL)
		needed = 0;
	used = size > 0 ? LM_MIN(needed, size - 1) : 0;
	if (used > 0)
		memcpy(out, s, used);
	cut = used < needed;
	s += needed;
	left -= needed;
	while (left > 0) {
		char piece[16];
		uint32_t c = 0;
		size_t n = lm_utf8_next(s, left, &c), len;

		if (n == 0)
			len = (size_t)snprintf(piece, sizeof(piece), "\\x%02X", s[0]);
		else if (c == '\\')
			len = (size_t)snprintf(piece, sizeof(piece), "\\\\");
		else if (c == '\n')
			len = (size_t)snprintf(piece, sizeof(piece), "\\n");
		else if (c == '\t')
			len = (size_t)snprintf(piece, sizeof(piece), "\\t");
		else if (c < 0x20 || c == 0x7f)
			len = (size_t)snprintf(piece, sizeof(piece), "\\x%02X", c);
		else if (is_deceptive(c))
			len = (size_t)snprintf(piece, sizeof(piece), "\\u{%X}", c);
		else
			memcpy(piece, s, len = n);
		needed += len;
		if (!cut && used + len < size) {
			memcpy(out + used, piece, len);
			used += len;
		} else {
			cut = true;
		}
		n = n == 0 ? 1 : n;
		s += n;
		left -= n;
	}
	if (size > 0)
		out[used] = '\0';
	return needed;
}

const char *lm_quote(char *buffer, const char *text)
{
	size_t room = LM_QUOTE_SIZE - 6; /* two quotes, "...", NUL */
	size_t needed;

	buffer[0] = '\'';
	needed = lmodel_escape(buffer + 1, room, text);
	strcat(buffer, needed >= room ? "...'" : "'");
	return buffer;
}

bool lm_path_is_safe(const char *name)
{
	size_t len = strlen(name);
	const char *part = name;

	if (len == 0 || len > LM_PATH_LIMIT || !lm_utf8_valid(name, len))
		return false;
	for (size_t i = printable_prefix(name, len); i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	for (;;) {
		size_t n = (size_t)(strchrnul(part, '/') - part);

		if (n == 0 || n > 255 || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[n] == '\0')
			return true;
		part += n + 1;
	}
}

bool lmodel_match(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (strpbrk(pattern, "*?[\\") != NULL && fnmatch(pattern, name, 0) == 0)
		return true;
	while (len > 1 && pattern[len - 1] == '/')
		len--;
	return strncmp(pattern, name, len) == 0 &&
	       (name[len] == '\0' || name[len] == '.' || name[len] == '/');
}

void lm_hex(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}
