#include "crypto/age/header.h"

#include "crypto/age/base64.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

enum { COLUMNS = 64, COLUMN_BYTES = COLUMNS / 4 * 3 };

static const char any_version[] = "age-encryption.org/";
static const char version_line[] = "age-encryption.org/v1\n";

struct cursor {
	const uint8_t *file;
	size_t len, at;
};

static bool next_line(struct cursor *c, struct lm_age_argument *line)
{
	const uint8_t *start = c->file + c->at;
	const uint8_t *end = c->at == c->len ? NULL : memchr(start, '\n', c->len - c->at);

	if (end == NULL)
		return false;
	line->at = start;
	line->len = (size_t)(end - start);
	c->at += line->len + 1;
	return true;
}

static bool starts_with(const struct cursor *c, const char *text)
{
	size_t len = strlen(text);

	return c->len - c->at >= len && memcmp(c->file + c->at, text, len) == 0;
}

bool lm_age_argument_is(const struct lm_age_argument *argument, const char *text)
{
	return argument->len == strlen(text) && memcmp(argument->at, text, argument->len) == 0;
}

bool lm_age_header_begins(const uint8_t *file, size_t len)
{
	struct cursor c = { .file = file, .len = len };

	return starts_with(&c, any_version);
}

static int parse_version(struct cursor *c, struct lmodel_error *error)
{
	struct lm_age_argument line;

	if (!starts_with(c, any_version))
		return lm_fail(error, LMODEL_ECORRUPT, "is not an age file");
	if (starts_with(c, version_line)) {
		c->at = sizeof(version_line) - 1;
		return LMODEL_OK;
	}
	if (!next_line(c, &line) || line.len == sizeof(any_version) - 1)
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the version line is malformed");
	for (size_t i = 0; i < line.len; i++)
		if (line.at[i] < 33 || line.at[i] > 126)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "age file: the version line is malformed");
	return lm_fail(error, LMODEL_EUNSUPPORTED, "is an age file of another version than 1");
}

/* "-> kind argument...": single spaces, no empty argument. */
static bool parse_arguments(const struct lm_age_argument *line, struct lm_age_stanza *stanza)
{
	size_t from = 3;

	if (line->len < 4 || memcmp(line->at, "-> ", 3) != 0)
		return false;
	for (size_t i = from; i <= line->len; i++) {
		if (i < line->len && line->at[i] != ' ') {
			if (line->at[i] < 33 || line->at[i] > 126)
				return false;
			continue;
		}
		if (i == from)
			return false;
		if (stanza->arguments < LM_AGE_ARGUMENTS)
			stanza->argument[stanza->arguments] =
				(struct lm_age_argument){ line->at + from, i - from };
		stanza->arguments++;
		from = i + 1;
	}
	return true;
}

/* Full lines, then a shorter one, which may be empty. */
static bool parse_body(struct cursor *c, struct lm_age_stanza *stanza)
{
	struct lm_age_argument line;

	do {
		uint8_t bytes[COLUMN_BYTES];
		size_t n;

		if (!next_line(c, &line) || line.len > COLUMNS ||
		    !lm_base64_decode(bytes, line.at, line.len))
			return false;
		n = lm_base64_decoded(line.len);
		if (stanza->body_len < LM_AGE_BODY)
			memcpy(stanza->body + stanza->body_len, bytes,
			       LM_MIN(n, LM_AGE_BODY - stanza->body_len));
		stanza->body_len += n;
	} while (line.len == COLUMNS);
	return true;
}

static int parse_stanza(struct cursor *c, struct lm_age_header *header, struct lmodel_error *error)
{
	struct lm_age_argument line;
	struct lm_age_stanza *stanza;

	if (header->count == LM_AGE_STANZA_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "age file: more than %d recipients",
			       LM_AGE_STANZA_LIMIT);
	if (lm_grow(&header->stanza, header->count, &header->capacity, sizeof(*stanza), error))
		return LMODEL_EFAILED;
	stanza = &header->stanza[header->count++];
	memset(stanza, 0, sizeof(*stanza));
	if (!next_line(c, &line) || !parse_arguments(&line, stanza) || !parse_body(c, stanza))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: stanza %zu is malformed",
			       header->count);
	return LMODEL_OK;
}

int lm_age_header_parse(struct lm_age_header *header, const uint8_t *file, size_t len,
			struct lmodel_error *error)
{
	struct cursor c = { .file = file, .len = len };
	struct lm_age_argument line;
	int r;

	memset(header, 0, sizeof(*header));
	r = parse_version(&c, error);
	while (r == LMODEL_OK && !starts_with(&c, "---"))
		r = parse_stanza(&c, header, error);
	if (r != LMODEL_OK)
		return r;
	header->mac_at = c.at + 3;
	if (header->count == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the header has no stanza");
	if (!next_line(&c, &line) || line.len < 4 || line.at[3] != ' ' ||
	    !lm_base64_decode_exact(header->mac, sizeof(header->mac), line.at + 4, line.len - 4))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the MAC line is malformed");
	if (c.len - c.at < LM_AGE_NONCE)
		return lm_fail(error, LMODEL_ECORRUPT, "age file: truncated after the header");
	header->nonce = file + c.at;
	header->len = c.at + LM_AGE_NONCE;
	return LMODEL_OK;
}

void lm_age_header_free(struct lm_age_header *header)
{
	free(header->stanza);
	header->stanza = NULL;
	header->count = header->capacity = 0;
}

static int compute_mac(uint8_t mac[32], const uint8_t *bytes, size_t len, const uint8_t *file_key,
		       struct lmodel_error *error)
{
	LM_SECRET uint8_t *key = lm_secret_alloc(32, error);

	if (key == NULL)
		return LMODEL_EFAILED;
	lm_hkdf_sha256(key, 32, file_key, LM_AGE_FILE_KEY, NULL, 0, "header", 6);
	lm_hmac_sha256(mac, key, 32, bytes, len);
	return LMODEL_OK;
}

int lm_age_header_check(const struct lm_age_header *header, const uint8_t *file,
			const uint8_t file_key[LM_AGE_FILE_KEY], struct lmodel_error *error)
{
	uint8_t mac[32];

	if (compute_mac(mac, file, header->mac_at, file_key, error))
		return LMODEL_EFAILED;
	if (!lm_secret_equal(mac, header->mac, sizeof(mac)))
		return lm_fail(error, LMODEL_ECORRUPT, "age file: the header is not authentic");
	return LMODEL_OK;
}

char *lm_age_header_begin(char *to)
{
	memcpy(to, version_line, sizeof(version_line) - 1);
	return to + sizeof(version_line) - 1;
}

char *lm_age_header_stanza(char *to, const char *arguments, const uint8_t body[LM_AGE_BODY])
{
	size_t len = strlen(arguments);

	memcpy(to, "-> ", 3);
	memcpy(to + 3, arguments, len);
	to += 3 + len;
	*to++ = '\n';
	lm_base64_encode(to, body, LM_AGE_BODY);
	to += lm_base64_encoded(LM_AGE_BODY);
	*to++ = '\n';
	return to;
}

int lm_age_header_end(char *header, char **to, const uint8_t file_key[LM_AGE_FILE_KEY],
		      struct lmodel_error *error)
{
	uint8_t mac[32];
	char *p = *to;

	memcpy(p, "---", 3);
	p += 3;
	if (compute_mac(mac, (const uint8_t *)header, (size_t)(p - header), file_key, error))
		return LMODEL_EFAILED;
	*p++ = ' ';
	lm_base64_encode(p, mac, sizeof(mac));
	p += lm_base64_encoded(sizeof(mac));
	*p++ = '\n';
	*to = p;
	return LMODEL_OK;
}
