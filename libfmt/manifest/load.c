/* An untrusted SQLite image to structs: every column's type, every value's range, every
 * reference between rows (spec: 3). */
#include <stdio.h>

#include "container/layout.h"
#include "manifest/rows.h"

enum { RANK_MOST = 64 };

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

/* One feature a line, sorted; the first that is not known is named. */
static int check_features(const struct lm_table *t, const char *features)
{
	static const char *const known[] = { LM_MASK_DEEP_LOCK, LM_FEATURE_FORMATS,
					     LM_MASK_PERTURB, LM_FEATURE_TIERS };
	const char *before = NULL;
	bool sorted = true;
	LM_FREE char *copy = lm_strdup(features, t->error);
	char *rest = copy;

	if (copy == NULL)
		return LMODEL_EFAILED;
	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
		bool found = features[0] == '\0';

		for (size_t i = 0; i < LM_COUNT(known); i++)
			found |= strcmp(line, known[i]) == 0;
		if (!found)
			return lm_fail(t->error, LMODEL_EUNSUPPORTED, "%s: needs the feature %s",
				       t->label, LM_QUOTE(line));
		sorted &= before == NULL || strcmp(before, line) < 0;
		before = line;
	}
	return sorted ? LMODEL_OK : lm_table_bad(t, "features are out of order");
}

static int read_archive(struct lm_table *t, struct lm_manifest *m)
{
	LM_FREE char *id = NULL;
	uint64_t format, created;

	if (lm_get_text(t, 0, "id is not a UUID", 36, &id) || !is_uuid(id))
		return lm_table_bad(t, "id is not a UUID");
	memcpy(m->id, id, sizeof(m->id));
	if (lm_get_int(t, 1, "format", UINT32_MAX, &format))
		return LMODEL_ECORRUPT;
	if (format != 1)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED,
			       "%s: format version %ju; this lmodel knows 1", t->label,
			       (uintmax_t)format);
	m->format = (uint32_t)format;
	if (lm_get_int(t, 2, "content generation", INT64_MAX, &m->content_generation) ||
	    lm_get_int(t, 3, "creation time", INT64_MAX, &created) ||
	    lm_get_text(t, 4, "tool", 255, &m->tool) ||
	    lm_get_text(t, 5, "source format", 255, &m->source_format) ||
	    lm_get_text(t, 6, "must_understand", 4096, &m->must_understand))
		return LMODEL_ECORRUPT;
	m->created = (int64_t)created;
	return check_features(t, m->must_understand);
}

static int read_chunks(struct lm_table *t, struct lm_member *b)
{
	uint64_t count = b->bytes / b->chunk_bytes + (b->bytes % b->chunk_bytes != 0), stored = 0;
	const uint8_t *index;
	size_t size;

	if (!lm_see_blob(t, 7, &index, &size) || size % 4 != 0 || size / 4 != count ||
	    count > UINT32_MAX)
		return lm_table_bad(t, "chunk index does not fit the size");
	b->chunk_count = (uint32_t)count;
	b->chunks = lm_arena_take(t->arena, size, 4);
	if (b->chunks == NULL)
		return lm_fail_memory(t->error);
	for (uint32_t i = 0; i < b->chunk_count; i++) {
		uint32_t entry = lm_get_u32(index + 4 * (size_t)i), len = entry & LM_CHUNK_LEN_MASK;

		if (entry >> LM_CHUNK_LEN_BITS > LM_METHOD_TURNED)
			return lm_table_bad(t, "chunk method is not defined");
		if (len == 0 || len > lm_member_chunk_raw(b, i))
			return lm_table_bad(t, "chunk length is out of range");
		b->chunks[i] = entry;
		stored += len;
	}
	if (b->length != stored + lm_member_list(b))
		return lm_table_bad(t, "length is not that of its chunks");
	return LMODEL_OK;
}

/* None of its own: the data are in the tar member of the row before. */
static int read_path(struct lm_table *t, struct lm_member *b, const struct lm_member *before)
{
	const char *path;
	size_t len;

	if (lm_see_text(t, 1, "path", 100, &path, &len))
		return LMODEL_ECORRUPT;
	if (len == 0 && before != NULL) {
		b->joined = true;
		b->path = before->path;
		return LMODEL_OK;
	}
	if (lm_keep_text(t, 1, "path", 100, &b->path))
		return LMODEL_ECORRUPT;
	return lm_path_is_safe(b->path) ? LMODEL_OK : lm_table_bad(t, "path is not safe");
}

/* Members stand in the file in this order, each behind a tar header or right behind the one that it
 * is joined to. */
static bool is_in_place(const struct lm_load *l, const struct lm_member *b,
			const struct lm_member *before)
{
	uint64_t end = before == NULL ? l->members_begin : before->offset + before->length;

	if (b->joined)
		return b->offset == end;
	return b->offset % LM_TAR_BLOCK == 0 &&
	       b->offset >= lm_align(end, LM_TAR_BLOCK) + LM_TAR_BLOCK;
}

static int read_member(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_member *b = &l->m->members[index];
	const struct lm_member *before = index > 0 ? b - 1 : NULL;

	if (read_path(t, b, before) ||
	    lm_get_int(t, 2, "offset", l->committed_len, &b->offset) ||
	    lm_get_int(t, 3, "length", l->committed_len, &b->length) ||
	    lm_get_int(t, 4, "bytes", INT64_MAX, &b->bytes) ||
	    lm_copy_text(t, 5, "coding", b->coding_name, sizeof(b->coding_name)) ||
	    lm_get_int(t, 6, "chunk size", LMODEL_CHUNK_MAX, &b->chunk_bytes))
		return LMODEL_ECORRUPT;
	if (!is_in_place(l, b, before) || b->length > l->committed_len - b->offset)
		return lm_table_bad(t, "offset and length are out of range");
	if (!lm_coding_parse(b->coding_name, &b->coding))
		return lm_table_bad(t, "coding is not defined");
	if (b->chunk_bytes < LMODEL_CHUNK_MIN || b->chunk_bytes % LMODEL_CHUNK_MIN != 0)
		return lm_table_bad(t, "chunk size is out of range");
	if (lm_get_bytes(t, 8, "digest", b->digest, sizeof(b->digest)))
		return LMODEL_ECORRUPT;
	return read_chunks(t, b);
}

static int read_source(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_source_row *s = &l->m->sources[index];

	if (lm_get_text(t, 1, "name", LM_PATH_LIMIT, &s->name) ||
	    lm_get_text(t, 2, "format", 255, &s->format) ||
	    lm_get_int(t, 3, "bytes", INT64_MAX, &s->bytes) ||
	    lm_get_row(t, 4, "skeleton", l->m->member_count, false, &s->skeleton))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(s->name))
		return lm_table_bad(t, "name is not a safe relative path");
	if (lm_format_known(s->format) == NULL)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED,
			       "%s: source %s: format %s is not known", t->label, LM_QUOTE(s->name),
			       LM_QUOTE(s->format));
	return LMODEL_OK;
}

static int read_metadata(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_metadata_row *d = &l->m->metadata[index];

	if (lm_get_row(t, 1, "source", l->m->source_count, false, &d->source) ||
	    lm_get_text(t, 2, "key", SIZE_MAX, &d->key) ||
	    lm_get_text(t, 3, "value", SIZE_MAX, &d->value))
		return LMODEL_ECORRUPT;
	return LMODEL_OK;
}

/* "[2,3]": decimal numbers without leading zeros, nothing else. */
static bool parse_shape(const char *text, size_t len, unsigned *rank, uint64_t dims[RANK_MOST])
{
	const char *end = text + len;
	unsigned n = 0;

	if (len < 2 || *text++ != '[' || *--end != ']')
		return false;
	while (text < end) {
		uint64_t v = 0;
		const char *begin;

		if (n == RANK_MOST || (n > 0 && *text++ != ','))
			return false;
		for (begin = text; text < end && *text >= '0' && *text <= '9'; text++)
			if (!lm_mul(v, 10, &v) || !lm_add(v, (uint64_t)(*text - '0'), &v))
				return false;
		if (text == begin || (*begin == '0' && text != begin + 1))
			return false;
		dims[n++] = v;
	}
	*rank = n;
	return true;
}

/* Mostly the one before has it, too. */
static const struct lm_dtype *find_dtype(const struct lm_tensor_row *row, size_t index,
					 const char *name)
{
	if (index > 0 && strcmp(row[-1].dtype->name, name) == 0)
		return row[-1].dtype;
	return lm_dtype_find(name);
}

/* Whoever writes the files of a folder takes it off the names of tensors (spec: 3.6). */
static bool in_folder(const char *tensor, const char *source)
{
	const char *slash = strrchr(source, '/');

	return slash == NULL || strncmp(tensor, source, (size_t)(slash + 1 - source)) == 0;
}

static int read_tensor(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_tensor_row *row = &l->m->tensors[index];
	char dtype[256];
	const char *shape;
	uint64_t bytes, dims[RANK_MOST];
	size_t len;

	if (lm_keep_text(t, 1, "name", 65535, &row->name) ||
	    lm_copy_text(t, 2, "dtype", dtype, sizeof(dtype)) ||
	    lm_see_text(t, 3, "shape", 2048, &shape, &len) ||
	    lm_get_int(t, 4, "bytes", INT64_MAX, &row->bytes) ||
	    lm_get_row(t, 5, "source", l->m->source_count, false, &row->source) ||
	    lm_get_row(t, 6, "member", l->m->member_count, true, &row->member) ||
	    lm_get_row(t, 7, "alias", index, true, &row->alias))
		return LMODEL_ECORRUPT;
	if (!in_folder(row->name, l->m->sources[row->source].name))
		return lm_table_bad(t, "name does not begin with the folder of its source");
	row->dtype = find_dtype(row, index, dtype);
	if (row->dtype == NULL)
		return lm_fail(t->error, LMODEL_EUNSUPPORTED,
			       "%s: tensor %s: dtype %s is not known", t->label,
			       LM_QUOTE(row->name), LM_QUOTE(dtype));
	if (!parse_shape(shape, len, &row->rank, dims))
		return lm_table_bad(t, "shape");
	row->shape = lm_arena_take(t->arena, row->rank * sizeof(*dims), sizeof(*dims));
	if (row->shape == NULL)
		return lm_fail_memory(t->error);
	memcpy(row->shape, dims, row->rank * sizeof(*dims));
	if (!lm_dtype_bytes(row->dtype, row->rank, row->shape, &row->elements, &bytes) ||
	    bytes != row->bytes)
		return lm_table_bad(t, "bytes are not those of its dtype and shape");
	if ((row->member == LM_NONE) == (row->alias == LM_NONE))
		return lm_table_bad(t, "must have either a member or an alias");
	if (row->alias != LM_NONE) {
		const struct lm_tensor_row *target = &l->m->tensors[row->alias];

		if (target->alias != LM_NONE || target->dtype != row->dtype ||
		    target->bytes != row->bytes)
			return lm_table_bad(t, "alias does not fit its target");
	} else if (l->m->members[row->member].bytes != row->bytes ||
		   strcmp(l->m->members[row->member].coding_name, row->dtype->coding) != 0) {
		return lm_table_bad(t, "member does not fit");
	}
	return LMODEL_OK;
}

static int read_attachment(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_attachment_row *a = &l->m->attachments[index];

	if (lm_get_text(t, 1, "name", LM_PATH_LIMIT, &a->name) ||
	    lm_get_row(t, 2, "member", l->m->member_count, false, &a->member))
		return LMODEL_ECORRUPT;
	if (!lm_path_is_safe(a->name))
		return lm_table_bad(t, "name is not a safe relative path");
	return LMODEL_OK;
}

static int read_dead(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_dead_row *d = &l->m->dead[index];
	LM_FREE char *state = NULL;

	if (lm_get_int(t, 1, "offset", l->committed_len, &d->offset) ||
	    lm_get_int(t, 2, "length", l->committed_len, &d->length) ||
	    lm_get_text(t, 3, "state", 16, &state))
		return LMODEL_ECORRUPT;
	if (d->offset % LM_TAR_BLOCK != 0 || d->offset < l->members_begin + LM_TAR_BLOCK ||
	    d->length > l->committed_len - d->offset)
		return lm_table_bad(t, "offset and length are out of range");
	d->pending = strcmp(state, "pending") == 0;
	if (!d->pending && strcmp(state, "zero") != 0)
		return lm_table_bad(t, "state is not defined");
	return LMODEL_OK;
}

/* ---- tables ---- */

static int read_single(struct lm_load *l)
{
	LM_CLEANUP(lm_table_close) struct lm_table a = { 0 };
	LM_CLEANUP(lm_table_close) struct lm_table s = { 0 };
	bool more;

	if (lm_table_open(&a, l, "archive", "SELECT id, format, content_generation, created, tool, "
		       "source_format, must_understand FROM archive") || lm_table_next(&a, &more))
		return LMODEL_ECORRUPT;
	if (!more)
		return lm_table_bad(&a, "row is missing");
	if (read_archive(&a, l->m))
		return LMODEL_ECORRUPT;
	if (lm_table_next(&a, &more) || more)
		return lm_table_bad(&a, "more than one row");
	if (lm_table_open(&s, l, "statement", "SELECT text FROM statement") ||
	    lm_table_next(&s, &more))
		return LMODEL_ECORRUPT;
	if (!more)
		return lm_table_bad(&s, "row is missing");
	if (lm_get_text(&s, 0, "text", 1 << 20, &l->m->statement))
		return LMODEL_ECORRUPT;
	if (lm_table_next(&s, &more) || more)
		return lm_table_bad(&s, "more than one row");
	return LMODEL_OK;
}

static int read_tables(struct lm_load *l)
{
	struct lm_manifest *m = l->m;

	if (read_single(l) ||
	    lm_read_list(l, "member",
			 "SELECT id, path, offset, length, bytes, coding, chunk_bytes, "
			 "chunks, digest FROM member ORDER BY id",
			 &m->members, sizeof(*m->members), &m->member_count, read_member) ||
	    lm_read_list(l, "source",
			 "SELECT id, name, format, bytes, skeleton FROM source ORDER BY id",
			 &m->sources, sizeof(*m->sources), &m->source_count, read_source) ||
	    lm_read_list(l, "metadata", "SELECT id, source, key, value FROM metadata ORDER BY id",
			 &m->metadata, sizeof(*m->metadata), &m->metadata_count, read_metadata) ||
	    lm_read_list(l, "tensor",
			 "SELECT id, name, dtype, shape, bytes, source, member, alias "
			 "FROM tensor ORDER BY id",
			 &m->tensors, sizeof(*m->tensors), &m->tensor_count, read_tensor) ||
	    lm_read_list(l, "attachment", "SELECT id, name, member FROM attachment ORDER BY id",
			 &m->attachments, sizeof(*m->attachments), &m->attachment_count,
			 read_attachment) ||
	    lm_read_list(l, "dead",
			 "SELECT rowid - 1, offset, length, state FROM dead ORDER BY rowid",
			 &m->dead, sizeof(*m->dead), &m->dead_count, read_dead) ||
	    lm_load_tiers(l))
		return (int)l->error->code;
	return LMODEL_OK;
}

int lm_manifest_load(struct lm_manifest *m, const uint8_t *image, uint64_t len,
		     uint64_t members_begin, uint64_t committed_len, const char *label,
		     struct lmodel_error *error)
{
	struct lm_load l = {
		.m = m, .members_begin = members_begin, .committed_len = committed_len,
		.label = label, .error = error,
	};
	int r;

	*m = (struct lm_manifest){ 0 };
	r = lm_sqlite_open_untrusted(&l.db, image, len, NULL, 0, label, error);
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
