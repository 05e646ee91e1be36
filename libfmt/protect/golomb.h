/* Golomb codes with any parameter, and heads of position streams (spec: 7.4). Shared by the three
 * halves of positions: measuring, writing, reading. */
#ifndef LM_GOLOMB_H
#define LM_GOLOMB_H

#include "protect/positions.h"

struct lm_golomb {
	uint64_t m;       /* the parameter, 1 to 2^63-1 */
	uint64_t longer;  /* remainders from here on take one bit more */
	uint64_t inverse; /* ceil(2^64 / m); 0 for powers of two */
	unsigned bits;    /* floor(log2 m) */
};

static inline struct lm_golomb lm_golomb(uint64_t m)
{
	struct lm_golomb g = { .m = m, .bits = 63 - (unsigned)__builtin_clzll(m) };

	g.longer = ((uint64_t)2 << g.bits) - m;
	if ((m & (m - 1)) != 0)
		g.inverse = UINT64_MAX / m + 1;
	return g;
}

/* v / m. The inverse is less than 1 above 2^64 / m, so the product is less than v / 2^64 above the
 * quotient; for v and m below 2^32 that is less than 1 / m and cannot change its whole part. */
static inline uint64_t lm_golomb_quotient(const struct lm_golomb *g, uint64_t v)
{
	if (g->inverse == 0)
		return v >> g->bits;
	if (((v | g->m) >> 32) == 0)
		return (uint64_t)((unsigned __int128)v * g->inverse >> 64);
	return v / g->m;
}

static inline uint64_t lm_golomb_cost(const struct lm_golomb *g, uint64_t v)
{
	uint64_t q = lm_golomb_quotient(g, v);

	return q + 1 + g->bits + (v - q * g->m >= g->longer);
}

static inline size_t lm_leb128_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* The head of a stream of this form; gives its length. */
static inline size_t lm_positions_head(const struct lm_positions_form *f,
				       uint8_t head[LM_POSITIONS_HEAD_MAX])
{
	size_t n = 0;

	head[n++] = (uint8_t)f->form;
	n += lm_leb128_put(head + n, f->universe);
	if (f->form == LM_POSITIONS_NONE || f->form == LM_POSITIONS_ALL)
		return n;
	n += lm_leb128_put(head + n, f->count);
	if (f->form != LM_POSITIONS_RUNS)
		return n + lm_leb128_put(head + n, f->gap);
	n += lm_leb128_put(head + n, f->runs);
	head[n++] = (uint8_t)__builtin_ctzll(f->gap);
	head[n++] = (uint8_t)__builtin_ctzll(f->run);
	return n;
}

#endif
