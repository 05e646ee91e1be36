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

/* What coding needs to know of each byte. */
struct lm_rans_model {
	uint8_t freq[256];    /* 1 to 255; of a byte that is escaped, that of the marker */
	uint8_t start[256];   /* the first slot */
	bool escapes;
	uint8_t marker;
	uint8_t first, last;  /* of the bytes with slots of their own */
	uint8_t has_slots[256];
};

static inline bool lm_rans_is_escaped(const struct lm_rans_model *model, uint8_t byte)
{
	return model->escapes && (model->has_slots[byte] == 0 || byte == model->marker);
}

/* False: the bytes cannot be coded in this way, since fewer than two occur. */
bool lm_rans_model(struct lm_rans_model *model, const uint32_t counts[256], size_t count);

/* What decoding needs to know of each slot. */
struct lm_rans_slots {
	uint8_t byte[LM_RANS_SLOTS];
	uint8_t freq[LM_RANS_SLOTS];
	uint8_t rank[LM_RANS_SLOTS]; /* how many slots of the same byte are below it */
};

/* The slots of frequencies from `first` on; false where they do not sum up to LM_RANS_SLOTS, or one
 * byte has all of them. */
bool lm_rans_slots(struct lm_rans_slots *slots, const uint8_t *freqs, size_t count, uint8_t first);

/* Coding goes from the last byte to the first. Both ends move down; `*list` too, by the bytes that
 * are escaped. Up to LM_RANS_LANES bytes below them are overwritten. */
struct lm_rans_coder {
	uint32_t states[LM_RANS_LANES];
	uint8_t *stream; /* room for as many bytes as are coded, and LM_RANS_LANES more */
	uint8_t *list;   /* the same */
};

void lm_rans_encode(const struct lm_rans_model *model, const uint8_t *bytes, size_t count,
		    struct lm_rans_coder *coder);

/* The vector paths: whole groups of LM_RANS_LANES bytes. */
void lm_rans_encode_avx512(const struct lm_rans_model *model, const uint8_t *bytes, size_t groups,
			   struct lm_rans_coder *coder);
void lm_rans_encode_avx2(const struct lm_rans_model *model, const uint8_t *bytes, size_t groups,
			 struct lm_rans_coder *coder);

/* The other way; the stream's position moves up. */
struct lm_rans_reader {
	uint32_t states[LM_RANS_LANES];
	const uint8_t *stream, *end;
};

/* False where the states or the stream are not those of `count` bytes. */
bool lm_rans_decode(const struct lm_rans_slots *slots, struct lm_rans_reader *reader,
		    uint8_t *bytes, size_t count);

/* Vector paths: as many groups as there is stream to be sure of; how many that were. */
size_t lm_rans_decode_avx512(const struct lm_rans_slots *slots, struct lm_rans_reader *reader,
			     uint8_t *bytes, size_t groups);
size_t lm_rans_decode_avx2(const struct lm_rans_slots *slots, struct lm_rans_reader *reader,
			   uint8_t *bytes, size_t groups);

/* Puts bytes of the list where the marker stands; returns how many it took, `len` at most. A marker
 * for which there is none is left, and counted. */
size_t lm_rans_unescape(uint8_t *bytes, size_t count, uint8_t marker, const uint8_t *list,
			size_t len);
size_t lm_rans_unescape_avx512(uint8_t *bytes, size_t groups, uint8_t marker, const uint8_t *list,
			       size_t len);

#endif
