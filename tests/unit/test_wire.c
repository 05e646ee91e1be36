/* import/wire.c: fields of Protocol Buffers in a file. */
#include "import/wire.h"

#include <sys/mman.h>

#include "lib/tap.h"

static struct lm_wire wire;

static void start(const void *bytes, size_t len)
{
	static int fd = -1;

	if (fd >= 0)
		close(fd);
	fd = memfd_create("test", MFD_CLOEXEC);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	lm_wire_start(&wire, fd, "'m'", len);
}

#define START(text) start((text), sizeof(text) - 1)

static void test_varints(void)
{
	static const struct { const char *bytes; size_t len; int answer; uint64_t value; } cases[] = {
		{ "\0", 1, LMODEL_OK, 0 },
		{ "\x7f", 1, LMODEL_OK, 127 },
		{ "\x80\1", 2, LMODEL_OK, 128 },
		{ "\x96\1", 2, LMODEL_OK, 150 },
		{ "\x81\x80\x80\0", 4, LMODEL_OK, 1 }, /* longer than it had to be */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10, LMODEL_OK, UINT64_MAX },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 10, LMODEL_ECORRUPT, 0 },
		{ "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", 11, LMODEL_ECORRUPT, 0 },
		{ "\x80", 1, LMODEL_ECORRUPT, 0 },
		{ "", 0, LMODEL_ECORRUPT, 0 },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;
		struct lm_wire_range range = { 0, cases[i].len };
		uint64_t value = 0;
		int r;

		start(cases[i].bytes, cases[i].len);
		r = lm_wire_varint(&wire, &range, &value, &e);
		ok(r == cases[i].answer && (int)e.code == r, "varint %zu: the answer is right", i);
		ok(r != LMODEL_OK || (value == cases[i].value && range.begin == range.end),
		   "varint %zu: it has that value, and ends there", i);
	}
}

static void test_fields(void)
{
	struct lm_wire_range message;
	struct lm_wire_field f;

	START("\x08\x96\1" "\x12\3abc" "\x1d\1\2\3\4" "\x21\1\0\0\0\0\0\0\x80" "\x2a\0");
	message = (struct lm_wire_range){ 0, wire.size };
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.number == 1 &&
	   f.type == LM_WIRE_VARINT && f.value == 150 && f.at == 0, "a varint");
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.number == 2 &&
	   f.type == LM_WIRE_BYTES && f.at == 3 && f.body.begin == 5 && f.body.end == 8, "bytes");
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.number == 3 &&
	   f.type == LM_WIRE_32 && f.value == 0x04030201, "4 bytes");
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.number == 4 &&
	   f.type == LM_WIRE_64 && f.value == 0x8000000000000001, "8 bytes");
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.number == 5 &&
	   f.body.begin == f.body.end && message.begin == message.end, "no bytes, at the end");
}

/* A message ends where its length says, also when the file goes on. */
static void refused(const char *bytes, size_t len, uint64_t end, enum lmodel_code code,
		    const char *part)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_wire_range message = { 0, end };
	struct lm_wire_field f;
	int r;

	start(bytes, len);
	r = lm_wire_next(&wire, &message, &f, &e);
	ok(r == (int)code && strstr(e.message, part) != NULL, "refused: %s", part);
}

#define REFUSED(text, code, part) refused((text), sizeof(text) - 1, sizeof(text) - 1, (code), (part))

static void test_refused(void)
{
	REFUSED("\0\1", LMODEL_ECORRUPT, "number 0");
	REFUSED("\x80\x80\x80\x80\x10\0", LMODEL_ECORRUPT, "number 536870912");
	REFUSED("\x0b\x0c", LMODEL_EUNSUPPORTED, "group");
	REFUSED("\x0c", LMODEL_EUNSUPPORTED, "group");
	REFUSED("\x0e", LMODEL_ECORRUPT, "undefined type 6");
	REFUSED("\x0f", LMODEL_ECORRUPT, "undefined type 7");
	REFUSED("\x12\4abc", LMODEL_ECORRUPT, "truncated");
	REFUSED("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", LMODEL_ECORRUPT, "truncated");
	REFUSED("\x1d\1\2\3", LMODEL_ECORRUPT, "truncated");
	REFUSED("\x21\1\2\3\4\5\6\7", LMODEL_ECORRUPT, "truncated");
	REFUSED("\x08", LMODEL_ECORRUPT, "truncated");
	refused("\x12\3abc", 5, 4, LMODEL_ECORRUPT, "truncated");
	refused("\x08\x96\1", 3, 2, LMODEL_ECORRUPT, "truncated");
}

/* Fields that are further apart than the window is long, there and back. */
static void test_far(void)
{
	enum { LEN = 100000 };
	static uint8_t bytes[4 + LEN + 2] = "\x0a\xa0\x8d\x06";
	struct lm_wire_range message = { 0, sizeof(bytes) }, again = message;
	struct lm_wire_field f;

	bytes[4 + LEN] = 0x10;
	bytes[4 + LEN + 1] = 7;
	start(bytes, sizeof(bytes));
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.body.begin == 4 &&
	   f.body.end == 4 + LEN, "long bytes are gone past");
	ok(lm_wire_next(&wire, &message, &f, NULL) == LMODEL_OK && f.value == 7,
	   "the field behind them");
	ok(lm_wire_next(&wire, &again, &f, NULL) == LMODEL_OK && f.body.end == 4 + LEN,
	   "back to the first");
}

static void test_text(void)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char *text = NULL;

	START("caf\xc3\xa9 a\0b \xff");
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 0, 5 }, 5, "a text", &text, &e) ==
	   LMODEL_OK, "a text");
	is_str(text, "caf\xc3\xa9", "it is that one");
	free(text);
	text = NULL;
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 3, 3 }, 0, "a text", &text, &e) ==
	   LMODEL_OK && text[0] == '\0', "an empty one");
	free(text);
	text = NULL;
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 0, 5 }, 4, "a text", &text, &e) ==
	   LMODEL_ELIMIT && text == NULL, "too long");
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 0, 4 }, 9, "a text", &text, &e) ==
	   LMODEL_ECORRUPT, "half a character");
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 6, 9 }, 9, "a text", &text, &e) ==
	   LMODEL_ECORRUPT, "NUL");
	ok(lm_wire_text(&wire, (struct lm_wire_range){ 10, 11 }, 9, "a text", &text, &e) ==
	   LMODEL_ECORRUPT && text == NULL, "no UTF-8");
}

int main(void)
{
	test_varints();
	test_fields();
	test_refused();
	test_far();
	test_text();
	return done();
}
