/* Strict decoding of stored chunks (spec: 5), on bytes written by hand: each defect alone, each
 * with its message. */
#include "codec/codec.h"
#include "lib/tap.h"

static struct lm_codec *codec;

static struct lm_coding coding_of(const char *text)
{
	struct lm_coding coding = { 0 };

	if (!lm_coding_parse(text, &coding))
		exit(99);
	return coding;
}

/* Decodes `stored` from memory of exactly its size, to raw bytes with a fence behind them. */
static int decode(const char *coding, int method, const uint8_t *stored, size_t len, uint8_t *raw,
		  size_t raw_len, struct lmodel_error *error)
{
	LM_FREE uint8_t *exact = malloc(len ? len : 1), *room = malloc(raw_len + 1);
	int rc;

	if (exact == NULL || room == NULL)
		exit(99);
	memcpy(exact, stored, len);
	memset(room, 0xa5, raw_len + 1);
	*error = (struct lmodel_error)LMODEL_ERROR_INIT;
	rc = lm_chunk_decode(codec, coding_of(coding), (enum lm_method)method, exact, len, room,
			     raw_len, error);
	if (room[raw_len] != 0xa5 || rc != (int)error->code)
		exit(99);
	if (raw != NULL)
		memcpy(raw, room, raw_len);
	return rc;
}

static void refuses(const char *coding, int method, const uint8_t *stored, size_t len,
		    size_t raw_len, const char *message, const char *what)
{
	struct lmodel_error error;

	decode(coding, method, stored, len, NULL, raw_len, &error);
	is_error(&error, LMODEL_ECORRUPT, message, what);
}

#define REFUSES(coding, method, raw_len, message, what, ...)                               \
	refuses(coding, method, (const uint8_t[]){ __VA_ARGS__ },                          \
		sizeof((const uint8_t[]){ __VA_ARGS__ }), raw_len, message, what)

/* A frame written by hand (RFC 8878): magic, descriptor, size, one last RLE block of 24 'a'. */
#define MAGIC 0x28, 0xb5, 0x2f, 0xfd
#define FRAME MAGIC, 0x20, 24, 0xc3, 0x00, 0x00, 'a'
#define SKIPPABLE 0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2

static void test_frames(void)
{
	static const uint8_t frame[] = { FRAME };
	struct lmodel_error error;
	uint8_t raw[24];
	unsigned accepted = 0;

	ok(decode("w1", LM_METHOD_ZSTD, frame, sizeof(frame), raw, 24, &error) == LMODEL_OK &&
	   raw[0] == 'a' && raw[23] == 'a', "a frame written by hand decodes");
	for (size_t len = 0; len < sizeof(frame); len++)
		accepted += decode("w1", LM_METHOD_ZSTD, frame, len, raw, 24, &error) == LMODEL_OK;
	is_int(accepted, 0, "a frame cut short anywhere is refused");

	REFUSES("w1", LM_METHOD_ZSTD, 24, "1 bytes after the zstd frame", "a byte after the frame",
		FRAME, 0);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "after the zstd frame", "two frames", FRAME, FRAME);
	REFUSES("w1", LM_METHOD_ZSTD, 48, "other than the 48 bytes", "two frames for two halves",
		FRAME, FRAME);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "after the zstd frame", "a skippable frame behind",
		FRAME, SKIPPABLE);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "no zstd frame", "a skippable frame in front",
		SKIPPABLE, FRAME);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "no zstd frame", "a skippable frame alone", SKIPPABLE);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "no zstd frame", "another magic number",
		0x27, 0xb5, 0x2f, 0xfd, 0x20, 24, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 24, "not allowed (0x24)", "a frame with a checksum",
		MAGIC, 0x24, 24, 0xc3, 0, 0, 'a', 1, 2, 3, 4);
	REFUSES("w1", LM_METHOD_ZSTD, 24, "not allowed (0x21)", "a frame with a dictionary",
		MAGIC, 0x21, 1, 24, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 24, "not allowed (0x28)", "a frame with the reserved bit",
		MAGIC, 0x28, 24, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 24, "not allowed (0x00)", "a frame without a content size",
		MAGIC, 0x00, 0x00, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 25, "other than the 25 bytes", "a frame of one byte less",
		FRAME);
	REFUSES("w1", LM_METHOD_ZSTD, 23, "other than the 23 bytes", "a frame of one byte more",
		FRAME);
	REFUSES("w1", LM_METHOD_ZSTD, 25, "damaged", "a frame whose blocks have less than it says",
		MAGIC, 0x20, 25, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 23, "damaged", "a frame whose blocks have more than it says",
		MAGIC, 0x20, 23, 0xc3, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 24, "damaged", "a block of the reserved type",
		MAGIC, 0x20, 24, 0xc7, 0, 0, 'a');
	REFUSES("w1", LM_METHOD_ZSTD, 24, "damaged", "a frame without a last block",
		MAGIC, 0x20, 24, 0xc2, 0, 0, 'a');
}

static void test_whole_chunks(void)
{
	struct lmodel_error error;
	uint8_t raw[8] = { 0 };

	REFUSES("w1", LM_METHOD_RAW, 4, "raw chunk of 3 bytes instead of 4",
		"a raw chunk too short", 1, 2, 3);
	REFUSES("w1", LM_METHOD_RAW, 4, "5 stored bytes for 4", "a raw chunk too long",
		1, 2, 3, 4, 5);
	REFUSES("f4", LM_METHOD_RUN, 8, "run chunk of 3 bytes instead of 4", "a run too short",
		1, 2, 3);
	REFUSES("f4", LM_METHOD_RUN, 8, "run chunk of 5 bytes instead of 4", "a run too long",
		1, 2, 3, 4, 5);
	REFUSES("w1", 5, 4, "unknown chunk method 5", "a method of a later version", 1);
	REFUSES("w1", LM_METHOD_RAW, 0, "chunk of 0 raw bytes", "a chunk of nothing", 1);
	REFUSES("w1", LM_METHOD_ZSTD, 4, "10 stored bytes for 4", "stored longer than raw", FRAME);
	refuses("w1", LM_METHOD_RUN, raw, 0, 4, "run chunk of 0 bytes", "a run of no bytes");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	ok(lm_chunk_decode(codec, coding_of("w1"), LM_METHOD_RUN, "a", 1, raw, LMODEL_CHUNK_MAX + 1,
			   &error) == LMODEL_ECORRUPT, "a chunk over the limit");
	ok(decode("f4", LM_METHOD_RUN, (const uint8_t[]){ 1, 2, 3, 4 }, 4, raw, 8, &error) ==
	   LMODEL_OK && memcmp(raw, "\1\2\3\4\1\2\3\4", 8) == 0, "a run of words");
	ok(decode("f4", LM_METHOD_RUN, (const uint8_t[]){ 9 }, 1, raw, 7, &error) == LMODEL_OK &&
	   memcmp(raw, "\x9\x9\x9\x9\x9\x9\x9", 7) == 0, "words that do not fit are bytes");
}

/* Chunks of width 2. */
#define ENTRY(method, len) method, len, 0, 0, 0
#define PLANES(raw_len, message, what, ...) \
	REFUSES("w2", LM_METHOD_PLANES, raw_len, message, what, __VA_ARGS__)

static void test_plane_tables(void)
{
	static const uint8_t good[] = { ENTRY(2, 10), ENTRY(1, 1), FRAME, 'b' };
	static const uint8_t raw_plane[] = { ENTRY(1, 1), ENTRY(0, 12), 'a', 'h', 'e', 'l', 'l',
					     'o', ' ', 'w', 'o', 'r', 'l', 'd', '!' };
	struct lmodel_error error;
	uint8_t raw[48];
	unsigned accepted = 0;

	ok(decode("w2", LM_METHOD_PLANES, good, sizeof(good), raw, 48, &error) == LMODEL_OK &&
	   raw[0] == 'b' && raw[1] == 'a' && raw[46] == 'b' && raw[47] == 'a',
	   "planes written by hand decode: a frame and a run");
	ok(decode("w2", LM_METHOD_PLANES, raw_plane, sizeof(raw_plane), raw, 24, &error) ==
	   LMODEL_OK && memcmp(raw, "haealalaoa awaoaralada!a", 24) == 0,
	   "planes written by hand decode: a run and raw bytes");
	for (size_t len = 0; len < sizeof(good); len++)
		accepted += decode("w2", LM_METHOD_PLANES, good, len, raw, 48, &error) == LMODEL_OK;
	is_int(accepted, 0, "planes cut short anywhere are refused");

	ok(decode("f2", LM_METHOD_TURNED, good, sizeof(good), raw, 48, &error) == LMODEL_OK &&
	   raw[0] == 0x58 && raw[1] == 0x98, "turned planes decode: 0x6162 is 0x9858 turned by two");
	REFUSES("w2", LM_METHOD_TURNED, 48, "no floats", "turned planes of integers",
		ENTRY(2, 10), ENTRY(1, 1), FRAME, 'b');
	REFUSES("f2", LM_METHOD_TURNED, 49, "no floats", "turned planes of words that do not fit",
		ENTRY(2, 10), ENTRY(1, 1), FRAME, 'b');
	PLANES(48, "plane table is cut short", "nine bytes of a table of ten",
	       ENTRY(2, 10), 1, 1, 0, 0);
	PLANES(48, "rans plane of 253 classes", "a frame that is called rans",
	       ENTRY(3, 10), ENTRY(1, 1), FRAME, 'b');
	PLANES(48, "unknown plane method 9", "a plane method of a later version",
	       ENTRY(9, 10), ENTRY(1, 1), FRAME, 'b');
	PLANES(24, "raw plane of 11 bytes instead of 12", "a raw plane too short",
	       ENTRY(1, 1), ENTRY(0, 11), 'a', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	PLANES(24, "raw plane of 13 bytes instead of 12", "a raw plane too long",
	       ENTRY(1, 1), ENTRY(0, 13), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
	PLANES(48, "run plane of 2 bytes instead of 1", "a run plane too long",
	       ENTRY(1, 2), ENTRY(1, 1), 'a', 'a', 'b');
	PLANES(48, "run plane of 0 bytes instead of 1", "a run plane of nothing",
	       ENTRY(1, 1), ENTRY(1, 0), 'a');
	PLANES(48, "plane 1 runs over the end", "a plane longer than what is left",
	       ENTRY(2, 10), ENTRY(1, 2), FRAME, 'b');
	PLANES(48, "plane 0 runs over the end", "a plane of 4 GiB",
	       2, 0xff, 0xff, 0xff, 0xff, ENTRY(1, 1), FRAME, 'b');
	PLANES(48, "1 bytes after the last plane", "a byte after the last plane",
	       ENTRY(2, 10), ENTRY(1, 1), FRAME, 'b', 'c');
	PLANES(48, "1 bytes after the zstd frame", "a byte after the frame of a plane",
	       ENTRY(2, 11), ENTRY(1, 1), FRAME, 0, 'b');
	PLANES(48, "cut short", "a plane that ends within its frame",
	       ENTRY(2, 9), ENTRY(1, 1), FRAME, 'b');
	PLANES(50, "other than the 25 bytes", "a frame of less than a plane",
	       ENTRY(2, 10), ENTRY(1, 1), FRAME, 'b');
}

int main(void)
{
	codec = lm_codec_new(NULL);
	if (codec == NULL)
		return 99;
	test_frames();
	test_whole_chunks();
	test_plane_tables();
	lm_codec_free(codec);
	return done();
}
