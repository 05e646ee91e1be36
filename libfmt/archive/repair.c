/* lmodel_repair(): finishing what a crash left. */
#include <lmodel/check.h>

#include <fcntl.h>

#include "archive/archive.h"
#include "base/io.h"
#include "container/lock.h"

/* Bytes after the committed length are no part of the archive: two zero blocks take their
 * place (spec: 2.3). */
static int restore_end(int fd, const char *label, uint64_t size, uint64_t committed, bool *changed,
		       struct lmodel_error *error)
{
	uint8_t blocks[LM_TAR_END];

	if (size == committed + LM_TAR_END) {
		if (lm_read_at(fd, label, blocks, sizeof(blocks), committed, error))
			return LMODEL_EFAILED;
		if (lm_is_zero(blocks, sizeof(blocks)))
			return LMODEL_OK;
	}
	*changed = true;
	if (ftruncate(fd, (off_t)committed) != 0 ||
	    ftruncate(fd, (off_t)(committed + LM_TAR_END)) != 0)
		return lm_fail_errno(error, "%s: truncate", label);
	if (fdatasync(fd) != 0)
		return lm_fail_errno(error, "%s: sync", label);
	return LMODEL_OK;
}

int lmodel_repair(const char *path, int *changed, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive = NULL;
	LM_CLOSE int fd = -1;
	struct lm_slots slots;
	struct lm_slot_footer footer;
	uint64_t size;
	bool wrote_slots = false, wrote_end = false;
	int r;

	error = error != NULL ? error : &local;
	*changed = 0;
	if (strcmp(path, "-") == 0)
		return lm_fail(error, LMODEL_EUSAGE, "standard input cannot be repaired");
	r = lm_open_regular(path, O_RDWR, &fd, &size, error);
	if (r == LMODEL_OK)
		r = lm_lock_writer(fd, path, error);
	/* Under the lock nothing changes any more. Opening checks the manifest that is about to be
	 * made the only one. */
	if (r == LMODEL_OK)
		r = lm_archive_open_locked(&archive, path, error);
	if (r == LMODEL_OK)
		size = archive->slots.file_size;
	if (r == LMODEL_OK)
		r = lm_slots_locate(&archive->file, size, &slots, error);
	if (r == LMODEL_OK)
		r = lm_slots_level(fd, archive->label, &slots, NULL, &footer, &wrote_slots, error);
	if (r == LMODEL_OK)
		r = restore_end(fd, archive->label, size, archive->footer.committed_len, &wrote_end,
				error);
	*changed = wrote_slots || wrote_end;
	lmodel_close(archive);
	return r;
}
