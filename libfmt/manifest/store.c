/* Structs to an SQLite image. */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>

#include "manifest/hardened.h"
#include "manifest/manifest.h"

/* A statement and where it runs. It is compiled for the first row: a table without one is not
 * there. */
struct insert {
	sqlite3 *db;
	const char *sql;
	sqlite3_stmt *statement;
};

static void finalize(struct insert *i)
{
	sqlite3_finalize(i->statement);
}

static int fail(sqlite3 *db, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED, "writing the manifest: %s", sqlite3_errmsg(db));
}

static void prepare(struct insert *i, sqlite3 *db, const char *sql)
{
	i->db = db;
	i->sql = sql;
}

/* Binds one value a letter and runs: i = uint64_t, t = const char *, b = const void * and size_t,
 * o = the same or NULL, n = size_t row number or LM_NONE for NULL. */
static int row(struct insert *ins, struct lmodel_error *error, const char *types, ...)
{
	int r = SQLITE_OK, column = 0;
	sqlite3_stmt *s;
	va_list args;

	if (ins->statement == NULL &&
	    sqlite3_prepare_v2(ins->db, ins->sql, -1, &ins->statement, NULL) != SQLITE_OK)
		return fail(ins->db, error);
	s = ins->statement;
	va_start(args, types);
	for (const char *t = types; *t != '\0' && r == SQLITE_OK; t++) {
		column++;
		if (*t == 'i') {
			r = sqlite3_bind_int64(s, column, (sqlite3_int64)va_arg(args, uint64_t));
		} else if (*t == 't') {
			r = sqlite3_bind_text(s, column, va_arg(args, const char *), -1,
					      SQLITE_STATIC);
		} else if (*t == 'b' || *t == 'o') {
			const void *bytes = va_arg(args, const void *);
			size_t len = va_arg(args, size_t);

			r = *t == 'o' && bytes == NULL ?
				    sqlite3_bind_null(s, column) :
				    sqlite3_bind_blob64(s, column, bytes != NULL ? bytes : "", len,
							SQLITE_STATIC);
		} else {
			size_t n = va_arg(args, size_t);

			r = n == LM_NONE ? sqlite3_bind_null(s, column) :
					   sqlite3_bind_int64(s, column, (sqlite3_int64)n);
		}
	}
	va_end(args);
	if (r == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE && sqlite3_reset(s) == SQLITE_OK)
		return LMODEL_OK;
	return fail(ins->db, error);
}

static int store_archive(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert archive = { 0 };
	LM_CLEANUP(finalize) struct insert statement = { 0 };

	prepare(&archive, db, "INSERT INTO archive VALUES (?, ?, ?, ?, ?, ?, ?)");
	prepare(&statement, db, "INSERT INTO statement VALUES (?)");
	if (row(&archive, error, "tiiittt", m->id, (uint64_t)m->format, m->content_generation,
		(uint64_t)m->created, m->tool, m->source_format, m->must_understand) ||
	    row(&statement, error, "t", m->statement))
		return LMODEL_EFAILED;
	return LMODEL_OK;
}

static int store_members(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert ins = { 0 };

	prepare(&ins, db, "INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
	for (size_t i = 0; i < m->member_count; i++) {
		const struct lm_member *b = &m->members[i];

		/* The index is little-endian in the file, and so are all machines supported. */
		if (row(&ins, error, "ntiiitibb", i, lm_member_own_path(b), b->offset, b->length,
			b->bytes, b->coding_name, b->chunk_bytes, (const void *)b->chunks,
			(size_t)b->chunk_count * sizeof(uint32_t), (const void *)b->digest,
			sizeof(b->digest)))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

enum { RANK_MOST = 64, SHAPE_SIZE = 3 + RANK_MOST * 21 };

static void print_shape(char text[SHAPE_SIZE], const struct lm_tensor_row *t)
{
	char digits[20];

	*text++ = '[';
	for (unsigned i = 0; i < LM_MIN(t->rank, (unsigned)RANK_MOST); i++) {
		uint64_t v = t->shape[i];
		size_t n = 0;

		do
			digits[n++] = (char)('0' + v % 10);
		while ((v /= 10) != 0);
		if (i > 0)
			*text++ = ',';
		while (n > 0)
			*text++ = digits[--n];
	}
	memcpy(text, "]", 2);
}

static int store_tensors(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	char shape[SHAPE_SIZE];
	LM_CLEANUP(finalize) struct insert ins = { 0 };

	prepare(&ins, db, "INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_tensor_row *t = &m->tensors[i];

		print_shape(shape, t);
		if (row(&ins, error, "ntttinnn", i, t->name, t->dtype->name, shape, t->bytes,
			t->source, t->member, t->alias))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int store_inputs(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert source = { 0 };
	LM_CLEANUP(finalize) struct insert metadata = { 0 };
	LM_CLEANUP(finalize) struct insert attachment = { 0 };
	LM_CLEANUP(finalize) struct insert dead = { 0 };

	prepare(&source, db, "INSERT INTO source VALUES (?, ?, ?, ?, ?)");
	prepare(&metadata, db, "INSERT INTO metadata VALUES (?, ?, ?, ?)");
	prepare(&attachment, db, "INSERT INTO attachment VALUES (?, ?, ?)");
	prepare(&dead, db, "INSERT INTO dead VALUES (?, ?, ?)");
	for (size_t i = 0; i < m->source_count; i++)
		if (row(&source, error, "nttin", i, m->sources[i].name, m->sources[i].format,
			m->sources[i].bytes, m->sources[i].skeleton))
			return LMODEL_EFAILED;
	for (size_t i = 0; i < m->metadata_count; i++)
		if (row(&metadata, error, "nntt", i, m->metadata[i].source, m->metadata[i].key,
			m->metadata[i].value))
			return LMODEL_EFAILED;
	for (size_t i = 0; i < m->attachment_count; i++)
		if (row(&attachment, error, "ntn", i, m->attachments[i].name,
			m->attachments[i].member))
			return LMODEL_EFAILED;
	for (size_t i = 0; i < m->dead_count; i++)
		if (row(&dead, error, "iit", m->dead[i].offset, m->dead[i].length,
			m->dead[i].pending ? "pending" : "zero"))
			return LMODEL_EFAILED;
	return LMODEL_OK;
}

static int store_shards(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert ins = { 0 };

	prepare(&ins, db, "INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	for (size_t i = 0; i < m->shard_count; i++) {
		const struct lm_shard_row *s = &m->shards[i];
		const struct lm_stream_row *p = &s->stream[LM_POSITIONS],
					   *v = &s->stream[LM_VALUES];

		if (row(&ins, error, "nnntibib", i, s->tier, s->tensor, s->unit, p->length,
			(const void *)p->digest, sizeof(p->digest), v->length,
			(const void *)v->digest, sizeof(v->digest)))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int store_sealed(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert ins = { 0 };

	prepare(&ins, db, "INSERT INTO sealed VALUES (?, ?, ?, ?, ?)");
	for (size_t i = 0; i < m->sealed_count; i++) {
		const struct lm_sealed_row *s = &m->sealed[i];

		if (row(&ins, error, "ntnib", i, s->name, s->tier, s->stream.length,
			(const void *)s->stream.digest, sizeof(s->stream.digest)))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int store_tiers(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert ins = { 0 };

	prepare(&ins, db, "INSERT INTO tier VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	for (size_t i = 0; i < m->tier_count; i++) {
		const struct lm_tier_row *t = &m->tiers[i];
		size_t n = LM_SHA256_SIZE;

		if (row(&ins, error, "ntitttttbbbbnn", i, t->name, t->generation, t->selection,
			t->mask, t->unit, t->scope, t->amount, (const void *)t->key_commitment, n,
			(const void *)t->position_commitment, n, (const void *)t->key_mac, n,
			(const void *)t->position_mac, n,
			t->absent ? LM_NONE : (size_t)t->offset[LM_POSITIONS],
			t->absent ? LM_NONE : (size_t)t->offset[LM_VALUES]))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

static int store_keys(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	LM_CLEANUP(finalize) struct insert slot = { 0 };
	LM_CLEANUP(finalize) struct insert owner = { 0 };
	LM_CLEANUP(finalize) struct insert signature = { 0 };
	const struct lm_owner_row *o = &m->owner;

	prepare(&slot, db, "INSERT INTO key_slot VALUES (?, ?, ?, ?)");
	prepare(&owner, db, "INSERT INTO owner VALUES (?, ?, ?, ?)");
	prepare(&signature, db, "INSERT INTO signature VALUES (?, ?, ?)");
	for (size_t i = 0; i < m->slot_count; i++) {
		const struct lm_slot_row *s = &m->slots[i];

		if (row(&slot, error, "itbo", (uint64_t)s->id, s->kind, (const void *)s->grant,
			s->grant_len, (const void *)s->identity, s->identity_len))
			return LMODEL_EFAILED;
	}
	for (size_t i = 0; i < m->signature_count; i++)
		if (row(&signature, error, "ntb", i, m->signatures[i].kind,
			(const void *)m->signatures[i].bytes, m->signatures[i].len))
			return LMODEL_EFAILED;
	if (o->present && row(&owner, error, "bbib", (const void *)o->public_key,
			      sizeof(o->public_key), (const void *)o->signature,
			      sizeof(o->signature), o->book_counter, (const void *)o->book,
			      o->book_len))
		return LMODEL_EFAILED;
	return LMODEL_OK;
}

/* Small pages keep a small manifest small; large ones keep a large manifest quick. */
static unsigned page_size(const struct lm_manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->member_count; i++)
		n += 80 + 2 * strlen(lm_member_own_path(&m->members[i])) +
		     4 * (uint64_t)m->members[i].chunk_count;
	for (size_t i = 0; i < m->metadata_count; i++)
		n += strlen(m->metadata[i].value);
	n += 60 * (m->tensor_count + m->attachment_count) +
	     100 * (m->shard_count + m->sealed_count) +
	     600 * m->slot_count;
	return n < 64 << 10 ? 512 : n < 1 << 20 ? 1024 : 4096;
}

static void close_db(sqlite3 **db)
{
	sqlite3_close_v2(*db);
}

static bool has_rows(const struct lm_manifest *m, const struct lm_schema_table *table)
{
	const struct { const char *name; size_t rows; } tables[] = {
		{ "member", m->member_count }, { "source", m->source_count },
		{ "metadata", m->metadata_count }, { "tensor", m->tensor_count },
		{ "attachment", m->attachment_count }, { "tier", m->tier_count },
		{ "shard", m->shard_count }, { "sealed", m->sealed_count },
		{ "key_slot", m->slot_count }, { "owner", m->owner.present },
		{ "signature", m->signature_count }, { "dead", m->dead_count },
	};

	for (size_t i = 0; i < LM_COUNT(tables); i++)
		if (strlen(tables[i].name) == (size_t)table->name_len &&
		    memcmp(tables[i].name, table->name, (size_t)table->name_len) == 0)
			return tables[i].rows > 0;
	return true;
}

/* An empty table takes a page, and its statement most of another one: twice in each archive. */
static int create_tables(const struct lm_manifest *m, sqlite3 *db, struct lmodel_error *error)
{
	struct lm_schema_table table;
	const char *at = NULL;

	while (lm_schema_next(&at, &table)) {
		LM_CLEANUP(finalize) struct insert create = { .db = db };

		if (!has_rows(m, &table))
			continue;
		if (sqlite3_prepare_v2(db, table.sql, table.sql_len, &create.statement, NULL) !=
		    SQLITE_OK || sqlite3_step(create.statement) != SQLITE_DONE)
			return fail(db, error);
	}
	return LMODEL_OK;
}

int lm_manifest_store(const struct lm_manifest *m, uint8_t **image, uint64_t *len,
		      struct lmodel_error *error)
{
	LM_CLEANUP(close_db) sqlite3 *db = NULL;
	sqlite3_int64 size = 0;
	char setup[200];

	snprintf(setup, sizeof(setup),
		 "PRAGMA page_size = %u; PRAGMA application_id = %d; PRAGMA user_version = %d;"
		 "PRAGMA journal_mode = OFF; BEGIN", page_size(m), LM_SQLITE_APPLICATION_ID,
		 LM_SQLITE_USER_VERSION);
	if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY |
						     SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return lm_fail_memory(error);
	if (sqlite3_exec(db, setup, NULL, NULL, NULL) != SQLITE_OK)
		return fail(db, error);
	if (create_tables(m, db, error) || store_archive(m, db, error) ||
	    store_members(m, db, error) ||
	    store_inputs(m, db, error) || store_tensors(m, db, error) ||
	    store_tiers(m, db, error) || store_shards(m, db, error) ||
	    store_sealed(m, db, error) || store_keys(m, db, error))
		return LMODEL_EFAILED;
	if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return fail(db, error);
	*image = sqlite3_serialize(db, "main", &size, 0);
	if (*image == NULL)
		return lm_fail_memory(error);
	/* File format write version 3: a stock SQLite opens it, and refuses to change it. */
	(*image)[18] = 3;
	(*image)[19] = 1;
	*len = (uint64_t)size;
	return LMODEL_OK;
}

/* More than the tables of keys can grow by: each row a page of its own, and as much again. */
static uint64_t room_for_keys(const struct lm_manifest *m, uint64_t page)
{
	uint64_t n = 64 * page + 2 * m->owner.book_len;

	for (size_t i = 0; i < m->slot_count; i++)
		n += page + 2 * (m->slots[i].grant_len + m->slots[i].identity_len);
	for (size_t i = 0; i < m->signature_count; i++)
		n += page + 2 * m->signatures[i].len;
	return n;
}

/* Tables are emptied, not rows taken out: then no byte of theirs is left in any page, whatever the
 * pages' layout was (spec: 3.1). Not `*done`: a table is
 * not there, and would have to be made between others, or pages were left over. */
static int replace_keys(const struct lm_manifest *m, sqlite3 *db, uint64_t *len, bool *done,
			struct lmodel_error *error)
{
	const struct { const char *name, *empty; bool needed; } tables[] = {
		{ "key_slot", "DELETE FROM key_slot", m->slot_count > 0 },
		{ "owner", "DELETE FROM owner", m->owner.present },
		{ "signature", "DELETE FROM signature", m->signature_count > 0 },
	};
	uint64_t pages, size, free_pages;

	*done = true;
	for (size_t i = 0; i < LM_COUNT(tables) && *done; i++)
		*done = !tables[i].needed || lm_sqlite_has_table(db, tables[i].name);
	if (!*done)
		return LMODEL_OK;
	if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return fail(db, error);
	for (size_t i = 0; i < LM_COUNT(tables); i++)
		if (lm_sqlite_has_table(db, tables[i].name) &&
		    sqlite3_exec(db, tables[i].empty, NULL, NULL, NULL) != SQLITE_OK)
			return fail(db, error);
	if (store_keys(m, db, error))
		return LMODEL_EFAILED;
	if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK ||
	    !lm_sqlite_number(db, "PRAGMA page_count", &pages) ||
	    !lm_sqlite_number(db, "PRAGMA page_size", &size) ||
	    !lm_sqlite_number(db, "PRAGMA freelist_count", &free_pages))
		return fail(db, error);
	*done = free_pages == 0;
	*len = pages * size;
	return LMODEL_OK;
}

int lm_manifest_store_keys(const struct lm_manifest *m, const uint8_t *before, uint64_t before_len,
			   uint8_t **image, uint64_t *len, struct lmodel_error *error)
{
	uint64_t page = (uint64_t)before[16] << 8 | before[17];
	uint64_t room = before_len + room_for_keys(m, page == 1 ? 65536 : page);
	uint8_t *copy = sqlite3_malloc64(room);
	bool done = false;
	int r;

	*image = NULL;
	if (copy == NULL)
		return lm_fail_memory(error);
	memcpy(copy, before, before_len);
	copy[18] = 1;
	{
		LM_CLEANUP(close_db) sqlite3 *db = NULL;

		r = lm_sqlite_open_known(&db, copy, before_len, room, error);
		if (r == LMODEL_OK)
			r = replace_keys(m, db, len, &done, error);
	}
	if (r != LMODEL_OK || !done) {
		sqlite3_free(copy);
		return r;
	}
	copy[18] = 3;
	*image = copy;
	return LMODEL_OK;
}

void lm_manifest_image_free(uint8_t *image)
{
	sqlite3_free(image);
}
