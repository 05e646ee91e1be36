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

/* Tiers from `keep` on are left out. */
struct rewriting {
	struct lmodel_repack_options options;
	size_t keep;
};

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
				    (enum lm_method)(member->chunks[piece->chunk] >>
						     LM_CHUNK_LEN_BITS),
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
		items[i] =
			(struct lm_scan_item){ .member = i, .len = a->manifest.members[i].bytes };
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

/* ---- moving shards ---- */

static int move_stream(const struct lmodel_archive *a, uint64_t from,
		       const struct lm_writer *writer, uint64_t to,
		       const struct lm_stream_row *stream, struct lmodel_error *error)
{
	enum { BUFFER = 1 << 20 };
	LM_FREE uint8_t *buffer = malloc(BUFFER);
	struct lm_hash *hash = lm_hash_new(error);
	uint8_t digest[LM_SHA256_SIZE];
	int r = LMODEL_OK;

	if (hash == NULL)
		return LMODEL_EFAILED;
	if (buffer == NULL)
		r = lm_fail_memory(error);
	for (uint64_t done = 0; done < stream->length && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN(stream->length - done, (uint64_t)BUFFER);

		r = lm_file_read(&a->file, buffer, n, from + done, error);
		if (r != LMODEL_OK)
			break;
		lm_hash_add(hash, buffer, n);
		r = lm_write_at(writer->fd, writer->label, buffer, n, to + done, error);
		if (writer->behind != NULL)
			lm_write_behind(writer->fd, writer->behind, n);
		done += n;
	}
	lm_hash_finish(hash, digest);
	lm_hash_free(hash);
	if (r == LMODEL_OK && memcmp(digest, stream->digest, sizeof(digest)) != 0)
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: a shard is damaged, at %ju", a->label,
			    (uintmax_t)from);
	return r;
}

static int move_tier(const struct lmodel_archive *a, struct lm_writer *writer, size_t index,
		     enum lm_stream kind, struct lm_tier_row *to, struct lmodel_error *error)
{
	const struct lm_tier_row *from = &a->manifest.tiers[index];
	char path[LM_TIER_PATH_SIZE];
	int r;

	lm_tier_path(to, kind, path);
	r = lm_writer_extent(writer, path, to->length[kind], &to->offset[kind], error);
	for (size_t i = from->first_shard;
	     i < from->first_shard + from->shard_count && r == LMODEL_OK; i++) {
		const struct lm_stream_row *stream = &a->manifest.shards[i].stream[kind];

		r = move_stream(a, from->offset[kind] + stream->offset, writer,
				to->offset[kind] + stream->offset, stream, error);
	}
	for (size_t i = from->first_sealed; kind == LM_VALUES &&
	     i < from->first_sealed + from->sealed_count && r == LMODEL_OK; i++) {
		const struct lm_stream_row *stream = &a->manifest.sealed[i].stream;

		r = move_stream(a, from->offset[kind] + stream->offset, writer,
				to->offset[kind] + stream->offset, stream, error);
	}
	return r;
}

/* The tiers that the new manifest has. */
static int move_shards(const struct lmodel_archive *a, struct lm_writer *writer,
		       struct lm_manifest *to, struct lmodel_error *error)
{
	for (size_t i = 0; i < to->tier_count; i++)
		for (int k = 0; k < 2 && !to->tiers[i].absent; k++) {
			int r = move_tier(a, writer, i, (enum lm_stream)k, &to->tiers[i], error);

			if (r != LMODEL_OK)
				return r;
		}
	return LMODEL_OK;
}

/* ---- the new manifest ---- */

/* Copies the rows; the members' own arrays become new ones. The rest is shared with the old
 * manifest and is not freed with the copy. */
static int copy_manifest(const struct lm_manifest *old, const struct lmodel_repack_options *o,
			 size_t keep, struct lm_manifest *copy, struct lmodel_error *error)
{
	*copy = *old;
	copy->dead = NULL;
	copy->dead_count = 0;
	copy->statement = NULL;
	copy->members = calloc(old->member_count + 1, sizeof(*copy->members));
	copy->tiers = calloc(old->tier_count + 1, sizeof(*copy->tiers));
	if (copy->members == NULL || copy->tiers == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < old->tier_count; i++) {
		copy->tiers[i] = old->tiers[i];
		copy->tiers[i].absent |= i >= keep;
	}
	for (size_t i = 0; i < old->member_count; i++) {
		struct lm_member *m = &copy->members[i];

		*m = old->members[i];
		m->chunks = NULL;
		if (lm_member_divide(m, o->recode && o->chunk_bytes != 0 ? o->chunk_bytes :
						m->chunk_bytes, error))
			return LMODEL_EFAILED;
	}
	/* Coded anew it is another statement, which nobody has signed. */
	if (o->recode) {
		copy->content_generation++;
		copy->signature_count = 0;
	}
	return LMODEL_OK;
}

static void free_copy(struct lm_manifest *copy)
{
	for (size_t i = 0; copy->members != NULL && i < copy->member_count; i++)
		free(copy->members[i].chunks);
	free(copy->members);
	free(copy->tiers);
	free(copy->statement);
}

/* What the manifest does not speak of would be lost: the marks of absent tiers are not covered by
 * the statement. Live and dead data have to fill the file, but for a tar header each. */
static int check_whole(const struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	LM_FREE struct lm_extent *live = NULL;
	uint64_t end = lm_slots_end(a->slots.slot_size);
	size_t count, next = 0;

	if (lm_manifest_extents(m, &live, &count, error))
		return LMODEL_EFAILED;
	for (size_t dead = 0; next < count || dead < m->dead_count;) {
		bool take = dead == m->dead_count ||
			    (next < count && live[next].offset < m->dead[dead].offset);
		uint64_t offset = take ? live[next].offset : m->dead[dead].offset;
		uint64_t length = take ? live[next].length : m->dead[dead].length;

		if (offset - end > LM_TAR_HEADER_MAX)
			break;
		end = lm_align(offset + length, LM_TAR_BLOCK);
		next += take;
		dead += !take;
		if (next == count && dead == m->dead_count && end == a->footer.committed_len)
			return LMODEL_OK;
	}
	if (count == 0 && m->dead_count == 0 && end == a->footer.committed_len)
		return LMODEL_OK;
	return lm_fail(error, LMODEL_ECORRUPT,
		       "%s: holds data at %ju that its manifest does not name "
		       "(verify tells more)", a->label, (uintmax_t)end);
}

static int rewrite(const struct lmodel_archive *a, const struct rewriting *w, int fd,
		   const char *label, struct lm_behind *behind, struct lmodel_error *error)
{
	const struct lmodel_repack_options *o = &w->options;
	struct lm_manifest copy = { 0 };
	struct lm_writer writer = { 0 };
	int r;

	if (o->recode && a->manifest.tier_count > 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: its shards are bound to the base as it is "
			       "coded: it cannot be coded anew", a->label);
	r = check_whole(a, error);
	if (r == LMODEL_OK && o->recode && a->manifest.signature_count > 0)
		lm_notice(&o->run, "signatures are left out: coded anew, it is another statement");
	if (r == LMODEL_OK)
		r = copy_manifest(&a->manifest, o, w->keep, &copy, error);

	if (r == LMODEL_OK)
		r = lm_writer_begin(&writer, fd, label, &copy, error);
	writer.behind = behind;
	if (r == LMODEL_OK)
		r = o->recode ? recode_members(a, &writer, o, error) :
				move_members(a, &writer, &o->run, error);
	if (r == LMODEL_OK)
		r = move_shards(a, &writer, &copy, error);
	if (r == LMODEL_OK)
		r = lm_writer_finish(&writer, NULL, 0, NULL, a->footer.commit_counter + 1, error);
	lm_writer_release(&writer);
	free_copy(&copy);
	return r;
}

/* ---- where to ---- */

static int repack_to_stream(const struct lmodel_archive *a, const struct rewriting *w,
			    struct lmodel_error *error)
{
	LM_CLOSE int fd = -1;
	int r = lm_unnamed_file(NULL, &fd, error);

	if (r == LMODEL_OK)
		r = rewrite(a, w, fd, "temporary file", NULL, error);
	if (r == LMODEL_OK)
		r = lm_copy_out(fd, "temporary file", STDOUT_FILENO, "standard output", error);
	return r;
}

/* `mode` 0: as for any new file. */
static int repack_to_file(const struct lmodel_archive *a, const char *output, bool replace,
			  mode_t mode, const struct rewriting *w,
			  struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	int r = lm_output_begin(&out, output, replace, error);

	if (r == LMODEL_OK && mode != 0)
		r = lm_output_mode(&out, mode, error);
	if (r == LMODEL_OK)
		r = rewrite(a, w, out.fd, lm_quote(label, output), &out.behind, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

/* Replacing the archive itself: under its writer lock, with the permissions that it has. A
 * symbolic link stays one. */
static int repack_in_place(const char *given, const struct rewriting *w,
			   struct lmodel_error *error)
{
	LM_FREE char *path = realpath(given, NULL);
	struct lmodel_archive *archive = NULL;
	LM_CLOSE int fd = -1;
	struct stat st, opened;
	uint64_t size;
	int r;

	if (path == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(given));
	r = lm_open_regular(path, O_RDWR, &fd, &size, error);

	if (r == LMODEL_OK)
		r = lm_lock_writer(fd, path, error);
	if (r == LMODEL_OK)
		r = lm_archive_open_locked(&archive, path, error);
	if (r == LMODEL_OK && (fstat(fd, &st) != 0 || fstat(archive->file.fd, &opened) != 0))
		r = lm_fail_errno(error, "%s", LM_QUOTE(path));
	if (r == LMODEL_OK && (st.st_dev != opened.st_dev || st.st_ino != opened.st_ino))
		r = lm_fail(error, LMODEL_EFAILED, "%s: was replaced meanwhile; try again",
			    archive->label);
	if (r == LMODEL_OK)
		r = repack_to_file(archive, path, true, st.st_mode & 07777, w, error);
	lmodel_close(archive);
	return r;
}

/* Writing over the input is a change of it, for which other writers have to wait. */
static int lock_if_same(const struct lmodel_archive *a, const char *output, int *fd,
			struct lmodel_error *error)
{
	struct stat in, out;
	uint64_t size;
	int r;

	if (fstat(a->file.fd, &in) != 0 || stat(output, &out) != 0 || in.st_dev != out.st_dev ||
	    in.st_ino != out.st_ino)
		return LMODEL_OK;
	r = lm_open_regular(output, O_RDWR, fd, &size, error);
	return r == LMODEL_OK ? lm_lock_writer(*fd, output, error) : r;
}

static int rewrite_to(const char *path, const char *output, bool replace, struct rewriting *w,
		      const char *tier, struct lmodel_error *error)
{
	struct lmodel_archive *archive = NULL;
	LM_CLOSE int lock = -1;
	int r = lmodel_open(&archive, path, error);

	if (r == LMODEL_OK && strcmp(output, "-") != 0)
		r = lock_if_same(archive, output, &lock, error);
	/* Read again under the lock: someone may just have been taken out. */
	if (r == LMODEL_OK && lock >= 0) {
		lmodel_close(archive);
		archive = NULL;
		r = lm_archive_open_locked(&archive, path, error);
	}
	while (r == LMODEL_OK && tier != NULL) {
		if (w->keep == archive->manifest.tier_count)
			r = lm_fail(error, LMODEL_EUSAGE, "%s: has no tier %s", archive->label,
				    LM_QUOTE(tier));
		else if (strcmp(archive->manifest.tiers[w->keep++].name, tier) == 0)
			break;
	}
	if (r == LMODEL_OK)
		r = strcmp(output, "-") == 0 ?
			    repack_to_stream(archive, w, error) :
			    repack_to_file(archive, output, replace, 0, w, error);
	lmodel_close(archive);
	return r;
}

int lmodel_repack(const char *path, const char *output, const struct lmodel_repack_options *given,
		  struct lmodel_error *error)
{
	struct rewriting w = { .options = LMODEL_REPACK_OPTIONS_INIT, .keep = SIZE_MAX };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	error = error != NULL ? error : &local;
	if (given != NULL)
		LM_OPTIONS_COPY(&w.options, given);
	r = lm_check_coding_options(w.options.level, w.options.chunk_bytes != 0 ?
						     w.options.chunk_bytes : LMODEL_CHUNK_DEFAULT,
				    error);
	if (r != LMODEL_OK)
		return r;
	if (output != NULL)
		return rewrite_to(path, output, w.options.overwrite, &w, NULL, error);
	if (strcmp(path, "-") == 0)
		return lm_fail(error, LMODEL_EUSAGE, "standard input cannot be replaced: -o OUT");
	return repack_in_place(path, &w, error);
}

int lmodel_strip(const char *path, const char *tier, const char *output,
		 const struct lmodel_strip_options *given, struct lmodel_error *error)
{
	struct lmodel_strip_options options = LMODEL_STRIP_OPTIONS_INIT;
	struct rewriting w = { .options = LMODEL_REPACK_OPTIONS_INIT };
	struct lmodel_error local = LMODEL_ERROR_INIT;

	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	w.options.run = options.run;
	return rewrite_to(path, output, options.overwrite, &w, tier,
			  error != NULL ? error : &local);
}
