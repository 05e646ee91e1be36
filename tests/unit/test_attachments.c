/* Side files through the library: what shows, what opens, what another holder of the tier can make
 * (spec: 7.9). */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmodel.h>

#include "archive/shard.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "crypto/chunked.h"
#include "lib/tap.h"

enum { BIG = 100000 };

static char root[] = "/tmp/lmodel-attach-XXXXXX";
static uint8_t big[BIG];
static const char owner_pattern[] = "the key of a transform";

#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

static void put_file(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(AT(name), "wb");

	if (f == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

static void make_inputs(void)
{
	static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[16,16],"
				     "\"data_offsets\":[0,1024]}} ";
	uint8_t file[8 + sizeof(header) - 1 + 1024] = { 0 };

	lm_put_u64(file, sizeof(header) - 1);
	memcpy(file + 8, header, sizeof(header) - 1);
	for (size_t i = 0; i < 1024; i++)
		file[sizeof(file) - 1024 + i] = i % 4 == 3 ? 0x3d : (uint8_t)(i * 37);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * i / 7 + i);
	put_file("m.safetensors", file, sizeof(file));
	put_file("big", big, BIG);
	put_file("key", owner_pattern, sizeof(owner_pattern) - 1);
	put_file("twin", "the yek of a transform", sizeof(owner_pattern) - 1);
	put_file("notes", "notes", 5);
}

/* ---- packing ---- */

static struct lmodel_tier_amount tiers[] = { { .name = "silver", .text = "0" },
					     { .name = "gold", .share = .2 } };
static struct lmodel_grantee who[] = { { .role = LMODEL_OWNER },
				       { .tier = "gold" }, { .tier = "silver" } };
static char recipients[3][LMODEL_RECIPIENT_SIZE];
static struct lmodel_keyring *rings[3];

static int pack(const char *to, const struct lmodel_attach *attach, size_t count, bool protected,
		struct lmodel_error *e)
{
	struct lmodel_protect_options protect = LMODEL_PROTECT_OPTIONS_INIT;
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	const char *input = AT("m.safetensors");

	protect.tiers = tiers;
	protect.tier_count = 2;
	protect.grantees = who;
	protect.grantee_count = 3;
	options.protect = protected ? &protect : NULL;
	options.attach = attach;
	options.attach_count = count;
	options.run.jobs = 2;
	options.overwrite = true;
	*e = (struct lmodel_error)LMODEL_ERROR_INIT;
	return lmodel_pack(AT(to), &input, 1, &options, e);
}

static void make_keys(void)
{
	static const char *const names[] = { "owner.key", "gold.key", "silver.key" };

	for (size_t i = 0; i < 3; i++) {
		if (lmodel_keygen(AT(names[i]), recipients[i], NULL) ||
		    lmodel_keyring_new(&rings[i], NULL) ||
		    lmodel_keyring_add_file(rings[i], AT(names[i]), NULL))
			exit(99);
		who[i].recipient = recipients[i];
	}
}

static void test_pack(void)
{
	const struct lmodel_attach good[] = {
		{ .path = AT("big"), .tier = "gold" }, { .path = AT("notes") },
		{ .path = AT("key"), .name = "a/key", .tier = "silver" },
		{ .path = AT("twin"), .name = "b/key", .tier = "silver" },
	};
	const struct lmodel_attach other = { .path = AT("key"), .tier = "bronze" };
	struct lmodel_error e;

	is_int(pack("good.lmodel", good, 4, true, &e), LMODEL_OK, "packed");
	is_str(e.message, "", "without a word");
	pack("no.lmodel", &other, 1, true, &e);
	is_error(&e, LMODEL_EUSAGE, "there is no tier 'bronze'", "a tier that is not there");
	pack("no.lmodel", good, 1, false, &e);
	is_error(&e, LMODEL_EUSAGE, "there is no tier 'gold'", "a tier where there is none");
	pack("no.lmodel", good, 2, true, &e);
	is_error(&e, LMODEL_EUSAGE, "tier silver: its amount is out of range", "a tier of nothing");
	is_int(access(AT("no.lmodel"), F_OK), -1, "nothing was written");
}

/* ---- what shows and opens ---- */

static struct lmodel_archive *opened(struct lmodel_keyring *ring)
{
	struct lmodel_archive *a;
	struct lmodel_error e = LMODEL_ERROR_INIT;

	if (lmodel_open(&a, AT("good.lmodel"), &e) ||
	    (ring != NULL && lmodel_unlock(a, ring, &e))) {
		printf("Bail out! %s\n", e.message);
		exit(99);
	}
	return a;
}

static void test_closed(void)
{
	static const struct { const char *name, *tier; uint64_t bytes; } all[] = {
		{ "notes", NULL, 5 }, { "a/key", "silver", 248 }, { "b/key", "silver", 248 },
		{ "big", "gold", 100344 },
	};
	struct lmodel_archive *a = opened(NULL), *b = opened(NULL);
	const struct lmodel_attachment *notes = lmodel_attachment_find(a, "notes");
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_info info;
	uint8_t buffer[300] = { 0 };

	lmodel_info(a, &info);
	is_int((intmax_t)info.attachment_count, LM_COUNT(all), "all are counted");
	for (size_t i = 0; i < LM_COUNT(all); i++) {
		const struct lmodel_attachment *f = lmodel_attachment_at(a, i);

		is_str(f->name, all[i].name, "public ones first, then by tier");
		ok(f == lmodel_attachment_find(a, all[i].name), "... found by its name");
		is_int((intmax_t)f->bytes, (intmax_t)all[i].bytes, "... its length, or a bound");
		ok((f->tier == NULL) == (all[i].tier == NULL) &&
		   (f->tier == NULL || strcmp(f->tier, all[i].tier) == 0) &&
		   f->open == (f->tier == NULL), "... its tier");
		if (f->tier == NULL)
			continue;
		is_int(lmodel_attachment_read(a, f, 0, buffer, 1, &e), LMODEL_ENOKEY,
		       "... is not read");
		is_error(&e, LMODEL_ENOKEY, "none of the keys opens tier", "... and why");
		is_int(lmodel_attachment_cat(a, f, STDERR_FILENO, NULL, &e), LMODEL_ENOKEY,
		       "... nor written");
	}
	ok(lmodel_attachment_at(a, LM_COUNT(all)) == NULL, "no more");
	ok(lmodel_attachment_find(a, "key") == NULL, "a name that is not there");
	is_int(lmodel_attachment_read(a, notes, 1, buffer, 3, &e), LMODEL_OK, "a public one");
	ok(memcmp(buffer, "ote", 3) == 0, "... a part of it");
	is_int(lmodel_attachment_read(a, notes, 5, buffer, 0, &e), LMODEL_OK, "... its end");
	is_int(lmodel_attachment_read(a, notes, 5, buffer, 1, &e), LMODEL_EUSAGE, "... past it");
	is_int(lmodel_attachment_read(a, notes, UINT64_MAX, buffer, 2, &e), LMODEL_EUSAGE,
	       "... and past all");
	is_int(lmodel_attachment_read(b, notes, 0, buffer, 1, &e), LMODEL_EUSAGE,
	       "one of another archive");
	is_int(lmodel_attachment_cat(b, notes, STDERR_FILENO, NULL, NULL), LMODEL_EUSAGE,
	       "... nor written");
	lmodel_close(a);
	lmodel_close(b);
}

/* What is written to a descriptor. */
static size_t catted(struct lmodel_archive *a, const char *name, uint8_t *buffer, size_t size,
		     int *code)
{
	int fd = open(AT("out"), O_CREAT | O_TRUNC | O_RDWR, 0600);
	ssize_t n;

	*code = lmodel_attachment_cat(a, lmodel_attachment_find(a, name), fd, NULL, NULL);
	n = pread(fd, buffer, size, 0);
	close(fd);
	return n < 0 ? SIZE_MAX : (size_t)n;
}

static void test_open(void)
{
	static const struct { uint64_t from; size_t len; } parts[] = {
		{ 0, BIG }, { 0, 0 }, { BIG, 0 }, { 1, 16384 }, { 16376, 1 }, { 65535, 2 },
		{ BIG - 1, 1 }, { 40000, 60000 },
	};
	struct lmodel_archive *a = opened(rings[1]), *s = opened(rings[2]);
	const struct lmodel_attachment *f = lmodel_attachment_find(a, "big");
	struct lmodel_error e = LMODEL_ERROR_INIT;
	static uint8_t buffer[BIG + 1];
	int code;

	ok(f->open && f->bytes == BIG, "with the key its true length");
	for (size_t i = 0; i < LM_COUNT(parts); i++) {
		memset(buffer, 0x55, sizeof(buffer));
		is_int(lmodel_attachment_read(a, f, parts[i].from, buffer, parts[i].len, &e),
		       LMODEL_OK, "a part");
		ok(memcmp(buffer, big + parts[i].from, parts[i].len) == 0 &&
		   buffer[parts[i].len] == 0x55, "... and no more, %ju from %ju",
		   (uintmax_t)parts[i].len, (uintmax_t)parts[i].from);
	}
	is_int(lmodel_attachment_read(a, f, BIG, buffer, 1, &e), LMODEL_EUSAGE, "past its end");
	is_int((intmax_t)catted(a, "big", buffer, sizeof(buffer), &code), BIG, "written whole");
	ok(code == LMODEL_OK && memcmp(buffer, big, BIG) == 0, "... as it is");
	f = lmodel_attachment_find(s, "a/key");
	ok(f->open && f->bytes == sizeof(owner_pattern) - 1, "silver has silver's");
	is_int(lmodel_attachment_read(s, f, 0, buffer, (size_t)f->bytes, &e), LMODEL_OK, "reads it");
	ok(memcmp(buffer, owner_pattern, (size_t)f->bytes) == 0, "... as it is");
	f = lmodel_attachment_find(s, "big");
	ok(!f->open && f->bytes == 100344, "and gold's not");
	is_int(lmodel_use_tier(a, NULL, &e), LMODEL_OK, "at the base");
	f = lmodel_attachment_find(a, "big");
	is_int(lmodel_attachment_read(a, f, 0, buffer, 5, &e), LMODEL_OK,
	       "a key counts, not the level");
	lmodel_close(a);
	lmodel_close(s);
}

/* ---- what others could put there ---- */

static void swap(uint8_t *file, uint64_t a, uint64_t b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = file[a + i];

		file[a + i] = file[b + i];
		file[b + i] = byte;
	}
}

/* refused NAME PART: by the archive as it is now, wholly. */
static void refused(const char *name, const char *part, const char *what)
{
	struct lmodel_archive *a = opened(rings[2]);
	const struct lmodel_attachment *f = lmodel_attachment_find(a, name);
	struct lmodel_error e = LMODEL_ERROR_INIT;
	uint8_t buffer[300] = { 0 };
	int code;

	lmodel_attachment_read(a, f, 0, buffer, LM_MIN((size_t)f->bytes, sizeof(buffer)), &e);
	is_error(&e, LMODEL_ECORRUPT, part, what);
	is_int((intmax_t)catted(a, name, buffer, sizeof(buffer), &code), 0, "... no byte of it");
	is_int(code, LMODEL_ECORRUPT, "... corrupt");
	lmodel_close(a);
}

/* The two of silver change places: of one length, under one key, in one archive. */
static void test_moved(int fd, const struct lm_manifest *m)
{
	uint64_t at = m->tiers[0].offset[LM_VALUES];
	size_t len = (size_t)m->sealed[0].stream.length;
	uint8_t both[2 * 400];

	is_int((intmax_t)m->sealed[1].stream.offset, (intmax_t)len, "the two are neighbours");
	if (lm_read_at(fd, "x", both, 2 * len, at, NULL))
		exit(99);
	swap(both, 0, len, len);
	if (lm_write_at(fd, "x", both, 2 * len, at, NULL))
		exit(99);
	refused("a/key", "attachment 'a/key', tier silver: does not belong here", "moved");
	refused("b/key", "attachment 'b/key', tier silver: does not belong here", "and its twin");
	swap(both, 0, len, len);
	if (lm_write_at(fd, "x", both, 2 * len, at, NULL))
		exit(99);
}

/* Whoever has the tier's key seals something else: it opens, and is not what was packed. */
static void test_forged(int fd, struct lmodel_archive *a, const char *text)
{
	const struct lm_manifest *m = &a->manifest;
	const struct lm_sealed_row *row = &m->sealed[0];
	struct lm_stream_writer out = { .fd = -1 };
	uint8_t context[LM_ATTACHMENT_CONTEXT], key[LM_KEY], digest[LM_SHA256_SIZE], good[400];
	uint64_t at = m->tiers[0].offset[LM_VALUES];
	size_t len = strlen(text), n = lm_attachment_context(context, m, row, 256);

	if (lm_read_at(fd, "x", good, (size_t)row->stream.length, at, NULL))
		exit(99);
	lm_unlocked_stream_key(a, 0, LM_VALUES, key);
	if (lm_stream_begin(&out, fd, "x", at, key, context, n, NULL, len, NULL) ||
	    lm_stream_add(&out, (const uint8_t *)text, len, NULL) ||
	    lm_stream_finish(&out, digest, NULL))
		exit(99);
	lm_stream_release(&out);
	refused("a/key", "attachment 'a/key', tier silver: is not what was packed", text);
	if (lm_write_at(fd, "x", good, (size_t)row->stream.length, at, NULL))
		exit(99);
}

int main(void)
{
	struct lmodel_archive *a;
	char command[64];
	int fd;

	if (mkdtemp(root) == NULL || lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	make_inputs();
	make_keys();
	test_pack();
	test_closed();
	test_open();
	fd = open(AT("good.lmodel"), O_RDWR | O_CLOEXEC);
	a = opened(rings[2]);
	test_moved(fd, &a->manifest);
	test_forged(fd, a, "the key of another one");
	test_forged(fd, a, "shorter");
	test_forged(fd, a, "");
	is_int(lmodel_verify(a, NULL, NULL, NULL, NULL), LMODEL_OK, "and all is as it was");
	lmodel_close(a);
	close(fd);
	for (size_t i = 0; i < 3; i++)
		lmodel_keyring_free(rings[i]);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) == 0 ? done() : 99;
}
