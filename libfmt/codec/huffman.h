/* Huffman codes of bytes as zstd frames have them (RFC 8878, 4.2.1): no code longer than eleven
 * bits, the code of each length in the order of the symbols. */
#ifndef LM_HUFFMAN_H
#define LM_HUFFMAN_H

#include "base/base.h"

#define LM_HUFFMAN_BITS 11
#define LM_HUFFMAN_SYMBOLS 128 /* above this a table cannot list its weights one by one */
#define LM_HUFFMAN_TABLE (1 + LM_HUFFMAN_SYMBOLS / 2)

struct lm_huffman {
	uint8_t len[LM_HUFFMAN_SYMBOLS];   /* bits; 0: does not occur */
	uint16_t code[LM_HUFFMAN_SYMBOLS];
	unsigned last;                     /* the highest symbol that occurs */
};

/* Adds up how often each byte occurs. */
void lm_histogram(const uint8_t *bytes, size_t len, uint32_t counts[256]);

/* The best codes for bytes that occur so often; at least two of them do, none from
 * LM_HUFFMAN_SYMBOLS on. */
void lm_huffman_make(struct lm_huffman *h, const uint32_t counts[256]);

/* The description of the codes, as literals begin with it; returns its length. */
size_t lm_huffman_table(const struct lm_huffman *h, uint8_t out[LM_HUFFMAN_TABLE]);

/* Writes `len` bytes as one stream, the last byte first, and returns its length. Up to 8 bytes
 * behind the stream are overwritten. */
size_t lm_huffman_stream(const struct lm_huffman *h, const uint8_t *bytes, size_t len,
			 uint8_t *out);

/* The vector path: writes the last bytes of `*len`, and leaves in it how many are still to do,
 * fewer than 64. `acc` holds `*bits` (< 8) bits that are not yet written. */
uint8_t *lm_huffman_stream_avx512(const struct lm_huffman *h, const uint8_t *bytes, size_t *len,
				  uint8_t *out, uint64_t *acc, unsigned *bits);

#endif
