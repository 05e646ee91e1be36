/* True values to their places: walks a shard's two streams side by side. */
#include "archive/deeplock.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "crypto/secret.h"
#include "protect/positions.h"
#include "protect/units.h"

struct walk {
	const struct lmodel_archive *archive;
	const struct lm_shard_row *shard;
	struct lm_units units;
	struct lm_stream_reader positions, values;
	struct lm_positions_reader *reader;
	uint64_t from, to;
	lm_patch_fn *patch;
	void *context;
	uint8_t buffer[65536];
};

static int bad(const struct walk *w, const char *what, struct lmodel_error *error)
{
	const struct lm_manifest *m = &w->archive->manifest;

	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s, tier %s: %s", w->archive->label,
		       LM_QUOTE(m->tensors[w->shard->tensor].name), m->tiers[w->shard->tier].name,
		       what);
}

static int read_positions(void *context, uint8_t *buffer, size_t len, size_t *got,
			  struct lmodel_error *error)
{
	return lm_stream_read(context, buffer, len, got, error);
}

/* The next values, for bytes [at, at+len) of the tensor. Those outside of the wanted range are
 * read and dropped: streams go forward only, and are read to their end, where they prove to be what
 * was packed. */
static int move(struct walk *w, uint64_t at, uint64_t len, struct lmodel_error *error)
{
	while (len > 0) {
		size_t n = (size_t)LM_MIN(len, (uint64_t)sizeof(w->buffer)), got, have = 0;
		uint64_t from, to;

		while (have < n) {
			int r = lm_stream_read(&w->values, w->buffer + have, n - have, &got, error);

			if (r != LMODEL_OK)
				return r;
			if (got == 0)
				return bad(w, "there are fewer values than positions", error);
			have += got;
		}
		from = LM_MAX(at, w->from);
		to = LM_MIN(at + n, w->to);
		if (from < to) {
			int r = w->patch(w->context, from, w->buffer + (from - at),
					 (size_t)(to - from), error);
			if (r != LMODEL_OK)
				return r;
		}
		at += n;
		len -= n;
	}
	return LMODEL_OK;
}

static int at_end(struct walk *w, struct lmodel_error *error)
{
	uint8_t byte;
	size_t got;
	int r = lm_stream_read(&w->values, &byte, 1, &got, error);

	if (r == LMODEL_OK && got != 0)
		return bad(w, "there are more values than positions", error);
	return r;
}

static int walk_contiguous(struct walk *w, struct lmodel_error *error)
{
	const struct lm_units *u = &w->units;
	uint64_t first, count;
	int r;

	while ((r = lm_positions_reader_next(w->reader, &first, &count, error)) == LMODEL_OK &&
	       count > 0) {
		uint64_t from = first * u->unit_bytes;
		uint64_t to = LM_MIN((first + count) * u->unit_bytes, u->bytes);

		r = move(w, from, to - from, error);
		if (r != LMODEL_OK)
			return r;
	}
	return r == LMODEL_OK ? at_end(w, error) : r;
}

/* Columns: their numbers first, which are few, then row by row. */
static int walk_columns(struct walk *w, struct lmodel_error *error)
{
	const struct lm_units *u = &w->units;
	uint64_t first, count, row = u->columns * u->element_bytes;
	LM_FREE uint8_t *held = calloc(u->columns, 1);
	int r;

	if (held == NULL)
		return lm_fail_memory(error);
	while ((r = lm_positions_reader_next(w->reader, &first, &count, error)) == LMODEL_OK &&
	       count > 0)
		memset(held + first, 1, count);
	for (uint64_t at = 0; at < u->bytes && r == LMODEL_OK; at += row)
		for (uint64_t i = 0, n; i < u->columns && r == LMODEL_OK; i += n) {
			for (n = 1; i + n < u->columns && held[i + n] == held[i];)
				n++;
			if (held[i])
				r = move(w, at + i * u->element_bytes, n * u->element_bytes, error);
		}
	return r == LMODEL_OK ? at_end(w, error) : r;
}

/* The unit that the row names has to be one that this tensor has. */
static int make_units(struct walk *w, struct lmodel_error *error)
{
	const struct lm_tensor_row *t = &w->archive->manifest.tensors[w->shard->tensor];
	enum lm_unit_kind kind;

	if (t->bytes == 0 || !lm_unit_parse(w->shard->unit, &kind) ||
	    lm_units_make(&w->units, kind, t->dtype, t->rank, t->shape, t->bytes, t->name, NULL) ||
	    w->units.kind != kind)
		return bad(w, "its unit is not one that the tensor has", error);
	return LMODEL_OK;
}

int lm_shard_read(const struct lmodel_archive *archive, size_t shard, uint64_t from, uint64_t to,
		  lm_patch_fn *patch, void *context, struct lmodel_error *error)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return lm_fail_memory(error);
	w->archive = archive;
	w->shard = &archive->manifest.shards[shard];
	w->from = from;
	w->to = to;
	w->patch = patch;
	w->context = context;
	lm_stream_will_need(archive, w->shard->tier, LM_VALUES, &w->shard->stream[LM_VALUES]);
	r = make_units(w, error);
	if (r == LMODEL_OK)
		r = lm_stream_open(&w->positions, archive, shard, LM_POSITIONS, error);
	if (r == LMODEL_OK)
		r = lm_stream_open(&w->values, archive, shard, LM_VALUES, error);
	if (r == LMODEL_OK) {
		w->reader = lm_positions_reader_new(w->units.count, read_positions, &w->positions,
						    error);
		r = w->reader == NULL ? (int)(error != NULL ? error->code : LMODEL_ECORRUPT) :
					LMODEL_OK;
	}
	if (r == LMODEL_OK)
		r = w->units.kind == LM_UNIT_COLUMN ? walk_columns(w, error) :
						      walk_contiguous(w, error);
	lm_positions_reader_free(w->reader);
	lm_stream_close(&w->positions);
	lm_stream_close(&w->values);
	lm_wipe(w->buffer, sizeof(w->buffer));
	free(w);
	return r;
}

/* ---- into memory ---- */

/* What has to be read so that [offset, offset + len) can be made of it: digests of a locked tensor
 * are of whole blocks. */
void lm_patch_range(const struct lmodel_archive *a, size_t tensor, uint64_t *offset, uint64_t *len)
{
	uint64_t end = *offset + *len, bytes = a->manifest.tensors[tensor].bytes;

	for (size_t tier = 0; tier < a->level && *len > 0; tier++) {
		if (!lm_tier_is_locked(&a->manifest.tiers[tier]) ||
		    lm_shard_find(&a->manifest, tier, tensor) == LM_NONE)
			continue;
		*offset -= *offset % LM_LOCK_BLOCK;
		if (end % LM_LOCK_BLOCK != 0)
			end = LM_MIN(bytes, end - end % LM_LOCK_BLOCK + LM_LOCK_BLOCK);
		*len = end - *offset;
	}
}

void lm_patch_will_need(const struct lmodel_archive *a, size_t tensor)
{
	for (size_t tier = 0; a->file.ops != NULL && tier < a->level; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		for (int kind = 0; shard != LM_NONE && kind <= LM_VALUES; kind++)
			lm_stream_will_need(a, tier, (enum lm_stream)kind,
					    &a->manifest.shards[shard].stream[kind]);
	}
}

struct memory {
	uint8_t *bytes;
	uint64_t offset;
};

static int patch_memory(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
			struct lmodel_error *error)
{
	struct memory *m = context;

	(void)error;
	memcpy(m->bytes + (offset - m->offset), bytes, len);
	return LMODEL_OK;
}

int lm_patch_memory(const struct lmodel_archive *a, size_t tensor, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error)
{
	struct memory m = { .bytes = buffer, .offset = offset };
	int r = LMODEL_OK;

	for (size_t tier = 0; tier < a->level && r == LMODEL_OK && len > 0; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		if (shard != LM_NONE && lm_tier_is_locked(&a->manifest.tiers[tier]))
			r = lm_lock_open(a, shard, offset, buffer, len, error);
		else if (shard != LM_NONE)
			r = lm_shard_read(a, shard, offset, offset + len, patch_memory, &m, error);
	}
	return r;
}

/* ---- into a file: through a window, so that scattered elements cost no system call each ---- */

struct window {
	int fd;
	const char *label;
	uint64_t to, size;       /* place of the tensor in the file, its bytes */
	uint64_t at;             /* of the window, in the tensor */
	size_t len;
	bool dirty;
	uint8_t *bytes;
};

enum { WINDOW = 1 << 20 };

static int flush(struct window *w, struct lmodel_error *error)
{
	if (!w->dirty)
		return LMODEL_OK;
	w->dirty = false;
	return lm_write_at(w->fd, w->label, w->bytes, w->len, w->to + w->at, error);
}

static int patch_window(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
			struct lmodel_error *error)
{
	struct window *w = context;

	while (len > 0) {
		size_t n;

		if (offset < w->at || offset >= w->at + w->len) {
			int r = flush(w, error);

			w->at = offset & ~(uint64_t)(WINDOW - 1);
			w->len = (size_t)LM_MIN((uint64_t)WINDOW, w->size - w->at);
			if (r == LMODEL_OK)
				r = lm_read_at(w->fd, w->label, w->bytes, w->len, w->to + w->at,
					       error);
			if (r != LMODEL_OK)
				return r;
		}
		n = (size_t)LM_MIN((uint64_t)len, w->at + w->len - offset);
		memcpy(w->bytes + (offset - w->at), bytes, n);
		w->dirty = true;
		offset += n;
		bytes += n;
		len -= n;
	}
	return LMODEL_OK;
}

int lm_patch_file(const struct lmodel_archive *a, size_t tensor, int fd, const char *label,
		  uint64_t to, struct lmodel_error *error)
{
	LM_FREE uint8_t *bytes = malloc(WINDOW);
	struct window w = { .fd = fd, .label = label, .to = to, .bytes = bytes,
			    .size = a->manifest.tensors[tensor].bytes };
	int r = LMODEL_OK;

	if (bytes == NULL)
		return lm_fail_memory(error);
	for (size_t tier = 0; tier < a->level && r == LMODEL_OK; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		if (shard != LM_NONE && lm_tier_is_locked(&a->manifest.tiers[tier]))
			r = lm_lock_open_file(a, shard, fd, label, to, error);
		else if (shard != LM_NONE)
			r = lm_shard_read(a, shard, 0, w.size, patch_window, &w, error);
		if (r == LMODEL_OK)
			r = flush(&w, error);
	}
	return r;
}
