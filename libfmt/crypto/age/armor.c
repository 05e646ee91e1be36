#include "crypto/age/armor.h"

#include "crypto/age/base64.h"

enum { COLUMNS = 64 };

static const char first[] = "-----BEGIN AGE ENCRYPTED FILE-----";
static const char last[] = "-----END AGE ENCRYPTED FILE-----";

struct line {
	const uint8_t *at;
	size_t len;
	bool ended; /* by LF, not by the end of the text */
};

/* RFC 7468, section 3: W. */
static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t skip_space(const uint8_t *text, size_t len, size_t at)
{
	while (at < len && is_space(text[at]))
		at++;
	return at;
}

static struct line next_line(const uint8_t *text, size_t len, size_t *at)
{
	struct line line = { .at = text + *at, .len = len - *at };
	const uint8_t *end = line.len == 0 ? NULL : memchr(line.at, '\n', line.len);

	if (end != NULL) {
		line.len = (size_t)(end - line.at);
		line.ended = true;
		*at += line.len + 1;
		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
	} else {
		*at = len;
	}
	return line;
}

static bool line_is(const struct line *line, const char *text)
{
	return line->len == strlen(text) && memcmp(line->at, text, line->len) == 0;
}

bool lm_armor_begins(const uint8_t *text, size_t len)
{
	size_t at = skip_space(text, len, 0);

	return len - at >= sizeof(first) - 1 && memcmp(text + at, first, sizeof(first) - 1) == 0;
}

/* A line of the body: a whole number of groups, padding only where the body ends. */
static bool decode_line(const struct line *line, uint8_t *out, size_t *out_len, bool *final)
{
	size_t len = line->len;

	if (*final || len == 0 || len > COLUMNS || len % 4 != 0)
		return false;
	for (int i = 0; i < 2 && line->at[len - 1] == '='; i++)
		len--;
	if (!lm_base64_decode(out + *out_len, line->at, len))
		return false;
	*out_len += lm_base64_decoded(len);
	*final = len < COLUMNS;
	return true;
}

int lm_armor_decode(const uint8_t *text, size_t len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error)
{
	LM_FREE uint8_t *bytes = malloc(lm_base64_decoded(len) + 1);
	size_t at = skip_space(text, len, 0), done = 0;
	struct line line = next_line(text, len, &at);
	bool final = false;

	if (bytes == NULL)
		return lm_fail_memory(error);
	if (!line_is(&line, first) || !line.ended)
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the armor has no first line");
	for (size_t number = 2;; number++) {
		line = next_line(text, len, &at);
		if (line_is(&line, last))
			break;
		if (!line.ended)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: the armor has no last line");
		if (!decode_line(&line, bytes, &done, &final))
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: line %zu of the armor is malformed", number);
	}
	if (skip_space(text, len, at) != len)
		return lm_fail(error, LMODEL_ECORRUPT, "age file: bytes behind the armor");
	*out = bytes;
	*out_len = done;
	bytes = NULL;
	return LMODEL_OK;
}

int lm_armor_encode(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error)
{
	enum { STEP = COLUMNS / 4 * 3 };
	size_t lines = len / STEP + 1;
	char *text = malloc(sizeof(first) + lines * (COLUMNS + 1) + sizeof(last) + 1), *p = text;

	if (text == NULL)
		return lm_fail_memory(error);
	memcpy(p, first, sizeof(first) - 1);
	p += sizeof(first) - 1;
	*p++ = '\n';
	for (size_t done = 0; done < len; done += STEP) {
		size_t n = LM_MIN(len - done, (size_t)STEP);

		lm_base64_encode(p, bytes + done, n);
		p += lm_base64_encoded(n);
		for (; n % 3 != 0; n++)
			*p++ = '=';
		*p++ = '\n';
	}
	memcpy(p, last, sizeof(last) - 1);
	p += sizeof(last) - 1;
	*p++ = '\n';
	*p = '\0';
	*out = (uint8_t *)text;
	*out_len = (size_t)(p - text);
	return LMODEL_OK;
}
