/* manifest/: what is stored is loaded again; every hostile change is refused for what it is. */
#include "manifest/manifest.h"

#include <sqlite3.h>
#include <stdio.h>

#include "lib/tap.h"
#include "lib/whole_schema.h"
#include "manifest/hardened.h"

enum { BEGIN = 8192, COMMITTED = 1 << 20 };

static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % below;
}

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- a sound manifest ---- */

static bool joining; /* some members to those before */

static struct lm_member *add_member(struct lm_manifest *m, const char *prefix, const char *coding,
				    uint64_t bytes)
{
	struct lm_member *b, *before;

	m->members = must(realloc(m->members, (m->member_count + 1) * sizeof(*m->members)));
	b = &m->members[m->member_count];
	before = m->member_count > 0 ? b - 1 : NULL;
	*b = (struct lm_member){ .bytes = bytes, .chunk_bytes = 4096 };
	b->joined = joining && before != NULL && draw(2) == 0;
	b->path = b->joined ? before->path : must(lm_format(NULL, "%s%zu", prefix, m->member_count));
	m->member_count++;
	snprintf(b->coding_name, sizeof(b->coding_name), "%s", coding);
	b->offset = before == NULL ? BEGIN : before->offset + before->length;
	if (!b->joined)
		b->offset = 512 + lm_align(b->offset, 512);
	b->chunk_count = (uint32_t)((bytes + 4095) / 4096);
	b->chunks = must(calloc(b->chunk_count + 1, sizeof(*b->chunks)));
	for (uint32_t i = 0; i < b->chunk_count; i++) {
		uint32_t len = 1 + (uint32_t)draw(lm_member_chunk_raw(b, i));

		b->chunks[i] = (uint32_t)draw(4) << LM_CHUNK_LEN_BITS | len;
		b->length += len;
	}
	b->length += lm_member_list(b);
	for (size_t i = 0; i < sizeof(b->digest); i++)
		b->digest[i] = (uint8_t)draw(256);
	return b;
}

static void add_tensor(struct lm_manifest *m, const char *name, const char *dtype, uint64_t n,
		       size_t alias)
{
	struct lm_tensor_row *t;

	m->tensors = must(realloc(m->tensors, (m->tensor_count + 1) * sizeof(*m->tensors)));
	t = &m->tensors[m->tensor_count++];
	*t = (struct lm_tensor_row){ .name = must(lm_strdup(name, NULL)), .rank = 2,
				     .dtype = lm_dtype_find(dtype), .source = draw(m->source_count),
				     .member = LM_NONE, .alias = alias };
	t->shape = must(calloc(2, sizeof(*t->shape)));
	t->shape[0] = n;
	t->shape[1] = 3;
	if (!lm_dtype_bytes(t->dtype, t->rank, t->shape, &t->elements, &t->bytes))
		abort();
	if (alias == LM_NONE) {
		add_member(m, "base/", t->dtype->coding, t->bytes);
		t->member = m->member_count - 1;
	}
}

static void add_files(struct lm_manifest *m, size_t sources, size_t attachments)
{
	m->sources = must(calloc(sources + 1, sizeof(*m->sources)));
	m->attachments = must(calloc(attachments + 1, sizeof(*m->attachments)));
	for (size_t i = 0; i < sources; i++) {
		add_member(m, "source/", "w1", 10 + draw(9000));
		m->sources[m->source_count++] = (struct lm_source_row){
			.name = must(lm_format(NULL, "m%zu.safetensors", i)),
			.format = must(lm_strdup("safetensors", NULL)), .bytes = draw(1 << 30),
			.skeleton = m->member_count - 1,
		};
	}
	for (size_t i = 0; i < attachments; i++) {
		add_member(m, "file/", "w1", draw(5000));
		m->attachments[m->attachment_count++] = (struct lm_attachment_row){
			.name = must(lm_format(NULL, "config%zu.json", i)), .member = m->member_count - 1,
		};
	}
}

static void add_rest(struct lm_manifest *m, size_t metadata, size_t dead)
{
	const struct lm_member *last = &m->members[m->member_count - 1];
	uint64_t at = lm_align(last->offset + last->length, 512) + 512;

	m->metadata = must(calloc(metadata + 1, sizeof(*m->metadata)));
	for (; m->metadata_count < metadata; m->metadata_count++)
		m->metadata[m->metadata_count] = (struct lm_metadata_row){
			.source = draw(m->source_count), .key = must(lm_strdup("k\n\xc3\xbc", NULL)),
			.value = must(lm_strdup("", NULL)),
		};
	m->dead = must(calloc(dead + 1, sizeof(*m->dead)));
	for (; m->dead_count < dead; m->dead_count++, at += 2048)
		m->dead[m->dead_count] = (struct lm_dead_row){
			.offset = at, .length = 1 + draw(1536), .pending = draw(2),
		};
}

static struct lm_manifest make(size_t sources, size_t tensors, size_t attachments, size_t metadata,
			       size_t dead)
{
	static const char *const dtypes[] = { "F32", "BF16", "U8", "F64", "I16", "F8_E4M3" };
	struct lm_manifest m = {
		.id = "01234567-89ab-4def-8123-456789abcdef", .format = 1, .content_generation = 5,
		.created = 1700000000, .tool = must(lm_strdup("lmodel 0.1.0", NULL)),
		.source_format = must(lm_strdup("safetensors", NULL)),
		.must_understand = must(lm_strdup("", NULL)),
		.statement = must(lm_strdup("lmodel-statement-v1\n", NULL)),
	};

	add_files(&m, sources, attachments);
	for (size_t i = 0; i < tensors; i++) {
		LM_FREE char *name = must(lm_format(NULL, "t\xc3\xbc.%zu", i));
		size_t target = i > 1 && draw(3) == 0 ? draw(i) : LM_NONE;

		if (target != LM_NONE && m.tensors[target].alias != LM_NONE)
			target = LM_NONE;
		if (target == LM_NONE)
			add_tensor(&m, name, dtypes[draw(LM_COUNT(dtypes))], draw(1500), LM_NONE);
		else
			add_tensor(&m, name, m.tensors[target].dtype->name,
				   m.tensors[target].shape[0], target);
	}
	add_rest(&m, metadata, dead);
	return m;
}

/* ---- round trip ---- */

static bool same_members(const struct lm_manifest *a, const struct lm_manifest *b)
{
	if (a->member_count != b->member_count)
		return false;
	for (size_t i = 0; i < a->member_count; i++) {
		const struct lm_member *p = &a->members[i], *q = &b->members[i];

		if (strcmp(p->path, q->path) != 0 || p->joined != q->joined || p->offset != q->offset ||
		    p->length != q->length || p->bytes != q->bytes ||
		    strcmp(p->coding_name, q->coding_name) != 0 || p->chunk_bytes != q->chunk_bytes ||
		    p->chunk_count != q->chunk_count ||
		    memcmp(p->chunks, q->chunks, p->chunk_count * sizeof(*p->chunks)) != 0 ||
		    memcmp(p->digest, q->digest, sizeof(p->digest)) != 0)
			return false;
	}
	return true;
}

static bool same_tensors(const struct lm_manifest *a, const struct lm_manifest *b)
{
	if (a->tensor_count != b->tensor_count)
		return false;
	for (size_t i = 0; i < a->tensor_count; i++) {
		const struct lm_tensor_row *p = &a->tensors[i], *q = &b->tensors[i];

		if (strcmp(p->name, q->name) != 0 || p->dtype != q->dtype || p->rank != q->rank ||
		    memcmp(p->shape, q->shape, p->rank * sizeof(*p->shape)) != 0 ||
		    p->elements != q->elements || p->bytes != q->bytes || p->source != q->source ||
		    p->member != q->member || p->alias != q->alias)
			return false;
	}
	return true;
}

static bool same_rest(const struct lm_manifest *a, const struct lm_manifest *b)
{
	bool same = strcmp(a->id, b->id) == 0 && a->format == b->format &&
		    a->content_generation == b->content_generation && a->created == b->created &&
		    strcmp(a->tool, b->tool) == 0 && strcmp(a->statement, b->statement) == 0 &&
		    a->source_count == b->source_count && a->metadata_count == b->metadata_count &&
		    a->attachment_count == b->attachment_count && a->dead_count == b->dead_count;

	for (size_t i = 0; same && i < a->source_count; i++)
		same = strcmp(a->sources[i].name, b->sources[i].name) == 0 &&
		       a->sources[i].bytes == b->sources[i].bytes &&
		       a->sources[i].skeleton == b->sources[i].skeleton;
	for (size_t i = 0; same && i < a->metadata_count; i++)
		same = strcmp(a->metadata[i].key, b->metadata[i].key) == 0 &&
		       strcmp(a->metadata[i].value, b->metadata[i].value) == 0 &&
		       a->metadata[i].source == b->metadata[i].source;
	for (size_t i = 0; same && i < a->attachment_count; i++)
		same = strcmp(a->attachments[i].name, b->attachments[i].name) == 0 &&
		       a->attachments[i].member == b->attachments[i].member;
	for (size_t i = 0; same && i < a->dead_count; i++)
		same = a->dead[i].offset == b->dead[i].offset &&
		       a->dead[i].length == b->dead[i].length &&
		       a->dead[i].pending == b->dead[i].pending;
	return same;
}

static int load(struct lm_manifest *m, const uint8_t *image, uint64_t len, struct lmodel_error *error)
{
	return lm_manifest_load(m, image, len, BEGIN, UINT64_C(1) << 40, "'x'", error);
}

static void test_round_trip(void)
{
	unsigned bad = 0, unstable = 0;

	for (unsigned i = 0; i < 60; i++) {
		struct lm_manifest m = make(1 + draw(3), draw(i < 50 ? 20 : 1200), draw(4), draw(5),
					    draw(4)), n;
		struct lmodel_error error = LMODEL_ERROR_INIT;
		uint8_t *image = NULL, *again = NULL;
		uint64_t len = 0, again_len = 0;

		if (lm_manifest_store(&m, &image, &len, &error) != LMODEL_OK)
			abort();
		if (load(&n, image, len, &error) == LMODEL_OK) {
			bad += !same_members(&m, &n) || !same_tensors(&m, &n) || !same_rest(&m, &n);
			if (lm_manifest_store(&n, &again, &again_len, &error) != LMODEL_OK)
				abort();
			unstable += len != again_len || memcmp(image, again, len) != 0;
			lm_manifest_free(&n);
		} else {
			printf("# %s\n", error.message);
			bad++;
		}
		lm_manifest_image_free(image);
		lm_manifest_image_free(again);
		lm_manifest_free(&m);
	}
	is_int(bad, 0, "60 manifests come back as they were stored");
	is_int(unstable, 0, "... and are stored to the same bytes again");
}

/* ---- hostile changes ---- */

/* Tensors: 0 "a" F32 [2,3], 1 "b" alias of it, 2 "c" U8 [4000,3]. Members: 0 skeleton, 1 file,
 * 2 of "a", 3 of "c". */
static struct lm_manifest sample(void)
{
	struct lm_manifest m = make(1, 0, 1, 1, 1);

	add_tensor(&m, "a", "F32", 2, LM_NONE);
	add_tensor(&m, "b", "F32", 2, 0);
	add_tensor(&m, "c", "U8", 4000, LM_NONE);
	m.dead[0].offset = 1 << 19;
	return m;
}

/* The image after `sql`. With SQLite's header fields at "writable" it can be changed; only a hostile
 * writer would. */
static uint8_t *altered(const uint8_t *image, uint64_t len, const char *sql, uint64_t *out_len)
{
	sqlite3 *db = NULL;
	sqlite3_int64 size = 0;
	uint8_t *copy = whole_schema(image, len, &len), *out;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_deserialize(db, "main", copy, (sqlite3_int64)len, (sqlite3_int64)len,
				SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) !=
	    SQLITE_OK)
		abort();
	must_run(db, sql);
	out = must(sqlite3_serialize(db, "main", &size, 0));
	sqlite3_close(db);
	out[18] = 3;
	*out_len = (uint64_t)size;
	return out;
}

#define JOINED \
	"UPDATE member SET path = '', offset = (SELECT offset + length FROM member WHERE id = 2)" \
	" WHERE id = 3;"

static const struct { const char *sql; enum lmodel_code code; const char *message; } hostile[] = {
	/* archive, statement */
	{ "DELETE FROM archive", LMODEL_ECORRUPT, "archive 0: row is missing" },
	{ "INSERT INTO archive SELECT * FROM archive", LMODEL_ECORRUPT, "archive 0: more than one" },
	{ "UPDATE archive SET id = 'x'", LMODEL_ECORRUPT, "id is not a UUID" },
	{ "UPDATE archive SET id = upper(id)", LMODEL_ECORRUPT, "id is not a UUID" },
	{ "UPDATE archive SET id = replace(id, '-', '0')", LMODEL_ECORRUPT, "id is not a UUID" },
	{ "UPDATE archive SET format = 2", LMODEL_EUNSUPPORTED, "format version 2" },
	{ "UPDATE archive SET format = -1", LMODEL_ECORRUPT, "archive 0: format" },
	{ "UPDATE archive SET content_generation = -1", LMODEL_ECORRUPT, "content generation" },
	{ "UPDATE archive SET created = -1", LMODEL_ECORRUPT, "creation time" },
	{ "UPDATE archive SET tool = char(0) || 'x'", LMODEL_ECORRUPT, "archive 0: tool" },
	{ "UPDATE archive SET tool = CAST(x'ff' AS TEXT)", LMODEL_ECORRUPT, "archive 0: tool" },
	{ "UPDATE archive SET must_understand = 'formats'", LMODEL_ECORRUPT,
	  "the feature formats without a file that needs it" },
	{ "UPDATE source SET format = 'npz'", LMODEL_ECORRUPT,
	  "the feature formats is not named" },
	{ "UPDATE source SET format = 'mixed'", LMODEL_EUNSUPPORTED, "format 'mixed' is not known" },
	{ "UPDATE archive SET must_understand = 'tiers' || char(10) || 'formats'",
	  LMODEL_ECORRUPT, "features are out of order" },
	{ "UPDATE archive SET must_understand = 'tiers' || char(10)", LMODEL_EUNSUPPORTED,
	  "needs the feature ''" },
	{ "UPDATE archive SET must_understand = 'tiers' || char(10) || 'x'", LMODEL_EUNSUPPORTED,
	  "needs the feature 'x'" },
	{ "DELETE FROM statement", LMODEL_ECORRUPT, "statement 0: row is missing" },
	{ "INSERT INTO statement VALUES ('x')", LMODEL_ECORRUPT, "statement 0: more than one row" },
	/* member */
	{ "UPDATE member SET id = 9 WHERE id = 3", LMODEL_ECORRUPT, "member 3: id is out of order" },
	{ "UPDATE member SET id = -1 WHERE id = 0", LMODEL_ECORRUPT, "member 0: id is out of order" },
	{ "UPDATE member SET path = '../x' WHERE id = 2", LMODEL_ECORRUPT, "path is not safe" },
	{ "UPDATE member SET path = 'mimetype' WHERE id = 2", LMODEL_ECORRUPT, "has the name of" },
	{ "UPDATE member SET path = 'manifest.sqlite' WHERE id = 2", LMODEL_ECORRUPT,
	  "has the name of" },
	{ "UPDATE member SET path = 'manifest.backup.sqlite' WHERE id = 2", LMODEL_ECORRUPT,
	  "has the name of" },
	{ "UPDATE member SET path = '/x' WHERE id = 2", LMODEL_ECORRUPT, "path is not safe" },
	{ "UPDATE member SET path = 'file/1' WHERE id = 2", LMODEL_ECORRUPT, "two members are named" },
	{ "UPDATE member SET offset = offset + 1 WHERE id = 2", LMODEL_ECORRUPT, "out of range" },
	{ "UPDATE member SET offset = 0 WHERE id = 0", LMODEL_ECORRUPT, "member 0: offset and length" },
	{ "UPDATE member SET offset = 1048576 WHERE id = 3", LMODEL_ECORRUPT, "offset and length" },
	{ "UPDATE member SET offset = 1048577 WHERE id = 3", LMODEL_ECORRUPT, "member 3: offset" },
	{ "UPDATE member SET offset = -512 WHERE id = 3", LMODEL_ECORRUPT, "member 3: offset" },
	{ "UPDATE member SET offset = (SELECT offset FROM member WHERE id = 2) WHERE id = 3",
	  LMODEL_ECORRUPT, "member 3: offset and length are out of range" },
	{ "UPDATE member SET length = length + 1 WHERE id = 2", LMODEL_ECORRUPT, "not that of its chunks" },
	{ "UPDATE member SET length = -1 WHERE id = 2", LMODEL_ECORRUPT, "member 2: length" },
	{ "UPDATE member SET length = 9223372036854775807 WHERE id = 2", LMODEL_ECORRUPT, "2: length" },
	{ "UPDATE member SET bytes = bytes + 4096 WHERE id = 2", LMODEL_ECORRUPT, "chunk index does not" },
	{ "UPDATE member SET bytes = 9223372036854775807 WHERE id = 2", LMODEL_ECORRUPT, "chunk index" },
	{ "UPDATE member SET bytes = bytes + 1 WHERE id = 2", LMODEL_ECORRUPT, "member does not fit" },
	{ "UPDATE member SET coding = 'f3' WHERE id = 2", LMODEL_ECORRUPT, "coding is not defined" },
	{ "UPDATE member SET coding = 'w4' WHERE id = 2", LMODEL_ECORRUPT, "member does not fit" },
	{ "UPDATE member SET chunk_bytes = 0 WHERE id = 2", LMODEL_ECORRUPT, "chunk size is out of" },
	{ "UPDATE member SET chunk_bytes = 4097 WHERE id = 2", LMODEL_ECORRUPT, "chunk size is out of" },
	{ "UPDATE member SET chunk_bytes = 67112960 WHERE id = 2", LMODEL_ECORRUPT, "2: chunk size" },
	{ "UPDATE member SET chunk_bytes = 8192 WHERE id = 3", LMODEL_ECORRUPT, "chunk index does not" },
	{ "UPDATE member SET chunks = x'0102030405' WHERE id = 2", LMODEL_ECORRUPT, "chunk index" },
	{ "UPDATE member SET chunks = x'' WHERE id = 2", LMODEL_ECORRUPT, "chunk index does not" },
	{ "UPDATE member SET chunks = x'00000000' WHERE id = 2", LMODEL_ECORRUPT, "chunk length" },
	{ "UPDATE member SET chunks = x'19000000' WHERE id = 2", LMODEL_ECORRUPT, "chunk length" },
	{ "UPDATE member SET chunks = x'010000f0' WHERE id = 2", LMODEL_ECORRUPT, "chunk method" },
	{ "UPDATE member SET digest = x'00' WHERE id = 2", LMODEL_ECORRUPT, "member 2: digest" },
	/* joined to the row before */
	{ "UPDATE member SET path = '' WHERE id = 0", LMODEL_ECORRUPT, "0: path is not safe" },
	{ "UPDATE member SET path = '' WHERE id = 3", LMODEL_ECORRUPT, "3: offset and length" },
	{ JOINED "UPDATE member SET offset = offset + 1 WHERE id = 3", LMODEL_ECORRUPT,
	  "3: offset and length" },
	{ JOINED "UPDATE member SET offset = offset - 1 WHERE id = 3", LMODEL_ECORRUPT,
	  "3: offset and length" },
	{ JOINED "UPDATE member SET path = 'base/3' WHERE id = 3", LMODEL_ECORRUPT,
	  "3: offset and length" },
	{ JOINED "UPDATE member SET path = '' WHERE id = 2", LMODEL_ECORRUPT, "2: offset and length" },
	{ JOINED "UPDATE dead SET length = 1, offset ="
	  " (SELECT (offset + length - 1) / 512 * 512 FROM member WHERE id = 3)",
	  LMODEL_ECORRUPT, "dead 0: overlaps live data" },
	{ "INSERT INTO member SELECT 4, 'more', 65536, 0, 0, 'w1', 4096, x'', zeroblob(32)",
	  LMODEL_ECORRUPT, "member 'more' is not used" },
	/* source, metadata, attachment */
	{ "UPDATE source SET name = '../../etc/passwd'", LMODEL_ECORRUPT, "not a safe relative path" },
	{ "UPDATE source SET name = 'config0.json'", LMODEL_ECORRUPT, "two files are named" },
	{ "UPDATE source SET bytes = -1", LMODEL_ECORRUPT, "source 0: bytes" },
	{ "UPDATE source SET skeleton = 4", LMODEL_ECORRUPT, "source 0: skeleton" },
	{ "UPDATE source SET skeleton = -1", LMODEL_ECORRUPT, "source 0: skeleton" },
	{ "UPDATE source SET skeleton = 1", LMODEL_ECORRUPT, "a member is used twice" },
	{ "DELETE FROM source", LMODEL_ECORRUPT, "metadata 0: source" },
	{ "UPDATE metadata SET source = 1", LMODEL_ECORRUPT, "metadata 0: source" },
	{ "UPDATE metadata SET key = CAST(x'c0af' AS TEXT)", LMODEL_ECORRUPT, "metadata 0: key" },
	{ "UPDATE attachment SET name = ''", LMODEL_ECORRUPT, "attachment 0: name is not a safe" },
	{ "UPDATE attachment SET member = 99", LMODEL_ECORRUPT, "attachment 0: member" },
	{ "DELETE FROM attachment", LMODEL_ECORRUPT, "is not used" },
	/* tensor */
	{ "UPDATE tensor SET id = 3 WHERE id = 1", LMODEL_ECORRUPT, "tensor 1: id is out of order" },
	{ "UPDATE tensor SET name = 'a' WHERE id = 2", LMODEL_ECORRUPT, "two tensors are named 'a'" },
	{ "UPDATE tensor SET name = CAST(x'61ff' AS TEXT) WHERE id = 2", LMODEL_ECORRUPT, "2: name" },
	{ "UPDATE tensor SET dtype = 'F7' WHERE id = 2", LMODEL_EUNSUPPORTED, "dtype 'F7' is not known" },
	{ "UPDATE tensor SET dtype = 'I8' WHERE id = 0", LMODEL_ECORRUPT, "not those of its dtype" },
	{ "UPDATE tensor SET shape = '[2,03]' WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET shape = '[2,3' WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET shape = '[2,3]x' WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET shape = '' WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET shape = '[,]' WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET shape = '[18446744073709551616]' WHERE id = 0", LMODEL_ECORRUPT, "shape" },
	{ "UPDATE tensor SET shape = '[4294967296,4294967296,4294967296]' WHERE id = 0",
	  LMODEL_ECORRUPT, "not those of its dtype and shape" },
	{ "UPDATE tensor SET shape = '[' || substr(replace(hex(zeroblob(65)), '00', ',1'), 2) || ']'"
	  " WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: shape" },
	{ "UPDATE tensor SET bytes = 23 WHERE id = 0", LMODEL_ECORRUPT, "not those of its dtype" },
	{ "UPDATE tensor SET source = 1 WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: source" },
	{ "UPDATE tensor SET member = 4 WHERE id = 0", LMODEL_ECORRUPT, "tensor 0: member" },
	{ "UPDATE tensor SET member = 3 WHERE id = 0", LMODEL_ECORRUPT, "member does not fit" },
	{ "UPDATE tensor SET member = 2, alias = NULL WHERE id = 1", LMODEL_ECORRUPT, "used twice" },
	{ "UPDATE tensor SET member = NULL WHERE id = 0", LMODEL_ECORRUPT, "either a member or an" },
	{ "UPDATE tensor SET member = 2 WHERE id = 1", LMODEL_ECORRUPT, "either a member or an alias" },
	{ "UPDATE tensor SET alias = 1 WHERE id = 1", LMODEL_ECORRUPT, "tensor 1: alias" },
	{ "UPDATE tensor SET alias = 2 WHERE id = 1", LMODEL_ECORRUPT, "tensor 1: alias" },
	{ "UPDATE tensor SET dtype = 'I32' WHERE id = 1", LMODEL_ECORRUPT, "alias does not fit" },
	{ "UPDATE tensor SET alias = 1, member = NULL, dtype = 'F32', shape = '[6]', bytes = 24"
	  " WHERE id = 2", LMODEL_ECORRUPT, "alias does not fit its target" },
	/* dead */
	{ "UPDATE dead SET offset = offset + 1", LMODEL_ECORRUPT, "dead 0: offset and length" },
	{ "UPDATE dead SET length = -1", LMODEL_ECORRUPT, "dead 0: length" },
	{ "UPDATE dead SET length = 1048576", LMODEL_ECORRUPT, "dead 0: offset and length" },
	{ "UPDATE dead SET state = 'gone'", LMODEL_ECORRUPT, "state is not defined" },
	{ "UPDATE dead SET offset = (SELECT offset FROM member WHERE id = 2), length = 1",
	  LMODEL_ECORRUPT, "dead 0: overlaps live data" },
	{ "INSERT INTO dead SELECT * FROM dead", LMODEL_ECORRUPT, "dead 1: overlaps" },
	{ "UPDATE dead SET rowid = 7", LMODEL_ECORRUPT, "dead 0: id is out of order" },
	/* schema */
	{ "CREATE TABLE more (a)", LMODEL_ECORRUPT, "schema" },
	{ "CREATE VIEW v AS SELECT * FROM tensor", LMODEL_ECORRUPT, "schema" },
	{ "CREATE INDEX i ON tensor (name)", LMODEL_ECORRUPT, "schema" },
	{ "CREATE TRIGGER t AFTER INSERT ON tensor BEGIN DELETE FROM dead; END", LMODEL_ECORRUPT,
	  "schema" },
	{ "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES"
	  " ('table', 'f', 'f', 0, 'CREATE VIRTUAL TABLE f USING f(a)')", LMODEL_ECORRUPT, "" },
	{ "DROP TABLE statement", LMODEL_ECORRUPT, "statement 0: row is missing" },
	{ "DROP TABLE tensor", LMODEL_ECORRUPT, "" },
	{ "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rowid = 100 WHERE name = 'member'",
	  LMODEL_ECORRUPT, "schema" },
	{ "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM sqlite_schema"
	  " WHERE name = 'dead'", LMODEL_ECORRUPT, "" },
	{ "ALTER TABLE dead ADD COLUMN more INTEGER", LMODEL_ECORRUPT, "schema" },
	{ "ALTER TABLE dead RENAME COLUMN state TO stat", LMODEL_ECORRUPT, "schema" },
	{ "PRAGMA user_version = 4", LMODEL_EUNSUPPORTED, "schema version 4" },
	{ "PRAGMA application_id = 1", LMODEL_ECORRUPT, "application id" },
	{ "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')",
	  LMODEL_ECORRUPT, "" },
	{ "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE rootpage > 2",
	  LMODEL_ECORRUPT, "damaged" },
};

static void test_hostile(const uint8_t *image, uint64_t len)
{
	for (size_t i = 0; i < LM_COUNT(hostile); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_manifest m;
		uint64_t out_len;
		uint8_t *out = altered(image, len, hostile[i].sql, &out_len);
		int r = lm_manifest_load(&m, out, out_len, BEGIN, COMMITTED, "'x'", &error);

		is_error(&error, hostile[i].code, hostile[i].message, hostile[i].sql);
		if (r != (int)hostile[i].code)
			ok(0, "... returned %d", r);
		if (r == LMODEL_OK)
			lm_manifest_free(&m);
		sqlite3_free(out);
	}
}

/* Changes that are allowed, so that the refusals above are for their own reason. */
static void test_harmless(const uint8_t *image, uint64_t len)
{
	static const char *const sql[] = {
		"SELECT 1", "UPDATE tensor SET name = 'z' WHERE id = 2", "VACUUM", "DELETE FROM dead",
		JOINED, "DROP TABLE dead", "DROP TABLE signature; DROP TABLE key_slot",
		"UPDATE tensor SET shape = '[6]' WHERE id = 0", "DELETE FROM metadata",
		"UPDATE source SET bytes = 9223372036854775807",
	};

	for (size_t i = 0; i < LM_COUNT(sql); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_manifest m;
		uint64_t out_len;
		uint8_t *out = altered(image, len, sql[i], &out_len);

		is_int(lm_manifest_load(&m, out, out_len, BEGIN, COMMITTED, "'x'", &error), LMODEL_OK,
		       sql[i]);
		is_str(error.message, "", "... without a message");
		lm_manifest_free(&m);
		sqlite3_free(out);
	}
}

/* ---- a tier that holds side files alone ---- */

#define ZEROS "zeroblob(32)"
#define SEALED \
	"DELETE FROM dead; UPDATE archive SET must_understand = 'tiers';" \
	"INSERT INTO tier VALUES (0, 'gold', 1, 'pss', 'dprm', 'default', 'equal', '0', " ZEROS ", " \
	ZEROS ", " ZEROS ", " ZEROS ", 524288, 524800);" \
	"INSERT INTO owner VALUES (" ZEROS ", zeroblob(64), 1, zeroblob(100));" \
	"INSERT INTO sealed VALUES (0, 'a/k.json', 0, 328, " ZEROS "), (1, 'l', 0, 600, " ZEROS ");"

static void test_sealed(const uint8_t *image, uint64_t len)
{
	static const struct { const char *sql; enum lmodel_code code; const char *message; } all[] = {
		{ SEALED, LMODEL_OK, "" },
		{ SEALED "INSERT INTO dead VALUES (523264, 0, 'pending')", LMODEL_OK, "" },
		{ SEALED "DELETE FROM sealed", LMODEL_ECORRUPT, "has neither shard nor side file" },
		{ SEALED "UPDATE sealed SET name = '../k' WHERE id = 0", LMODEL_ECORRUPT,
		  "sealed 0: name is not a safe" },
		{ SEALED "UPDATE sealed SET name = 'a'", LMODEL_ECORRUPT, "two files are named 'a'" },
		{ SEALED "UPDATE sealed SET name = 'a' WHERE id = 1", LMODEL_ECORRUPT,
		  "'a' is the name of a file and of a directory" },
		{ SEALED "UPDATE sealed SET name = 'config0.json' WHERE id = 1", LMODEL_ECORRUPT,
		  "two files are named 'config0.json'" },
		{ SEALED "UPDATE sealed SET name = 'config0.json/x' WHERE id = 1", LMODEL_ECORRUPT,
		  "'config0.json' is the name of a file and of a directory" },
		{ SEALED "UPDATE sealed SET name = 'm0.safetensors'", LMODEL_ECORRUPT,
		  "two files are named" },
		{ SEALED "UPDATE sealed SET tier = 1", LMODEL_ECORRUPT, "sealed 0: tier" },
		{ SEALED "UPDATE sealed SET tier = -1", LMODEL_ECORRUPT, "sealed 0: tier" },
		{ SEALED "UPDATE sealed SET length = 71", LMODEL_ECORRUPT, "sealed 0: content" },
		{ SEALED "UPDATE sealed SET length = 1048576 WHERE id = 1", LMODEL_ECORRUPT,
		  "reaches past the end" },
		{ SEALED "UPDATE sealed SET length = 9223372036854775807", LMODEL_ECORRUPT,
		  "sealed 0: content" },
		{ SEALED "UPDATE sealed SET digest = zeroblob(31)", LMODEL_ECORRUPT,
		  "sealed 0: content" },
		{ SEALED "UPDATE sealed SET id = 2 WHERE id = 1", LMODEL_ECORRUPT,
		  "id is out of order" },
		{ SEALED "UPDATE tier SET values_offset = 524288", LMODEL_ECORRUPT,
		  "members overlap" },
		{ SEALED "INSERT INTO tier SELECT 1, 'top', generation, selection, mask, unit, scope, "
		  "amount, key_commitment, position_commitment, key_mac, position_mac, 529408, 529920 "
		  "FROM tier; UPDATE sealed SET tier = 1 - id", LMODEL_ECORRUPT,
		  "sealed 1: is out of order" },
		{ SEALED "DELETE FROM tier; DELETE FROM owner; UPDATE archive SET must_understand = ''",
		  LMODEL_ECORRUPT, "sealed 0: tier" },
	};

	for (size_t i = 0; i < LM_COUNT(all); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_manifest m;
		uint64_t out_len;
		uint8_t *out = altered(image, len, all[i].sql, &out_len);
		int r = lm_manifest_load(&m, out, out_len, BEGIN, COMMITTED, "'x'", &error);
		const char *what = all[i].sql + strlen(SEALED);

		if (all[i].code != LMODEL_OK) {
			is_error(&error, all[i].code, all[i].message, what);
		} else {
			is_str(error.message, "", what);
			is_int(r == LMODEL_OK ? (intmax_t)m.tiers[0].length[LM_VALUES] : -1, 928,
			       "... streams back to back");
			is_int(r == LMODEL_OK ? (intmax_t)m.sealed[1].stream.offset : -1, 328,
			       "... the second behind the first");
		}
		if (r == LMODEL_OK)
			lm_manifest_free(&m);
		sqlite3_free(out);
	}
}

/* ---- changes of keys alone ---- */

enum { PIECE = 16 };

static void fill(uint8_t **bytes, size_t *len, size_t most)
{
	*len = 40 + draw(most);
	*bytes = must(malloc(*len));
	for (size_t i = 0; i < *len; i++)
		(*bytes)[i] = (uint8_t)draw(256);
}

static size_t some_length(void)
{
	static const size_t most[] = { 60, 600, 600, 5000, 16000 };

	return most[draw(LM_COUNT(most))];
}

static void add_slot(struct lm_manifest *m)
{
	struct lm_slot_row *s;
	bool passphrase = draw(3) == 0;

	m->slots = must(realloc(m->slots, (m->slot_count + 1) * sizeof(*m->slots)));
	s = &m->slots[m->slot_count];
	*s = (struct lm_slot_row){ .id = m->slot_count > 0 ? s[-1].id + 1 + (unsigned)draw(3) : 1 };
	m->slot_count++;
	s->kind = must(lm_strdup(passphrase ? "passphrase" : "X25519", NULL));
	fill(&s->grant, &s->grant_len, some_length());
	if (passphrase)
		fill(&s->identity, &s->identity_len, some_length());
}

/* Whether a piece of the bytes is anywhere in the image. */
static bool is_left(const uint8_t *image, uint64_t len, const uint8_t *bytes, size_t count)
{
	bool found = false;

	for (size_t at = 0; at + PIECE <= count && !found; at += PIECE)
		found = memmem(image, len, bytes + at, PIECE) != NULL;
	return found;
}

struct gone {
	uint8_t *bytes[400];
	size_t len[400], count;
};

static void put_gone(struct gone *g, uint8_t *bytes, size_t len)
{
	if (g->count == LM_COUNT(g->bytes))
		abort();
	g->bytes[g->count] = bytes;
	g->len[g->count++] = len;
}

static void take_slot(struct lm_manifest *m, size_t i, struct gone *g)
{
	struct lm_slot_row *s = &m->slots[i];

	put_gone(g, s->grant, s->grant_len);
	if (s->identity != NULL)
		put_gone(g, s->identity, s->identity_len);
	free(s->kind);
	memmove(s, s + 1, (--m->slot_count - i) * sizeof(*s));
}

/* Someone in, someone out, or both; the book is always another one. */
static void change_keys(struct lm_manifest *m, struct gone *g)
{
	size_t in = draw(3), out = draw(3);

	for (size_t i = 0; i < out && m->slot_count > 0; i++)
		take_slot(m, draw(m->slot_count), g);
	for (size_t i = 0; i < in; i++)
		add_slot(m);
	put_gone(g, m->owner.book, m->owner.book_len);
	fill(&m->owner.book, &m->owner.book_len, some_length());
	m->owner.book_counter++;
	if (m->signature_count > 0) {
		put_gone(g, m->signatures[0].bytes, m->signatures[0].len);
		free(m->signatures[0].kind);
		m->signature_count = 0;
	} else {
		m->signatures = must(realloc(m->signatures, sizeof(*m->signatures)));
		m->signatures[0].kind = must(lm_strdup("sshsig", NULL));
		fill(&m->signatures[0].bytes, &m->signatures[0].len, 700);
		m->signature_count = 1;
	}
}

/* After each change the image opens, is the manifest, and has not a piece of what was taken out. */
static void test_keys(const uint8_t *sound, uint64_t sound_len, const char *sql)
{
	unsigned changed = 0, rebuilt = 0, bad = 0, leaks = 0, unseen = 0;
	uint64_t len;
	uint8_t *image = altered(sound, sound_len, sql, &len);
	struct gone *g = must(calloc(1, sizeof(*g)));
	struct lm_manifest m, n;

	if (lm_manifest_load(&m, image, len, BEGIN, COMMITTED, "'x'", NULL) != LMODEL_OK)
		abort();
	/* Zeros would be found anywhere. */
	free(m.owner.book);
	fill(&m.owner.book, &m.owner.book_len, 600);
	for (unsigned round = 0; round < 60; round++) {
		struct lmodel_error error = LMODEL_ERROR_INIT, other = LMODEL_ERROR_INIT;
		uint8_t *next = NULL;
		uint64_t next_len = 0;

		change_keys(&m, g);
		bad += lm_manifest_store_keys(&m, image, len, &next, &next_len, &error) != LMODEL_OK;
		changed += next != NULL;
		rebuilt += next == NULL;
		if (next == NULL && lm_manifest_store(&m, &next, &next_len, &error) != LMODEL_OK)
			abort();
		bad += lm_manifest_check_keys(&m, next, next_len, "'x'", &error) != LMODEL_OK;
		if (lm_manifest_load(&n, next, next_len, BEGIN, COMMITTED, "'x'", &error) == LMODEL_OK) {
			bad += !same_members(&m, &n) || !same_tensors(&m, &n) || !same_rest(&m, &n);
			lm_manifest_free(&n);
		} else {
			bad++;
		}
		if (error.message[0] != '\0')
			printf("# %s\n", error.message);
		for (size_t i = 0; i < g->count; i++)
			leaks += is_left(next, next_len, g->bytes[i], g->len[i]);
		unseen += !is_left(next, next_len, m.owner.book, m.owner.book_len);
		m.owner.book_counter++;
		bad += lm_manifest_check_keys(&m, next, next_len, "'x'", &other) != LMODEL_EFAILED;
		sqlite3_free(image);
		image = next;
		len = next_len;
	}
	is_int(bad, 0, "60 changes of keys: each image opens, and is what was stored");
	is_int(leaks, 0, "... and has no piece of slots, books and signatures before");
	is_int(unseen, 0, "... but of the book of now");
	ok(changed >= 10, "... %u in place", changed);
	ok(rebuilt >= 1, "... %u anew, since pages were left over or a table not there", rebuilt);
	sqlite3_free(image);
	for (size_t i = 0; i < g->count; i++)
		free(g->bytes[i]);
	free(g);
	lm_manifest_free(&m);
}

/* ---- damage ---- */

static void load_any(const uint8_t *image, uint64_t len, unsigned *odd)
{
	/* Of exactly this size, so that a sanitizer sees the first byte too far. */
	LM_FREE uint8_t *copy = must(malloc(len + (len == 0)));
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_manifest m;
	int r;

	memcpy(copy, image, len);
	r = lm_manifest_load(&m, copy, len, BEGIN, COMMITTED, "'x'", &error);
	*odd += r != (int)error.code || (r != LMODEL_OK && r != LMODEL_ECORRUPT &&
					 r != LMODEL_EUNSUPPORTED);
	if (r == LMODEL_OK)
		lm_manifest_free(&m);
}

static void test_damage(uint8_t *image, uint64_t len)
{
	unsigned odd = 0;

	for (uint64_t at = 0; at < len; at += at < 200 ? 1 : 7) {
		uint8_t was = image[at];

		image[at] ^= (uint8_t)(1u << draw(8));
		load_any(image, len, &odd);
		image[at] = was;
	}
	is_int(odd, 0, "a flipped bit anywhere: sound, damaged or newer, never worse");
	for (uint64_t cut = 0; cut < len; cut += 1 + cut / 16)
		load_any(image, cut, &odd);
	is_int(odd, 0, "cut at many lengths");
	image[18] = 1;
	is_int(load(&(struct lm_manifest){ 0 }, image, len, &(struct lmodel_error)LMODEL_ERROR_INIT),
	       LMODEL_ECORRUPT, "a writable image");
	image[18] = 3;
}

int main(void)
{
	struct lm_manifest m;
	uint8_t *image = NULL;
	uint64_t len = 0;

	joining = true;
	test_round_trip();
	joining = false;
	m = sample();
	if (lm_manifest_store(&m, &image, &len, NULL) != LMODEL_OK)
		abort();
	test_harmless(image, len);
	test_hostile(image, len);
	test_sealed(image, len);
	test_keys(image, len, SEALED);
	test_keys(image, len, SEALED "PRAGMA page_size = 4096; VACUUM");
	test_damage(image, len);
	lm_manifest_image_free(image);
	lm_manifest_free(&m);
	return done();
}
