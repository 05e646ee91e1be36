/* What torch.save() writes since version 1.6: a ZIP file of stored members below one directory:
 * data.pkl, the object; data/KEY, the storages; byteorder, version and others that say nothing
 * about tensors (torch/serialization.py, _save; caffe2/serialize/inline_container.cc). */
#include "import/torch.h"

#include "base/io.h"
#include "container/zip.h"

static const char object_name[] = "data.pkl";

/* The directory of all members, with its slash, as long as the name of `object` says. */
static size_t find_object(const struct lm_zip *zip, size_t *prefix_len)
{
	for (size_t i = 0; i < zip->count; i++) {
		const char *name = zip->members[i].name, *slash = strchr(name, '/');

		if (slash != NULL && strcmp(slash + 1, object_name) == 0) {
			*prefix_len = (size_t)(slash + 1 - name);
			return i;
		}
	}
	return SIZE_MAX;
}

/* One directory, and nothing that would have to be inflated: its bytes would be another file's. */
static int check_members(const struct lm_torch *t, const struct lm_zip *zip, size_t object,
			 size_t prefix_len, struct lmodel_error *error)
{
	for (size_t i = 0; i < zip->count; i++) {
		const struct lm_zip_member *m = &zip->members[i];

		if (strncmp(m->name, zip->members[object].name, prefix_len) != 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: member %s lies outside of the directory of %s",
				       t->label, LM_QUOTE(m->name),
				       LM_QUOTE(zip->members[object].name));
		if (m->method != LM_ZIP_STORED)
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "%s: member %s is compressed; PyTorch stores them",
				       t->label, LM_QUOTE(m->name));
	}
	return LMODEL_OK;
}

static char *member_name(const struct lm_zip *zip, size_t object, size_t prefix_len,
			 const char *folder, const char *name, struct lmodel_error *error)
{
	return lm_format(error, "%.*s%s%s", (int)prefix_len, zip->members[object].name, folder,
			 name);
}

static int check_byte_order(const struct lm_torch *t, const struct lm_zip *zip, size_t object,
			    size_t prefix_len, struct lmodel_error *error)
{
	LM_FREE char *name = member_name(zip, object, prefix_len, "", "byteorder", error);
	const struct lm_zip_member *m;
	char text[8] = "";
	size_t i;
	int r;

	if (name == NULL)
		return LMODEL_EFAILED;
	i = lm_zip_find(zip, name);
	if (i == SIZE_MAX)
		return LMODEL_OK;
	m = &zip->members[i];
	r = lm_read_at(zip->fd, t->label, text, (size_t)LM_MIN(m->size, sizeof(text) - 1), m->data,
		       error);
	if (r == LMODEL_OK && strcmp(text, "little") != 0)
		r = lm_fail(error, LMODEL_EUNSUPPORTED, "%s: its byte order is %s; lmodel reads "
			    "little-endian ones", t->label, LM_QUOTE(text));
	return r;
}

/* Fills in where the storages are, and where the file has CRCs of them. */
static int place_storages(struct lm_torch *t, const struct lm_zip *zip, size_t object,
			  size_t prefix_len, struct lm_torch_crc *crcs, size_t *crc_count,
			  struct lmodel_error *error)
{
	for (size_t i = 0; i < t->storage_count; i++) {
		struct lm_torch_storage *s = &t->storages[i];
		LM_FREE char *name = member_name(zip, object, prefix_len, "data/", s->key, error);
		const struct lm_zip_member *m;
		size_t index;

		if (name == NULL)
			return LMODEL_EFAILED;
		index = lm_zip_find(zip, name);
		if (index == SIZE_MAX)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: there is no member %s",
				       t->label, LM_QUOTE(name));
		m = &zip->members[index];
		if (m->size != s->bytes)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: member %s has %ju bytes, its tensors say %ju",
				       t->label, LM_QUOTE(name), (uintmax_t)m->size,
				       (uintmax_t)s->bytes);
		s->offset = m->data;
		s->found = true;
		for (unsigned k = 0; k < m->crc_places && m->size > 0; k++)
			crcs[(*crc_count)++] = (struct lm_torch_crc){ m->crc_at[k], m->data,
								      m->data + m->size };
	}
	return LMODEL_OK;
}

/* What only a hook or an attribute of some object has, which nobody sees as a tensor. */
static void tell_others(const struct lm_torch *t, const struct lm_zip *zip, size_t prefix_len)
{
	static const char folder[] = "data/";
	size_t count = 0;

	for (size_t i = 0; i < zip->count; i++)
		count += strncmp(zip->members[i].name + prefix_len, folder, sizeof(folder) - 1) == 0;
	if (count > t->storage_count && !t->model->layout_only)
		lm_notice(t->model->run,
			  "%s: %zu of its storages belong to no tensor: they are packed, and not "
			  "protected", t->label, count - t->storage_count);
}

static int read_object(struct lm_torch *t, const struct lm_zip *zip, size_t object,
		       size_t prefix_len, struct lm_window *in, struct lmodel_error *error)
{
	const struct lm_zip_member *m = &zip->members[object];
	LM_FREE struct lm_torch_crc *crcs = NULL;
	struct lm_pickle *pickle = NULL;
	size_t crc_count = 0;
	int r;

	lm_window_start(in, zip->fd, t->label, m->data, m->data + m->size);
	r = lm_pickle_read(&pickle, in, lm_torch_names, error);
	if (r != LMODEL_OK)
		return r;
	r = lm_torch_collect(t, lm_pickle_root(pickle), m->size, error);
	if (r == LMODEL_OK) {
		crcs = calloc(LM_COUNT(m->crc_at) * t->storage_count + 1, sizeof(*crcs));
		if (crcs == NULL)
			r = lm_fail_memory(error);
	}
	if (r == LMODEL_OK)
		r = place_storages(t, zip, object, prefix_len, crcs, &crc_count, error);
	if (r == LMODEL_OK)
		tell_others(t, zip, prefix_len);
	if (r == LMODEL_OK)
		r = lm_torch_place(t, crcs, crc_count, error);
	lm_pickle_free(pickle);
	return r;
}

static int read_file(struct lm_torch *t, struct lm_zip *zip, struct lm_window *in,
		     struct lmodel_error *error)
{
	size_t prefix_len = 0, object = find_object(zip, &prefix_len);
	int r;

	if (object == SIZE_MAX)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: a ZIP file with neither arrays of NumPy nor an object of "
			       "PyTorch's (%s in a directory)", t->label, object_name);
	r = check_members(t, zip, object, prefix_len, error);
	if (r == LMODEL_OK && !t->model->layout_only)
		r = lm_zip_check_stored(zip, error);
	if (r == LMODEL_OK)
		r = check_byte_order(t, zip, object, prefix_len, error);
	return r == LMODEL_OK ? read_object(t, zip, object, prefix_len, in, error) : r;
}

int lm_import_torch(struct lm_model *model, int fd, uint64_t size, const char *name,
		    const char *label, struct lmodel_error *error)
{
	const struct lm_source *source = lm_model_open_source(model, "pytorch", fd, size, name,
							      label, error);
	struct lm_torch torch = { .model = model };
	LM_FREE struct lm_window *in = NULL;
	struct lm_zip zip;
	int r;

	if (source == NULL)
		return LMODEL_EFAILED;
	in = malloc(sizeof(*in));
	if (in == NULL)
		return lm_fail_memory(error);
	torch.source = model->source_count - 1;
	torch.label = source->label;
	r = lm_zip_open(&zip, fd, size, source->label, error);
	if (r == LMODEL_OK)
		r = read_file(&torch, &zip, in, error);
	lm_zip_free(&zip);
	lm_torch_free(&torch);
	return r;
}
