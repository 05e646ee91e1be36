/* Whether a skeleton and the rows of the manifest describe the same file (spec: 3.6). */
#include "archive/skeleton.h"

#include <sys/mman.h>

#include "archive/member.h"
#include "base/io.h"
#include "import/source.h"

enum { RECORD = 9, TENSORS = 17, PIECE = 1 << 16, LOOK = 4096 };

static int bad(const struct lmodel_archive *a, size_t source, const char *what,
	       struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: skeleton of %s: %s", a->label,
		       LM_QUOTE(a->manifest.sources[source].name), what);
}

/* Puts the literal into a file. Of what follows the importer looks at the first bytes alone, to
 * tell the kind of file: zeros stand for them. */
static int write_header(const struct lmodel_archive *a, struct lm_reader *reader, size_t source,
			uint64_t len, int fd, struct lmodel_error *error)
{
	size_t member = a->manifest.sources[source].skeleton;
	uint8_t piece[PIECE];
	int r = LMODEL_OK;

	for (uint64_t at = 0; at < len && r == LMODEL_OK; at += PIECE) {
		size_t n = (size_t)LM_MIN((uint64_t)PIECE, len - at);

		r = lm_reader_range(reader, member, RECORD + at, piece, n, error);
		if (r == LMODEL_OK)
			r = lm_write_all(fd, "memory file", piece, n, error);
	}
	memset(piece, 0, LOOK);
	if (r == LMODEL_OK)
		r = lm_write_all(fd, "memory file", piece, LOOK, error);
	return r;
}

/* The length of the literal, when the skeleton is a literal and a record of all tensors. */
static int read_shape(const struct lmodel_archive *a, struct lm_reader *reader, size_t source,
		      size_t tensor_count, uint64_t *len, struct lmodel_error *error)
{
	size_t member = a->manifest.sources[source].skeleton;
	uint64_t size = a->manifest.members[member].bytes, tail = tensor_count > 0 ? TENSORS : 0;
	uint8_t record[TENSORS];
	int r;

	if (size < RECORD + tail)
		return bad(a, source, "is too short", error);
	r = lm_reader_range(reader, member, 0, record, RECORD, error);
	if (r != LMODEL_OK)
		return r;
	*len = lm_get_u64(record + 1);
	if (record[0] != 1 || *len != size - RECORD - tail || *len > LM_HEADER_LIMIT + 8)
		return bad(a, source, "is not one header and the tensors", error);
	if (tail == 0)
		return LMODEL_OK;
	r = lm_reader_range(reader, member, RECORD + *len, record, TENSORS, error);
	if (r == LMODEL_OK && (record[0] != 2 || lm_get_u64(record + 9) != tensor_count))
		r = bad(a, source, "does not name all tensors", error);
	return r;
}

static bool same_tensor(const struct lm_tensor_row *row, const struct lm_source_tensor *t)
{
	return strcmp(row->name, t->name) == 0 && row->dtype == t->dtype && row->rank == t->rank &&
	       (t->rank == 0 || memcmp(row->shape, t->shape, t->rank * sizeof(*t->shape)) == 0);
}

static int compare(const struct lmodel_archive *a, size_t source, const struct lm_model *model,
		   struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	size_t tensor = 0, pair = 0;

	for (size_t i = 0; i < m->tensor_count; i++)
		if (m->tensors[i].source == source &&
		    (tensor == model->tensor_count ||
		     !same_tensor(&m->tensors[i], &model->tensors[tensor++])))
			return bad(a, source, "its header tells other tensors than the manifest",
				   error);
	if (tensor != model->tensor_count)
		return bad(a, source, "its header tells other tensors than the manifest", error);
	for (size_t i = 0; i < m->metadata_count; i++)
		if (m->metadata[i].source == source &&
		    (pair == model->metadata_count ||
		     strcmp(m->metadata[i].key, model->metadata[pair].key) != 0 ||
		     strcmp(m->metadata[i].value, model->metadata[pair++].value) != 0))
			return bad(a, source, "its header tells other metadata than the manifest",
				   error);
	if (pair != model->metadata_count)
		return bad(a, source, "its header tells other metadata than the manifest", error);
	return LMODEL_OK;
}

int lm_skeleton_check(const struct lmodel_archive *a, size_t source, struct lmodel_error *error)
{
	const struct lm_source_row *row = &a->manifest.sources[source];
	struct lmodel_error why = LMODEL_ERROR_INIT;
	struct lm_model model = { 0 };
	struct lm_reader *reader = lm_reader_new(a, error);
	size_t tensor_count = 0;
	uint64_t len = 0;
	int fd = -1, r = reader == NULL ? LMODEL_EFAILED : LMODEL_OK;

	for (size_t i = 0; i < a->manifest.tensor_count; i++)
		tensor_count += a->manifest.tensors[i].source == source;
	if (r == LMODEL_OK)
		r = read_shape(a, reader, source, tensor_count, &len, error);
	if (r == LMODEL_OK && (fd = memfd_create("lmodel-header", MFD_CLOEXEC)) < 0)
		r = lm_fail_errno(error, "memory file");
	if (r == LMODEL_OK)
		r = write_header(a, reader, source, len, fd, error);
	lm_reader_free(reader);
	if (r != LMODEL_OK) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	/* The importer takes the file, also when it fails. */
	r = lm_import_safetensors(&model, fd, row->bytes, row->name, "its header", &why);
	if (r == LMODEL_OK)
		r = compare(a, source, &model, error);
	else
		r = r == LMODEL_EFAILED ? lm_fail(error, LMODEL_EFAILED, "%s", why.message) :
					  bad(a, source, why.message, error);
	lm_model_free(&model);
	return r;
}
