/* npz: .npy members in a ZIP file, stored, as np.savez() writes them. */
#include "export/export.h"

#include "container/zip.h"

static const char suffix[] = ".npy";

/* What grows while members are laid out. */
struct layout {
	struct lm_zip_layout zip;
	uint8_t *bytes;
	size_t len, capacity;
	struct lm_export_piece *pieces;
	size_t piece_count;
	struct lm_export_crc *crcs;
	size_t crc_count;
};

static void layout_free(struct layout *l)
{
	lm_zip_layout_free(&l->zip);
	free(l->bytes);
	free(l->pieces);
	free(l->crcs);
}

static int put(struct layout *l, const void *bytes, size_t len, struct lmodel_error *error)
{
	if (len > l->capacity - l->len) {
		size_t wanted = l->len + l->len / 2 + len + 4096;
		uint8_t *grown = realloc(l->bytes, wanted);

		if (grown == NULL)
			return lm_fail_memory(error);
		l->bytes = grown;
		l->capacity = wanted;
	}
	memcpy(l->bytes + l->len, bytes, len);
	l->len += len;
	return LMODEL_OK;
}

/* A name that is a path out of the directory where somebody may unpack the file. */
static bool leads_out(const char *name)
{
	if (name[0] == '/')
		return true;
	for (;;) {
		size_t n = strcspn(name, "/");

		if (n == 2 && memcmp(name, "..", 2) == 0)
			return true;
		if (name[n] == '\0')
			return false;
		name += n + 1;
	}
}

static int put_tensor(struct layout *l, struct lm_export_tensor *t, struct lmodel_error *error)
{
	LM_FREE char *name = lm_format(error, "%s%s", t->name, suffix);
	LM_FREE uint8_t *header = NULL;
	LM_FREE uint8_t *array = NULL;
	struct lm_export_crc *crc = &l->crcs[l->crc_count];
	size_t len, array_len = 0;
	uint64_t begin = l->zip.at, size = 0;
	int r;

	if (name == NULL)
		return LMODEL_EFAILED;
	if (leads_out(name))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "tensor %s: an npz cannot have a member of that name",
			       LM_QUOTE(t->name));
	header = malloc(LM_ZIP_HEADER_MAX + strlen(name));
	if (header == NULL)
		return lm_fail_memory(error);
	r = lm_export_npy_as(t, &array, &array_len, error);
	if (r != LMODEL_OK)
		return r;
	if (!lm_add(array_len, t->bytes, &size))
		return lm_fail(error, LMODEL_ELIMIT, "tensor %s would end beyond any file",
			       LM_QUOTE(t->name));
	r = lm_zip_layout_add(&l->zip, name, size, header, &len, &crc[0].to, &crc[1].to, error);
	if (r == LMODEL_OK)
		r = put(l, header, len, error);
	if (r == LMODEL_OK)
		r = put(l, array, array_len, error);
	if (r != LMODEL_OK)
		return r;
	t->offset = begin + len + array_len;
	crc[0].begin = crc[1].begin = begin + len;
	crc[0].end = crc[1].end = l->zip.at;
	l->crc_count += 2;
	l->pieces[l->piece_count++] =
		(struct lm_export_piece){ .to = begin, .len = len + array_len };
	return LMODEL_OK;
}

int lm_export_npz(struct lm_export_tensor *tensors, size_t count, struct lm_export_layout *out,
		  struct lmodel_error *error)
{
	LM_CLEANUP(layout_free) struct layout l = { .zip = { .at = 0 } };
	int r = LMODEL_OK;

	l.pieces = calloc(count + 1, sizeof(*l.pieces));
	l.crcs = calloc(2 * count + 1, sizeof(*l.crcs));
	if (l.pieces == NULL || l.crcs == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = put_tensor(&l, &tensors[i], error);
	if (r == LMODEL_OK)
		r = lm_zip_layout_end(&l.zip, error);
	if (r == LMODEL_OK)
		r = put(&l, l.zip.directory, l.zip.directory_len, error);
	if (r != LMODEL_OK)
		return r;
	l.pieces[l.piece_count++] =
		(struct lm_export_piece){ .to = l.zip.at, .len = l.zip.directory_len };
	for (size_t i = 1; i < l.crc_count; i += 2)
		l.crcs[i].to += l.zip.at;
	*out = (struct lm_export_layout){
		.bytes = l.bytes, .len = l.len, .pieces = l.pieces, .piece_count = l.piece_count,
		.crcs = l.crcs, .crc_count = l.crc_count, .size = l.zip.at + l.zip.directory_len,
	};
	l.bytes = NULL;
	l.pieces = NULL;
	l.crcs = NULL;
	return LMODEL_OK;
}
