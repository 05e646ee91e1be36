#include "protect/golomb_table.h"

/* A code in the lowest `have` bits; gives its length, 0 when it is not whole. */
static unsigned decode(const struct lm_golomb *g, uint32_t word, unsigned have, uint32_t *value)
{
	unsigned quotient, bits;
	uint32_t x;

	if (word == 0)
		return 0;
	quotient = (unsigned)__builtin_ctz(word);
	bits = quotient + 1 + g->bits;
	if (bits > have)
		return 0;
	x = word >> (quotient + 1) & (((uint32_t)1 << g->bits) - 1);
	if (x >= g->longer) {
		if (bits == have)
			return 0;
		x = 2 * x + (word >> bits & 1) - (uint32_t)g->longer;
		bits++;
	}
	*value = quotient * (uint32_t)g->m + x;
	return bits;
}

void lm_golomb_table_make(struct lm_golomb_table *t, const struct lm_golomb *g)
{
	t->m = g->m;
	for (uint32_t word = 0; word < LM_COUNT(t->entry); word++) {
		uint32_t first = 0, second = 0, way, codes;
		unsigned bits = decode(g, word, LM_GOLOMB_LOOK, &first), more;

		t->entry[word] = 0;
		if (bits == 0)
			continue;
		more = decode(g, word >> bits, LM_GOLOMB_LOOK - bits, &second);
		codes = more > 0 ? 2 : 1;
		way = first + 1 + (more > 0 ? second + 1 : 0);
		t->entry[word] = (bits + more) | codes << 4 | first << 6 | way << 19;
	}
}
