/* Tampering: for each changed byte and each length of a protected archive, whoever opens it gets
 * the weights that are his, exactly, or nothing at all. Two readers try: the holder of the highest
 * tier, and one without a key. The same for a tier that locks tensors whole.
 *
 * Inert bytes (runs of zeros; the images of the slots where their digest alone is in question; for
 * the reader without a key, shards) are taken one in 64; with TAMPER_STEP=N one in N. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmodel.h>

#include "base/base.h"
#include "container/slot.h"
#include "crypto/crypto.h"
#include "lib/tap.h"

static char root[64];
static uint64_t step = 64;

#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

static void die(const char *what, const struct lmodel_error *e)
{
	printf("Bail out! %s: %s\n", what, e != NULL ? e->message : "");
	exit(99);
}

struct bytes {
	uint8_t *data;
	size_t len;
};

static struct bytes slurp(const char *path)
{
	struct bytes b = { 0 };
	struct stat st;
	FILE *f = fopen(path, "rb");

	if (f == NULL || fstat(fileno(f), &st) != 0)
		die(path, NULL);
	b.len = (size_t)st.st_size;
	b.data = malloc(b.len + 1);
	if (fread(b.data, 1, b.len, f) != b.len || fclose(f) != 0)
		die(path, NULL);
	return b;
}

/* ---- the model, and its archive ---- */

static const struct {
	const char *name, *dtype, *shape;
	size_t bytes;
} tensors[] = {
	{ "a.weight", "F32", "12,16", 768 },
	{ "b.weight", "BF16", "40,16", 1280 },
	{ "c.bias", "F32", "40", 160 },
	{ "ids", "I64", "5", 40 },
};

static size_t tensor_offset[LM_COUNT(tensors)]; /* in the file */

static void make_model(void)
{
	FILE *f = fopen(AT("m.safetensors"), "wb");
	uint32_t state = 2463534242u;
	char header[1024] = "{";
	uint8_t len[8];
	size_t n = 1, at = 0;

	for (size_t i = 0; i < LM_COUNT(tensors); i++) {
		tensor_offset[i] = at;
		n += (size_t)snprintf(header + n, sizeof(header) - n, "%s\"%s\":{\"dtype\":\"%s\","
				      "\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i > 0 ? "," : "",
				      tensors[i].name, tensors[i].dtype, tensors[i].shape, at,
				      at + tensors[i].bytes);
		at += tensors[i].bytes;
	}
	header[n++] = '}';
	while (n % 8 != 0)
		header[n++] = ' ';
	for (size_t i = 0; i < LM_COUNT(tensors); i++)
		tensor_offset[i] += 8 + n;
	lm_put_u64(len, n);
	fwrite(len, 1, 8, f);
	fwrite(header, 1, n, f);
	for (size_t i = 0; i < at; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		/* Floats of a sane size: 0x3c or 0xbc in the highest byte of two and of four. */
		fputc(i % 4 == 3 || (i >= 768 && i < 2048 && i % 2 == 1) ?
			      (int)(0x3c | (state & 0x80)) : (int)(state & 0x7f), f);
	}
	if (fclose(f) != 0)
		die("model", NULL);
}

/* A side file of the highest tier. */
#define SIDE "side/key.json"
static uint8_t side_file[700];

static void make_side_file(void)
{
	FILE *f = fopen(AT("side"), "wb");

	for (size_t i = 0; i < sizeof(side_file); i++)
		side_file[i] = (uint8_t)(i * i / 3 + 7);
	if (f == NULL || fwrite(side_file, 1, sizeof(side_file), f) != sizeof(side_file) ||
	    fclose(f) != 0)
		die("side file", NULL);
}

static void make_archive(bool locked)
{
	static const unsigned char seed[] = "tamper";
	const struct lmodel_tier_amount tiers[] = { { .name = "silver", .share = .05 },
						    { .name = "gold", .share = .2 } };
	struct lmodel_protect_options protect = LMODEL_PROTECT_OPTIONS_INIT;
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char owner[LMODEL_RECIPIENT_SIZE], gold[LMODEL_RECIPIENT_SIZE];
	const char *input = AT("m.safetensors");
	const struct lmodel_attach side = { .path = AT("side"), .name = SIDE, .tier = "gold" };
	struct lmodel_grantee who[] = { { .recipient = owner, .role = LMODEL_OWNER },
					{ .recipient = gold, .tier = "gold", .label = "Gold Ltd" } };

	if (lmodel_keygen(AT("owner.key"), owner, &e) || lmodel_keygen(AT("gold.key"), gold, &e))
		die("keygen", &e);
	protect.tiers = locked ? tiers + 1 : tiers;
	protect.tier_count = locked ? 1 : 2;
	protect.select = locked ? LMODEL_SELECT_ALL : LMODEL_SELECT_PSS;
	protect.mask = locked ? LMODEL_MASK_DEEP_LOCK : LMODEL_MASK_DPRM;
	protect.grantees = who;
	protect.grantee_count = 2;
	protect.test_keys = true;
	options.protect = &protect;
	options.attach = &side;
	options.attach_count = 1;
	options.chunk_bytes = 4096;
	options.seed = seed;
	options.seed_len = sizeof(seed) - 1;
	options.run.jobs = 1;
	if (lmodel_pack(AT("good.lmodel"), &input, 1, &options, &e))
		die("pack", &e);
}

/* ---- readers ---- */

struct reader {
	const char *name;
	struct lmodel_keyring *ring; /* NULL: no key */
	struct bytes weights;        /* what he has to get */
	size_t got, refused[8], bad; /* counts: his weights, refusals by code, all else */
	size_t side_got, side_refused; /* of the side file, where the archive was opened */
	bool kept;                   /* whether a tensor is read alone, too */
};

static struct bytes good;            /* the archive */
static struct lm_slots slots;

static void complain(struct reader *r, const char *case_name, const char *what,
		     const struct lmodel_error *e)
{
	if (r->bad++ < 10)
		printf("#   %s: %s: %s (%d: %s)\n", r->name, case_name, what, (int)e->code, e->message);
}

/* One tensor and a piece of it: right or refused. Returns whether all was right. */
static bool pieces(struct reader *r, struct lmodel_archive *a, const char *case_name)
{
	bool all = true;

	for (size_t i = 0; i < LM_COUNT(tensors); i++) {
		const struct lmodel_tensor *t = lmodel_tensor_at(a, i);
		struct lmodel_error e = LMODEL_ERROR_INIT;
		uint8_t buffer[2048];
		size_t from = tensors[i].bytes / 3, len = tensors[i].bytes / 2;

		if (t == NULL || strcmp(t->name, tensors[i].name) != 0 ||
		    t->bytes != tensors[i].bytes) {
			complain(r, case_name, "another list of tensors", &e);
			return false;
		}
		if (lmodel_tensor_read(a, t, from, buffer, len, &e) == LMODEL_OK &&
		    memcmp(buffer, r->weights.data + tensor_offset[i] + from, len) != 0)
			complain(r, case_name, "another piece of a tensor", &e);
		if (lmodel_tensor_read(a, t, 0, buffer, (size_t)t->bytes, &e) == LMODEL_OK &&
		    memcmp(buffer, r->weights.data + tensor_offset[i], tensors[i].bytes) != 0)
			complain(r, case_name, "another tensor", &e);
		all = all && e.code == LMODEL_OK;
	}
	return all;
}

/* The side file of gold, whole and in part: right or refused. */
static void side(struct reader *r, struct lmodel_archive *a, const char *case_name)
{
	const struct lmodel_attachment *f = lmodel_attachment_find(a, SIDE);
	struct lmodel_error e = LMODEL_ERROR_INIT;
	uint8_t buffer[2 * sizeof(side_file)];
	int code;

	if (f == NULL || f->tier == NULL || strcmp(f->tier, "gold") != 0 ||
	    f->bytes > sizeof(buffer)) {
		complain(r, case_name, "another list of side files", &e);
		return;
	}
	code = lmodel_attachment_read(a, f, 0, buffer, (size_t)f->bytes, &e);
	if (r->ring == NULL && code != LMODEL_ENOKEY)
		complain(r, case_name, "a side file without a key", &e);
	if (code == LMODEL_OK && (f->bytes != sizeof(side_file) ||
				  memcmp(buffer, side_file, sizeof(side_file)) != 0))
		complain(r, case_name, "another side file", &e);
	else if (code != LMODEL_OK && code != LMODEL_ENOKEY && code != LMODEL_ECORRUPT)
		complain(r, case_name, "side file refused in another way", &e);
	r->side_got += code == LMODEL_OK;
	r->side_refused += code == LMODEL_ECORRUPT;
	if (f->bytes == sizeof(side_file) &&
	    (lmodel_attachment_read(a, f, 99, buffer, 100, &e) == LMODEL_OK) !=
	    (code == LMODEL_OK))
		complain(r, case_name, "a part of a side file is not as the whole", &e);
}

/* `allowed` has a bit for each code that may refuse. */
static void try(struct reader *r, const char *case_name, unsigned allowed)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *a = NULL;
	bool written, right = true;
	int code;

	options.run.jobs = 1;
	code = lmodel_open(&a, AT("t.lmodel"), &e);
	if (code == LMODEL_OK && r->ring != NULL)
		code = lmodel_unlock(a, r->ring, &e);
	if (code == LMODEL_OK)
		side(r, a, case_name);
	if (code == LMODEL_OK && r->kept)
		right = pieces(r, a, case_name);
	if (code == LMODEL_OK)
		code = lmodel_extract(a, AT("out.safetensors"), &options, &e);
	lmodel_close(a);
	written = access(AT("out.safetensors"), F_OK) == 0;
	if (code == LMODEL_OK) {
		struct bytes out = slurp(AT("out.safetensors"));

		if (out.len != r->weights.len || memcmp(out.data, r->weights.data, out.len) != 0)
			complain(r, case_name, "other weights", &e);
		else if (!right)
			complain(r, case_name, "extract gives what a tensor alone does not", &e);
		else
			r->got++;
		free(out.data);
	} else if (written) {
		complain(r, case_name, "refused, and written", &e);
	} else if ((unsigned)code > 6 || (allowed & 1u << code) == 0 || (int)e.code != code ||
		   e.message[0] == '\0') {
		complain(r, case_name, "refused in another way", &e);
	} else {
		r->refused[code]++;
	}
	if (written)
		unlink(AT("out.safetensors"));
}

static void begin(struct reader *r)
{
	r->got = r->bad = r->side_got = r->side_refused = 0;
	memset(r->refused, 0, sizeof(r->refused));
}

static void finish(const struct reader *r, const char *what)
{
	ok(r->bad == 0, "%s: %s gets the right weights or none", r->name, what);
	printf("#   %zu times the weights, refused %zu times as no key, %zu as corrupt, %zu as "
	       "unsupported, %zu as over a limit, %zu wrong\n", r->got, r->refused[LMODEL_ENOKEY],
	       r->refused[LMODEL_ECORRUPT], r->refused[LMODEL_EUNSUPPORTED],
	       r->refused[LMODEL_ELIMIT], r->bad);
	printf("#   the side file %zu times, refused %zu times\n", r->side_got, r->side_refused);
}

static int open_copy(int flags)
{
	int fd = open(AT("t.lmodel"), O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		die("t.lmodel", NULL);
	return fd;
}

static void put(int fd, const uint8_t *bytes, size_t len, uint64_t at)
{
	if (pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
		die("write", NULL);
}

/* A byte with one bit turned, another bit at each place. */
static uint8_t turned(uint64_t at)
{
	return good.data[at] ^ (uint8_t)(1u << (at * 5 + at / 8) % 8);
}

/* ---- which bytes ---- */

static uint64_t shards_from; /* in the file: everything from there on is for tiers */

/* A zero among zeros: padding, or room in a page or header. */
static bool is_void(uint64_t at)
{
	return good.data[at] == 0 && (at == 0 || good.data[at - 1] == 0) &&
	       (at + 1 >= good.len || good.data[at + 1] == 0);
}

/* In a slot, but not in its footer. */
static bool is_in_image(uint64_t at)
{
	for (int i = 0; i < 2; i++) {
		uint64_t from = lm_slot_offset(slots.slot_size, i);

		if (at >= from && at < from + slots.slot_size - LM_SLOT_FOOTER)
			return true;
	}
	return false;
}

static bool is_inert(const struct reader *r, uint64_t at)
{
	return is_void(at) || is_in_image(at) || (r->ring == NULL && at >= shards_from);
}

/* ---- one byte, as an accident or a vandal does it ---- */

static void flips(struct reader *r)
{
	uint64_t members = lm_slots_end(slots.slot_size);
	int fd = open_copy(0);
	char name[64];

	begin(r);
	for (uint64_t i = 0; i < good.len; i++) {
		uint8_t byte = turned(i);

		if (is_inert(r, i) && i % step != 0)
			continue;
		put(fd, &byte, 1, i);
		snprintf(name, sizeof(name), "byte %ju", (uintmax_t)i);
		r->kept = i >= members;
		/* The version stands in the mimetype: another one is not damage. */
		try(r, name, 1u << LMODEL_ECORRUPT |
			     (i > 512 && i < 1024 ? 1u << LMODEL_EUNSUPPORTED : 0));
		put(fd, good.data + i, 1, i);
	}
	r->kept = false;
	close(fd);
	finish(r, "one byte turned");
	ok(r->refused[LMODEL_ECORRUPT] > 0 && r->got > 0, "%s: both happen", r->name);
	/* Each byte of it counts, padding and tags included. */
	ok((r->side_refused >= sizeof(side_file)) == (r->ring != NULL) &&
	   (r->side_got > 0) == (r->ring != NULL), "%s: so with the side file", r->name);
}

static void cuts(struct reader *r)
{
	int fd = open_copy(0);
	char name[64];

	begin(r);
	for (uint64_t len = good.len - 1; len < good.len; len--) {
		if (r->ring == NULL && len % step != 0)
			continue;
		if (ftruncate(fd, (off_t)len) != 0)
			die("truncate", NULL);
		snprintf(name, sizeof(name), "length %ju", (uintmax_t)len);
		try(r, name, 1u << LMODEL_ECORRUPT);
	}
	put(fd, good.data, good.len, 0);
	close(fd);
	finish(r, "every shorter file");
	/* Only the end of the tar, two blocks, can be missed. */
	ok(r->got <= LM_TAR_END, "%s: nothing but the end is spare", r->name);
}

/* ---- one byte of both manifests, with the digest made right again: needs no key ---- */

static void reseal(uint8_t *slot)
{
	uint8_t *footer = slot + slots.slot_size - LM_SLOT_FOOTER;
	uint64_t len = lm_get_u64(footer + 24);
	struct lm_hash *hash = lm_hash_new(NULL);

	if (hash == NULL)
		die("memory", NULL);
	lm_hash_add(hash, slot, (size_t)len);
	lm_hash_add(hash, footer, 48);
	lm_hash_finish(hash, footer + 48);
	lm_hash_free(hash);
}

/* A flip in the holder's own slot takes his key away; one in a row is seen by the content root, the
 * statement, or the owner's signature. SQLite's own fields may ask for what is not known. */
static void resealed(struct reader *r)
{
	uint64_t a = lm_slot_offset(slots.slot_size, 0), b = lm_slot_offset(slots.slot_size, 1);
	uint64_t image = lm_get_u64(good.data + a + slots.slot_size - LM_SLOT_FOOTER + 24);
	uint8_t *slot = malloc(slots.slot_size);
	int fd = open_copy(0);
	char name[64];

	if (slot == NULL)
		die("memory", NULL);
	begin(r);
	for (uint64_t i = 0; i < image; i++) {
		if (is_void(a + i) && i % step != 0)
			continue;
		memcpy(slot, good.data + a, slots.slot_size);
		slot[i] = turned(a + i);
		reseal(slot);
		put(fd, slot, slots.slot_size, a);
		put(fd, slot, slots.slot_size, b);
		snprintf(name, sizeof(name), "manifest byte %ju, resealed", (uintmax_t)i);
		try(r, name, 1u << LMODEL_ECORRUPT | 1u << LMODEL_EUNSUPPORTED | 1u << LMODEL_ELIMIT |
			     (r->ring != NULL ? 1u << LMODEL_ENOKEY : 0));
	}
	put(fd, good.data, good.len, 0);
	free(slot);
	close(fd);
	finish(r, "one byte of a resealed manifest turned");
	if (r->ring != NULL)
		ok(r->refused[LMODEL_ENOKEY] > 0, "%s: a turned slot is no key", r->name);
}

/* ---- two archives of the same model: pieces of one in the other ---- */

/* Whole blocks of another archive with other keys, of the same form, in this one's place. */
static void transplants(struct reader *r, const struct bytes *other)
{
	uint64_t members = lm_slots_end(slots.slot_size);
	int fd = open_copy(0);
	char name[64];

	begin(r);
	for (uint64_t i = members; i + 512 <= good.len && i + 512 <= other->len; i += 512) {
		put(fd, other->data + i, 512, i);
		snprintf(name, sizeof(name), "block at %ju of another archive", (uintmax_t)i);
		r->kept = true;
		try(r, name, 1u << LMODEL_ECORRUPT);
		put(fd, good.data + i, 512, i);
	}
	r->kept = false;
	close(fd);
	finish(r, "blocks of another archive");
}

static bool clean(void)
{
	char command[160];

	snprintf(command, sizeof(command), "ls -A %s | grep -E '^\\.lmodel-|^out'", root);
	return WEXITSTATUS(system(command)) == 1;
}

static void all(struct reader *r, const struct bytes *other, bool locked)
{
	flips(r);
	if (!locked) /* nothing in it is about how tensors are locked */
		cuts(r);
	resealed(r);
	transplants(r, other);
}

/* The archive in memory, and the base of it as everybody reads it. */
static void prepare(struct reader *holder, struct reader *base)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *a = NULL;
	struct lm_file file;
	int fd;

	good = slurp(AT("good.lmodel"));
	fd = open_copy(O_CREAT);
	put(fd, good.data, good.len, 0);
	file = lm_file_local(fd, "t");
	if (lm_slots_locate(&file, good.len, &slots, &e))
		die("slots", &e);
	close(fd);
	if (lmodel_open(&a, AT("good.lmodel"), &e) ||
	    lmodel_extract(a, AT("base.safetensors"), &options, &e))
		die("extract", &e);
	lmodel_close(a);
	/* Members begin at blocks; their headers, with their names. */
	for (shards_from = lm_slots_end(slots.slot_size); shards_from < good.len; shards_from += 512)
		if (memcmp(good.data + shards_from, "shard/", 6) == 0)
			break;
	base->weights = slurp(AT("base.safetensors"));
	holder->weights = slurp(AT("m.safetensors"));
	if (lmodel_keyring_new(&holder->ring, &e) ||
	    lmodel_keyring_add_file(holder->ring, AT("gold.key"), &e))
		die("keyring", &e);
	ok(base->weights.len == holder->weights.len &&
	   memcmp(base->weights.data, holder->weights.data, base->weights.len) != 0,
	   "the base is not the truth");
}

static void remove_archive(void)
{
	if (unlink(AT("good.lmodel")) != 0 || unlink(AT("owner.key")) != 0 ||
	    unlink(AT("gold.key")) != 0)
		die("unlink", NULL);
}

static void try_archives(bool locked)
{
	struct reader holder = { .name = locked ? "holder, locked" : "holder" };
	struct reader base = { .name = locked ? "base, locked" : "base" };
	struct bytes other;

	make_archive(locked);
	other = slurp(AT("good.lmodel"));
	/* Stand-ins are drawn anew each time, and take a byte more or less: equal lengths come soon. */
	for (int tries = 0; tries < 100; tries++) {
		struct stat st;

		remove_archive();
		make_archive(locked);
		if (stat(AT("good.lmodel"), &st) == 0 && (size_t)st.st_size == other.len)
			break;
	}
	prepare(&holder, &base);
	ok(good.len == other.len && memcmp(good.data, other.data, good.len) != 0,
	   "two archives of one model, alike in form");
	begin(&holder);
	try(&holder, "as packed", 0);
	is_int((intmax_t)holder.got, 1, "the holder gets the truth from the archive as packed");
	begin(&base);
	try(&base, "as packed", 0);
	is_int((intmax_t)base.got, 1, "everybody gets the base from it");
	printf("#   %zu bytes\n", good.len);
	all(&holder, &other, locked);
	if (!locked) /* for who has no key the base is like any other */
		all(&base, &other, locked);
	ok(clean(), "nothing is left");
	lmodel_keyring_free(holder.ring);
	free(holder.weights.data);
	free(base.weights.data);
	free(good.data);
	free(other.data);
	remove_archive();
	unlink(AT("base.safetensors"));
	unlink(AT("t.lmodel"));
}

int main(void)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
	char command[128];

	if (getenv("TAMPER_STEP") != NULL)
		step = strtoull(getenv("TAMPER_STEP"), NULL, 10);
	snprintf(root, sizeof(root), "%s/lmodel-tamper.XXXXXX",
		 dir != NULL && strlen(dir) < 40 ? dir : "/tmp");
	if (step == 0 || mkdtemp(root) == NULL)
		return 99;
	make_model();
	make_side_file();
	try_archives(false);
	try_archives(true);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) == 0 ? done() : 99;
}
