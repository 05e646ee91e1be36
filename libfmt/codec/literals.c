#include "codec/literals.h"

#include "codec/huffman.h"

/* RFC 8878, 3.1.1. So many blocks share one table: more than the planes of a default chunk have,
 * and few enough to count in one go. */
enum { BLOCK = 128 << 10, GROUP = 8, STREAMS = 4, SLACK = 16 };
enum { FRAME_HEAD_MAX = 9, BLOCK_HEAD = 3, LITERALS_HEAD = 5, JUMPS = 6 };
enum { BLOCK_RAW = 0, BLOCK_RLE = 1, BLOCK_COMPRESSED = 2 };
enum { LITERALS_COMPRESSED = 2, LITERALS_TREELESS = 3 };

size_t lm_literals_bound(size_t len)
{
	return len + (len / BLOCK + 1) * BLOCK_HEAD + FRAME_HEAD_MAX + SLACK;
}

static uint8_t *put_frame_head(uint8_t *out, size_t len)
{
	*out++ = 0x28;
	*out++ = 0xb5;
	*out++ = 0x2f;
	*out++ = 0xfd;
	if (len < 65536 + 256) {
		*out++ = 0x60; /* single segment, content size in two bytes, less 256 */
		*out++ = (uint8_t)(len - 256);
		*out++ = (uint8_t)((len - 256) >> 8);
		return out;
	}
	*out++ = 0xa0;
	lm_put_u32(out, (uint32_t)len);
	return out + 4;
}

static void put_block_head(uint8_t *out, bool is_last, unsigned type, size_t size)
{
	size_t v = (size_t)is_last | type << 1 | size << 3;

	out[0] = (uint8_t)v;
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)(v >> 16);
}

/* Bytes of a compressed block, within a few of its streams' ends. */
static size_t coded_len(const struct lm_huffman *h, const uint32_t counts[256])
{
	uint64_t bits = 0;

	for (size_t s = 0; s <= h->last; s++)
		bits += (uint64_t)counts[s] * h->len[s];
	return (size_t)(bits / 8) + LITERALS_HEAD + LM_HUFFMAN_TABLE + JUMPS + 2 * STREAMS;
}

/* Literals in four streams, then no sequences. Returns the end. */
static uint8_t *put_block(const struct lm_huffman *h, bool with_table, const uint8_t *bytes,
			  size_t len, uint8_t *out)
{
	size_t part = (len + STREAMS - 1) / STREAMS, size;
	uint8_t *to = out + LITERALS_HEAD, *jumps;
	uint64_t head;

	if (with_table)
		to += lm_huffman_table(h, to);
	jumps = to;
	to += JUMPS;
	for (size_t k = 0; k < STREAMS; k++) {
		size_t from = k * part, n = LM_MIN(part, len - from);

		n = lm_huffman_stream(h, bytes + from, n, to);
		if (k < STREAMS - 1) {
			jumps[2 * k] = (uint8_t)n;
			jumps[2 * k + 1] = (uint8_t)(n >> 8);
		}
		to += n;
	}
	/* Two bits of type, two for how wide both sizes are, 18 for each. */
	size = (size_t)(to - out) - LITERALS_HEAD;
	head = (with_table ? LITERALS_COMPRESSED : LITERALS_TREELESS) | 3u << 2 |
	       (uint64_t)len << 4 | (uint64_t)size << 22;
	lm_put_u32(out, (uint32_t)head);
	out[4] = (uint8_t)(head >> 32);
	*to++ = 0;
	return to;
}

struct group {
	uint32_t counts[GROUP][256], sum[256];
	struct lm_huffman huffman;
	bool has_codes, table_done;
};

static unsigned distinct(const uint32_t counts[256])
{
	unsigned n = 0;

	for (size_t s = 0; s < 256; s++)
		n += counts[s] > 0;
	return n;
}

/* False: there are symbols that no table here can have. */
static bool count_group(struct group *g, const uint8_t *bytes, size_t len, size_t block)
{
	memset(g, 0, sizeof(*g));
	for (size_t at = 0, k = 0; at < len; at += block, k++) {
		lm_histogram(bytes + at, LM_MIN(block, len - at), g->counts[k]);
		for (size_t s = 0; s < 256; s++)
			g->sum[s] += g->counts[k][s];
	}
	for (size_t s = LM_HUFFMAN_SYMBOLS; s < 256; s++)
		if (g->sum[s] > 0)
			return false;
	g->has_codes = distinct(g->sum) > 1;
	if (g->has_codes)
		lm_huffman_make(&g->huffman, g->sum);
	return true;
}

static uint8_t *put_any_block(struct group *g, size_t k, bool is_last, const uint8_t *bytes,
			      size_t len, uint8_t *out)
{
	uint8_t *body = out + BLOCK_HEAD, *end;

	if (distinct(g->counts[k]) == 1) {
		put_block_head(out, is_last, BLOCK_RLE, len);
		body[0] = bytes[0];
		return body + 1;
	}
	if (coded_len(&g->huffman, g->counts[k]) >= len) {
		put_block_head(out, is_last, BLOCK_RAW, len);
		memcpy(body, bytes, len);
		return body + len;
	}
	end = put_block(&g->huffman, !g->table_done, bytes, len, body);
	g->table_done = true;
	put_block_head(out, is_last, BLOCK_COMPRESSED, (size_t)(end - body));
	return end;
}

size_t lm_literals_frame(const uint8_t *bytes, size_t len, uint8_t *out)
{
	/* Blocks alike in length: four streams of a few bytes are not allowed. */
	size_t blocks = (len + BLOCK - 1) / BLOCK, block = ((len - 1) / blocks + 64) & ~(size_t)63;
	uint8_t *to = put_frame_head(out, len);
	struct group g;

	for (size_t from = 0; from < len; from += GROUP * block) {
		size_t n = LM_MIN(GROUP * block, len - from);

		if (!count_group(&g, bytes + from, n, block))
			return 0;
		for (size_t at = 0, k = 0; at < n; at += block, k++)
			to = put_any_block(&g, k, from + at + block >= len, bytes + from + at,
					   LM_MIN(block, n - at), to);
	}
	return (size_t)(to - out);
}
