/* Packing with tiers and opening them again: models of every dtype, unit, mask and scope come back
 * bit for bit at the top, and at no level are other bytes than the true ones or the base's given. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "base/base.h"
#include "base/dtype.h"
#include "lib/tap.h"

static char root[64];

#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

/* ---- models ---- */

struct tensor {
	const char *name, *dtype;
	unsigned rank;
	uint64_t shape[4];
	uint64_t bytes;
	uint8_t *data;
};

struct model {
	struct tensor tensor[8];
	size_t count;
};

static uint64_t state = 88172645463325252u;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void add(struct model *m, const char *name, const char *dtype, unsigned rank, uint64_t a,
		uint64_t b, uint64_t c, uint64_t d)
{
	struct tensor *t = &m->tensor[m->count++];
	const struct lm_dtype *type = lm_dtype_find(dtype);

	*t = (struct tensor){ name, dtype, rank, { a, b, c, d }, 0, NULL };
	if (!lm_dtype_bytes(type, rank, t->shape, NULL, &t->bytes))
		abort();
	t->data = malloc(t->bytes + 1);
	for (uint64_t i = 0; i < t->bytes; i++)
		t->data[i] = strcmp(dtype, "BOOL") == 0 ? rnd() & 1 : (uint8_t)rnd();
	/* Floats of a sane size, with a few infinities and NaNs left in. */
	if (type->bits >= 16 && strcmp(type->coding, "w2") != 0 && strcmp(type->coding, "w4") != 0 &&
	    strcmp(type->coding, "w8") != 0)
		for (uint64_t i = type->bits / 8 - 1; i < t->bytes; i += type->bits / 8)
			if (rnd() % 200 != 0)
				t->data[i] = (uint8_t)(0x3c | (rnd() & 0x81));
}

static void write_model(const struct model *m, const char *path)
{
	FILE *f = fopen(path, "wb");
	char header[8192];
	uint8_t len[8];
	size_t n = 1;
	uint64_t at = 0;

	header[0] = '{';
	for (size_t i = 0; i < m->count; i++) {
		const struct tensor *t = &m->tensor[i];

		n += (size_t)snprintf(header + n, sizeof(header) - n, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
				      i > 0 ? "," : "", t->name, t->dtype);
		for (unsigned k = 0; k < t->rank; k++)
			n += (size_t)snprintf(header + n, sizeof(header) - n, "%s%ju", k > 0 ? "," : "",
					      (uintmax_t)t->shape[k]);
		n += (size_t)snprintf(header + n, sizeof(header) - n, "],\"data_offsets\":[%ju,%ju]}",
				      (uintmax_t)at, (uintmax_t)(at + t->bytes));
		at += t->bytes;
	}
	header[n++] = '}';
	while (n % 8 != 0)
		header[n++] = ' ';
	lm_put_u64(len, n);
	fwrite(len, 1, 8, f);
	fwrite(header, 1, n, f);
	for (size_t i = 0; i < m->count; i++)
		fwrite(m->tensor[i].data, 1, m->tensor[i].bytes, f);
	if (fclose(f) != 0)
		abort();
}

static void free_model(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->tensor[i].data);
	m->count = 0;
}

/* ---- packing and reading ---- */

static char recipient[LMODEL_RECIPIENT_SIZE];

static struct lmodel_keyring *ring_of(const char *file)
{
	struct lmodel_keyring *ring = NULL;
	struct lmodel_error e = LMODEL_ERROR_INIT;

	if (lmodel_keyring_new(&ring, &e) || lmodel_keyring_add_file(ring, file, &e)) {
		printf("# %s\n", e.message);
		exit(99);
	}
	return ring;
}

static int pack(struct lmodel_protect_options *protect, struct lmodel_error *e)
{
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	const struct lmodel_grantee owner = { .recipient = recipient, .role = LMODEL_OWNER };
	const char *input = AT("m.safetensors");

	options.protect = protect;
	options.chunk_bytes = 4096;
	options.run.jobs = 2;
	options.overwrite = true;
	protect->grantees = &owner;
	protect->grantee_count = 1;
	return lmodel_pack(AT("m.lmodel"), &input, 1, &options, e);
}

/* How many bytes of the tensor differ from the truth, read in odd pieces. */
static intmax_t differing(struct lmodel_archive *a, const struct tensor *t)
{
	const struct lmodel_tensor *found = lmodel_tensor_find(a, t->name);
	uint8_t piece[5000];
	intmax_t n = 0;

	for (uint64_t at = 0; at < t->bytes;) {
		size_t len = (size_t)LM_MIN(t->bytes - at, (uint64_t)4999);
		struct lmodel_error e = LMODEL_ERROR_INIT;

		if (lmodel_tensor_read(a, found, at, piece, len, &e)) {
			printf("# %s\n", e.message);
			return -1;
		}
		for (size_t i = 0; i < len; i++)
			n += piece[i] != t->data[at + i];
		at += len;
	}
	return n;
}

/* Many ranges of all tensors at once, some of them over each other, in no order: as one by one. */
static bool many(struct lmodel_archive *a, const struct model *m)
{
	enum { RANGES = 60 };
	const struct lmodel_run run = { .jobs = 3 };
	struct lmodel_read reads[RANGES];
	struct lmodel_error e = LMODEL_ERROR_INIT;
	uint8_t *single = NULL;
	bool same = true;

	for (size_t i = 0; i < RANGES; i++) {
		const struct tensor *t = &m->tensor[i % m->count];
		uint64_t from = i < m->count ? 0 : i * 7919u % t->bytes;
		uint64_t len = i < m->count ? t->bytes : (i * 104729u) % (t->bytes - from + 1);

		reads[i] = (struct lmodel_read){
			.tensor = lmodel_tensor_find(a, t->name), .offset = from,
			.len = (size_t)len, .buffer = malloc((size_t)len + 1),
		};
		memset(reads[i].buffer, 0xee, (size_t)len + 1);
	}
	same = lmodel_read_tensors(a, reads, RANGES, &run, &e) == LMODEL_OK;
	for (size_t i = 0; i < RANGES; i++) {
		const uint8_t *got = reads[i].buffer;

		single = malloc(reads[i].len + 1);
		same &= lmodel_tensor_read(a, reads[i].tensor, reads[i].offset, single,
					   reads[i].len, &e) == LMODEL_OK &&
			memcmp(single, got, reads[i].len) == 0 && got[reads[i].len] == 0xee;
		free(single);
		free(reads[i].buffer);
	}
	if (e.code != LMODEL_OK)
		printf("# %s\n", e.message);
	return same;
}

/* The whole cycle for one set of options. */
static void cycle(const struct model *m, struct lmodel_protect_options *protect, const char *what)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring = ring_of(AT("owner.key"));
	struct lmodel_archive *a = NULL;
	intmax_t before = 0, now = 0;
	bool fine = true;

	write_model(m, AT("m.safetensors"));
	if (!ok(pack(protect, &e) == LMODEL_OK, "%s: packed", what)) {
		printf("# %s\n", e.message);
		lmodel_keyring_free(ring);
		return;
	}
	if (lmodel_open(&a, AT("m.lmodel"), &e) || lmodel_verify(a, NULL, NULL, NULL, &e))
		printf("# %s\n", e.message);
	ok(e.code == LMODEL_OK, "%s: verifies", what);
	for (size_t i = 0; i < m->count; i++)
		before += differing(a, &m->tensor[i]);
	ok(before > 0, "%s: the base differs from the truth", what);
	ok(many(a, m), "%s: many ranges at once, of the base", what);
	ok(lmodel_unlock(a, ring, &e) == LMODEL_OK, "%s: unlocks", what);
	for (size_t t = 0; t < lmodel_tier_count(a); t++) {
		now = 0;
		fine &= lmodel_use_tier(a, lmodel_tier_at(a, t)->name, &e) == LMODEL_OK;
		for (size_t i = 0; i < m->count; i++) {
			intmax_t n = differing(a, &m->tensor[i]);

			fine &= n >= 0;
			now += n;
		}
		fine &= many(a, m);
		fine &= now < before || (t > 0 && now == before);
		before = now;
	}
	ok(fine, "%s: each tier is nearer to the truth", what);
	is_int(now, 0, what);
	if (e.code != LMODEL_OK)
		printf("# %s\n", e.message);
	lmodel_close(a);
	/* The other way out: a whole file, patched in place. */
	{
		struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
		char command[600];

		options.overwrite = true;
		a = NULL;
		if (lmodel_open(&a, AT("m.lmodel"), &e) || lmodel_unlock(a, ring, &e) ||
		    lmodel_extract(a, AT("out.safetensors"), &options, &e))
			printf("# %s\n", e.message);
		snprintf(command, sizeof(command), "cmp %s %s", AT("m.safetensors"), AT("out.safetensors"));
		ok(system(command) == 0, "%s: the extracted file is the input", what);
		lmodel_close(a);
	}
	lmodel_keyring_free(ring);
}

static void test_dtypes(void)
{
	static const char *const names[] = { "F32", "BF16", "F16", "F64", "C64", "F8_E4M3", "F8_E5M2",
					     "F8_E8M0", "F6_E2M3", "F4" };
	const struct lmodel_tier_amount tiers[] = { { .name = "silver", .share = .03 },
						    { .name = "gold", .share = .1 } };

	for (size_t i = 0; i < LM_COUNT(names); i++) {
		struct lmodel_protect_options p = LMODEL_PROTECT_OPTIONS_INIT;
		struct model m = { 0 };
		char what[64];

		p.tiers = tiers;
		p.tier_count = 2;
		add(&m, "conv.weight", names[i], 4, 16, 8, 4, 2);
		add(&m, "fc.weight", names[i], 2, 48, 100, 0, 0);
		add(&m, "fc.bias", names[i], 1, 1000, 0, 0, 0);
		add(&m, "tiny", names[i], 1, 8, 0, 0, 0);
		add(&m, "ids", "I64", 1, 200, 0, 0, 0);
		snprintf(what, sizeof(what), "%s", names[i]);
		cycle(&m, &p, what);
		snprintf(what, sizeof(what), "%s, zero mask", names[i]);
		p.mask = LMODEL_MASK_ZERO;
		cycle(&m, &p, what);
		free_model(&m);
	}
}

static void test_shapes_of_protection(void)
{
	static const char *const unit_names[] = { "default", "element", "slice", "row", "column", "block" };
	static const char *const scope_names[] = { "equal", "model", "layer" };
	static const char *const select_names[] = { "pss", "magnitude", "random" };
	struct model m = { 0 };

	add(&m, "conv.weight", "F32", 4, 16, 8, 3, 3);
	add(&m, "fc.weight", "BF16", 2, 48, 100, 0, 0);
	add(&m, "same.weight", "F32", 2, 40, 40, 0, 0);
	for (uint64_t i = 0; i < m.tensor[2].bytes; i += 4)
		memcpy(m.tensor[2].data + i, &(float){ 0.25f }, 4);
	add(&m, "long.bias", "F32", 1, 3000, 0, 0, 0);
	for (unsigned unit = 0; unit < LM_COUNT(unit_names); unit++)
		for (unsigned select = 0; select < LM_COUNT(select_names); select++) {
			unsigned scope = (unit + select) % 3;
			const struct lmodel_tier_amount tiers[] = {
				{ .name = "a", .share = .1 }, { .name = "b", .share = .25 },
				{ .name = "c", .share = .5 } };
			struct lmodel_protect_options p = LMODEL_PROTECT_OPTIONS_INIT;
			char what[80];

			p.tiers = tiers;
			p.tier_count = 3;
			p.unit = (enum lmodel_unit)unit;
			p.scope = (enum lmodel_scope)scope;
			p.select = (enum lmodel_select)select;
			snprintf(what, sizeof(what), "unit %s, scope %s, select %s", unit_names[unit],
				 scope_names[scope], select_names[select]);
			cycle(&m, &p, what);
		}
	free_model(&m);
}

static void test_all(void)
{
	const struct lmodel_tier_amount tier = { .name = "full" };
	struct lmodel_protect_options p = LMODEL_PROTECT_OPTIONS_INIT;
	struct model m = { 0 };
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *a = NULL;
	uint8_t byte[4] = { 1, 1, 1, 1 };

	add(&m, "w", "F32", 2, 70, 90, 0, 0);
	p.tiers = &tier;
	p.tier_count = 1;
	p.select = LMODEL_SELECT_ALL;
	p.mask = LMODEL_MASK_ZERO;
	cycle(&m, &p, "everything");
	if (lmodel_open(&a, AT("m.lmodel"), &e) ||
	    lmodel_tensor_read(a, lmodel_tensor_at(a, 0), 400, byte, 4, &e))
		printf("# %s\n", e.message);
	ok(memcmp(byte, "\0\0\0\0", 4) == 0, "everything: the base is constant");
	lmodel_close(a);
	free_model(&m);
}

int main(void)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char command[128];

	snprintf(root, sizeof(root), "%s/protect.XXXXXX",
		 getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 40 ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(root) == NULL || lmodel_keygen(AT("owner.key"), recipient, &e))
		return 99;
	test_dtypes();
	test_shapes_of_protection();
	test_all();
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) == 0 ? done() : 99;
}
