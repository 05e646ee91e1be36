/* manifest/database.h beside SQLite: each reads what the other one writes, and what is damaged in any
 * way is either refused or read alike. */
#include "manifest/database.h"

#include <sqlite3.h>
#include <stdio.h>

#include "lib/tap.h"

static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % below;
}

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- rows ---- */

/* Which columns each table has, by the letters of their types: i, t, b, and k for an id. */
static const struct { const char *name, *types; } tables[] = {
	{ "archive", "tiiittt" },     { "member", "ktiiitibb" }, { "source", "kttii" },
	{ "metadata", "kitt" },       { "tensor", "ktttiiii" },  { "attachment", "kti" },
	{ "tier", "ktitttttbbbbii" }, { "shard", "kiitibib" },   { "sealed", "ktiib" },
	{ "key_slot", "ktbb" },       { "owner", "bbib" },       { "signature", "ktb" },
	{ "dead", "iit" },            { "statement", "t" },
};

static uint8_t pool[1 << 17];

static size_t some_length(void)
{
	return (size_t)draw(UINT64_C(1) << (1 + draw(draw(20) == 0 ? 16 : 7)));
}

/* Texts are ASCII, so that both sides take them as they are. */
static struct lm_column some_value(char type)
{
	struct lm_column c = { .type = type == 'i' ? LM_INTEGER : type == 't' ? LM_TEXT : LM_BLOB };

	if (type == 'k')
		return (struct lm_column){ .type = LM_NULL };
	c.integer = (int64_t)(draw(1 << 30) * draw(1 << 30) * 4 >> draw(62));
	if (draw(4) == 0)
		c.integer = -c.integer;
	c.bytes = pool + draw(sizeof(pool) / 2);
	c.len = some_length();
	return c;
}

/* An image with `rows` rows in each table, with gaps between their rowids. */
static uint8_t *write_image(uint32_t page_size, unsigned rows, uint64_t *len)
{
	struct lm_db_writer w;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint32_t roots[LM_COUNT(tables)];
	uint8_t *image = NULL;
	int r = lm_db_begin(&w, page_size, &error);

	for (size_t t = 0; t < LM_COUNT(tables) && r == LMODEL_OK; t++) {
		int64_t rowid = -3;

		for (unsigned i = 0; i < rows && r == LMODEL_OK; i++) {
			struct lm_column column[LM_DB_COLUMNS];
			unsigned count = (unsigned)strlen(tables[t].types);

			for (unsigned c = 0; c < count; c++)
				column[c] = some_value(tables[t].types[c]);
			rowid += 1 + (int64_t)draw(UINT64_C(1) << draw(20));
			r = lm_db_add(&w, rowid, column, count);
		}
		if (r == LMODEL_OK)
			r = lm_db_end_table(&w, &roots[t]);
	}
	if (r == LMODEL_OK)
		r = lm_db_finish(&w, roots, &image, len);
	lm_db_abandon(&w);
	if (r != LMODEL_OK)
		abort();
	return image;
}

/* ---- both readers ---- */

static sqlite3 *open_sqlite(const uint8_t *image, uint64_t len)
{
	sqlite3 *db = NULL;
	uint8_t *copy = must(sqlite3_malloc64(len));

	memcpy(copy, image, len);
	copy[18] = copy[19] = 1;
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_deserialize(db, "main", copy, (sqlite3_int64)len, (sqlite3_int64)len,
				SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) !=
	    SQLITE_OK)
		abort();
	return db;
}

/* Damage of the structure; a wrong type in a STRICT table is none of it. */
static bool is_sound(sqlite3 *db, const char *check)
{
	sqlite3_stmt *s = NULL;
	bool sound = sqlite3_prepare_v2(db, check, -1, &s, NULL) == SQLITE_OK;
	int r = SQLITE_DONE;

	while (sound && (r = sqlite3_step(s)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);

		if (strcmp(text, "ok") != 0 && strstr(text, " value in ") == NULL) {
			printf("# SQLite: %s\n", text);
			sound = false;
		}
	}
	sqlite3_finalize(s);
	return sound && r == SQLITE_DONE;
}

static bool same_value(const struct lm_column *ours, sqlite3_stmt *s, int column, bool is_id)
{
	int type = sqlite3_column_type(s, column);

	if (is_id) /* SQLite shows the rowid there */
		return ours->type == LM_NULL;
	if (ours->type == LM_NULL)
		return type == SQLITE_NULL;
	if (ours->type == LM_INTEGER)
		return type == SQLITE_INTEGER && ours->integer == sqlite3_column_int64(s, column);
	return type == (ours->type == LM_TEXT ? SQLITE_TEXT : SQLITE_BLOB) &&
	       (size_t)sqlite3_column_bytes(s, column) == ours->len &&
	       (ours->len == 0 ||
		memcmp(sqlite3_column_blob(s, column), ours->bytes, ours->len) == 0);
}

/* 1 when both give the same rows, 0 when ours refuses one, -1 when they differ. */
static int compare_table(const struct lm_db *ours, sqlite3 *db, const char *name, const char *types,
			 uint64_t *rows)
{
	unsigned count = (unsigned)strlen(types);
	struct lm_cursor c;
	sqlite3_stmt *s = NULL;
	char sql[100];
	int next, same = 1;

	snprintf(sql, sizeof(sql), "SELECT rowid, * FROM %s ORDER BY rowid", name);
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		return -1;
	lm_cursor_open(&c, ours, name, count);
	while (same == 1 && (next = lm_cursor_next(&c)) != 0) {
		if (next < 0) {
			same = 0;
			break;
		}
		++*rows;
		same = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) == c.rowid ? 1 : -1;
		for (unsigned i = 0; i < count && same == 1; i++) {
			/* a record of ours is refused elsewhere when its id is not NULL */
			if (types[i] == 'k' && c.column[i].type != LM_NULL)
				same = 0;
			else if (!same_value(&c.column[i], s, (int)i + 1, types[i] == 'k'))
				same = -1;
		}
	}
	if (same == 1 && sqlite3_step(s) != SQLITE_DONE)
		same = -1;
	sqlite3_finalize(s);
	lm_cursor_close(&c);
	return same;
}

/* As compare_table(), of all tables; 0 also when our reader refuses the image. */
static int compare(const uint8_t *image, uint64_t len, uint64_t *rows, struct lmodel_error *error)
{
	/* Of exactly this size, so that a sanitizer sees the first byte too far. */
	LM_FREE uint8_t *copy = must(malloc(len));
	struct lm_db ours;
	sqlite3 *db;
	int same = 1;

	*rows = 0;
	memcpy(copy, image, len);
	if (lm_db_open(&ours, copy, len, "'x'", error) != LMODEL_OK)
		return 0;
	db = open_sqlite(image, len);
	for (size_t t = 0; t < LM_COUNT(tables) && same == 1; t++) {
		same = compare_table(&ours, db, tables[t].name, tables[t].types, rows);
		if (same < 0)
			printf("# %s differs\n", tables[t].name);
	}
	if (same == 1 && !is_sound(db, "PRAGMA quick_check"))
		same = -1;
	sqlite3_close(db);
	lm_db_close(&ours);
	return same;
}

/* ---- tests ---- */

static void test_writer(void)
{
	static const struct { uint32_t page_size; unsigned rows; } cases[] = {
		{ 512, 0 }, { 512, 1 }, { 512, 3 }, { 512, 40 }, { 512, 600 }, { 1024, 300 },
		{ 4096, 0 }, { 4096, 300 }, { 65536, 1 }, { 65536, 100 },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		uint64_t len = 0, rows = 0;
		uint8_t *image = write_image(cases[i].page_size, cases[i].rows, &len);
		sqlite3 *db = open_sqlite(image, len);

		ok(is_sound(db, "PRAGMA integrity_check"), "pages of %u, %u rows: sound to SQLite",
		   cases[i].page_size, cases[i].rows);
		is_int(compare(image, len, &rows, &error), 1, "... which reads the same rows");
		is_int((intmax_t)rows, (intmax_t)(LM_COUNT(tables) * cases[i].rows), "... all");
		sqlite3_close(db);
		free(image);
	}
}

static uint8_t *from_sqlite(const char *sql, uint64_t *len)
{
	sqlite3 *db = NULL;
	sqlite3_int64 size = 0;
	struct lm_schema_table table;
	const char *at = NULL;
	char *message = NULL;
	uint8_t *image, *copy;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		abort();
	sqlite3_exec(db, "PRAGMA page_size = 512; PRAGMA application_id = 0x4c4d444c", NULL, NULL,
		     NULL);
	while (lm_schema_next(&at, &table)) {
		LM_FREE char *create = must(lm_format(NULL, "%.*s", (int)table.sql_len, table.sql));

		if (sqlite3_exec(db, create, NULL, NULL, &message) != SQLITE_OK)
			abort();
	}
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, message);
		abort();
	}
	image = must(sqlite3_serialize(db, "main", &size, 0));
	copy = must(malloc((size_t)size));
	memcpy(copy, image, (size_t)size);
	copy[18] = 3;
	copy[60] = copy[61] = copy[62] = 0;
	copy[63] = LM_SQLITE_USER_VERSION;
	*len = (uint64_t)size;
	sqlite3_free(image);
	sqlite3_close(db);
	return copy;
}

#define ROWS(n, step) \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #n ") " \
	"INSERT INTO metadata SELECT i * " #step " % 100003, i, hex(randomblob(i % 40)), " \
	"CASE WHEN i % 50 = 0 THEN hex(randomblob(i * 3)) ELSE '' END FROM n;"

static void test_reader(void)
{
	static const struct { const char *sql, *message; } cases[] = {
		{ "SELECT 1", "" },
		{ ROWS(1000, 1), "" },
		{ ROWS(1000, 7919), "" }, /* in no order, so that pages split */
		{ ROWS(1000, 7919) "DELETE FROM metadata WHERE id % 3 = 0;" ROWS(40, 3) "VACUUM", "" },
		/* free blocks within pages */
		{ ROWS(12, 1) "UPDATE metadata SET value = '' WHERE id % 2 = 0", "" },
		{ ROWS(1000, 1) "DELETE FROM metadata", "is in no table" },
		{ ROWS(1000, 1) "UPDATE metadata SET value = 'x'", "is in no table" },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		uint64_t len = 0, rows = 0;
		uint8_t *image = from_sqlite(cases[i].sql, &len);
		int same = compare(image, len, &rows, &error);

		if (cases[i].message[0] == '\0') {
			is_str(error.message, "", cases[i].sql);
			is_int(same, 1, "... is read alike");
		} else {
			is_error(&error, LMODEL_ECORRUPT, cases[i].message, cases[i].sql);
		}
		free(image);
	}
}

/* The writer leaves nothing of what was in memory before: all that is neither a header, a pointer
 * nor a cell is zero. So each byte of an image that is not can be told from the rows. */
static void test_zeros(void)
{
	uint64_t len = 0;
	uint8_t *image = write_image(512, 40, &len);
	unsigned dirty = 0;

	for (uint64_t page = 0; page < len; page += 512) {
		uint32_t from = page == 0 ? LM_DB_HEADER : 0;
		const uint8_t *header = image + page + from;
		uint32_t cells = lm_be16(header + 3);

		if (header[0] != LM_PAGE_LEAF && header[0] != LM_PAGE_INTERIOR)
			continue; /* an overflow page, or its like */
		if (lm_be16(header + 5) > 512)
			continue;
		from += (header[0] == LM_PAGE_LEAF ? 8 : 12) + 2 * cells;
		for (uint32_t i = from; i < lm_be16(header + 5); i++)
			dirty += image[page + i] != 0;
	}
	is_int(dirty, 0, "no byte between pointers and cells is used");
	free(image);
}

/* Bits of headers, pointers and cells flipped, bytes set to what matters, pages exchanged: whatever our
 * reader takes, SQLite finds sound, and reads alike. */
static void test_damage(void)
{
	uint64_t len = 0, rows, taken = 0, refused = 0;
	uint8_t *image = write_image(512, 12, &len);
	LM_FREE uint8_t *copy = must(malloc(len));
	unsigned differ = 0;

	for (unsigned i = 0; i < 6000; i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		uint64_t page = draw(len / 512) * 512;
		/* mostly where the structure is */
		uint64_t at = page + (draw(3) > 0 ? draw(40) : draw(512));
		int same;

		memcpy(copy, image, len);
		if (draw(8) == 0)
			memcpy(copy + page, image + draw(len / 512) * 512, 512);
		else if (draw(2) == 0)
			copy[at] ^= (uint8_t)(1u << draw(8));
		else
			copy[at] = (uint8_t)draw(256);
		same = compare(copy, len, &rows, &error);
		if (same < 0)
			printf("# byte %ju of page %ju\n", (uintmax_t)(at % 512),
			       (uintmax_t)(at / 512 + 1));
		differ += same < 0;
		taken += same == 1;
		refused += same == 0;
	}
	printf("# %ju taken, %ju refused\n", (uintmax_t)taken, (uintmax_t)refused);
	ok(taken > 100 && refused > 100, "damage: both answers come");
	is_int(differ, 0, "damage: what is taken is what SQLite reads");
	free(image);
}

/* A chain of overflow pages that comes back to itself, cells that share bytes, rows twice. */
static void test_hostile(void)
{
	static const char rows[] = "INSERT INTO metadata VALUES (0, 1, 'k', hex(randomblob(3000))),"
				   " (1, 1, 'a', 'bbbbbbbb'), (2, 1, 'a', 'bbbbbbbb')";
	uint64_t len = 0;
	uint8_t *image = from_sqlite(rows, &len);
	LM_FREE uint8_t *copy = must(malloc(len));
	struct lm_db db;
	uint32_t leaf = 0;

	if (lm_db_open(&db, image, len, "'x'", NULL) != LMODEL_OK)
		abort();
	for (size_t i = 0; i < db.table_count; i++)
		if (strcmp(db.tables[i].name, "metadata") == 0)
			leaf = db.leaves[db.tables[i].first_leaf];
	lm_db_close(&db);
	for (int i = 0; i < 6; i++) {
		static const char *const message[] = {
			"is used twice", "a rowid is out of order", "cells overlap",
			"a cell is not within it", "is not there", "its cells do not fit",
		};
		struct lmodel_error error = LMODEL_ERROR_INIT;
		uint8_t *page = copy + (size_t)(leaf - 1) * 512, *pointers = page + 8;
		uint32_t next = lm_be32(image + (size_t)(leaf - 1) * 512 + 508);

		memcpy(copy, image, len);
		if (i == 0) /* the second overflow page's next is the first */
			memcpy(copy + (size_t)(lm_be32(copy + (size_t)(next - 1) * 512) - 1) * 512,
			       page + 508, 4);
		else if (i == 1) /* the second row twice */
			memcpy(pointers + 4, pointers + 2, 2);
		else if (i == 2) /* the third row begins in the second */
			pointers[5] = (uint8_t)(pointers[3] + 1);
		else if (i == 3)
			memset(pointers + 4, 0, 2);
		else if (i == 4) /* an overflow page far away */
			page[508] = 0x7f;
		else
			memset(page + 3, 0xff, 2);
		if (lm_db_open(&db, copy, len, "'x'", &error) == LMODEL_OK)
			lm_db_close(&db);
		is_error(&error, LMODEL_ECORRUPT, message[i], message[i]);
	}
	free(image);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(pool); i++)
		pool[i] = (uint8_t)('a' + draw(26));
	test_writer();
	test_reader();
	test_zeros();
	test_damage();
	test_hostile();
	return done();
}
