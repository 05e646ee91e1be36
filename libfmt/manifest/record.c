/* Rows of a checked image: cells, records, columns (SQLite's file format, 1.6 and 2.1). */
#include "manifest/database.h"

size_t lm_varint_long(const uint8_t *p, size_t len, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 8 && i < len; i++) {
		v = v << 7 | (p[i] & 0x7fu);
		if (p[i] < 0x80) {
			*value = v;
			return i + 1;
		}
	}
	if (len < 9)
		return 0;
	*value = v << 8 | p[8];
	return 9;
}

static const struct lm_db_table *find(const struct lm_db *db, const char *name)
{
	for (size_t i = 0; i < db->table_count; i++)
		if (strcmp(db->tables[i].name, name) == 0)
			return &db->tables[i];
	return NULL;
}

uint64_t lm_cursor_rows(const struct lm_db *db, const char *name)
{
	const struct lm_db_table *table = find(db, name);

	return table != NULL ? table->rows : 0;
}

void lm_cursor_open(struct lm_cursor *c, const struct lm_db *db, const char *name,
		    unsigned columns)
{
	const struct lm_db_table *table = find(db, name);

	*c = (struct lm_cursor){ .db = db, .columns = columns };
	if (table != NULL) {
		c->leaf = table->first_leaf;
		c->leaf_end = table->first_leaf + table->leaf_count;
	}
}

void lm_cursor_close(struct lm_cursor *c)
{
	free(c->whole);
	c->whole = NULL;
}

static const uint8_t *page_at(const struct lm_db *db, uint32_t number)
{
	return db->bytes + (size_t)(number - 1) * db->page_size;
}

/* The payload in one piece. That its overflow pages are there was checked with the image. */
static const uint8_t *gather(struct lm_cursor *c, const uint8_t *page, const struct lm_cell *cell)
{
	const struct lm_db *db = c->db;
	size_t have = cell->local, len = (size_t)cell->payload;
	uint32_t next;

	if (have == len)
		return page + cell->at;
	if (c->whole_capacity < len) {
		uint8_t *grown = realloc(c->whole, len);

		if (grown == NULL)
			return NULL;
		c->whole = grown;
		c->whole_capacity = len;
	}
	memcpy(c->whole, page + cell->at, have);
	next = lm_be32(page + cell->at + have);
	while (have < len) {
		const uint8_t *overflow = page_at(db, next);
		size_t n = LM_MIN(len - have, (size_t)db->page_size - LM_OVERFLOW_LINK);

		memcpy(c->whole + have, overflow + LM_OVERFLOW_LINK, n);
		have += n;
		next = lm_be32(overflow);
	}
	return c->whole;
}

static int64_t big_endian(const uint8_t *p, size_t len)
{
	uint64_t v;

	switch (len) {
	case 1:
		return (int8_t)p[0];
	case 2:
		return (int16_t)lm_be16(p);
	case 4:
		return (int32_t)lm_be32(p);
	default:
		v = p[0] < 0x80 ? 0 : UINT64_MAX;
		for (size_t i = 0; i < len; i++)
			v = v << 8 | p[i];
		return (int64_t)v;
	}
}

/* A column by its serial type: bytes taken of the body; SIZE_MAX when there are not so many, or the
 * type is one that no table of ours has. */
static inline size_t read_column(struct lm_column *column, uint64_t type, const uint8_t *body, size_t left)
{
	static const uint8_t width[] = { 0, 1, 2, 3, 4, 6, 8 };

	if (type >= 12) {
		uint64_t len = (type - 12) / 2;

		if (len > left)
			return SIZE_MAX;
		column->type = type % 2 == 0 ? LM_BLOB : LM_TEXT;
		column->bytes = body;
		return column->len = (size_t)len;
	}
	if (type == 0) {
		column->type = LM_NULL;
		return 0;
	}
	column->type = LM_INTEGER;
	if (type == 8 || type == 9) {
		column->integer = (int64_t)type - 8;
		return 0;
	}
	if (type >= LM_COUNT(width) || width[type] > left)
		return SIZE_MAX;
	column->integer = big_endian(body, width[type]);
	return width[type];
}

/* A record of exactly the columns wanted, with no byte behind them. */
static bool read_record(struct lm_cursor *c, const uint8_t *record, size_t len)
{
	uint64_t header_len, type;
	size_t at = lm_varint_get(record, len, &header_len), body = (size_t)header_len;

	if (at == 0 || header_len > len)
		return false;
	for (unsigned i = 0; i < c->columns; i++) {
		size_t n = lm_varint_get(record + at, (size_t)header_len - at, &type), taken;

		if (n == 0)
			return false;
		at += n;
		taken = read_column(&c->column[i], type, record + body, len - body);
		if (taken == SIZE_MAX)
			return false;
		body += taken;
	}
	return at == header_len && body == len;
}

int lm_cursor_next(struct lm_cursor *c)
{
	const struct lm_db *db = c->db;

	while (c->leaf < c->leaf_end) {
		uint32_t number = db->leaves[c->leaf];
		const uint8_t *page = page_at(db, number);
		const uint8_t *header = page + (number == 1 ? LM_DB_HEADER : 0);
		const uint8_t *record;
		struct lm_cell cell;

		if (c->cell == lm_be16(header + 3)) {
			c->leaf++;
			c->cell = 0;
			continue;
		}
		if (!lm_cell_read(page, db->page_size, lm_be16(header + 8 + 2 * c->cell++), &cell))
			return -1;
		record = gather(c, page, &cell);
		if (record == NULL)
			return -2;
		c->rowid = cell.rowid;
		return read_record(c, record, (size_t)cell.payload) ? 1 : -1;
	}
	return 0;
}
