/* Bytes of unequal frequency as an interleaved range asymmetric numeral system (spec: 5.3): J. Duda,
 * "Asymmetric numeral systems", arXiv 1311.2540, in the form of F. Giesen, "Interleaved entropy
 * coders", arXiv 1402.3392. Frequencies have 8 bits, so that a decoder's tables fit into vector
 * registers; what is too rare for them is escaped (codec/rans_plane.h). */
#ifndef LM_RANS_H
#define LM_RANS_H

#include "base/base.h"

#define LM_RANS_LANES 64
#define LM_RANS_SLOTS 256           /* frequencies sum up to this */
#define LM_RANS_LOW (UINT32_C(1) << 16)  /* the least state, and the one that coding begins with */
#define LM_RANS_HIGH (UINT32_C(1) << 24) /* above the greatest */
#define LM_RANS_STATES (3 * LM_RANS_LANES) /* bytes of the states */

/* Adds up how often each byte occurs. */
void lm_histogram(const uint8_t *bytes, size_t len, uint32_t counts[256]);

/* Groups of LM_RANS_LANES bytes are coded by classes: each by what the one before it sums up to. */
#define LM_RANS_CLASSES 16

/* What coding needs to know of each byte in a class. */
struct lm_rans_class {
	uint8_t freq[256];  /* 1 to 255; of a byte that is escaped, that of the marker */
	uint8_t start[256]; /* the first slot; the same */
	uint8_t value[256]; /* the byte, or the marker */
	uint8_t weight[256]; /* in the sum of a group: the byte, or `neutral` */
	bool has_slots[256];
};

struct lm_rans_model {
	unsigned classes;
	uint16_t limits[LM_RANS_CLASSES - 1]; /* rising: a class has the sums from one to the next */
	struct lm_rans_class of_class[LM_RANS_CLASSES];
	bool escapes;
	uint8_t marker, neutral; /* what a marker counts as where a group is summed up */
	uint8_t first, last; /* of the bytes with slots of their own */
};

static inline bool lm_rans_is_escaped(const struct lm_rans_model *model, unsigned class,
				      uint8_t byte)
{
	return model->escapes && model->of_class[class].value[byte] == model->marker;
}

/* Bytes below this share are escaped: 8 bits of frequency would make them too likely, and the others
 * too unlikely. */
static inline bool lm_rans_is_rare(uint32_t count, uint64_t of)
{
	return (uint64_t)count * 400 < of;
}

/* Frequencies for bytes that occur so often, `count` together, with the model's marker: that has at
 * least one slot, which rare ones share with it. */
void lm_rans_class(struct lm_rans_class *class, const uint32_t counts[256], uint32_t count,
		   const struct lm_rans_model *model);

/* A model of one class. False: the bytes cannot be coded in this way, since fewer than two occur. */
bool lm_rans_model(struct lm_rans_model *model, const uint32_t counts[256], uint32_t count);

/* Makes of a model with escapes one of more classes, where that pays, and returns how many bits it is
 * without, or 0. Looks at one group in `step`. */
struct lm_rans_scratch {
	uint16_t *sums;  /* one for each group and one more */
	uint8_t *class;  /* the same; left as lm_rans_encode() wants it */
};
uint64_t lm_rans_classify(struct lm_rans_model *model, const uint8_t *bytes, size_t count,
			  size_t step, struct lm_rans_scratch *scratch);

/* What decoding needs to know of each slot. */
struct lm_rans_slots {
	uint8_t byte[LM_RANS_SLOTS];
	uint8_t freq[LM_RANS_SLOTS];
	uint8_t rank[LM_RANS_SLOTS]; /* how many slots of the same byte are below it */
	uint8_t weight[LM_RANS_SLOTS]; /* of the byte in a sum */
};

struct lm_rans_tables {
	unsigned classes;
	uint16_t limits[LM_RANS_CLASSES - 1];
	struct lm_rans_slots of_class[LM_RANS_CLASSES];
	uint8_t weight[256]; /* of each byte: itself, but for a marker */
};

/* Sets the weights of all classes: with a marker or without. */
void lm_rans_weigh(struct lm_rans_tables *tables, bool escapes, uint8_t marker, uint8_t neutral);

/* The slots of frequencies from `first` on; false where they do not sum up to LM_RANS_SLOTS. */
bool lm_rans_slots(struct lm_rans_slots *slots, const uint8_t *freqs, size_t count, uint8_t first);

/* The class of the group behind one that sums up to `sum`. */
static inline unsigned lm_rans_class_of(unsigned classes, const uint16_t *limits, unsigned sum)
{
	unsigned class = 0;

	while (class + 1 < classes && limits[class] <= sum)
		class++;
	return class;
}

unsigned lm_rans_sum(const uint8_t group[LM_RANS_LANES]);

static inline unsigned lm_rans_weight(const uint8_t weight[256], const uint8_t group[LM_RANS_LANES])
{
	unsigned sum = 0;

	for (size_t i = 0; i < LM_RANS_LANES; i++)
		sum += weight[group[i]];
	return sum;
}

/* Coding goes from the last byte to the first. Both ends move down; `*list` too, by the bytes that
 * are escaped. Up to LM_RANS_LANES bytes below them are overwritten. */
struct lm_rans_coder {
	uint32_t states[LM_RANS_LANES];
	uint8_t *stream; /* room for as many bytes as are coded, and LM_RANS_LANES more */
	uint8_t *list;   /* the same */
};

/* `class` is that of each group, also of one that is not whole; with one class it is not used. */
void lm_rans_encode(const struct lm_rans_model *model, const uint8_t *class, const uint8_t *bytes,
		    size_t count, struct lm_rans_coder *coder);

/* The vector paths: whole groups of LM_RANS_LANES bytes. */
void lm_rans_encode_avx512(const struct lm_rans_model *model, const uint8_t *class,
			   const uint8_t *bytes, size_t groups, struct lm_rans_coder *coder);
void lm_rans_encode_avx2(const struct lm_rans_model *model, const uint8_t *class,
			 const uint8_t *bytes, size_t groups, struct lm_rans_coder *coder);

/* The classes of groups by what the model makes of them: the vector path of lm_rans_classify(). */
void lm_rans_walk_avx512(const struct lm_rans_model *model, const uint8_t *bytes, size_t groups,
			 uint8_t *class);

/* The other way; the stream's position moves up. */
struct lm_rans_reader {
	uint32_t states[LM_RANS_LANES];
	const uint8_t *stream, *end;
};

/* False where the states or the stream are not those of `count` bytes. */
bool lm_rans_decode(const struct lm_rans_tables *tables, struct lm_rans_reader *reader,
		    uint8_t *bytes, size_t count);

/* Vector paths: as many groups as there is stream to be sure of; how many that were. */
size_t lm_rans_decode_avx512(const struct lm_rans_tables *tables, struct lm_rans_reader *reader,
			     uint8_t *bytes, size_t groups);
size_t lm_rans_decode_avx2(const struct lm_rans_tables *tables, struct lm_rans_reader *reader,
			   uint8_t *bytes, size_t groups);

/* Puts bytes of the list where the marker stands; returns how many it took, `len` at most. A marker
 * for which there is none is left, and counted. */
size_t lm_rans_unescape(uint8_t *bytes, size_t count, uint8_t marker, const uint8_t *list,
			size_t len);
size_t lm_rans_unescape_avx512(uint8_t *bytes, size_t groups, uint8_t marker, const uint8_t *list,
			       size_t len);

#endif
