/* lmodel_cat(): one tensor to a stream. */
#include <lmodel/extract.h>

#include "archive/scan.h"
#include "archive/shard.h"
#include "base/io.h"
#include "export/export.h"

static const char *label_of(int fd)
{
	return fd == STDOUT_FILENO ? "standard output" : "output";
}

static int put(void *context, const struct lm_scan_piece *piece, struct lmodel_error *error)
{
	int fd = *(const int *)context;

	return lm_write_all(fd, label_of(fd), piece->bytes, piece->len, error);
}

/* The tensor at the tier in force, through a temporary file without a name. */
static int cat_patched(struct lmodel_archive *a, size_t tensor, const struct lm_scan *scan, int fd,
		       const struct lmodel_run *run, struct lmodel_error *error)
{
	LM_CLOSE int spool = -1;
	struct lm_scan to_spool = *scan;
	int r = lm_unnamed_file(NULL, &spool, error);

	to_spool.context = &spool;
	if (r == LMODEL_OK)
		r = lm_scan_run(&to_spool, run, error);
	if (r == LMODEL_OK)
		r = lm_patch_file(a, tensor, spool, "temporary file", 0, error);
	if (r == LMODEL_OK)
		r = lm_copy_out(spool, "temporary file", fd, label_of(fd), error);
	return r;
}

int lmodel_cat(struct lmodel_archive *archive, const struct lmodel_tensor *tensor, int fd, bool raw,
	       const struct lmodel_run *run, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	size_t index = lm_archive_tensor_index(archive, tensor);
	LM_FREE uint8_t *header = NULL;
	size_t header_len = 0;
	const struct lm_tensor_row *row;
	struct lm_scan_item item = { 0 };
	struct lm_scan scan = {
		.archive = archive, .items = &item, .item_count = 1, .emit = put, .context = &fd,
	};
	int r;

	error = error != NULL ? error : &local;
	if (index == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "tensor of another archive");
	row = &archive->manifest.tensors[index];
	item.member = lm_manifest_member_of(&archive->manifest, index);
	item.len = row->bytes;
	r = lm_archive_check_level(archive, error);
	if (r == LMODEL_OK && !raw)
		r = lm_export_npy(row->dtype, row->rank, row->shape, &header, &header_len, error);
	if (r == LMODEL_OK)
		r = lm_write_all(fd, label_of(fd), header, header_len, error);
	if (r != LMODEL_OK)
		return r;
	if (archive->level == 0)
		return lm_scan_run(&scan, run, error);
	return cat_patched(archive, lm_manifest_original(&archive->manifest, index), &scan, fd, run,
			   error);
}
