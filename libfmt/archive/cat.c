/* lmodel_cat(): one tensor to a stream. */
#include <lmodel/extract.h>

#include "archive/overlay.h"
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

/* The tensor at the tier in force, through a temporary file without a name: nothing of it goes out
 * before all that its shards hold has proven to be what was packed. */
struct patching {
	const struct lmodel_archive *archive;
	struct lm_overlay *overlay; /* NULL: true values come when all is in the file */
	size_t tensor;
	int spool;
};

static int patch_piece(void *context, unsigned worker, const struct lm_scan_piece *piece,
		       struct lmodel_error *error)
{
	const struct patching *p = context;

	(void)worker;
	return p->overlay == NULL ? LMODEL_OK :
				    lm_overlay_put(p->overlay, 0, p->tensor, piece->at,
						   piece->bytes, piece->len, error);
}

static int put_to_spool(void *context, unsigned worker, const struct lm_scan_piece *piece,
			struct lmodel_error *error)
{
	const struct patching *p = context;

	(void)worker;
	return lm_write_at(p->spool, "temporary file", piece->bytes, piece->len, piece->at, error);
}

static void lost(void *context, size_t item, uint64_t at)
{
	const struct patching *p = context;

	if (p->overlay != NULL)
		lm_overlay_lost(p->overlay, item, p->tensor, at);
}

static int fill_spool(struct patching *p, const struct lm_scan *scan, const struct lmodel_run *run,
		      struct lmodel_error *error)
{
	struct lm_scan to_spool = *scan;
	int r = LMODEL_OK;

	to_spool.emit = NULL;
	to_spool.work = patch_piece;
	to_spool.put = put_to_spool;
	to_spool.lost = lost;
	to_spool.context = p;
	lm_patch_will_need(p->archive, p->tensor);
	if (lm_overlay_covers(p->archive, p->tensor)) {
		p->overlay = lm_overlay_new(p->archive, error);
		r = p->overlay != NULL ? LMODEL_OK : LMODEL_EFAILED;
	}
	if (r == LMODEL_OK)
		r = lm_scan_run(&to_spool, run, error);
	if (r == LMODEL_OK && p->overlay == NULL)
		r = lm_patch_file(p->archive, p->tensor, p->spool, "temporary file", 0, error);
	lm_overlay_free(p->overlay);
	return r;
}

static int cat_patched(struct lmodel_archive *a, size_t tensor, const struct lm_scan *scan, int fd,
		       const struct lmodel_run *run, struct lmodel_error *error)
{
	LM_CLOSE int spool = -1;
	int r = lm_unnamed_file(NULL, &spool, error);
	struct patching p = { .archive = a, .tensor = tensor, .spool = spool };

	if (r == LMODEL_OK)
		r = fill_spool(&p, scan, run, error);
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
