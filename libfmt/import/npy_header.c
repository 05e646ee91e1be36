/* The header's dictionary: a Python literal with three keys, read as what it may be and nothing
 * else. Nothing is evaluated. */
#include "import/npy.h"

#include "base/permute.h"

enum { NESTING = 16 };

struct reader {
	const char *text;
	size_t len, at;
	unsigned depth;
	bool object;             /* a type of Python objects was met */
	const char *label, *name;
	struct lmodel_error *error;
};

static int bad(const struct reader *r, const char *what)
{
	return lm_fail(r->error, LMODEL_ECORRUPT, "%s: %s: header, at %zu: %s", r->label,
		       LM_QUOTE(r->name), r->at, what);
}

/* ---- words ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* The next character that is no space, which stays; NUL at the end. */
static char peek(struct reader *r)
{
	while (r->at < r->len && is_space(r->text[r->at]))
		r->at++;
	return r->at < r->len ? r->text[r->at] : '\0';
}

static bool take(struct reader *r, char c)
{
	if (c == '\0' || peek(r) != c)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	peek(r);
	if (r->len - r->at < n || memcmp(r->text + r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* A string of one line without escapes, but those of a quote and of a backslash, which names of
 * fields may have. `*begin` is behind the quote. */
static int read_string(struct reader *r, const char **begin, size_t *len)
{
	char quote = peek(r);

	if (quote != '\'' && quote != '"')
		return bad(r, "a string is expected");
	*begin = r->text + ++r->at;
	for (; r->at < r->len && r->text[r->at] != quote; r->at++) {
		char c = r->text[r->at];

		if (c == '\\' && r->at + 1 < r->len)
			r->at++;
		else if (c == '\n' || c == '\0')
			break;
	}
	if (r->at == r->len || r->text[r->at] != quote)
		return bad(r, "a string does not end");
	*len = (size_t)(r->text + r->at++ - *begin);
	return LMODEL_OK;
}

/* Digits; Python 2 wrote an L behind some. */
static int read_number(struct reader *r, uint64_t *number)
{
	size_t begin;
	uint64_t n = 0;

	peek(r);
	begin = r->at;
	for (; r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9'; r->at++)
		if (!lm_mul(n, 10, &n) || !lm_add(n, (uint64_t)(r->text[r->at] - '0'), &n))
			return bad(r, "a number is too large");
	if (r->at == begin)
		return bad(r, "a number of 0 or more is expected");
	if (r->text[begin] == '0' && r->at != begin + 1)
		return bad(r, "a number begins with 0");
	if (r->at < r->len && r->text[r->at] == 'L')
		r->at++;
	*number = n;
	return LMODEL_OK;
}

/* ---- types ---- */

/* What a descr says of one element. */
struct type {
	uint64_t width;
	const struct lm_dtype *dtype; /* NULL: opaque */
};

static int product(struct reader *r, uint64_t a, uint64_t b, uint64_t *out)
{
	return lm_mul(a, b, out) && *out <= INT32_MAX ? LMODEL_OK :
	       bad(r, "a type is too wide");
}

/* Behind M8 and m8: "[ns]", "[25s]", or nothing. */
static bool is_unit(const char *text, size_t len)
{
	if (len == 0)
		return true;
	if (len < 3 || text[0] != '[' || text[len - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
		      text[i] == 'D' || text[i] == 'M' || text[i] == 'W' || text[i] == 'Y' ||
		      text[i] == '/'))
			return false;
	return true;
}

/* The numbers that NumPy has, and their names in an archive. */
static const struct { char kind; uint64_t width; const char *dtype; } numbers[] = {
	{ 'b', 1, "BOOL" }, { 'i', 1, "I8" }, { 'i', 2, "I16" }, { 'i', 4, "I32" },
	{ 'i', 8, "I64" }, { 'u', 1, "U8" }, { 'u', 2, "U16" }, { 'u', 4, "U32" },
	{ 'u', 8, "U64" }, { 'f', 2, "F16" }, { 'f', 4, "F32" }, { 'f', 8, "F64" },
	{ 'f', 12, NULL }, { 'f', 16, NULL }, { 'c', 8, "C64" }, { 'c', 16, NULL },
	{ 'c', 24, NULL }, { 'c', 32, NULL },
};

static int parse_type(struct reader *r, const char *text, size_t len, struct type *type)
{
	bool big = len > 0 && text[0] == '>';
	size_t at = len > 0 && strchr("<>|=", text[0]) != NULL;
	struct reader digits = *r;
	char kind = at < len ? text[at++] : '\0';
	uint64_t n = 0;

	if (kind == 'O') {
		r->object = true;
		return lm_fail(r->error, LMODEL_EUNSUPPORTED,
			       "%s: %s: is an array of Python objects, which only running it as a "
			       "program could read", r->label, LM_QUOTE(r->name));
	}
	if (kind == '?' && at == len) {
		*type = (struct type){ .width = 1, .dtype = lm_dtype_find("BOOL") };
		return LMODEL_OK;
	}
	digits.text = text;
	digits.len = len;
	digits.at = at;
	digits.error = NULL;
	if (kind == '\0' || at == len || is_space(text[at]) || read_number(&digits, &n))
		return bad(r, "its type is none of NumPy's");
	at = digits.at;
	type->dtype = NULL;
	type->width = n;
	if ((kind == 'M' || kind == 'm') && n == 8 && is_unit(text + at, len - at))
		return LMODEL_OK;
	if (at != len || text[len - 1] == 'L')
		return bad(r, "its type is none of NumPy's");
	if (kind == 'S' || kind == 'a' || kind == 'V')
		return product(r, n, 1, &type->width);
	if (kind == 'U')
		return product(r, n, 4, &type->width);
	for (size_t i = 0; i < LM_COUNT(numbers); i++) {
		if (numbers[i].kind != kind || numbers[i].width != n)
			continue;
		if (numbers[i].dtype != NULL && (!big || n == 1))
			type->dtype = lm_dtype_find(numbers[i].dtype);
		return LMODEL_OK;
	}
	return bad(r, "its type is none of NumPy's");
}

/* "(2, 3)" or "(2,)" or "()", into the product of the dimensions. */
static int read_product(struct reader *r, uint64_t *elements)
{
	*elements = 1;
	if (!take(r, '('))
		return read_number(r, elements);
	while (!take(r, ')')) {
		uint64_t n;
		int code = read_number(r, &n);

		if (code == LMODEL_OK)
			code = product(r, *elements, n, elements);
		if (code != LMODEL_OK)
			return code;
		if (!take(r, ',') && peek(r) != ')')
			return bad(r, "a comma is expected");
	}
	return LMODEL_OK;
}

static int read_type(struct reader *r, struct type *type);

/* ('name', type), ('name', type, shape), (('title', 'name'), type, ...) */
static int read_field(struct reader *r, uint64_t *width)
{
	const char *name;
	uint64_t elements = 1;
	struct type type;
	size_t len;
	int code;

	if (!take(r, '('))
		return bad(r, "a field is expected");
	if (take(r, '(')) {
		code = read_string(r, &name, &len);
		if (code == LMODEL_OK && !take(r, ','))
			code = bad(r, "a comma is expected");
		if (code == LMODEL_OK)
			code = read_string(r, &name, &len);
		if (code == LMODEL_OK && !take(r, ')'))
			code = bad(r, "a name with a title is expected");
	} else {
		code = read_string(r, &name, &len);
	}
	if (code == LMODEL_OK && !take(r, ','))
		code = bad(r, "a comma is expected");
	if (code == LMODEL_OK)
		code = read_type(r, &type);
	if (code == LMODEL_OK && take(r, ',') && peek(r) != ')')
		code = read_product(r, &elements);
	if (code != LMODEL_OK)
		return code;
	take(r, ',');
	return take(r, ')') ? product(r, type.width, elements, width) :
			      bad(r, "a field does not end");
}

static int read_type(struct reader *r, struct type *type)
{
	const char *text;
	size_t len;
	int code;

	if (!take(r, '[')) {
		code = read_string(r, &text, &len);
		return code != LMODEL_OK ? code : parse_type(r, text, len, type);
	}
	if (r->depth++ == NESTING)
		return bad(r, "types are nested too deeply");
	*type = (struct type){ .width = 0 };
	while (!take(r, ']')) {
		uint64_t width = 0;

		code = read_field(r, &width);
		if (code != LMODEL_OK)
			return code;
		if (!lm_add(type->width, width, &type->width) || type->width > INT32_MAX)
			return bad(r, "a type is too wide");
		if (!take(r, ',') && peek(r) != ']')
			return bad(r, "a comma is expected");
	}
	r->depth--;
	return LMODEL_OK;
}

/* ---- the dictionary ---- */

struct dictionary {
	struct type type;
	size_t descr_begin, descr_end;
	bool fortran, has_descr, has_fortran, has_shape;
	uint64_t shape[LM_RANK_LIMIT];
	unsigned rank;
};

static int read_shape(struct reader *r, struct dictionary *d)
{
	if (!take(r, '('))
		return bad(r, "a shape is expected");
	while (!take(r, ')')) {
		int code;

		/* One dimension may come behind these. */
		if (d->rank == LM_RANK_LIMIT - 1)
			return lm_fail(r->error, LMODEL_ELIMIT,
				       "%s: %s: more than %u dimensions", r->label,
				       LM_QUOTE(r->name), LM_RANK_LIMIT - 1);
		code = read_number(r, &d->shape[d->rank]);
		if (code != LMODEL_OK)
			return code;
		d->rank++;
		if (!take(r, ',') && (d->rank == 1 || peek(r) != ')'))
			return bad(r, "a comma is expected");
	}
	return LMODEL_OK;
}

static int read_entry(struct reader *r, struct dictionary *d)
{
	const char *key;
	size_t len;
	int code = read_string(r, &key, &len);

	if (code != LMODEL_OK)
		return code;
	if (!take(r, ':'))
		return bad(r, "a colon is expected");
	peek(r);
	if (len == 5 && memcmp(key, "descr", 5) == 0 && !d->has_descr) {
		d->has_descr = true;
		d->descr_begin = r->at;
		code = read_type(r, &d->type);
		d->descr_end = r->at;
	} else if (len == 13 && memcmp(key, "fortran_order", 13) == 0 && !d->has_fortran) {
		d->has_fortran = true;
		d->fortran = take_word(r, "True");
		if (!d->fortran && !take_word(r, "False"))
			code = bad(r, "True or False is expected");
	} else if (len == 5 && memcmp(key, "shape", 5) == 0 && !d->has_shape) {
		d->has_shape = true;
		code = read_shape(r, d);
	} else {
		code = bad(r, "a key is there twice, or is none of descr, fortran_order, shape");
	}
	return code;
}

static int read_dictionary(struct reader *r, struct dictionary *d)
{
	if (!take(r, '{'))
		return bad(r, "a dictionary is expected");
	while (!take(r, '}')) {
		int code = read_entry(r, d);

		if (code != LMODEL_OK)
			return code;
		if (!take(r, ',') && peek(r) != '}')
			return bad(r, "a comma is expected");
	}
	peek(r);
	if (r->at != r->len)
		return bad(r, "something follows the dictionary");
	if (!d->has_descr || !d->has_fortran || !d->has_shape)
		return bad(r, "descr, fortran_order or shape is missing");
	return LMODEL_OK;
}

/* ---- as a tensor ---- */

/* UTF-8 of the text of the type. */
static char *copy_descr(const struct reader *r, const struct dictionary *d, bool latin)
{
	size_t len = d->descr_end - d->descr_begin, n = 0;
	char *copy = malloc(2 * len + 1);

	if (copy == NULL) {
		lm_fail_memory(r->error);
		return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)r->text[d->descr_begin + i];

		if (latin && c >= 0x80) {
			copy[n++] = (char)(0xc0 | c >> 6);
			c = 0x80 | (c & 0x3f);
		}
		copy[n++] = (char)c;
	}
	copy[n] = '\0';
	return copy;
}

int lm_npy_parse(struct lm_npy *npy, const char *text, size_t len, bool latin, const char *label,
		 const char *name, struct lmodel_error *error)
{
	struct reader r = { .text = text, .len = len, .label = label, .name = name,
			    .error = error };
	struct dictionary d = { 0 };
	unsigned rank;
	int code;

	if (memchr(text, 0, len) != NULL || (!latin && !lm_utf8_valid(text, len)))
		return bad(&r, "is not text");
	code = read_dictionary(&r, &d);
	if (code != LMODEL_OK)
		return code;
	rank = d.rank;
	npy->dtype = d.type.dtype;
	if (npy->dtype == NULL) {
		npy->descr = copy_descr(&r, &d, latin);
		if (npy->descr == NULL)
			return LMODEL_EFAILED;
		npy->dtype = d.type.width <= LM_OPAQUE_LIMIT ?
			     lm_dtype_opaque((unsigned)d.type.width) : NULL;
	}
	if (npy->dtype == NULL) {
		npy->dtype = lm_dtype_opaque(1);
		d.shape[d.rank++] = d.type.width;
	}
	for (unsigned i = 0; i < d.rank; i++)
		npy->axes[i] = (uint8_t)(i < rank ? rank - 1 - i : i);
	npy->permuted = d.fortran && !lm_permutation_idle(d.rank, d.shape, npy->axes);
	npy->rank = d.rank;
	npy->shape = calloc(d.rank + 1u, sizeof(*npy->shape));
	if (npy->shape == NULL)
		return lm_fail_memory(error);
	memcpy(npy->shape, d.shape, d.rank * sizeof(*npy->shape));
	if (!lm_dtype_bytes(npy->dtype, npy->rank, npy->shape, NULL, &npy->bytes))
		return bad(&r, "the shape overflows");
	return LMODEL_OK;
}
