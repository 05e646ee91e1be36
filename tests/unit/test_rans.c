/* rANS (spec: 5.3): planes come back, every vector path does what the plain one does, the code is as
 * short as it can be, and a stream that was touched is noticed. */
#include "codec/rans.h"
#include "codec/rans_plane.h"
#include "codec/simd.h"
#include "lib/tap.h"

#include <math.h>

#define LEN_MAX ((size_t)3 << 20)
#define CANARY 0xa5

static struct lm_codec *codec;
static uint8_t *input, *stored, *other, *back;
static uint64_t state = 1;

static unsigned next_byte(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state >> 56);
}

/* Halves with each step, on both sides of 128. */
static uint8_t geometric(size_t i)
{
	unsigned v = next_byte() << 16 | next_byte() << 8 | next_byte();

	(void)i;
	return (uint8_t)(120 + __builtin_ctz(v | 1u << 19));
}

static uint8_t even(size_t i)
{
	(void)i;
	return (uint8_t)(next_byte() % 100);
}

/* Each value as often: the frequencies fit exactly, and nothing is escaped. */
static uint8_t half(size_t i)
{
	return (uint8_t)(2 * (i % 128));
}

static uint8_t two(size_t i)
{
	(void)i;
	return next_byte() < 3 ? 127 : 0;
}

static uint8_t rare(size_t i)
{
	return (uint8_t)(i / 50000 % 2 == 0 ? 5 : next_byte());
}

/* What a sample of the begin does not have. */
static uint8_t stretches(size_t i)
{
	return (uint8_t)(i < 140000 ? 7 : i < 300000 ? next_byte() % 2 : next_byte() % 128);
}

static uint8_t once(size_t i)
{
	return i == 32767 ? 1 : i == 1022 ? 255 : 0;
}

/* Nothing but escapes, where a sample sees only some bytes of each period. */
static uint8_t periodic(size_t i)
{
	return (uint8_t)(i % 512 / 64 * 30 + (next_byte() < 2));
}

static uint8_t noise(size_t i)
{
	(void)i;
	return (uint8_t)next_byte();
}

/* A scale each 512 bytes. */
static uint8_t rows(size_t i)
{
	return (uint8_t)(geometric(i) + (i / 512 * 0x9e3779b1u >> 9) % 8 * 3);
}

static const struct {
	const char *name;
	uint8_t (*at)(size_t i);
} kinds[] = {
	{ "geometric", geometric }, { "even", even },   { "half", half },
	{ "two", two },             { "rare", rare },   { "stretches", stretches },
	{ "once", once },           { "noise", noise }, { "periodic", periodic },
	{ "rows", rows },
};

static const size_t lengths[] = {
	2, 63, 64, 65, 127, 128, 1023, 1024, 4096 + 17, 32768, 65535, 131071, 131072, 131073,
	300001, 524288, 1048577, 2300007,
};

static const enum lm_simd paths[] = { LM_SIMD_PLAIN, LM_SIMD_AVX2, LM_SIMD_AVX512 };

/* The stored plane in memory of its own size, behind it a canary; its length, or 0. */
static size_t encode(size_t len, uint8_t *out)
{
	size_t room = 2 * len + 1024, n;

	memset(out, CANARY, room + 1);
	if (lm_rans_plane_encode(codec, input, len, room, false, out, room, &n, NULL) != LMODEL_OK ||
	    out[room] != CANARY || n > room)
		exit(99);
	return n;
}

static bool decodes(const uint8_t *bytes, size_t n, size_t len)
{
	LM_FREE uint8_t *exact = malloc(n ? n : 1);

	if (exact == NULL)
		exit(99);
	memcpy(exact, bytes, n);
	memset(back, CANARY, len + 64);
	if (lm_rans_plane_decode(codec, exact, n, back, len, NULL) != LMODEL_OK)
		return false;
	for (size_t i = len; i < len + 64; i++)
		if (back[i] != CANARY)
			exit(99);
	return true;
}

static void test_paths(void)
{
	for (size_t k = 0; k < LM_COUNT(kinds); k++) {
		size_t wrong = 0, differ = 0, coded = 0;

		for (size_t i = 0; i < LM_COUNT(lengths); i++) {
			size_t len = lengths[i], n, m;

			for (size_t b = 0; b < len; b++)
				input[b] = kinds[k].at(b);
			lm_simd_limit(LM_SIMD_PLAIN);
			n = encode(len, stored);
			coded += n > 0;
			for (size_t p = 0; p < LM_COUNT(paths) && n > 0; p++) {
				lm_simd_limit(paths[p]);
				m = encode(len, other);
				differ += n != m || memcmp(stored, other, n) != 0;
				wrong += !decodes(stored, n, len) || memcmp(back, input, len) != 0;
			}
		}
		ok(coded >= 4, "%s: there is something to code", kinds[k].name);
		ok(wrong == 0, "%s: planes come back (%zu do not)", kinds[k].name, wrong);
		ok(differ == 0, "%s: every path writes the same (%zu differ)", kinds[k].name,
		   differ);
	}
	lm_simd_limit(LM_SIMD_AVX512);
}

static double entropy(size_t len)
{
	uint32_t counts[256] = { 0 };
	double bits = 0;

	lm_histogram(input, len, counts);
	for (size_t s = 0; s < 256; s++)
		if (counts[s] > 0)
			bits -= counts[s] * log2((double)counts[s] / (double)len);
	return bits / 8;
}

static void test_lengths(void)
{
	static const struct {
		uint8_t (*at)(size_t i);
		double most; /* part of the entropy over it, but for states and frequencies */
	} codes[] = { { geometric, 0.002 }, { half, 1e-9 }, { even, 0.001 }, { two, 0.02 } };

	for (size_t k = 0; k < LM_COUNT(codes); k++) {
		size_t n;
		double least;

		for (size_t i = 0; i < 524288; i++)
			input[i] = codes[k].at(i);
		n = encode(524288, stored);
		least = entropy(524288);
		if (!ok((double)n >= least && (double)n <= least * (1 + codes[k].most) + 460,
			"code %zu: within %g of the entropy", k, codes[k].most))
			printf("#   %zu bytes, entropy %.1f\n", n, least);
	}
}

static uint32_t get_state(const uint8_t *stored_state)
{
	return stored_state[0] | (uint32_t)stored_state[1] << 8 | (uint32_t)stored_state[2] << 16;
}

/* Decodes as the specification has it, one byte after the other, but for the list. */
static bool decodes_slowly(const uint8_t *plane, size_t n, uint8_t *out, size_t count)
{
	size_t values = (size_t)plane[1] - plane[0] + 1, classes = plane[3], class = 0;
	const uint8_t *freqs = plane + 2 + 2 * classes, *list = freqs + values * classes;
	size_t at = (size_t)(list - plane) + 11 + lm_get_u32(list + 7);
	uint32_t state_of[64], sum = 0;

	for (size_t i = 0; i < 64; i++, at += 3)
		state_of[i] = get_state(plane + at);
	for (size_t i = 0; i < count; i++) {
		uint32_t x = state_of[i % 64], start = 0, byte = 0;

		if (i > 0 && i % 64 == 0) {
			for (class = 0; class + 1 < classes; class++)
				if ((plane[4 + 2 * class] | plane[5 + 2 * class] << 8) > (int)sum)
					break;
			sum = 0;
		}
		while (start + freqs[class * values + byte] <= x % 256)
			start += freqs[class * values + byte++];
		out[i] = (uint8_t)(plane[0] + byte);
		sum += out[i] == list[0] ? list[1] : out[i];
		x = freqs[class * values + byte] * (x / 256) + x % 256 - start;
		if (x < 65536)
			x = x * 256 + plane[at++];
		state_of[i % 64] = x;
	}
	return at == n;
}

/* Classes are found, and those that a reader finds. */
static void test_classes(void)
{
	size_t len = 300000, n, list, bad = 0;

	for (size_t i = 0; i < len; i++)
		input[i] = rows(i);
	n = encode(len, stored);
	ok(n > 0 && stored[2] == 1 && stored[3] > 4, "rows with scales of their own: %d classes",
	   stored[3]);
	if (!ok((double)n < 0.97 * entropy(len), "shorter than the entropy of all together"))
		printf("#   %zu bytes, entropy %.0f\n", n, entropy(len));
	ok(decodes_slowly(stored, n, other, len), "a slow reader comes to the end of the stream");
	list = 2 + 2 * (size_t)stored[3] + ((size_t)stored[1] - stored[0] + 1) * stored[3];
	for (size_t p = 0; p < LM_COUNT(paths); p++) {
		lm_simd_limit(paths[p]);
		bad += !decodes(stored, n, len);
		for (size_t i = 0; i < len; i++)
			bad += back[i] != other[i] && other[i] != stored[list];
	}
	is_int((intmax_t)bad, 0, "every path decodes as it does");
	lm_simd_limit(LM_SIMD_AVX512);
}

/* Each byte of a short plane, changed and left out: noticed, or decoded to other bytes within its
 * bounds. */
static void test_damage(void)
{
	size_t n, cut = 0, silent = 0, states = 0, len = 3000;

	for (size_t i = 0; i < len; i++)
		input[i] = geometric(i);
	n = encode(len, stored);
	for (size_t i = 0; i < n; i++)
		cut += decodes(stored, i, len);
	is_int((intmax_t)cut, 0, "a plane cut short anywhere is refused");
	for (size_t i = 0; i < n; i++) {
		memcpy(other, stored, n);
		other[i] ^= (uint8_t)(1 + next_byte() % 255);
		silent += decodes(other, n, len) && memcmp(back, input, len) == 0;
	}
	is_int((intmax_t)silent, 0, "no byte may be another one and give the same plane");
	memcpy(other, stored, n);
	other[n] = 0;
	ok(!decodes(other, n + 1, len), "a byte behind the stream is refused");
	ok(!decodes(stored, n, len + 1) && !decodes(stored, n, len - 1),
	   "a stream of one byte more or less is refused");
	for (size_t p = 0; p < LM_COUNT(paths); p++) {
		lm_simd_limit(paths[p]);
		memcpy(other, stored, n);
		/* The stream of geometric bytes has no list shorter than raw: it ends the plane. */
		other[n - 1] ^= 1;
		states += decodes(other, n, len) && memcmp(back, input, len) == 0;
	}
	is_int((intmax_t)states, 0, "the last byte of the stream counts in every path");
	lm_simd_limit(LM_SIMD_AVX512);
}

/* The vector of spec 5.3, and what can be wrong with a stored plane. */
struct plane {
	uint8_t bytes[300];
	size_t len;
};

#define PLANE(...) make_plane((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* A head, then the states of `61 61 62` and their stream. */
static struct plane make_plane(const uint8_t *head, size_t len)
{
	struct plane p = { .len = len + LM_RANS_STATES + 1 };

	memcpy(p.bytes, head, len);
	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		p.bytes[len + 3 * lane + 2] = 1;
	memcpy(p.bytes + len, "\1\1\1\1\1\1\xff\0\1", 9);
	return p;
}

static void refuses(struct plane p, size_t count, const char *message, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t *exact = malloc(p.len), out[8];

	if (exact == NULL)
		exit(99);
	memcpy(exact, p.bytes, p.len);
	if (lm_rans_plane_decode(codec, exact, p.len, out, count, &error) != (int)error.code)
		exit(99);
	is_error(&error, LMODEL_ECORRUPT, message, what);
	free(exact);
}

#define LIST(marker, method, count, len) marker, 0, method, count, 0, 0, 0, len, 0, 0, 0
#define FREQS 0x61, 0x62, 0, 1, 255, 1
#define FREQS_AND_LIST 0x61, 0x62, 1, 1, 255, 1

static void test_by_hand(void)
{
	struct plane good = PLANE(FREQS), escaped = PLANE(FREQS_AND_LIST, LIST(0x61, 0, 2, 2), 7, 8);
	struct plane p;
	uint8_t out[3];

	ok(lm_rans_plane_decode(codec, good.bytes, good.len, out, 3, NULL) == LMODEL_OK &&
	   memcmp(out, "aab", 3) == 0, "the specification's vector");
	ok(lm_rans_plane_decode(codec, escaped.bytes, escaped.len, out, 3, NULL) == LMODEL_OK &&
	   memcmp(out, "\7\10b", 3) == 0, "the same with a list");
	refuses(PLANE(0x62, 0x61, 0, 1, 255, 1), 3, "fewer than two values", "last below first");
	refuses(PLANE(0x61, 0x61, 0, 1, 255, 1), 3, "fewer than two values", "one value");
	refuses(PLANE(0x61, 0x62, 2, 1, 255, 1), 3, "unknown kind 2", "another kind");
	refuses(PLANE(0x61, 0x62, 0, 0, 255, 1), 3, "rans plane of 0 classes", "no class");
	refuses(PLANE(0x61, 0x62, 0, 17, 255, 1), 3, "rans plane of 17 classes", "17 classes");
	refuses(PLANE(0x61, 0x62, 0, 3, 7, 0, 7, 0, 255, 1, 255, 1, 255, 1), 3, "do not rise",
		"limits that do not rise");
	refuses(PLANE(0x61, 0x62, 0, 2, 7, 0, 255, 1, 255, 2), 3, "do not sum up",
		"257 slots in the second class");
	refuses(PLANE(0x61, 0x62, 0, 1, 254, 1), 3, "do not sum up", "255 slots");
	refuses(PLANE(0x61, 0x62, 0, 1, 255, 2), 3, "do not sum up", "257 slots");
	refuses(PLANE(0x61, 0x63, 0, 1, 0, 255, 1), 3, "has no slot", "a first value without slots");
	refuses(PLANE(0x61, 0x63, 0, 1, 255, 1, 0), 3, "has no slot", "a last value without slots");
	refuses(PLANE(0x61, 0x62, 1, 1, 255, 1, LIST(0x61, 0, 0, 0)), 3, "list of 0 bytes",
		"a list of nothing");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 0, 4, 4), 1, 2, 3, 4), 3, "list of 4 bytes",
		"a list longer than the plane");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 0, 2, 1), 1), 3, "stored as 1 by method 0",
		"a raw list of another length");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 3, 2, 2), 1, 2), 3, "by method 3", "a list by rANS");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 2, 2, 2), 1, 2), 3, "no zstd frame",
		"a list that is no frame");
	refuses(PLANE(FREQS_AND_LIST, 0x61, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 7, 8), 3, "over the end",
		"a list of 16 MiB");
	refuses(PLANE(FREQS_AND_LIST, 0x61, 9, 0, 2, 0, 0, 0, 2, 0, 0, 0, 7, 8), 3,
		"marker counts as 9", "one class, where nothing is summed up");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 0, 1, 1), 7), 3, "other than its 1 escapes",
		"a list too short");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x61, 0, 3, 3), 7, 8, 9), 3, "other than its 3 escapes",
		"a list too long");
	refuses(PLANE(FREQS_AND_LIST, LIST(0x60, 0, 1, 1), 7), 3, "other than its 1 escapes",
		"a marker that does not occur");
	p = good;
	p.bytes[6 + 2] = 0;
	refuses(p, 3, "stream of a rans plane is damaged", "a state too small");
	p = good;
	p.bytes[p.len - 2] = 2;
	refuses(p, 3, "stream of a rans plane is damaged", "a state that does not end as it began");
	p = good;
	p.len--;
	refuses(p, 3, "stream of a rans plane is damaged", "a stream that ends early");
	for (size_t len = 0; len < 6 + LM_RANS_STATES; len++) {
		p.len = len;
		if (lm_rans_plane_decode(codec, p.bytes, len, out, 3, NULL) != LMODEL_ECORRUPT)
			break;
		p.len = SIZE_MAX;
	}
	ok(p.len == SIZE_MAX, "cut short anywhere in its head");
}

/* Classes and a list, as spec 5.3 has them: only the neutral byte puts group 1 below the limit, and
 * group 2 at it. */
static void test_class_vector(void)
{
	enum { COUNT = 129, STATES = 22, LEN = STATES + LM_RANS_STATES + 1 };
	static const uint8_t head[STATES] = { 0x61, 0x63, 1, 2, 0x80, 0x18, 1, 0xfe, 1, 0xfe, 1, 1,
					      0x63, 0x61, 0, 1, 0, 0, 0, 1, 0, 0 };
	uint8_t plane[COUNT], bytes[LEN + 2] = { 0 }, out[COUNT];
	uint8_t *states = bytes + STATES + 2;

	memset(plane, 0x62, sizeof(plane));
	plane[63] = 0x7a;
	plane[128] = 0x61;
	memcpy(bytes, head, STATES);
	bytes[22] = 0; /* the last byte of the list's stored length, then the list */
	bytes[23] = 0x7a;
	for (size_t lane = 0; lane < LM_RANS_LANES; lane++)
		memcpy(states + 3 * lane, lane == 0 ? "\x1a\x06\x01" :
					 lane == 63 ? "\xff\x02\x01" : "\x0e\x04\x01", 3);
	states[LM_RANS_STATES] = 5;
	ok(lm_rans_plane_decode(codec, bytes, sizeof(bytes), out, COUNT, NULL) == LMODEL_OK &&
	   memcmp(out, plane, COUNT) == 0, "the specification's vector of classes and a list");
}

static void test_refused(void)
{
	size_t n;

	memset(input, 9, 5000);
	ok(encode(5000, stored) == 0, "one value alone cannot be coded");
	for (size_t i = 0; i < 5000; i++)
		input[i] = geometric(i);
	n = encode(5000, stored);
	memset(other, CANARY, n);
	ok(lm_rans_plane_encode(codec, input, 5000, n + 1, false, other, n - 1, &n, NULL) == LMODEL_OK &&
	   n > 0 && other[0] == CANARY, "without room nothing is written");
	ok(lm_rans_plane_encode(codec, input, 5000, n, false, other, n, &n, NULL) == LMODEL_OK &&
	   n == 0 && other[0] == CANARY, "nor is what is not shorter");
}

static void test_histogram(void)
{
	uint32_t counts[256] = { 0 }, wanted[256] = { 0 };

	for (size_t i = 0; i < 997; i++) {
		input[i] = (uint8_t)next_byte();
		wanted[input[i]]++;
	}
	lm_histogram(input, 997, counts);
	ok(memcmp(counts, wanted, sizeof(counts)) == 0, "every byte is counted once");
}

int main(void)
{
	size_t room = 2 * LEN_MAX + 2048;

	codec = lm_codec_new(NULL);
	input = malloc(LEN_MAX);
	back = malloc(LEN_MAX + 64);
	stored = malloc(room);
	other = malloc(room);
	if (codec == NULL || input == NULL || back == NULL || stored == NULL || other == NULL)
		return 99;
	test_histogram();
	test_paths();
	test_lengths();
	test_classes();
	test_damage();
	test_by_hand();
	test_class_vector();
	test_refused();
	lm_codec_free(codec);
	free(input);
	free(back);
	free(stored);
	free(other);
	return done();
}
