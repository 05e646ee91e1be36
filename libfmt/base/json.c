#include "base/json.h"

#include <limits.h>

#include <lmodel/archive.h>

/* What jansson's recursive parser would meet; counted before it allocates anything. */
struct outline {
	size_t containers;
	size_t depth, deepest;
	size_t too_deep_at;  /* byte of the first container beyond the caller's limit */
	size_t string_bytes; /* in all keys and strings, unescaped */
};

/* Bytes in UTF-8 of the escape whose backslash is at `*i`; goes to its last character. */
static size_t escape_bytes(const char *text, size_t len, size_t *i)
{
	unsigned unit = 0;

	*i += 1;
	if (*i >= len || text[*i] != 'u' || len - *i < 5)
		return 1;
	for (int k = 0; k < 4; k++) {
		char c = text[++*i];

		unit = unit << 4 | ((unsigned)(c >= 'A' ? (c | 0x20) - 'a' + 10 : c - '0') & 15);
	}
	/* a surrogate is half of a pair, which takes four bytes */
	return unit < 0x80 ? 1 : unit < 0x800 || (unit & 0xf800) == 0xd800 ? 2 : 3;
}

static void scan(const char *text, size_t len, unsigned depth_limit, struct outline *o)
{
	bool string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (string && c == '\\') {
			o->string_bytes += escape_bytes(text, len, &i);
		} else if (c == '"') {
			string = !string;
		} else if (!string && (c == '{' || c == '[')) {
			o->containers++;
			o->depth++;
			if (o->depth == (size_t)depth_limit + 1 && o->deepest <= depth_limit)
				o->too_deep_at = i;
			o->deepest = LM_MAX(o->deepest, o->depth);
		} else if (!string && (c == '}' || c == ']')) {
			o->depth -= o->depth > 0;
		} else {
			o->string_bytes += string;
		}
	}
}

static size_t count_string_bytes(json_t *value)
{
	size_t total = 0, i;
	const char *key;
	json_t *item;

	if (json_is_string(value))
		return json_string_length(value);
	json_array_foreach(value, i, item)
		total += count_string_bytes(item);
	json_object_foreach(value, key, item)
		total += strlen(key) + count_string_bytes(item);
	return total;
}

static int check_outline(const struct outline *o, uint64_t base, const char *label,
			 const struct lm_json_limits *limits, struct lmodel_error *error)
{
	if (o->deepest > LM_DEPTH_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: JSON nested deeper than %u", label,
			       LM_DEPTH_LIMIT);
	if (o->deepest > limits->depth)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: byte %ju: JSON nested deeper than the %u of this format", label,
			       (uintmax_t)(base + o->too_deep_at), limits->depth);
	if (o->containers > limits->containers)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: %zu JSON objects and arrays; the limit is %zu", label,
			       o->containers, limits->containers);
	return LMODEL_OK;
}

static int check_encoding(const char *text, size_t len, uint64_t base, const char *label,
			  struct lmodel_error *error)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0, n;
	uint32_t c;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: byte %ju: byte order mark before the JSON", label,
			       (uintmax_t)base);
	for (; at < len; at += n) {
		n = lm_utf8_next(s + at, len - at, &c);
		if (n == 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: byte %ju: 0x%02X is not valid UTF-8", label,
				       (uintmax_t)(base + at), s[at]);
	}
	return LMODEL_OK;
}

/* Where the string literal that ends right before `end` starts. Takes it to `out`, without its
 * quotes, as it is written. */
static size_t literal_before(const char *text, size_t end, char *out, size_t size)
{
	size_t start, len;

	out[0] = '\0';
	if (end < 2 || text[end - 1] != '"')
		return end;
	for (start = end - 1; start > 0; start--) {
		size_t slashes = 0;

		if (text[start - 1] != '"')
			continue;
		while (slashes + 1 < start && text[start - 2 - slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			break;
	}
	len = LM_MIN(end - 1 - start, size - 1);
	memcpy(out, text + start, len);
	out[len] = '\0';
	return start - (start > 0);
}

/* jansson's failure as ours. */
static int translate(const json_error_t *e, const char *text, size_t len, uint64_t base,
		     const char *label, struct lmodel_error *error)
{
	size_t at = e->position < 0 ? 0 : LM_MIN((size_t)e->position, len);
	uintmax_t byte = base + at;
	char buffer[LM_QUOTE_SIZE];

	switch (json_error_code(e)) {
	case json_error_unknown: /* some of its allocations fail without a code */
	case json_error_out_of_memory:
		return lm_fail_memory(error);
	case json_error_stack_overflow:
		return lm_fail(error, LMODEL_ELIMIT, "%s: byte %ju: JSON nested deeper than %u",
			       label, byte, LM_DEPTH_LIMIT);
	case json_error_duplicate_key:
		byte = base + literal_before(text, at, buffer, sizeof(buffer));
		return lm_fail(error, LMODEL_ECORRUPT, "%s: byte %ju: duplicate key %s", label,
			       byte, LM_QUOTE(buffer));
	case json_error_null_byte_in_key:
	case json_error_null_character:
		return lm_fail(error, LMODEL_ECORRUPT, "%s: byte %ju: NUL in a string", label,
			       byte);
	case json_error_numeric_overflow:
		return lm_fail(error, LMODEL_ECORRUPT, "%s: byte %ju: number out of range", label,
			       byte);
	case json_error_premature_end_of_input:
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: byte %ju: the JSON ends before it is complete", label, byte);
	case json_error_end_of_input_expected:
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: byte %ju: something follows the JSON", label, byte);
	default:
		lmodel_escape(buffer, sizeof(buffer), e->text);
		return lm_fail(error, LMODEL_ECORRUPT, "%s: byte %ju: not JSON: %s", label, byte,
			       buffer);
	}
}

/* jansson's answers cannot be trusted when memory is short: it goes on without the characters
 * of a string or number that it could not store. So a failure counts when it comes twice, and
 * a success when all bytes of the strings are there. */
static int load(const char *text, size_t len, size_t string_bytes, json_t **root,
		json_error_t *e)
{
	json_error_t again = { 0 };

	*root = json_loadb(text, len, JSON_REJECT_DUPLICATES, e);
	if (*root == NULL) {
		json_t *second = json_loadb(text, len, JSON_REJECT_DUPLICATES, &again);

		json_decref(second);
		return second == NULL ? LMODEL_ECORRUPT : LMODEL_EFAILED;
	}
	if (count_string_bytes(*root) == string_bytes)
		return LMODEL_OK;
	json_decref(*root);
	*root = NULL;
	return LMODEL_EFAILED;
}

int lm_json_parse(const char *text, size_t len, uint64_t base, const char *label,
		  const struct lm_json_limits *limits, json_t **root, struct lmodel_error *error)
{
	struct outline o = { 0 };
	json_error_t e = { 0 };
	int r;

	*root = NULL;
	if (len > INT_MAX) /* jansson's positions */
		return lm_fail(error, LMODEL_ELIMIT, "%s: %zu bytes of JSON", label, len);
	r = check_encoding(text, len, base, label, error);
	if (r != LMODEL_OK)
		return r;
	scan(text, len, limits->depth, &o);
	r = check_outline(&o, base, label, limits, error);
	if (r != LMODEL_OK)
		return r;
	switch (load(text, len, o.string_bytes, root, &e)) {
	case LMODEL_OK:
		return LMODEL_OK;
	case LMODEL_EFAILED:
		return lm_fail_memory(error);
	default:
		return translate(&e, text, len, base, label, error);
	}
}

const char *lm_json_kind(const json_t *value)
{
	static const char *const kinds[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
		[JSON_REAL] = "a number that is no integer",
		[JSON_TRUE] = "true",        [JSON_FALSE] = "false",
		[JSON_NULL] = "null",
	};

	return value == NULL ? "missing" : kinds[json_typeof(value)];
}

bool lm_json_u64(const json_t *value, uint64_t *number)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*number = (uint64_t)json_integer_value(value);
	return true;
}
