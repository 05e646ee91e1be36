/* lmodel_cat(): one tensor to a stream. */
#include <lmodel/extract.h>

#include "archive/scan.h"
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

int lmodel_cat(struct lmodel_archive *archive, const struct lmodel_tensor *tensor, int fd, bool raw,
	       const struct lmodel_run *run, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	size_t index = lm_archive_tensor_index(archive, tensor);
	const struct lm_tensor_row *row;
	struct lm_scan_item item = { 0 };
	struct lm_scan scan = {
		.archive = archive, .items = &item, .item_count = 1, .emit = put, .context = &fd,
	};
	int r = LMODEL_OK;

	error = error != NULL ? error : &local;
	if (index == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "tensor of another archive");
	row = &archive->manifest.tensors[index];
	if (!raw) {
		LM_FREE uint8_t *header = NULL;
		size_t len;

		r = lm_export_npy(row->dtype, row->rank, row->shape, &header, &len, error);
		if (r == LMODEL_OK)
			r = lm_write_all(fd, label_of(fd), header, len, error);
	}
	item.member = lm_manifest_member_of(&archive->manifest, index);
	item.len = row->bytes;
	if (r == LMODEL_OK)
		r = lm_scan_run(&scan, run, error);
	return r;
}
