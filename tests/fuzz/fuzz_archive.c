/* Whole archives: a small sound one with patches, its digests and its statement made right
 * again, so that the fuzzer gets behind them.
 *
 * Input: patches, each u32 offset (little-endian, modulo the file's length), u8 count, and that
 * many bytes. An offset with the top bit set is within the manifest image and goes into both
 * slots. A count of 0 cuts the file there. */
#include <stdio.h>
#include <sys/mman.h>

#include <lmodel.h>

#include "archive/content.h"
#include "archive/skeleton.h"
#include "base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FOOTER_FIELDS = 48, LARGE = 1 << 22 };

static uint8_t *archive;
static size_t archive_len;
static uint64_t slot_size;

static void must(bool good)
{
	if (!good)
		abort();
}

/* A file in memory with these bytes, and a path to it. */
static int memory_file(const void *bytes, size_t len, char path[40])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && (len == 0 || lm_write_at(fd, "fuzz", bytes, len, 0, NULL) == LMODEL_OK));
	snprintf(path, 40, "/proc/self/fd/%d", fd);
	return fd;
}

/* The model: a tensor of planes in two chunks, a copy of it, noise, a run. */
static size_t make_model(uint8_t *file)
{
	static const char header[] =
		"{\"__metadata__\":{\"format\":\"pt\"},"
		"\"a\":{\"dtype\":\"BF16\",\"shape\":[40,100],\"data_offsets\":[0,8000]},"
		"\"b\":{\"dtype\":\"BF16\",\"shape\":[4000],\"data_offsets\":[8000,16000]},"
		"\"n\":{\"dtype\":\"U8\",\"shape\":[300],\"data_offsets\":[16000,16300]},"
		"\"z\":{\"dtype\":\"F32\",\"shape\":[500],\"data_offsets\":[16300,18300]}}";
	uint8_t *data = file + 8 + sizeof(header) - 1;
	uint32_t seed = 1;

	lm_put_u64(file, sizeof(header) - 1);
	memcpy(file + 8, header, sizeof(header) - 1);
	for (size_t i = 0; i < 16300; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = (uint8_t)(seed >> 24);
		if (i < 16000 && i % 2 == 1)
			data[i] = (uint8_t)(0x3c | (seed >> 30));
	}
	memcpy(data + 8000, data, 8000);
	memset(data + 16300, 0, 2000);
	return (size_t)(data - file) + 18300;
}

static void make_archive(void)
{
	static uint8_t model[20000];
	size_t model_len = make_model(model);
	char input[40], side[40], output[64] = "/tmp/lmodel-fuzz-XXXXXX", file[80];
	LM_CLOSE int in = memory_file(model, model_len, input);
	LM_CLOSE int in_side = memory_file("notes", 5, side);
	LM_CLOSE int out = -1;
	const char *inputs[] = { input };
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_attach attach = { .path = side, .name = "notes.txt" };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_slots slots;
	struct lm_file view;
	uint64_t len;

	options.run.jobs = 1;
	options.chunk_bytes = LMODEL_CHUNK_MIN;
	options.seed = (const unsigned char *)"fuzz";
	options.seed_len = 4;
	options.attach = &attach;
	options.attach_count = 1;
	must(in >= 0 && in_side >= 0 && mkdtemp(output) != NULL);
	snprintf(file, sizeof(file), "%s/a.lmodel", output);
	if (lmodel_pack(file, inputs, 1, &options, &error) != LMODEL_OK) {
		fprintf(stderr, "%s\n", error.message);
		abort();
	}
	must(lm_open_regular(file, 0, &out, &len, NULL) == LMODEL_OK);
	unlink(file);
	rmdir(output);
	archive_len = (size_t)len;
	archive = malloc(archive_len);
	must(archive != NULL && lm_read_at(out, "a", archive, archive_len, 0, NULL) == LMODEL_OK);
	view = lm_file_local(out, "a");
	must(lm_slots_locate(&view, len, &slots, NULL) == LMODEL_OK);
	slot_size = slots.slot_size;
}

/* Applies the patches; gives the new length. */
static size_t patch(uint8_t *file, const uint8_t *data, size_t size)
{
	size_t len = archive_len;

	while (size >= 5) {
		uint32_t at = lm_get_u32(data);
		size_t n = LM_MIN((size_t)data[4], size - 5);
		bool image = at >> 31;
		size_t offset = (at & 0x7fffffff) % (image ? (size_t)slot_size : archive_len);

		if (data[4] == 0)
			len = offset;
		for (int i = 0; i < (image ? 2 : 1); i++) {
			size_t to = image ? lm_slot_offset(slot_size, i) + offset : offset;

			memcpy(file + to, data + 5, LM_MIN(n, archive_len - to));
		}
		data += 5 + n;
		size -= 5 + n;
	}
	return len;
}

/* Makes the hash list of each member, and its digest in the image, those of the data. */
static void fix_members(uint8_t *file, uint8_t *image, uint64_t len, struct lm_manifest *m)
{
	for (size_t i = 0; i < m->member_count; i++) {
		struct lm_member *b = &m->members[i];
		uint8_t *at = file + b->offset, *list = at + lm_member_stored(b), *digest;

		if (b->offset > archive_len || b->length > archive_len - b->offset)
			continue;
		for (uint32_t k = 0; k < b->chunk_count; k++) {
			uint32_t stored = b->chunks[k] & LM_CHUNK_LEN_MASK;

			lm_sha256(list + (size_t)k * LM_SHA256_SIZE, at, stored);
			at += stored;
		}
		digest = memmem(image, len, b->digest, sizeof(b->digest));
		lm_sha256(b->digest, list, (size_t)b->chunk_count * LM_SHA256_SIZE);
		if (digest != NULL)
			memcpy(digest, b->digest, sizeof(b->digest));
	}
}

/* Makes digests and statement those of data and rows as they are now, where the rows load and
 * the statement keeps its length. */
static void fix_image(uint8_t *file, uint8_t *image, uint64_t len, uint64_t committed_len)
{
	static const char first[] = "lmodel-statement-v1\n";
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_FREE char *statement = NULL;
	uint8_t root[LM_SHA256_SIZE];
	struct lm_manifest m;
	uint8_t *at = memmem(image, len, first, sizeof(first) - 1);

	if (at == NULL || lm_manifest_load(&m, image, len, lm_slots_end(slot_size), committed_len,
					   "fix", &error) != LMODEL_OK)
		return;
	fix_members(file, image, len, &m);
	must(lm_content_root(&m, m.id, root, NULL) == LMODEL_OK);
	statement = lm_content_statement(&m, root, NULL);
	must(statement != NULL);
	if (strlen(statement) == strlen(m.statement) &&
	    strlen(statement) <= (size_t)(image + len - at))
		memcpy(at, statement, strlen(statement));
	lm_manifest_free(&m);
}

/* Makes the digest of a slot that of its image and footer as they are now. */
static void fix_slot(uint8_t *file, int which)
{
	uint8_t *slot = file + lm_slot_offset(slot_size, which);
	uint8_t *footer = slot + slot_size - LM_SLOT_FOOTER;
	struct lm_slot_footer fields;
	struct lm_hash *hash;
	char problem[160];

	if (!lm_slot_footer_decode(footer, &fields, problem) || fields.slot_size != slot_size)
		return;
	fix_image(file, slot, fields.image_len, fields.committed_len);
	hash = lm_hash_new(NULL);
	must(hash != NULL);
	lm_hash_add(hash, slot, fields.image_len);
	lm_hash_add(hash, footer, FOOTER_FIELDS);
	lm_hash_finish(hash, footer + FOOTER_FIELDS);
	lm_hash_free(hash);
}

static void read_tensors(struct lmodel_archive *a)
{
	const struct lmodel_tensor *t;

	for (size_t i = 0; (t = lmodel_tensor_at(a, i)) != NULL; i++) {
		size_t len = (size_t)LM_MIN(t->bytes, (uint64_t)LARGE);
		LM_FREE uint8_t *buffer = malloc(LM_MAX(len, (size_t)1));
		struct lmodel_error error = LMODEL_ERROR_INIT;
		int r;

		must(buffer != NULL && lmodel_tensor_find(a, t->name) == t);
		r = lmodel_tensor_read(a, t, 0, buffer, len, &error);
		must(r == (int)error.code && (r == LMODEL_OK || r == LMODEL_ECORRUPT));
		r = lmodel_tensor_read(a, t, t->bytes / 2, buffer, len / 2, NULL);
		must(r == LMODEL_OK || r == LMODEL_ECORRUPT);
	}
}

static void use(struct lmodel_archive *a)
{
	struct lmodel_run run = { .jobs = 1 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_verify_report report;
	struct lmodel_info info;
	bool whole = true;
	int r;

	lmodel_info(a, &info);
	must(strlen(info.content_root) == 64);
	for (size_t i = 0; i < info.source_count; i++) {
		struct lm_plan plan = { 0 };

		whole &= lm_skeleton_plan(a, i, 0, &plan, NULL) == LMODEL_OK;
		lm_plan_free(&plan);
	}
	read_tensors(a);
	r = lmodel_verify(a, &run, NULL, &report, &error);
	must(r == (int)error.code);
	must(r == (report.faults > 0 ? LMODEL_ECORRUPT : LMODEL_OK));
	must(whole || report.faults > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_archive *a = NULL;
	LM_FREE uint8_t *file = NULL;
	LM_CLOSE int fd = -1;
	char path[40];
	size_t len;
	int r;

	must(lm_crypto_init(NULL) == LMODEL_OK);
	if (archive == NULL)
		make_archive();
	file = malloc(archive_len);
	must(file != NULL);
	memcpy(file, archive, archive_len);
	len = patch(file, data, size);
	fix_slot(file, 0);
	fix_slot(file, 1);
	fd = memory_file(file, len, path);
	r = lmodel_open(&a, path, &error);
	must(r == (int)error.code && (r == LMODEL_OK) == (a != NULL));
	if (a != NULL)
		use(a);
	lmodel_close(a);
	return 0;
}
