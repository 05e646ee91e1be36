/* What torch.save() wrote before version 1.6, and most published older models: pickles one behind
 * the other (a number, the protocol, the system, the object, the keys of its storages), then each
 * storage: its number of elements and their bytes (torch/serialization.py, _legacy_save). */
#include "import/torch.h"

enum { PROTOCOL = 1001 };

/* 0x1950a86a20f9469cfc6c as a LONG1, and the pickle around it. */
static const uint8_t magic[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8,
				 0x50, 0x19, '.' };

bool lm_torch_is_legacy(const uint8_t *head, size_t head_len)
{
	return head_len >= sizeof(magic) && memcmp(head, magic, sizeof(magic)) == 0;
}

static int bad(const struct lm_torch *t, const char *what, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: %s", t->label, what);
}

/* The pickles before the object. */
static int read_start(const struct lm_torch *t, struct lm_window *in, struct lmodel_error *error)
{
	static const struct lm_pickle_name none = { NULL, NULL };
	struct lm_pickle *pickle = NULL;
	const struct lm_pickle_value *v;
	int r;

	for (int i = 0; i < 3; i++) {
		r = lm_pickle_read(&pickle, in, &none, error);
		if (r != LMODEL_OK)
			return r;
		v = lm_pickle_root(pickle);
		if (i == 1 && (v->kind != LM_PICKLE_INT || v->wide || v->number != PROTOCOL))
			r = lm_fail(error, LMODEL_EUNSUPPORTED,
				    "%s: another protocol than %d of PyTorch's older form",
				    t->label, PROTOCOL);
		if (i == 2 && v->kind == LM_PICKLE_DICT) {
			const struct lm_pickle_value *little = lm_pickle_find(v, "little_endian");

			if (little != NULL && little->kind == LM_PICKLE_BOOL && little->number == 0)
				r = lm_fail(error, LMODEL_EUNSUPPORTED,
					    "%s: saved on a big-endian machine", t->label);
		}
		lm_pickle_free(pickle);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* Storages stand in the order of the list of their keys. The list may have more than tensors use:
 * what lies in a storage that no tensor names can't be told, nor where the next begins. */
static int place_storages(struct lm_torch *t, struct lm_window *in,
			  const struct lm_pickle_value *keys, struct lmodel_error *error)
{
	if (keys->kind != LM_PICKLE_LIST)
		return bad(t, "the keys of the storages are no list", error);
	if (keys->items.count != t->storage_count)
		return bad(t, "the list of storages is not that of the tensors' storages", error);
	for (size_t i = 0; i < keys->items.count; i++) {
		const struct lm_pickle_value *key = keys->items.at[i];
		struct lm_torch_storage *s = NULL;
		uint8_t count[8];
		int r;

		if (key->kind == LM_PICKLE_TEXT || key->kind == LM_PICKLE_BYTES)
			s = lm_torch_find(t, key->text.bytes);

		if (s == NULL || s->found)
			return bad(t, "a storage stands there twice, or is no tensor's", error);
		/* The limit on headers is none on storages. */
		lm_window_start(in, in->fd, in->label, in->at, in->size);
		r = lm_window_take(in, count, sizeof(count), error);
		if (r != LMODEL_OK)
			return r;
		if (lm_get_u64(count) != s->elements)
			return bad(t, "a storage has another number of elements than its tensors "
				   "say", error);
		if (s->bytes > in->size - in->at)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: truncated: storage %s has %ju bytes at %ju, the file "
				       "has %ju", t->label, LM_QUOTE(s->key), (uintmax_t)s->bytes,
				       (uintmax_t)in->at, (uintmax_t)in->size);
		s->offset = in->at;
		s->found = true;
		in->at += s->bytes;
	}
	if (in->at != in->size)
		return bad(t, "there is more behind the last storage", error);
	return LMODEL_OK;
}

static int read_file(struct lm_torch *t, struct lm_window *in, struct lmodel_error *error)
{
	static const struct lm_pickle_name none = { NULL, NULL };
	struct lm_pickle *object = NULL, *keys = NULL;
	int r = read_start(t, in, error);
	uint64_t begin = in->at;

	if (r == LMODEL_OK)
		r = lm_pickle_read(&object, in, lm_torch_names, error);
	if (r == LMODEL_OK)
		r = lm_torch_collect(t, lm_pickle_root(object), in->at - begin, error);
	if (r == LMODEL_OK)
		r = lm_pickle_read(&keys, in, &none, error);
	if (r == LMODEL_OK)
		r = place_storages(t, in, lm_pickle_root(keys), error);
	if (r == LMODEL_OK)
		r = lm_torch_place(t, NULL, 0, error);
	lm_pickle_free(keys);
	lm_pickle_free(object);
	return r;
}

int lm_import_torch_legacy(struct lm_model *model, int fd, uint64_t size, const char *name,
			   const char *label, struct lmodel_error *error)
{
	const struct lm_source *source = lm_model_open_source(model, "pytorch-legacy", fd, size,
							      name, label, error);
	struct lm_torch torch = { .model = model };
	LM_FREE struct lm_window *in = NULL;
	int r;

	if (source == NULL)
		return LMODEL_EFAILED;
	in = malloc(sizeof(*in));
	if (in == NULL)
		return lm_fail_memory(error);
	torch.source = model->source_count - 1;
	torch.label = source->label;
	lm_window_start(in, fd, source->label, 0, size);
	r = read_file(&torch, in, error);
	lm_torch_free(&torch);
	return r;
}
