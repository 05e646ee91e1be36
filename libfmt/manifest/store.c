/* Structs to an SQLite image, table by table in the order of the schema. */
#include <stdarg.h>
#include <stdio.h>

#include "manifest/database.h"
#include "manifest/manifest.h"

static struct lm_column integer(uint64_t v)
{
	return (struct lm_column){ .type = LM_INTEGER, .integer = (int64_t)v };
}

static struct lm_column bytes(enum lm_column_type type, const void *bytes, size_t len)
{
	return (struct lm_column){ .type = type, .bytes = bytes, .len = len };
}

/* Adds a row of one value a letter: i = uint64_t, t = const char *, b = const void * and size_t,
 * o = the same or NULL, n = size_t row number or LM_NONE for NULL. With k, for the id, the column
 * is NULL: it is the rowid (SQLite's file format, 2.3). */
static int row(struct lm_db_writer *w, uint64_t rowid, const char *types, ...)
{
	struct lm_column column[LM_DB_COLUMNS];
	unsigned count = 0;
	va_list args;

	va_start(args, types);
	for (const char *t = types; *t != '\0'; t++) {
		struct lm_column *c = &column[count++];

		*c = (struct lm_column){ .type = LM_NULL };
		if (*t == 'i') {
			*c = integer(va_arg(args, uint64_t));
		} else if (*t == 't') {
			const char *text = va_arg(args, const char *);

			*c = bytes(LM_TEXT, text, strlen(text));
		} else if (*t == 'b' || *t == 'o') {
			const void *blob = va_arg(args, const void *);
			size_t len = va_arg(args, size_t);

			if (*t == 'b' || blob != NULL)
				*c = bytes(LM_BLOB, blob, len);
		} else if (*t == 'n') {
			size_t n = va_arg(args, size_t);

			if (n != LM_NONE)
				*c = integer(n);
		}
	}
	va_end(args);
	return lm_db_add(w, (int64_t)rowid, column, count);
}

static int store_archive(const struct lm_manifest *m, struct lm_db_writer *w)
{
	return row(w, 1, "tiiittt", m->id, (uint64_t)m->format, m->content_generation,
		   (uint64_t)m->created, m->tool, m->source_format, m->must_understand);
}

static int store_members(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->member_count && r == LMODEL_OK; i++) {
		const struct lm_member *b = &m->members[i];

		/* The index is little-endian in the file, and so are all machines supported. */
		r = row(w, i, "ktiiitibb", b->path, b->offset, b->length, b->bytes, b->coding_name,
			b->chunk_bytes, (const void *)b->chunks,
			(size_t)b->chunk_count * sizeof(uint32_t), (const void *)b->digest,
			sizeof(b->digest));
	}
	return r;
}

static int store_sources(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->source_count && r == LMODEL_OK; i++)
		r = row(w, i, "kttin", m->sources[i].name, m->sources[i].format,
			m->sources[i].bytes, m->sources[i].skeleton);
	return r;
}

static int store_metadata(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->metadata_count && r == LMODEL_OK; i++)
		r = row(w, i, "kntt", m->metadata[i].source, m->metadata[i].key,
			m->metadata[i].value);
	return r;
}

enum { RANK_MOST = 64, SHAPE_SIZE = 3 + RANK_MOST * 21 };

static void print_shape(char text[SHAPE_SIZE], const struct lm_tensor_row *t)
{
	char digits[20];

	*text++ = '[';
	for (unsigned i = 0; i < LM_MIN(t->rank, (unsigned)RANK_MOST); i++) {
		uint64_t v = t->shape[i];
		size_t n = 0;

		do
			digits[n++] = (char)('0' + v % 10);
		while ((v /= 10) != 0);
		if (i > 0)
			*text++ = ',';
		while (n > 0)
			*text++ = digits[--n];
	}
	memcpy(text, "]", 2);
}

static int store_tensors(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++) {
		const struct lm_tensor_row *t = &m->tensors[i];
		char shape[SHAPE_SIZE];

		print_shape(shape, t);
		r = row(w, i, "ktttinnn", t->name, t->dtype->name, shape, t->bytes, t->source,
			t->member, t->alias);
	}
	return r;
}

static int store_attachments(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->attachment_count && r == LMODEL_OK; i++)
		r = row(w, i, "ktn", m->attachments[i].name, m->attachments[i].member);
	return r;
}

static int store_tiers(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->tier_count && r == LMODEL_OK; i++) {
		const struct lm_tier_row *t = &m->tiers[i];
		size_t n = LM_SHA256_SIZE;

		r = row(w, i, "ktitttttbbbbnn", t->name, t->generation, t->selection, t->mask,
			t->unit, t->scope, t->amount, (const void *)t->key_commitment, n,
			(const void *)t->position_commitment, n, (const void *)t->key_mac, n,
			(const void *)t->position_mac, n,
			t->absent ? LM_NONE : (size_t)t->offset[LM_POSITIONS],
			t->absent ? LM_NONE : (size_t)t->offset[LM_VALUES]);
	}
	return r;
}

static int store_shards(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->shard_count && r == LMODEL_OK; i++) {
		const struct lm_shard_row *s = &m->shards[i];
		const struct lm_stream_row *p = &s->stream[LM_POSITIONS],
					   *v = &s->stream[LM_VALUES];

		r = row(w, i, "knntibib", s->tier, s->tensor, s->unit, p->length,
			(const void *)p->digest, sizeof(p->digest), v->length,
			(const void *)v->digest, sizeof(v->digest));
	}
	return r;
}

static int store_sealed(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->sealed_count && r == LMODEL_OK; i++) {
		const struct lm_sealed_row *s = &m->sealed[i];

		r = row(w, i, "ktnib", s->name, s->tier, s->stream.length,
			(const void *)s->stream.digest, sizeof(s->stream.digest));
	}
	return r;
}

static int store_slots(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->slot_count && r == LMODEL_OK; i++) {
		const struct lm_slot_row *s = &m->slots[i];

		r = row(w, s->id, "ktbo", s->kind, (const void *)s->grant, s->grant_len,
			(const void *)s->identity, s->identity_len);
	}
	return r;
}

static int store_owner(const struct lm_manifest *m, struct lm_db_writer *w)
{
	const struct lm_owner_row *o = &m->owner;

	return !o->present ? LMODEL_OK :
			     row(w, 1, "bbib", (const void *)o->public_key, sizeof(o->public_key),
				 (const void *)o->signature, sizeof(o->signature), o->book_counter,
				 (const void *)o->book, o->book_len);
}

static int store_signatures(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->signature_count && r == LMODEL_OK; i++)
		r = row(w, i, "ktb", m->signatures[i].kind, (const void *)m->signatures[i].bytes,
			m->signatures[i].len);
	return r;
}

static int store_dead(const struct lm_manifest *m, struct lm_db_writer *w)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < m->dead_count && r == LMODEL_OK; i++)
		r = row(w, i + 1, "iit", m->dead[i].offset, m->dead[i].length,
			m->dead[i].pending ? "pending" : "zero");
	return r;
}

static int store_statement(const struct lm_manifest *m, struct lm_db_writer *w)
{
	return row(w, 1, "t", m->statement);
}

/* The tables of schema/manifest.sql, in its order. */
static int (*const stores[])(const struct lm_manifest *, struct lm_db_writer *) = {
	store_archive, store_members, store_sources, store_metadata, store_tensors,
	store_attachments, store_tiers, store_shards, store_sealed, store_slots, store_owner,
	store_signatures, store_dead, store_statement,
};

/* Small pages keep a small manifest small; large ones keep a large manifest quick. */
static unsigned page_size(const struct lm_manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->member_count; i++)
		n += 80 + 2 * strlen(m->members[i].path) + 4 * (uint64_t)m->members[i].chunk_count;
	for (size_t i = 0; i < m->metadata_count; i++)
		n += strlen(m->metadata[i].value);
	n += 60 * (m->tensor_count + m->attachment_count) +
	     100 * (m->shard_count + m->sealed_count) +
	     600 * m->slot_count;
	return n < 64 << 10 ? 512 : n < 1 << 20 ? 1024 : 4096;
}

int lm_manifest_store(const struct lm_manifest *m, uint8_t **image, uint64_t *len,
		      struct lmodel_error *error)
{
	struct lm_db_writer w;
	uint32_t roots[LM_COUNT(stores)];
	int r = lm_db_begin(&w, page_size(m), error);

	for (size_t i = 0; i < LM_COUNT(stores) && r == LMODEL_OK; i++) {
		r = stores[i](m, &w);
		if (r == LMODEL_OK)
			r = lm_db_end_table(&w, &roots[i]);
	}
	if (r == LMODEL_OK)
		r = lm_db_finish(&w, roots, image, len);
	lm_db_abandon(&w);
	return r;
}
