#include "codec/context.h"
#include "codec/even.h"
#include "codec/frame.h"
#include "codec/plan.h"
#include "codec/planes.h"
#include "codec/rans_plane.h"
#include "codec/sample.h"

/* Up to here trying costs less than deciding wrongly. */
#define SMALL_PLANE 65536

/* From how many bytes on a plane is tried by rANS, and by it alone. */
#define RANS_MIN 1024
#define RANS_ALONE 65536

/* From how many raw bytes on a sample tells whether words of floats are turned. */
#define TURNED_MIN 65536

static bool is_constant(const uint8_t *bytes, size_t len, size_t width)
{
	return memcmp(bytes, bytes + width, len - width) == 0;
}

/* Takes the scratch frame of `n` bytes for a plane when it is the shortest so far. */
static void keep_frame(struct lm_codec *codec, size_t n, uint8_t *out, size_t room,
		       enum lm_plane_method *method, size_t *len)
{
	if (n >= *len)
		return;
	*method = LM_PLANE_ZSTD;
	*len = n;
	memcpy(out, codec->frame.bytes, LM_MIN(n, room));
}

/* The entropy stage alone: by rANS, or by zstd where a plane is too short for 64 states. A gain of
 * less than one part in 64 is not worth decoding, unless size is all that counts. */
static int entropy_plane(struct lm_codec *codec, const struct lm_plan *plan, const uint8_t *plane, size_t count,
			 uint8_t *out, size_t room, enum lm_plane_method *method, size_t *len,
			 struct lmodel_error *error)
{
	size_t limit = plan->squeeze ? *len : *len - *len / 64, n;
	int rc;

	if (count >= RANS_MIN) {
		rc = lm_rans_plane_encode(codec, plane, count, limit, plan->try_all, out, room,
					  &n, error);
		if (rc != LMODEL_OK)
			return rc;
		if (n != 0) {
			*method = LM_PLANE_RANS;
			*len = n;
		}
	}
	if (count < RANS_ALONE) {
		rc = lm_frame_encode(codec->entropy, plane, count, codec->frame.bytes,
				     codec->frame.size, &n, error);
		if (rc != LMODEL_OK)
			return rc;
		if (n < limit)
			keep_frame(codec, n, out, room, method, len);
	}
	return LMODEL_OK;
}

/* Without the lowest bit, where nearly all bytes have none. */
static void even_plane(struct lm_codec *codec, const uint8_t *plane, size_t count, uint8_t *out,
		       size_t room, enum lm_plane_method *method, size_t *len)
{
	bool fits = room >= lm_even_bound(count);
	size_t n = lm_even_encode(plane, count, fits ? out : codec->frame.bytes);

	if (n == 0 || n >= *len)
		return;
	*method = LM_PLANE_EVEN;
	*len = n;
	if (!fits)
		memcpy(out, codec->frame.bytes, LM_MIN(n, room));
}

/* What there is to know of a plane before it is coded. */
struct plane {
	const uint8_t *bytes;
	size_t count;
	bool even;      /* it is likely to be */
	uint64_t noise; /* as much entropy as there can be */
};

/* Matching at the plan's level, after a glance: what misses `best` by more than an eighth at a fast
 * level does not reach it at a slow one, which takes a hundred times as long. */
static int try_matches(struct lm_codec *codec, const struct lm_plan *plan, const uint8_t *bytes,
		       size_t count, size_t best, size_t *len, struct lmodel_error *error)
{
	int rc = lm_frame_match(codec, LM_LEVEL_MATCH, bytes, count, len, error);

	if (rc != LMODEL_OK || plan->level == LM_LEVEL_MATCH || *len > best + best / 8)
		return rc;
	return lm_frame_match(codec, plan->level, bytes, count, len, error);
}

/* Tries what may pay. */
static int try_plane(struct lm_codec *codec, const struct lm_plan *plan, const struct plane *plane,
		     uint8_t *out, size_t room, enum lm_plane_method *method, size_t *len,
		     struct lmodel_error *error)
{
	size_t n;
	int rc;

	if (plane->even)
		even_plane(codec, plane->bytes, plane->count, out, room, method, len);
	if (!plan->try_all && plane->count > SMALL_PLANE &&
	    lm_sample_plane(plane->bytes, plane->count) > plane->noise)
		return LMODEL_OK;
	rc = entropy_plane(codec, plan, plane->bytes, plane->count, out, room, method, len, error);
	if (rc != LMODEL_OK || !plan->match_planes)
		return rc;
	rc = try_matches(codec, plan, plane->bytes, plane->count, *len, &n, error);
	if (rc == LMODEL_OK)
		keep_frame(codec, n, out, room, method, len);
	return rc;
}

/* Codes a plane alone into `out`, where `room` bytes are; more than that are not written but still
 * counted in `*len`. */
static int encode_plane(struct lm_codec *codec, const struct lm_plan *plan,
			const struct plane *plane, uint8_t *out, size_t room,
			enum lm_plane_method *method, size_t *len, struct lmodel_error *error)
{
	int rc = LMODEL_OK;

	if (is_constant(plane->bytes, plane->count, 1)) {
		*method = LM_PLANE_RUN;
		*len = 1;
	} else {
		*method = LM_PLANE_RAW;
		*len = plane->count;
		rc = try_plane(codec, plan, plane, out, room, method, len, error);
	}
	if (*method == LM_PLANE_RAW || *method == LM_PLANE_RUN)
		memcpy(out, plane->bytes, LM_MIN(*len, room));
	return rc;
}

/* All planes with their table, unless that is not shorter than the raw bytes: then `*len` is
 * `raw_len` and `out` holds nothing. */
static int encode_planes(struct lm_codec *codec, const struct lm_plan *plan, struct lm_coding coding,
			 const uint8_t *planes, size_t raw_len, uint8_t *out, size_t *len,
			 struct lmodel_error *error)
{
	size_t count = raw_len / coding.width, at = coding.width * (size_t)LM_PLANE_ENTRY;

	*len = raw_len;
	for (unsigned p = 0; p < coding.width && at < raw_len; p++) {
		enum lm_plane_method method;
		size_t n;
		const struct plane plane = {
			.bytes = planes + p * count, .count = count,
			.even = lm_is_even(coding, p), .noise = lm_noise(coding, p),
		};
		int rc;

		rc = encode_plane(codec, plan, &plane, out + at, raw_len - at, &method, &n, error);
		if (rc != LMODEL_OK)
			return rc;
		out[p * LM_PLANE_ENTRY] = (uint8_t)method;
		lm_put_u32(out + p * LM_PLANE_ENTRY + 1, (uint32_t)n);
		at += n;
	}
	*len = LM_MIN(at, raw_len);
	return LMODEL_OK;
}

/* A single plane needs no table where its method is one of the chunk's, too. It is no run, that was
 * seen to. */
static int encode_bytes(struct lm_codec *codec, struct lm_plan *plan, const uint8_t *raw,
			size_t raw_len, uint8_t *out, enum lm_method *method, size_t *out_len,
			struct lmodel_error *error)
{
	const struct plane plane = {
		.bytes = raw, .count = raw_len, .noise = lm_noise((struct lm_coding){ .width = 1 }, 0),
	};
	enum lm_plane_method plane_method;
	int rc;

	plan->match_planes |= plan->match_raw;
	rc = encode_plane(codec, plan, &plane, out, raw_len, &plane_method, out_len, error);
	if (rc != LMODEL_OK)
		return rc;
	*method = plane_method == LM_PLANE_ZSTD ? LM_METHOD_ZSTD : LM_METHOD_RAW;
	if (plane_method != LM_PLANE_RANS)
		return LMODEL_OK;
	if (*out_len + LM_PLANE_ENTRY >= raw_len) {
		*out_len = raw_len;
		memcpy(out, raw, raw_len);
		return LMODEL_OK;
	}
	memmove(out + LM_PLANE_ENTRY, out, *out_len);
	out[0] = LM_PLANE_RANS;
	lm_put_u32(out + 1, (uint32_t)*out_len);
	*out_len += LM_PLANE_ENTRY;
	*method = LM_METHOD_PLANES;
	return LMODEL_OK;
}

static int encode_words(struct lm_codec *codec, const struct lm_plan *plan, struct lm_coding coding,
			const uint8_t *raw, const uint8_t *planes, size_t raw_len, uint8_t *out,
			enum lm_method *method, size_t *out_len, struct lmodel_error *error)
{
	size_t n;
	int rc = encode_planes(codec, plan, coding, planes, raw_len, out, out_len, error);

	if (rc != LMODEL_OK)
		return rc;
	*method = *out_len >= raw_len ? LM_METHOD_RAW :
		  coding.turn == LM_TURNED ? LM_METHOD_TURNED : LM_METHOD_PLANES;
	if (plan->match_raw) {
		rc = try_matches(codec, plan, raw, raw_len, *out_len, &n, error);
		if (rc != LMODEL_OK)
			return rc;
		if (n < *out_len) {
			*method = LM_METHOD_ZSTD;
			*out_len = n;
			memcpy(out, codec->frame.bytes, n);
		}
	}
	if (*method == LM_METHOD_RAW)
		memcpy(out, raw, raw_len);
	return LMODEL_OK;
}

int lm_chunk_encode(struct lm_codec *codec, struct lm_coding coding, enum lmodel_level level,
		    const void *raw, size_t raw_len, void *out, enum lm_method *method,
		    size_t *out_len, struct lmodel_error *error)
{
	const uint8_t *planes = raw;
	struct lm_plan plan;
	int rc;

	if (raw_len == 0 || raw_len > LMODEL_CHUNK_MAX)
		return lm_fail(error, LMODEL_EUSAGE, "chunk of %zu raw bytes", raw_len);
	coding = lm_coding_for(coding, raw_len);
	if (is_constant(raw, raw_len, coding.width)) {
		*method = LM_METHOD_RUN;
		*out_len = coding.width;
		memcpy(out, raw, coding.width);
		return LMODEL_OK;
	}
	rc = lm_scratch_reserve(&codec->frame, ZSTD_compressBound(raw_len), error);
	if (rc != LMODEL_OK)
		return rc;
	if (raw_len >= TURNED_MIN && lm_sample_turned(coding, raw, raw_len))
		coding.turn = LM_TURNED;
	if (coding.width > 1) {
		rc = lm_scratch_reserve(&codec->planes, raw_len, error);
		if (rc != LMODEL_OK)
			return rc;
		planes = codec->planes.bytes;
		lm_planes_split(coding, raw, raw_len / coding.width, codec->planes.bytes);
	}
	rc = lm_plan_make(codec, coding, level, raw, planes, raw_len, &plan, error);
	if (rc != LMODEL_OK)
		return rc;
	if (coding.width == 1)
		return encode_bytes(codec, &plan, raw, raw_len, out, method, out_len, error);
	return encode_words(codec, &plan, coding, raw, planes, raw_len, out, method, out_len,
			    error);
}
