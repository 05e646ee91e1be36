/* lmodel_repack(): the archive anew, compact. */
#include <lmodel/pack.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "archive/member.h"
#include "archive/options.h"
#include "archive/scan.h"
#include "archive/writer.h"
#include "base/io.h"
#include "base/pool.h"
#include "base/publish.h"
#include "container/lock.h"

/* ---- moving stored chunks ---- */

struct move {
	const struct lmodel_archive *archive;
	struct lm_writer *writer;
	size_t written;       /* members that are done */
};

static int write_empty(struct move *m, size_t until, struct lmodel_error *error)
{
	for (; m->written < until; m->written++)
		if (lm_writer_member_begin(m->writer, m->written, error) ||
		    lm_writer_member_end(m->writer, m->written, error))
			return LMODEL_EFAILED;
	return LMODEL_OK;
}

/* Items are all members in order, so item numbers are member numbers. */
static int move_chunk(void *context, const struct lm_scan_piece *piece, struct lmodel_error *error)
{
	struct move *m = context;
	const struct lm_member *member = &m->archive->manifest.members[piece->item];
	int r = LMODEL_OK;

	if (piece->chunk == 0) {
		r = write_empty(m, piece->item, error);
		if (r == LMODEL_OK)
			r = lm_writer_member_begin(m->writer, piece->item, error);
	}
	if (r == LMODEL_OK)
		r = lm_writer_chunk(m->writer, piece->item,
				    (enum lm_method)(member->chunks[piece->chunk] >> LM_CHUNK_LEN_BITS),
				    piece->stored, piece->stored_len, piece->digest, error);
	if (r == LMODEL_OK && piece->chunk + 1 == member->chunk_count) {
		r = lm_writer_member_end(m->writer, piece->item, error);
		m->written = piece->item + 1;
	}
	return r;
}

static int move_members(const struct lmodel_archive *a, struct lm_writer *writer,
			const struct lmodel_run *run, struct lmodel_error *error)
{
	size_t count = a->manifest.member_count;
	LM_FREE struct lm_scan_item *items = calloc(count + 1, sizeof(*items));
	struct move move = { .archive = a, .writer = writer };
	struct lm_scan scan = {
		.archive = a, .items = items, .item_count = count, .stored_only = true,
		.emit = move_chunk, .context = &move,
	};
	int r;

	if (items == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < count; i++)
		items[i] = (struct lm_scan_item){ .member = i, .len = a->manifest.members[i].bytes };
	r = lm_scan_run(&scan, run, error);
	if (r == LMODEL_OK)
		r = write_empty(&move, count, error);
	return r;
}

/* ---- coding anew ---- */

static int feed(void *context, unsigned worker, size_t member, uint64_t offset, void *buffer,
		size_t len, struct lmodel_error *error)
{
	struct lm_reader **readers = context;

	return lm_reader_range(readers[worker], member, offset, buffer, len, error);
}

static int recode_members(const struct lmodel_archive *a, struct lm_writer *writer,
			  const struct lmodel_repack_options *options, struct lmodel_error *error)
{
	unsigned workers = lm_pool_workers(options->run.jobs);
	struct lm_reader **readers = calloc(workers, sizeof(struct lm_reader *));
	struct lm_feed from = { .read = feed, .context = readers };
	int r = LMODEL_OK;

	if (readers == NULL)
		return lm_fail_memory(error);
	for (unsigned i = 0; i < workers && r == LMODEL_OK; i++) {
		readers[i] = lm_reader_new(a, error);
		if (readers[i] == NULL)
			r = LMODEL_EFAILED;
	}
	if (r == LMODEL_OK)
		r = lm_writer_encode(writer, &from, options->level, &options->run, error);
	for (unsigned i = 0; i < workers; i++)
		lm_reader_free(readers[i]);
	free(readers);
	return r;
}

/* ---- the new manifest ---- */

/* Copies the rows; the members' own arrays become new ones. The rest is shared with the old
 * manifest and is not freed with the copy. */
static int copy_manifest(const struct lm_manifest *old, const struct lmodel_repack_options *o,
			 struct lm_manifest *copy, struct lmodel_error *error)
{
	*copy = *old;
	copy->dead = NULL;
	copy->dead_count = 0;
	copy->statement = NULL;
	copy->members = calloc(old->member_count + 1, sizeof(*copy->members));
	if (copy->members == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < old->member_count; i++) {
		struct lm_member *m = &copy->members[i];

		*m = old->members[i];
		m->chunks = NULL;
		if (lm_member_divide(m, o->recode && o->chunk_bytes != 0 ? o->chunk_bytes :
						m->chunk_bytes, error))
			return LMODEL_EFAILED;
	}
	if (o->recode)
		copy->content_generation++;
	return LMODEL_OK;
}

static void free_copy(struct lm_manifest *copy)
{
	for (size_t i = 0; copy->members != NULL && i < copy->member_count; i++)
		free(copy->members[i].chunks);
	free(copy->members);
	free(copy->statement);
}

static int rewrite(const struct lmodel_archive *a, const struct lmodel_repack_options *o, int fd,
		   const char *label, struct lmodel_error *error)
{
	struct lm_manifest copy = { 0 };
	struct lm_writer writer = { 0 };
	int r = copy_manifest(&a->manifest, o, &copy, error);

	if (r == LMODEL_OK)
		r = lm_writer_begin(&writer, fd, label, &copy, error);
	if (r == LMODEL_OK)
		r = o->recode ? recode_members(a, &writer, o, error) :
				move_members(a, &writer, &o->run, error);
	if (r == LMODEL_OK)
		r = lm_writer_finish(&writer, NULL, 0, a->footer.commit_counter + 1, error);
	lm_writer_release(&writer);
	free_copy(&copy);
	return r;
}

/* ---- where to ---- */

static int repack_to_stream(const struct lmodel_archive *a, const struct lmodel_repack_options *o,
			    struct lmodel_error *error)
{
	LM_CLOSE int fd = -1;
	int r = lm_unnamed_file(NULL, &fd, error);

	if (r == LMODEL_OK)
		r = rewrite(a, o, fd, "temporary file", error);
	if (r == LMODEL_OK)
		r = lm_copy_out(fd, "temporary file", STDOUT_FILENO, "standard output", error);
	return r;
}

/* `mode` 0: as for any new file. */
static int repack_to_file(const struct lmodel_archive *a, const char *output, bool replace,
			  mode_t mode, const struct lmodel_repack_options *o,
			  struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	int r = lm_output_begin(&out, output, replace, error);

	if (r == LMODEL_OK && mode != 0 && fchmod(out.fd, mode) != 0)
		r = lm_fail_errno(error, "%s: permissions", LM_QUOTE(output));
	if (r == LMODEL_OK)
		r = rewrite(a, o, out.fd, lm_quote(label, output), error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

/* Replacing the archive itself: under its writer lock, with the permissions that it has. A
 * symbolic link stays one. */
static int repack_in_place(const char *given, const struct lmodel_repack_options *o,
			   struct lmodel_error *error)
{
	LM_FREE char *path = realpath(given, NULL);
	struct lmodel_archive *archive = NULL;
	LM_CLOSE int fd = -1;
	struct stat st;
	uint64_t size;
	int r;

	if (path == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(given));
	r = lm_open_regular(path, O_RDWR, &fd, &size, error);

	if (r == LMODEL_OK)
		r = lm_lock_writer(fd, path, error);
	if (r == LMODEL_OK)
		r = lmodel_open(&archive, path, error);
	if (r == LMODEL_OK && fstat(fd, &st) != 0)
		r = lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (r == LMODEL_OK)
		r = repack_to_file(archive, path, true, st.st_mode & 07777, o, error);
	lmodel_close(archive);
	return r;
}

int lmodel_repack(const char *path, const char *output, const struct lmodel_repack_options *given,
		  struct lmodel_error *error)
{
	struct lmodel_repack_options options = LMODEL_REPACK_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lmodel_archive *archive = NULL;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	r = lm_check_coding_options(options.level, options.chunk_bytes != 0 ? options.chunk_bytes :
									      LMODEL_CHUNK_DEFAULT,
				    error);
	if (r != LMODEL_OK)
		return r;
	if (output == NULL && strcmp(path, "-") == 0)
		return lm_fail(error, LMODEL_EUSAGE, "standard input cannot be replaced: -o OUT");
	if (output == NULL)
		return repack_in_place(path, &options, error);
	r = lmodel_open(&archive, path, error);
	if (r == LMODEL_OK)
		r = strcmp(output, "-") == 0 ? repack_to_stream(archive, &options, error) :
					       repack_to_file(archive, output, options.overwrite, 0,
							      &options, error);
	lmodel_close(archive);
	return r;
}
