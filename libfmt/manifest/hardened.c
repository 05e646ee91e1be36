#include "manifest/hardened.h"

#include <stdio.h>

#include "base/base.h"
#include "schema/manifest_sql.h"

enum {
	PROGRESS_STEPS = 1 << 16,
	/* A manifest of a million tensors takes some 10^8 steps to check and read. */
	PROGRESS_LIMIT = 1 << 17,
};

static void close_db(sqlite3 **db)
{
	sqlite3_close_v2(*db);
}

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

/* The header's own fields (SQLite file format, section 1.3) tell apart "not ours" and "newer"
 * before SQLite looks at a page. */
static int check_header(const uint8_t *image, uint64_t len, const char *label,
			struct lmodel_error *error)
{
	uint32_t version;

	if (len < 512 || memcmp(image, "SQLite format 3", 16) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: is not an SQLite image",
			       label);
	if (image[68] != 'L' || image[69] != 'M' || image[70] != 'D' || image[71] != 'L')
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: application id is not LMDL",
			       label);
	version = (uint32_t)image[60] << 24 | (uint32_t)image[61] << 16 | (uint32_t)image[62] << 8 |
		  image[63];
	if (version != LM_SQLITE_USER_VERSION)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: manifest: schema version %u; this lmodel knows %d", label,
			       version, LM_SQLITE_USER_VERSION);
	if (image[18] != 3 || image[19] != 1)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest: read and write versions %u, %u", label, image[19],
			       image[18]);
	if (image[56] != 0 || image[57] != 0 || image[58] != 0 || image[59] != 1)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: its text is not UTF-8",
			       label);
	return LMODEL_OK;
}

static int stop_when_long(void *context)
{
	int *left = context;

	return --*left <= 0;
}

/* Reading columns of our tables is all that a query may do. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c,
		     const char *d)
{
	(void)context;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return action == SQLITE_SELECT || action == SQLITE_READ ? SQLITE_OK : SQLITE_DENY;
}

static void set_limits(sqlite3 *db, uint64_t len)
{
	static const struct { int id, value; } limit[] = {
		{ SQLITE_LIMIT_SQL_LENGTH, 100000 }, { SQLITE_LIMIT_COLUMN, 32 },
		{ SQLITE_LIMIT_EXPR_DEPTH, 20 },     { SQLITE_LIMIT_COMPOUND_SELECT, 3 },
		{ SQLITE_LIMIT_VDBE_OP, 25000 },     { SQLITE_LIMIT_FUNCTION_ARG, 8 },
		{ SQLITE_LIMIT_ATTACHED, 0 },        { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50 },
		{ SQLITE_LIMIT_VARIABLE_NUMBER, 32 }, { SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
		{ SQLITE_LIMIT_WORKER_THREADS, 0 },
	};
	static const struct { int id, value; } config[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
	};

	for (size_t i = 0; i < LM_COUNT(limit); i++)
		sqlite3_limit(db, limit[i].id, limit[i].value);
	/* No value is longer than the image that holds it. */
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)LM_MIN(len, (uint64_t)1 << 30));
	for (size_t i = 0; i < LM_COUNT(config); i++)
		sqlite3_db_config(db, config[i].id, config[i].value, NULL);
}

static int pragma(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Runs a query of one text column and compares the single row. */
static bool single_text_is(sqlite3 *db, const char *sql, const char *wanted)
{
	LM_CLEANUP(finalize) sqlite3_stmt *s = NULL;
	const char *text;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
		return false;
	text = (const char *)sqlite3_column_text(s, 0);
	return text != NULL && strcmp(text, wanted) == 0 && sqlite3_step(s) == SQLITE_DONE;
}

/* The semicolon is the only one behind a line's ")...". A table's name follows "CREATE TABLE ". */
bool lm_schema_next(const char **at, struct lm_schema_table *table)
{
	static const char begin[] = "CREATE TABLE ";
	const char *sql = strstr(*at != NULL ? *at : manifest_sql, begin), *end;

	end = sql != NULL ? strstr(sql, "\n)") : NULL;
	end = end != NULL ? strchr(end, ';') : NULL;
	if (end == NULL)
		return false;
	table->sql = sql;
	table->sql_len = (int)(end - sql);
	table->name = sql + strlen(begin);
	table->name_len = (int)strcspn(table->name, " (");
	*at = end;
	return true;
}

static bool cell_is(sqlite3_stmt *s, int column, const char *text, int len)
{
	const void *cell = sqlite3_column_blob(s, column);

	return sqlite3_column_type(s, column) == SQLITE_TEXT &&
	       sqlite3_column_bytes(s, column) == len && cell != NULL &&
	       memcmp(cell, text, (size_t)len) == 0;
}

/* The rows of sqlite_schema must be those that our own text makes, in its order: its tables, which
 * have no indices, and nothing else. Tables without rows may be left out. */
static bool same_schema(sqlite3 *db)
{
	static const char query[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema";
	LM_CLEANUP(finalize) sqlite3_stmt *s = NULL;
	struct lm_schema_table table;
	const char *at = NULL;
	int r;

	if (sqlite3_prepare_v2(db, query, -1, &s, NULL) != SQLITE_OK)
		return false;
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		do
			if (!lm_schema_next(&at, &table))
				return false;
		while (!cell_is(s, 1, table.name, table.name_len));
		if (!cell_is(s, 0, "table", 5) || !cell_is(s, 2, table.name, table.name_len) ||
		    !cell_is(s, 3, table.sql, table.sql_len))
			return false;
	}
	return r == SQLITE_DONE;
}

static int open_guarded(sqlite3 **db, const uint8_t *image, uint64_t len, uint64_t room,
			unsigned flags, struct lmodel_error *error)
{
	if (sqlite3_open_v2(":memory:", db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY |
						    SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return lm_fail_memory(error);
	set_limits(*db, room);
	if (sqlite3_deserialize(*db, "main", (unsigned char *)(uintptr_t)image, (sqlite3_int64)len,
				(sqlite3_int64)room, flags) != SQLITE_OK)
		return lm_fail_memory(error);
	return LMODEL_OK;
}

bool lm_sqlite_has_table(sqlite3 *db, const char *name)
{
	return sqlite3_table_column_metadata(db, "main", name, NULL, NULL, NULL, NULL, NULL, NULL) !=
	       SQLITE_ERROR;
}

static bool is_sound(sqlite3 *db, const char *const *tables, size_t count)
{
	char sql[64];

	if (count == 0)
		return single_text_is(db, "PRAGMA quick_check(1)", "ok");
	for (size_t i = 0; i < count; i++) {
		snprintf(sql, sizeof(sql), "PRAGMA quick_check(%s)", tables[i]);
		if (lm_sqlite_has_table(db, tables[i]) && !single_text_is(db, sql, "ok"))
			return false;
	}
	return true;
}

int lm_sqlite_open_untrusted(sqlite3 **out, const uint8_t *image, uint64_t len,
			     const char *const *tables, size_t table_count, const char *label,
			     struct lmodel_error *error)
{
	LM_CLEANUP(close_db) sqlite3 *db = NULL;
	int left = PROGRESS_LIMIT, r = check_header(image, len, label, error);

	if (r != LMODEL_OK)
		return r;
	/* Read-only: sqlite writes neither to the image nor frees it. */
	r = open_guarded(&db, image, len, len, SQLITE_DESERIALIZE_READONLY, error);
	if (r != LMODEL_OK)
		return r;
	sqlite3_progress_handler(db, PROGRESS_STEPS, stop_when_long, &left);
	if (pragma(db,
		   "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY")
	    != SQLITE_OK)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: %s", label,
			       sqlite3_errmsg(db));
	if (!is_sound(db, tables, table_count))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: the database is damaged",
			       label);
	if (!same_schema(db))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest: its schema is not that of lmodel", label);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	sqlite3_set_authorizer(db, authorize, NULL);
	*out = db;
	db = NULL;
	return LMODEL_OK;
}

int lm_sqlite_open_known(sqlite3 **out, uint8_t *image, uint64_t len, uint64_t room,
			 struct lmodel_error *error)
{
	LM_CLEANUP(close_db) sqlite3 *db = NULL;
	int r = open_guarded(&db, image, len, room, 0, error);

	if (r != LMODEL_OK)
		return r;
	if (pragma(db, "PRAGMA secure_delete = ON; PRAGMA journal_mode = OFF;"
		       "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
		       "PRAGMA temp_store = MEMORY") != SQLITE_OK)
		return lm_fail(error, LMODEL_EFAILED, "the manifest: %s", sqlite3_errmsg(db));
	*out = db;
	db = NULL;
	return LMODEL_OK;
}

bool lm_sqlite_number(sqlite3 *db, const char *sql, uint64_t *number)
{
	LM_CLEANUP(finalize) sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
		return false;
	*number = (uint64_t)sqlite3_column_int64(s, 0);
	return true;
}
