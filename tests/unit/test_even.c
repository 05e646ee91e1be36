/* Planes of even bytes (spec: 5.2): seven bits a byte and back, and what is wrong is refused. */
#include "codec/even.h"
#include "codec/simd.h"
#include "lib/tap.h"

#define LEN_MAX 3000
#define CANARY 0xa5

static uint8_t bytes[LEN_MAX], stored[LEN_MAX + 64], other[LEN_MAX + 64], back[LEN_MAX + 1];

static void fill(size_t len, size_t odd_each)
{
	uint64_t state = len;

	for (size_t i = 0; i < len; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bytes[i] = (uint8_t)(state >> 56 & 0xfe);
		if (odd_each != 0 && i % odd_each == odd_each - 1)
			bytes[i] |= 1;
	}
}

static size_t encode(size_t len, uint8_t *out)
{
	size_t room = lm_even_bound(len), n;

	memset(out, CANARY, room + 1);
	n = lm_even_encode(bytes, len, out);
	if (n > room || out[room] != CANARY)
		exit(99);
	return n;
}

/* From memory of exactly its size, so that ASan sees a read past it. */
static int decode(const uint8_t *from, size_t n, size_t len, struct lmodel_error *error)
{
	LM_FREE uint8_t *exact = malloc(n + !n);
	int rc;

	if (exact == NULL)
		exit(99);
	memcpy(exact, from, n);
	memset(back, CANARY, sizeof(back));
	*error = (struct lmodel_error)LMODEL_ERROR_INIT;
	rc = lm_even_decode(exact, n, back, len, error);
	if (back[len] != CANARY || rc != (int)error->code)
		exit(99);
	return rc;
}

static void test_trips(size_t odd_each)
{
	size_t wrong = 0, differ = 0, longer = 0;

	for (size_t len = 1; len < LEN_MAX; len += len < 300 ? 1 : 61) {
		struct lmodel_error error;
		size_t n, m;

		fill(len, odd_each);
		lm_simd_limit(LM_SIMD_PLAIN);
		n = encode(len, stored);
		wrong += decode(stored, n, len, &error) != LMODEL_OK ||
			 memcmp(bytes, back, len) != 0;
		lm_simd_limit(LM_SIMD_AVX512);
		m = encode(len, other);
		differ += n != m || memcmp(stored, other, n) != 0;
		wrong += decode(stored, n, len, &error) != LMODEL_OK ||
			 memcmp(bytes, back, len) != 0;
		longer += n != 4 + (7 * len + 7) / 8 + 4 * (odd_each ? len / odd_each : 0);
	}
	is_int((intmax_t)wrong, 0, "bytes come back");
	is_int((intmax_t)differ, 0, "every path writes the same");
	is_int((intmax_t)longer, 0, "seven bits a byte, four bytes an odd one");
}

static void refuses(const uint8_t *from, size_t n, size_t len, const char *message, const char *what)
{
	struct lmodel_error error;

	decode(from, n, len, &error);
	is_error(&error, LMODEL_ECORRUPT, message, what);
}

static void test_by_hand(void)
{
	/* 0xfe 0x00 0x03: 127, 0 and 1, of which the last is odd. */
	static const uint8_t good[] = { 1, 0, 0, 0, 0x7f, 0x40, 0x00, 2, 0, 0, 0 };
	struct lmodel_error error;
	static const uint8_t vector[] = { 2, 0, 0, 0, 0x81, 0xc0, 0x1f, 0, 0, 0, 0, 2, 0, 0, 0 };
	uint8_t bad[16] = { 0 };

	ok(decode(vector, sizeof(vector), 3, &error) == LMODEL_OK &&
	   memcmp(back, "\3\2\xff", 3) == 0, "the specification's vector");
	ok(decode(good, sizeof(good), 3, &error) == LMODEL_OK &&
	   memcmp(back, "\xfe\0\3", 3) == 0, "a plane written by hand decodes");
	for (size_t n = 0; n < sizeof(good); n++)
		if (decode(good, n, 3, &error) != LMODEL_ECORRUPT)
			exit(99);
	refuses(good, 6, 3, "cut short", "a plane cut short");
	refuses(good, 10, 3, "3 bytes for 1 odd places", "places cut short");
	memcpy(bad, good, sizeof(good));
	refuses(bad, sizeof(good) + 1, 3, "5 bytes for 1 odd places", "a byte behind the places");
	bad[7] = 3;
	refuses(bad, sizeof(good), 3, "not in order", "a place behind the plane");
	bad[7] = 2;
	bad[6] = 0x20;
	refuses(bad, sizeof(good), 3, "bits behind its end", "a bit behind the last byte");
	bad[6] = 0;
	bad[0] = 2;
	bad[11] = 2;
	refuses(bad, 15, 3, "not in order", "a place that comes twice");
	bad[11] = 1;
	refuses(bad, 15, 3, "not in order", "places that fall");
	memset(bad, 0xff, 4);
	refuses(bad, 15, 3, "4294967295 odd places", "more odd places than bytes");
}

int main(void)
{
	test_trips(0);
	test_trips(257);
	fill(2560, 250);
	ok(encode(2560, stored) > 0, "one odd byte in 256");
	fill(2560, 200);
	ok(encode(2560, stored) == 0, "more than that are refused");
	test_by_hand();
	return done();
}
