/* Reading tables of an untrusted manifest, row by row and column by column. */
#ifndef LM_ROWS_H
#define LM_ROWS_H

#include <sqlite3.h>

#include "manifest/hardened.h"
#include "manifest/manifest.h"

/* One table being read. */
struct lm_table {
	sqlite3_stmt *statement;
	struct lm_arena *arena;    /* where texts of many rows go */
	const char *name;
	const char *label;         /* of the archive */
	uint64_t row;
	struct lmodel_error *error;
};

struct lm_load {
	struct lm_manifest *m;
	sqlite3 *db;
	uint64_t members_begin, committed_len;
	const char *label;
	struct lmodel_error *error;
};

int lm_table_open(struct lm_table *t, const struct lm_load *l, const char *name, const char *sql);
void lm_table_close(struct lm_table *t);

/* Fails with "LABEL: manifest: TABLE ROW: what". */
int lm_table_bad(const struct lm_table *t, const char *what);

/* Steps to the next row: LMODEL_OK with `*more`, or a failure. */
int lm_table_next(struct lm_table *t, bool *more);

/* A column of the row as it is stored. The value may be asked for type and content, as nobody else
 * uses this database; that takes half the calls that asking for columns does. */
static inline sqlite3_value *lm_column(const struct lm_table *t, int column)
{
	return sqlite3_column_value(t->statement, column);
}

static inline bool lm_is_null(const struct lm_table *t, int column)
{
	return sqlite3_value_type(lm_column(t, column)) == SQLITE_NULL;
}

/* An integer of 0 to `max`. */
int lm_get_int(struct lm_table *t, int column, const char *what, uint64_t max, uint64_t *value);

/* A row number below `count`, or LM_NONE for NULL where that may be. */
int lm_get_row(struct lm_table *t, int column, const char *what, size_t count, bool optional,
	       size_t *value);

/* Valid UTF-8 without NUL, at most `limit` bytes, in fresh memory. */
int lm_get_text(struct lm_table *t, int column, const char *what, size_t limit, char **value);

/* The same in the manifest's arena. */
int lm_keep_text(struct lm_table *t, int column, const char *what, size_t limit, char **value);

/* The same in a buffer of `size` bytes: at most one less. */
int lm_copy_text(struct lm_table *t, int column, const char *what, char *buffer, size_t size);

/* The same in sqlite's memory, until the next row. No NUL is behind it. */
int lm_see_text(struct lm_table *t, int column, const char *what, size_t limit, const char **value,
		size_t *len);

/* A blob of exactly `len` bytes. */
int lm_get_bytes(struct lm_table *t, int column, const char *what, void *bytes, size_t len);

/* A blob of 1 to `limit` bytes, in fresh memory. */
int lm_get_blob(struct lm_table *t, int column, const char *what, size_t limit, uint8_t **bytes,
		size_t *len);

/* A blob in sqlite's memory, until the next row. False when it is none. */
bool lm_see_blob(const struct lm_table *t, int column, const uint8_t **bytes, size_t *len);

/* Whether `word` is one of the words of `list`, which are separated by spaces. */
bool lm_is_one_of(const char *word, const char *list);

/* A text that is. */
int lm_get_word(struct lm_table *t, int column, const char *what, const char *list, char **value);

/* Reads a list table. The array grows as rows come: nothing is allocated from a count. Ids count
 * from 0 without gaps. */
int lm_read_list(struct lm_load *l, const char *name, const char *sql, void *array, size_t element,
		 size_t *count, int (*read)(struct lm_load *, struct lm_table *, size_t));

/* The tables of protection: tier, shard, sealed (load_tiers.c), and those that may change by
 * themselves: signature, key_slot, owner (load_keys.c). */
int lm_load_tiers(struct lm_load *l);
int lm_load_keys(struct lm_load *l);

#endif
