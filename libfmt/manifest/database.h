/* The SQLite 3 file format (https://www.sqlite.org/fileformat2.html), as much of it as a manifest
 * is: tables that are b-trees by rowid, and nothing else (spec: 3.1). "Format" in comments is
 * that document. */
#ifndef LM_DATABASE_H
#define LM_DATABASE_H

#include "base/base.h"

#define LM_SQLITE_APPLICATION_ID 0x4c4d444c /* "LMDL" */
#define LM_SQLITE_USER_VERSION 2

enum {
	LM_DB_HEADER = 100,      /* before the header of the first page */
	LM_DB_COLUMNS = 16,      /* at most, of a table */
	LM_PAGE_INTERIOR = 5,       /* kinds of pages: of a table's b-tree */
	LM_PAGE_LEAF = 13,
	LM_OVERFLOW_LINK = 4,       /* number of the next page, at the begin of an overflow page */
};

/* Bytes of a payload that stand in the cell itself (format: 1.6); the others in overflow pages. */
static inline uint64_t lm_db_local(uint64_t payload, uint32_t page_size)
{
	uint64_t most = page_size - 35, least = (page_size - 12) * 32 / 255 - 23, some;

	if (payload <= most)
		return payload;
	some = least + (payload - least) % (page_size - LM_OVERFLOW_LINK);
	return some <= most ? some : least;
}

static inline uint32_t lm_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t lm_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

/* A variable-length integer (format: 1.6): bytes taken, 0 when it is cut. */
size_t lm_varint_long(const uint8_t *bytes, size_t len, uint64_t *value);

/* Most have one byte or two. */
static inline size_t lm_varint_get(const uint8_t *p, size_t len, uint64_t *value)
{
	if (len > 0 && p[0] < 0x80) {
		*value = p[0];
		return 1;
	}
	if (len > 1 && p[1] < 0x80) {
		*value = (uint64_t)(p[0] & 0x7f) << 7 | p[1];
		return 2;
	}
	return lm_varint_long(p, len, value);
}

/* A cell of a leaf. */
struct lm_cell {
	int64_t rowid;
	uint64_t payload;              /* bytes */
	uint32_t local;                /* of them in the page */
	uint32_t at;                   /* where these begin in the page */
	uint32_t end;                  /* of the cell, the overflow page's number included */
};

/* The one at `offset` of a page. False when it reaches beyond the page. */
static inline bool lm_cell_read(const uint8_t *page, uint32_t page_size, uint32_t offset,
				struct lm_cell *cell)
{
	uint64_t rowid;
	size_t a, b;

	if (offset >= page_size)
		return false;
	a = lm_varint_get(page + offset, page_size - offset, &cell->payload);
	if (a == 0)
		return false;
	b = lm_varint_get(page + offset + a, page_size - offset - a, &rowid);
	if (b == 0 || cell->payload > INT32_MAX)
		return false;
	cell->rowid = (int64_t)rowid;
	cell->at = offset + (uint32_t)(a + b);
	cell->local = (uint32_t)lm_db_local(cell->payload, page_size);
	cell->end = cell->at + cell->local + (cell->local < cell->payload ? LM_OVERFLOW_LINK : 0);
	cell->end = LM_MAX(cell->end, offset + 4); /* no cell is shorter */
	return cell->end <= page_size;
}

/* ---- schema.c ---- */

/* The next table of the schema's text: its statement as SQLite keeps it, and its name within that.
 * `*at` begins as NULL. */
struct lm_schema_table {
	const char *sql, *name;
	size_t sql_len, name_len;
};

bool lm_schema_next(const char **at, struct lm_schema_table *table);

enum { LM_SCHEMA_TABLES = 32 }; /* more than there are */

/* ---- database.c: an image whose structure was checked ---- */

struct lm_db_table {
	char name[16];
	size_t first_leaf, leaf_count;
	uint64_t rows;
};

struct lm_db {
	const uint8_t *bytes;
	uint32_t page_size, page_count;
	uint32_t *leaves;              /* numbers of pages, table by table, in the order of rows */
	struct lm_db_table tables[LM_SCHEMA_TABLES];
	size_t table_count;
};

/* Checks header, b-trees and schema of an untrusted image, which has to stay. Afterwards each page
 * is known to be part of one table, each cell to lie in its page alone, and the rows of a table to
 * have rising rowids. What is in the rows is not looked at. */
int lm_db_open(struct lm_db *db, const uint8_t *bytes, uint64_t len, const char *label,
		  struct lmodel_error *error) LM_MUST_CHECK;
void lm_db_close(struct lm_db *db);

/* ---- record.c: the rows of a table ---- */

enum lm_column_type { LM_NULL, LM_INTEGER, LM_TEXT, LM_BLOB };

struct lm_column {
	enum lm_column_type type;
	int64_t integer;
	const uint8_t *bytes;          /* until the next row */
	size_t len;
};

struct lm_cursor {
	const struct lm_db *db;
	size_t leaf, leaf_end;         /* indices of db->leaves */
	uint32_t cell;                 /* the next one of that leaf */
	int64_t rowid;
	unsigned columns;              /* that each row has to have */
	struct lm_column column[LM_DB_COLUMNS];
	uint8_t *whole;                /* a payload put together */
	size_t whole_capacity;
};

/* `name` is one of the schema's. */
void lm_cursor_open(struct lm_cursor *cursor, const struct lm_db *db, const char *name,
		    unsigned columns);
void lm_cursor_close(struct lm_cursor *cursor);
uint64_t lm_cursor_rows(const struct lm_db *db, const char *name);

/* The next row: 1, 0 behind the last one, -1 when the row is damaged, -2 for want of memory. */
int lm_cursor_next(struct lm_cursor *cursor);

/* ---- database_write.c: images from rows ---- */

struct lm_db_writer {
	uint8_t *bytes;
	size_t len, capacity;
	uint32_t page_size;
	bool is_schema;                /* the table: its root is page 1 */
	uint32_t page;                 /* the leaf that is being filled, 0 when there is none */
	uint32_t cells, content;       /* of it: how many, and where the lowest begins */
	int64_t last;                  /* rowid */
	struct lm_db_child { uint32_t page; int64_t last; } *children;
	size_t child_count, child_capacity;
	uint8_t *record;               /* being made */
	size_t record_capacity;
	struct lmodel_error *error;
};

int lm_db_begin(struct lm_db_writer *writer, uint32_t page_size,
		   struct lmodel_error *error) LM_MUST_CHECK;
void lm_db_abandon(struct lm_db_writer *writer);

/* Tables one after the other: their rows by rising rowid. Columns have the types and contents of
 * `column`. */
int lm_db_add(struct lm_db_writer *writer, int64_t rowid, const struct lm_column *column,
		 unsigned count) LM_MUST_CHECK;

/* Ends the table: the page of its root. */
int lm_db_end_table(struct lm_db_writer *writer, uint32_t *root) LM_MUST_CHECK;

/* Ends the image with the schema's table: `roots` are those of the schema's tables, in its order.
 * `*image` is to be freed. */
int lm_db_finish(struct lm_db_writer *writer, const uint32_t *roots, uint8_t **image,
		    uint64_t *len) LM_MUST_CHECK;

#endif
