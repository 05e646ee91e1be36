/* Scores of a tensor's units, and the keys made of them (spec: 7.3). */
#ifndef LM_SCORE_H
#define LM_SCORE_H

#include "protect/key.h"
#include "protect/scale.h"
#include "protect/select.h"
#include "protect/streams.h"

/* Computes the keys of one tensor, the same ones every time, by any thread. */
struct lm_scorer {
	const struct lm_model *model;
	size_t tensor;                 /* in `model` */
	const struct lm_units *units;
	enum lm_select_method method;
	const struct lm_model *scores; /* NULL: magnitudes */
	size_t scores_tensor;
	bool scores_by_unit;           /* one a unit, not one an element */
	const struct lm_model *reference;
	const char *reference_name;    /* for messages */
	size_t reference_tensor;
	struct lm_streams *streams;    /* NULL: set up for each call */
	uint64_t elements;
	uint64_t unit_elements;        /* the last unit may have fewer */
	struct lm_scale scale;
	uint8_t key[32];               /* of the pseudo-random function of this tensor */
	uint64_t *keys;                /* of all units, where they are columns or large */
	const uint8_t *bytes;          /* of the whole tensor, or NULL: to be read. Borrowed, and set
	                                  for as long as it is ranked */
};

/* `scorer` is zeroed but for what the caller chooses: everything above `elements`. `key` is that
 * of all choices. Checks that scores and reference fit the tensor (EUSAGE); reads no data. */
int lm_scorer_start(struct lm_scorer *scorer, const uint8_t key[32], struct lmodel_error *error)
	LM_MUST_CHECK;

/* To be called for every tensor after that, before keys are asked for: samples the scale. */
int lm_scorer_prepare(struct lm_scorer *scorer, bool raw, struct lmodel_error *error) LM_MUST_CHECK;

/* Whether the keys of all units are to be computed at once, and kept: columns lie across the whole
 * tensor, and large units do not fit a window. Then lm_whole_load() is needed too. */
bool lm_scorer_is_whole(const struct lm_scorer *scorer);

/* Whether lm_scorer_keys() reads `bytes`. */
bool lm_scorer_needs_bytes(const struct lm_scorer *scorer);

/* Keys of units [first, first + count), LM_KEY_NONE for those that are as in the reference. */
int lm_scorer_keys(const struct lm_scorer *scorer, uint64_t first, uint64_t count,
		   const uint8_t *bytes, uint64_t *keys, struct lmodel_error *error) LM_MUST_CHECK;

/* Only the keys that are `least` or more, and the places of their units, from `first` on. Mostly
 * these are few, and others are passed over without a key (protect/find.c). */
struct lm_keys_found {
	size_t count, capacity;
	uint32_t *at;
	uint64_t *keys;
};
int lm_scorer_find(const struct lm_scorer *scorer, uint64_t first, uint64_t count,
		   const uint8_t *bytes, uint64_t least, struct lm_keys_found *found,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_keys_found_free(struct lm_keys_found *found); /* what it holds */

/* Orders units whose keys are equal. */
void lm_scorer_tie(const struct lm_scorer *scorer, uint64_t unit, uint8_t tie[32]);

void lm_scorer_free(struct lm_scorer *scorer); /* what it holds */

/* ---- for protect/find.c and protect/whole.c ---- */

/* The random numbers of keys: LM_KEY_NOISE bytes a unit. To be given back. */
struct lm_keystream *lm_scorer_stream(const struct lm_scorer *scorer, struct lmodel_error *error);
void lm_scorer_stream_done(const struct lm_scorer *scorer, struct lm_keystream *stream);

/* A run of elements. */
struct lm_score_piece {
	float values[LM_KEY_BATCH] LM_KEY_ALIGNED;
	uint8_t reference[LM_KEY_BATCH * 8];
};

/* Loads the values of `n` elements (at most LM_KEY_BATCH) whose bytes are given; where there is a
 * reference, its bytes too. */
int lm_score_load(const struct lm_scorer *scorer, uint64_t first, size_t n, const uint8_t *bytes,
		  struct lm_score_piece *piece, struct lmodel_error *error) LM_MUST_CHECK;

static inline uint64_t lm_score_bytes(const struct lm_scorer *scorer, uint64_t elements)
{
	return elements * lm_dtype_number_bits(scorer->units->dtype) / 8;
}

/* Whether elements are read at all. */
bool lm_scorer_reads_values(const struct lm_scorer *scorer);

/* A mean as a score: infinite only when it is, 0 only when it is. */
float lm_score_float(double score);

/* The keys of units [first, first + n), n at most LM_KEY_BATCH, of their scores (ignored when the
 * method has none). */
int lm_scorer_finish(const struct lm_scorer *scorer, struct lm_keystream *stream, uint64_t first,
		     size_t n, float *scores, uint64_t *keys, struct lmodel_error *error)
	LM_MUST_CHECK;

/* The absolute values of `n` elements as floats; NaN becomes infinity. */
void lm_score_magnitudes(const struct lm_dtype *dtype, const uint8_t *bytes, size_t n, float *out);

#endif
