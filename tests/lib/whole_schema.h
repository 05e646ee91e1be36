/* A manifest image with all tables, those without rows too, which SQL can then change. */
#ifndef LM_WHOLE_SCHEMA_H
#define LM_WHOLE_SCHEMA_H

#include <sqlite3.h>
#include <stdio.h>

#include "manifest/hardened.h"

static void must_run(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK)
		return;
	fprintf(stderr, "%s: %s\n", sql, message);
	abort();
}

static int copies_rows(sqlite3 *db, const struct lm_schema_table *t)
{
	LM_FREE char *name = strndup(t->name, (size_t)t->name_len);

	return name != NULL && sqlite3_table_column_metadata(db, "main", name, NULL, NULL, NULL,
							     NULL, NULL, NULL) == SQLITE_OK;
}

/* To be freed by sqlite3_free(). */
static uint8_t *whole_schema(const uint8_t *image, uint64_t len, uint64_t *out_len)
{
	sqlite3 *db = NULL;
	sqlite3_int64 size = 0;
	uint8_t *copy = sqlite3_malloc64(len), *out;
	struct lm_schema_table t;
	const char *at = NULL;
	char sql[4000];

	if (copy == NULL)
		abort();
	memcpy(copy, image, len);
	copy[18] = copy[19] = 1;
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_deserialize(db, "main", copy, (sqlite3_int64)len, (sqlite3_int64)len,
				SQLITE_DESERIALIZE_FREEONCLOSE) != SQLITE_OK)
		abort();
	snprintf(sql, sizeof(sql), "ATTACH ':memory:' AS whole; PRAGMA whole.application_id = %d;"
		 "PRAGMA whole.user_version = %d", LM_SQLITE_APPLICATION_ID, LM_SQLITE_USER_VERSION);
	must_run(db, sql);
	while (lm_schema_next(&at, &t)) {
		snprintf(sql, sizeof(sql), "CREATE TABLE whole.%.*s",
			 t.sql_len - (int)(t.name - t.sql), t.name);
		must_run(db, sql);
		snprintf(sql, sizeof(sql), "INSERT INTO whole.%.*s SELECT * FROM main.%.*s",
			 t.name_len, t.name, t.name_len, t.name);
		if (copies_rows(db, &t))
			must_run(db, sql);
	}
	out = sqlite3_serialize(db, "whole", &size, 0);
	if (out == NULL)
		abort();
	sqlite3_close(db);
	*out_len = (uint64_t)size;
	return out;
}

#endif
