/* Byte planes (spec: 5): known answers, the vector path against the plain one, bounds. */
#include "codec/planes.h"
#include "codec/simd.h"
#include "lib/tap.h"

#define CANARY 0xa5
#define WORDS_MAX 5000

static uint8_t words[WORDS_MAX * 8 + 64], planes[WORDS_MAX * 8 + 64], other[WORDS_MAX * 8 + 64];

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bytes[i] = (uint8_t)(seed >> 56);
	}
}

/* "t2" is "f2" turned by two bits. */
static struct lm_coding coding_of(const char *text)
{
	struct lm_coding coding = { 0 };
	char name[3] = { text[0] == 't' ? 'f' : text[0], text[1], 0 };

	if (!lm_coding_parse(name, &coding))
		exit(99);
	coding.turn += text[0] == 't';
	return coding;
}

static void merge(struct lm_coding coding, const uint8_t *bytes, size_t count, uint8_t *out)
{
	const uint8_t *rows[8];

	for (unsigned p = 0; p < coding.width; p++)
		rows[p] = bytes + p * count;
	lm_planes_merge(coding, rows, count, out);
}

/* The bytes of two words against the planes written down by hand. */
static void known(const char *text, const uint8_t *in, const uint8_t *wanted, const char *what)
{
	struct lm_coding coding = coding_of(text);
	size_t len = 2 * coding.width;

	memset(planes, CANARY, sizeof(planes));
	lm_planes_split(coding, in, 2, planes);
	ok(memcmp(planes, wanted, len) == 0 && planes[len] == CANARY, "%s: split %s", text, what);
	memset(other, CANARY, sizeof(other));
	merge(coding, wanted, 2, other);
	ok(memcmp(other, in, len) == 0 && other[len] == CANARY, "%s: merge %s", text, what);
}

static void test_known_answers(void)
{
	known("w1", (const uint8_t[]){ 0x12, 0xfe }, (const uint8_t[]){ 0x12, 0xfe }, "bytes");
	known("w2", (const uint8_t[]){ 0x34, 0x12, 0x78, 0x56 },
	      (const uint8_t[]){ 0x12, 0x56, 0x34, 0x78 }, "0x1234 0x5678");
	/* bfloat16 1.0 = 0x3f80 and -1.0 = 0xbf80: the same exponent, the sign at the low end. */
	known("f2", (const uint8_t[]){ 0x80, 0x3f, 0x80, 0xbf },
	      (const uint8_t[]){ 0x7f, 0x7f, 0x00, 0x01 }, "1.0 -1.0");
	known("w4", (const uint8_t[]){ 0x04, 0x03, 0x02, 0x01, 0xd0, 0xc0, 0xb0, 0xa0 },
	      (const uint8_t[]){ 0x01, 0xa0, 0x02, 0xb0, 0x03, 0xc0, 0x04, 0xd0 },
	      "0x01020304 0xa0b0c0d0");
	/* 0xbfc00001 rotated is 0x7f800003; 0x3e99999a is 0x7d333334. */
	known("f4", (const uint8_t[]){ 0x01, 0x00, 0xc0, 0xbf, 0x9a, 0x99, 0x99, 0x3e },
	      (const uint8_t[]){ 0x7f, 0x7d, 0x80, 0x33, 0x00, 0x33, 0x03, 0x34 }, "-1.5 0.3");
	/* bfloat16 1.0, 1.5 (0x3fc0) and -2.0 (0xc000): seven bits of the exponent and one of the
	 * mantissa; then the others, the sign and the top bit of the exponent. */
	known("t2", (const uint8_t[]){ 0x80, 0x3f, 0xc0, 0x3f },
	      (const uint8_t[]){ 0xfe, 0xff, 0x00, 0x00 }, "1.0 1.5 turned");
	known("t2", (const uint8_t[]){ 0x00, 0xc0, 0x80, 0xbf },
	      (const uint8_t[]){ 0x00, 0xfe, 0x03, 0x02 }, "-2.0 -1.0 turned");
	known("w8", (const uint8_t[]){ 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0, 0, 0, 0, 0, 0, 0x80 },
	      (const uint8_t[]){ 1, 0x80, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0xff },
	      "0x0102030405060708 0x80000000000000ff");
	/* 0xbff0000000000001 rotated is 0x7fe0000000000003; 0x8000000000000000 is 1. */
	known("f8", (const uint8_t[]){ 1, 0, 0, 0, 0, 0, 0xf0, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0x80 },
	      (const uint8_t[]){ 0x7f, 0, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1 },
	      "-1.0 -0.0");
}

/* One word a call never fills a vector, so this is the plain path. */
static bool split_is_plain(struct lm_coding coding, const uint8_t *in, size_t count)
{
	uint8_t bytes[8];

	memset(planes, CANARY, sizeof(planes));
	lm_planes_split(coding, in, count, planes);
	for (size_t i = 0; i < count; i++) {
		lm_planes_split(coding, in + i * coding.width, 1, bytes);
		for (unsigned p = 0; p < coding.width; p++)
			if (planes[p * count + i] != bytes[p])
				return false;
	}
	return planes[count * coding.width] == CANARY;
}

static bool merge_is_plain(struct lm_coding coding, const uint8_t *bytes, size_t count,
			   uint8_t *out)
{
	memset(out, CANARY, count * coding.width + 1);
	merge(coding, bytes, count, out);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *rows[8];
		uint8_t word[8];

		for (unsigned p = 0; p < coding.width; p++)
			rows[p] = bytes + p * count + i;
		lm_planes_merge(coding, rows, 1, word);
		if (memcmp(word, out + i * coding.width, coding.width) != 0)
			return false;
	}
	return out[count * coding.width] == CANARY;
}

static void test_paths_agree(const char *text)
{
	struct lm_coding coding = coding_of(text);
	size_t split_bad = 0, merge_bad = 0, trip_bad = 0;

	for (size_t count = 1; count <= WORDS_MAX; count += count < 200 ? 1 : 479) {
		/* Tensors and planes start anywhere. */
		uint8_t *in = words + count % 5, *out = other + count % 3;

		fill(in, count * coding.width, count);
		if (split_bad == 0 && !split_is_plain(coding, in, count))
			split_bad = count;
		if (merge_bad == 0 && !merge_is_plain(coding, planes, count, out))
			merge_bad = count;
		if (trip_bad == 0 && memcmp(in, out, count * coding.width) != 0)
			trip_bad = count;
	}
	is_int((intmax_t)split_bad, 0, "split: many words as one by one (first count to fail)");
	is_int((intmax_t)merge_bad, 0, "merge: many words as one by one (first count to fail)");
	is_int((intmax_t)trip_bad, 0, "merge undoes split (first count to fail)");
}

/* The decoder hands over planes that lie anywhere, not one after the other. */
static void test_scattered_planes(void)
{
	struct lm_coding coding = coding_of("f4");
	const uint8_t *rows[4];

	fill(words, 4 * 100, 7);
	lm_planes_split(coding, words, 100, planes);
	for (size_t p = 0; p < 4; p++) {
		uint8_t *row = planes + 1001 * (4 - p);

		memcpy(row, planes + 100 * p, 100);
		rows[p] = row;
	}
	lm_planes_merge(coding, rows, 100, other);
	ok(memcmp(other, words, 400) == 0, "f4: merge from scattered planes");
}

static void test_all(void)
{
	static const char *const codings[] = { "w1", "w2", "w4", "w8", "f2", "f4", "f8",
					       "t2", "t4", "t8" };

	test_known_answers();
	for (size_t i = 0; i < LM_COUNT(codings); i++) {
		printf("# %s\n", codings[i]);
		test_paths_agree(codings[i]);
	}
	test_scattered_planes();
}

int main(void)
{
	test_all();
	printf("# without vector instructions\n");
	lm_simd_limit(LM_SIMD_PLAIN);
	test_all();
	return done();
}
