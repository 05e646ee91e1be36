/* Checking an untrusted image before a row of it is read (spec: 3.1). Nothing here depends on what
 * the rows say: which pages belong to which table, and that cells lie where they may. So reading
 * needs no check of a place, and what is refused here is what SQLite would call damaged. */
#include "manifest/database.h"

#include <stdio.h>

#include "base/io.h"

enum { DEPTH_MOST = 20 }; /* as in SQLite */

struct walk {
	struct lm_db *db;
	uint8_t *used;           /* one a page */
	uint8_t *covered;        /* bytes of a page, for cells that are out of order */
	size_t leaf_count;
	/* of the table that is being walked */
	uint64_t rows;
	unsigned depth;          /* of its leaves; 0 before the first */
	int64_t last;            /* rowid */
	bool any;                /* there was one */
	const char *label;
	struct lmodel_error *error;
};

static int damaged(const struct walk *w, uint32_t page, const char *what)
{
	return lm_fail(w->error, LMODEL_ECORRUPT, "%s: manifest: the database is damaged: page %u: %s",
		       w->label, page, what);
}

/* Each page is a part of one table. */
static int take(struct walk *w, uint32_t page)
{
	if (page == 0 || page > w->db->page_count)
		return damaged(w, page, "is not there");
	if (w->used[page])
		return damaged(w, page, "is used twice");
	w->used[page] = 1;
	return LMODEL_OK;
}

static const uint8_t *page_at(const struct walk *w, uint32_t page)
{
	return w->db->bytes + (size_t)(page - 1) * w->db->page_size;
}

/* ---- the bytes of a page (format: 1.6) ---- */

/* What a page's cells take, as they are met. */
struct space {
	uint32_t number;
	const uint8_t *page, *header, *pointers;
	uint32_t count;          /* cells */
	uint32_t content;        /* where they begin, and what is free between them */
	uint32_t taken, before;
	bool in_order;           /* each before the one before it, as a table grows */
};

static int space_begin(struct walk *w, struct space *s, uint32_t number)
{
	const uint8_t *page = page_at(w, number);
	const uint8_t *header = page + (number == 1 ? LM_DB_HEADER : 0);
	uint32_t content = lm_be16(header + 5);

	*s = (struct space){
		.number = number, .page = page, .header = header, .count = lm_be16(header + 3),
		.pointers = header + (header[0] == LM_PAGE_LEAF ? 8 : 12),
		.content = content > 0 ? content : 65536, .before = w->db->page_size,
		.in_order = true,
	};
	if (s->content > w->db->page_size ||
	    s->content < (uint32_t)(s->pointers - page) + 2 * s->count)
		return damaged(w, number, "its cells do not fit");
	return LMODEL_OK;
}

static uint32_t cell_begin(const struct space *s, uint32_t index)
{
	return lm_be16(s->pointers + 2 * index);
}

/* Where the cell ends; false when it is not within the page's content. */
static bool cell_end(const struct walk *w, const struct space *s, uint32_t begin, uint32_t *end)
{
	const uint32_t page_size = w->db->page_size;
	struct lm_cell cell;
	uint64_t key;
	size_t len;

	if (begin < s->content || begin > page_size - 4)
		return false;
	if (s->header[0] == LM_PAGE_LEAF) {
		if (!lm_cell_read(s->page, page_size, begin, &cell))
			return false;
		*end = cell.end;
		return true;
	}
	len = lm_varint_get(s->page + begin + 4, page_size - begin - 4, &key);
	*end = begin + 4 + (uint32_t)len;
	return len > 0;
}

static void space_take(struct space *s, uint32_t begin, uint32_t end)
{
	s->in_order &= end <= s->before;
	s->before = begin;
	s->taken += end - begin;
}

static bool cover(struct walk *w, uint32_t begin, uint32_t end)
{
	if (!lm_is_zero(w->covered + begin, end - begin))
		return false;
	memset(w->covered + begin, 1, end - begin);
	return true;
}

/* Cells and free blocks, wherever they lie: no two share a byte. Blocks come in order, and two that
 * touch would be one. */
static bool are_apart(struct walk *w, struct space *s)
{
	const uint32_t page_size = w->db->page_size;
	uint32_t begin, end, block = lm_be16(s->header + 1), size, next;

	memset(w->covered, 0, page_size);
	for (uint32_t i = 0; i < s->count; i++) {
		begin = cell_begin(s, i);
		if (!cell_end(w, s, begin, &end) || !cover(w, begin, end))
			return false;
	}
	for (; block != 0; block = next) {
		if (block < s->content || block > page_size - 4)
			return false;
		next = lm_be16(s->page + block);
		size = lm_be16(s->page + block + 2);
		if (size < 4 || size > page_size - block || (next != 0 && next <= block + size + 3) ||
		    !cover(w, block, block + size))
			return false;
		s->taken += size;
	}
	return true;
}

/* All of the content is cells, free blocks, and the fragments that the header counts. */
static int space_end(struct walk *w, struct space *s)
{
	if ((!s->in_order || lm_be16(s->header + 1) != 0) && !are_apart(w, s))
		return damaged(w, s->number, "cells overlap");
	if (s->taken + s->header[7] != w->db->page_size - s->content)
		return damaged(w, s->number, "its free space is not what it says");
	return LMODEL_OK;
}

/* ---- leaves ---- */

/* The chain is as long as the payload wants it, and ends there. */
static int check_overflow(struct walk *w, uint32_t leaf, const struct lm_cell *cell)
{
	uint64_t left = cell->payload - cell->local;
	uint32_t next = lm_be32(page_at(w, leaf) + cell->at + cell->local);

	while (left > 0) {
		int r = take(w, next);

		if (r != LMODEL_OK)
			return r;
		left -= LM_MIN(left, (uint64_t)(w->db->page_size - LM_OVERFLOW_LINK));
		next = lm_be32(page_at(w, next));
	}
	return next == 0 ? LMODEL_OK : damaged(w, leaf, "more overflow pages than its payload has");
}

/* Rowids rise throughout a table. */
static bool rises(struct walk *w, int64_t rowid)
{
	if (w->any && rowid <= w->last)
		return false;
	w->last = rowid;
	w->any = true;
	return true;
}

static int check_leaf(struct walk *w, struct space *s)
{
	w->db->leaves[w->leaf_count++] = s->number;
	w->rows += s->count;
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t begin = cell_begin(s, i);
		struct lm_cell cell;

		if (begin < s->content || !lm_cell_read(s->page, w->db->page_size, begin, &cell))
			return damaged(w, s->number, "a cell is not within it");
		if (!rises(w, cell.rowid))
			return damaged(w, s->number, "a rowid is out of order");
		if (cell.local < cell.payload && check_overflow(w, s->number, &cell))
			return (int)w->error->code;
		space_take(s, begin, cell.end);
	}
	return space_end(w, s);
}

/* ---- the tree ---- */

static int check_page(struct walk *w, uint32_t number, unsigned depth);

/* Rows of a child are not above the key behind it, and those of the next child are. */
static int check_child(struct walk *w, const struct space *s, uint32_t begin, unsigned depth)
{
	uint64_t key;
	int r = check_page(w, lm_be32(s->page + begin), depth + 1);

	if (r != LMODEL_OK)
		return r;
	(void)lm_varint_get(s->page + begin + 4, 9, &key); /* all there: cell_end() */
	if (w->any && (int64_t)key < w->last)
		return damaged(w, s->number, "a key is out of order");
	w->last = (int64_t)key;
	w->any = true;
	return LMODEL_OK;
}

static int check_interior(struct walk *w, struct space *s, unsigned depth)
{
	int r;

	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t begin = cell_begin(s, i), end;

		if (!cell_end(w, s, begin, &end))
			return damaged(w, s->number, "a cell is not within it");
		space_take(s, begin, end);
	}
	r = space_end(w, s);
	for (uint32_t i = 0; i < s->count && r == LMODEL_OK; i++)
		r = check_child(w, s, cell_begin(s, i), depth);
	return r == LMODEL_OK ? check_page(w, lm_be32(s->header + 8), depth + 1) : r;
}

static int check_page(struct walk *w, uint32_t number, unsigned depth)
{
	struct space s;
	int r = take(w, number);

	if (r == LMODEL_OK)
		r = space_begin(w, &s, number);
	if (r != LMODEL_OK)
		return r;
	if (depth > DEPTH_MOST)
		return damaged(w, number, "lies too deep");
	if (s.header[0] == LM_PAGE_INTERIOR)
		return check_interior(w, &s, depth);
	if (s.header[0] != LM_PAGE_LEAF)
		return damaged(w, number, "is no page of a table");
	if ((w->depth != 0 && w->depth != depth) || (s.count == 0 && depth > 1))
		return damaged(w, number, "is a leaf at a wrong place");
	w->depth = depth;
	return check_leaf(w, &s);
}

static int check_tree(struct walk *w, struct lm_db_table *table, uint32_t root)
{
	int r;

	w->any = false;
	w->depth = 0;
	w->rows = 0;
	table->first_leaf = w->leaf_count;
	r = check_page(w, root, 1);
	table->leaf_count = w->leaf_count - table->first_leaf;
	table->rows = w->rows;
	return r;
}

/* ---- header and schema ---- */

/* What tells "not ours" and "newer" apart, then what SQLite needs to find its way (format: 1.3). */
static int check_header(struct lm_db *db, const uint8_t *bytes, uint64_t len,
			const char *label, struct lmodel_error *error)
{
	uint32_t version, size;

	if (len < 512 || memcmp(bytes, "SQLite format 3", 16) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: is not an SQLite image",
			       label);
	if (lm_be32(bytes + 68) != LM_SQLITE_APPLICATION_ID)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: application id is not LMDL",
			       label);
	version = lm_be32(bytes + 60);
	if (version != LM_SQLITE_USER_VERSION)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: manifest: schema version %u; this lmodel knows %u", label,
			       version, LM_SQLITE_USER_VERSION);
	if (bytes[18] != 3 || bytes[19] != 1)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: read and write versions %u, %u",
			       label, bytes[19], bytes[18]);
	if (lm_be32(bytes + 56) != 1)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: manifest: its text is not UTF-8",
			       label);
	size = lm_be16(bytes + 16);
	size = size == 1 ? 65536 : size;
	if (size < 512 || (size & (size - 1)) != 0 || len % size != 0 ||
	    len / size != lm_be32(bytes + 28))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest: the database is damaged: %ju bytes in %u pages of %u",
			       label, (uintmax_t)len, lm_be32(bytes + 28), size);
	/* Reserved bytes, fractions of payload, format of the schema, auto-vacuum. */
	if (memcmp(bytes + 20, "\0\x40\x20\x20", 4) != 0 || lm_be32(bytes + 44) != 4 ||
	    !lm_is_zero(bytes + 52, 4))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest: the database is damaged: its header", label);
	db->bytes = bytes;
	db->page_size = size;
	db->page_count = lm_be32(bytes + 28);
	return LMODEL_OK;
}

static bool is_text(const struct lm_column *column, const char *text, size_t len)
{
	return column->type == LM_TEXT && column->len == len &&
	       (len == 0 || memcmp(column->bytes, text, len) == 0);
}

/* The schema's rows are those that our own text makes, in its order; then the tables that they
 * name. */
static int check_schema(struct walk *w)
{
	struct lm_db *db = w->db;
	struct lm_schema_table table;
	struct lm_cursor cursor;
	uint32_t roots[LM_SCHEMA_TABLES];
	const char *at = NULL;
	int r = check_tree(w, &db->tables[db->table_count++], 1);
	bool same;

	if (r != LMODEL_OK)
		return r;
	lm_cursor_open(&cursor, db, "", 5);
	for (same = true; same && lm_schema_next(&at, &table);) {
		struct lm_db_table *t = &db->tables[db->table_count];
		const struct lm_column *c = cursor.column;

		same = lm_cursor_next(&cursor) == 1 && is_text(&c[0], "table", 5) &&
		       is_text(&c[1], table.name, table.name_len) &&
		       is_text(&c[2], table.name, table.name_len) && c[3].type == LM_INTEGER &&
		       c[3].integer > 0 && c[3].integer <= db->page_count &&
		       is_text(&c[4], table.sql, table.sql_len);
		if (!same)
			break;
		snprintf(t->name, sizeof(t->name), "%.*s", (int)table.name_len, table.name);
		roots[db->table_count++] = (uint32_t)c[3].integer;
	}
	same = same && lm_cursor_next(&cursor) == 0;
	lm_cursor_close(&cursor);
	if (!same)
		return lm_fail(w->error, LMODEL_ECORRUPT,
			       "%s: manifest: its schema is not that of lmodel", w->label);
	for (size_t i = 1; i < db->table_count && r == LMODEL_OK; i++)
		r = check_tree(w, &db->tables[i], roots[i]);
	return r;
}

int lm_db_open(struct lm_db *db, const uint8_t *bytes, uint64_t len, const char *label,
		  struct lmodel_error *error)
{
	struct walk w = { .db = db, .label = label, .error = error };
	LM_FREE uint8_t *used = NULL;
	LM_FREE uint8_t *covered = NULL;
	int r;

	*db = (struct lm_db){ 0 };
	r = check_header(db, bytes, len, label, error);
	if (r != LMODEL_OK)
		return r;
	w.used = used = calloc((size_t)db->page_count + 1, 1);
	w.covered = covered = malloc(db->page_size);
	db->leaves = malloc(db->page_count * sizeof(*db->leaves));
	if (used == NULL || covered == NULL || db->leaves == NULL)
		r = lm_fail_memory(error);
	if (r == LMODEL_OK)
		r = check_schema(&w);
	/* A page of no table could hold what nobody sees. A list of free ones would be of such. */
	for (uint32_t i = 1; i <= db->page_count && r == LMODEL_OK; i++)
		if (!used[i])
			r = damaged(&w, i, "is in no table");
	if (r == LMODEL_OK && !lm_is_zero(bytes + 32, 8))
		r = damaged(&w, 1, "names free pages");
	if (r != LMODEL_OK)
		lm_db_close(db);
	return r;
}

void lm_db_close(struct lm_db *db)
{
	free(db->leaves);
	*db = (struct lm_db){ 0 };
}
