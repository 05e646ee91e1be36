/* npz: a ZIP file of .npy members, as np.savez() and np.savez_compressed() write it.
 *
 * A file whose members are all stored comes back as it was, but that CRCs over tensors are computed
 * anew. A deflated one comes back as a file with the same members stored: its compressed streams
 * would tell the true values. */
#include "container/zip.h"
#include "import/npy.h"
#include "import/skeleton.h"

#include "base/io.h"

static const char suffix[] = ".npy";

enum { SUFFIX = 4, CRC_SIZE = 4, LOCAL_CRC = 14 };

/* A member and what was found in it. */
struct array {
	struct lm_npy npy;
	size_t tensor;
	uint64_t at;             /* of the member's bytes in `fd` */
	int fd;
};

struct importing {
	struct lm_model *model;
	size_t source;
	struct lm_zip zip;
	struct array *arrays;
	struct lmodel_error *error;
};

static struct lm_source *source_of(const struct importing *x)
{
	return &x->model->sources[x->source];
}

/* ---- reading ---- */

/* Members to be inflated are, into a spool; an archive that is checked has none. */
static int open_members(struct importing *x)
{
	const struct lm_source *source = source_of(x);
	LM_FREE uint64_t *offset = calloc(x->zip.count + 1, sizeof(*offset));
	bool deflated = false;
	int r, spool = -1;

	if (offset == NULL)
		return lm_fail_memory(x->error);
	for (size_t i = 0; i < x->zip.count; i++)
		deflated |= x->zip.members[i].method == LM_ZIP_DEFLATED;
	if (deflated && x->model->layout_only)
		return lm_fail(x->error, LMODEL_ECORRUPT, "%s: holds compressed members",
			       source->label);
	r = x->model->layout_only ? LMODEL_OK : lm_zip_check_stored(&x->zip, x->error);
	if (r == LMODEL_OK && deflated) {
		spool = lm_model_add_spool(x->model, x->error);
		r = spool < 0 ? LMODEL_EFAILED :
				lm_zip_inflate(&x->zip, spool, offset, x->error);
	}
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++) {
		bool here = x->zip.members[i].method == LM_ZIP_STORED;

		x->arrays[i].fd = here ? source->fd : spool;
		x->arrays[i].at = here ? x->zip.members[i].data : offset[i];
	}
	if (r == LMODEL_OK && deflated)
		lm_notice(x->model->run, "%s: is compressed: --format native will give equal "
			  "arrays, stored, not the same bytes", source->label);
	return r;
}

static int read_member(struct importing *x, size_t index, int *spool, uint64_t *spool_at)
{
	const struct lm_zip_member *m = &x->zip.members[index];
	struct array *a = &x->arrays[index];
	const char *label = source_of(x)->label;
	size_t len = strlen(m->name);
	int r;

	if (len < SUFFIX || strcmp(m->name + len - SUFFIX, suffix) != 0)
		return lm_fail(x->error, LMODEL_EUNSUPPORTED, "%s: member %s is no array", label,
			       LM_QUOTE(m->name));
	r = lm_npy_read(&a->npy, a->fd, a->at, a->at + m->size, label, m->name, x->error);
	if (r != LMODEL_OK)
		return r;
	a->tensor = x->model->tensor_count;
	return lm_npy_add(x->model, &a->npy, m->name, len - SUFFIX, a->fd, a->at + a->npy.head,
			  spool, spool_at, x->error);
}

/* ---- the skeleton ---- */

/* A CRC over no tensor bytes tells nothing. */
static bool is_secret(const struct array *a)
{
	return a->npy.bytes > 0;
}

/* A place of a CRC in the central directory. */
struct cut {
	uint64_t at;
	size_t member;
};

static int by_place(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Copies the file up to `to`, which is a CRC, and goes behind that. */
static int copy_to_crc(struct importing *x, uint64_t *at, uint64_t to, size_t member)
{
	const struct lm_zip_member *m = &x->zip.members[member];
	int r;

	if (!is_secret(&x->arrays[member]))
		return LMODEL_OK;
	r = lm_skeleton_literal(source_of(x), *at, to - *at, x->error);
	*at = to + CRC_SIZE;
	return r != LMODEL_OK ? r :
	       lm_skeleton_crc(source_of(x), m->data, m->data + m->size, x->error);
}

/* All members are stored: the file as it is. */
static int copy_skeleton(struct importing *x)
{
	LM_FREE struct cut *cuts = calloc(x->zip.count + 1, sizeof(*cuts));
	struct lm_source *source = source_of(x);
	uint64_t at = 0;
	int r = LMODEL_OK;

	if (cuts == NULL)
		return lm_fail_memory(x->error);
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++) {
		const struct lm_zip_member *m = &x->zip.members[i];
		const struct array *a = &x->arrays[i];
		unsigned place = 0;

		for (; place < m->crc_places && m->crc_at[place] < m->data && r == LMODEL_OK;)
			r = copy_to_crc(x, &at, m->crc_at[place++], i);
		if (r == LMODEL_OK)
			r = lm_skeleton_literal(source, at, m->data + a->npy.head - at, x->error);
		if (r == LMODEL_OK)
			r = lm_npy_skeleton(x->model, &a->npy, a->tensor, x->error);
		at = m->data + a->npy.head + a->npy.bytes;
		for (; place + 1 < m->crc_places && r == LMODEL_OK; place++)
			r = copy_to_crc(x, &at, m->crc_at[place], i);
		cuts[i] = (struct cut){ .at = m->crc_at[m->crc_places - 1], .member = i };
	}
	qsort(cuts, x->zip.count, sizeof(*cuts), by_place);
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++)
		r = copy_to_crc(x, &at, cuts[i].at, cuts[i].member);
	return r != LMODEL_OK ? r :
	       lm_skeleton_literal(source, at, x->zip.size - at, x->error);
}

/* Bytes of a member that was inflated. */
static int put_spooled(struct importing *x, const struct array *a, uint64_t from, uint64_t len)
{
	LM_FREE uint8_t *bytes = NULL;
	int r;

	if (len > LM_LITERAL_LIMIT)
		return lm_fail(x->error, LMODEL_ELIMIT,
			       "%s: over %u bytes that belong to no tensor", source_of(x)->label,
			       LM_LITERAL_LIMIT);
	bytes = malloc((size_t)len + 1);
	if (bytes == NULL)
		return lm_fail_memory(x->error);
	r = lm_read_at(a->fd, source_of(x)->label, bytes, (size_t)len, a->at + from, x->error);
	return r != LMODEL_OK ? r :
	       lm_skeleton_bytes(source_of(x), bytes, (size_t)len, x->error);
}

/* Bytes of which the four at `at` are the CRC of a member's data. */
static int put_with_crc(struct importing *x, uint8_t *bytes, size_t len, size_t at, size_t member,
			uint64_t begin)
{
	const struct lm_zip_member *m = &x->zip.members[member];
	struct lm_source *source = source_of(x);
	int r;

	if (!is_secret(&x->arrays[member])) {
		lm_put_u32(bytes + at, m->crc);
		return lm_skeleton_bytes(source, bytes, len, x->error);
	}
	r = lm_skeleton_bytes(source, bytes, at, x->error);
	if (r == LMODEL_OK)
		r = lm_skeleton_crc(source, begin, begin + m->size, x->error);
	return r != LMODEL_OK ? r :
	       lm_skeleton_bytes(source, bytes + at + CRC_SIZE, len - at - CRC_SIZE, x->error);
}

/* Where a member's data begin in the new file, and its CRC in the new directory. */
struct moved {
	uint64_t begin, crc;
};

static int put_member(struct importing *x, struct lm_zip_layout *layout, size_t index,
		      struct moved *moved)
{
	const struct lm_zip_member *m = &x->zip.members[index];
	const struct array *a = &x->arrays[index];
	LM_FREE uint8_t *header = malloc(LM_ZIP_HEADER_MAX + strlen(m->name));
	uint64_t crc_at, behind = a->npy.head + a->npy.bytes;
	size_t len;
	int r;

	if (header == NULL)
		return lm_fail_memory(x->error);
	r = lm_zip_layout_add(layout, m->name, m->size, header, &len, &crc_at, &moved->crc,
			      x->error);
	if (r != LMODEL_OK)
		return r;
	moved->begin = layout->at - m->size;
	r = put_with_crc(x, header, len, LOCAL_CRC, index, moved->begin);
	if (r == LMODEL_OK)
		r = put_spooled(x, a, 0, a->npy.head);
	if (r == LMODEL_OK)
		r = lm_npy_skeleton(x->model, &a->npy, a->tensor, x->error);
	return r != LMODEL_OK ? r : put_spooled(x, a, behind, m->size - behind);
}

/* Members were deflated: a file with the same ones, stored. */
static int make_skeleton(struct importing *x)
{
	LM_CLEANUP(lm_zip_layout_free) struct lm_zip_layout layout = { 0 };
	LM_FREE struct moved *moved = calloc(x->zip.count + 1, sizeof(*moved));
	size_t at = 0;
	int r = LMODEL_OK;

	if (moved == NULL)
		return lm_fail_memory(x->error);
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++)
		r = put_member(x, &layout, i, &moved[i]);
	if (r == LMODEL_OK)
		r = lm_zip_layout_end(&layout, x->error);
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++) {
		size_t end = (size_t)moved[i].crc + CRC_SIZE;

		r = put_with_crc(x, layout.directory + at, end - at, (size_t)moved[i].crc - at, i,
				 moved[i].begin);
		at = end;
	}
	if (r == LMODEL_OK)
		r = lm_skeleton_bytes(source_of(x), layout.directory + at,
				      layout.directory_len - at, x->error);
	source_of(x)->size = layout.at + layout.directory_len;
	return r;
}

static int read_file(struct importing *x)
{
	const struct lm_source *source = source_of(x);
	bool deflated = false;
	uint64_t spool_at = 0;
	int r, spool = -1;

	r = lm_zip_open(&x->zip, source->fd, source->size, source->label, x->error);
	if (r != LMODEL_OK)
		return r;
	x->arrays = calloc(x->zip.count + 1, sizeof(*x->arrays));
	if (x->arrays == NULL)
		return lm_fail_memory(x->error);
	r = open_members(x);
	for (size_t i = 0; i < x->zip.count && r == LMODEL_OK; i++) {
		deflated |= x->zip.members[i].method == LM_ZIP_DEFLATED;
		r = read_member(x, i, &spool, &spool_at);
	}
	if (r != LMODEL_OK)
		return r;
	return deflated ? make_skeleton(x) : copy_skeleton(x);
}

int lm_import_npz(struct lm_model *model, int fd, uint64_t size, const char *name,
		  const char *label, struct lmodel_error *error)
{
	struct importing x = { .model = model, .zip = { .fd = -1 }, .error = error };
	int r;

	if (lm_model_open_source(model, "npz", fd, size, name, label, error) == NULL)
		return LMODEL_EFAILED;
	x.source = model->source_count - 1;
	r = read_file(&x);
	for (size_t i = 0; i < x.zip.count && x.arrays != NULL; i++)
		lm_npy_free(&x.arrays[i].npy);
	free(x.arrays);
	lm_zip_free(&x.zip);
	return r;
}
