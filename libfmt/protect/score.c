#include "protect/score.h"

#include <float.h>
#include <math.h>

#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "protect/kernels.h"

/* ---- set-up ---- */

static bool by_score(const struct lm_scorer *s)
{
	return s->method == LM_SELECT_PSS || s->method == LM_SELECT_MAGNITUDE;
}

static bool same_shape(const struct lm_source_tensor *a, const struct lm_source_tensor *b)
{
	return a->rank == b->rank &&
	       memcmp(a->shape, b->shape, a->rank * sizeof(*a->shape)) == 0;
}

static int check_scores(struct lm_scorer *s, const struct lm_source_tensor *tensor,
			struct lmodel_error *error)
{
	const struct lm_source_tensor *scores = &s->scores->tensors[s->scores_tensor];
	uint64_t elements = 0, bytes;

	if (scores->dtype->block != 1 || scores->dtype->name[0] == 'C' ||
	    lm_dtype_is_opaque(scores->dtype))
		return lm_fail(error, LMODEL_EUSAGE,
			       "scores of tensor %s: type %s: scores are real numbers of whole "
			       "bytes", LM_QUOTE(tensor->name), scores->dtype->name);
	if (scores->rank > 0 && same_shape(scores, tensor) &&
	    !lm_dtype_is_quantised(tensor->dtype))
		return LMODEL_OK;
	if (lm_dtype_bytes(scores->dtype, scores->rank, scores->shape, &elements, &bytes) &&
	    elements == s->units->count && scores->rank <= 1) {
		s->scores_by_unit = true;
		return LMODEL_OK;
	}
	return lm_fail(error, LMODEL_EUSAGE,
		       "scores of tensor %s: neither the tensor's own shape nor a list of %ju, one "
		       "a unit (%s)", LM_QUOTE(tensor->name), (uintmax_t)s->units->count,
		       lm_unit_name(s->units->kind));
}

static int check_reference(const struct lm_scorer *s, const struct lm_source_tensor *tensor,
			   struct lmodel_error *error)
{
	const struct lm_source_tensor *other = &s->reference->tensors[s->reference_tensor];

	if (other->dtype != tensor->dtype)
		return lm_fail(error, LMODEL_EUSAGE, "%s: tensor %s is of type %s, not %s",
			       s->reference_name, LM_QUOTE(tensor->name), other->dtype->name,
			       tensor->dtype->name);
	if (!same_shape(other, tensor))
		return lm_fail(error, LMODEL_EUSAGE, "%s: tensor %s has another shape",
			       s->reference_name, LM_QUOTE(tensor->name));
	return LMODEL_OK;
}

/* The key of a tensor's random numbers hangs on its name, so that they stay the same in another
 * release with other tensors beside it. */
static int derive(struct lm_scorer *s, const uint8_t key[32], const char *name,
		  struct lmodel_error *error)
{
	static const char label[] = "lmodel select v1"; /* with its NUL */
	size_t len = sizeof(label) + strlen(name);
	LM_FREE char *message = malloc(len + 1);

	if (message == NULL)
		return lm_fail_memory(error);
	memcpy(message, label, sizeof(label));
	memcpy(message + sizeof(label), name, strlen(name) + 1);
	lm_hmac_sha256(s->key, key, 32, message, len);
	return LMODEL_OK;
}

int lm_scorer_start(struct lm_scorer *s, const uint8_t key[32], struct lmodel_error *error)
{
	const struct lm_source_tensor *tensor = &s->model->tensors[s->tensor];
	const unsigned bits = lm_dtype_number_bits(tensor->dtype);
	int r = derive(s, key, tensor->name, error);

	s->elements = tensor->bytes / bits * 8 + tensor->bytes % bits * 8 / bits;
	s->unit_elements = s->units->unit_bytes / bits * 8 + s->units->unit_bytes % bits * 8 / bits;
	if (!by_score(s))
		s->scores = NULL;
	if (r == LMODEL_OK && s->scores != NULL)
		r = check_scores(s, tensor, error);
	if (r == LMODEL_OK && s->reference != NULL)
		r = check_reference(s, tensor, error);
	return r;
}

int lm_scorer_prepare(struct lm_scorer *s, bool raw, struct lmodel_error *error)
{
	/* Scores are what somebody decided, and differences to a reference what somebody
	 * trained: neither follows the rows of the tensor. */
	if (raw || !by_score(s) || s->scores != NULL || s->reference != NULL)
		return LMODEL_OK;
	return lm_scale_sample(&s->scale, s->model, s->tensor, s->units, s->bytes, error);
}

bool lm_scorer_reads_values(const struct lm_scorer *s)
{
	return by_score(s) && !s->scores_by_unit;
}

/* Whether the elements of a unit matter in any way. */
static bool needs_elements(const struct lm_scorer *s)
{
	return lm_scorer_reads_values(s) || s->reference != NULL;
}

bool lm_scorer_is_whole(const struct lm_scorer *s)
{
	return needs_elements(s) && (!lm_units_contiguous(s->units) ||
				     s->units->unit_bytes > LM_UNIT_WINDOW);
}

bool lm_scorer_needs_bytes(const struct lm_scorer *s)
{
	return !lm_scorer_is_whole(s) &&
	       (s->reference != NULL || (lm_scorer_reads_values(s) && s->scores == NULL));
}

void lm_scorer_free(struct lm_scorer *s)
{
	lm_scale_free(&s->scale);
	free(s->keys);
	s->keys = NULL;
	lm_wipe(s->key, sizeof(s->key));
}

/* ---- elements ---- */

float lm_score_float(double score)
{
	if (isinf(score))
		return score < 0 ? -INFINITY : INFINITY;
	if (fabs(score) > (double)FLT_MAX)
		return score < 0 ? -FLT_MAX : FLT_MAX;
	if (score != 0 && fabs(score) < (double)FLT_MIN)
		return score < 0 ? -FLT_MIN : FLT_MIN;
	return (float)score;
}

void lm_score_magnitudes(const struct lm_dtype *dtype, const uint8_t *bytes, size_t n, float *out)
{
	double values[64];

	if (strcmp(dtype->name, "F32") == 0) {
		lm_kernels()->magnitudes_f32(bytes, n, out);
		return;
	}
	if (strcmp(dtype->name, "BF16") == 0) {
		lm_kernels()->magnitudes_bf16(bytes, n, out);
		return;
	}
	if (strcmp(dtype->name, "F16") == 0) {
		lm_kernels()->magnitudes_f16(bytes, n, out);
		return;
	}
	for (size_t at = 0; at < n; at += LM_COUNT(values)) {
		size_t m = LM_MIN(n - at, LM_COUNT(values));

		lm_dtype_magnitudes(dtype, bytes, at, m, values);
		for (size_t i = 0; i < m; i++)
			out[at + i] = lm_score_float(values[i]);
	}
}

/* How far elements are from the reference: |a - b|; what is not finite in either is infinitely
 * far. */
static void distances(const struct lm_dtype *dtype, const uint8_t *a, const uint8_t *b, size_t n,
		      float *out)
{
	const size_t parts = dtype->name[0] == 'C' ? 2 : 1;
	double x[128], y[128];

	for (size_t at = 0; at < n; at += 64) {
		size_t m = LM_MIN(n - at, (size_t)64);

		lm_dtype_values(dtype, a, at, m, x);
		lm_dtype_values(dtype, b, at, m, y);
		for (size_t i = 0; i < m; i++) {
			double d = parts == 1 ? fabs(x[i] - y[i]) :
				   hypot(x[2 * i] - y[2 * i], x[2 * i + 1] - y[2 * i + 1]);

			out[at + i] = isnan(d) ? INFINITY : lm_score_float(d);
		}
	}
}

/* `n` scores from number `first` on, as they are given. */
static int read_scores(const struct lm_scorer *s, uint64_t first, size_t n, float *out,
		       struct lmodel_error *error)
{
	const struct lm_source_tensor *scores = &s->scores->tensors[s->scores_tensor];
	const unsigned size = scores->dtype->bits / 8;
	uint8_t bytes[128 * 8];
	double values[128];

	for (size_t at = 0; at < n; at += LM_COUNT(values)) {
		size_t m = LM_MIN(n - at, LM_COUNT(values));
		int r = lm_model_read(s->scores, s->scores_tensor, (first + at) * size, bytes,
				      m * size, error);

		if (r != LMODEL_OK)
			return r;
		lm_dtype_values(scores->dtype, bytes, 0, m, values);
		for (size_t i = 0; i < m; i++) {
			if (isnan(values[i]))
				return lm_fail(error, LMODEL_EUSAGE,
					       "scores of tensor %s: number %ju is a NaN",
					       LM_QUOTE(scores->name), (uintmax_t)(first + at + i));
			if (values[i] < 0 && s->method == LM_SELECT_PSS)
				return lm_fail(error, LMODEL_EUSAGE,
					       "scores of tensor %s: number %ju is negative: to "
					       "sample in proportion to scores they must be at "
					       "least 0",
					       LM_QUOTE(scores->name), (uintmax_t)(first + at + i));
			out[at + i] = lm_score_float(values[i] + 0.0); /* no negative zero */
		}
	}
	return LMODEL_OK;
}

int lm_score_load(const struct lm_scorer *s, uint64_t first, size_t n, const uint8_t *bytes,
		  struct lm_score_piece *piece, struct lmodel_error *error)
{
	const struct lm_dtype *dtype = s->units->dtype;
	float magnitudes[LM_KEY_BATCH] LM_KEY_ALIGNED;

	if (s->reference != NULL) {
		int r = lm_model_read(s->reference, s->reference_tensor, lm_score_bytes(s, first),
				      piece->reference, (size_t)lm_score_bytes(s, n), error);

		if (r != LMODEL_OK)
			return r;
	}
	if (!lm_scorer_reads_values(s))
		return LMODEL_OK;
	if (s->scores != NULL)
		return read_scores(s, first, n, piece->values, error);
	if (s->reference != NULL) {
		distances(dtype, bytes, piece->reference, n, piece->values);
	} else if (s->scale.active) {
		lm_score_magnitudes(dtype, bytes, n, magnitudes);
		lm_scale_apply(&s->scale, first, n, magnitudes, piece->values);
	} else {
		lm_score_magnitudes(dtype, bytes, n, piece->values);
	}
	return LMODEL_OK;
}

/* ---- units ---- */

struct batch {
	struct lm_score_piece piece;
	float scores[LM_KEY_BATCH] LM_KEY_ALIGNED;
	double sums[LM_KEY_BATCH];
	bool differs[LM_KEY_BATCH];
};

/* The part of a piece that is one unit's. */
static void add_part(const struct lm_scorer *s, struct batch *b, size_t unit, const uint8_t *bytes,
		     size_t from, size_t to)
{
	if (s->reference != NULL) {
		size_t at = (size_t)lm_score_bytes(s, from), end = (size_t)lm_score_bytes(s, to);

		b->differs[unit] |= memcmp(bytes + at, b->piece.reference + at, end - at) != 0;
	}
	if (lm_scorer_reads_values(s)) {
		double sum = b->sums[unit];

		for (size_t i = from; i < to; i++)
			sum += (double)b->piece.values[i];
		b->sums[unit] = sum;
	}
}

/* Sums run from a unit's first element to its last, wherever a window starts. */
static int add_units(const struct lm_scorer *s, uint64_t first, size_t n, const uint8_t *bytes,
		     struct batch *b, struct lmodel_error *error)
{
	const uint64_t size = s->unit_elements, start = first * size;
	const uint64_t end = first + n == s->units->count ? s->elements : start + n * size;

	memset(b->sums, 0, n * sizeof(b->sums[0]));
	memset(b->differs, 0, n * sizeof(b->differs[0]));
	for (uint64_t at = start; at < end;) {
		size_t m = (size_t)LM_MIN(end - at, (uint64_t)LM_KEY_BATCH);
		const uint8_t *part = bytes == NULL ? NULL : bytes + lm_score_bytes(s, at - start);
		int r = lm_score_load(s, at, m, part, &b->piece, error);

		if (r != LMODEL_OK)
			return r;
		for (size_t from = 0; from < m;) {
			uint64_t unit = (at + from - start) / size;
			size_t to = (size_t)LM_MIN((unit + 1) * size + start - at, (uint64_t)m);

			add_part(s, b, (size_t)unit, part, from, to);
			from = to;
		}
		at += m;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t last = first + i + 1 == s->units->count ? s->elements :
				start + (i + 1) * size;

		b->scores[i] = lm_score_float(b->sums[i] / (double)(last - start - i * size));
	}
	return LMODEL_OK;
}

/* The same for units of one element. */
static int add_elements(const struct lm_scorer *s, uint64_t first, size_t n, const uint8_t *bytes,
			struct batch *b, struct lmodel_error *error)
{
	const size_t size = (size_t)s->units->unit_bytes;
	int r = lm_score_load(s, first, n, bytes, &b->piece, error);

	if (r == LMODEL_OK && s->reference != NULL)
		for (size_t i = 0; i < n; i++)
			b->differs[i] = memcmp(bytes + i * size, b->piece.reference + i * size,
					       size) != 0;
	return r;
}

int lm_scorer_finish(const struct lm_scorer *s, struct lm_keystream *stream, uint64_t first,
		     size_t n, float *scores, uint64_t *keys, struct lmodel_error *error)
{
	uint64_t part[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint32_t noise[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint64_t *out = n == LM_KEY_BATCH ? keys : part;

	if (by_score(s) && s->scores_by_unit) {
		int r = read_scores(s, first, n, scores, error);

		if (r != LMODEL_OK)
			return r;
	}
	lm_keystream_read(stream, LM_KEY_NOISE * first, noise, n * LM_KEY_NOISE);
	memset(noise + n, 0, LM_MIN(LM_KEY_BATCH - n, (size_t)LM_KEY_LANES) * LM_KEY_NOISE);
	if (s->method == LM_SELECT_PSS)
		lm_key_by_sampling(scores, noise, out, n);
	else if (s->method == LM_SELECT_MAGNITUDE)
		lm_key_by_score(scores, noise, out, n);
	else
		lm_key_at_random(noise, out, n);
	if (out != keys)
		memcpy(keys, out, n * sizeof(*keys));
	return LMODEL_OK;
}

static int batch_keys(const struct lm_scorer *s, struct lm_keystream *stream, uint64_t first,
		      size_t n, const uint8_t *bytes, uint64_t *keys, struct lmodel_error *error)
{
	struct batch b;
	float *scores = b.scores;
	int r = LMODEL_OK;

	if (needs_elements(s) && s->unit_elements == 1) {
		r = add_elements(s, first, n, bytes, &b, error);
		scores = b.piece.values;
	} else if (needs_elements(s)) {
		r = add_units(s, first, n, bytes, &b, error);
	}
	if (r == LMODEL_OK) {
		memset(scores + n, 0,
		       LM_MIN(LM_KEY_BATCH - n, (size_t)LM_KEY_LANES) * sizeof(scores[0]));
		r = lm_scorer_finish(s, stream, first, n, scores, keys, error);
	}
	if (r == LMODEL_OK && s->reference != NULL)
		for (size_t i = 0; i < n; i++)
			keys[i] = b.differs[i] ? keys[i] : LM_KEY_NONE;
	return r;
}

struct lm_keystream *lm_scorer_stream(const struct lm_scorer *s, struct lmodel_error *error)
{
	return s->streams == NULL ? lm_keystream_new(s->key, error) :
				    lm_streams_take(s->streams, s->tensor, s->key, error);
}

void lm_scorer_stream_done(const struct lm_scorer *s, struct lm_keystream *stream)
{
	if (s->streams == NULL)
		lm_keystream_free(stream);
	else
		lm_streams_give(s->streams, s->tensor, stream);
}

int lm_scorer_keys(const struct lm_scorer *s, uint64_t first, uint64_t count, const uint8_t *bytes,
		   uint64_t *keys, struct lmodel_error *error)
{
	struct lm_keystream *stream;
	int r = LMODEL_OK;

	if (s->keys != NULL) {
		memcpy(keys, s->keys + first, count * sizeof(*keys));
		return LMODEL_OK;
	}
	stream = lm_scorer_stream(s, error);
	if (stream == NULL)
		return LMODEL_EFAILED;
	for (uint64_t done = 0; done < count && r == LMODEL_OK;) {
		/* Batches end where the keystream's windows do: no block of it is made twice. */
		const uint64_t unit = first + done;
		size_t n = (size_t)LM_MIN(count - done, LM_KEY_BATCH - unit % LM_KEY_BATCH);
		const uint8_t *part = bytes == NULL ? NULL : bytes + done * s->units->unit_bytes;

		r = batch_keys(s, stream, unit, n, part, keys + done, error);
		done += n;
	}
	lm_scorer_stream_done(s, stream);
	return r;
}

void lm_scorer_tie(const struct lm_scorer *s, uint64_t unit, uint8_t tie[32])
{
	uint8_t message[11] = "tie";

	lm_put_u64(message + 3, unit);
	lm_hmac_sha256(tie, s->key, sizeof(s->key), message, sizeof(message));
}
