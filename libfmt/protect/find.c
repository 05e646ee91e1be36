#include "protect/score.h"

#include <float.h>
#include <math.h>

#include "protect/kernels.h"

/* Keys by sampling are score / e, e = -log2(u), of which few reach the line. As e is at least
 * (1 - u) / ln 2, a product and a comparison tell nearly all that cannot (protect/kernels.h); of
 * those that are left, one in a hundred falls short. */

/* The scale of noise, 2^23 of it, over the logarithm's slope; and some more for what rounding and
 * the logarithm's polynomial may be off: 5e-5. */
#define SLOPE (0x1p23f * 0.69314718f * 1.0002f)

/* Outside of this, clamping of scores (protect/kernels_lanes.h) has a part in what is high. */
static const float line_low = 0x1p-60f, line_high = 0x1p60f;

enum { SLACK = LM_KERNELS_SLACK };

/* ---- what is found ---- */

static int make_room(struct lm_keys_found *found, size_t n, struct lmodel_error *error)
{
	void *at, *keys;

	n += SLACK;
	if (n <= found->capacity)
		return LMODEL_OK;
	n = LM_MAX(n, found->capacity + found->capacity / 2);
	at = realloc(found->at, n * sizeof(*found->at));
	if (at != NULL)
		found->at = at;
	keys = realloc(found->keys, n * sizeof(*found->keys));
	if (keys != NULL)
		found->keys = keys;
	if (at == NULL || keys == NULL)
		return lm_fail_memory(error);
	found->capacity = n;
	return LMODEL_OK;
}

void lm_keys_found_free(struct lm_keys_found *found)
{
	free(found->at);
	free(found->keys);
	*found = (struct lm_keys_found){ 0 };
}

/* ---- the keys of all units ---- */

/* `count` units from `first` on, whose places are told from `place` on. */
static int find_among_all(const struct lm_scorer *s, uint64_t first, uint64_t count,
			  const uint8_t *bytes, uint64_t least, uint64_t place,
			  struct lm_keys_found *found, struct lmodel_error *error)
{
	enum { SOME = 4 * LM_KEY_BATCH };
	uint64_t keys[SOME];
	uint32_t at[SOME + SLACK];

	for (uint64_t done = 0, n; done < count; done += n) {
		const uint8_t *part = bytes == NULL ? NULL : bytes + done * s->units->unit_bytes;
		size_t high;
		int r;

		n = LM_MIN(count - done, SOME - (first + done) % SOME);
		r = lm_scorer_keys(s, first + done, n, part, keys, error);
		if (r != LMODEL_OK)
			return r;
		high = lm_kernels()->at_least(keys, (size_t)n, least, at);
		if (make_room(found, found->count + high, error) != LMODEL_OK)
			return LMODEL_EFAILED;
		for (size_t i = 0; i < high; i++) {
			found->at[found->count] = (uint32_t)(place + done) + at[i];
			found->keys[found->count++] = keys[at[i]];
		}
	}
	return LMODEL_OK;
}

/* ---- those that can be high ---- */

typedef size_t hopeful_fn(const uint8_t *bytes, const uint32_t *noise, float by,
			  const float *column, size_t n, uint32_t *at);

struct search {
	const struct lm_scorer *scorer;
	const struct lm_kernels *kernels;
	hopeful_fn *hopeful;
	size_t width;               /* bytes of an element */
	float by;                   /* for a score of 1 */
	uint32_t noise[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint32_t at[LM_KEY_BATCH + SLACK];

	/* Of the hopeful ones of a batch: */
	size_t count;
	uint8_t bytes[4 * LM_KEY_BATCH];
	float magnitudes[LM_KEY_BATCH] LM_KEY_ALIGNED;
	float scores[LM_KEY_BATCH] LM_KEY_ALIGNED;
	float columns[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint32_t words[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint64_t keys[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint32_t places[LM_KEY_BATCH]; /* in the batch */
};

/* Whether the scorer and the line are such that it is known in this way. */
static bool is_simple(struct search *f, const struct lm_scorer *s, uint64_t least)
{
	const char *name;
	const uint32_t bits = (uint32_t)(least >> 32) & 0x7fffffff;
	float line;

	if (s->method != LM_SELECT_PSS || s->scores != NULL || s->reference != NULL ||
	    s->keys != NULL || s->units->kind == LM_UNIT_COLUMN || s->unit_elements != 1 ||
	    least >> 63 == 0 || (s->scale.active && s->scale.inner != 1 &&
				 (s->scale.row != NULL || s->scale.column != NULL)))
		return false;
	memcpy(&line, &bits, sizeof(line));
	if (!(line >= line_low && line <= line_high))
		return false;
	name = s->units->dtype->name;
	f->scorer = s;
	f->kernels = lm_kernels();
	f->by = SLOPE / line;
	f->width = s->units->dtype->bits / 8;
	f->hopeful = strcmp(name, "BF16") == 0 ? f->kernels->hopeful_bf16 :
		     strcmp(name, "F32") == 0  ? f->kernels->hopeful_f32 :
		     strcmp(name, "F16") == 0  ? f->kernels->hopeful_f16 : NULL;
	return f->hopeful != NULL;
}

static void magnitudes(const struct search *f, size_t from, float *out)
{
	lm_score_magnitudes(f->scorer->units->dtype, f->bytes + f->width * from, f->count - from,
			    out + from);
}

/* The hopeful ones of `n` units side by side with one factor `row`, from the batch's unit `start` on;
 * `column` may be NULL. False where the factor is too far from 1. */
static bool pick(struct search *f, size_t start, const uint8_t *bytes, float row,
		 const float *column, size_t n)
{
	const float by = f->by * row;
	const size_t from = f->count;
	size_t found;

	if (!(by >= FLT_MIN && by <= FLT_MAX))
		return false;
	found = f->hopeful(bytes + f->width * start, f->noise + start, by, column, n, f->at);
	for (size_t i = 0; i < found; i++) {
		const size_t at = f->at[i], to = from + i;

		if (f->width == 2)
			memcpy(f->bytes + 2 * to, bytes + 2 * (start + at), 2);
		else
			memcpy(f->bytes + 4 * to, bytes + 4 * (start + at), 4);
		f->words[to] = f->noise[start + at];
		f->columns[to] = column != NULL ? column[at] : 1;
		f->places[to] = (uint32_t)(start + at);
	}
	f->count += found;
	if (!f->scorer->scale.active)
		return true;
	/* The product as lm_scale_apply() makes it: a factor of 1 changes nothing. */
	magnitudes(f, from, f->magnitudes);
	f->kernels->multiply(f->magnitudes + from, row, f->columns + from, found,
			     f->scores + from);
	return true;
}

static bool pick_batch(struct search *f, uint64_t first, size_t n, const uint8_t *bytes)
{
	const struct lm_scale *scale = &f->scorer->scale;

	f->count = 0;
	if (!scale->active || (scale->row == NULL && scale->column == NULL))
		return pick(f, 0, bytes, scale->active ? scale->all : 1, NULL, n);
	for (size_t i = 0, m; i < n; i += m) {
		const uint64_t row = (first + i) / scale->columns;
		const uint64_t column = (first + i) % scale->columns;

		m = (size_t)LM_MIN((uint64_t)(n - i), scale->columns - column);
		if (!pick(f, i, bytes, scale->row != NULL ? scale->row[row] : scale->all,
			  scale->column != NULL ? scale->column + column : NULL, m))
			return false;
	}
	return true;
}

/* Their keys, and which of those are high after all. */
static int keep_high(struct search *f, uint64_t place, uint64_t least, struct lm_keys_found *found,
		     struct lmodel_error *error)
{
	size_t high;

	if (f->scorer->scale.active)
		f->kernels->bound(f->magnitudes, f->scores, f->count);
	else
		magnitudes(f, 0, f->scores);
	memset(f->words + f->count, 0,
	       LM_MIN(LM_KEY_BATCH - f->count, (size_t)LM_KEY_LANES) * sizeof(f->words[0]));
	f->kernels->sample(f->scores, f->words, f->keys, f->count);
	high = f->kernels->at_least(f->keys, f->count, least, f->at);
	if (make_room(found, found->count + high, error) != LMODEL_OK)
		return LMODEL_EFAILED;
	for (size_t i = 0; i < high; i++) {
		found->at[found->count] = (uint32_t)place + f->places[f->at[i]];
		found->keys[found->count++] = f->keys[f->at[i]];
	}
	return LMODEL_OK;
}

static int find_hopeful(struct search *f, struct lm_keystream *stream, uint64_t first,
			uint64_t count, const uint8_t *bytes, uint64_t least,
			struct lm_keys_found *found, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (uint64_t done = 0, n; done < count && r == LMODEL_OK; done += n) {
		const uint64_t unit = first + done;
		const uint8_t *part = bytes + done * f->width;

		n = LM_MIN(count - done, LM_KEY_BATCH - unit % LM_KEY_BATCH);
		lm_keystream_read(stream, LM_KEY_NOISE * unit, f->noise, (size_t)n * LM_KEY_NOISE);
		r = pick_batch(f, unit, (size_t)n, part) ?
			    keep_high(f, done, least, found, error) :
			    find_among_all(f->scorer, unit, n, part, least, done, found,
					   error);
	}
	return r;
}

int lm_scorer_find(const struct lm_scorer *s, uint64_t first, uint64_t count, const uint8_t *bytes,
		   uint64_t least, struct lm_keys_found *found, struct lmodel_error *error)
{
	struct lm_keystream *stream;
	struct search f;
	int r;

	found->count = 0;
	if (!is_simple(&f, s, least))
		return find_among_all(s, first, count, bytes, least, 0, found, error);
	stream = lm_scorer_stream(s, error);
	if (stream == NULL)
		return LMODEL_EFAILED;
	r = find_hopeful(&f, stream, first, count, bytes, least, found, error);
	lm_scorer_stream_done(s, stream);
	return r;
}
