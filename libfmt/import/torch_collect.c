/* From the values of a pickle to tensors. */
#include "import/torch.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	DEPTH_LIMIT = 64,        /* containers within each other */
	VISIT_LIMIT = 1 << 22,   /* values that are looked at */
	SHOWN = 256,             /* plain values that become metadata */
	TEXT_SHOWN = 65536,      /* bytes of such a text */
};

const struct lm_pickle_name lm_torch_names[] = {
	{ "collections", "OrderedDict" },
	{ "torch._utils", "_rebuild_tensor" },
	{ "torch._utils", "_rebuild_tensor_v2" },
	{ "torch._utils", "_rebuild_tensor_v3" },
	{ "torch._utils", "_rebuild_parameter" },
	{ "torch._utils", "_rebuild_parameter_with_state" },
	{ "torch._tensor", "_rebuild_from_type_v2" },
	{ "torch.nn.parameter", "Parameter" },
	{ "torch", "Tensor" },
	{ "torch", "Size" },
	{ "torch", "device" },
	{ "torch", "FloatStorage" }, { "torch", "DoubleStorage" }, { "torch", "HalfStorage" },
	{ "torch", "BFloat16Storage" }, { "torch", "LongStorage" }, { "torch", "IntStorage" },
	{ "torch", "ShortStorage" }, { "torch", "CharStorage" }, { "torch", "ByteStorage" },
	{ "torch", "BoolStorage" }, { "torch", "ComplexFloatStorage" },
	{ "torch", "ComplexDoubleStorage" },
	{ "torch", "UntypedStorage" }, { "torch.storage", "UntypedStorage" },
	{ "torch", "float32" }, { "torch", "float64" }, { "torch", "float16" },
	{ "torch", "bfloat16" }, { "torch", "int64" }, { "torch", "int32" }, { "torch", "int16" },
	{ "torch", "int8" }, { "torch", "uint8" }, { "torch", "bool" }, { "torch", "complex64" },
	{ "torch", "complex128" }, { "torch", "uint16" }, { "torch", "uint32" },
	{ "torch", "uint64" }, { "torch", "float8_e4m3fn" }, { "torch", "float8_e5m2" },
	{ "torch", "float8_e4m3fnuz" }, { "torch", "float8_e5m2fnuz" },
	{ "torch", "float8_e8m0fnu" },
	{ NULL, NULL },
};

/* Names of storages and of torch.dtype. */
static const struct { const char *torch, *dtype; } types[] = {
	{ "FloatStorage", "F32" }, { "DoubleStorage", "F64" }, { "HalfStorage", "F16" },
	{ "BFloat16Storage", "BF16" }, { "LongStorage", "I64" }, { "IntStorage", "I32" },
	{ "ShortStorage", "I16" }, { "CharStorage", "I8" }, { "ByteStorage", "U8" },
	{ "BoolStorage", "BOOL" }, { "ComplexFloatStorage", "C64" },
	{ "ComplexDoubleStorage", "V16" }, { "UntypedStorage", "U8" },
	{ "float32", "F32" }, { "float64", "F64" }, { "float16", "F16" }, { "bfloat16", "BF16" },
	{ "int64", "I64" }, { "int32", "I32" }, { "int16", "I16" }, { "int8", "I8" },
	{ "uint8", "U8" }, { "bool", "BOOL" }, { "complex64", "C64" }, { "complex128", "V16" },
	{ "uint16", "U16" }, { "uint32", "U32" }, { "uint64", "U64" },
	{ "float8_e4m3fn", "F8_E4M3" }, { "float8_e5m2", "F8_E5M2" },
	{ "float8_e4m3fnuz", "F8_E4M3FNUZ" }, { "float8_e5m2fnuz", "F8_E5M2FNUZ" },
	{ "float8_e8m0fnu", "F8_E8M0" },
};

/* A place in the tree of values. */
struct path {
	const struct path *up;
	const char *key;
	unsigned depth;
};

struct walk {
	struct lm_torch *torch;
	size_t visits, shown;
	struct lmodel_error *error;
};

static int bad(const struct walk *w, const char *what)
{
	return lm_fail(w->error, LMODEL_ECORRUPT, "%s: %s", w->torch->label, what);
}

/* ---- names ---- */

static size_t path_len(const struct path *p)
{
	size_t n = 0;

	for (; p->up != NULL; p = p->up)
		n += strlen(p->key) + (p->up->up != NULL);
	return n;
}

/* The keys with dots between; what is no container itself has no key. */
static char *path_name(const struct walk *w, const struct path *p)
{
	size_t n = path_len(p);
	char *name;

	if (p->up == NULL)
		return lm_strdup("tensor", w->error);
	if (n > LM_NAME_LIMIT) {
		lm_fail(w->error, LMODEL_ELIMIT, "%s: a name of %zu bytes; the limit is %u",
			w->torch->label, n, LM_NAME_LIMIT);
		return NULL;
	}
	name = malloc(n + 1);
	if (name == NULL) {
		lm_fail_memory(w->error);
		return NULL;
	}
	name[n] = '\0';
	for (; p->up != NULL; p = p->up) {
		n -= strlen(p->key);
		memcpy(name + n, p->key, strlen(p->key));
		if (p->up->up != NULL)
			name[--n] = '.';
	}
	return name;
}

/* ---- tensors ---- */

static const struct lm_dtype *type_of(const struct lm_pickle_value *v)
{
	if (v->kind == LM_PICKLE_GLOBAL)
		for (size_t i = 0; i < LM_COUNT(types); i++)
			if (strcmp(v->global.name, types[i].torch) == 0)
				return lm_dtype_find(types[i].dtype);
	return NULL;
}

static bool number_of(const struct lm_pickle_value *v, uint64_t *out)
{
	if (v->kind != LM_PICKLE_INT || v->wide || v->number < 0)
		return false;
	*out = (uint64_t)v->number;
	return true;
}

/* The slot of a key, or the free one where it would be (FNV-1a; linear probing). */
static size_t *slot_of(const struct lm_torch *t, const char *key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (const char *c = key; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	for (i = (size_t)h; t->slots[i & (t->slot_count - 1)] != 0; i++)
		if (strcmp(t->storages[t->slots[i & (t->slot_count - 1)] - 1].key, key) == 0)
			break;
	return &t->slots[i & (t->slot_count - 1)];
}

static int grow_slots(struct walk *w)
{
	struct lm_torch *t = w->torch;
	size_t count = t->slot_count == 0 ? 64 : 2 * t->slot_count;
	size_t *slots = calloc(count, sizeof(*slots));

	if (slots == NULL)
		return lm_fail_memory(w->error);
	free(t->slots);
	t->slots = slots;
	t->slot_count = count;
	for (size_t i = 0; i < t->storage_count; i++)
		*slot_of(t, t->storages[i].key) = i + 1;
	return LMODEL_OK;
}

/* ('storage', class, key, location, number of elements[, view]) */
static int find_storage(struct walk *w, const struct lm_pickle_value *id, size_t *index)
{
	struct lm_torch *t = w->torch;
	const struct lm_pickle_value *tuple, *key;
	struct lm_torch_storage s = { 0 };
	size_t *slot;

	if (id->kind != LM_PICKLE_PERSISTENT)
		return bad(w, "a tensor's storage is none");
	tuple = id->items.at[0];
	if (tuple->kind != LM_PICKLE_TUPLE || tuple->items.count < 5 || tuple->items.count > 6 ||
	    !lm_pickle_is_text(tuple->items.at[0], "storage"))
		return bad(w, "a persistent object is no storage");
	key = tuple->items.at[2];
	s.dtype = type_of(tuple->items.at[1]);
	if (s.dtype == NULL || (key->kind != LM_PICKLE_TEXT && key->kind != LM_PICKLE_BYTES) ||
	    key->text.len > LM_NAME_LIMIT || strlen(key->text.bytes) != key->text.len ||
	    !number_of(tuple->items.at[4], &s.elements) ||
	    !lm_mul(s.elements, s.dtype->block_bytes, &s.bytes) || s.bytes > INT64_MAX)
		return bad(w, "a storage has another class, key or size than one can have");
	if (tuple->items.count == 6 && tuple->items.at[5]->kind != LM_PICKLE_NONE)
		return lm_fail(w->error, LMODEL_EUNSUPPORTED,
			       "%s: storage %s is a view of another one", t->label,
			       LM_QUOTE(key->text.bytes));
	s.key = key->text.bytes;
	if (2 * t->storage_count >= t->slot_count && grow_slots(w) != LMODEL_OK)
		return LMODEL_EFAILED;
	slot = slot_of(t, s.key);
	if (*slot != 0) {
		*index = *slot - 1;
		return t->storages[*index].bytes == s.bytes &&
				       t->storages[*index].dtype == s.dtype ?
			       LMODEL_OK : bad(w, "a storage has two sizes or two types");
	}
	if (lm_grow(&t->storages, t->storage_count, &t->storage_capacity, sizeof(s), w->error))
		return LMODEL_EFAILED;
	t->storages[t->storage_count] = s;
	*index = t->storage_count++;
	*slot = t->storage_count;
	return LMODEL_OK;
}

static int read_dimensions(struct walk *w, const struct lm_pickle_value *sizes,
			   const struct lm_pickle_value *strides, struct lm_torch_tensor *t)
{
	if (lm_pickle_is_call(sizes, "torch", "Size") && sizes->items.at[1]->items.count == 1)
		sizes = sizes->items.at[1]->items.at[0];
	if (sizes->kind != LM_PICKLE_TUPLE || strides->kind != LM_PICKLE_TUPLE ||
	    sizes->items.count != strides->items.count)
		return bad(w, "a tensor's size and stride are no tuples of one length");
	if (sizes->items.count > LM_RANK_LIMIT)
		return lm_fail(w->error, LMODEL_ELIMIT, "%s: %zu dimensions; the limit is %u",
			       w->torch->label, sizes->items.count, LM_RANK_LIMIT);
	t->rank = (unsigned)sizes->items.count;
	t->shape = calloc(2 * t->rank + 1u, sizeof(*t->shape));
	if (t->shape == NULL)
		return lm_fail_memory(w->error);
	t->stride = t->shape + t->rank;
	for (unsigned i = 0; i < t->rank; i++)
		if (!number_of(sizes->items.at[i], &t->shape[i]) ||
		    !number_of(strides->items.at[i], &t->stride[i]))
			return bad(w, "a dimension or a stride is no number, or negative");
	return LMODEL_OK;
}

/* That all elements lie in the storage. */
static int check_extent(struct walk *w, const struct lm_torch_tensor *t)
{
	const struct lm_torch_storage *s = &w->torch->storages[t->storage];
	uint64_t last = t->begin, elements, bytes;

	if (!lm_dtype_bytes(t->dtype, t->rank, t->shape, &elements, &bytes))
		return bad(w, "a tensor's size overflows");
	if (elements == 0)
		return LMODEL_OK;
	for (unsigned i = 0; i < t->rank; i++) {
		uint64_t reach;

		if (!lm_mul(t->shape[i] - 1, t->stride[i], &reach) || !lm_add(last, reach, &last))
			return bad(w, "a tensor's strides overflow");
	}
	if (last >= s->bytes / t->dtype->block_bytes)
		return lm_fail(w->error, LMODEL_ECORRUPT,
			       "%s: tensor %s: reaches element %ju of storage %s, which has %ju "
			       "bytes", w->torch->label, LM_QUOTE(t->name), (uintmax_t)last,
			       LM_QUOTE(s->key), (uintmax_t)s->bytes);
	return LMODEL_OK;
}

static int add_tensor(struct walk *w, const struct lm_pickle_value *args, const struct path *path,
		      const struct lm_dtype *dtype)
{
	struct lm_torch *torch = w->torch;
	struct lm_torch_tensor *t;
	int r;

	if (torch->tensor_count == LM_TENSOR_LIMIT)
		return lm_fail(w->error, LMODEL_ELIMIT, "%s: over %u tensors", torch->label,
			       LM_TENSOR_LIMIT);
	if (lm_grow(&torch->tensors, torch->tensor_count, &torch->tensor_capacity, sizeof(*t),
		    w->error))
		return LMODEL_EFAILED;
	t = &torch->tensors[torch->tensor_count];
	*t = (struct lm_torch_tensor){ .name = path_name(w, path) };
	if (t->name == NULL)
		return (int)w->error->code;
	torch->tensor_count++;
	if (!number_of(args->items.at[1], &t->begin))
		return bad(w, "a tensor's place in its storage is no number");
	r = find_storage(w, args->items.at[0], &t->storage);
	if (r != LMODEL_OK)
		return r;
	t->dtype = dtype != NULL ? dtype : torch->storages[t->storage].dtype;
	r = read_dimensions(w, args->items.at[2], args->items.at[3], t);
	return r == LMODEL_OK ? check_extent(w, t) : r;
}

/* ---- the walk ---- */

static int visit(struct walk *w, const struct lm_pickle_value *v, const struct path *path);

static bool is_parameter(const struct lm_pickle_value *v)
{
	return lm_pickle_is_call(v, "torch._utils", "_rebuild_parameter") ||
	       lm_pickle_is_call(v, "torch._utils", "_rebuild_parameter_with_state");
}

/* Calls within calls add no depth to the path, but to the stack. */
static int visit_inner(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	if (is_parameter(v))
		return bad(w, "a parameter of a parameter");
	return visit(w, v, path);
}

/* Calls that make tensors, and those that wrap one. */
static int visit_call(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	const struct lm_pickle_value *args = v->items.at[1];
	size_t count = args->items.count;

	if (lm_pickle_is_call(v, "torch._utils", "_rebuild_tensor") ||
	    lm_pickle_is_call(v, "torch._utils", "_rebuild_tensor_v2"))
		return count < 4 ? bad(w, "a tensor of too few parts") :
				   add_tensor(w, args, path, NULL);
	if (lm_pickle_is_call(v, "torch._utils", "_rebuild_tensor_v3"))
		return count < 7 || type_of(args->items.at[6]) == NULL ?
			       bad(w, "a tensor of too few parts, or of no type") :
			       add_tensor(w, args, path, type_of(args->items.at[6]));
	if (is_parameter(v))
		return count < 1 ? bad(w, "a parameter of nothing") :
				   visit_inner(w, args->items.at[0], path);
	if (lm_pickle_is_call(v, "torch._tensor", "_rebuild_from_type_v2")) {
		struct lm_pickle_value *call[2], inner = { .kind = LM_PICKLE_CALL };

		if (count < 3 || args->items.at[0]->kind != LM_PICKLE_GLOBAL ||
		    args->items.at[2]->kind != LM_PICKLE_TUPLE)
			return bad(w, "a tensor of too few parts");
		call[0] = args->items.at[0];
		call[1] = args->items.at[2];
		inner.items.at = call;
		inner.items.count = 2;
		if (lm_pickle_is_call(&inner, "torch._tensor", "_rebuild_from_type_v2") ||
		    is_parameter(&inner))
			return bad(w, "a tensor within itself");
		return visit_call(w, &inner, path);
	}
	return LMODEL_OK; /* torch.Size, torch.device: no tensor */
}

static int visit_child(struct walk *w, const struct lm_pickle_value *v, const struct path *path,
		       const char *key)
{
	const struct path down = { .up = path, .key = key, .depth = path->depth + 1 };

	if (down.depth > DEPTH_LIMIT)
		return lm_fail(w->error, LMODEL_ELIMIT,
			       "%s: containers are nested over %d deep, or within themselves",
			       w->torch->label, DEPTH_LIMIT);
	return visit(w, v, &down);
}

static int visit_dict(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i + 1 < v->items.count && r == LMODEL_OK; i += 2) {
		const struct lm_pickle_value *key = v->items.at[i];
		char number[24];

		if (key->kind == LM_PICKLE_INT && !key->wide) {
			snprintf(number, sizeof(number), "%" PRId64, key->number);
			r = visit_child(w, v->items.at[i + 1], path, number);
		} else if ((key->kind == LM_PICKLE_TEXT || key->kind == LM_PICKLE_BYTES) &&
			   key->text.len <= LM_NAME_LIMIT &&
			   strlen(key->text.bytes) == key->text.len &&
			   lm_utf8_valid(key->text.bytes, key->text.len)) {
			r = visit_child(w, v->items.at[i + 1], path, key->text.bytes);
		} else {
			r = lm_fail(w->error, LMODEL_EUNSUPPORTED,
				    "%s: a key of a dict is no short text and no number",
				    w->torch->label);
		}
	}
	return r;
}

static int visit_list(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < v->items.count && r == LMODEL_OK; i++) {
		char number[24];

		snprintf(number, sizeof(number), "%zu", i);
		r = visit_child(w, v->items.at[i], path, number);
	}
	return r;
}

/* The text of a plain value, or NULL where it is none for people. */
static char *plain_text(const struct walk *w, const struct lm_pickle_value *v)
{
	switch (v->kind) {
	case LM_PICKLE_BOOL:
		return lm_strdup(v->number != 0 ? "True" : "False", w->error);
	case LM_PICKLE_INT:
		return v->wide ? NULL : lm_format(w->error, "%" PRId64, v->number);
	case LM_PICKLE_FLOAT:
		return lm_format(w->error, "%.17g", v->real);
	case LM_PICKLE_TEXT:
		if (v->text.len > TEXT_SHOWN || strlen(v->text.bytes) != v->text.len)
			return NULL;
		return lm_strdup(v->text.bytes, w->error);
	default:
		return NULL;
	}
}

static int show(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	struct lm_source_metadata *m;
	char *text;

	if (w->shown == SHOWN || path->up == NULL)
		return LMODEL_OK;
	text = plain_text(w, v);
	if (text == NULL)
		return (int)w->error->code;
	m = lm_model_add_metadata(w->torch->model, w->error);
	if (m == NULL) {
		free(text);
		return LMODEL_EFAILED;
	}
	w->shown++;
	m->source = w->torch->source;
	m->value = text;
	m->key = path_name(w, path);
	return m->key == NULL ? (int)w->error->code : LMODEL_OK;
}

static int visit(struct walk *w, const struct lm_pickle_value *v, const struct path *path)
{
	if (++w->visits > VISIT_LIMIT)
		return lm_fail(w->error, LMODEL_ELIMIT, "%s: over %d values, or one within itself",
			       w->torch->label, VISIT_LIMIT);
	switch (v->kind) {
	case LM_PICKLE_DICT: return visit_dict(w, v, path);
	case LM_PICKLE_LIST:
	case LM_PICKLE_TUPLE: return visit_list(w, v, path);
	case LM_PICKLE_CALL: return visit_call(w, v, path);
	case LM_PICKLE_PERSISTENT:
		return lm_fail(w->error, LMODEL_EUNSUPPORTED,
			       "%s: a storage that is no tensor's", w->torch->label);
	default: return show(w, v, path);
	}
}

int lm_torch_collect(struct lm_torch *torch, const struct lm_pickle_value *root,
		     struct lmodel_error *error)
{
	static const struct path top = { 0 };
	struct lmodel_error why = LMODEL_ERROR_INIT;
	struct walk w = { .torch = torch, .error = &why };
	int r = visit(&w, root, &top);

	return r == LMODEL_OK ? r : lm_fail(error, why.code, "%s", why.message);
}

struct lm_torch_storage *lm_torch_find(const struct lm_torch *torch, const char *key)
{
	size_t slot = torch->slot_count == 0 ? 0 : *slot_of(torch, key);

	return slot == 0 ? NULL : &torch->storages[slot - 1];
}

void lm_torch_free(struct lm_torch *torch)
{
	for (size_t i = 0; i < torch->tensor_count; i++) {
		free(torch->tensors[i].name);
		free(torch->tensors[i].shape);
	}
	free(torch->tensors);
	free(torch->slots);
	free(torch->storages);
}
