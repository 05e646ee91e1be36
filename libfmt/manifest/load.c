/* An untrusted SQLite image to structs: every column's type, every value's range, every
 * reference between rows (spec: 3). */
#include <sqlite3.h>
#include <stdio.h>

#include "container/layout.h"
#include "manifest/hardened.h"
#include "manifest/manifest.h"

/* One table being read. */
struct table {
	sqlite3_stmt *statement;
	const char *name;
	const char *label;         /* of the archive */
	uint64_t row;
	struct lmodel_error *error;
};

struct load {
	struct lm_manifest *m;
	sqlite3 *db;
	uint64_t members_begin, committed_len;
	const char *label;
	struct lmodel_error *error;
};

static void finalize(struct table *t)
{
	sqlite3_finalize(t->statement);
}

static int bad(const struct table *t, const char *what)
{
	return lm_fail(t->error, LMODEL_ECORRUPT, "%s: manifest: %s %ju: %s", t->label, t->name,
		       (uintmax_t)t->row, what);
}

static int open_table(struct table *t, const struct load *l, const char *name, const char *sql)
{
	*t = (struct table){ .name = name, .label = l->label, .error = l->error };
	if (sqlite3_prepare_v2(l->db, sql, -1, &t->statement, NULL) != SQLITE_OK)
		return lm_fail(l->error, LMODEL_ECORRUPT, "%s: manifest: %s: %s", l->label, name,
			       sqlite3_errmsg(l->db));
	return LMODEL_OK;
}

/* Steps to the next row: LMODEL_OK with `*more`, or a failure. */
static int next_row(struct table *t, bool *more)
{
	int r = sqlite3_step(t->statement);

	*more = r == SQLITE_ROW;
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		return LMODEL_OK;
	return bad(t, "cannot be read");
}

/* ---- columns ---- */

static int get_int(struct table *t, int column, const char *what, uint64_t max, uint64_t *value)
{
	sqlite3_int64 v = sqlite3_column_int64(t->statement, column);

	if (sqlite3_column_type(t->statement, column) != SQLITE_INTEGER || v < 0 || (uint64_t)v > max)
		return bad(t, what);
	*value = (uint64_t)v;
	return LMODEL_OK;
}

/* A row number below `count`, or LM_NONE for NULL where that may be. */
static int get_row(struct table *t, int column, const char *what, size_t count, bool optional,
		   size_t *value)
{
	uint64_t v;

	if (optional && sqlite3_column_type(t->statement, column) == SQLITE_NULL) {
		*value = LM_NONE;
		return LMODEL_OK;
	}
	if (count == 0 || get_int(t, column, what, count - 1, &v))
		return bad(t, what);
	*value = (size_t)v;
	return LMODEL_OK;
}

/* Valid UTF-8 without NUL, at most `limit` bytes, in fresh memory. */
static int get_text(struct table *t, int column, const char *what, size_t limit, char **value)
{
	const char *text = (const char *)sqlite3_column_text(t->statement, column);
	size_t len = (size_t)sqlite3_column_bytes(t->statement, column);

	if (sqlite3_column_type(t->statement, column) != SQLITE_TEXT || text == NULL || len > limit ||
	    strlen(text) != len || !lm_utf8_valid(text, len))
		return bad(t, what);
	*value = lm_strdup(text, t->error);
	return *value == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

/* The id column counts from 0 without gaps. */
static int check_id(struct table *t)
{
	if (sqlite3_column_type(t->statement, 0) != SQLITE_INTEGER ||
	    sqlite3_column_int64(t->statement, 0) != (sqlite3_int64)t->row)
		return bad(t, "id is out of order");
	return LMODEL_OK;
}

/* ---- rows ---- */

static bool is_uuid(const char *s)
{
	if (strlen(s) != 36)
		return false;
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : strchr("0123456789abcdef", s[i]) == NULL)
			return false;
	}
	return true;
}

static int read_archive(struct table *t, struct lm_manifest *m)
{
	LM_FREE char *id = NULL;
	uint64_t format, created;

	if (get_text(t, 0, "id is not a UUID", 36, &id) || !is_uuid(id))
		return bad(t, "id is not a UUID");
	memcpy(m->id, id, sizeof(m->id));
	if (get_int(t, 1, "format", UINT32_MAX, &format))
		return LMODEL_ECORRUPT;
	if (format != 1)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED,
			       "%s: format version %ju; this lmodel knows 1", t->label,
			       (uintmax_t)format);
	m->format = (uint32_t)format;
	if (get_int(t, 2, "content generation", INT64_MAX, &m->content_generation) ||
	    get_int(t, 3, "creation time", INT64_MAX, &created) ||
	    get_text(t, 4, "tool", 255, &m->tool) ||
	    get_text(t, 5, "source format", 255, &m->source_format) ||
	    get_text(t, 6, "must_understand", 4096, &m->must_understand))
		return LMODEL_ECORRUPT;
	m->created = (int64_t)created;
	/* No optional feature exists yet, so the first one named is one too many. */
	if (m->must_understand[0] != '\0') {
		m->must_understand[strcspn(m->must_understand, "\n")] = '\0';
		return lm_fail(t->error, LMODEL_EUNSUPPORTED, "%s: needs the feature %s", t->label,
			       LM_QUOTE(m->must_understand));
	}
	return LMODEL_OK;
}

static int read_chunks(struct table *t, struct lm_member *b)
{
	const uint8_t *index = sqlite3_column_blob(t->statement, 7);
	uint64_t size = (uint64_t)sqlite3_column_bytes(t->statement, 7);
	uint64_t count = b->bytes / b->chunk_bytes + (b->bytes % b->chunk_bytes != 0), stored = 0;

	if (sqlite3_column_type(t->statement, 7) != SQLITE_BLOB || size % 4 != 0 || size / 4 != count ||
	    count > UINT32_MAX)
		return bad(t, "chunk index does not fit the size");
	b->chunk_count = (uint32_t)count;
	b->chunks = malloc(size > 0 ? size : 1);
	if (b->chunks == NULL)
		return lm_fail_memory(t->error);
	for (uint32_t i = 0; i < b->chunk_count; i++) {
		uint32_t entry = lm_get_u32(index + 4 * (size_t)i), len = entry & LM_CHUNK_LEN_MASK;

		if (entry >> LM_CHUNK_LEN_BITS > LM_METHOD_PLANES)
			return bad(t, "chunk method is not defined");
		if (len == 0 || len > lm_member_chunk_raw(b, i))
			return bad(t, "chunk length is out of range");
		b->chunks[i] = entry;
		stored += len;
	}
	if (b->length != stored + count * LM_SHA256_SIZE)
		return bad(t, "length is not that of its chunks");
	return LMODEL_OK;
}

static int read_member(struct load *l, struct table *t, size_t index)
{
	struct lm_member *b = &l->m->members[index];
	const struct lm_member *before = index > 0 ? b - 1 : NULL;
	uint64_t begin = before == NULL ? l->members_begin : lm_align(before->offset + before->length,
								      LM_TAR_BLOCK);
	LM_FREE char *coding = NULL;
	const void *digest;

	if (get_text(t, 1, "path", 100, &b->path) || get_int(t, 2, "offset", l->committed_len, &b->offset) ||
	    get_int(t, 3, "length", l->committed_len, &b->length) ||
	    get_int(t, 4, "bytes", INT64_MAX, &b->bytes) || get_text(t, 5, "coding", 3, &coding) ||
	    get_int(t, 6, "chunk size", LMODEL_CHUNK_MAX, &b->chunk_bytes))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(b->path))
		return bad(t, "path is not safe");
	/* Members stand in the file in this order, each behind a tar header. */
	if (b->offset % LM_TAR_BLOCK != 0 || b->offset < begin + LM_TAR_BLOCK ||
	    b->length > l->committed_len - b->offset)
		return bad(t, "offset and length are out of range");
	if (!lm_coding_parse(coding, &b->coding))
		return bad(t, "coding is not defined");
	memcpy(b->coding_name, coding, strlen(coding) + 1);
	if (b->chunk_bytes < LMODEL_CHUNK_MIN || b->chunk_bytes % LMODEL_CHUNK_MIN != 0)
		return bad(t, "chunk size is out of range");
	digest = sqlite3_column_blob(t->statement, 8);
	if (sqlite3_column_type(t->statement, 8) != SQLITE_BLOB ||
	    sqlite3_column_bytes(t->statement, 8) != LM_SHA256_SIZE)
		return bad(t, "digest");
	memcpy(b->digest, digest, LM_SHA256_SIZE);
	return read_chunks(t, b);
}

static int read_source(struct load *l, struct table *t, size_t index)
{
	struct lm_source_row *s = &l->m->sources[index];

	if (get_text(t, 1, "name", LM_PATH_LIMIT, &s->name) ||
	    get_text(t, 2, "format", 255, &s->format) || get_int(t, 3, "bytes", INT64_MAX, &s->bytes) ||
	    get_row(t, 4, "skeleton", l->m->member_count, false, &s->skeleton))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(s->name))
		return bad(t, "name is not a safe relative path");
	if (strcmp(s->format, "safetensors") != 0)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED, "%s: source %s: format %s is not known",
			       t->label, LM_QUOTE(s->name), LM_QUOTE(s->format));
	return LMODEL_OK;
}

static int read_metadata(struct load *l, struct table *t, size_t index)
{
	struct lm_metadata_row *d = &l->m->metadata[index];

	if (get_row(t, 1, "source", l->m->source_count, false, &d->source) ||
	    get_text(t, 2, "key", SIZE_MAX, &d->key) || get_text(t, 3, "value", SIZE_MAX, &d->value))
		return LMODEL_ECORRUPT;
	return LMODEL_OK;
}

/* "[2,3]": decimal numbers without leading zeros, nothing else. */
static bool parse_shape(const char *text, unsigned *rank, uint64_t **shape)
{
	uint64_t *dims = malloc(64 * sizeof(*dims));
	unsigned n = 0;

	if (dims == NULL || *text++ != '[')
		goto no;
	while (*text != ']') {
		uint64_t v = 0;
		const char *begin;

		if (n == 64 || (n > 0 && *text++ != ','))
			goto no;
		for (begin = text; *text >= '0' && *text <= '9'; text++)
			if (!lm_mul(v, 10, &v) || !lm_add(v, (uint64_t)(*text - '0'), &v))
				goto no;
		if (text == begin || (*begin == '0' && text != begin + 1))
			goto no;
		dims[n++] = v;
	}
	if (text[1] != '\0')
		goto no;
	*rank = n;
	*shape = realloc(dims, LM_MAX(n, 1u) * sizeof(*dims)); /* 512 bytes a tensor add up */
	if (*shape == NULL)
		*shape = dims;
	return true;
no:
	free(dims);
	return false;
}

static int read_tensor(struct load *l, struct table *t, size_t index)
{
	struct lm_tensor_row *row = &l->m->tensors[index];
	LM_FREE char *dtype = NULL;
	LM_FREE char *shape = NULL;
	uint64_t bytes;

	if (get_text(t, 1, "name", 65535, &row->name) || get_text(t, 2, "dtype", 255, &dtype) ||
	    get_text(t, 3, "shape", 2048, &shape) || get_int(t, 4, "bytes", INT64_MAX, &row->bytes) ||
	    get_row(t, 5, "source", l->m->source_count, false, &row->source) ||
	    get_row(t, 6, "member", l->m->member_count, true, &row->member) ||
	    get_row(t, 7, "alias", index, true, &row->alias))
		return LMODEL_ECORRUPT;
	row->dtype = lm_dtype_find(dtype);
	if (row->dtype == NULL)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED, "%s: tensor %s: dtype %s is not known",
			       t->label, LM_QUOTE(row->name), LM_QUOTE(dtype));
	if (!parse_shape(shape, &row->rank, &row->shape))
		return bad(t, "shape");
	if (!lm_dtype_bytes(row->dtype, row->rank, row->shape, &row->elements, &bytes) ||
	    bytes != row->bytes)
		return bad(t, "bytes are not those of its dtype and shape");
	if ((row->member == LM_NONE) == (row->alias == LM_NONE))
		return bad(t, "must have either a member or an alias");
	if (row->alias != LM_NONE) {
		const struct lm_tensor_row *target = &l->m->tensors[row->alias];

		if (target->alias != LM_NONE || target->dtype != row->dtype ||
		    target->bytes != row->bytes)
			return bad(t, "alias does not fit its target");
	} else if (l->m->members[row->member].bytes != row->bytes ||
		   strcmp(l->m->members[row->member].coding_name, row->dtype->coding) != 0) {
		return bad(t, "member does not fit");
	}
	return LMODEL_OK;
}

static int read_attachment(struct load *l, struct table *t, size_t index)
{
	struct lm_attachment_row *a = &l->m->attachments[index];

	if (get_text(t, 1, "name", LM_PATH_LIMIT, &a->name) ||
	    get_row(t, 2, "member", l->m->member_count, false, &a->member))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(a->name))
		return bad(t, "name is not a safe relative path");
	return LMODEL_OK;
}

static int read_dead(struct load *l, struct table *t, size_t index)
{
	struct lm_dead_row *d = &l->m->dead[index];
	LM_FREE char *state = NULL;

	if (get_int(t, 1, "offset", l->committed_len, &d->offset) ||
	    get_int(t, 2, "length", l->committed_len, &d->length) ||
	    get_text(t, 3, "state", 16, &state))
		return LMODEL_ECORRUPT;
	if (d->offset % LM_TAR_BLOCK != 0 || d->offset < l->members_begin + LM_TAR_BLOCK ||
	    d->length > l->committed_len - d->offset || d->length == 0)
		return bad(t, "offset and length are out of range");
	d->pending = strcmp(state, "pending") == 0;
	if (!d->pending && strcmp(state, "zero") != 0)
		return bad(t, "state is not defined");
	return LMODEL_OK;
}

/* ---- tables ---- */

/* Reads a list table. The array grows as rows come: nothing is allocated from a count. */
static int read_list(struct load *l, const char *name, const char *sql, void *array,
		     size_t element, size_t *count,
		     int (*read)(struct load *, struct table *, size_t))
{
	LM_CLEANUP(finalize) struct table t = { 0 };
	size_t capacity = 0;
	bool more;
	int r = open_table(&t, l, name, sql);

	while (r == LMODEL_OK && (r = next_row(&t, &more)) == LMODEL_OK && more) {
		r = lm_grow(array, *count, &capacity, element, l->error);
		if (r != LMODEL_OK)
			break;
		/* Counted before it is read, so that a failure half-way frees what it has. */
		memset(*(char **)array + *count * element, 0, element);
		++*count;
		r = check_id(&t);
		if (r == LMODEL_OK)
			r = read(l, &t, *count - 1);
		t.row++;
	}
	return r;
}

static int read_single(struct load *l)
{
	LM_CLEANUP(finalize) struct table a = { 0 };
	LM_CLEANUP(finalize) struct table s = { 0 };
	bool more;

	if (open_table(&a, l, "archive", "SELECT id, format, content_generation, created, tool, "
		       "source_format, must_understand FROM archive") || next_row(&a, &more))
		return LMODEL_ECORRUPT;
	if (!more)
		return bad(&a, "row is missing");
	if (read_archive(&a, l->m))
		return LMODEL_ECORRUPT;
	if (next_row(&a, &more) || more)
		return bad(&a, "more than one row");
	if (open_table(&s, l, "statement", "SELECT text FROM statement") || next_row(&s, &more))
		return LMODEL_ECORRUPT;
	if (!more)
		return bad(&s, "row is missing");
	if (get_text(&s, 0, "text", 1 << 20, &l->m->statement))
		return LMODEL_ECORRUPT;
	if (next_row(&s, &more) || more)
		return bad(&s, "more than one row");
	return LMODEL_OK;
}

static int read_tables(struct load *l)
{
	struct lm_manifest *m = l->m;

	if (read_single(l) ||
	    read_list(l, "member", "SELECT id, path, offset, length, bytes, coding, chunk_bytes, "
		      "chunks, digest FROM member ORDER BY id", &m->members, sizeof(*m->members),
		      &m->member_count, read_member) ||
	    read_list(l, "source", "SELECT id, name, format, bytes, skeleton FROM source ORDER BY id",
		      &m->sources, sizeof(*m->sources), &m->source_count, read_source) ||
	    read_list(l, "metadata", "SELECT id, source, key, value FROM metadata ORDER BY id",
		      &m->metadata, sizeof(*m->metadata), &m->metadata_count, read_metadata) ||
	    read_list(l, "tensor", "SELECT id, name, dtype, shape, bytes, source, member, alias "
		      "FROM tensor ORDER BY id", &m->tensors, sizeof(*m->tensors), &m->tensor_count,
		      read_tensor) ||
	    read_list(l, "attachment", "SELECT id, name, member FROM attachment ORDER BY id",
		      &m->attachments, sizeof(*m->attachments), &m->attachment_count,
		      read_attachment) ||
	    read_list(l, "dead", "SELECT rowid - 1, offset, length, state FROM dead ORDER BY rowid",
		      &m->dead, sizeof(*m->dead), &m->dead_count, read_dead))
		return (int)l->error->code;
	return LMODEL_OK;
}

int lm_manifest_load(struct lm_manifest *m, const uint8_t *image, uint64_t len,
		     uint64_t members_begin, uint64_t committed_len, const char *label,
		     struct lmodel_error *error)
{
	struct load l = {
		.m = m, .members_begin = members_begin, .committed_len = committed_len,
		.label = label, .error = error,
	};
	int r;

	*m = (struct lm_manifest){ 0 };
	r = lm_sqlite_open_untrusted(&l.db, image, len, label, error);
	if (r != LMODEL_OK)
		return r;
	r = read_tables(&l);
	if (r == LMODEL_OK)
		r = lm_manifest_check(m, label, error);
	sqlite3_close_v2(l.db);
	if (r != LMODEL_OK)
		lm_manifest_free(m);
	return r;
}
