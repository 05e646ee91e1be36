/* An image from rows, page by page: leaves as the rows come, then the levels above them. So the
 * same rows give the same bytes, no page is free, and no byte holds anything but rows and zeros
 * (spec: 3.1). */
#include "manifest/database.h"

enum {
	LEAF_HEADER = 8, INTERIOR_HEADER = 12,
	INTERIOR_CELL = 4 + 9 + 2, /* at most: page, key, pointer */
	VERSION_OF_SQLITE = 3040001, /* whose form this is; only a note (format: 1.3.14) */
};

static uint8_t *page_at(const struct lm_db_writer *w, uint32_t page)
{
	return w->bytes + (size_t)(page - 1) * w->page_size;
}

static void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

static size_t varint_size(uint64_t v)
{
	size_t n = 1;

	while (n < 9 && (v >>= 7) != 0)
		n++;
	return n;
}

static size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t n = varint_size(v);

	if (n == 9) {
		p[8] = (uint8_t)v;
		v >>= 8;
	}
	for (size_t i = LM_MIN(n, (size_t)8); i-- > 0; v >>= 7)
		p[i] = (uint8_t)(v | 0x80);
	if (n < 9)
		p[n - 1] &= 0x7f;
	return n;
}

/* A page of zeros at the end. */
static int new_page(struct lm_db_writer *w, uint32_t *page)
{
	if (w->len / w->page_size >= INT32_MAX)
		return lm_fail(w->error, LMODEL_ELIMIT, "the manifest is too large");
	if (w->capacity - w->len < w->page_size) {
		size_t wanted = w->capacity + w->capacity / 2 + (size_t)16 * w->page_size;
		uint8_t *grown = realloc(w->bytes, wanted);

		if (grown == NULL)
			return lm_fail_memory(w->error);
		w->bytes = grown;
		w->capacity = wanted;
	}
	memset(w->bytes + w->len, 0, w->page_size);
	w->len += w->page_size;
	*page = (uint32_t)(w->len / w->page_size);
	return LMODEL_OK;
}

int lm_db_begin(struct lm_db_writer *w, uint32_t page_size, struct lmodel_error *error)
{
	uint32_t first;

	*w = (struct lm_db_writer){ .page_size = page_size, .error = error };
	return new_page(w, &first); /* the schema's, made last */
}

void lm_db_abandon(struct lm_db_writer *w)
{
	free(w->bytes);
	free(w->children);
	free(w->record);
	*w = (struct lm_db_writer){ 0 };
}

/* ---- records ---- */

static uint64_t serial_type(const struct lm_column *c)
{
	uint64_t v;

	if (c->type == LM_NULL)
		return 0;
	if (c->type != LM_INTEGER)
		return 2 * (uint64_t)c->len + (c->type == LM_TEXT ? 13 : 12);
	if (c->integer == 0 || c->integer == 1)
		return 8 + (uint64_t)c->integer;
	v = (uint64_t)(c->integer < 0 ? ~c->integer : c->integer);
	return v <= 0x7f ? 1 : v <= 0x7fff ? 2 : v <= 0x7fffff ? 3 : v <= 0x7fffffff ? 4 :
	       v <= 0x7fffffffffff ? 5 : 6;
}

static size_t body_size(uint64_t type)
{
	static const uint8_t width[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0 };

	return type >= 12 ? (size_t)((type - 12) / 2) : width[type];
}

/* The record in w->record. */
static int make_record(struct lm_db_writer *w, const struct lm_column *column, unsigned count,
		       size_t *len)
{
	uint64_t type[LM_DB_COLUMNS];
	size_t header = 1, body = 0, at = 1; /* the header's length is below 128 */
	uint8_t *to;

	for (unsigned i = 0; i < count; i++) {
		type[i] = serial_type(&column[i]);
		header += varint_size(type[i]);
		body += body_size(type[i]);
	}
	*len = header + body;
	if (*len > INT32_MAX)
		return lm_fail(w->error, LMODEL_ELIMIT, "a row of the manifest is too long");
	if (w->record_capacity < *len) {
		free(w->record);
		w->record_capacity = 2 * *len;
		w->record = malloc(w->record_capacity);
		if (w->record == NULL) {
			w->record_capacity = 0;
			return lm_fail_memory(w->error);
		}
	}
	w->record[0] = (uint8_t)header;
	for (unsigned i = 0; i < count; i++)
		at += put_varint(w->record + at, type[i]);
	to = w->record + at;
	for (unsigned i = 0; i < count; i++) {
		size_t n = body_size(type[i]);

		if (column[i].type == LM_INTEGER)
			for (size_t k = 0; k < n; k++)
				to[k] = (uint8_t)((uint64_t)column[i].integer >> (8 * (n - 1 - k)));
		else if (n > 0)
			memcpy(to, column[i].bytes, n);
		to += n;
	}
	return LMODEL_OK;
}

/* ---- leaves ---- */

static uint8_t *header_of(const struct lm_db_writer *w, uint32_t page)
{
	return page_at(w, page) + (page == 1 ? LM_DB_HEADER : 0);
}

static void put_header(const struct lm_db_writer *w, uint32_t page, unsigned kind)
{
	uint8_t *header = header_of(w, page);

	header[0] = (uint8_t)kind;
	put_be16(header + 3, w->cells);
	put_be16(header + 5, w->content); /* 65536 as 0 */
}

static int new_leaf(struct lm_db_writer *w)
{
	w->cells = 0;
	w->content = w->page_size;
	return new_page(w, &w->page);
}

static int end_leaf(struct lm_db_writer *w)
{
	int r = lm_grow(&w->children, w->child_count, &w->child_capacity, sizeof(*w->children),
			w->error);

	if (r != LMODEL_OK)
		return r;
	put_header(w, w->page, LM_PAGE_LEAF);
	w->children[w->child_count++] = (struct lm_db_child){ w->page, w->last };
	w->page = 0;
	return LMODEL_OK;
}

/* What does not stand in the cell, in a chain of pages. */
static int put_overflow(struct lm_db_writer *w, const uint8_t *bytes, size_t len, uint32_t *first)
{
	uint32_t before = 0;

	for (size_t n; len > 0; bytes += n, len -= n) {
		uint32_t page;
		int r = new_page(w, &page);

		if (r != LMODEL_OK)
			return r;
		if (before == 0)
			*first = page;
		else
			put_be32(page_at(w, before), page);
		n = LM_MIN(len, (size_t)w->page_size - LM_OVERFLOW_LINK);
		memcpy(page_at(w, page) + LM_OVERFLOW_LINK, bytes, n);
		before = page;
	}
	return LMODEL_OK;
}

int lm_db_add(struct lm_db_writer *w, int64_t rowid, const struct lm_column *column,
		 unsigned count)
{
	size_t len = 0, local, size;
	uint32_t overflow = 0;
	uint8_t *cell;
	int r = make_record(w, column, count, &len);

	if (r != LMODEL_OK)
		return r;
	local = (size_t)lm_db_local(len, w->page_size);
	size = varint_size(len) + varint_size((uint64_t)rowid) + local +
	       (local < len ? LM_OVERFLOW_LINK : 0);
	size = LM_MAX(size, (size_t)4);
	if (w->page != 0 && w->content < LEAF_HEADER + 2 * (w->cells + 1) + size)
		r = end_leaf(w);
	if (r == LMODEL_OK && w->page == 0)
		r = new_leaf(w);
	if (r == LMODEL_OK && local < len)
		r = put_overflow(w, w->record + local, len - local, &overflow);
	if (r != LMODEL_OK)
		return r;
	w->content -= (uint32_t)size;
	cell = page_at(w, w->page) + w->content;
	cell += put_varint(cell, len);
	cell += put_varint(cell, (uint64_t)rowid);
	memcpy(cell, w->record, local);
	if (local < len)
		put_be32(cell + local, overflow);
	put_be16(header_of(w, w->page) + LEAF_HEADER + 2 * w->cells, w->content);
	w->cells++;
	w->last = rowid;
	return LMODEL_OK;
}

/* ---- above them ---- */

/* One page over `count` children, the last of which is its right-most. */
static void put_interior(struct lm_db_writer *w, uint32_t page,
			 const struct lm_db_child *children, size_t count)
{
	uint8_t *header = header_of(w, page);

	w->content = w->page_size;
	w->cells = (uint32_t)count - 1;
	for (uint32_t i = 0; i < w->cells; i++) {
		uint8_t *cell;

		w->content -= 4 + (uint32_t)varint_size((uint64_t)children[i].last);
		cell = page_at(w, page) + w->content;
		put_be32(cell, children[i].page);
		put_varint(cell + 4, (uint64_t)children[i].last);
		put_be16(header + INTERIOR_HEADER + 2 * i, w->content);
	}
	put_be32(header + 8, children[count - 1].page);
	put_header(w, page, LM_PAGE_INTERIOR);
}

/* One level: the children are replaced by the pages over them. They are spread evenly, so that no
 * page has one alone. The schema's root is page 1. */
static int end_level(struct lm_db_writer *w)
{
	size_t room = w->page_size - (w->is_schema ? LM_DB_HEADER : 0) - INTERIOR_HEADER;
	size_t most = room / INTERIOR_CELL + 1;
	size_t pages = (w->child_count + most - 1) / most, from = 0;

	for (size_t i = 0; i < pages; i++) {
		size_t to = w->child_count * (i + 1) / pages;
		int64_t last = w->children[to - 1].last;
		uint32_t page = 1;
		int r = pages == 1 && w->is_schema ? LMODEL_OK : new_page(w, &page);

		if (r != LMODEL_OK)
			return r;
		put_interior(w, page, w->children + from, to - from);
		from = to;
		w->children[i] = (struct lm_db_child){ page, last };
	}
	w->child_count = pages;
	return LMODEL_OK;
}

int lm_db_end_table(struct lm_db_writer *w, uint32_t *root)
{
	int r = w->page == 0 ? new_leaf(w) : LMODEL_OK;

	if (r == LMODEL_OK)
		r = end_leaf(w);
	while (r == LMODEL_OK &&
	       (w->child_count > 1 || (w->is_schema && w->children[0].page != 1)))
		r = end_level(w);
	if (r != LMODEL_OK)
		return r;
	*root = w->children[0].page;
	w->child_count = 0;
	w->last = 0;
	return LMODEL_OK;
}

static void put_file_header(const struct lm_db_writer *w)
{
	uint8_t *h = w->bytes;

	memcpy(h, "SQLite format 3", 16);
	put_be16(h + 16, w->page_size == 65536 ? 1 : w->page_size);
	h[18] = 3; /* file format write version: a stock SQLite opens it, and refuses to change it */
	h[19] = 1;
	memcpy(h + 20, "\0\x40\x20\x20", 4);
	put_be32(h + 24, 1);
	put_be32(h + 28, (uint32_t)(w->len / w->page_size));
	put_be32(h + 40, 1);
	put_be32(h + 44, 4);
	put_be32(h + 56, 1);
	put_be32(h + 60, LM_SQLITE_USER_VERSION);
	put_be32(h + 68, LM_SQLITE_APPLICATION_ID);
	put_be32(h + 92, 1);
	put_be32(h + 96, VERSION_OF_SQLITE);
}

static struct lm_column text(const char *bytes, size_t len)
{
	return (struct lm_column){ .type = LM_TEXT, .bytes = (const uint8_t *)bytes, .len = len };
}

int lm_db_finish(struct lm_db_writer *w, const uint32_t *roots, uint8_t **image, uint64_t *len)
{
	struct lm_schema_table table;
	const char *at = NULL;
	uint32_t root;
	int r = LMODEL_OK;

	w->is_schema = true;
	for (unsigned i = 0; r == LMODEL_OK && lm_schema_next(&at, &table); i++) {
		const struct lm_column row[] = {
			text("table", 5), text(table.name, table.name_len),
			text(table.name, table.name_len),
			{ .type = LM_INTEGER, .integer = roots[i] }, text(table.sql, table.sql_len),
		};

		r = lm_db_add(w, i + 1, row, LM_COUNT(row));
	}
	if (r == LMODEL_OK)
		r = lm_db_end_table(w, &root);
	if (r != LMODEL_OK)
		return r;
	put_file_header(w);
	*image = w->bytes;
	*len = w->len;
	w->bytes = NULL;
	return LMODEL_OK;
}
