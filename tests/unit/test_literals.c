/* Frames of literals (spec: 5): zstd decodes them to their input, the vector path writes the same
 * bytes as the plain one, and the codes are as short as they can be. */
#include "codec/codec.h"
#include "codec/huffman.h"
#include "codec/literals.h"
#include "codec/simd.h"
#include "lib/tap.h"

#include <math.h>

#define LEN_MAX ((size_t)3 << 20)
#define CANARY 0xa5

static struct lm_codec *codec;
static uint8_t *input, *frame, *other, *back;
static uint64_t state = 1;

static unsigned next_byte(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state >> 56);
}

/* Halves with each step: the lower the more often. */
static uint8_t geometric(size_t i)
{
	unsigned v = next_byte() << 8 | next_byte();

	(void)i;
	return (uint8_t)(100 + __builtin_ctz(v | 1u << 15));
}

static uint8_t even(size_t i)
{
	(void)i;
	return (uint8_t)(next_byte() % 100);
}

static uint8_t two(size_t i)
{
	(void)i;
	return next_byte() < 3 ? 127 : 0;
}

/* Long codes in a row: the eight of a step do not fit into one word. */
static uint8_t rare(size_t i)
{
	return (uint8_t)(i / 50000 % 2 == 0 ? 5 : next_byte() % 128);
}

static uint8_t stretches(size_t i)
{
	return (uint8_t)(i < 140000 ? 7 : i < 300000 ? next_byte() % 2 : next_byte() % 128);
}

static uint8_t once(size_t i)
{
	return i == 32767 ? 1 : 0;
}

static const struct {
	const char *name;
	uint8_t (*at)(size_t i);
} kinds[] = {
	{ "geometric", geometric }, { "even", even }, { "two", two }, { "rare", rare },
	{ "stretches", stretches }, { "once", once },
};

static const size_t lengths[] = {
	32768, 32769, 32831, 65535, 65791, 65792, 131071, 131072, 131073, 131135, 262144 - 1,
	300001, 524288, 1048576, 1048577, 2300007,
};

static size_t write_frame(uint8_t *out, size_t len)
{
	memset(out, CANARY, lm_literals_bound(LEN_MAX) + 64);
	return lm_literals_frame(input, len, out);
}

static void test_frames(void)
{
	const struct lm_coding bytes = { .width = 1 };

	for (size_t k = 0; k < LM_COUNT(kinds); k++) {
		size_t wrong = 0, differ = 0, over = 0;

		for (size_t i = 0; i < LM_COUNT(lengths); i++) {
			size_t len = lengths[i], n, m;

			for (size_t b = 0; b < len; b++)
				input[b] = kinds[k].at(b);
			n = write_frame(frame, len);
			over += frame[lm_literals_bound(len)] != CANARY;
			memset(back, 0, len);
			wrong += n == 0 || n > len ||
				 lm_chunk_decode(codec, bytes, LM_METHOD_ZSTD, frame, n, back, len,
						 NULL) != LMODEL_OK ||
				 memcmp(back, input, len) != 0;
			lm_simd_limit(LM_SIMD_PLAIN);
			m = write_frame(other, len);
			lm_simd_limit(LM_SIMD_AVX512);
			differ += n != m || memcmp(frame, other, n) != 0;
		}
		ok(wrong == 0, "%s: zstd reads them (%zu do not)", kinds[k].name, wrong);
		ok(differ == 0, "%s: the plain path writes the same (%zu differ)", kinds[k].name,
		   differ);
		ok(over == 0, "%s: within the bound", kinds[k].name);
	}
}

static void test_refused(void)
{
	size_t len = 40000;

	for (size_t i = 0; i < len; i++)
		input[i] = geometric(i);
	ok(write_frame(frame, len) > 0, "low bytes have a frame");
	input[7777] = LM_HUFFMAN_SYMBOLS;
	ok(write_frame(frame, len) == 0, "one high byte and there is none");
	input[7777] = LM_HUFFMAN_SYMBOLS - 1;
	ok(write_frame(frame, len) > 0, "the highest one is coded");
}

/* Bits by these codes; the codes have to be complete (Kraft) and no prefix of one another. */
static uint64_t check_codes(const uint32_t counts[256], const char *what)
{
	struct lm_huffman h;
	uint64_t bits = 0;
	unsigned kraft = 0;
	bool prefix = false;

	lm_huffman_make(&h, counts);
	for (unsigned s = 0; s < LM_HUFFMAN_SYMBOLS; s++) {
		bits += (uint64_t)counts[s] * h.len[s];
		kraft += h.len[s] > 0 ? 1u << (LM_HUFFMAN_BITS - h.len[s]) : 0;
		for (unsigned t = 0; t < s && h.len[s] > 0; t++) {
			unsigned n = LM_MIN(h.len[s], h.len[t]);

			prefix |= n > 0 &&
				  h.code[s] >> (h.len[s] - n) == h.code[t] >> (h.len[t] - n);
		}
	}
	ok(kraft == 1u << LM_HUFFMAN_BITS && !prefix, "%s: the code is complete", what);
	return bits;
}

/* Worked out by hand, and bounds that every best code keeps. */
static void test_codes(void)
{
	uint32_t counts[256] = { 0 };
	double entropy = 0, total = 0;
	uint64_t bits;

	counts[3] = 1000;
	counts[99] = 1;
	is_int((long)check_codes(counts, "two symbols"), 1001, "two symbols take a bit each");
	counts[50] = 10;
	counts[51] = 10;
	/* Lengths 1, 2, 3, 3. */
	is_int((long)check_codes(counts, "four symbols"), 1000 + 20 + 30 + 3, "four symbols");
	/* Powers of two down to one: the shortest code would need 19 bits. */
	memset(counts, 0, sizeof(counts));
	for (unsigned s = 0; s < 20; s++) {
		counts[s] = s < 19 ? 1u << s : 1;
		total += counts[s];
	}
	for (unsigned s = 0; s < 20; s++)
		entropy -= counts[s] * log2(counts[s] / total);
	bits = check_codes(counts, "limited");
	ok((double)bits >= entropy && (double)bits < entropy * 1.01,
	   "a limit of %d bits costs little (%.4f)", LM_HUFFMAN_BITS, (double)bits / entropy);
	for (unsigned s = 0; s < LM_HUFFMAN_SYMBOLS; s++)
		counts[s] = 5;
	is_int((long)check_codes(counts, "even"), 5 * 128 * 7, "128 alike take 7 bits each");
}

static void test_histogram(void)
{
	uint32_t counts[256] = { 0 }, wanted[256] = { 0 };

	for (size_t i = 0; i < 1000; i++) {
		input[i] = (uint8_t)next_byte();
		wanted[input[i]] += i < 997;
	}
	lm_histogram(input, 997, counts);
	ok(memcmp(counts, wanted, sizeof(counts)) == 0, "every byte is counted once");
}

int main(void)
{
	size_t room = lm_literals_bound(LEN_MAX) + 64;

	codec = lm_codec_new(NULL);
	input = malloc(LEN_MAX);
	back = malloc(LEN_MAX);
	frame = malloc(room);
	other = malloc(room);
	if (codec == NULL || input == NULL || back == NULL || frame == NULL || other == NULL)
		return 99;
	test_histogram();
	test_codes();
	test_frames();
	test_refused();
	lm_codec_free(codec);
	free(input);
	free(back);
	free(frame);
	free(other);
	return done();
}
