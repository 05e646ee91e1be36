/* Reading tables of an untrusted manifest, row by row and column by column. */
#ifndef LM_ROWS_H
#define LM_ROWS_H

#include "manifest/database.h"
#include "manifest/manifest.h"

/* One table being read. Columns are those of the schema, in its order. */
struct lm_table {
	struct lm_cursor cursor;
	struct lm_arena *arena;    /* where texts of many rows go */
	const char *name;
	const char *label;         /* of the archive */
	uint64_t row;
	struct lmodel_error *error;
};

struct lm_load {
	struct lm_manifest *m;
	const struct lm_db *image;
	uint64_t members_begin, committed_len;
	const char *label;
	struct lmodel_error *error;
};

void lm_table_open(struct lm_table *t, const struct lm_load *l, const char *name, unsigned columns);
void lm_table_close(struct lm_table *t);

/* Fails with "LABEL: manifest: TABLE ROW: what". */
int lm_table_bad(const struct lm_table *t, const char *what);

/* Steps to the next row: LMODEL_OK with `*more`, or a failure. */
int lm_table_next(struct lm_table *t, bool *more);

static inline enum lm_column_type lm_type_of(const struct lm_table *t, int column)
{
	return t->cursor.column[column].type;
}

/* An integer of 0 to `max`. */
static inline int lm_get_int(struct lm_table *t, int column, const char *what, uint64_t max,
			     uint64_t *value)
{
	const struct lm_column *c = &t->cursor.column[column];

	if (c->type != LM_INTEGER || c->integer < 0 || (uint64_t)c->integer > max) {
		lm_table_bad(t, what);
		return LMODEL_ECORRUPT;
	}
	*value = (uint64_t)c->integer;
	return LMODEL_OK;
}

/* A row number below `count`, or LM_NONE for NULL where that may be. */
static inline int lm_get_row(struct lm_table *t, int column, const char *what, size_t count,
			     bool optional, size_t *value)
{
	uint64_t v = 0;

	*value = LM_NONE;
	if (optional && lm_type_of(t, column) == LM_NULL)
		return LMODEL_OK;
	if (count == 0) {
		lm_table_bad(t, what);
		return LMODEL_ECORRUPT;
	}
	if (lm_get_int(t, column, what, count - 1, &v))
		return LMODEL_ECORRUPT;
	*value = (size_t)v;
	return LMODEL_OK;
}

/* Valid UTF-8 without NUL, at most `limit` bytes, in fresh memory. */
int lm_get_text(struct lm_table *t, int column, const char *what, size_t limit, char **value);

/* The same in the manifest's arena. */
int lm_keep_text(struct lm_table *t, int column, const char *what, size_t limit, char **value);

/* The same in a buffer of `size` bytes: at most one less. */
int lm_copy_text(struct lm_table *t, int column, const char *what, char *buffer, size_t size);

/* The same where it stands, until the next row. No NUL is behind it. */
int lm_see_text(struct lm_table *t, int column, const char *what, size_t limit, const char **value,
		size_t *len);

/* A blob of exactly `len` bytes. */
static inline int lm_get_bytes(struct lm_table *t, int column, const char *what, void *bytes,
			       size_t len)
{
	const struct lm_column *c = &t->cursor.column[column];

	if (c->type != LM_BLOB || c->len != len) {
		lm_table_bad(t, what);
		return LMODEL_ECORRUPT;
	}
	memcpy(bytes, c->bytes, len);
	return LMODEL_OK;
}

/* A blob of 1 to `limit` bytes, in fresh memory. */
int lm_get_blob(struct lm_table *t, int column, const char *what, size_t limit, uint8_t **bytes,
		size_t *len);

/* The first column is the row's id, which the record has as NULL (SQLite's file format, 2.3). */
int lm_get_id(struct lm_table *t, const char *what, uint64_t max, uint64_t *value);

/* Reads a list table, whose ids, or rowids less one where it has none, count from 0 without gaps. */
int lm_read_list(struct lm_load *l, const char *name, unsigned columns, bool has_id, void *array,
		 size_t element, size_t *count,
		 int (*read)(struct lm_load *, struct lm_table *, size_t));

/* The tables of protection: tier, shard, key_slot, owner (load_tiers.c). */
int lm_load_tiers(struct lm_load *l);

#endif
