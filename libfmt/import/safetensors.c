/* safetensors: u64 length of the header, the header (JSON), the tensors' bytes without holes.
 * What the format's reference reader refuses is refused here (but for -0, which is 0), and some
 * things more: unknown fields of a tensor, and duplicate names, of which it takes the last. */
#include "import/kind.h"
#include "import/source.h"

#include "base/io.h"
#include "base/json.h"

enum { PREFIX = 8 }; /* the header's length, before the header */

static const char metadata_key[] = "__metadata__";

/* Objects in the header's object, arrays in these: three levels. */
static const struct lm_json_limits limits = { .depth = 3, .containers = SIZE_MAX };

struct reader {
	struct lm_model *model;
	size_t source;       /* index of this file in the model */
	const char *label;
	uint64_t data_start; /* of the tensors' bytes in the file */
	uint64_t data_size;
};

/* One tensor of the header, before it is looked at closely. */
struct entry {
	const char *name;
	json_t *value;
	uint64_t begin, end; /* data_offsets */
	size_t order;        /* in the header */
};

static int check_size(int fd, uint64_t size, const char *label, uint64_t *header_len,
		      struct lmodel_error *error)
{
	uint8_t head[LM_KIND_HEAD];
	size_t head_len;
	uint64_t n;
	int r;

	if (size == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is empty", label);
	r = lm_kind_head(fd, size, label, head, &head_len, error);
	if (r != LMODEL_OK)
		return r;
	if (lm_kind_is_lfs_pointer(head, head_len))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: is a Git LFS pointer, not the model: fetch it with "
			       "`git lfs pull`", label);
	if (size < PREFIX + 2)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: truncated: %ju bytes are no safetensors file", label,
			       (uintmax_t)size);
	n = lm_get_u64(head);
	if (n > size - PREFIX && n > LM_HEADER_LIMIT && head[PREFIX] != '{')
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: starts like none of the inputs that are known (safetensors, GGUF, "
			       "npy, npz, PyTorch, ONNX)", label);
	if (n > size - PREFIX)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: not safetensors, or truncated: header length %ju, but the file "
			       "has %ju bytes", label, (uintmax_t)n, (uintmax_t)size);
	if (n > LM_HEADER_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: header length %ju; the limit is %u",
			       label, (uintmax_t)n, LM_HEADER_LIMIT);
	if (n < 2)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: header length %ju holds no JSON",
			       label, (uintmax_t)n);
	*header_len = n;
	return LMODEL_OK;
}

/* Makes the skeleton (spec: 3.6): the file's first bytes as they are, then a run of tensors
 * that finish_skeleton() fills in. The header is parsed where it lies in there. */
enum { LITERAL_HEAD = 1 + 8, RANGE_LEN = 1 + 8 + 8 };

static int start_skeleton(struct lm_source *source, uint64_t header_len,
			  struct lmodel_error *error)
{
	size_t n = (size_t)(PREFIX + header_len);

	source->skeleton = malloc(LITERAL_HEAD + n + RANGE_LEN);
	if (source->skeleton == NULL)
		return lm_fail_memory(error);
	source->skeleton[0] = 0x01;
	lm_put_u64(source->skeleton + 1, n);
	source->skeleton_len = LITERAL_HEAD + n;
	return lm_read_at(source->fd, source->label, source->skeleton + LITERAL_HEAD, n, 0, error);
}

static void finish_skeleton(struct lm_source *source, size_t first, size_t count)
{
	uint8_t *range = source->skeleton + source->skeleton_len;

	if (count == 0)
		return;
	range[0] = 0x02;
	lm_put_u64(range + 1, first);
	lm_put_u64(range + 9, count);
	source->skeleton_len += RANGE_LEN;
}

static int read_metadata(const struct reader *reader, json_t *metadata,
			 struct lmodel_error *error)
{
	const char *key;
	json_t *value;

	if (!json_is_object(metadata))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: %s is %s, not an object",
			       reader->label, metadata_key, lm_json_kind(metadata));
	json_object_foreach(metadata, key, value) {
		struct lm_source_metadata *m;

		if (!json_is_string(value))
			return lm_fail(error, LMODEL_ECORRUPT, "%s: %s: value of %s is %s, not a "
				       "string", reader->label, metadata_key, LM_QUOTE(key),
				       lm_json_kind(value));
		m = lm_model_add_metadata(reader->model, error);
		if (m == NULL)
			return LMODEL_EFAILED;
		m->source = reader->source;
		m->key = lm_strdup(key, error);
		m->value = lm_strdup(json_string_value(value), error);
		if (m->key == NULL || m->value == NULL)
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

/* The name and the place, which is what the order of the tensors needs. */
static int read_entry(const struct reader *reader, struct entry *entry,
		      struct lmodel_error *error)
{
	json_t *offsets = json_object_get(entry->value, "data_offsets");
	size_t name_len = strlen(entry->name);

	if (name_len > LM_NAME_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: tensor %s: name of %zu bytes; the limit is %u", reader->label,
			       LM_QUOTE(entry->name), name_len, LM_NAME_LIMIT);
	if (!json_is_object(entry->value))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: is %s, not an object",
			       reader->label, LM_QUOTE(entry->name), lm_json_kind(entry->value));
	if (offsets == NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: data_offsets is missing",
			       reader->label, LM_QUOTE(entry->name));
	if (json_array_size(offsets) != 2 ||
	    !lm_json_u64(json_array_get(offsets, 0), &entry->begin) ||
	    !lm_json_u64(json_array_get(offsets, 1), &entry->end))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: data_offsets is not an array of two non-negative "
			       "integers", reader->label, LM_QUOTE(entry->name));
	if (entry->begin > entry->end)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: data_offsets begin at %ju and end before, at %ju",
			       reader->label, LM_QUOTE(entry->name), (uintmax_t)entry->begin,
			       (uintmax_t)entry->end);
	if (entry->end > reader->data_size)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: data_offsets end at %ju, but the file has %ju bytes "
			       "of data", reader->label, LM_QUOTE(entry->name),
			       (uintmax_t)entry->end, (uintmax_t)reader->data_size);
	return LMODEL_OK;
}

static int read_shape(const struct reader *reader, const struct entry *entry,
		      struct lm_source_tensor *tensor, struct lmodel_error *error)
{
	json_t *shape = json_object_get(entry->value, "shape");
	size_t rank = json_array_size(shape);

	if (!json_is_array(shape))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: shape is %s%s",
			       reader->label, LM_QUOTE(entry->name), lm_json_kind(shape),
			       shape == NULL ? "" : ", not an array");
	if (rank > LM_RANK_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: tensor %s: %zu dimensions; the limit is %u", reader->label,
			       LM_QUOTE(entry->name), rank, LM_RANK_LIMIT);
	tensor->rank = (unsigned)rank;
	tensor->shape = calloc(rank + 1, sizeof(*tensor->shape));
	if (tensor->shape == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < rank; i++) {
		const json_t *item = json_array_get(shape, i);

		if (lm_json_u64(item, &tensor->shape[i]))
			continue;
		if (json_is_integer(item))
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: dimension %zu is negative: %lld",
				       reader->label, LM_QUOTE(entry->name), i,
				       (long long)json_integer_value(item));
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: dimension %zu is %s, not an integer", reader->label,
			       LM_QUOTE(entry->name), i, lm_json_kind(item));
	}
	return LMODEL_OK;
}

static int read_dtype(const struct reader *reader, const struct entry *entry,
		      struct lm_source_tensor *tensor, struct lmodel_error *error)
{
	json_t *dtype = json_object_get(entry->value, "dtype");

	if (!json_is_string(dtype))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: dtype is %s%s",
			       reader->label, LM_QUOTE(entry->name), lm_json_kind(dtype),
			       dtype == NULL ? "" : ", not a string");
	tensor->dtype = lm_dtype_find(json_string_value(dtype));
	if (tensor->dtype == NULL || !lm_dtype_in_safetensors(tensor->dtype))
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: tensor %s: unknown dtype %s",
			       reader->label, LM_QUOTE(entry->name),
			       LM_QUOTE(json_string_value(dtype)));
	return LMODEL_OK;
}

/* A field that a later version of the format may give meaning to must not be lost on the way
 * into other layouts. To be called when the three known fields are there. */
static int check_fields(const struct reader *reader, const struct entry *entry,
			struct lmodel_error *error)
{
	const char *key;
	json_t *value;

	if (json_object_size(entry->value) == 3)
		return LMODEL_OK;
	json_object_foreach(entry->value, key, value)
		if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 &&
		    strcmp(key, "data_offsets") != 0)
			break;
	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: unknown field %s", reader->label,
		       LM_QUOTE(entry->name), LM_QUOTE(key != NULL ? key : ""));
}

static int check_bytes(const struct reader *reader, const struct entry *entry,
		       struct lm_source_tensor *tensor, struct lmodel_error *error)
{
	uint64_t elements, bytes = entry->end - entry->begin;

	if (!lm_dtype_bytes(tensor->dtype, tensor->rank, tensor->shape, NULL, &tensor->bytes)) {
		bool counted = lm_dtype_bytes(lm_dtype_find("U8"), tensor->rank, tensor->shape,
					      NULL, &elements);

		if (counted && elements <= INT64_MAX / 8 && tensor->dtype->bits % 8 != 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: %ju elements of %s are no whole number of "
				       "bytes", reader->label, LM_QUOTE(entry->name),
				       (uintmax_t)elements, tensor->dtype->name);
		return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s: the shape overflows",
			       reader->label, LM_QUOTE(entry->name));
	}
	if (tensor->bytes != bytes)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: dtype and shape need %ju bytes, data_offsets give "
			       "%ju", reader->label, LM_QUOTE(entry->name),
			       (uintmax_t)tensor->bytes, (uintmax_t)bytes);
	tensor->offset = reader->data_start + entry->begin;
	return LMODEL_OK;
}

static int read_tensor(const struct reader *reader, const struct entry *entry,
		       struct lmodel_error *error)
{
	struct lm_source_tensor *tensor = lm_model_add_tensor(reader->model, error);
	int r;

	if (tensor == NULL)
		return LMODEL_EFAILED;
	tensor->source = reader->source;
	tensor->name = lm_strdup(entry->name, error);
	if (tensor->name == NULL)
		return LMODEL_EFAILED;
	r = read_shape(reader, entry, tensor, error);
	if (r == LMODEL_OK)
		r = read_dtype(reader, entry, tensor, error);
	if (r == LMODEL_OK)
		r = check_fields(reader, entry, error);
	if (r == LMODEL_OK)
		r = check_bytes(reader, entry, tensor, error);
	return r;
}

/* In the order of the data; an empty tensor keeps its place among others at the same offset. */
static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int read_tensors(const struct reader *reader, const struct entry *entries, size_t count,
			struct lmodel_error *error)
{
	uint64_t cursor = 0;

	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];
		int r;

		if (entry->begin < cursor)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: begins at %ju of the data, but tensor %s "
				       "ends at %ju: they overlap", reader->label,
				       LM_QUOTE(entry->name), (uintmax_t)entry->begin,
				       LM_QUOTE(entries[i - 1].name), (uintmax_t)cursor);
		if (entry->begin > cursor)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: %ju bytes before it, from %ju of the data, "
				       "belong to no tensor", reader->label, LM_QUOTE(entry->name),
				       (uintmax_t)(entry->begin - cursor), (uintmax_t)cursor);
		r = read_tensor(reader, entry, error);
		if (r != LMODEL_OK)
			return r;
		cursor = entry->end;
	}
	if (cursor != reader->data_size)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: the last %ju bytes belong to no tensor", reader->label,
			       (uintmax_t)(reader->data_size - cursor));
	return LMODEL_OK;
}

static int read_header(const struct reader *reader, json_t *root, struct lmodel_error *error)
{
	LM_FREE struct entry *entries = calloc(json_object_size(root) + 1, sizeof(*entries));
	const char *name;
	json_t *value;
	size_t n = 0;
	int r;

	if (entries == NULL)
		return lm_fail_memory(error);
	json_object_foreach(root, name, value) {
		if (strcmp(name, metadata_key) == 0) {
			r = read_metadata(reader, value, error);
		} else {
			entries[n] = (struct entry){ .name = name, .value = value, .order = n };
			r = read_entry(reader, &entries[n++], error);
		}
		if (r != LMODEL_OK)
			return r;
	}
	qsort(entries, n, sizeof(*entries), compare_entries);
	return read_tensors(reader, entries, n, error);
}

static int read_file(struct lm_model *model, size_t index, struct lmodel_error *error)
{
	struct lm_source *source = &model->sources[index];
	struct reader reader = { .model = model, .source = index, .label = source->label };
	size_t first = model->tensor_count;
	json_t *root = NULL;
	uint64_t header_len = 0;
	const char *header;
	int r;

	r = check_size(source->fd, source->size, source->label, &header_len, error);
	if (r == LMODEL_OK)
		r = start_skeleton(source, header_len, error);
	if (r != LMODEL_OK)
		return r;
	reader.data_start = PREFIX + header_len;
	reader.data_size = source->size - reader.data_start;
	header = (const char *)source->skeleton + LITERAL_HEAD + PREFIX;
	if (header[0] != '{' && header[0] != '\xef') /* a byte order mark has a better message */
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: byte %d: the header starts with 0x%02X, not with '{'",
			       source->label, PREFIX, (uint8_t)header[0]);
	r = lm_json_parse(header, (size_t)header_len, PREFIX, source->label, &limits, &root, error);
	if (r != LMODEL_OK)
		return r;
	r = read_header(&reader, root, error);
	json_decref(root);
	if (r == LMODEL_OK)
		finish_skeleton(source, first, model->tensor_count - first);
	return r;
}

int lm_import_safetensors(struct lm_model *model, int fd, uint64_t size, const char *name,
			  const char *label, struct lmodel_error *error)
{
	if (lm_model_open_source(model, "safetensors", fd, size, name, label, error) == NULL)
		return LMODEL_EFAILED;
	return read_file(model, model->source_count - 1, error);
}
