/* Opening an untrusted SQLite image (spec: 3.1 "Reading"). */
#ifndef LM_HARDENED_H
#define LM_HARDENED_H

#include <sqlite3.h>

#include "base/base.h"

#define LM_SQLITE_APPLICATION_ID 0x4c4d444c /* "LMDL" */
#define LM_SQLITE_USER_VERSION 3

/* A statement of the schema, as sqlite keeps it: without its semicolon. */
struct lm_schema_table {
	const char *name, *sql;
	int name_len, sql_len;
};

/* The one that follows `*at`, which is NULL at first; false behind the last one. */
bool lm_schema_next(const char **at, struct lm_schema_table *table);

/* Opens `image` read-only in memory, with every guard on: no extensions, views, triggers or
 * functions, tight limits, integrity checked, schema equal to ours but for tables that are left
 * out as they have no rows. The image must outlive the database. ECORRUPT for damage or a foreign
 * schema, EUNSUPPORTED for a newer one. With `tables` only these are checked: others are known to
 * be sound. */
int lm_sqlite_open_untrusted(sqlite3 **db, const uint8_t *image, uint64_t len,
			     const char *const *tables, size_t table_count, const char *label,
			     struct lmodel_error *error) LM_MUST_CHECK;

/* Opens an image that was read by the above, to change rows of it: with the same guards, but without
 * checks. `image` has room for `room` bytes, and changes in place when a transaction ends; a change
 * that needs more fails with SQLITE_FULL. What is taken out is overwritten. */
int lm_sqlite_open_known(sqlite3 **db, uint8_t *image, uint64_t len, uint64_t room,
			 struct lmodel_error *error) LM_MUST_CHECK;

/* Tables without rows may be left out. */
bool lm_sqlite_has_table(sqlite3 *db, const char *name);

/* Runs a query of one row with one number. */
bool lm_sqlite_number(sqlite3 *db, const char *sql, uint64_t *number);

#endif
