/* Key files of input transforms (spec: 15.1): a JSON object of fixed form. It is parsed here and
 * not by the JSON library, which leaves copies of the key in memory behind. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/io.h"
#include "base/publish.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "transform/transform.h"

#define KIND "input-transform"

enum { NAME = 32, HEX = 2 * LM_TRANSFORM_KEY };

enum member { M_LMODEL, M_VERSION, M_METHOD, M_BLOCK, M_CHANNELS, M_KEY, MEMBERS };

static const char *const member_names[MEMBERS] = {
	"lmodel", "version", "method", "block", "channels", "key",
};

struct text {
	const char *at, *end;
	const char *label;
	struct lmodel_error *error;
};

/* Where the key may be near, a message holds no byte of the text. */
static int malformed(const struct text *text)
{
	return lm_fail(text->error, LMODEL_ECORRUPT,
		       "%s: is not the key file of an input transform", text->label);
}

static void skip_space(struct text *text)
{
	while (text->at < text->end && (*text->at == ' ' || *text->at == '\t' ||
					*text->at == '\r' || *text->at == '\n'))
		text->at++;
}

static bool take(struct text *text, char c)
{
	skip_space(text);
	if (text->at == text->end || *text->at != c)
		return false;
	text->at++;
	return true;
}

/* No string of this form needs an escape. */
static bool take_string(struct text *text, const char **string, size_t *len)
{
	if (!take(text, '"'))
		return false;
	*string = text->at;
	while (text->at < text->end && *text->at >= ' ' && *text->at <= '~' && *text->at != '"' &&
	       *text->at != '\\')
		text->at++;
	*len = (size_t)(text->at - *string);
	return text->at < text->end && *text->at++ == '"';
}

static bool take_number(struct text *text, uint64_t *number)
{
	uint64_t n = 0;
	const char *first;

	skip_space(text);
	first = text->at;
	while (text->at < text->end && *text->at >= '0' && *text->at <= '9' &&
	       text->at - first < 10)
		n = n * 10 + (uint64_t)(*text->at++ - '0');
	*number = n;
	return text->at > first && (*first != '0' || text->at - first == 1);
}

static bool equals(const char *string, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(string, word, len) == 0;
}

struct fields {
	uint64_t version, block, channels;
	char method[NAME];
	const char *key; /* HEX digits */
};

static bool take_key(struct text *text, struct fields *fields)
{
	size_t len;

	if (!take_string(text, &fields->key, &len) || len != HEX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isdigit((unsigned char)fields->key[i]) &&
		    (fields->key[i] < 'a' || fields->key[i] > 'f'))
			return false;
	return true;
}

static bool take_value(struct text *text, enum member member, struct fields *fields)
{
	const char *string;
	size_t len;

	switch (member) {
	case M_LMODEL:
		return take_string(text, &string, &len) && equals(string, len, KIND);
	case M_VERSION:
		return take_number(text, &fields->version);
	case M_METHOD:
		if (!take_string(text, &string, &len) || len >= NAME)
			return false;
		memcpy(fields->method, string, len);
		return true;
	case M_BLOCK:
		return take_number(text, &fields->block);
	case M_CHANNELS:
		return take_number(text, &fields->channels);
	default:
		return take_key(text, fields);
	}
}

/* One "name": value. */
static int take_member(struct text *text, struct fields *fields, unsigned *seen)
{
	const char *string;
	unsigned member = 0;
	size_t len;

	if (!take_string(text, &string, &len) || !take(text, ':'))
		return malformed(text);
	while (member < MEMBERS && !equals(string, len, member_names[member]))
		member++;
	if (member == MEMBERS)
		return lm_fail(text->error, LMODEL_EUNSUPPORTED,
			       "%s: has a member that this version does not know", text->label);
	if ((*seen & 1u << member) != 0 || !take_value(text, (enum member)member, fields))
		return malformed(text);
	*seen |= 1u << member;
	return LMODEL_OK;
}

static int take_object(struct text *text, struct fields *fields)
{
	unsigned seen = 0;
	int r;

	if (!take(text, '{'))
		return malformed(text);
	do {
		r = take_member(text, fields, &seen);
		if (r != LMODEL_OK)
			return r;
	} while (take(text, ','));
	if (!take(text, '}') || seen != (1u << MEMBERS) - 1)
		return malformed(text);
	skip_space(text);
	return text->at == text->end ? LMODEL_OK : malformed(text);
}

static uint8_t digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static int method_of(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(lm_transform_methods); i++)
		if (strcmp(name, lm_transform_methods[i]) == 0)
			return (int)i;
	return -1;
}

int lmodel_transform_parse(struct lmodel_transform **out, const char *bytes, size_t len,
			   const char *label, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct text text = { bytes, bytes + len, label, error != NULL ? error : &local };
	struct fields fields = { .version = 0 };
	uint8_t key[LM_TRANSFORM_KEY];
	int r, method;

	error = text.error;
	if (len > LM_TRANSFORM_TEXT_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: over %d bytes: no key of a transform",
			       label, LM_TRANSFORM_TEXT_LIMIT);
	r = take_object(&text, &fields);
	if (r != LMODEL_OK)
		return r;
	method = method_of(fields.method);
	if (fields.version != 1)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: a key file of version %ju", label,
			       (uintmax_t)fields.version);
	if (method < 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: the method %s is not known", label,
			       LM_QUOTE(fields.method));
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(digit(fields.key[2 * i]) << 4 | digit(fields.key[2 * i + 1]));
	r = lm_transform_make(out, (enum lm_transform_method)method, fields.block, fields.channels,
			      key, LMODEL_ECORRUPT, label, error);
	lm_wipe(key, sizeof(key));
	return r;
}

/* A key may come through a pipe, so it is read to the end of it, or to more than it can have. */
int lmodel_transform_load(struct lmodel_transform **out, const char *path,
			  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	bool is_stream = strcmp(path, "-") == 0;
	const char *label = is_stream ? "standard input" : LM_QUOTE(path);
	LM_CLOSE int fd = -1;
	LM_SECRET char *text = NULL;
	size_t len = 0;
	ssize_t n;

	error = error != NULL ? error : &local;
	if (lm_crypto_init(error) != LMODEL_OK)
		return LMODEL_EFAILED;
	text = lm_secret_alloc(LM_TRANSFORM_TEXT_LIMIT + 1, error);
	if (text == NULL)
		return LMODEL_EFAILED;
	fd = is_stream ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lm_fail_errno(error, "%s", label);
	do {
		n = read(fd, text + len, LM_TRANSFORM_TEXT_LIMIT + 1 - len);
		if (n < 0 && errno != EINTR)
			return lm_fail_errno(error, "%s: read", label);
		len += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	return lmodel_transform_parse(out, text, len, label, error);
}

int lmodel_transform_new(struct lmodel_transform **out, const char *method, unsigned block,
			 unsigned channels, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	uint8_t key[LM_TRANSFORM_KEY];
	int r, index = method_of(method);

	error = error != NULL ? error : &local;
	r = lm_crypto_init(error);
	if (r != LMODEL_OK)
		return r;
	if (index < 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "input transform %s: not one of shf, np, ffx", LM_QUOTE(method));
	lm_random(key, sizeof(key));
	r = lm_transform_make(out, (enum lm_transform_method)index, block, channels, key,
			      LMODEL_EUSAGE, "input transform", error);
	lm_wipe(key, sizeof(key));
	return r;
}

static int print_key(const struct lmodel_transform *t, int fd, const char *label,
		     struct lmodel_error *error)
{
	LM_SECRET char *text = lm_secret_alloc(LM_TRANSFORM_TEXT_LIMIT, error);
	int n;

	if (text == NULL)
		return LMODEL_EFAILED;
	n = snprintf(text, LM_TRANSFORM_TEXT_LIMIT,
		     "{\"lmodel\": \"" KIND "\", \"version\": 1, \"method\": \"%s\", "
		     "\"block\": %u, \"channels\": %u, \"key\": \"",
		     t->info.method, t->info.block, t->info.channels);
	lm_hex(text + n, t->key, sizeof(t->key));
	memcpy(text + n + HEX, "\"}\n", 3);
	return lm_write_all(fd, label, text, (size_t)n + HEX + 3, error);
}

int lmodel_transform_save(const struct lmodel_transform *t, const char *path,
			  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_output out = LM_OUTPUT_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (path == NULL || strcmp(path, "-") == 0)
		return print_key(t, STDOUT_FILENO, "standard output", error);
	r = lm_output_begin(&out, path, false, error);
	if (r == LMODEL_OK)
		r = lm_output_mode(&out, 0600, error);
	if (r == LMODEL_OK)
		r = print_key(t, out.fd, LM_QUOTE(path), error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}
