/* container/slot.c: footers, finding and reading slots, and commits that are cut short. */
#include "container/slot.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/io.h"
#include "crypto/crypto.h"
#include "lib/tap.h"

#include <lmodel/version.h>

enum {
	SLOT = 2048,
	SECTORS = SLOT / 512,
	FILE_LEN = 1536 + 2 * SLOT + 512 + 1024, /* no members, then the end blocks */
	COMMITTED = FILE_LEN - 1024,
	ROOM = SLOT - 512,
};

static const struct lm_slots slots = { .slot_size = SLOT, .file_size = FILE_LEN };

/* The file under test lives in memory; the digests do not care. */
static int file(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("slots", MFD_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

static const struct lm_file *view(void)
{
	static struct lm_file f;

	f = lm_file_local(file(), "test");
	return &f;
}

/* Image number `n`: of another length and content than its neighbours. */
static uint64_t image_of(unsigned n, uint8_t image[ROOM])
{
	uint64_t len = 300 + n * 431 % 1200; /* up and down, over sectors */

	memset(image, 0, ROOM);
	for (uint64_t i = 0; i < len; i++)
		image[i] = (uint8_t)(n * 31 + i * 7 + (i >> 8));
	lm_put_u32(image, n);
	return len;
}

static void load(const uint8_t *bytes)
{
	if (lm_write_at(file(), "test", bytes, FILE_LEN, 0, NULL) != LMODEL_OK)
		abort();
}

static void save(uint8_t *bytes)
{
	if (lm_read_at(file(), "test", bytes, FILE_LEN, 0, NULL) != LMODEL_OK)
		abort();
}

static void create(unsigned n, uint64_t counter)
{
	uint8_t image[ROOM], zero[FILE_LEN] = { 0 };
	uint64_t len = image_of(n, image);
	struct lmodel_error error = LMODEL_ERROR_INIT;

	load(zero);
	if (lm_slots_create(file(), "test", SLOT, 0, image, len, COMMITTED, counter, &error)) {
		printf("# %s\n", error.message);
		abort();
	}
}

static int commit(unsigned n, struct lmodel_error *error)
{
	uint8_t image[ROOM];
	uint64_t len = image_of(n, image);

	struct lm_slot_footer level = { 0 };

	return lm_slots_commit(file(), "test", &slots, image, len, COMMITTED, &level, error);
}

/* Which image a reader gets; -1 when it gets none, -2 when it gets one that nobody wrote. */
static int reader_gets(struct lm_slot_footer *footer)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_slot_footer f;
	uint8_t wanted[ROOM];
	uint8_t *image = NULL;
	int n;

	if (lm_slots_read(view(), &slots, &image, &f, &error) != LMODEL_OK)
		return -1;
	n = (int)lm_get_u32(image);
	if (image_of((unsigned)n, wanted) != f.image_len || memcmp(wanted, image, f.image_len) != 0)
		n = -2;
	free(image);
	if (footer != NULL)
		*footer = f;
	return n;
}

static void look(struct lm_slot found[2])
{
	if (lm_slots_examine(view(), &slots, found, NULL) != LMODEL_OK)
		abort();
}

/* ---- footer ---- */

static struct lm_slot_footer good_footer(void)
{
	struct lm_slot_footer f = {
		.format = 1, .commit_counter = UINT64_C(0x1122334455667788), .image_len = 1000,
		.committed_len = COMMITTED, .slot_size = SLOT,
	};

	memset(f.digest, 0xd1, sizeof(f.digest));
	return f;
}

static void test_footer(void)
{
	struct lm_slot_footer f = good_footer(), g = { 0 };
	uint8_t bytes[LM_SLOT_FOOTER];
	char problem[160];

	lm_slot_footer_encode(&f, bytes);
	ok(lm_slot_footer_decode(bytes, &g, problem) && g.format == f.format &&
	   g.commit_counter == f.commit_counter && g.image_len == f.image_len &&
	   g.committed_len == f.committed_len && g.slot_size == f.slot_size &&
	   memcmp(g.digest, f.digest, 32) == 0, "footer: what goes in comes out");
	ok(memcmp(bytes, "LMODEL\x1a\n", 8) == 0, "footer: magic first");
	ok(lm_get_u32(bytes + 12) == 512 && lm_get_u64(bytes + 16) == f.commit_counter,
	   "footer: fields are little-endian, where the format says");
	ok(lm_is_zero(bytes + 80, 512 - 80), "footer: the rest is zero");
}

static void footer_fails(size_t at, size_t width, uint64_t value, const char *part)
{
	struct lm_slot_footer f = good_footer(), untouched = { .format = 77 };
	uint8_t bytes[LM_SLOT_FOOTER];
	char problem[160];

	lm_slot_footer_encode(&f, bytes);
	if (width == 4)
		lm_put_u32(bytes + at, (uint32_t)value);
	else
		lm_put_u64(bytes + at, value);
	ok(!lm_slot_footer_decode(bytes, &untouched, problem) && strstr(problem, part) != NULL &&
	   untouched.format == 77, "footer: %s (%ju at %zu)", part, (uintmax_t)value, at);
}

static void test_footer_defects(void)
{
	static const uint64_t huge = UINT64_MAX;

	footer_fails(0, 8, 0, "no footer");
	footer_fails(12, 4, 4096, "footer length");
	footer_fails(24, 8, 0, "image length");
	footer_fails(24, 8, SLOT - 511, "image length");
	footer_fails(24, 8, huge, "image length");
	footer_fails(32, 8, COMMITTED - 512, "committed length");
	footer_fails(32, 8, COMMITTED + 1, "committed length");
	footer_fails(32, 8, huge, "committed length");
	footer_fails(32, 8, huge - 511, "committed length");
	footer_fails(40, 8, 0, "slot size");
	footer_fails(40, 8, 512, "slot size");
	footer_fails(40, 8, SLOT + 1, "slot size");
	footer_fails(40, 8, LM_SLOT_LIMIT + 512, "slot size");
	footer_fails(40, 8, huge - 511, "slot size");
}

static void test_slot_size(void)
{
	bool fits = true, aligned = true;

	for (uint64_t len = 1; len <= LM_SLOT_LIMIT / 2; len = len * 3 + 7) {
		uint64_t size = lm_slot_size_for(len, len * 5, len % 2 != 0);

		fits &= size >= len + len / (len % 2 != 0 ? 8 : 64) + LM_SLOT_FOOTER;
		aligned &= size % LM_SLOT_ALIGN == 0;
	}
	ok(fits, "slot size: room for the image, a part more, and the footer");
	ok(aligned, "slot size: aligned");
	is_int((intmax_t)lm_slot_size_for(LM_SLOT_LIMIT, 0, false), 0, "slot size: over the limit");
	is_int((intmax_t)lm_slot_size_for(UINT64_MAX - 5, UINT64_MAX, true), 0, "slot size: no overflow");
}

/* ---- finding and reading ---- */

static void locate_fails(const uint8_t *whole, size_t at, uint8_t byte, enum lmodel_code code,
			 const char *part)
{
	uint8_t bytes[FILE_LEN];
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_slots found;

	memcpy(bytes, whole, FILE_LEN);
	bytes[at] = byte;
	load(bytes);
	is_int(lm_slots_locate(view(), FILE_LEN, &found, &error), code, part);
	is_error(&error, code, part, "locate");
}

static void test_locate(void)
{
	uint8_t whole[FILE_LEN];
	struct lm_slots found = { 0 };
	unsigned refused = 0;

	create(1, 1);
	save(whole);
	is_int(lm_slots_locate(view(), FILE_LEN, &found, NULL), LMODEL_OK, "locate");
	is_int((intmax_t)found.slot_size, SLOT, "... the slot size");
	locate_fails(whole, 0, 'M', LMODEL_ECORRUPT, "is not an lmodel archive");
	locate_fails(whole, 512, 'b', LMODEL_ECORRUPT, "is not an lmodel archive");
	locate_fails(whole, 512 + 24, '2', LMODEL_EUNSUPPORTED, "another version");
	locate_fails(whole, 1024, 'M', LMODEL_ECORRUPT, "tar header of manifest.sqlite");
	locate_fails(whole, 1024 + 134, '1', LMODEL_ECORRUPT, "manifest slot of");
	locate_fails(whole, 1024 + 124, '7', LMODEL_ELIMIT, "the limit is");
	locate_fails(whole, 1024 + 129, '1', LMODEL_ECORRUPT, "truncated within the manifest");
	locate_fails(whole, 1536 + SLOT, 'M', LMODEL_ECORRUPT, "tar header of manifest.backup");
	locate_fails(whole, 1536 + SLOT + 130, '7', LMODEL_ECORRUPT, "tar header of manifest.backup");
	load(whole);
	for (uint64_t len = 0; len < COMMITTED; len += 97) {
		struct lmodel_error e = LMODEL_ERROR_INIT;

		refused += lm_slots_locate(view(), len, &found, &e) == LMODEL_ECORRUPT;
	}
	is_int(refused, (COMMITTED + 96) / 97, "locate: cut anywhere within the slots");
}

static void flip(uint64_t at)
{
	uint8_t byte;

	if (lm_read_at(file(), "test", &byte, 1, at, NULL) != LMODEL_OK)
		abort();
	byte ^= 0x10;
	if (lm_write_at(file(), "test", &byte, 1, at, NULL) != LMODEL_OK)
		abort();
}

static void test_read(void)
{
	uint8_t image[ROOM];
	uint64_t len = image_of(3, image), a = lm_slot_offset(SLOT, 0), b = lm_slot_offset(SLOT, 1);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_slot_footer footer;
	struct lm_slot found[2];
	uint8_t *got = NULL;

	create(3, 9);
	is_int(reader_gets(&footer), 3, "read: the image");
	ok(footer.commit_counter == 9 && footer.committed_len == COMMITTED &&
	   footer.format == LMODEL_FORMAT_VERSION, "read: its footer");
	look(found);
	ok(found[0].valid && found[1].valid && found[0].padded && found[1].padded, "... both good");

	flip(a + len);
	is_int(reader_gets(NULL), 3, "a byte of padding does not keep from reading");
	look(found);
	ok(found[0].valid && !found[0].padded && found[1].padded, "... but is seen");
	flip(a + len);
	flip(b + SLOT - 1);
	look(found);
	ok(found[0].padded && !found[1].padded, "a byte behind the footer's fields is seen");
	flip(b + SLOT - 1);

	flip(a + 100);
	is_int(reader_gets(NULL), 3, "read: slot A damaged, slot B serves");
	look(found);
	ok(!found[0].valid && found[1].valid && strstr(found[0].problem, "SHA-256") != NULL,
	   "... says which and why");
	flip(b + SLOT - 512);
	is_int(lm_slots_read(view(), &slots, &got, &footer, &error), LMODEL_ECORRUPT,
	       "read: both damaged");
	is_error(&error, LMODEL_ECORRUPT, "slot A: SHA-256 does not match; slot B: no footer",
		 "read: both damaged");
}

static void test_committed_beyond(void)
{
	struct lm_slots shorter = { .slot_size = SLOT, .file_size = COMMITTED - 512 };
	struct lm_slot found[2];

	create(1, 1);
	ok(lm_slots_examine(view(), &shorter, found, NULL) == LMODEL_OK && !found[0].valid &&
	   strstr(found[0].problem, "truncated") != NULL, "a file shorter than what was committed");
}

/* ---- commits ---- */

static void test_commit(void)
{
	struct lm_slot found[2];
	struct lm_slot_footer footer;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t big[SLOT] = { 1 }, before[FILE_LEN], after[FILE_LEN];

	create(1, 41);
	is_int(commit(2, &error), LMODEL_OK, "commit");
	is_int(reader_gets(&footer), 2, "... is in force");
	is_int((intmax_t)footer.commit_counter, 42, "... with the next counter");
	look(found);
	ok(found[0].valid && found[1].valid && found[0].padded && found[1].padded &&
	   memcmp(found[0].footer.digest, found[1].footer.digest, 32) == 0, "... in both slots");

	save(before);
	is_int(lm_slots_commit(file(), "test", &slots, big, ROOM + 1, COMMITTED, &footer, &error),
	       LMODEL_ELIMIT, "an image larger than the slot");
	is_error(&error, LMODEL_ELIMIT, "repack makes room", "an image larger than the slot");
	save(after);
	ok(memcmp(before, after, FILE_LEN) == 0, "... changes nothing");
	is_int(lm_slots_commit(file(), "test", &slots, big, ROOM, COMMITTED, &footer, NULL), LMODEL_OK,
	       "an image that just fits");

	create(1, UINT64_MAX);
	is_int(commit(2, NULL), LMODEL_EFAILED, "the counter does not wrap");
	is_int(reader_gets(NULL), 1, "... and the old state stays");
}

static void test_level(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_slot_footer footer;
	uint8_t whole[FILE_LEN], now[FILE_LEN];
	bool changed = true;
	unsigned bad = 0;

	create(5, 7);
	save(whole);
	is_int(lm_slots_level(file(), "test", &slots, NULL, &footer, &changed, &error), LMODEL_OK, "level");
	ok(!changed, "... has nothing to do on good slots");
	for (int which = 0; which < 2; which++)
		for (uint64_t at = 0; at < SLOT; at += 11) {
			load(whole);
			flip(lm_slot_offset(SLOT, which) + at);
			bad += lm_slots_level(file(), "test", &slots, NULL, &footer, &changed, NULL) != LMODEL_OK;
			save(now);
			bad += !changed || memcmp(now, whole, FILE_LEN) != 0;
		}
	is_int(bad, 0, "level mends a slot damaged anywhere, padding too");
	load(whole);
	flip(lm_slot_offset(SLOT, 0));
	flip(lm_slot_offset(SLOT, 1));
	save(whole);
	is_int(lm_slots_level(file(), "test", &slots, NULL, &footer, &changed, &error), LMODEL_ECORRUPT,
	       "level: both damaged");
	is_error(&error, LMODEL_ECORRUPT, "no valid manifest", "level: both damaged");
	save(now);
	ok(!changed && memcmp(now, whole, FILE_LEN) == 0, "... are left as they are");
}

/* ---- commits cut short ----
 *
 * The calls that reach the disk are caught here: between two syncs the sectors of all writes may
 * arrive or not, in any order, and after a sync they have. So every state that a crash can
 * leave is: all writes up to some sync, and of those behind it any subset of their sectors. */

struct log {
	bool on;
	int epochs;              /* syncs so far */
	int which[8];            /* slot that was written in this epoch */
	uint8_t content[8][SLOT];
	size_t written[8];       /* of it */
	int strange;             /* writes that are not one whole slot an epoch, piece after piece */
};

static struct log *commit_log;

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	struct log *l = commit_log;

	if (l != NULL && l->on && l->epochs < 8) {
		int which = (uint64_t)at >= lm_slot_offset(SLOT, 1), e = l->epochs;

		if ((l->which[e] >= 0 && l->which[e] != which) || len > SLOT - l->written[e] ||
		    (uint64_t)at != lm_slot_offset(SLOT, which) + l->written[e]) {
			l->strange++;
		} else {
			l->which[e] = which;
			memcpy(l->content[e] + l->written[e], bytes, len);
			l->written[e] += len;
		}
	}
	return syscall(SYS_pwrite64, fd, bytes, len, at);
}

int fdatasync(int fd)
{
	(void)fd;
	if (commit_log != NULL && commit_log->on)
		commit_log->epochs++;
	return 0;
}

/* Performs commit `n` on `state` and notes its writes. False when it failed or when its writes
 * are not at most four whole slots, each synced. */
static bool log_commit(const uint8_t *state, unsigned n, struct log *l)
{
	int r;

	l->epochs = l->strange = 0;
	memset(l->which, -1, sizeof(l->which));
	memset(l->written, 0, sizeof(l->written));
	load(state);
	commit_log = l;
	l->on = true;
	r = commit(n, NULL);
	l->on = false;
	commit_log = NULL;
	for (int i = 0; i < l->epochs && i < 8; i++)
		l->strange += l->which[i] < 0 || l->written[i] != SLOT;
	return r == LMODEL_OK && l->strange == 0 && l->epochs >= 2 && l->epochs <= 4 &&
	       l->which[l->epochs] < 0;
}

/* The state after `done` syncs, and of the next epoch the sectors in `mask`. */
static void compose(uint8_t *state, const struct log *l, int done, unsigned mask)
{
	for (int i = 0; i <= done && i < l->epochs; i++)
		for (unsigned s = 0; s < SECTORS; s++)
			if (i < done || (mask >> s & 1))
				memcpy(state + lm_slot_offset(SLOT, l->which[i]) + 512 * s,
				       l->content[i] + 512 * s, 512);
}

struct crashes {
	uint64_t states;
	unsigned unreadable, older, foreign, stuck;
	int most_writes;
};

/* From `state`, in which image `in_force` is what readers get, crash in every way while
 * committing image `n`; then go on from there with the next commit, `depth` crashes in a row. */
static void crash(struct crashes *c, const uint8_t *state, int in_force, unsigned n, int depth)
{
	LM_FREE struct log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	if (!log_commit(state, n, l)) {
		c->stuck++;
		return;
	}
	c->most_writes = LM_MAX(c->most_writes, l->epochs);
	for (int done = 0; done <= l->epochs; done++)
		for (unsigned mask = 0; mask < (done < l->epochs ? 1u << SECTORS : 1u); mask++) {
			uint8_t torn[FILE_LEN];
			int got;

			memcpy(torn, state, FILE_LEN);
			compose(torn, l, done, mask);
			load(torn);
			got = reader_gets(NULL);
			c->states++;
			c->unreadable += got == -1;
			c->foreign += got == -2;
			c->older += got >= 0 && got != in_force && got != (int)n;
			/* What was announced as done must be there. */
			c->older += done == l->epochs && got != (int)n;
			if (depth > 1 && got >= 0)
				crash(c, torn, got, n + 1, depth - 1);
		}
}

/* From both slots alike, over every state that three crashes in a row can reach. Image lengths
 * differ in sectors, so that torn slots with leftovers in their padding are among them. */
static void test_crashes(void)
{
	struct crashes c = { 0 };
	uint8_t state[FILE_LEN];

	for (unsigned n = 0; n < 3; n++) {
		create(n, 1);
		save(state);
		crash(&c, state, (int)n, n + 1, 3);
	}
	printf("# %ju states\n", (uintmax_t)c.states);
	ok(c.states > 100000, "crashes: many states were reached");
	is_int(c.most_writes, 4, "crashes: also those in which both slots have to be mended");
	is_int(c.unreadable, 0, "crashes: a reader always gets a manifest");
	is_int(c.foreign, 0, "crashes: one that was written");
	is_int(c.older, 0, "crashes: the last one in force or the new one, never an older one");
	is_int(c.stuck, 0, "crashes: the next commit always works, one slot and one sync at a time");
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	test_footer();
	test_footer_defects();
	test_slot_size();
	test_locate();
	test_read();
	test_committed_beyond();
	test_commit();
	test_level();
	test_crashes();
	return done();
}
