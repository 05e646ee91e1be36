#include "codec/context.h"
#include "codec/even.h"
#include "codec/frame.h"
#include "codec/planes.h"
#include "codec/rans_plane.h"

/* One plane: `*plane` becomes its bytes, in the stored chunk itself or in `scratch`. */
static int decode_plane(struct lm_codec *codec, unsigned method, const uint8_t *stored, size_t len,
			uint8_t *scratch, size_t count, const uint8_t **plane,
			struct lmodel_error *error)
{
	*plane = scratch;
	switch (method) {
	case LM_PLANE_RAW:
		if (len != count)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "raw plane of %zu bytes instead of %zu", len, count);
		*plane = stored;
		return LMODEL_OK;
	case LM_PLANE_RUN:
		if (len != 1)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "run plane of %zu bytes instead of 1", len);
		memset(scratch, stored[0], count);
		return LMODEL_OK;
	case LM_PLANE_ZSTD:
		return lm_frame_decode(codec, stored, len, scratch, count, error);
	case LM_PLANE_RANS:
		return lm_rans_plane_decode(codec, stored, len, scratch, count, error);
	case LM_PLANE_EVEN:
		return lm_even_decode(stored, len, scratch, count, error);
	default:
		return lm_fail(error, LMODEL_ECORRUPT, "unknown plane method %u", method);
	}
}

static int decode_planes(struct lm_codec *codec, struct lm_coding coding, const uint8_t *stored,
			 size_t stored_len, void *raw, size_t raw_len, struct lmodel_error *error)
{
	size_t count = raw_len / coding.width, at = coding.width * (size_t)LM_PLANE_ENTRY;
	const uint8_t *planes[LM_PLANES_MAX];
	int rc;

	if (stored_len < at)
		return lm_fail(error, LMODEL_ECORRUPT, "plane table is cut short");
	rc = lm_scratch_reserve(&codec->planes, raw_len, error);
	if (rc != LMODEL_OK)
		return rc;
	for (unsigned p = 0; p < coding.width; p++) {
		const uint8_t *entry = stored + p * LM_PLANE_ENTRY;
		size_t len = lm_get_u32(entry + 1);

		if (len > stored_len - at)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "plane %u runs over the end of the chunk", p);
		rc = decode_plane(codec, entry[0], stored + at, len,
				  codec->planes.bytes + p * count, count, &planes[p], error);
		if (rc != LMODEL_OK)
			return rc;
		at += len;
	}
	if (at != stored_len)
		return lm_fail(error, LMODEL_ECORRUPT, "%zu bytes after the last plane",
			       stored_len - at);
	lm_planes_merge(coding, planes, count, raw);
	return LMODEL_OK;
}

static int decode_run(struct lm_coding coding, const uint8_t *stored, size_t stored_len,
		      uint8_t *raw, size_t raw_len, struct lmodel_error *error)
{
	if (stored_len != coding.width)
		return lm_fail(error, LMODEL_ECORRUPT, "run chunk of %zu bytes instead of %u",
			       stored_len, coding.width);
	memcpy(raw, stored, coding.width);
	/* Doubling: every copy is twice as long as the one before. */
	for (size_t done = coding.width; done < raw_len;) {
		size_t n = LM_MIN(done, raw_len - done);

		memcpy(raw + done, raw, n);
		done += n;
	}
	return LMODEL_OK;
}

int lm_chunk_decode(struct lm_codec *codec, struct lm_coding coding, enum lm_method method,
		    const void *stored, size_t stored_len, void *raw, size_t raw_len,
		    struct lmodel_error *error)
{
	if (raw_len == 0 || raw_len > LMODEL_CHUNK_MAX)
		return lm_fail(error, LMODEL_ECORRUPT, "chunk of %zu raw bytes", raw_len);
	if (stored_len > raw_len)
		return lm_fail(error, LMODEL_ECORRUPT, "%zu stored bytes for %zu raw ones",
			       stored_len, raw_len);
	coding = lm_coding_for(coding, raw_len);
	switch (method) {
	case LM_METHOD_RAW:
		if (stored_len != raw_len)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "raw chunk of %zu bytes instead of %zu", stored_len,
				       raw_len);
		memcpy(raw, stored, raw_len);
		return LMODEL_OK;
	case LM_METHOD_RUN:
		return decode_run(coding, stored, stored_len, raw, raw_len, error);
	case LM_METHOD_ZSTD:
		return lm_frame_decode(codec, stored, stored_len, raw, raw_len, error);
	case LM_METHOD_TURNED:
		if (coding.turn == 0)
			return lm_fail(error, LMODEL_ECORRUPT, "turned planes of words that are no "
				       "floats");
		coding.turn = LM_TURNED;
		return decode_planes(codec, coding, stored, stored_len, raw, raw_len, error);
	case LM_METHOD_PLANES:
		return decode_planes(codec, coding, stored, stored_len, raw, raw_len, error);
	default:
		return lm_fail(error, LMODEL_ECORRUPT, "unknown chunk method %u", (unsigned)method);
	}
}
