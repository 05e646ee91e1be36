#include "codec/huffman.h"

#include "codec/simd.h"

void lm_histogram(const uint8_t *bytes, size_t len, uint32_t counts[256])
{
	/* Neighbours count in tables of their own: an increment need not wait for the one before. */
	uint32_t part[4][256] = { 0 };
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t v = lm_get_u64(bytes + i);

		part[0][(uint8_t)v]++;
		part[1][(uint8_t)(v >> 8)]++;
		part[2][(uint8_t)(v >> 16)]++;
		part[3][(uint8_t)(v >> 24)]++;
		part[0][(uint8_t)(v >> 32)]++;
		part[1][(uint8_t)(v >> 40)]++;
		part[2][(uint8_t)(v >> 48)]++;
		part[3][(uint8_t)(v >> 56)]++;
	}
	for (; i < len; i++)
		part[0][bytes[i]]++;
	for (size_t s = 0; s < 256; s++)
		counts[s] += part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* ---- the lengths: package-merge (Larmore and Hirschberg, 1990) ---- */

struct leaf {
	uint32_t count;
	uint8_t symbol;
};

/* Sorted by count, then by symbol. */
static size_t sort_leaves(const uint32_t counts[256], struct leaf leaves[LM_HUFFMAN_SYMBOLS])
{
	size_t n = 0;

	for (unsigned s = 0; s < LM_HUFFMAN_SYMBOLS; s++) {
		size_t at = n;

		if (counts[s] == 0)
			continue;
		for (; at > 0 && leaves[at - 1].count > counts[s]; at--)
			leaves[at] = leaves[at - 1];
		leaves[at] = (struct leaf){ counts[s], (uint8_t)s };
		n++;
	}
	return n;
}

/* Each level is the leaves merged with pairs of the level before; of the last one 2n - 2 items are
 * taken, and each time a leaf is taken its code is longer by a bit. */
static void make_lengths(struct lm_huffman *h, const struct leaf *leaves, size_t n)
{
	bool is_leaf[LM_HUFFMAN_BITS][2 * LM_HUFFMAN_SYMBOLS];
	uint64_t weights[2][2 * LM_HUFFMAN_SYMBOLS];
	size_t len = 0, take = 2 * n - 2;

	for (unsigned level = 0; level < LM_HUFFMAN_BITS; level++) {
		const uint64_t *below = weights[(level + 1) % 2];
		uint64_t *here = weights[level % 2];
		size_t pairs = len / 2, leaf = 0, pair = 0;

		for (len = 0; leaf < n || pair < pairs; len++) {
			uint64_t package = pair < pairs ? below[2 * pair] + below[2 * pair + 1] : 0;
			bool first = leaf < n && (pair == pairs || leaves[leaf].count <= package);

			is_leaf[level][len] = first;
			here[len] = first ? leaves[leaf].count : package;
			leaf += first;
			pair += !first;
		}
	}
	for (unsigned level = LM_HUFFMAN_BITS; level-- > 0;) {
		size_t taken = 0;

		for (size_t i = 0; i < take; i++)
			taken += is_leaf[level][i];
		for (size_t i = 0; i < taken; i++)
			h->len[leaves[i].symbol]++;
		take = 2 * (take - taken);
	}
}

static unsigned longest(const struct lm_huffman *h)
{
	unsigned n = 0;

	for (unsigned s = 0; s <= h->last; s++)
		n = LM_MAX(n, (unsigned)h->len[s]);
	return n;
}

void lm_huffman_make(struct lm_huffman *h, const uint32_t counts[256])
{
	struct leaf leaves[LM_HUFFMAN_SYMBOLS];
	unsigned of_len[LM_HUFFMAN_BITS + 1] = { 0 };
	uint16_t next[LM_HUFFMAN_BITS + 1], code = 0;

	*h = (struct lm_huffman){ 0 };
	make_lengths(h, leaves, sort_leaves(counts, leaves));
	for (unsigned s = 0; s < LM_HUFFMAN_SYMBOLS; s++) {
		of_len[h->len[s]]++;
		h->last = h->len[s] > 0 ? s : h->last;
	}
	/* The longest codes are the lowest numbers. */
	for (unsigned len = LM_HUFFMAN_BITS; len > 0; len--) {
		next[len] = code;
		code = (uint16_t)((code + of_len[len]) >> 1);
	}
	for (unsigned s = 0; s <= h->last; s++)
		if (h->len[s] > 0)
			h->code[s] = next[h->len[s]]++;
}

size_t lm_huffman_table(const struct lm_huffman *h, uint8_t out[LM_HUFFMAN_TABLE])
{
	unsigned max = longest(h);

	memset(out, 0, LM_HUFFMAN_TABLE);
	/* The weight of the last symbol is what the others leave. */
	out[0] = (uint8_t)(127 + h->last);
	for (unsigned s = 0; s < h->last; s++) {
		unsigned weight = h->len[s] > 0 ? max + 1 - h->len[s] : 0;

		out[1 + s / 2] |= (uint8_t)(s % 2 == 0 ? weight << 4 : weight);
	}
	return 1 + (h->last + 1) / 2;
}

/* ---- the streams ---- */

size_t lm_huffman_stream(const struct lm_huffman *h, const uint8_t *bytes, size_t len, uint8_t *out)
{
	uint8_t *to = out;
	uint64_t acc = 0;
	unsigned bits = 0;

#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512)
		to = lm_huffman_stream_avx512(h, bytes, &len, to, &acc, &bits);
#endif
	while (len >= 4) {
		/* 7 + 4 * 11 bits at most. */
		for (unsigned k = 0; k < 4; k++) {
			uint8_t s = bytes[--len];

			acc |= (uint64_t)h->code[s] << bits;
			bits += h->len[s];
		}
		lm_put_u64(to, acc);
		to += bits / 8;
		acc >>= bits & ~7u;
		bits %= 8;
	}
	while (len > 0) {
		uint8_t s = bytes[--len];

		acc |= (uint64_t)h->code[s] << bits;
		bits += h->len[s];
	}
	/* A reader looks for the highest bit that is set: the end. */
	acc |= UINT64_C(1) << bits;
	lm_put_u64(to, acc);
	return (size_t)(to - out) + bits / 8 + 1;
}
