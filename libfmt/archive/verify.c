/* lmodel_verify(): every byte and every claim. */
#include <lmodel/check.h>

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "archive/scan.h"
#include "archive/skeleton.h"
#include "archive/verify_streams.h"
#include "base/io.h"
#include "container/lock.h"
#include "container/tar.h"

struct verification {
	struct lmodel_archive *archive;
	const struct lmodel_run *run;
	lmodel_finding_fn *finding;
	struct lmodel_verify_report report;
	struct lm_extent *live;   /* what the tar has to hold, in order */
	size_t live_count, next_live; /* in the tar walk */
	size_t next_dead;
	uint64_t expected_header; /* where the tar's next header has to be */
};

static void tell(struct verification *v, enum lmodel_severity severity, const char *format, ...)
	LM_PRINTF(3, 4);

static void tell(struct verification *v, enum lmodel_severity severity, const char *format, ...)
{
	char line[LMODEL_MESSAGE_SIZE];
	va_list args;

	if (severity == LMODEL_FAULT)
		v->report.faults++;
	else
		v->report.notes++;
	if (v->finding == NULL)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	v->finding(v->run != NULL ? v->run->context : NULL, severity, line);
}

/* ---- slots ---- */

/* Both slots at a moment when nobody writes, or after ten seconds. */
static int examine(const struct lmodel_archive *a, struct lm_slot slot[2],
		   struct lmodel_error *error)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int r = LMODEL_OK;

	for (int looks = 0; looks < 500 && r == LMODEL_OK; looks++) {
		bool writing = lm_writer_is_active(a->file.fd);

		r = lm_slots_examine(&a->file, &a->slots, slot, error);
		if (slot[0].valid && slot[0].padded && slot[1].valid && slot[1].padded &&
		    slot[0].footer.commit_counter == slot[1].footer.commit_counter)
			break;
		if (looks > 0 && !writing)
			break;
		if (writing)
			nanosleep(&pause, NULL);
	}
	return r;
}

static int check_slots(struct verification *v, struct lmodel_error *error)
{
	struct lmodel_archive *a = v->archive;
	struct lm_slot slot[2];
	int r = examine(a, slot, error);

	if (r != LMODEL_OK)
		return r;
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? LM_SLOT_A_MEMBER : LM_SLOT_B_MEMBER;

		if (!slot[i].valid)
			tell(v, LMODEL_FAULT, "%s: %s (verify --repair mends it)", name,
			     slot[i].problem);
		else if (!slot[i].padded)
			tell(v, LMODEL_FAULT,
			     "%s: bytes that must be zero are not (verify --repair "
			     "mends it)", name);
	}
	if (slot[0].valid && slot[1].valid &&
	    slot[0].footer.commit_counter != slot[1].footer.commit_counter)
		tell(v, LMODEL_NOTE,
		     "the manifest slots are at commits %ju and %ju: an interrupted "
		     "commit", (uintmax_t)slot[0].footer.commit_counter,
		     (uintmax_t)slot[1].footer.commit_counter);
	else if (slot[0].valid && slot[1].valid &&
		 memcmp(slot[0].footer.digest, slot[1].footer.digest, 32) != 0)
		tell(v, LMODEL_FAULT, "the manifest slots differ at the same commit %ju",
		     (uintmax_t)slot[0].footer.commit_counter);
	/* The mimetype's padding counts where it is checked. */
	v->report.bytes += lm_slots_end(a->slots.slot_size) - (512 - (sizeof(LM_MIMETYPE) - 1));
	return LMODEL_OK;
}

/* ---- the tar around it ---- */

static void check_zero(struct verification *v, uint64_t from, uint64_t to, const char *what)
{
	uint8_t buffer[4096];
	struct lmodel_error e = LMODEL_ERROR_INIT;

	while (from < to) {
		size_t n = (size_t)LM_MIN((uint64_t)sizeof(buffer), to - from);

		if (lm_file_read(&v->archive->file, buffer, n, from, &e)) {
			tell(v, LMODEL_FAULT, "%s", e.message);
			return;
		}
		if (!lm_is_zero(buffer, n)) {
			tell(v, LMODEL_FAULT, "%s: bytes at %ju are not zero", what,
			     (uintmax_t)from);
			return;
		}
		from += n;
		v->report.bytes += n;
	}
}

/* A member that the manifest does not name has to be a dead one. */
static void check_foreign(struct verification *v, const char *path, uint64_t header, uint64_t data,
			  uint64_t size)
{
	const struct lm_manifest *m = &v->archive->manifest;
	const struct lm_dead_row *d = v->next_dead < m->dead_count ? &m->dead[v->next_dead] : NULL;

	if (d == NULL || d->offset != data || d->length != size) {
		tell(v, LMODEL_FAULT, "tar member %s at %ju is not in the manifest", LM_QUOTE(path),
		     (uintmax_t)header);
		v->expected_header = lm_align(data + size, LM_TAR_BLOCK);
		return;
	}
	if (d->pending)
		tell(v, LMODEL_NOTE, "replaced data at %ju is still to be zeroed",
		     (uintmax_t)d->offset);
	else
		check_zero(v, d->offset, d->offset + d->length, "replaced data");
	v->expected_header = lm_align(d->offset + d->length, LM_TAR_BLOCK);
	v->next_dead++;
}

enum { STOP = 1000 }; /* the walk has come to the committed end */

static int fixed_member(struct verification *v, const char *path, uint64_t header, uint64_t size)
{
	uint64_t slot = v->archive->slots.slot_size;
	const struct { const char *path; uint64_t header, size; } fixed[] = {
		{ LM_MIMETYPE_MEMBER, 0, sizeof(LM_MIMETYPE) - 1 },
		{ LM_SLOT_A_MEMBER, lm_slot_offset(slot, 0) - LM_TAR_BLOCK, slot },
		{ LM_SLOT_B_MEMBER, lm_slot_offset(slot, 1) - LM_TAR_BLOCK, slot },
	};

	for (size_t i = 0; i < LM_COUNT(fixed); i++)
		if (header == fixed[i].header) {
			if (strcmp(path, fixed[i].path) != 0 || size != fixed[i].size)
				tell(v, LMODEL_FAULT,
				     "tar member at %ju is %s of %ju bytes, not %s",
				     (uintmax_t)header, LM_QUOTE(path), (uintmax_t)size,
				     fixed[i].path);
			v->expected_header = lm_align(header + LM_TAR_BLOCK + size, LM_TAR_BLOCK);
			return LMODEL_OK;
		}
	tell(v, LMODEL_FAULT, "tar member %s at %ju is where none should be", LM_QUOTE(path),
	     (uintmax_t)header);
	return STOP;
}

static const char *live_path(const struct verification *v, const struct lm_extent *live,
			     char buffer[LM_TIER_PATH_SIZE])
{
	const struct lm_manifest *m = &v->archive->manifest;

	if (live->member != LM_NONE)
		return m->members[live->member].path;
	lm_tier_path(&m->tiers[live->tier], live->stream, buffer);
	return buffer;
}

static int check_tar_member(void *context, const char *path, uint64_t header, uint64_t data,
			    uint64_t size, bool regular, struct lmodel_error *error)
{
	struct verification *v = context;
	const struct lm_extent *next = v->next_live < v->live_count ? &v->live[v->next_live] : NULL;
	char buffer[LM_TIER_PATH_SIZE];

	(void)error;
	if (header >= v->archive->footer.committed_len)
		return STOP;
	if (!regular)
		tell(v, LMODEL_FAULT, "tar member %s is not a regular file", LM_QUOTE(path));
	if (header < lm_slots_end(v->archive->slots.slot_size))
		return fixed_member(v, path, header, size);
	if (header != v->expected_header)
		tell(v, LMODEL_FAULT, "tar member %s is at %ju, not at %ju", LM_QUOTE(path),
		     (uintmax_t)header, (uintmax_t)v->expected_header);
	if (next == NULL || strcmp(path, live_path(v, next, buffer)) != 0) {
		check_foreign(v, path, header, data, size);
		return LMODEL_OK;
	}
	if (data != next->offset || size != next->length)
		tell(v, LMODEL_FAULT,
		     "tar member %s: %ju bytes at %ju; the manifest says %ju at %ju",
		     LM_QUOTE(path), (uintmax_t)size, (uintmax_t)data, (uintmax_t)next->length,
		     (uintmax_t)next->offset);
	v->expected_header = lm_align(next->offset + next->length, LM_TAR_BLOCK);
	check_zero(v, next->offset + next->length, v->expected_header, "padding");
	v->report.members += next->tier == LM_NONE ? next->rows : 1;
	v->report.bytes += next->offset - header;
	v->next_live++;
	return LMODEL_OK;
}

static int check_tar(struct verification *v, struct lmodel_error *error)
{
	const struct lmodel_archive *a = v->archive;
	const struct lm_manifest *m = &a->manifest;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	uint64_t end;
	int r = lm_tar_walk(a->file.fd, a->slots.file_size, check_tar_member, v, &end, &e);

	if (r == LMODEL_EFAILED)
		return lm_fail(error, LMODEL_EFAILED, "%s", e.message);
	if (r != LMODEL_OK && r != STOP && end < a->footer.committed_len)
		tell(v, LMODEL_FAULT, "%s", e.message);
	else if (r == LMODEL_OK && end < a->footer.committed_len)
		tell(v, LMODEL_FAULT, "the tar ends at %ju, %ju were committed", (uintmax_t)end,
		     (uintmax_t)a->footer.committed_len);
	else if (v->expected_header != a->footer.committed_len)
		tell(v, LMODEL_FAULT, "the last member ends at %ju, not at the committed %ju",
		     (uintmax_t)v->expected_header, (uintmax_t)a->footer.committed_len);
	for (; v->next_live < v->live_count; v->next_live++)
		tell(v, LMODEL_FAULT, "member %s is not in the tar",
		     LM_QUOTE(live_path(v, &v->live[v->next_live],
					(char[LM_TIER_PATH_SIZE]){ 0 })));
	for (; v->next_dead < m->dead_count; v->next_dead++)
		tell(v, LMODEL_FAULT, "replaced data at %ju is no tar member",
		     (uintmax_t)m->dead[v->next_dead].offset);
	return LMODEL_OK;
}

/* mimetype's padding, and what comes after the committed length. */
static int check_rest(struct verification *v, struct lmodel_error *error)
{
	const struct lmodel_archive *a = v->archive;
	uint64_t committed = a->footer.committed_len, size = a->slots.file_size;
	uint8_t blocks[LM_TAR_END];
	int r;

	check_zero(v, 512 + sizeof(LM_MIMETYPE) - 1, 1024, "padding of " LM_MIMETYPE_MEMBER);
	if (size < committed + LM_TAR_END) {
		tell(v, LMODEL_FAULT, "truncated: the end-of-archive blocks are missing "
		     "(verify --repair mends it)");
		return LMODEL_OK;
	}
	r = lm_file_read(&a->file, blocks, sizeof(blocks), committed, error);
	if (r != LMODEL_OK)
		return r;
	if ((size > committed + LM_TAR_END || !lm_is_zero(blocks, sizeof(blocks))) &&
	    !lm_writer_is_active(a->file.fd))
		tell(v, LMODEL_NOTE, "%ju bytes after the committed end: an interrupted append",
		     (uintmax_t)(size - committed));
	v->report.bytes += LM_TAR_END;
	return LMODEL_OK;
}

/* ---- chunks ---- */

static int chunk_good(void *context, unsigned worker, const struct lm_scan_piece *piece,
		      struct lmodel_error *error)
{
	struct verification *v = context;
	const struct lm_member *m = &v->archive->manifest.members[piece->item];

	(void)worker;
	(void)error;
	v->report.chunks++;
	v->report.bytes += piece->stored_len + (lm_member_list(m) > 0 ? LM_SHA256_SIZE : 0);
	return LMODEL_OK;
}

static int chunk_bad(void *context, size_t item, const struct lmodel_error *failure)
{
	struct verification *v = context;

	(void)item;
	if (failure->code == LMODEL_EFAILED)
		return LMODEL_EFAILED;
	tell(v, LMODEL_FAULT, "%s", failure->message);
	return LMODEL_OK;
}

static int check_chunks(struct verification *v, struct lmodel_error *error)
{
	const struct lm_manifest *m = &v->archive->manifest;
	LM_FREE struct lm_scan_item *items = calloc(m->member_count + 1, sizeof(*items));
	struct lm_scan scan = {
		.archive = v->archive, .items = items, .item_count = m->member_count,
		.put = chunk_good, .fault = chunk_bad, .context = v,
	};
	int r;

	if (items == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->member_count; i++)
		items[i] = (struct lm_scan_item){ .member = i, .len = m->members[i].bytes };
	r = lm_scan_run(&scan, v->run, error);
	if (r == LMODEL_EFAILED)
		lm_fail(error, LMODEL_EFAILED, "%s: cannot be read", v->archive->label);
	return r;
}

/* ---- shards ---- */

static void stream_bad(void *context, const char *message)
{
	tell(context, LMODEL_FAULT, "%s", message);
}

static int check_shards(struct verification *v, struct lmodel_error *error)
{
	const struct lm_manifest *m = &v->archive->manifest;

	for (size_t i = 0; i < m->tier_count; i++)
		if (m->tiers[i].absent)
			tell(v, LMODEL_NOTE, "tier %s is not in this file", m->tiers[i].name);
	return lm_verify_streams(v->archive, v->run, stream_bad, v, &v->report.bytes, error);
}

/* That every input file can be written again. */
static int check_skeletons(struct verification *v, struct lmodel_error *error)
{
	LM_CLEANUP(lm_plan_free) struct lm_plan plan = { 0 };

	for (size_t i = 0; i < v->archive->manifest.source_count; i++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;
		int r = lm_skeleton_plan(v->archive, i, 0, &plan, &e);

		lm_plan_clear(&plan);
		if (r == LMODEL_EFAILED)
			return lm_fail(error, LMODEL_EFAILED, "%s", e.message);
		if (r != LMODEL_OK)
			tell(v, LMODEL_FAULT, "%s", e.message);
	}
	return LMODEL_OK;
}

int lmodel_verify(struct lmodel_archive *archive, const struct lmodel_run *run,
		  lmodel_finding_fn *finding, struct lmodel_verify_report *report,
		  struct lmodel_error *error)
{
	struct verification v = { .archive = archive, .run = run, .finding = finding };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (archive->file.ops != NULL)
		return lm_fail(error, LMODEL_EUSAGE, "%s: is elsewhere: pull or download it first",
			       archive->label);
	r = lm_manifest_extents(&archive->manifest, &v.live, &v.live_count, error);
	if (r == LMODEL_OK)
		r = check_slots(&v, error);
	if (r == LMODEL_OK)
		r = check_tar(&v, error);
	if (r == LMODEL_OK)
		r = check_rest(&v, error);
	if (r == LMODEL_OK)
		r = check_chunks(&v, error);
	if (r == LMODEL_OK)
		r = check_shards(&v, error);
	if (r == LMODEL_OK)
		r = check_skeletons(&v, error);
	free(v.live);
	if (report != NULL)
		*report = v.report;
	if (r == LMODEL_OK && v.report.faults > 0)
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: %zu fault%s found", archive->label,
			    v.report.faults, v.report.faults == 1 ? "" : "s");
	return r;
}
