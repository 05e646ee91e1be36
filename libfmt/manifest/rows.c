#include "manifest/rows.h"

void lm_table_close(struct lm_table *t)
{
	lm_cursor_close(&t->cursor);
}

int lm_table_bad(const struct lm_table *t, const char *what)
{
	return lm_fail(t->error, LMODEL_ECORRUPT, "%s: manifest: %s %ju: %s", t->label, t->name,
		       (uintmax_t)t->row, what);
}

void lm_table_open(struct lm_table *t, const struct lm_load *l, const char *name, unsigned columns)
{
	*t = (struct lm_table){ .name = name, .label = l->label, .error = l->error,
				.arena = &l->m->arena };
	lm_cursor_open(&t->cursor, l->image, name, columns);
}

int lm_table_next(struct lm_table *t, bool *more)
{
	int r = lm_cursor_next(&t->cursor);

	*more = r == 1;
	if (r >= 0)
		return LMODEL_OK;
	return r == -2 ? lm_fail_memory(t->error) : lm_table_bad(t, "cannot be read");
}

static const struct lm_column *at(const struct lm_table *t, int column)
{
	return &t->cursor.column[column];
}

int lm_see_text(struct lm_table *t, int column, const char *what, size_t limit, const char **value,
		size_t *len)
{
	const struct lm_column *c = at(t, column);

	*value = (const char *)c->bytes;
	*len = c->len;
	if (c->type != LM_TEXT || c->len > limit || !lm_text_valid(*value, c->len))
		return lm_table_bad(t, what);
	return LMODEL_OK;
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

int lm_get_blob(struct lm_table *t, int column, const char *what, size_t limit, uint8_t **bytes,
		size_t *len)
{
	const struct lm_column *c = at(t, column);

	if (c->type != LM_BLOB || c->len == 0 || c->len > limit)
		return lm_table_bad(t, what);
	*bytes = malloc(c->len);
	if (*bytes == NULL)
		return lm_fail_memory(t->error);
	memcpy(*bytes, c->bytes, c->len);
	*len = c->len;
	return LMODEL_OK;
}

int lm_get_id(struct lm_table *t, const char *what, uint64_t max, uint64_t *value)
{
	int64_t id = t->cursor.rowid;

	if (at(t, 0)->type != LM_NULL || id < 0 || (uint64_t)id > max)
		return lm_table_bad(t, what);
	*value = (uint64_t)id;
	return LMODEL_OK;
}

static int check_id(struct lm_table *t, bool has_id)
{
	int64_t wanted = (int64_t)t->row + !has_id;

	if (t->cursor.rowid != wanted || (has_id && at(t, 0)->type != LM_NULL))
		return lm_table_bad(t, "id is out of order");
	return LMODEL_OK;
}

int lm_read_list(struct lm_load *l, const char *name, unsigned columns, bool has_id, void *array,
		 size_t element, size_t *count,
		 int (*read)(struct lm_load *, struct lm_table *, size_t))
{
	LM_CLEANUP(lm_table_close) struct lm_table t = { .name = name };
	/* Not more than the image has cells, each of which was found in it. */
	uint64_t rows = lm_cursor_rows(l->image, name), size;
	bool more;
	int r = LMODEL_OK;

	lm_table_open(&t, l, name, columns);
	if (rows == 0)
		return LMODEL_OK;
	if (!lm_mul(rows, element, &size) || size > SIZE_MAX)
		return lm_fail_memory(l->error);
	*(void **)array = calloc(1, (size_t)size);
	if (*(void **)array == NULL)
		return lm_fail_memory(l->error);
	while (r == LMODEL_OK && (r = lm_table_next(&t, &more)) == LMODEL_OK && more) {
		/* Counted before it is read, so that a failure half-way frees what it has. */
		++*count;
		r = check_id(&t, has_id);
		if (r == LMODEL_OK)
			r = read(l, &t, *count - 1);
		t.row++;
	}
	return r;
}
