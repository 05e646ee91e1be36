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
 * functions, tight limits, integrity checked, schema equal to ours but for tables that
 * are left out as they have no rows. The image must outlive the database. ECORRUPT for damage or a foreign schema, EUNSUPPORTED for a newer one. */
int lm_sqlite_open_untrusted(sqlite3 **db, const uint8_t *image, uint64_t len, const char *label,
			     struct lmodel_error *error) LM_MUST_CHECK;

#endif
