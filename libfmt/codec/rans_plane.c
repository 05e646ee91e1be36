#include "codec/rans_plane.h"

#include "codec/frame.h"
#include "codec/rans.h"

#define HEAD 4         /* first and last byte with slots, whether there are escapes, classes */
#define LIMIT 2        /* u16 each */
#define LIST_HEAD 11   /* marker, what it counts as, method, raw and stored length */

/* Counting takes longer than coding: so one block of each stretch stands for all of it. Bytes that
 * occur in no such block can be escaped, where there is a marker. */
#define BLOCK 64
#define STRETCH 512
#define SAMPLE_MIN 131072
#define STEP 8         /* one group of so many tells of classes */

static bool model_by_sample(struct lm_rans_model *model, const uint8_t *plane, size_t count,
			    uint8_t *sample)
{
	uint32_t counts[256] = { 0 };
	size_t stretches = count / STRETCH;

	/* Somewhere in its stretch: data may be periodic. */
	for (size_t i = 0; i < stretches; i++) {
		size_t at = (size_t)(i * UINT64_C(0x9e3779b97f4a7c15) >> 32) % (STRETCH / BLOCK);

		memcpy(sample + i * BLOCK, plane + i * STRETCH + at * BLOCK, BLOCK);
	}
	lm_histogram(sample, stretches * BLOCK, counts);
	return lm_rans_model(model, counts, (uint32_t)(stretches * BLOCK)) && model->escapes;
}

static bool make_model(struct lm_codec *codec, struct lm_rans_model *model, const uint8_t *plane,
		       size_t count, bool thorough)
{
	uint32_t counts[256] = { 0 };

	if (count >= SAMPLE_MIN && !thorough &&
	    model_by_sample(model, plane, count, codec->stream.bytes))
		return true;
	lm_histogram(plane, count, counts);
	return lm_rans_model(model, counts, (uint32_t)count);
}

/* What goes into a stored plane, each part where it was made. */
struct parts {
	const struct lm_rans_model *model;
	struct lm_rans_coder *coder;
	size_t stream_len, list_raw_len, list_len;
	enum lm_plane_method list_method;
	const uint8_t *list;
};

static size_t total(const struct parts *p)
{
	const struct lm_rans_model *m = p->model;

	return HEAD + LIMIT * (m->classes - 1) + m->classes * (size_t)(m->last - m->first + 1) +
	       (m->escapes ? LIST_HEAD + p->list_len : 0) + LM_RANS_STATES + p->stream_len;
}

static void put_parts(const struct parts *p, uint8_t *out)
{
	const struct lm_rans_model *m = p->model;

	*out++ = m->first;
	*out++ = m->last;
	*out++ = m->escapes;
	*out++ = (uint8_t)m->classes;
	for (unsigned c = 1; c < m->classes; c++) {
		*out++ = (uint8_t)m->limits[c - 1];
		*out++ = (uint8_t)(m->limits[c - 1] >> 8);
	}
	for (unsigned c = 0; c < m->classes; c++)
		for (size_t s = m->first; s <= m->last; s++)
			*out++ = m->of_class[c].has_slots[s] ? m->of_class[c].freq[s] : 0;
	if (m->escapes) {
		out[0] = m->marker;
		out[1] = m->classes > 1 ? m->neutral : 0;
		out[2] = (uint8_t)p->list_method;
		lm_put_u32(out + 3, (uint32_t)p->list_raw_len);
		lm_put_u32(out + 7, (uint32_t)p->list_len);
		memcpy(out + LIST_HEAD, p->list, p->list_len);
		out += LIST_HEAD + p->list_len;
	}
	for (size_t lane = 0; lane < LM_RANS_LANES; lane++) {
		uint32_t state = p->coder->states[lane];

		*out++ = (uint8_t)state;
		*out++ = (uint8_t)(state >> 8);
		*out++ = (uint8_t)(state >> 16);
	}
	memcpy(out, p->coder->stream, p->stream_len);
}

/* Makes the list shorter where zstd's entropy stage can; the frame goes to `room` bytes at `out`. */
static int pack_list(struct lm_codec *codec, struct parts *p, uint8_t *out, size_t room,
		     struct lmodel_error *error)
{
	size_t n;
	int rc;

	p->list_method = LM_PLANE_RAW;
	p->list = p->coder->list;
	p->list_len = p->list_raw_len;
	if (p->list_raw_len == 0)
		return LMODEL_OK;
	rc = lm_frame_encode(codec->entropy, p->list, p->list_raw_len, out, room, &n, error);
	if (rc == LMODEL_OK && n < p->list_len) {
		p->list_method = LM_PLANE_ZSTD;
		p->list = out;
		p->list_len = n;
	}
	return rc;
}

/* Scratch space for a plane: each part for as much as it can be. */
static int reserve(struct lm_codec *codec, size_t count, struct lmodel_error *error)
{
	size_t needed = count + LM_RANS_LANES;
	int rc = lm_scratch_reserve(&codec->stream, needed, error);

	if (rc == LMODEL_OK)
		rc = lm_scratch_reserve(&codec->list, ZSTD_compressBound(count) + needed, error);
	if (rc == LMODEL_OK)
		rc = lm_scratch_reserve(&codec->classes, 3 * (count / LM_RANS_LANES + 1), error);
	return rc;
}

/* Codes the plane: the stream and the list are in their scratch spaces, at the end. */
static int make_parts(struct lm_codec *codec, const struct lm_rans_scratch *classes,
		      const uint8_t *plane, size_t count, struct parts *p,
		      struct lmodel_error *error)
{
	size_t needed = count + LM_RANS_LANES, frame = ZSTD_compressBound(count);
	uint8_t *stream_end = codec->stream.bytes + needed;
	uint8_t *list_end = codec->list.bytes + frame + needed;

	p->coder->stream = stream_end;
	p->coder->list = list_end;
	lm_rans_encode(p->model, classes->class, plane, count, p->coder);
	p->stream_len = (size_t)(stream_end - p->coder->stream);
	p->list_raw_len = (size_t)(list_end - p->coder->list);
	return pack_list(codec, p, codec->list.bytes, frame, error);
}

int lm_rans_plane_encode(struct lm_codec *codec, const uint8_t *plane, size_t count, size_t limit,
			 bool thorough, uint8_t *out, size_t room, size_t *len,
			 struct lmodel_error *error)
{
	struct lm_rans_model model, plain;
	struct lm_rans_scratch classes;
	struct lm_rans_coder coder;
	struct parts parts = { .model = &model, .coder = &coder };
	uint64_t without;
	int rc = reserve(codec, count, error);

	*len = 0;
	if (rc != LMODEL_OK || !make_model(codec, &model, plane, count, thorough))
		return rc;
	classes.sums = (uint16_t *)(void *)codec->classes.bytes;
	classes.class = codec->classes.bytes + 2 * (count / LM_RANS_LANES + 1);
	plain = model;
	without = lm_rans_classify(&model, plane, count, thorough ? 1 : STEP, &classes);
	rc = make_parts(codec, &classes, plane, count, &parts, error);
	/* A sample can be wrong. */
	if (rc == LMODEL_OK && model.classes > 1 && total(&parts) > without / 8) {
		parts.model = &plain;
		rc = make_parts(codec, &classes, plane, count, &parts, error);
	}
	if (rc != LMODEL_OK || total(&parts) >= limit)
		return rc;
	*len = total(&parts);
	if (*len <= room)
		put_parts(&parts, out);
	return LMODEL_OK;
}

/* ---- reading ---- */

/* The list of a plane that is being read. */
struct list {
	const uint8_t *bytes;
	size_t count;
	uint8_t marker, neutral;
};

/* Reads the list at `*at`, which moves behind it. */
static int read_list(struct lm_codec *codec, const uint8_t *stored, size_t len, size_t *at,
		     size_t count, unsigned classes, struct list *list, struct lmodel_error *error)
{
	const uint8_t *head = stored + *at;
	size_t list_len;
	int rc;

	if (len - *at < LIST_HEAD)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	*at += LIST_HEAD;
	list->marker = head[0];
	list->neutral = head[1];
	list->count = lm_get_u32(head + 3);
	list_len = lm_get_u32(head + 7);
	if (classes == 1 && list->neutral != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "rans plane of one class whose marker counts as %u", list->neutral);
	if (list_len > len - *at)
		return lm_fail(error, LMODEL_ECORRUPT, "list runs over the end of its rans plane");
	if (list->count == 0 || list->count > count)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "list of %zu bytes in a rans plane of %zu bytes", list->count,
			       count);
	list->bytes = stored + *at;
	*at += list_len;
	if (head[2] == LM_PLANE_RAW && list_len == list->count)
		return LMODEL_OK;
	if (head[2] != LM_PLANE_ZSTD)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "list of %zu bytes stored as %zu by method %u in a rans plane",
			       list->count, list_len, head[2]);
	rc = lm_scratch_reserve(&codec->list, list->count, error);
	if (rc == LMODEL_OK)
		rc = lm_frame_decode(codec, list->bytes, list_len, codec->list.bytes, list->count,
				     error);
	list->bytes = codec->list.bytes;
	return rc;
}

/* Limits rise. */
static bool read_limits(const uint8_t *stored, struct lm_rans_tables *tables)
{
	for (unsigned c = 0; c + 1 < tables->classes; c++) {
		tables->limits[c] = (uint16_t)(stored[LIMIT * c] | stored[LIMIT * c + 1] << 8);
		if (c > 0 && tables->limits[c] <= tables->limits[c - 1])
			return false;
	}
	return true;
}

/* Reads limits and frequencies; `*at` becomes what is behind them. */
static int read_tables(const uint8_t *stored, size_t len, struct lm_rans_tables *tables, size_t *at,
		       struct lmodel_error *error)
{
	size_t values = (size_t)stored[1] - stored[0] + 1;
	bool first = false, last = false;

	tables->classes = stored[3];
	if (stored[0] >= stored[1])
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane of fewer than two values");
	if (tables->classes == 0 || tables->classes > LM_RANS_CLASSES)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane of %u classes", tables->classes);
	*at = HEAD + LIMIT * (tables->classes - 1);
	if (len < *at + tables->classes * values)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	if (!read_limits(stored + HEAD, tables))
		return lm_fail(error, LMODEL_ECORRUPT, "limits of a rans plane do not rise");
	for (unsigned c = 0; c < tables->classes; c++, *at += values) {
		if (!lm_rans_slots(&tables->of_class[c], stored + *at, values, stored[0]))
			return lm_fail(error, LMODEL_ECORRUPT,
				       "frequencies of a rans plane do not sum up to %d",
				       LM_RANS_SLOTS);
		first |= stored[*at] > 0;
		last |= stored[*at + values - 1] > 0;
	}
	if (!first || !last)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "rans plane whose first or last value has no slot");
	return LMODEL_OK;
}

static void read_states(const uint8_t *stored, struct lm_rans_reader *reader)
{
	for (size_t lane = 0; lane < LM_RANS_LANES; lane++, stored += 3)
		reader->states[lane] = stored[0] | (uint32_t)stored[1] << 8 |
				       (uint32_t)stored[2] << 16;
}

int lm_rans_plane_decode(struct lm_codec *codec, const uint8_t *stored, size_t len, uint8_t *plane,
			 size_t count, struct lmodel_error *error)
{
	struct lm_rans_tables tables;
	struct lm_rans_reader reader;
	struct list list = { 0 };
	size_t at = 0;
	int rc;

	if (len < HEAD)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	rc = read_tables(stored, len, &tables, &at, error);
	if (rc != LMODEL_OK)
		return rc;
	if (stored[2] > 1)
		return lm_fail(error, LMODEL_ECORRUPT, "unknown kind %u of a rans plane",
			       stored[2]);
	if (stored[2] == 1) {
		rc = read_list(codec, stored, len, &at, count, tables.classes, &list, error);
		if (rc != LMODEL_OK)
			return rc;
	}
	if (len - at < LM_RANS_STATES)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	read_states(stored + at, &reader);
	reader.stream = stored + at + LM_RANS_STATES;
	reader.end = stored + len;
	lm_rans_weigh(&tables, stored[2] == 1, list.marker, list.neutral);
	if (!lm_rans_decode(&tables, &reader, plane, count))
		return lm_fail(error, LMODEL_ECORRUPT, "stream of a rans plane is damaged");
	if (stored[2] == 1 &&
	    lm_rans_unescape(plane, count, list.marker, list.bytes, list.count) != list.count)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "rans plane with other than its %zu escapes", list.count);
	return LMODEL_OK;
}
