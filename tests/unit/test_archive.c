/* The public interface, on small models that the test makes. */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "archive/archive.h"
#include "base/base.h"
#include "lib/tap.h"

enum { W = 3000 * 4 }; /* bytes of tensor "w": three chunks of 4096 */

static char root[64];
static uint8_t w[W];

#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

static void put(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	if (f == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0)
		abort();
}

static size_t get(const char *path, uint8_t *bytes, size_t size)
{
	FILE *f = fopen(path, "rb");
	size_t n = f != NULL ? fread(bytes, 1, size, f) : 0;

	if (f == NULL || fclose(f) != 0)
		abort();
	return n;
}

/* "w" F32 [30,100], "copy" the same bytes, "flat" the same in another shape, "none" F32 [0],
 * "s" a scalar. `change` is xored into one byte of "w" and of its copies. */
static void put_model(const char *path, const char *s_dtype, const char *metadata, uint8_t change)
{
	char header[1024];
	uint8_t file[8 + 1024 + 3 * W + 4];
	size_t n;

	n = (size_t)snprintf(header, sizeof(header),
		"{\"__metadata__\":{\"k\":\"%s\"},"
		"\"w\":{\"dtype\":\"F32\",\"shape\":[30,100],\"data_offsets\":[0,%d]},"
		"\"copy\":{\"dtype\":\"F32\",\"shape\":[30,100],\"data_offsets\":[%d,%d]},"
		"\"flat\":{\"dtype\":\"F32\",\"shape\":[3000],\"data_offsets\":[%d,%d]},"
		"\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[%d,%d]},"
		"\"s\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[%d,%d]}}",
		metadata, W, W, 2 * W, 2 * W, 3 * W, 3 * W, 3 * W, s_dtype, 3 * W, 3 * W + 4);
	while (n % 8 != 0)
		header[n++] = ' ';
	lm_put_u64(file, n);
	memcpy(file + 8, header, n);
	for (size_t i = 0; i < W; i++)
		w[i] = (uint8_t)(i * i * 31 + i / 256);
	for (size_t i = 0; i < 3; i++) {
		memcpy(file + 8 + n + i * W, w, W);
		file[8 + n + i * W + 4321] ^= change;
	}
	memset(file + 8 + n + 3 * W, 0x3f, 4);
	put(path, file, 8 + n + 3 * W + 4);
}

static int pack(const char *model, const char *output, const char *attach, const char *seed)
{
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_attach file = { .path = attach };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int r;

	options.run.jobs = 2;
	options.chunk_bytes = 4096;
	options.attach = &file;
	options.attach_count = attach != NULL;
	options.seed = (const unsigned char *)seed;
	options.seed_len = strlen(seed);
	r = lmodel_pack(output, &model, 1, &options, &error);
	if (r != LMODEL_OK)
		printf("# %s\n", error.message);
	return r;
}

static struct lmodel_archive *opened(const char *path)
{
	struct lmodel_archive *a = NULL;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	if (lmodel_open(&a, path, &error) != LMODEL_OK) {
		printf("# %s\n", error.message);
		exit(99);
	}
	return a;
}

/* ---- looking ---- */

static void test_info(const struct lmodel_archive *a)
{
	struct lmodel_info info;
	struct stat st;

	lmodel_info(a, &info);
	is_int((intmax_t)strlen(info.id), 36, "info: id");
	is_str(info.source_format, "safetensors", "info: source format");
	is_int(info.format_version, 1, "info: format version");
	is_int((intmax_t)info.tensor_count, 5, "info: tensors");
	is_int((intmax_t)info.alias_count, 2, "info: aliases");
	is_int((intmax_t)info.attachment_count, 1, "info: attachments");
	is_int((intmax_t)info.source_count, 1, "info: sources");
	is_int((intmax_t)info.metadata_count, 1, "info: metadata");
	is_int((intmax_t)info.chunk_bytes, 4096, "info: chunk size");
	is_int((intmax_t)info.tensor_bytes, W + 4, "info: aliases counted once");
	is_int((intmax_t)info.parameters, W / 4 + 1, "info: parameters");
	is_int((intmax_t)info.commit_counter, 1, "info: first commit");
	is_int((intmax_t)info.dead_bytes, 0, "info: nothing dead");
	ok(stat(AT("a.lmodel"), &st) == 0 && (uint64_t)st.st_size == info.file_bytes &&
	   info.file_bytes == info.committed_bytes + 1024, "info: file size");
	ok(info.manifest_bytes <= info.manifest_room, "info: the manifest has room");
	ok(strlen(info.content_root) == 64 && strstr(info.statement, info.content_root) != NULL,
	   "info: the statement holds the content root");
	is_str(lmodel_version(), LMODEL_VERSION_STRING, "version");
}

static void test_tensors(const struct lmodel_archive *a)
{
	static const char *const names[] = { "w", "copy", "flat", "none", "s" };
	const struct lmodel_tensor *t;

	for (size_t i = 0; i < LM_COUNT(names); i++) {
		t = lmodel_tensor_at(a, i);
		is_str(t != NULL ? t->name : NULL, names[i], "tensors in the order of the data");
		ok(lmodel_tensor_find(a, names[i]) == t, "... and found by name");
	}
	ok(lmodel_tensor_at(a, 5) == NULL && lmodel_tensor_at(a, SIZE_MAX) == NULL, "no sixth");
	ok(lmodel_tensor_find(a, "") == NULL && lmodel_tensor_find(a, "ww") == NULL &&
	   lmodel_tensor_find(a, "zzz") == NULL, "no other names");
	t = lmodel_tensor_find(a, "w");
	ok(strcmp(t->dtype, "F32") == 0 && t->dtype_bits == 32 && t->rank == 2 &&
	   t->shape[0] == 30 && t->shape[1] == 100 && t->elements == 3000 && t->bytes == W &&
	   t->alias_of == NULL && t->stored_bytes > 0 && strcmp(t->source, "m.safetensors") == 0,
	   "what is known of a tensor");
	is_str(lmodel_tensor_find(a, "copy")->alias_of, "w", "the same bytes again: an alias");
	is_str(lmodel_tensor_find(a, "flat")->alias_of, "w", "... also in another shape");
	is_int((intmax_t)lmodel_tensor_find(a, "copy")->stored_bytes, 0, "... stored once");
	is_str(lmodel_tensor_find(a, "copy")->member, t->member, "... in that member");
	is_int(lmodel_tensor_find(a, "s")->rank, 0, "a scalar");
	is_int((intmax_t)lmodel_tensor_find(a, "none")->bytes, 0, "an empty tensor");
	is_str(lmodel_attachment_at(a, 0)->name, "notes.txt", "attachment");
	is_str(lmodel_source_at(a, 0)->name, "m.safetensors", "source");
	is_int((intmax_t)lmodel_source_at(a, 0)->tensor_count, 5, "... and its tensors");
	is_str(lmodel_metadata_at(a, 0)->value, "v", "metadata");
	ok(lmodel_attachment_at(a, 1) == NULL && lmodel_source_at(a, 1) == NULL &&
	   lmodel_metadata_at(a, 1) == NULL, "one of each");
}

/* ---- reading ---- */

static void test_slices(struct lmodel_archive *a)
{
	static const uint64_t edges[] = { 0, 1, 4095, 4096, 4097, 8191, 8192, 8193, W - 1, W };
	const struct lmodel_tensor *t = lmodel_tensor_find(a, "w"), *f = lmodel_tensor_find(a, "flat");
	uint8_t got[W + 1];
	unsigned bad = 0, over = 0;

	for (size_t i = 0; i < LM_COUNT(edges); i++)
		for (size_t k = i; k < LM_COUNT(edges); k++) {
			size_t len = (size_t)(edges[k] - edges[i]);

			memset(got, 0xee, sizeof(got));
			bad += lmodel_tensor_read(a, k & 1 ? t : f, edges[i], got, len, NULL) !=
			       LMODEL_OK || memcmp(got, w + edges[i], len) != 0;
			over += got[len] != 0xee;
		}
	is_int(bad, 0, "slices from and to every border of a chunk");
	is_int(over, 0, "... and not a byte more");
	is_int(lmodel_tensor_read(a, lmodel_tensor_find(a, "none"), 0, got, 0, NULL), LMODEL_OK,
	       "nothing of an empty tensor");
	ok(lmodel_tensor_read(a, lmodel_tensor_find(a, "s"), 1, got, 2, NULL) == LMODEL_OK &&
	   got[0] == 0x3f, "a part of a scalar");
}

static void test_bad_reads(struct lmodel_archive *a, struct lmodel_archive *other)
{
	const struct lmodel_tensor *t = lmodel_tensor_find(a, "w");
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t got[8];

	is_int(lmodel_tensor_read(a, t, W - 7, got, 8, &error), LMODEL_EUSAGE, "past the end");
	is_error(&error, LMODEL_EUSAGE, "tensor 'w'", "past the end");
	is_int(lmodel_tensor_read(a, t, W + 1, got, 0, NULL), LMODEL_EUSAGE, "behind the end");
	is_int(lmodel_tensor_read(a, t, UINT64_MAX, got, 8, NULL), LMODEL_EUSAGE, "an offset that wraps");
	is_int(lmodel_tensor_read(other, t, 0, got, 8, NULL), LMODEL_EUSAGE, "of another archive");
}

/* ---- many ranges at once ---- */

static int stop(void *context, uint64_t done, uint64_t total)
{
	(void)total;
	*(uint64_t *)context = done;
	return 1;
}

static void test_many(struct lmodel_archive *a, struct lmodel_archive *other)
{
	static uint8_t got[5][W + 1];
	const struct lmodel_tensor *t = lmodel_tensor_find(a, "w");
	struct lmodel_read reads[5];
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint64_t done = 0;
	struct lmodel_run run = { .context = &done };

	for (unsigned jobs = 1; jobs <= 4; jobs++) {
		run.jobs = jobs;
		memset(got, 0xee, sizeof(got));
		for (size_t i = 0; i < 5; i++)
			reads[i] = (struct lmodel_read){ .tensor = lmodel_tensor_at(a, i),
							 .len = lmodel_tensor_at(a, i)->bytes,
							 .buffer = got[i] };
		reads[1].offset = 4095; /* a byte, a whole chunk, a byte */
		reads[1].len = 4098;
		is_int(lmodel_read_tensors(a, reads, 5, &run, &error), LMODEL_OK, "all tensors");
		ok(memcmp(got[0], w, W) == 0 && got[0][W] == 0xee && memcmp(got[2], w, W) == 0,
		   "... whole ones");
		ok(memcmp(got[1], w + 4095, 4098) == 0 && got[1][4098] == 0xee, "... a part");
		ok(got[3][0] == 0xee && got[4][3] == 0x3f && got[4][4] == 0xee,
		   "... an empty one, and a scalar");
	}
	is_int(lmodel_read_tensors(a, NULL, 0, NULL, NULL), LMODEL_OK, "nothing at all");
	reads[4].offset = 1;
	is_int(lmodel_read_tensors(a, reads, 5, &run, &error), LMODEL_EUSAGE, "past the end");
	is_error(&error, LMODEL_EUSAGE, "tensor 's'", "past the end");
	is_int(lmodel_read_tensors(other, reads, 1, &run, NULL), LMODEL_EUSAGE,
	       "of another archive");
	run.progress = stop;
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(lmodel_read_tensors(a, reads, 4, &run, &error), LMODEL_EFAILED, "stopped");
	is_error(&error, LMODEL_EFAILED, "interrupted", "stopped");
	ok(done > 0, "progress is told");
	reads[0] = (struct lmodel_read){ .tensor = t, .len = 8192, .buffer = got[0] + 1 };
	is_int(lmodel_read_tensors(a, reads, 1, NULL, NULL), LMODEL_OK, "to an odd address");
	ok(memcmp(got[0] + 1, w, 8192) == 0, "... the same bytes");
}

static void test_attachment(struct lmodel_archive *a, struct lmodel_archive *other)
{
	const struct lmodel_attachment *file = lmodel_attachment_at(a, 0);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char got[16] = "";

	is_int(lmodel_attachment_read(a, file, 0, got, (size_t)file->bytes, &error), LMODEL_OK,
	       "a side file");
	is_str(got, "hello", "... its bytes");
	is_int(lmodel_attachment_read(a, file, 1, got, 3, &error), LMODEL_OK, "a part of it");
	is_str(got, "elllo", "... its bytes");
	is_int(lmodel_attachment_read(a, file, 1, got, (size_t)file->bytes, &error), LMODEL_EUSAGE,
	       "past its end");
	is_error(&error, LMODEL_EUSAGE, "attachment 'notes.txt'", "past its end");
	is_int(lmodel_attachment_read(other, file, 0, got, 1, NULL), LMODEL_EUSAGE,
	       "a side file of another archive");
}

static void *read_all(void *context)
{
	struct lmodel_archive *a = context;
	uint8_t got[777];
	size_t bad = 0;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t from = i * 7919u % (W - sizeof(got));

		bad += lmodel_tensor_read(a, lmodel_tensor_at(a, i % 3), from, got, sizeof(got), NULL) !=
		       LMODEL_OK || memcmp(got, w + from, sizeof(got)) != 0;
	}
	return bad != 0 ? a : NULL;
}

static void test_threads(struct lmodel_archive *a)
{
	pthread_t thread[4];
	unsigned bad = 0;

	for (size_t i = 0; i < LM_COUNT(thread); i++)
		if (pthread_create(&thread[i], NULL, read_all, a) != 0)
			abort();
	for (size_t i = 0; i < LM_COUNT(thread); i++) {
		void *result;

		pthread_join(thread[i], &result);
		bad += result != NULL;
	}
	is_int(bad, 0, "four threads read one archive");
}

/* ---- comparing ---- */

static void note(void *context, const struct lmodel_diff_entry *e)
{
	char *text = context;
	size_t used = strlen(text);

	snprintf(text + used, 512 - used, "%d %s (%s) %ju; ", (int)e->kind, e->name, e->detail,
		 (uintmax_t)e->elements);
}

static void diff_is(const char *path, const char *wanted, size_t count, const char *what)
{
	struct lmodel_archive *a = opened(AT("a.lmodel")), *b = opened(path);
	char text[512] = "";
	struct lmodel_run run = { .jobs = 2, .context = text };
	size_t got = 99;

	is_int(lmodel_diff(a, b, &run, note, &got, NULL), LMODEL_OK, what);
	is_int((intmax_t)got, (intmax_t)count, "... how many");
	is_str(text, wanted, "... which");
	lmodel_close(a);
	lmodel_close(b);
}

static void test_diff(void)
{
	put_model(AT("n.safetensors"), "I32", "other", 1);
	put(AT("notes.txt"), "hallo", 5);
	is_int(pack(AT("n.safetensors"), AT("b.lmodel"), AT("notes.txt"), "b"), LMODEL_OK, "pack another");
	put_model(AT("m.safetensors"), "F32", "v", 0);
	diff_is(AT("a.lmodel"), "", 0, "an archive and itself");
	diff_is(AT("b.lmodel"), "4 w () 1; 4 copy () 1; 4 flat () 1; 2 s (F32 -> I32) 0; "
		"5 m.safetensors: k (other value) 0; 6 notes.txt (other bytes) 1; ", 6,
		"two that differ in everything");
}

/* ---- checking ---- */

static void count_findings(void *context, enum lmodel_severity severity, const char *message)
{
	unsigned *count = context;

	count[severity]++;
	printf("# %s\n", message);
}

/* Flips a bit of a copy at `at` and verifies: -1 when it does not open, else the faults. */
static int faults_at(const uint8_t *bytes, size_t len, uint64_t at)
{
	uint8_t *copy = malloc(len);
	unsigned count[2] = { 0, 0 };
	struct lmodel_run run = { .jobs = 1, .context = count };
	struct lmodel_verify_report report;
	struct lmodel_archive *a = NULL;
	int r;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	copy[at] ^= 4;
	put(AT("x.lmodel"), copy, len);
	free(copy);
	if (lmodel_open(&a, AT("x.lmodel"), NULL) != LMODEL_OK)
		return -1;
	r = lmodel_verify(a, &run, NULL, &report, NULL);
	lmodel_close(a);
	if ((r != LMODEL_OK) != (report.faults > 0))
		return -2;
	return (int)(report.faults + report.notes);
}

static void test_verify(const uint8_t *bytes, size_t len)
{
	struct lmodel_archive *a = opened(AT("a.lmodel"));
	unsigned count[2] = { 0, 0 }, unseen = 0, odd = 0;
	struct lmodel_run run = { .context = count };
	struct lmodel_verify_report report;

	is_int(lmodel_verify(a, &run, count_findings, &report, NULL), LMODEL_OK, "verify a good one");
	ok(count[0] == 0 && count[1] == 0 && report.faults == 0 && report.notes == 0, "... in silence");
	is_int((intmax_t)report.bytes, (intmax_t)len, "... every byte of it");
	is_int(lmodel_verify(a, NULL, NULL, NULL, NULL), LMODEL_OK, "verify without anything");
	lmodel_close(a);
	for (uint64_t at = 0; at < len; at += 61) {
		int n = faults_at(bytes, len, at);

		unseen += n == 0;
		odd += n == -2;
		if (n == 0)
			printf("# not seen: %ju\n", (uintmax_t)at);
	}
	is_int(unseen, 0, "a flipped bit anywhere is seen by open or verify");
	is_int(odd, 0, "... and is a failure exactly when there are faults");
}

static void test_damaged_chunk(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len), got[W];
	struct lmodel_archive *a;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lmodel_tensor *t;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	a = opened(AT("a.lmodel"));
	/* The last member is that of "s". */
	copy[a->manifest.members[a->manifest.member_count - 1].offset] ^= 1;
	lmodel_close(a);
	put(AT("x.lmodel"), copy, len);
	free(copy);
	a = opened(AT("x.lmodel"));
	t = lmodel_tensor_find(a, "s");
	is_int(lmodel_tensor_read(a, t, 0, got, 4, &error), LMODEL_ECORRUPT, "a damaged chunk");
	is_error(&error, LMODEL_ECORRUPT, t->member, "a damaged chunk is named");
	is_int(lmodel_tensor_read(a, lmodel_tensor_find(a, "w"), 0, got, W, NULL), LMODEL_OK,
	       "... and no other is harmed");
	lmodel_close(a);
}

static void test_repair(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 700), *now = malloc(len + 700);
	int changed = 5;

	if (copy == NULL || now == NULL)
		abort();
	is_int(lmodel_repair(AT("a.lmodel"), &changed, NULL), LMODEL_OK, "repair a good one");
	is_int(changed, 0, "... changes nothing");
	for (int i = 0; i < 4; i++) {
		size_t have = i == 1 ? len + 700 : i == 2 ? len - 1000 : len;

		memcpy(copy, bytes, len);
		memset(copy + len, 7, 700);
		if (i == 0)
			copy[1536 + 100] ^= 1;
		else if (i == 3)
			memset(copy + len - 1024, 7, 9);
		put(AT("x.lmodel"), copy, have);
		is_int(lmodel_repair(AT("x.lmodel"), &changed, NULL), LMODEL_OK, i == 0 ?
		       "repair a damaged slot" : i == 1 ? "... bytes after the end" : i == 2 ?
		       "... a cut end" : "... end blocks that are not zero");
		is_int(changed, 1, "... says so");
		ok(get(AT("x.lmodel"), now, len + 700) == len && memcmp(now, bytes, len) == 0,
		   "... the file is as it was");
	}
	put(AT("x.lmodel"), bytes, len - 1025);
	is_int(lmodel_repair(AT("x.lmodel"), &changed, NULL), LMODEL_ECORRUPT, "a lost member");
	free(copy);
	free(now);
}

/* ---- failures ---- */

static void test_names(void)
{
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	const char *inputs[] = { AT("m.safetensors") };
	const char *names[] = { "sub/w.safetensors" };
	struct lmodel_archive *a;

	options.input_names = names;
	is_int(lmodel_pack(AT("c.lmodel"), inputs, 1, &options, NULL), LMODEL_OK,
	       "pack: an input under another name");
	a = opened(AT("c.lmodel"));
	is_str(lmodel_source_at(a, 0)->name, names[0], "... which the archive has");
	lmodel_close(a);
	names[0] = NULL;
	options.overwrite = true;
	is_int(lmodel_pack(AT("c.lmodel"), inputs, 1, &options, NULL), LMODEL_OK, "... or not");
	a = opened(AT("c.lmodel"));
	is_str(lmodel_source_at(a, 0)->name, "m.safetensors", "... then it has its own");
	lmodel_close(a);
	remove(AT("c.lmodel"));
}

static void test_failures(void)
{
	struct lmodel_archive *a = (struct lmodel_archive *)root;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const char *model = AT("m.safetensors"), *missing = AT("missing");
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	int changed;

	is_int(lmodel_open(&a, missing, NULL), LMODEL_EFAILED, "open: a missing file");
	ok(a == NULL, "... gives NULL");
	is_int(lmodel_open(&a, root, NULL), LMODEL_EUSAGE, "open: a directory");
	is_int(lmodel_open(&a, model, NULL), LMODEL_ECORRUPT, "open: not an archive");
	put(AT("empty"), "", 0);
	is_int(lmodel_open(&a, AT("empty"), &error), LMODEL_ECORRUPT, "open: an empty file");
	is_error(&error, LMODEL_ECORRUPT, "is empty", "open: an empty file");
	is_int(lmodel_open(&a, AT("empty"), &error), LMODEL_ECORRUPT, "the first failure stays");
	lmodel_close(NULL);
	is_int(lmodel_repair(missing, &changed, NULL), LMODEL_EFAILED, "repair: a missing file");
	is_int(lmodel_pack(AT("c.lmodel"), &missing, 1, NULL, NULL), LMODEL_EFAILED, "pack: a missing file");
	is_int(lmodel_pack(AT("c.lmodel"), NULL, 0, NULL, NULL), LMODEL_EUSAGE, "pack: no input");
	is_int(lmodel_pack(AT("a.lmodel"), &model, 1, NULL, NULL), LMODEL_EFAILED, "pack: output exists");
	options.chunk_bytes = 5000;
	is_int(lmodel_pack(AT("c.lmodel"), &model, 1, &options, NULL), LMODEL_EUSAGE, "pack: chunk size");
	options.chunk_bytes = 0;
	options.level = (enum lmodel_level)9;
	is_int(lmodel_pack(AT("c.lmodel"), &model, 1, &options, NULL), LMODEL_EUSAGE, "pack: level");
	options.level = LMODEL_LEVEL_DEFAULT;
	options.input_names = &(const char *){ "../w.safetensors" };
	is_int(lmodel_pack(AT("c.lmodel"), &model, 1, &options, NULL), LMODEL_EUSAGE,
	       "pack: an input's name that leads out");
	is_int(lmodel_repack(missing, NULL, NULL, NULL), LMODEL_EFAILED, "repack: a missing file");
	is_int(access(AT("c.lmodel"), F_OK), -1, "nothing was written");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	struct lmodel_archive *a, *other;
	static uint8_t bytes[1 << 17], again[1 << 17];
	size_t len;

	snprintf(root, sizeof(root), "%.40s/lmodel-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(root) == NULL)
		abort();
	put_model(AT("m.safetensors"), "F32", "v", 0);
	put(AT("notes.txt"), "hello", 5);
	is_int(pack(AT("m.safetensors"), AT("a.lmodel"), AT("notes.txt"), "a"), LMODEL_OK, "pack");
	is_int(pack(AT("m.safetensors"), AT("a2.lmodel"), AT("notes.txt"), "a"), LMODEL_OK, "again");
	len = get(AT("a.lmodel"), bytes, sizeof(bytes));
	ok(get(AT("a2.lmodel"), again, sizeof(again)) == len && memcmp(bytes, again, len) == 0,
	   "the same seed, the same archive");
	a = opened(AT("a.lmodel"));
	other = opened(AT("a2.lmodel"));
	test_info(a);
	test_tensors(a);
	test_slices(a);
	test_bad_reads(a, other);
	test_many(a, other);
	test_attachment(a, other);
	test_threads(a);
	lmodel_close(a);
	lmodel_close(other);
	test_diff();
	test_verify(bytes, len);
	test_damaged_chunk(bytes, len);
	test_repair(bytes, len);
	test_names();
	test_failures();
	if (nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
	return done();
}
