#include "codec/plan.h"

#include "codec/frame.h"
#include "codec/sample.h"

/* Levels without zstd's row-hash match finder: what they write does not depend on what the
 * context did before. */
#define LEVEL_SMALL 19
#define LEVEL_SAMPLE 1
#define LEVEL_GLANCE (-1) /* literals as they are: shorter than its input only by matches */

/* Up to here trying costs less than deciding wrongly. */
#define SMALL_CHUNK 65536

/* A sample: this many windows, spread over the chunk, of so many bytes of words in all. */
#define WINDOWS 4
#define SAMPLE_BYTES 8192
#define SAMPLE_PLANE 2048 /* of which matching is tried on so many of a plane */

/* A repeated row is looked for at multiples of this many bytes, by so many bytes of it. */
#define PROBE_STRIDE 256
#define PROBE_BYTES 32
#define PROBE_SLOTS 4096

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
	int rc = lm_frame_match(codec, LEVEL_SAMPLE, sample, len, &n, error);

	*pays = rc == LMODEL_OK && n * 8 < bits - bits / 16;
	return rc;
}

/* The same for one plane; `*bits` becomes what entropy coding of `SAMPLE_BYTES / width` bytes
 * of it takes. */
static int sample_plane(struct lm_codec *codec, const uint8_t *plane, size_t count,
			struct lm_coding coding, unsigned p, uint64_t *bits, bool *pays,
			struct lmodel_error *error)
{
	uint8_t sample[SAMPLE_BYTES];
	size_t len = SAMPLE_BYTES / coding.width, part = len / WINDOWS, tried = LM_MIN(len, SAMPLE_PLANE);

	*pays = false;
	for (size_t w = 0; w < WINDOWS; w++)
		memcpy(sample + w * part, plane + (count - part) / WINDOWS * w, part);
	if (memcmp(sample, sample + 1, len - 1) == 0) {
		*bits = 0;
		return LMODEL_OK;
	}
	*bits = lm_entropy_of(sample, len) / LM_BIT;
	if (*bits > len * lm_noise(coding, p) / LM_BIT) {
		*bits = len * (lm_is_even(coding, p) ? 7 : 8);
		return LMODEL_OK;
	}
	return sample_matches(codec, sample, tried, *bits * tried / len, pays, error);
}

/* Decides on matching by what it makes of a sample, against what entropy coding of the
 * sample's planes would take. */
static int plan_by_sample(struct lm_codec *codec, struct lm_coding coding, const uint8_t *raw,
			  const uint8_t *planes, size_t raw_len, struct lm_plan *plan,
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

		rc = sample_plane(codec, planes + p * count, count, coding, p, &bits,
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
	rc = lm_frame_match(codec, LEVEL_GLANCE, sample, SAMPLE_BYTES, &n, error);
	if (rc != LMODEL_OK || n > SAMPLE_BYTES - SAMPLE_BYTES / 32)
		return rc;
	return sample_matches(codec, sample, SAMPLE_BYTES, planes_bits, &plan->match_raw, error);
}

int lm_plan_make(struct lm_codec *codec, struct lm_coding coding, enum lmodel_level level,
		 const uint8_t *raw, const uint8_t *planes, size_t raw_len, struct lm_plan *plan,
		 struct lmodel_error *error)
{
	switch (level) {
	case LMODEL_LEVEL_FAST:
		*plan = (struct lm_plan){ 0 };
		return LMODEL_OK;
	case LMODEL_LEVEL_SMALL:
		*plan = (struct lm_plan){ true, true, true, LEVEL_SMALL, true };
		return LMODEL_OK;
	default:
		break;
	}
	if (raw_len <= SMALL_CHUNK) {
		*plan = (struct lm_plan){ true, true, true, LM_LEVEL_MATCH, false };
		return LMODEL_OK;
	}
	*plan = (struct lm_plan){ .level = LM_LEVEL_MATCH };
	return plan_by_sample(codec, coding, raw, planes, raw_len, plan, error);
}
