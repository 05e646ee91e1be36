/* True values to their places: walks a shard's two streams side by side, forward only. */
#include "archive/content.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "crypto/secret.h"
#include "protect/positions.h"
#include "protect/units.h"

/* [at, at + len) of the tensor's bytes are the next that the shard has values for; none (len 0)
 * before the first and behind the last. */
struct lm_shard_walk {
	const struct lmodel_archive *archive;
	const struct lm_shard_row *shard;
	struct lm_units units;
	struct lm_stream_reader positions, values;
	struct lm_positions_reader *reader;
	uint64_t at, len;
	bool ended;
	/* Single units behind those: numbers[next] to numbers[have - 1]. */
	size_t next, have;
	uint64_t numbers[512];
	/* Columns: which are held, and where in the tensor the walk is. */
	uint8_t *held;
	uint64_t row, column;
	uint8_t *buffer;         /* for values that go to no place of a tensor; NULL before */
};

enum { BUFFER = 32 << 10 };

static int bad(const struct lm_shard_walk *w, const char *what, struct lmodel_error *error)
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

/* ---- where ---- */

/* Columns: their numbers first, which are few. */
static int read_columns(struct lm_shard_walk *w, struct lmodel_error *error)
{
	uint64_t first, count;
	int r;

	w->held = calloc(w->units.columns, 1);
	if (w->held == NULL)
		return lm_fail_memory(error);
	while ((r = lm_positions_reader_next(w->reader, &first, &count, error)) == LMODEL_OK &&
	       count > 0)
		memset(w->held + first, 1, count);
	return r;
}

/* The next columns in this row, or in one below it. */
static int next_columns(struct lm_shard_walk *w, struct lmodel_error *error)
{
	const struct lm_units *u = &w->units;
	uint64_t row_bytes = u->columns * u->element_bytes, n;
	int r = w->held == NULL ? read_columns(w, error) : LMODEL_OK;

	while (r == LMODEL_OK && w->row < u->bytes && w->len == 0) {
		const uint8_t *held = w->held + w->column;

		for (n = 1; w->column + n < u->columns && held[n] == held[0];)
			n++;
		if (held[0] != 0) {
			w->at = w->row + w->column * u->element_bytes;
			w->len = n * u->element_bytes;
		}
		w->column += n;
		if (w->column == u->columns) {
			w->column = 0;
			w->row += row_bytes;
		}
	}
	return r;
}

static inline int next_units(struct lm_shard_walk *w, struct lmodel_error *error)
{
	const struct lm_units *u = &w->units;
	uint64_t first, count = 1;
	int r = LMODEL_OK;

	if (w->next == w->have) {
		w->next = 0;
		r = lm_positions_reader_numbers(w->reader, w->numbers, LM_COUNT(w->numbers),
						&w->have, error);
	}
	if (w->next < w->have)
		first = w->numbers[w->next++];
	else if (r == LMODEL_OK)
		r = lm_positions_reader_next(w->reader, &first, &count, error);
	if (r == LMODEL_OK && count > 0) {
		w->at = first * u->unit_bytes;
		w->len = LM_MIN((first + count) * u->unit_bytes, u->bytes) - w->at;
	}
	return r;
}

static int at_end(struct lm_shard_walk *w, struct lmodel_error *error)
{
	uint8_t byte;
	size_t got;
	int r = lm_stream_read(&w->values, &byte, 1, &got, error);

	if (r == LMODEL_OK && got != 0)
		return bad(w, "there are more values than positions", error);
	return r;
}

/* What comes next; at the end both streams have been read, and are what was packed. */
static inline int next_bytes(struct lm_shard_walk *w, struct lmodel_error *error)
{
	int r;

	if (w->ended)
		return LMODEL_OK;
	r = w->units.kind == LM_UNIT_COLUMN ? next_columns(w, error) : next_units(w, error);
	if (r == LMODEL_OK && w->len == 0) {
		w->ended = true;
		r = at_end(w, error);
	}
	return r;
}

/* ---- what ---- */

static int take_slowly(struct lm_shard_walk *w, uint8_t *to, size_t len, struct lmodel_error *error)
{
	w->at += len;
	w->len -= len;
	while (len > 0) {
		size_t got;
		int r = lm_stream_read(&w->values, to, len, &got, error);

		if (r != LMODEL_OK)
			return r;
		if (got == 0)
			return bad(w, "there are fewer values than positions", error);
		to += got;
		len -= got;
	}
	return LMODEL_OK;
}

/* The next `len` bytes of values. Most often that is one element, of a chunk that is there. */
static inline int take(struct lm_shard_walk *w, uint8_t *to, size_t len, struct lmodel_error *error)
{
	struct lm_stream_reader *r = &w->values;

	if (len > r->to - r->from || len > r->left)
		return take_slowly(w, to, len, error);
	if (len == 2)
		memcpy(to, r->plain + r->from, 2);
	else if (len == 4)
		memcpy(to, r->plain + r->from, 4);
	else
		memcpy(to, r->plain + r->from, len);
	r->from += len;
	r->left -= len;
	w->at += len;
	w->len -= len;
	return LMODEL_OK;
}

/* ---- from begin to end ---- */

/* The unit that the row names has to be one that this tensor has. */
static int make_units(struct lm_shard_walk *w, struct lmodel_error *error)
{
	const struct lm_tensor_row *t = &w->archive->manifest.tensors[w->shard->tensor];
	enum lm_unit_kind kind;

	if (t->bytes == 0 || !lm_unit_parse(w->shard->unit, &kind) ||
	    lm_units_make(&w->units, kind, t->dtype, t->rank, t->shape, t->bytes, t->name, NULL) ||
	    w->units.kind != kind)
		return bad(w, "its unit is not one that the tensor has", error);
	return LMODEL_OK;
}

static int begin(struct lm_shard_walk *w, size_t shard, const uint8_t *base_digest,
		 struct lmodel_error *error)
{
	const struct lm_shard_row *row = &w->archive->manifest.shards[shard];
	int r = make_units(w, error);

	lm_stream_will_need(w->archive, row->tier, LM_VALUES, &row->stream[LM_VALUES]);
	if (r == LMODEL_OK)
		r = lm_stream_open_again(&w->positions, w->archive, shard, LM_POSITIONS,
					 base_digest, error);
	if (r == LMODEL_OK)
		r = lm_stream_open_again(&w->values, w->archive, shard, LM_VALUES, base_digest,
					 error);
	if (r == LMODEL_OK)
		r = lm_positions_reader_open(&w->reader, w->units.count, read_positions,
					     &w->positions, error);
	return r;
}

int lm_shard_walk_open(struct lm_shard_walk **walk, const struct lmodel_archive *archive,
		       size_t shard, const uint8_t *base_digest, struct lmodel_error *error)
{
	uint8_t digest[LM_SHA256_SIZE];
	struct lm_shard_walk *w = *walk;

	if (w == NULL)
		w = *walk = calloc(1, sizeof(*w));
	if (w == NULL)
		return lm_fail_memory(error);
	free(w->held);
	w->held = NULL;
	w->archive = archive;
	w->shard = &archive->manifest.shards[shard];
	w->at = w->len = w->row = w->column = 0;
	w->ended = false;
	w->next = w->have = 0;
	if (base_digest == NULL) {
		if (lm_content_base_digest(&archive->manifest, w->shard->tensor, digest, error))
			return LMODEL_EFAILED;
		base_digest = digest;
	}
	return begin(w, shard, base_digest, error);
}

void lm_shard_walk_free(struct lm_shard_walk *w)
{
	if (w == NULL)
		return;
	lm_positions_reader_free(w->reader);
	lm_stream_close(&w->positions);
	lm_stream_close(&w->values);
	if (w->buffer != NULL)
		lm_wipe(w->buffer, BUFFER);
	free(w->buffer);
	free(w->held);
	free(w);
}

static int need_buffer(struct lm_shard_walk *w, struct lmodel_error *error)
{
	if (w->buffer == NULL)
		w->buffer = malloc(BUFFER);
	return w->buffer != NULL ? LMODEL_OK : lm_fail_memory(error);
}

/* Values before `to` that nobody wants: streams are read to their end, where they prove to be what
 * was packed. */
static int drop_until(struct lm_shard_walk *w, uint64_t to, struct lmodel_error *error)
{
	while (w->len > 0 && w->at < to) {
		uint64_t n = LM_MIN(w->len, to - w->at);
		int r = need_buffer(w, error);

		if (r == LMODEL_OK)
			r = take(w, w->buffer, (size_t)LM_MIN(n, (uint64_t)BUFFER), error);
		if (r == LMODEL_OK && w->len == 0)
			r = next_bytes(w, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* Single elements that are whole within the range and whose values are there: one after the other,
 * without asking each time what comes next. */
static inline void take_elements(struct lm_shard_walk *w, uint64_t offset, uint8_t *bytes,
				 uint64_t end, size_t width)
{
	struct lm_stream_reader *r = &w->values;
	const uint8_t *from = r->plain + r->from;
	size_t left = (size_t)LM_MIN((uint64_t)(r->to - r->from), r->left) / width;
	size_t n = LM_MIN(left, w->have - w->next), i;

	/* A tensor of this unit has a whole number of elements (spec: 7.1). */
	for (i = 0; i < n && (w->numbers[w->next + i] + 1) * width <= end; i++)
		memcpy(bytes + (w->numbers[w->next + i] * width - offset), from + i * width, width);
	w->next += i;
	r->from += i * width;
	r->left -= i * width;
}

static inline void take_many(struct lm_shard_walk *w, uint64_t offset, uint8_t *bytes, uint64_t end)
{
	switch (w->units.unit_bytes) {
	case 1:
		take_elements(w, offset, bytes, end, 1);
		break;
	case 2:
		take_elements(w, offset, bytes, end, 2);
		break;
	case 4:
		take_elements(w, offset, bytes, end, 4);
		break;
	default:
		break;
	}
}

int lm_shard_walk_over(struct lm_shard_walk *w, uint64_t offset, uint8_t *bytes, size_t len,
		       struct lmodel_error *error)
{
	uint64_t end = offset + len;
	int r = w->len == 0 ? next_bytes(w, error) : LMODEL_OK;

	if (r == LMODEL_OK)
		r = drop_until(w, offset, error);
	while (r == LMODEL_OK && w->len > 0 && w->at < end) {
		r = take(w, bytes + (w->at - offset), (size_t)LM_MIN(w->len, end - w->at), error);
		if (r != LMODEL_OK || w->len > 0)
			continue;
		take_many(w, offset, bytes, end);
		r = next_bytes(w, error);
	}
	return r;
}

int lm_shard_walk_end(struct lm_shard_walk *w, struct lmodel_error *error)
{
	int r = w->len == 0 ? next_bytes(w, error) : LMODEL_OK;

	return r == LMODEL_OK ? drop_until(w, UINT64_MAX, error) : r;
}

static int read_range(struct lm_shard_walk *w, uint64_t from, uint64_t to, lm_patch_fn *patch,
		      void *context, struct lmodel_error *error)
{
	int r = next_bytes(w, error);

	if (r == LMODEL_OK)
		r = need_buffer(w, error);
	if (r == LMODEL_OK)
		r = drop_until(w, from, error);
	while (r == LMODEL_OK && w->len > 0 && w->at < to) {
		size_t n = (size_t)LM_MIN(LM_MIN(w->len, to - w->at), (uint64_t)BUFFER);
		uint64_t at = w->at;

		r = take(w, w->buffer, n, error);
		if (r == LMODEL_OK)
			r = patch(context, at, w->buffer, n, error);
		if (r == LMODEL_OK && w->len == 0)
			r = next_bytes(w, error);
	}
	return r == LMODEL_OK ? lm_shard_walk_end(w, error) : r;
}

int lm_shard_read(const struct lmodel_archive *archive, size_t shard, uint64_t from, uint64_t to,
		  lm_patch_fn *patch, void *context, struct lmodel_error *error)
{
	struct lm_shard_walk *w = NULL;
	int r = lm_shard_walk_open(&w, archive, shard, NULL, error);

	if (r == LMODEL_OK)
		r = read_range(w, from, to, patch, context, error);
	lm_shard_walk_free(w);
	return r;
}
