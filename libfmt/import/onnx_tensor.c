/* TensorProto: an initializer as its fields tell it. */
#include "import/onnx.h"

#include <inttypes.h>
#include <stdio.h>

/* Fields of TensorProto, and of StringStringEntryProto. */
enum {
	DIMS = 1, DATA_TYPE = 2, SEGMENT = 3, FLOAT_DATA = 4, INT32_DATA = 5, STRING_DATA = 6,
	INT64_DATA = 7, NAME = 8, RAW_DATA = 9, DOUBLE_DATA = 10, UINT64_DATA = 11,
	EXTERNAL_DATA = 13, DATA_LOCATION = 14,
	KEY = 1, VALUE = 2,
};

enum { TYPE_FLOAT = 1, TYPE_STRING = 8, TYPE_DOUBLE = 11, TYPE_C64 = 14, TYPE_C128 = 15 };

/* Fewer numbers that stay with the graph are not worth a word, unless they are weights. */
enum { FEW = 64, TEXT_LIMIT = 4096 };

/* By the numbers of ONNX. Those without a dtype of 3.4 are bytes. */
static const struct type { const char *name, *dtype; bool floating; } types[] = {
	[1] = { "FLOAT", "F32", true }, [2] = { "UINT8", "U8", false },
	[3] = { "INT8", "I8", false }, [4] = { "UINT16", "U16", false },
	[5] = { "INT16", "I16", false }, [6] = { "INT32", "I32", false },
	[7] = { "INT64", "I64", false }, [8] = { "STRING", NULL, false },
	[9] = { "BOOL", "BOOL", false }, [10] = { "FLOAT16", "F16", true },
	[11] = { "DOUBLE", "F64", true }, [12] = { "UINT32", "U32", false },
	[13] = { "UINT64", "U64", false }, [14] = { "COMPLEX64", "C64", true },
	[15] = { "COMPLEX128", "V16", true }, [16] = { "BFLOAT16", "BF16", true },
	[17] = { "FLOAT8E4M3FN", "F8_E4M3", true },
	[18] = { "FLOAT8E4M3FNUZ", "F8_E4M3FNUZ", true },
	[19] = { "FLOAT8E5M2", "F8_E5M2", true },
	[20] = { "FLOAT8E5M2FNUZ", "F8_E5M2FNUZ", true },
	[21] = { "UINT4", NULL, false }, [22] = { "INT4", NULL, false },
	[23] = { "FLOAT4E2M1", NULL, true }, [24] = { "FLOAT8E8M0", "F8_E8M0", true },
	[25] = { "UINT2", NULL, false }, [26] = { "INT2", NULL, false },
};

struct proto {
	struct lm_onnx *o;
	uint64_t at;               /* where it begins */
	char *name;
	uint64_t dims[LM_RANK_LIMIT];
	unsigned rank;
	uint64_t type, elements;
	struct lm_wire_range raw;
	struct lm_wire_range numbers; /* float_data or double_data that is one range of bytes */
	unsigned raws, pieces;     /* of raw_data; of the numbers' */
	bool loose;                /* numbers one by one, each behind a tag */
	uint32_t numbers_field;    /* FLOAT_DATA or DOUBLE_DATA */
	bool varints, texts;       /* has numbers as varints; has texts */
	bool external;
	char *location;
	uint64_t offset, length;
	bool has_offset, has_length;
	struct lmodel_error *error;
};

static void proto_free(struct proto *p)
{
	free(p->name);
	free(p->location);
}

static int bad(const struct proto *p, enum lmodel_code code, const char *what)
{
	char number[32];

	snprintf(number, sizeof(number), "at %" PRIu64, p->at);
	return lm_fail(p->error, code, "%s: tensor %s: %s", p->o->label,
		       p->name != NULL ? LM_QUOTE(p->name) : number, what);
}

/* ---- fields ---- */

static int add_dimension(struct proto *p, uint64_t dimension)
{
	if (dimension > INT64_MAX)
		return bad(p, LMODEL_ECORRUPT, "a negative dimension");
	if (p->rank == LM_RANK_LIMIT)
		return bad(p, LMODEL_ELIMIT, "over 64 dimensions");
	p->dims[p->rank++] = dimension;
	return LMODEL_OK;
}

static int read_dims(struct proto *p, const struct lm_wire_field *f)
{
	struct lm_wire_range packed = f->body;
	int r = LMODEL_OK;

	if (f->type == LM_WIRE_VARINT)
		return add_dimension(p, f->value);
	while (r == LMODEL_OK && packed.begin < packed.end) {
		uint64_t dimension;

		r = lm_wire_varint(&p->o->in, &packed, &dimension, p->error);
		if (r == LMODEL_OK)
			r = add_dimension(p, dimension);
	}
	return r;
}

/* Decimal digits, as int64_t has them. */
static int read_number(const struct proto *p, const char *text, uint64_t *value)
{
	uint64_t n = 0;

	if (*text == '\0')
		return bad(p, LMODEL_ECORRUPT, "external data with an offset or length that is no "
			   "number");
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || n > (uint64_t)INT64_MAX / 10 - 1)
			return bad(p, LMODEL_ECORRUPT, "external data with an offset or length that "
				   "is no number");
		n = 10 * n + (uint64_t)(*c - '0');
	}
	*value = n;
	return LMODEL_OK;
}

static int set_external(struct proto *p, const char *key, char **value)
{
	bool *has = strcmp(key, "offset") == 0 ? &p->has_offset : &p->has_length;

	if (strcmp(key, "location") == 0) {
		if (p->location != NULL)
			return bad(p, LMODEL_ECORRUPT, "external data in two locations");
		p->location = *value;
		*value = NULL;
		return LMODEL_OK;
	}
	if (strcmp(key, "checksum") == 0)
		return bad(p, LMODEL_EUNSUPPORTED, "external data with a checksum: it would tell "
			   "which guess of protected values is right");
	if (strcmp(key, "offset") != 0 && strcmp(key, "length") != 0)
		return LMODEL_OK;
	if (*has)
		return bad(p, LMODEL_ECORRUPT, "external data with two offsets or lengths");
	*has = true;
	return read_number(p, *value, has == &p->has_offset ? &p->offset : &p->length);
}

static int read_external(struct proto *p, struct lm_wire_range entry)
{
	LM_FREE char *key = NULL;
	LM_FREE char *value = NULL;
	int r = LMODEL_OK;

	while (r == LMODEL_OK && entry.begin < entry.end) {
		struct lm_wire_field f;
		char **text;

		r = lm_wire_next(&p->o->in, &entry, &f, p->error);
		if (r != LMODEL_OK || (f.number != KEY && f.number != VALUE))
			continue;
		text = f.number == KEY ? &key : &value;
		if (f.type != LM_WIRE_BYTES || *text != NULL)
			return bad(p, LMODEL_ECORRUPT, "external data is no pair of texts");
		r = lm_wire_text(&p->o->in, f.body, TEXT_LIMIT, "external data", text, p->error);
	}
	if (r != LMODEL_OK)
		return r;
	if (key == NULL || value == NULL)
		return bad(p, LMODEL_ECORRUPT, "external data is no pair of texts");
	return set_external(p, key, &value);
}

static int read_numbers(struct proto *p, const struct lm_wire_field *f)
{
	enum lm_wire_type one = f->number == FLOAT_DATA ? LM_WIRE_32 : LM_WIRE_64;

	if (f->type != one && f->type != LM_WIRE_BYTES)
		return bad(p, LMODEL_ECORRUPT, "a field of the wrong type");
	if (p->numbers_field != 0 && p->numbers_field != f->number)
		return bad(p, LMODEL_ECORRUPT, "has its numbers in two fields");
	p->numbers_field = f->number;
	p->loose |= f->type == one;
	p->numbers = f->body;
	p->pieces++;
	return LMODEL_OK;
}

/* The type that the wire has for a field; fields of numbers are also packed. */
static enum lm_wire_type wire_type(uint32_t number)
{
	switch (number) {
	case DIMS: case DATA_TYPE: case DATA_LOCATION:
	case INT32_DATA: case INT64_DATA: case UINT64_DATA:
		return LM_WIRE_VARINT;
	default:
		return LM_WIRE_BYTES;
	}
}

static bool may_be_packed(uint32_t number)
{
	return number == DIMS || number == INT32_DATA || number == INT64_DATA ||
	       number == UINT64_DATA;
}

static int read_field(struct proto *p, const struct lm_wire_field *f)
{
	if (f->number == FLOAT_DATA || f->number == DOUBLE_DATA)
		return read_numbers(p, f);
	if (f->number > DATA_LOCATION)
		return LMODEL_OK;
	if (f->type != wire_type(f->number) &&
	    !(f->type == LM_WIRE_BYTES && may_be_packed(f->number)))
		return bad(p, LMODEL_ECORRUPT, "a field of the wrong type");
	switch (f->number) {
	case DIMS:
		return read_dims(p, f);
	case DATA_TYPE:
		p->type = f->value;
		return LMODEL_OK;
	case SEGMENT:
		return bad(p, LMODEL_EUNSUPPORTED, "is a segment of a tensor");
	case INT32_DATA: case INT64_DATA: case UINT64_DATA:
		p->varints = true;
		return LMODEL_OK;
	case STRING_DATA:
		p->texts = true;
		return LMODEL_OK;
	case NAME:
		if (p->name != NULL)
			return bad(p, LMODEL_ECORRUPT, "has two names");
		return lm_wire_text(&p->o->in, f->body, LM_NAME_LIMIT, "a tensor's name", &p->name,
				    p->error);
	case RAW_DATA:
		p->raw = f->body;
		p->raws++;
		return LMODEL_OK;
	case EXTERNAL_DATA:
		return read_external(p, f->body);
	case DATA_LOCATION:
		p->external = f->value == 1;
		return f->value <= 1 ? LMODEL_OK :
		       bad(p, LMODEL_EUNSUPPORTED, "its data are in an unknown place");
	default:
		return LMODEL_OK;
	}
}

/* ---- what it is ---- */

static int check(struct proto *p)
{
	int places = (p->raws > 0) + (p->pieces > 0) + p->varints + p->texts + p->external;

	if (p->type == 0)
		return bad(p, LMODEL_ECORRUPT, "has no type");
	if (p->type >= LM_COUNT(types))
		return lm_fail(p->error, LMODEL_EUNSUPPORTED,
			       "%s: tensor %s: unknown type number %ju", p->o->label,
			       LM_QUOTE(p->name != NULL ? p->name : ""), (uintmax_t)p->type);
	p->elements = 1;
	for (unsigned i = 0; i < p->rank; i++)
		if (!lm_mul(p->elements, p->dims[i], &p->elements) || p->elements > INT64_MAX / 16)
			return bad(p, LMODEL_ECORRUPT, "its size overflows");
	if (places > 1 || p->raws > 1)
		return bad(p, LMODEL_ECORRUPT, "has its numbers twice");
	if (places == 0 && p->elements > 0)
		return bad(p, LMODEL_ECORRUPT, "has dimensions, but no numbers");
	if (p->location != NULL && !p->external)
		return bad(p, LMODEL_ECORRUPT, "names external data, and says that it has none");
	return LMODEL_OK;
}

static void count_kept(struct proto *p, bool initializer)
{
	if (p->type == TYPE_STRING || p->elements == 0 ||
	    !(initializer ? types[p->type].floating || p->elements >= FEW :
			    types[p->type].floating && p->elements >= FEW))
		return;
	p->o->kept++;
	p->o->kept_numbers += p->elements;
}

/* Elements below a byte fill bytes from the low end; the last one is padded. */
static uint64_t small_bytes(const struct proto *p)
{
	uint64_t in_byte = p->type >= 25 ? 4 : 2;

	return p->elements / in_byte + (p->elements % in_byte != 0);
}

static int add_small(struct proto *p, struct lm_onnx_tensor *t)
{
	static const char separator[] = ", ";
	char dims[LM_RANK_LIMIT * 22 + 3] = "[";
	size_t len = 1;
	int r;

	for (unsigned i = 0; i < p->rank; i++)
		len += (size_t)snprintf(dims + len, sizeof(dims) - len, "%s%" PRIu64,
					i > 0 ? separator : "", p->dims[i]);
	snprintf(dims + len, sizeof(dims) - len, "]");
	t->dtype = lm_dtype_opaque(1);
	t->rank = 1;
	t->shape[0] = small_bytes(p);
	r = lm_onnx_tell(p->o, lm_strdup(types[p->type].name, p->error), p->error, "onnx.type.%s",
			 p->name);
	return r != LMODEL_OK ? r : lm_onnx_tell(p->o, lm_strdup(dims, p->error), p->error,
						 "onnx.dims.%s", p->name);
}

static int describe(struct proto *p, struct lm_onnx_tensor *t)
{
	t->rank = p->rank;
	t->shape = calloc(p->rank + 1u, sizeof(*t->shape));
	if (t->shape == NULL)
		return lm_fail_memory(p->error);
	if (types[p->type].dtype == NULL)
		return add_small(p, t);
	if (p->rank > 0)
		memcpy(t->shape, p->dims, p->rank * sizeof(*t->shape));
	t->dtype = lm_dtype_find(types[p->type].dtype);
	return LMODEL_OK;
}

/* ---- external data ---- */

static int find_file(struct proto *p, size_t *file)
{
	struct lm_onnx *o = p->o;
	size_t low = 0, high = o->file_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(p->location, o->files[o->by_name[middle]]);

		if (order == 0) {
			*file = o->by_name[middle] + 1;
			return LMODEL_OK;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	if (o->file_count == LM_ONNX_FILES_LIMIT)
		return bad(p, LMODEL_ELIMIT, "is in the 4097th file of external data; the limit is "
			   "4096");
	memmove(o->by_name + low + 1, o->by_name + low,
		(o->file_count - low) * sizeof(*o->by_name));
	o->by_name[low] = o->file_count;
	o->files[o->file_count++] = p->location;
	p->location = NULL;
	*file = o->file_count;
	return LMODEL_OK;
}

static int place_external(struct proto *p, struct lm_onnx_tensor *t, uint64_t bytes)
{
	if (p->location == NULL || p->location[0] == '\0')
		return bad(p, LMODEL_ECORRUPT, "external data without a location");
	if (!lm_path_is_safe(p->location))
		return lm_fail(p->error, LMODEL_EUNSUPPORTED,
			       "%s: tensor %s: external data in %s, which is not in the model's own "
			       "folder", p->o->label, LM_QUOTE(p->name), LM_QUOTE(p->location));
	if (p->has_length && p->length != bytes)
		return lm_fail(p->error, LMODEL_ECORRUPT,
			       "%s: tensor %s: %ju bytes of external data for a shape of %ju",
			       p->o->label, LM_QUOTE(p->name), (uintmax_t)p->length,
			       (uintmax_t)bytes);
	t->begin = p->offset;
	return find_file(p, &t->file);
}

/* ---- in the graph ---- */

static int place_internal(struct proto *p, struct lm_onnx_tensor *t, uint64_t bytes)
{
	struct lm_wire_range range = { p->at, p->at };

	if (p->raws > 0)
		range = p->raw;
	else if (p->pieces > 0)
		range = p->numbers;
	if (range.end - range.begin != bytes)
		return lm_fail(p->error, LMODEL_ECORRUPT,
			       "%s: tensor %s: %ju bytes of data for a shape of %ju", p->o->label,
			       LM_QUOTE(p->name), (uintmax_t)(range.end - range.begin),
			       (uintmax_t)bytes);
	t->begin = range.begin;
	p->o->tensor_bytes += bytes;
	return LMODEL_OK;
}

/* Whether the numbers are bytes of a file as they are. */
static int is_plain(struct proto *p, bool *plain)
{
	bool single = p->type == TYPE_FLOAT || p->type == TYPE_C64;
	bool wide = p->type == TYPE_DOUBLE || p->type == TYPE_C128;

	if (p->pieces > 0 && !(p->numbers_field == FLOAT_DATA ? single : wide))
		return bad(p, LMODEL_ECORRUPT, "has its numbers in a field of another type");
	if (p->type == TYPE_STRING && (p->raws > 0 || p->external))
		return bad(p, LMODEL_EUNSUPPORTED, "texts that are not in string_data");
	*plain = p->type != TYPE_STRING && !p->varints && !p->texts && !p->loose && p->pieces <= 1;
	return LMODEL_OK;
}

static int add_tensor(struct proto *p)
{
	struct lm_onnx *o = p->o;
	struct lm_onnx_tensor *t;
	uint64_t bytes;
	int r;

	if (o->tensor_count == LM_TENSOR_LIMIT)
		return bad(p, LMODEL_ELIMIT, "is one of over 16777216");
	if (lm_grow(&o->tensors, o->tensor_count, &o->tensor_capacity, sizeof(*t), p->error))
		return LMODEL_EFAILED;
	t = &o->tensors[o->tensor_count];
	*t = (struct lm_onnx_tensor){ .order = o->tensor_count };
	o->tensor_count++;
	r = describe(p, t);
	if (r != LMODEL_OK)
		return r;
	if (!lm_dtype_bytes(t->dtype, t->rank, t->shape, NULL, &bytes))
		return bad(p, LMODEL_ECORRUPT, "its size overflows");
	r = p->external ? place_external(p, t, bytes) : place_internal(p, t, bytes);
	if (r == LMODEL_OK && !lm_add(t->begin, bytes, &t->end))
		r = bad(p, LMODEL_ECORRUPT, "its place overflows");
	t->name = p->name;
	p->name = NULL;
	return r;
}

int lm_onnx_read_tensor(struct lm_onnx *o, struct lm_wire_range range, bool initializer,
			struct lmodel_error *error)
{
	LM_CLEANUP(proto_free) struct proto p = { .o = o, .at = range.begin, .error = error };
	bool plain = false;
	int r = LMODEL_OK;

	while (r == LMODEL_OK && range.begin < range.end) {
		struct lm_wire_field f;

		r = lm_wire_next(&o->in, &range, &f, error);
		if (r == LMODEL_OK)
			r = read_field(&p, &f);
	}
	if (r == LMODEL_OK)
		r = check(&p);
	if (r != LMODEL_OK)
		return r;
	if (!initializer && p.external)
		return bad(&p, LMODEL_EUNSUPPORTED, "external data of a tensor in a node or a "
			   "graph within the graph");
	if (initializer && (p.name == NULL || p.name[0] == '\0'))
		return bad(&p, LMODEL_ECORRUPT, "an initializer without a name");
	if (initializer)
		r = is_plain(&p, &plain);
	if (r != LMODEL_OK)
		return r;
	if (plain)
		return add_tensor(&p);
	count_kept(&p, initializer);
	return LMODEL_OK;
}
