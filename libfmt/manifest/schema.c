#include "manifest/database.h"

#include "schema/manifest_sql.h"

/* A statement as SQLite keeps it: without its semicolon, which is the only one behind a line's
 * ")...". */
bool lm_schema_next(const char **at, struct lm_schema_table *table)
{
	static const char create[] = "CREATE TABLE ";
	const char *sql = strstr(*at != NULL ? *at : manifest_sql, create);
	const char *end = sql != NULL ? strstr(sql, "\n)") : NULL;

	end = end != NULL ? strchr(end, ';') : NULL;
	if (end == NULL)
		return false;
	table->sql = sql;
	table->sql_len = (size_t)(end - sql);
	table->name = sql + strlen(create);
	table->name_len = strcspn(table->name, " (");
	*at = end;
	return true;
}
