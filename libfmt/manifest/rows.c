#include "manifest/rows.h"

void lm_table_close(struct lm_table *t)
{
	sqlite3_finalize(t->statement);
}

int lm_table_bad(const struct lm_table *t, const char *what)
{
	return lm_fail(t->error, LMODEL_ECORRUPT, "%s: manifest: %s %ju: %s", t->label, t->name,
		       (uintmax_t)t->row, what);
}

int lm_table_open(struct lm_table *t, const struct lm_load *l, const char *name, const char *sql)
{
	*t = (struct lm_table){ .name = name, .label = l->label, .error = l->error };
	/* Left out: it has no rows. */
	if (sqlite3_table_column_metadata(l->db, "main", name, NULL, NULL, NULL, NULL, NULL,
					  NULL) == SQLITE_ERROR)
		return LMODEL_OK;
	if (sqlite3_prepare_v2(l->db, sql, -1, &t->statement, NULL) != SQLITE_OK)
		return lm_fail(l->error, LMODEL_ECORRUPT, "%s: manifest: %s: %s", l->label, name,
			       sqlite3_errmsg(l->db));
	return LMODEL_OK;
}

int lm_table_next(struct lm_table *t, bool *more)
{
	int r = t->statement != NULL ? sqlite3_step(t->statement) : SQLITE_DONE;

	*more = r == SQLITE_ROW;
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		return LMODEL_OK;
	return lm_table_bad(t, "cannot be read");
}

int lm_get_int(struct lm_table *t, int column, const char *what, uint64_t max, uint64_t *value)
{
	sqlite3_int64 v = sqlite3_column_int64(t->statement, column);

	if (sqlite3_column_type(t->statement, column) != SQLITE_INTEGER || v < 0 ||
	    (uint64_t)v > max)
		return lm_table_bad(t, what);
	*value = (uint64_t)v;
	return LMODEL_OK;
}

int lm_get_row(struct lm_table *t, int column, const char *what, size_t count, bool optional,
		   size_t *value)
{
	uint64_t v = 0;

	if (optional && sqlite3_column_type(t->statement, column) == SQLITE_NULL) {
		*value = LM_NONE;
		return LMODEL_OK;
	}
	if (count == 0 || lm_get_int(t, column, what, count - 1, &v))
		return lm_table_bad(t, what);
	*value = (size_t)v;
	return LMODEL_OK;
}

int lm_see_text(struct lm_table *t, int column, const char *what, size_t limit, const char **value,
		size_t *len)
{
	/* the type first: asking for the text would change it */
	bool is_text = sqlite3_column_type(t->statement, column) == SQLITE_TEXT;

	*value = is_text ? (const char *)sqlite3_column_text(t->statement, column) : NULL;
	*len = (size_t)sqlite3_column_bytes(t->statement, column);
	if (*value == NULL || *len > limit || memchr(*value, '\0', *len) != NULL ||
	    !lm_utf8_valid(*value, *len))
		return lm_table_bad(t, what);
	return LMODEL_OK;
}

int lm_get_text(struct lm_table *t, int column, const char *what, size_t limit, char **value)
{
	const char *text;
	size_t len;
	int r = lm_see_text(t, column, what, limit, &text, &len);

	if (r != LMODEL_OK)
		return r;
	*value = malloc(len + 1);
	if (*value == NULL)
		return lm_fail_memory(t->error);
	memcpy(*value, text, len + 1);
	return LMODEL_OK;
}

int lm_get_bytes(struct lm_table *t, int column, const char *what, void *bytes, size_t len)
{
	const void *blob = sqlite3_column_blob(t->statement, column);

	if (sqlite3_column_type(t->statement, column) != SQLITE_BLOB ||
	    (size_t)sqlite3_column_bytes(t->statement, column) != len || blob == NULL)
		return lm_table_bad(t, what);
	memcpy(bytes, blob, len);
	return LMODEL_OK;
}

int lm_get_blob(struct lm_table *t, int column, const char *what, size_t limit, uint8_t **bytes,
		size_t *len)
{
	const void *blob = sqlite3_column_blob(t->statement, column);
	size_t n = (size_t)sqlite3_column_bytes(t->statement, column);

	if (sqlite3_column_type(t->statement, column) != SQLITE_BLOB || blob == NULL || n == 0 ||
	    n > limit)
		return lm_table_bad(t, what);
	*bytes = malloc(n);
	if (*bytes == NULL)
		return lm_fail_memory(t->error);
	memcpy(*bytes, blob, n);
	*len = n;
	return LMODEL_OK;
}

/* The id column counts from 0 without gaps. */
static int check_id(struct lm_table *t)
{
	if (sqlite3_column_type(t->statement, 0) != SQLITE_INTEGER ||
	    sqlite3_column_int64(t->statement, 0) != (sqlite3_int64)t->row)
		return lm_table_bad(t, "id is out of order");
	return LMODEL_OK;
}

int lm_read_list(struct lm_load *l, const char *name, const char *sql, void *array,
		     size_t element, size_t *count,
		     int (*read)(struct lm_load *, struct lm_table *, size_t))
{
	LM_CLEANUP(lm_table_close) struct lm_table t = { 0 };
	size_t capacity = 0;
	bool more;
	int r = lm_table_open(&t, l, name, sql);

	while (r == LMODEL_OK && (r = lm_table_next(&t, &more)) == LMODEL_OK && more) {
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
