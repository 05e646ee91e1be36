#include "codec/rans_plane.h"

#include "codec/frame.h"
#include "codec/rans.h"

#define HEAD 3         /* first and last byte with slots, whether there are escapes */
#define LIST_HEAD 10   /* marker, method, raw and stored length */

/* Counting takes longer than coding: so one block of each stretch stands for all of it. Bytes that
 * occur in no such block can be escaped, where there is a marker. */
#define BLOCK 64
#define STRETCH 512
#define SAMPLE_MIN 131072

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
	return lm_rans_model(model, counts, stretches * BLOCK) && model->escapes;
}

static bool make_model(struct lm_rans_model *model, const uint8_t *plane, size_t count,
		       uint8_t *scratch)
{
	uint32_t counts[256] = { 0 };

	if (count >= SAMPLE_MIN && model_by_sample(model, plane, count, scratch))
		return true;
	lm_histogram(plane, count, counts);
	return lm_rans_model(model, counts, count);
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
	return HEAD + (size_t)(p->model->last - p->model->first) + 1 +
	       (p->model->escapes ? LIST_HEAD + p->list_len : 0) + LM_RANS_STATES + p->stream_len;
}

static void put_parts(const struct parts *p, uint8_t *out)
{
	const struct lm_rans_model *m = p->model;

	*out++ = m->first;
	*out++ = m->last;
	*out++ = m->escapes;
	for (size_t s = m->first; s <= m->last; s++)
		*out++ = m->has_slots[s] ? m->freq[s] : 0;
	if (m->escapes) {
		out[0] = m->marker;
		out[1] = (uint8_t)p->list_method;
		lm_put_u32(out + 2, (uint32_t)p->list_raw_len);
		lm_put_u32(out + 6, (uint32_t)p->list_len);
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

int lm_rans_plane_encode(struct lm_codec *codec, const uint8_t *plane, size_t count, size_t limit,
			 uint8_t *out, size_t room, size_t *len, struct lmodel_error *error)
{
	size_t needed = count + LM_RANS_LANES, frame = ZSTD_compressBound(count);
	struct lm_rans_model model;
	struct lm_rans_coder coder;
	struct parts parts = { .model = &model, .coder = &coder };
	int rc;

	*len = 0;
	rc = lm_scratch_reserve(&codec->stream, needed, error);
	if (rc == LMODEL_OK)
		rc = lm_scratch_reserve(&codec->list, frame + needed, error);
	if (rc != LMODEL_OK || !make_model(&model, plane, count, codec->stream.bytes))
		return rc;
	coder.stream = codec->stream.bytes + needed;
	coder.list = codec->list.bytes + frame + needed;
	lm_rans_encode(&model, plane, count, &coder);
	parts.stream_len = (size_t)(codec->stream.bytes + needed - coder.stream);
	parts.list_raw_len = (size_t)(codec->list.bytes + frame + needed - coder.list);
	rc = pack_list(codec, &parts, codec->list.bytes, frame, error);
	if (rc != LMODEL_OK)
		return rc;
	if (total(&parts) >= limit)
		return LMODEL_OK;
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
	uint8_t marker;
};

/* Reads the list at `*at`, which moves behind it. */
static int read_list(struct lm_codec *codec, const uint8_t *stored, size_t len, size_t *at,
		     size_t count, struct list *list, struct lmodel_error *error)
{
	const uint8_t *head = stored + *at;
	size_t list_len;
	int rc;

	if (len - *at < LIST_HEAD)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	*at += LIST_HEAD;
	list->marker = head[0];
	list->count = lm_get_u32(head + 2);
	list_len = lm_get_u32(head + 6);
	if (list_len > len - *at)
		return lm_fail(error, LMODEL_ECORRUPT, "list runs over the end of its rans plane");
	if (list->count == 0 || list->count > count)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "list of %zu bytes in a rans plane of %zu bytes", list->count,
			       count);
	list->bytes = stored + *at;
	*at += list_len;
	if (head[1] == LM_PLANE_RAW && list_len == list->count)
		return LMODEL_OK;
	if (head[1] != LM_PLANE_ZSTD)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "list of %zu bytes stored as %zu by method %u in a rans plane",
			       list->count, list_len, head[1]);
	rc = lm_scratch_reserve(&codec->list, list->count, error);
	if (rc == LMODEL_OK)
		rc = lm_frame_decode(codec, list->bytes, list_len, codec->list.bytes, list->count,
				     error);
	list->bytes = codec->list.bytes;
	return rc;
}

/* Reads the frequencies at HEAD; the slots that they give. */
static int read_slots(const uint8_t *stored, size_t len, struct lm_rans_slots *slots,
		      struct lmodel_error *error)
{
	size_t values = (size_t)stored[1] - stored[0] + 1;
	const uint8_t *freqs = stored + HEAD;

	if (stored[0] >= stored[1])
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane of fewer than two values");
	if (len - HEAD < values)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	if (freqs[0] == 0 || freqs[values - 1] == 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "rans plane whose first or last value has no slot");
	if (!lm_rans_slots(slots, freqs, values, stored[0]))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "frequencies of a rans plane do not sum up to %d", LM_RANS_SLOTS);
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
	struct lm_rans_slots slots;
	struct lm_rans_reader reader;
	struct list list = { 0 };
	size_t at;
	int rc;

	if (len < HEAD)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	rc = read_slots(stored, len, &slots, error);
	if (rc != LMODEL_OK)
		return rc;
	at = HEAD + (size_t)stored[1] - stored[0] + 1;
	if (stored[2] > 1)
		return lm_fail(error, LMODEL_ECORRUPT, "unknown kind %u of a rans plane",
			       stored[2]);
	if (stored[2] == 1) {
		rc = read_list(codec, stored, len, &at, count, &list, error);
		if (rc != LMODEL_OK)
			return rc;
	}
	if (len - at < LM_RANS_STATES)
		return lm_fail(error, LMODEL_ECORRUPT, "rans plane is cut short");
	read_states(stored + at, &reader);
	reader.stream = stored + at + LM_RANS_STATES;
	reader.end = stored + len;
	if (!lm_rans_decode(&slots, &reader, plane, count))
		return lm_fail(error, LMODEL_ECORRUPT, "stream of a rans plane is damaged");
	if (stored[2] == 1 &&
	    lm_rans_unescape(plane, count, list.marker, list.bytes, list.count) != list.count)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "rans plane with other than its %zu escapes", list.count);
	return LMODEL_OK;
}
