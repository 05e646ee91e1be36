/* ONNX: a ModelProto. The tensors are the initializers of its graph whose numbers stand in a file
 * as they are; everything else, the graph with its nodes, is kept as it is. */
#include "import/onnx.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/format.h"
#include "import/skeleton.h"

enum { TEXT_LIMIT = 1 << 20, KEY_LIMIT = 32768 };

/* Messages that have tensors or metadata somewhere below them. */
enum message {
	MODEL, MAIN_GRAPH, GRAPH, NODE, ATTRIBUTE, FUNCTION, TRAINING, SPARSE, INITIALIZER, TENSOR,
	OPSET, PROPERTY,
};

static const struct part { enum message in; uint32_t number; enum message is; } parts[] = {
	{ MODEL, 7, MAIN_GRAPH }, { MODEL, 8, OPSET }, { MODEL, 14, PROPERTY },
	{ MODEL, 20, TRAINING }, { MODEL, 25, FUNCTION },
	{ MAIN_GRAPH, 1, NODE }, { MAIN_GRAPH, 5, INITIALIZER }, { MAIN_GRAPH, 15, SPARSE },
	{ GRAPH, 1, NODE }, { GRAPH, 5, TENSOR }, { GRAPH, 15, SPARSE },
	{ NODE, 5, ATTRIBUTE },
	{ ATTRIBUTE, 5, TENSOR }, { ATTRIBUTE, 6, GRAPH }, { ATTRIBUTE, 10, TENSOR },
	{ ATTRIBUTE, 11, GRAPH }, { ATTRIBUTE, 22, SPARSE }, { ATTRIBUTE, 23, SPARSE },
	{ FUNCTION, 7, NODE }, { FUNCTION, 11, ATTRIBUTE },
	{ TRAINING, 1, GRAPH }, { TRAINING, 2, GRAPH },
	{ SPARSE, 1, TENSOR }, { SPARSE, 2, TENSOR },
};

/* Texts and numbers that are told as metadata. */
static const struct value { enum message in; uint32_t number; bool text; const char *key; }
values[] = {
	{ MODEL, 1, false, "onnx.ir_version" }, { MODEL, 2, true, "onnx.producer_name" },
	{ MODEL, 3, true, "onnx.producer_version" }, { MODEL, 4, true, "onnx.domain" },
	{ MODEL, 5, false, "onnx.model_version" }, { MAIN_GRAPH, 2, true, "onnx.graph" },
};

static int wrong_type(const struct lm_onnx *o, const struct lm_wire_field *f,
		      struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: the field at %ju is of another type than ONNX "
		       "has", o->label, (uintmax_t)f->at);
}

/* ---- metadata ---- */

int lm_onnx_tell(struct lm_onnx *o, char *value, struct lmodel_error *error, const char *format,
		 ...)
{
	struct lm_source_metadata *m;
	va_list args;
	int n;

	if (value == NULL)
		return LMODEL_EFAILED;
	m = lm_model_add_metadata(o->model, error);
	if (m == NULL) {
		free(value);
		return LMODEL_EFAILED;
	}
	m->source = o->source;
	m->value = value;
	va_start(args, format);
	n = vasprintf(&m->key, format, args);
	va_end(args);
	if (n >= 0)
		return LMODEL_OK;
	m->key = NULL;
	return lm_fail_memory(error);
}

/* Long texts are told by their length. */
static int read_text(struct lm_onnx *o, const struct lm_wire_field *f, char **text,
		     struct lmodel_error *error)
{
	uint64_t len = f->body.end - f->body.begin;

	if (f->type != LM_WIRE_BYTES)
		return wrong_type(o, f, error);
	if (len <= TEXT_LIMIT)
		return lm_wire_text(&o->in, f->body, TEXT_LIMIT, "a text", text, error);
	*text = lm_format(error, "(%ju bytes)", (uintmax_t)len);
	return *text == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int read_value(struct lm_onnx *o, const struct value *value, const struct lm_wire_field *f,
		      struct lmodel_error *error)
{
	char *text = NULL;
	int r;

	if (value->text) {
		r = read_text(o, f, &text, error);
		return r != LMODEL_OK ? r : lm_onnx_tell(o, text, error, "%s", value->key);
	}
	if (f->type != LM_WIRE_VARINT)
		return wrong_type(o, f, error);
	return lm_onnx_tell(o, lm_format(error, "%" PRId64, (int64_t)f->value), error, "%s",
			    value->key);
}

/* OperatorSetIdProto: a domain, "" for ONNX's own, and a version. */
static int read_opset(struct lm_onnx *o, struct lm_wire_range range, struct lmodel_error *error)
{
	LM_FREE char *domain = NULL;
	uint64_t version = 0;
	const char *name;
	int r = LMODEL_OK;

	while (r == LMODEL_OK && range.begin < range.end) {
		struct lm_wire_field f;

		r = lm_wire_next(&o->in, &range, &f, error);
		if (r != LMODEL_OK || f.number > 2)
			continue;
		if (f.type != (f.number == 1 ? LM_WIRE_BYTES : LM_WIRE_VARINT) ||
		    (f.number == 1 && domain != NULL))
			return wrong_type(o, &f, error);
		if (f.number == 1)
			r = lm_wire_text(&o->in, f.body, KEY_LIMIT, "a domain", &domain, error);
		else
			version = f.value;
	}
	if (r != LMODEL_OK)
		return r;
	name = domain != NULL ? domain : "";
	return lm_onnx_tell(o, lm_format(error, "%" PRId64, (int64_t)version), error,
			    "onnx.opset%s%s", name[0] != '\0' ? "." : "", name);
}

/* StringStringEntryProto. */
static int read_property(struct lm_onnx *o, struct lm_wire_range range, struct lmodel_error *error)
{
	LM_FREE char *key = NULL;
	LM_FREE char *value = NULL;
	char *told;
	int r = LMODEL_OK;

	while (r == LMODEL_OK && range.begin < range.end) {
		struct lm_wire_field f;

		r = lm_wire_next(&o->in, &range, &f, error);
		if (r != LMODEL_OK || f.number > 2)
			continue;
		if (f.type != LM_WIRE_BYTES || (f.number == 1 ? key : value) != NULL)
			return wrong_type(o, &f, error);
		r = f.number == 1 ?
		    lm_wire_text(&o->in, f.body, KEY_LIMIT, "a key", &key, error) :
		    read_text(o, &f, &value, error);
	}
	if (r != LMODEL_OK)
		return r;
	told = value != NULL ? value : lm_strdup("", error);
	value = NULL;
	return lm_onnx_tell(o, told, error, "onnx.property.%s", key != NULL ? key : "");
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_keys(const struct lm_onnx *o, size_t first, struct lmodel_error *error)
{
	size_t n = o->model->metadata_count - first;
	LM_FREE const char **keys = calloc(n + 1, sizeof(*keys));

	if (keys == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		keys[i] = o->model->metadata[first + i].key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: has %s twice", o->label,
				       LM_QUOTE(keys[i]));
	return LMODEL_OK;
}

/* ---- messages ---- */

static int read_message(struct lm_onnx *o, enum message is, struct lm_wire_range range,
			struct lmodel_error *error);

/* Floats of an attribute are numbers of the graph, too. */
static void count_floats(struct lm_onnx *o, const struct lm_wire_field *f)
{
	uint64_t n = (f->body.end - f->body.begin) / 4;

	if (f->type == LM_WIRE_BYTES && n >= 64) {
		o->kept++;
		o->kept_numbers += n;
	}
}

static int read_field(struct lm_onnx *o, enum message in, const struct lm_wire_field *f,
		      struct lmodel_error *error)
{
	for (size_t i = 0; i < LM_COUNT(parts); i++) {
		if (parts[i].in != in || parts[i].number != f->number)
			continue;
		if (f->type != LM_WIRE_BYTES)
			return wrong_type(o, f, error);
		return read_message(o, parts[i].is, f->body, error);
	}
	for (size_t i = 0; i < LM_COUNT(values); i++)
		if (values[i].in == in && values[i].number == f->number)
			return read_value(o, &values[i], f, error);
	if (in == ATTRIBUTE && f->number == 7)
		count_floats(o, f);
	return LMODEL_OK;
}

static int read_fields(struct lm_onnx *o, enum message in, struct lm_wire_range range,
		       struct lmodel_error *error)
{
	int r = LMODEL_OK;

	while (r == LMODEL_OK && range.begin < range.end) {
		struct lm_wire_field f;

		r = lm_wire_next(&o->in, &range, &f, error);
		if (r == LMODEL_OK)
			r = read_field(o, in, &f, error);
		/* Long before memory is full of what the skeleton could not hold. */
		if (r == LMODEL_OK && in == MAIN_GRAPH &&
		    f.at > o->tensor_bytes && f.at - o->tensor_bytes > LM_LITERAL_LIMIT)
			r = lm_fail(error, LMODEL_ELIMIT, "%s: over %u bytes that belong to no "
				    "tensor", o->label, LM_LITERAL_LIMIT);
	}
	return r;
}

static int read_message(struct lm_onnx *o, enum message is, struct lm_wire_range range,
			struct lmodel_error *error)
{
	int r;

	switch (is) {
	case INITIALIZER:
	case TENSOR:
		return lm_onnx_read_tensor(o, range, is == INITIALIZER, error);
	case OPSET:
		return read_opset(o, range, error);
	case PROPERTY:
		return read_property(o, range, error);
	case MAIN_GRAPH:
		if (o->graphs++ > 0)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: has two graphs", o->label);
		break;
	default:
		break;
	}
	if (o->depth == LM_WIRE_DEPTH)
		return lm_fail(error, LMODEL_ELIMIT, "%s: messages are nested over %u deep",
			       o->label, LM_WIRE_DEPTH);
	o->depth++;
	r = read_fields(o, is, range, error);
	o->depth--;
	return r;
}

static int read_model(struct lm_onnx *o, uint64_t size, struct lmodel_error *error)
{
	size_t first = o->model->metadata_count;
	int r;

	o->files = calloc(LM_ONNX_FILES_LIMIT, sizeof(*o->files));
	o->by_name = calloc(LM_ONNX_FILES_LIMIT + 1, sizeof(*o->by_name));
	if (o->files == NULL || o->by_name == NULL)
		return lm_fail_memory(error);
	r = read_message(o, MODEL, (struct lm_wire_range){ 0, size }, error);
	if (r == LMODEL_OK && o->graphs == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: has no graph", o->label);
	if (r == LMODEL_OK)
		r = check_keys(o, first, error);
	if (r == LMODEL_OK)
		r = lm_onnx_place(o, error);
	if (r == LMODEL_OK && o->kept > 0)
		lm_notice(o->model->run, "%s: %ju numbers in %ju tensors that are no plain "
			  "initializers are kept with the graph: they cannot be protected",
			  o->label, (uintmax_t)o->kept_numbers, (uintmax_t)o->kept);
	return r;
}

static void onnx_free(struct lm_onnx **onnx)
{
	struct lm_onnx *o = *onnx;

	if (o == NULL)
		return;
	for (size_t i = 0; i < o->tensor_count; i++) {
		free(o->tensors[i].name);
		free(o->tensors[i].shape);
	}
	for (size_t i = 0; i < o->file_count; i++)
		free(o->files[i]);
	free(o->tensors);
	free(o->files);
	free(o->by_name);
	free(o);
}

int lm_import_onnx(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error)
{
	const struct lm_source *source = lm_model_open_source(model, LM_FORMAT_ONNX, fd, size, name, label,
							      error);
	LM_CLEANUP(onnx_free) struct lm_onnx *o = calloc(1, sizeof(*o));

	if (source == NULL)
		return LMODEL_EFAILED;
	if (o == NULL)
		return lm_fail_memory(error);
	o->model = model;
	o->source = model->source_count - 1;
	o->label = source->label;
	lm_wire_start(&o->in, fd, o->label, size);
	return read_model(o, size, error);
}

/* ---- telling the kind ---- */

bool lm_onnx_is_like(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	/* By the numbers of ModelProto's fields that others write first. */
	static const enum lm_wire_type types[] = {
		[1] = LM_WIRE_VARINT, [2] = LM_WIRE_BYTES, [3] = LM_WIRE_BYTES, [4] = LM_WIRE_BYTES,
		[5] = LM_WIRE_VARINT, [6] = LM_WIRE_BYTES, [7] = LM_WIRE_BYTES, [8] = LM_WIRE_BYTES,
	};
	struct lm_wire_range range = { 0, size };
	LM_FREE struct lm_wire *in = malloc(sizeof(*in));
	bool told = false;

	if (in == NULL || head_len < 2 || head[0] != 0x08 || head[1] == 0 || head[1] > 0x7f)
		return false;
	lm_wire_start(in, fd, "", size);
	while (range.begin < range.end && !told) {
		struct lm_wire_field f;
		int r = lm_wire_next(in, &range, &f, NULL);

		if (f.number == 0 || f.number >= LM_COUNT(types) || f.type != types[f.number])
			return false;
		told = f.number == 7 || (f.number == 2 && r != LMODEL_OK);
		if (r != LMODEL_OK)
			break; /* cut short: the importer says so */
	}
	return told;
}
