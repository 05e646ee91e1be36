/* Key slots, the owner, signatures (spec: 3.9): tables that change without the others. */
#include "manifest/rows.h"

static int read_slot(struct lm_load *l, struct lm_table *t, unsigned last)
{
	struct lm_slot_row *s = &l->m->slots[l->m->slot_count - 1];
	uint64_t id;

	if (lm_get_int(t, 0, "id", LM_SLOT_ID_LIMIT, &id) ||
	    lm_get_word(t, 1, "kind", "X25519 ssh-ed25519 passphrase", &s->kind) ||
	    lm_get_blob(t, 2, "grant", LM_GRANT_LIMIT, &s->grant, &s->grant_len))
		return LMODEL_ECORRUPT;
	if (id <= last)
		return lm_table_bad(t, "id is out of order");
	s->id = (unsigned)id;
	if (lm_is_null(t, 3) == (strcmp(s->kind, "passphrase") == 0))
		return lm_table_bad(t, "identity");
	if (lm_is_null(t, 3))
		return LMODEL_OK;
	return lm_get_blob(t, 3, "identity", LM_GRANT_LIMIT, &s->identity, &s->identity_len);
}

static int read_slots(struct lm_load *l)
{
	LM_CLEANUP(lm_table_close) struct lm_table t = { 0 };
	struct lm_manifest *m = l->m;
	size_t capacity = 0;
	bool more;
	int r = lm_table_open(&t, l, "key_slot",
			      "SELECT id, kind, grant, identity FROM key_slot ORDER BY id");

	while (r == LMODEL_OK && (r = lm_table_next(&t, &more)) == LMODEL_OK && more) {
		if (m->slot_count == LM_SLOT_ROW_LIMIT)
			return lm_fail(l->error, LMODEL_ELIMIT, "%s: more than %u key slots",
				       l->label, LM_SLOT_ROW_LIMIT);
		r = lm_grow(&m->slots, m->slot_count, &capacity, sizeof(*m->slots), l->error);
		if (r != LMODEL_OK)
			break;
		m->slots[m->slot_count++] = (struct lm_slot_row){ 0 };
		r = read_slot(l, &t, m->slot_count > 1 ? m->slots[m->slot_count - 2].id : 0);
		t.row++;
	}
	return r;
}

static int by_grant(const void *a, const void *b)
{
	const struct lm_slot_row *x = *(const struct lm_slot_row *const *)a;
	const struct lm_slot_row *y = *(const struct lm_slot_row *const *)b;

	if (x->grant_len != y->grant_len)
		return x->grant_len < y->grant_len ? -1 : 1;
	return memcmp(x->grant, y->grant, x->grant_len);
}

/* A copy of a slot would stay when the slot is taken out. */
static int check_slots(const struct lm_load *l)
{
	const struct lm_manifest *m = l->m;
	LM_FREE const struct lm_slot_row **order = calloc(m->slot_count + 1, sizeof(*order));

	if (order == NULL)
		return lm_fail_memory(l->error);
	for (size_t i = 0; i < m->slot_count; i++)
		order[i] = &m->slots[i];
	qsort(order, m->slot_count, sizeof(*order), by_grant);
	for (size_t i = 1; i < m->slot_count; i++)
		if (by_grant(&order[i - 1], &order[i]) == 0)
			return lm_fail(l->error, LMODEL_ECORRUPT,
				       "%s: manifest: key slots %u and %u are the same", l->label,
				       order[i - 1]->id, order[i]->id);
	return LMODEL_OK;
}

static int read_owner(struct lm_load *l)
{
	LM_CLEANUP(lm_table_close) struct lm_table t = { 0 };
	struct lm_owner_row *o = &l->m->owner;
	bool more;

	if (lm_table_open(&t, l, "owner",
			  "SELECT public_key, signature, book_counter, book FROM owner") ||
	    lm_table_next(&t, &o->present))
		return LMODEL_ECORRUPT;
	if (o->present != (l->m->tier_count > 0))
		return lm_table_bad(&t, o->present ? "without tiers" : "row is missing");
	if (!o->present)
		return LMODEL_OK;
	if (lm_get_bytes(&t, 0, "public key", o->public_key, sizeof(o->public_key)) ||
	    lm_get_bytes(&t, 1, "signature", o->signature, sizeof(o->signature)) ||
	    lm_get_int(&t, 2, "book counter", INT64_MAX, &o->book_counter) ||
	    lm_get_blob(&t, 3, "book", LM_BOOK_LIMIT, &o->book, &o->book_len))
		return LMODEL_ECORRUPT;
	if (lm_table_next(&t, &more) || more)
		return lm_table_bad(&t, "more than one row");
	return LMODEL_OK;
}

/* Whether it is a signature at all is for whoever asks for one: a bad one must not keep anybody
 * from opening the archive. */
static int read_signature(struct lm_load *l, struct lm_table *t, size_t index)
{
	struct lm_signature_row *s = &l->m->signatures[index];

	if (index >= LM_SIGNATURE_ROW_LIMIT)
		return lm_fail(t->error, LMODEL_ELIMIT, "%s: more than %u signatures", t->label,
			       LM_SIGNATURE_ROW_LIMIT);
	if (lm_get_word(t, 1, "kind", "sshsig minisign", &s->kind))
		return LMODEL_ECORRUPT;
	return lm_get_blob(t, 2, "bytes", LM_SIGNATURE_FILE_LIMIT, &s->bytes, &s->len);
}

int lm_load_keys(struct lm_load *l)
{
	struct lm_manifest *m = l->m;

	if (lm_read_list(l, "signature", "SELECT id, kind, bytes FROM signature ORDER BY id",
			 &m->signatures, sizeof(*m->signatures), &m->signature_count,
			 read_signature) ||
	    read_slots(l) || check_slots(l) || read_owner(l))
		return (int)l->error->code;
	return LMODEL_OK;
}

/* ---- after a change ---- */

static bool equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_keys(const struct lm_manifest *a, const struct lm_manifest *b)
{
	const struct lm_owner_row *o = &a->owner, *p = &b->owner;

	if (a->slot_count != b->slot_count || a->signature_count != b->signature_count ||
	    o->present != p->present || o->book_counter != p->book_counter ||
	    memcmp(o->public_key, p->public_key, sizeof(o->public_key)) != 0 ||
	    memcmp(o->signature, p->signature, sizeof(o->signature)) != 0 ||
	    !equal(o->book, o->book_len, p->book, p->book_len))
		return false;
	for (size_t i = 0; i < a->slot_count; i++) {
		const struct lm_slot_row *s = &a->slots[i], *t = &b->slots[i];

		if (s->id != t->id || strcmp(s->kind, t->kind) != 0 ||
		    !equal(s->grant, s->grant_len, t->grant, t->grant_len) ||
		    !equal(s->identity, s->identity_len, t->identity, t->identity_len))
			return false;
	}
	for (size_t i = 0; i < a->signature_count; i++) {
		const struct lm_signature_row *s = &a->signatures[i], *t = &b->signatures[i];

		if (strcmp(s->kind, t->kind) != 0 || !equal(s->bytes, s->len, t->bytes, t->len))
			return false;
	}
	return true;
}

int lm_manifest_check_keys(const struct lm_manifest *m, const uint8_t *image, uint64_t len,
			   const char *label, struct lmodel_error *error)
{
	static const char *const tables[] = { "key_slot", "owner", "signature" };
	struct lm_manifest again = { .tier_count = m->tier_count };
	struct lm_load l = { .m = &again, .label = label, .error = error };
	int r = lm_sqlite_open_untrusted(&l.db, image, len, tables, LM_COUNT(tables), label, error);

	if (r != LMODEL_OK)
		return r;
	r = lm_load_keys(&l);
	sqlite3_close_v2(l.db);
	if (r == LMODEL_OK && !same_keys(m, &again))
		r = lm_fail(error, LMODEL_EFAILED, "%s: the manifest did not store", label);
	again.tier_count = 0;
	lm_manifest_free(&again);
	return r;
}
