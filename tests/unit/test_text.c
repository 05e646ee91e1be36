/* base/text.c: UTF-8, escaping, quoting, safe paths, patterns. */
#include <stdio.h>

#include <lmodel/archive.h>

#include "base/base.h"
#include "lib/tap.h"

/* ---- UTF-8 ---- */

/* Length by RFC 3629's table, written down apart from the code under test. */
static size_t reference_length(const unsigned char *s, size_t len)
{
	static const struct { unsigned char first[2], second[2]; size_t len; } row[] = {
		{ { 0x00, 0x7f }, { 0, 0 }, 1 },       { { 0xc2, 0xdf }, { 0x80, 0xbf }, 2 },
		{ { 0xe0, 0xe0 }, { 0xa0, 0xbf }, 3 }, { { 0xe1, 0xec }, { 0x80, 0xbf }, 3 },
		{ { 0xed, 0xed }, { 0x80, 0x9f }, 3 }, { { 0xee, 0xef }, { 0x80, 0xbf }, 3 },
		{ { 0xf0, 0xf0 }, { 0x90, 0xbf }, 4 }, { { 0xf1, 0xf3 }, { 0x80, 0xbf }, 4 },
		{ { 0xf4, 0xf4 }, { 0x80, 0x8f }, 4 },
	};

	for (size_t i = 0; i < LM_COUNT(row); i++) {
		if (len == 0 || s[0] < row[i].first[0] || s[0] > row[i].first[1])
			continue;
		if (len < row[i].len)
			return 0;
		if (row[i].len > 1 && (s[1] < row[i].second[0] || s[1] > row[i].second[1]))
			return 0;
		for (size_t k = 2; k < row[i].len; k++)
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		return row[i].len;
	}
	return 0;
}

static void test_utf8_table(void)
{
	static const unsigned char tails[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };
	unsigned bad = 0;
	uint32_t c;

	for (unsigned first = 0; first < 256; first++)
		for (unsigned second = 0; second < 256; second++)
			for (size_t i = 0; i < LM_COUNT(tails); i++)
				for (size_t len = 0; len <= 4; len++) {
					unsigned char s[4] = { (unsigned char)first,
							       (unsigned char)second, tails[i], 0x80 };

					bad += lm_utf8_next(s, len, &c) != reference_length(s, len);
				}
	is_int(bad, 0, "UTF-8: every first and second byte as RFC 3629 has it");
}

static void test_utf8_values(void)
{
	static const struct { const char *text; size_t len; uint32_t value; } good[] = {
		{ "a", 1, 'a' },          { "\xc2\x80", 2, 0x80 },        { "\xdf\xbf", 2, 0x7ff },
		{ "\xe0\xa0\x80", 3, 0x800 }, { "\xef\xbf\xbd", 3, 0xfffd },
		{ "\xf0\x90\x80\x80", 4, 0x10000 }, { "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
	};

	for (size_t i = 0; i < LM_COUNT(good); i++) {
		uint32_t c = 0;
		size_t n = lm_utf8_next((const unsigned char *)good[i].text, good[i].len, &c);

		ok(n == good[i].len && c == good[i].value, "UTF-8: U+%04X", good[i].value);
	}
	ok(lm_utf8_valid("", 0), "UTF-8: the empty text is valid");
	ok(lm_utf8_valid("a\0b", 3), "UTF-8: NUL is a character");
	ok(!lm_utf8_valid("ab\xc3", 3), "UTF-8: cut at the end");
	ok(!lm_utf8_valid("\xed\xa0\x80", 3), "UTF-8: a surrogate");
	ok(!lm_utf8_valid("\xc0\xaf", 2), "UTF-8: an overlong slash");
}

/* ---- escaping ---- */

static void escapes(const char *text, const char *wanted, const char *what)
{
	char out[200];
	size_t n = lmodel_escape(out, sizeof(out), text);

	is_str(out, wanted, what);
	is_int((intmax_t)n, (intmax_t)strlen(wanted), "... and its length");
}

static void test_escape(void)
{
	escapes("", "", "escape: nothing");
	escapes("model.layers.0/w", "model.layers.0/w", "escape: plain");
	escapes("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "escape: letters stay");
	escapes("a\\b", "a\\\\b", "escape: backslash");
	escapes("a\nb\tc\r", "a\\nb\\tc\\x0D", "escape: newline, tab, return");
	escapes("\x1b[31m\x7f", "\\x1B[31m\\x7F", "escape: terminal control, DEL");
	escapes("\xff\xc3", "\\xFF\\xC3", "escape: what is no UTF-8");
	escapes("\xc2\x9b", "\\u{9B}", "escape: C1 control");
	escapes("\xe2\x80\xae", "\\u{202E}", "escape: right-to-left override");
	escapes("\xe2\x81\xa6", "\\u{2066}", "escape: isolate");
	escapes("\xe2\x80\xa8", "\\u{2028}", "escape: line separator");
	escapes("a\xe2\x80\x8b" "b", "a\\u{200B}b", "escape: zero-width space");
	escapes("\xef\xbb\xbf", "\\u{FEFF}", "escape: byte-order mark");
	escapes("\xf3\xa0\x81\x81", "\\u{E0041}", "escape: tag character");
}

/* Whatever the size: terminated, whole characters only, nothing written behind. */
static void test_escape_cut(void)
{
	static const char text[] = "ab\xc3\xbc\n\xe2\x80\xae\\z";
	char whole[64], out[64];
	size_t needed = lmodel_escape(whole, sizeof(whole), text);
	unsigned bad = 0;

	for (size_t size = 0; size <= needed + 2; size++) {
		size_t len;

		memset(out, '#', sizeof(out));
		bad += lmodel_escape(out, size, text) != needed;
		bad += out[size] != '#';
		if (size == 0)
			continue;
		len = strnlen(out, size);
		bad += len == size || strncmp(out, whole, len) != 0 || !lm_utf8_valid(out, len);
	}
	is_int(bad, 0, "escape: cut at every size");
	lmodel_escape(out, 5, text);
	is_str(out, "ab\xc3\xbc", "escape: a whole character that just fits");
	lmodel_escape(out, 4, text);
	is_str(out, "ab", "escape: half a character never");
	lmodel_escape(out, 6, text);
	is_str(out, "ab\xc3\xbc", "escape: half an escape never");
	is_int((intmax_t)lmodel_escape(NULL, 0, "a\n"), 3, "escape: no buffer at all");
}

static void test_quote(void)
{
	char text[400], buffer[LM_QUOTE_SIZE];
	unsigned bad = 0;

	is_str(LM_QUOTE("a\nb"), "'a\\nb'", "quote: escapes");
	is_str(LM_QUOTE(""), "''", "quote: nothing");
	for (size_t len = 0; len < sizeof(text); len++) {
		size_t n;

		memset(text, 'x', len);
		text[len] = '\0';
		n = strlen(lm_quote(buffer, text));
		bad += n >= sizeof(buffer) || buffer[0] != '\'' || buffer[n - 1] != '\'';
		bad += (len >= LM_QUOTE_SIZE - 6) != (strstr(buffer, "...'") != NULL);
	}
	is_int(bad, 0, "quote: long names end in ...' and fit");
	memset(text, '\n', sizeof(text) - 1);
	ok(strlen(lm_quote(buffer, text)) < sizeof(buffer), "quote: nothing but escapes fits too");
}

/* ---- paths ---- */

static void test_safe_paths(void)
{
	static const char *const good[] = {
		"a", "a/b", "a.b/..c/c..", "...", "-", "a b", "a\\b", "\xc3\xbc", ".hidden", "a/.b",
	};
	static const char *const bad[] = {
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "./a",
		"a\nb", "\x1f", "a\x7f", "\xff", "a/\xc0\xaf/b",
	};
	char text[LM_PATH_LIMIT + 3];

	for (size_t i = 0; i < LM_COUNT(good); i++)
		ok(lm_path_is_safe(good[i]), "safe: %s", LM_QUOTE(good[i]));
	for (size_t i = 0; i < LM_COUNT(bad); i++)
		ok(!lm_path_is_safe(bad[i]), "not safe: %s", LM_QUOTE(bad[i]));
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 100 == 99 ? '/' : 'a';
	text[LM_PATH_LIMIT] = '\0';
	ok(lm_path_is_safe(text), "safe: at the limit");
	text[LM_PATH_LIMIT] = 'a';
	text[LM_PATH_LIMIT + 1] = '\0';
	ok(!lm_path_is_safe(text), "not safe: one byte over the limit");
	memset(text, 'a', 256);
	text[255] = '\0';
	ok(lm_path_is_safe(text), "safe: a part of 255 bytes");
	text[255] = 'a';
	text[256] = '\0';
	ok(!lm_path_is_safe(text), "not safe: a part of 256 bytes");
}

/* ---- patterns ---- */

static void test_match(void)
{
	static const struct { const char *pattern, *name; bool wanted; } cases[] = {
		{ "a", "a", true },                      { "a", "ab", false },
		{ "a", "a.b", true },                    { "a", "a/b", true },
		{ "a/", "a/b", true },                   { "a.b", "a", false },
		{ "model.layers.1", "model.layers.1.w", true },
		{ "model.layers.1", "model.layers.10.w", false },
		{ "*", "a/b.c", true },                  { "*.weight", "a.b.weight", true },
		{ "*.weight", "a.b.weights", false },    { "model.*.w", "model.a/b.c.w", true },
		{ "a?c", "abc", true },                  { "a?c", "ac", false },
		{ "a?c", "a.c", true },                  { "[ab]c", "bc", true },
		{ "[!ab]c", "bc", false },               { "a\\*b", "a*b", true },
		{ "a\\*b", "axb", false },               { "a[0]", "a[0]", true },
		{ "a[0]", "a[0].w", true },              { "a[0", "a[0", true },
		{ "*", ".hidden", true },                { "A", "a", false },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++)
		ok(lmodel_match(cases[i].pattern, cases[i].name) == cases[i].wanted, "%s %s %s",
		   cases[i].pattern, cases[i].wanted ? "picks" : "does not pick", cases[i].name);
}

static void test_hex(void)
{
	static const uint8_t bytes[] = { 0x00, 0x0f, 0xf0, 0xa5 };
	char out[2 * sizeof(bytes) + 1];

	lm_hex(out, bytes, sizeof(bytes));
	is_str(out, "000ff0a5", "hex");
	lm_hex(out, bytes, 0);
	is_str(out, "", "hex of nothing");
}

int main(void)
{
	test_utf8_table();
	test_utf8_values();
	test_escape();
	test_escape_cut();
	test_quote();
	test_safe_paths();
	test_match();
	test_hex();
	return done();
}
