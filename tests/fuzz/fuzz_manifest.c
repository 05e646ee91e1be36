/* Manifest images of any bytes, and images that SQLite finds sound with any rows in them.
 *
 * Input: first byte 0: the rest is a raw image. Any other first byte: the whole input is SQL,
 * run on a sound manifest before it is loaded, so that the fuzzer gets behind SQLite's own
 * checks. */
#include "manifest/manifest.h"

#include <sqlite3.h>

#include "archive/content.h"
#include "lib/whole_schema.h"

enum { BEGIN = 8192, COMMITTED = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A failure in the fuzzer's own work. */
static void must(bool good)
{
	if (!good)
		abort();
}

/* Whatever loads can be hashed and stored, and loads again. */
static void use(const struct lm_manifest *m)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t root[LM_SHA256_SIZE];
	LM_FREE char *statement = NULL;
	struct lm_manifest again;
	uint8_t *image = NULL;
	uint64_t len;

	must(lm_content_root(m, m->id, root, &error) == LMODEL_OK);
	statement = lm_content_statement(m, root, &error);
	must(statement != NULL);
	for (size_t i = 0; i < m->tensor_count; i++)
		must(m->members[lm_manifest_member_of(m, i)].bytes == m->tensors[i].bytes);
	must(lm_manifest_store(m, &image, &len, &error) == LMODEL_OK);
	must(lm_manifest_load(&again, image, len, BEGIN, COMMITTED, "'again'", &error) == LMODEL_OK);
	lm_manifest_free(&again);
	lm_manifest_image_free(image);
}

static void load(const uint8_t *image, size_t len)
{
	/* Of exactly this size, so that ASan sees the first byte too far. */
	LM_FREE uint8_t *copy = malloc(LM_MAX(len, (size_t)1));
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_manifest m;
	int r;

	must(copy != NULL);
	memcpy(copy, image, len);
	r = lm_manifest_load(&m, copy, len, BEGIN, COMMITTED, "'fuzz'", &error);
	must(r == (int)error.code);
	must(r == LMODEL_OK || r == LMODEL_ECORRUPT || r == LMODEL_EUNSUPPORTED);
	must((r == LMODEL_OK) == (error.message[0] == '\0'));
	if (r == LMODEL_OK) {
		use(&m);
		lm_manifest_free(&m);
	}
}

/* A skeleton, a tensor of three chunks, an alias, metadata, two files whose data share a member of the tar,
 * a dead range. */
static uint8_t *sound(uint64_t *len)
{
	static uint32_t one[] = { 100 }, three[] = { 4096, 1u << LM_CHUNK_LEN_BITS | 4, 800 };
	static uint64_t shape[] = { 1000, 9 };
	static char names[][20] = {
		"source/0", "base/w", "file/c", "m.safetensors", "safetensors", "k", "v", "w", "copy",
		"c.json", "lmodel", "", "lmodel-statement", "d.json",
	};
	struct lm_member members[] = {
		{ .path = names[0], .offset = 8704, .length = 100, .bytes = 100, .coding_name = "w1",
		  .chunk_bytes = 4096, .chunk_count = 1, .chunks = one },
		{ .path = names[1], .offset = 9728, .length = 4996, .bytes = 9000, .coding_name = "w1",
		  .chunk_bytes = 4096, .chunk_count = 3, .chunks = three },
		{ .path = names[2], .offset = 15872, .length = 100, .bytes = 100, .coding_name = "w1",
		  .chunk_bytes = 4096, .chunk_count = 1, .chunks = one },
		{ .path = names[2], .joined = true, .offset = 15972, .length = 100, .bytes = 100,
		  .coding_name = "w1", .chunk_bytes = 4096, .chunk_count = 1, .chunks = one },
	};
	struct lm_source_row sources[] = {
		{ .name = names[3], .format = names[4], .bytes = 9100, .skeleton = 0 },
	};
	struct lm_metadata_row metadata[] = { { .source = 0, .key = names[5], .value = names[6] } };
	struct lm_tensor_row tensors[] = {
		{ .name = names[7], .dtype = lm_dtype_find("U8"), .rank = 2, .shape = shape,
		  .elements = 9000, .bytes = 9000, .member = 1, .alias = LM_NONE },
		{ .name = names[8], .dtype = lm_dtype_find("U8"), .rank = 2, .shape = shape,
		  .elements = 9000, .bytes = 9000, .member = LM_NONE, .alias = 0 },
	};
	struct lm_attachment_row attachments[] = { { .name = names[9], .member = 2 },
						   { .name = names[13], .member = 3 } };
	struct lm_dead_row dead[] = { { .offset = 20480, .length = 600 } };
	struct lm_manifest m = {
		.id = "01234567-89ab-4def-8123-456789abcdef", .format = 1, .tool = names[10],
		.source_format = names[4], .must_understand = names[11], .statement = names[12],
		.members = members, .member_count = LM_COUNT(members),
		.sources = sources, .source_count = LM_COUNT(sources),
		.metadata = metadata, .metadata_count = LM_COUNT(metadata),
		.tensors = tensors, .tensor_count = LM_COUNT(tensors),
		.attachments = attachments, .attachment_count = LM_COUNT(attachments),
		.dead = dead, .dead_count = LM_COUNT(dead),
	};
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_manifest loaded;
	uint8_t *image = NULL;

	must(lm_manifest_store(&m, &image, len, NULL) == LMODEL_OK);
	must(lm_manifest_load(&loaded, image, *len, BEGIN, COMMITTED, "", &error) == LMODEL_OK);
	lm_manifest_free(&loaded);
	return image;
}

static int stop_when_long(void *left)
{
	return --*(int *)left <= 0;
}

/* SQL may change rows and schema, but reach no file. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c,
		     const char *d)
{
	(void)context;
	(void)b;
	(void)c;
	(void)d;
	if (action == SQLITE_ATTACH || action == SQLITE_DETACH)
		return SQLITE_DENY;
	if (action == SQLITE_PRAGMA)
		return strcmp(a, "writable_schema") == 0 || strcmp(a, "user_version") == 0 ||
		       strcmp(a, "application_id") == 0 ? SQLITE_OK : SQLITE_DENY;
	return SQLITE_OK;
}

static void load_after(const uint8_t *sql, size_t size)
{
	static uint8_t *image;
	static uint64_t len;
	LM_FREE char *text = malloc(size + 1);
	sqlite3 *db = NULL;
	sqlite3_int64 out_len = 0;
	uint8_t *copy, *out;
	int left = 20;

	if (image == NULL) {
		uint8_t *bare = sound(&len);

		image = whole_schema(bare, len, &len);
		lm_manifest_image_free(bare);
	}
	copy = sqlite3_malloc64(len);
	must(text != NULL && copy != NULL);
	memcpy(text, sql, size);
	text[size] = '\0';
	memcpy(copy, image, len);
	must(sqlite3_open(":memory:", &db) == SQLITE_OK);
	must(sqlite3_deserialize(db, "main", copy, (sqlite3_int64)len, (sqlite3_int64)len,
				 SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) ==
	     SQLITE_OK);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 100000);
	sqlite3_set_authorizer(db, authorize, NULL);
	sqlite3_progress_handler(db, 1000, stop_when_long, &left);
	sqlite3_exec(db, text, NULL, NULL, NULL);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	out = sqlite3_serialize(db, "main", &out_len, 0);
	if (out != NULL && out_len > 20) {
		out[18] = 3;
		load(out, (size_t)out_len);
	}
	sqlite3_free(out);
	sqlite3_close_v2(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	must(lm_crypto_init(NULL) == LMODEL_OK);
	if (size > 0 && data[0] == 0)
		load(data + 1, size - 1);
	else
		load_after(data, size);
	return 0;
}
