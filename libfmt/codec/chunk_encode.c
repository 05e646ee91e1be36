#include "codec/context.h"
#include "codec/frame.h"
#include "codec/planes.h"
#include "codec/rans_plane.h"

/* What the encoder tries on a chunk. Any choice is valid (spec: 5): it moves size and speed
 * only. It depends on the bytes and the level alone, so that the result is deterministic. */
struct plan {
	bool try_all;      /* every plane, also where a sample calls it noise */
	bool match_planes; /* zstd with matching, over each plane that entropy coding shrinks */
	bool match_raw;    /* zstd with matching, over the words as they are */
	int level;         /* of the matching */
};

/* Levels without zstd's row-hash match finder: what they write does not depend on what the
 * context did before. */
#define LEVEL_MATCH 3
#define LEVEL_SMALL 19
#define LEVEL_SAMPLE 1
#define LEVEL_GLANCE (-1) /* literals as they are: shorter than its input only by matches */

/* Up to here trying costs less than deciding wrongly. */
#define SMALL_CHUNK 65536
#define SMALL_PLANE 65536

/* From how many bytes on a plane is tried by rANS, and by it alone. */
#define RANS_MIN 1024
#define RANS_ALONE 65536

/* A sample: this many windows, spread over the chunk, of so many bytes of words in all. */
#define WINDOWS 4
#define SAMPLE_BYTES 8192
#define SAMPLE_PLANE 2048 /* of which matching is tried on so many of a plane */
#define SAMPLE_NOISE 2048 /* in windows half as long, to tell whether a plane is noise */

/* A repeated row is looked for at multiples of this many bytes, by so many bytes of it. */
#define PROBE_STRIDE 256
#define PROBE_BYTES 32
#define PROBE_SLOTS 4096

#define BIT 65536 /* entropies are in fixed point: so many units a bit */

/* log2(x) for x >= 1, within 0.01. Integers, so that every machine decides alike. */
static uint64_t log2_fixed(uint32_t x)
{
	unsigned whole = 31u - (unsigned)__builtin_clz(x);
	uint64_t part = ((uint64_t)x << 16 >> whole) - BIT;

	return whole * (uint64_t)BIT + part + (part * (BIT - part) >> 16) * 22486 / BIT;
}

/* Order-0 entropy of all of `len` bytes, in BIT units, with Miller and Madow's correction for
 * how few they are: without it noise in a short sample looks compressible. */
static uint64_t entropy_of(const uint8_t *bytes, size_t len)
{
	uint32_t counts[4][256] = { 0 };
	uint64_t sum = 0, log_len = log2_fixed((uint32_t)len);
	unsigned distinct = 0;
	size_t i;

	for (i = 0; i + 4 <= len; i += 4)
		for (size_t k = 0; k < 4; k++)
			counts[k][bytes[i + k]]++;
	for (; i < len; i++)
		counts[0][bytes[i]]++;
	for (size_t s = 0; s < 256; s++) {
		uint32_t n = counts[0][s] + counts[1][s] + counts[2][s] + counts[3][s];

		if (n == 0)
			continue;
		distinct++;
		sum += n * (log_len - LM_MIN(log_len, log2_fixed(n)));
	}
	return sum + (distinct - 1) * (uint64_t)BIT * 100 / 139; /* (distinct - 1) / (2 ln 2) */
}

static bool is_constant(const uint8_t *bytes, size_t len, size_t width)
{
	return memcmp(bytes, bytes + width, len - width) == 0;
}

static int make_matched_frame(struct lm_codec *codec, int level, const uint8_t *bytes, size_t count,
			      size_t *len, struct lmodel_error *error)
{
	size_t n = ZSTD_CCtx_setParameter(codec->match, ZSTD_c_compressionLevel, level);

	if (ZSTD_isError(n))
		return lm_fail(error, LMODEL_EFAILED, "zstd: %s", ZSTD_getErrorName(n));
	return lm_frame_encode(codec->match, bytes, count, codec->frame.bytes, codec->frame.size,
			       len, error);
}

/* Whether entropy coding cannot gain on `len` bytes, by a sample. zstd itself gives up below
 * a gain of one part in 64. */
static bool looks_like_noise(const uint8_t *bytes, size_t len)
{
	uint8_t sample[SAMPLE_NOISE];
	size_t part = sizeof(sample) / (2 * WINDOWS);

	for (size_t w = 0; w < 2 * WINDOWS; w++)
		memcpy(sample + w * part, bytes + (len - part) / (2 * WINDOWS) * w, part);
	return entropy_of(sample, sizeof(sample)) > sizeof(sample) * (uint64_t)BIT * 63 / 8;
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
 * less than one part in 64 is not worth decoding. */
static int entropy_plane(struct lm_codec *codec, const uint8_t *plane, size_t count, uint8_t *out,
			 size_t room, enum lm_plane_method *method, size_t *len,
			 struct lmodel_error *error)
{
	size_t n = 0;
	int rc;

	if (count >= RANS_MIN) {
		rc = lm_rans_plane_encode(codec, plane, count, out, room, &n, error);
		if (rc != LMODEL_OK)
			return rc;
		if (n != 0 && n < count - count / 64) {
			*method = LM_PLANE_RANS;
			*len = n;
		}
	}
	if (count < RANS_ALONE) {
		rc = lm_frame_encode(codec->entropy, plane, count, codec->frame.bytes,
				     codec->frame.size, &n, error);
		if (rc != LMODEL_OK)
			return rc;
		if (n < count - count / 64)
			keep_frame(codec, n, out, room, method, len);
	}
	return LMODEL_OK;
}

/* Codes `count` bytes alone into `out`, where `room` bytes are; more than that are not written
 * but still counted in `*len`. */
static int encode_plane(struct lm_codec *codec, const struct plan *plan, const uint8_t *plane,
			size_t count, uint8_t *out, size_t room, enum lm_plane_method *method,
			size_t *len, struct lmodel_error *error)
{
	size_t n;
	int rc;

	*method = LM_PLANE_RAW;
	*len = count;
	if (is_constant(plane, count, 1)) {
		*method = LM_PLANE_RUN;
		*len = 1;
	} else if (plan->try_all || count <= SMALL_PLANE || !looks_like_noise(plane, count)) {
		rc = entropy_plane(codec, plane, count, out, room, method, len, error);
		if (rc == LMODEL_OK && plan->match_planes) {
			rc = make_matched_frame(codec, plan->level, plane, count, &n, error);
			if (rc == LMODEL_OK)
				keep_frame(codec, n, out, room, method, len);
		}
		if (rc != LMODEL_OK)
			return rc;
	}
	if (*method == LM_PLANE_RAW || *method == LM_PLANE_RUN)
		memcpy(out, plane, LM_MIN(*len, room));
	return LMODEL_OK;
}

/* All planes with their table, unless that is not shorter than the raw bytes: then `*len` is
 * `raw_len` and `out` holds nothing. */
static int encode_planes(struct lm_codec *codec, const struct plan *plan, struct lm_coding coding,
			 const uint8_t *planes, size_t raw_len, uint8_t *out, size_t *len,
			 struct lmodel_error *error)
{
	size_t count = raw_len / coding.width, at = coding.width * (size_t)LM_PLANE_ENTRY;

	*len = raw_len;
	for (unsigned p = 0; p < coding.width && at < raw_len; p++) {
		enum lm_plane_method method;
		size_t n;
		int rc = encode_plane(codec, plan, planes + p * count, count, out + at,
				      raw_len - at, &method, &n, error);

		if (rc != LMODEL_OK)
			return rc;
		out[p * LM_PLANE_ENTRY] = (uint8_t)method;
		lm_put_u32(out + p * LM_PLANE_ENTRY + 1, (uint32_t)n);
		at += n;
	}
	*len = LM_MIN(at, raw_len);
	return LMODEL_OK;
}

/* Whether blocks at multiples of PROBE_STRIDE occur again, often enough to matter: rows of an
 * embedding repeat farther apart than a sample can see. Zeros do not count; where they matter
 * the sample shows them. */
static bool repeats_far(const uint8_t *raw, size_t len)
{
	uint32_t slots[PROBE_SLOTS] = { 0 }; /* where a block of that hash was seen last */
	size_t hits = 0, probes = len / PROBE_STRIDE;

	for (size_t i = 0; i < probes; i++) {
		const uint8_t *block = raw + i * PROBE_STRIDE;
		uint64_t v = lm_get_u64(block);
		uint32_t *slot = &slots[v * UINT64_C(0x9e3779b97f4a7c15) >> 52];

		hits += v != 0 && memcmp(raw + *slot, block, PROBE_BYTES) == 0 && i != 0;
		*slot = (uint32_t)(i * PROBE_STRIDE);
	}
	return hits > probes / 32;
}

/* Whether matching codes a sample of a plane or of words in less than `bits`. */
static int sample_matches(struct lm_codec *codec, const uint8_t *sample, size_t len, uint64_t bits,
			  bool *pays, struct lmodel_error *error)
{
	size_t n;
	int rc = make_matched_frame(codec, LEVEL_SAMPLE, sample, len, &n, error);

	*pays = rc == LMODEL_OK && n * 8 < bits - bits / 16;
	return rc;
}

/* The same for one plane; `*bits` becomes what entropy coding of `SAMPLE_BYTES / width` bytes
 * of it takes. */
static int sample_plane(struct lm_codec *codec, const uint8_t *plane, size_t count, unsigned width,
			uint64_t *bits, bool *pays, struct lmodel_error *error)
{
	uint8_t sample[SAMPLE_BYTES];
	size_t len = SAMPLE_BYTES / width, part = len / WINDOWS, tried = LM_MIN(len, SAMPLE_PLANE);

	*pays = false;
	for (size_t w = 0; w < WINDOWS; w++)
		memcpy(sample + w * part, plane + (count - part) / WINDOWS * w, part);
	if (is_constant(sample, len, 1)) {
		*bits = 0;
		return LMODEL_OK;
	}
	*bits = entropy_of(sample, len) / BIT;
	if (*bits > len * 63 / 8) {
		*bits = len * 8;
		return LMODEL_OK;
	}
	return sample_matches(codec, sample, tried, *bits * tried / len, pays, error);
}

/* Decides on matching by what it makes of a sample, against what entropy coding of the
 * sample's planes would take. */
static int plan_by_sample(struct lm_codec *codec, struct lm_coding coding, const uint8_t *raw,
			  const uint8_t *planes, size_t raw_len, struct plan *plan,
			  struct lmodel_error *error)
{
	size_t count = raw_len / coding.width, part = SAMPLE_BYTES / WINDOWS, n;
	size_t step = (raw_len - part) / WINDOWS / coding.width * coding.width;
	uint8_t sample[SAMPLE_BYTES];
	uint64_t planes_bits = 0;
	int rc;

	/* Repeated noise is worth matching, plane by plane too. */
	plan->try_all = plan->match_planes = repeats_far(raw, raw_len);
	for (unsigned p = 0; p < coding.width && !plan->match_planes; p++) {
		uint64_t bits;

		rc = sample_plane(codec, planes + p * count, count, coding.width, &bits,
				  &plan->match_planes, error);
		if (rc != LMODEL_OK)
			return rc;
		planes_bits += bits;
	}
	if (plan->match_planes) {
		plan->match_raw = true;
		return LMODEL_OK;
	}
	for (size_t w = 0; w < WINDOWS; w++)
		memcpy(sample + w * part, raw + w * step, part);
	rc = make_matched_frame(codec, LEVEL_GLANCE, sample, SAMPLE_BYTES, &n, error);
	if (rc != LMODEL_OK || n > SAMPLE_BYTES - SAMPLE_BYTES / 32)
		return rc;
	return sample_matches(codec, sample, SAMPLE_BYTES, planes_bits, &plan->match_raw, error);
}

static int make_plan(struct lm_codec *codec, struct lm_coding coding, enum lmodel_level level,
		     const uint8_t *raw, const uint8_t *planes, size_t raw_len, struct plan *plan,
		     struct lmodel_error *error)
{
	switch (level) {
	case LMODEL_LEVEL_FAST:
		*plan = (struct plan){ 0 };
		return LMODEL_OK;
	case LMODEL_LEVEL_SMALL:
		*plan = (struct plan){ true, true, true, LEVEL_SMALL };
		return LMODEL_OK;
	default:
		break;
	}
	if (raw_len <= SMALL_CHUNK) {
		*plan = (struct plan){ true, true, true, LEVEL_MATCH };
		return LMODEL_OK;
	}
	*plan = (struct plan){ .level = LEVEL_MATCH };
	return plan_by_sample(codec, coding, raw, planes, raw_len, plan, error);
}

/* A single plane needs no table where its method is one of the chunk's, too. It is no run, that was
 * seen to. */
static int encode_bytes(struct lm_codec *codec, struct plan *plan, const uint8_t *raw,
			size_t raw_len, uint8_t *out, enum lm_method *method, size_t *out_len,
			struct lmodel_error *error)
{
	enum lm_plane_method plane_method;
	int rc;

	plan->match_planes |= plan->match_raw;
	rc = encode_plane(codec, plan, raw, raw_len, out, raw_len, &plane_method, out_len, error);
	if (rc != LMODEL_OK)
		return rc;
	*method = plane_method == LM_PLANE_ZSTD ? LM_METHOD_ZSTD : LM_METHOD_RAW;
	if (plane_method != LM_PLANE_RANS)
		return LMODEL_OK;
	/* A gain of one part in 64 of so much is more than the entry takes. */
	memmove(out + LM_PLANE_ENTRY, out, *out_len);
	out[0] = LM_PLANE_RANS;
	lm_put_u32(out + 1, (uint32_t)*out_len);
	*out_len += LM_PLANE_ENTRY;
	*method = LM_METHOD_PLANES;
	return LMODEL_OK;
}

static int encode_words(struct lm_codec *codec, const struct plan *plan, struct lm_coding coding,
			const uint8_t *raw, const uint8_t *planes, size_t raw_len, uint8_t *out,
			enum lm_method *method, size_t *out_len, struct lmodel_error *error)
{
	size_t n;
	int rc = encode_planes(codec, plan, coding, planes, raw_len, out, out_len, error);

	if (rc != LMODEL_OK)
		return rc;
	*method = *out_len < raw_len ? LM_METHOD_PLANES : LM_METHOD_RAW;
	if (plan->match_raw) {
		rc = make_matched_frame(codec, plan->level, raw, raw_len, &n, error);
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
	struct plan plan;
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
	if (coding.width > 1) {
		rc = lm_scratch_reserve(&codec->planes, raw_len, error);
		if (rc != LMODEL_OK)
			return rc;
		planes = codec->planes.bytes;
		lm_planes_split(coding, raw, raw_len / coding.width, codec->planes.bytes);
	}
	rc = make_plan(codec, coding, level, raw, planes, raw_len, &plan, error);
	if (rc != LMODEL_OK)
		return rc;
	if (coding.width == 1)
		return encode_bytes(codec, &plan, raw, raw_len, out, method, out_len, error);
	return encode_words(codec, &plan, coding, raw, planes, raw_len, out, method, out_len,
			    error);
}
