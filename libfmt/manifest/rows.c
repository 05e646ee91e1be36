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
	*t = (struct lm_table){ .name = name, .label = l->label, .error = l->error,
				.arena = &l->m->arena };
	if (!lm_sqlite_has_table(l->db, name))
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

/* A negative one is above any limit. */
static int take_int(struct lm_table *t, sqlite3_value *v, const char *what, uint64_t max,
		    uint64_t *value)
{
	if (sqlite3_value_type(v) != SQLITE_INTEGER)
		return lm_table_bad(t, what);
	*value = (uint64_t)sqlite3_value_int64(v);
	return *value <= LM_MIN(max, (uint64_t)INT64_MAX) ? LMODEL_OK : lm_table_bad(t, what);
}

int lm_get_int(struct lm_table *t, int column, const char *what, uint64_t max, uint64_t *value)
{
	return take_int(t, lm_column(t, column), what, max, value);
}

int lm_get_row(struct lm_table *t, int column, const char *what, size_t count, bool optional,
	       size_t *value)
{
	sqlite3_value *column_value = lm_column(t, column);
	uint64_t v = 0;

	*value = LM_NONE;
	if (optional && sqlite3_value_type(column_value) == SQLITE_NULL)
		return LMODEL_OK;
	if (count == 0)
		return lm_table_bad(t, what);
	if (take_int(t, column_value, what, count - 1, &v))
		return LMODEL_ECORRUPT;
	*value = (size_t)v;
	return LMODEL_OK;
}

/* As a blob a text is neither copied nor changed. */
static bool see(const struct lm_table *t, int column, int type, const void **bytes, size_t *len)
{
	sqlite3_value *v = lm_column(t, column);

	if (sqlite3_value_type(v) != type)
		return false;
	*bytes = sqlite3_value_blob(v);
	*len = (size_t)sqlite3_value_bytes(v);
	return *bytes != NULL || *len == 0;
}

int lm_see_text(struct lm_table *t, int column, const char *what, size_t limit, const char **value,
		size_t *len)
{
	const void *text;

	if (!see(t, column, SQLITE_TEXT, &text, len) || *len > limit)
		return lm_table_bad(t, what);
	*value = *len > 0 ? text : "";
	return lm_text_valid(*value, *len) ? LMODEL_OK : lm_table_bad(t, what);
}

static int copy_text(struct lm_table *t, const char *text, size_t len, char *to, char **value)
{
	if (to == NULL)
		return lm_fail_memory(t->error);
	memcpy(to, text, len);
	to[len] = '\0';
	*value = to;
	return LMODEL_OK;
}

int lm_get_text(struct lm_table *t, int column, const char *what, size_t limit, char **value)
{
	const char *text;
	size_t len;
	int r = lm_see_text(t, column, what, limit, &text, &len);

	return r != LMODEL_OK ? r : copy_text(t, text, len, malloc(len + 1), value);
}

int lm_keep_text(struct lm_table *t, int column, const char *what, size_t limit, char **value)
{
	const char *text;
	size_t len;
	int r = lm_see_text(t, column, what, limit, &text, &len);

	return r != LMODEL_OK ? r :
				copy_text(t, text, len, lm_arena_take(t->arena, len + 1, 1), value);
}

int lm_copy_text(struct lm_table *t, int column, const char *what, char *buffer, size_t size)
{
	const char *text;
	size_t len;
	char *unused;
	int r = lm_see_text(t, column, what, size - 1, &text, &len);

	return r != LMODEL_OK ? r : copy_text(t, text, len, buffer, &unused);
}

bool lm_see_blob(const struct lm_table *t, int column, const uint8_t **bytes, size_t *len)
{
	const void *blob = NULL;
	bool found = see(t, column, SQLITE_BLOB, &blob, len);

	*bytes = blob;
	return found;
}

int lm_get_bytes(struct lm_table *t, int column, const char *what, void *bytes, size_t len)
{
	const uint8_t *blob;
	size_t n;

	if (!lm_see_blob(t, column, &blob, &n) || n != len)
		return lm_table_bad(t, what);
	memcpy(bytes, blob, len);
	return LMODEL_OK;
}

int lm_get_blob(struct lm_table *t, int column, const char *what, size_t limit, uint8_t **bytes,
		size_t *len)
{
	const uint8_t *blob;
	size_t n;

	if (!lm_see_blob(t, column, &blob, &n) || n == 0 || n > limit)
		return lm_table_bad(t, what);
	*bytes = malloc(n);
	if (*bytes == NULL)
		return lm_fail_memory(t->error);
	memcpy(*bytes, blob, n);
	*len = n;
	return LMODEL_OK;
}

bool lm_is_one_of(const char *word, const char *list)
{
	size_t len = strlen(word);

	if (len == 0 || strchr(word, ' ') != NULL)
		return false;
	for (const char *at = list; (at = strstr(at, word)) != NULL; at++)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

int lm_get_word(struct lm_table *t, int column, const char *what, const char *list,
		    char **value)
{
	if (lm_get_text(t, column, what, 32, value))
		return LMODEL_ECORRUPT;
	if (!lm_is_one_of(*value, list))
		return lm_table_bad(t, what);
	return LMODEL_OK;
}

/* The id column counts from 0 without gaps. */
static int check_id(struct lm_table *t)
{
	uint64_t id;

	if (lm_get_int(t, 0, "id is out of order", INT64_MAX, &id))
		return LMODEL_ECORRUPT;
	return id == t->row ? LMODEL_OK : lm_table_bad(t, "id is out of order");
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
