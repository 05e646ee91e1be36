/* Golomb codes by a table: what the next bits of a stream hold, up to two whole codes at once. */
#ifndef LM_GOLOMB_TABLE_H
#define LM_GOLOMB_TABLE_H

#include "protect/golomb.h"

enum {
	LM_GOLOMB_LOOK = 12,                 /* bits that are looked up */
	LM_GOLOMB_FILLS = 57 / LM_GOLOMB_LOOK, /* times in what one load of 8 bytes gives at least */
	LM_GOLOMB_WIDEST = 8,                /* of `bits` of a code, for which a table is worth it */
};

/* An entry: length of the codes in bits (4 bits), how many they are (2), the first one's value (13),
 * and how far they go together (13): a gap of v goes v + 1. 0: not even one is whole. */
struct lm_golomb_table {
	uint64_t m;          /* of the code that it is for; 0: none yet */
	uint32_t entry[1 << LM_GOLOMB_LOOK];
};

static inline unsigned lm_golomb_entry_bits(uint32_t entry)
{
	return entry & 15;
}

static inline unsigned lm_golomb_entry_codes(uint32_t entry)
{
	return entry >> 4 & 3;
}

static inline uint32_t lm_golomb_entry_first(uint32_t entry)
{
	return entry >> 6 & 8191;
}

static inline uint32_t lm_golomb_entry_way(uint32_t entry)
{
	return entry >> 19;
}

/* For a code of at most LM_GOLOMB_WIDEST bits. */
void lm_golomb_table_make(struct lm_golomb_table *table, const struct lm_golomb *code);

#endif
