/* lmodel_audit_against(): what two releases, laid side by side, give away. */
#include <lmodel/audit.h>

#include "archive/hidden.h"
#include "archive/member.h"

enum { PIECE = 1 << 18, WINDOW = 1 << 16 };

/* One archive's side of a tensor. */
struct side {
	const struct lmodel_archive *archive;
	struct lm_reader *reader;
	size_t tensor, member;
	bool has_hidden;
	struct lm_hidden hidden;
	uint8_t *bytes;          /* PIECE */
	uint8_t *labels;         /* WINDOW */
};

struct comparing {
	struct side a, b;
	struct lm_units units;
	uint8_t *differ;         /* a unit each; of a window, or of all columns */
	struct lmodel_audit_change change;
};

/* ---- bytes ---- */

/* Marks units [first, ...) that differ in bytes [from, to) of the tensor. */
static int compare(struct comparing *c, uint64_t from, uint64_t to, uint64_t first,
		   struct lmodel_error *error)
{
	const struct lm_units *u = &c->units;
	const bool columns = u->kind == LM_UNIT_COLUMN;
	const uint64_t step = columns ? u->element_bytes : u->unit_bytes;

	while (from < to) {
		size_t n = (size_t)LM_MIN(to - from, (uint64_t)PIECE);
		int r = lm_reader_range(c->a.reader, c->a.member, from, c->a.bytes, n, error);

		if (r == LMODEL_OK)
			r = lm_reader_range(c->b.reader, c->b.member, from, c->b.bytes, n, error);
		if (r != LMODEL_OK)
			return r;
		for (size_t i = 0, k; memcmp(c->a.bytes, c->b.bytes, n) != 0 && i < n; i += k) {
			uint64_t piece = (from + i) / step;
			uint64_t unit = columns ? piece % u->columns : piece - first;

			k = (size_t)LM_MIN((piece + 1) * step - (from + i), (uint64_t)(n - i));
			c->differ[unit] |= memcmp(c->a.bytes + i, c->b.bytes + i, k) != 0;
		}
		from += n;
	}
	return LMODEL_OK;
}

/* ---- counting ---- */

static int labels_of(struct side *s, uint64_t first, size_t n, struct lmodel_error *error)
{
	if (s->has_hidden)
		return lm_hidden_labels(&s->hidden, first, n, s->labels, error);
	memset(s->labels, LM_LABEL_PUBLIC, n);
	return LMODEL_OK;
}

static int count(struct comparing *c, uint64_t first, size_t n, const uint8_t *differ,
		 struct lmodel_error *error)
{
	int r = labels_of(&c->a, first, n, error);

	if (r == LMODEL_OK)
		r = labels_of(&c->b, first, n, error);
	for (size_t i = 0; i < n && r == LMODEL_OK; i++) {
		bool hidden = c->a.labels[i] != LM_LABEL_PUBLIC ||
			      c->b.labels[i] != LM_LABEL_PUBLIC;

		c->change.differing += differ[i];
		c->change.hidden += hidden;
		c->change.given_away += hidden && differ[i];
	}
	return r;
}

/* A column has parts everywhere: all bytes first. */
static int walk(struct comparing *c, struct lmodel_error *error)
{
	const struct lm_units *u = &c->units;
	const bool columns = u->kind == LM_UNIT_COLUMN;
	uint64_t window = LM_MAX(LM_MIN(PIECE / u->unit_bytes, (uint64_t)WINDOW), (uint64_t)1);
	int r = LMODEL_OK;

	c->differ = calloc(columns ? u->columns : window, 1);
	if (c->differ == NULL)
		return lm_fail_memory(error);
	if (columns) {
		window = WINDOW;
		r = compare(c, 0, u->bytes, 0, error);
	}
	for (uint64_t first = 0; first < u->count && r == LMODEL_OK; first += window) {
		size_t n = (size_t)LM_MIN(window, u->count - first);

		if (columns) {
			r = count(c, first, n, c->differ + first, error);
			continue;
		}
		memset(c->differ, 0, n);
		r = compare(c, first * u->unit_bytes,
			    LM_MIN((first + n) * u->unit_bytes, u->bytes), first, error);
		if (r == LMODEL_OK)
			r = count(c, first, n, c->differ, error);
	}
	return r;
}

/* ---- one tensor ---- */

static size_t any_shard(const struct side *s)
{
	for (size_t i = 0; i < s->archive->manifest.tier_count; i++) {
		size_t shard = lm_shard_find(&s->archive->manifest, i, s->tensor);

		if (shard != LM_NONE)
			return shard;
	}
	return LM_NONE;
}

/* The units to count in, and positions of either side that has them in such units. */
static int begin(struct comparing *c, struct lmodel_error *error)
{
	const struct lm_tensor_row *t = &c->a.archive->manifest.tensors[c->a.tensor];
	struct side *sides[2] = { &c->a, &c->b };
	bool chosen = false;
	int r = LMODEL_OK;

	for (int i = 0; i < 2 && r == LMODEL_OK; i++) {
		struct side *s = sides[i];
		size_t shard = any_shard(s);
		struct lm_units units;

		if (shard == LM_NONE)
			continue;
		r = lm_hidden_units(&units, s->archive, shard, error);
		if (r != LMODEL_OK || (chosen && units.kind != c->units.kind))
			continue;
		c->units = units;
		chosen = s->has_hidden = true;
		r = lm_hidden_open(&s->hidden, s->archive, s->tensor, LM_NONE, error);
	}
	if (!chosen && r == LMODEL_OK)
		r = lm_units_make(&c->units, lm_unit_default(t->dtype, t->rank), t->dtype, t->rank,
				  t->shape, t->bytes, t->name, error);
	return r;
}

static int compare_tensor(struct comparing *c, struct lmodel_error *error)
{
	int r = begin(c, error);

	if (r == LMODEL_OK)
		r = walk(c, error);
	if (r == LMODEL_OK && c->a.has_hidden)
		r = lm_hidden_finish(&c->a.hidden, error);
	if (r == LMODEL_OK && c->b.has_hidden)
		r = lm_hidden_finish(&c->b.hidden, error);
	c->change.tensor = &c->a.archive->tensors[c->a.tensor];
	c->change.unit = lm_unit_name(c->units.kind);
	c->change.unit_count = c->units.count;
	if (c->a.has_hidden)
		lm_hidden_close(&c->a.hidden);
	if (c->b.has_hidden)
		lm_hidden_close(&c->b.hidden);
	free(c->differ);
	return r;
}

/* ---- all ---- */

static bool same_stored(const struct lm_member *p, const struct lm_member *q)
{
	return p->bytes == q->bytes && p->chunk_bytes == q->chunk_bytes &&
	       strcmp(p->coding_name, q->coding_name) == 0 &&
	       memcmp(p->digest, q->digest, sizeof(p->digest)) == 0;
}

static bool same_kind(const struct lmodel_tensor *p, const struct lmodel_tensor *q)
{
	return strcmp(p->dtype, q->dtype) == 0 && p->rank == q->rank && p->bytes == q->bytes &&
	       (p->rank == 0 || memcmp(p->shape, q->shape, p->rank * sizeof(*p->shape)) == 0);
}

static void sum_up(struct lmodel_audit_comparison *all, const struct lmodel_audit_change *c)
{
	if (c->differing == 0) {
		all->equal++;
		return;
	}
	all->unequal++;
	all->unit_count += c->unit_count;
	all->differing += c->differing;
	all->hidden += c->hidden;
	all->given_away += c->given_away;
}

static bool exact(const struct lmodel_archive *a)
{
	for (size_t i = 0; i < a->manifest.tier_count; i++)
		if (!a->tiers[i].positions_open || a->tiers[i].absent)
			return false;
	return true;
}

struct against {
	struct side a, b;
	struct lm_meter meter;
	void (*change)(void *context, const struct lmodel_audit_change *change);
	void *context;
	struct lmodel_audit_comparison *all;
};

static int compare_pair(struct against *g, const struct lmodel_tensor *p,
			const struct lmodel_tensor *q, struct lmodel_error *error)
{
	LM_FREE struct comparing *c = calloc(1, sizeof(*c));
	const struct lm_manifest *m = &g->a.archive->manifest, *n = &g->b.archive->manifest;
	int r;

	if (c == NULL)
		return lm_fail_memory(error);
	c->a = g->a;
	c->b = g->b;
	c->a.tensor = lm_archive_tensor_index(g->a.archive, p);
	c->b.tensor = lm_manifest_original(n, lm_archive_tensor_index(g->b.archive, q));
	c->a.member = lm_manifest_member_of(m, c->a.tensor);
	c->b.member = lm_manifest_member_of(n, c->b.tensor);
	if (p->bytes == 0 || same_stored(&m->members[c->a.member], &n->members[c->b.member])) {
		g->all->equal++;
		return LMODEL_OK;
	}
	r = compare_tensor(c, error);
	if (r != LMODEL_OK)
		return r;
	sum_up(g->all, &c->change);
	if (g->change != NULL && c->change.differing > 0)
		g->change(g->context, &c->change);
	return LMODEL_OK;
}

static int compare_all(struct against *g, struct lmodel_error *error)
{
	const struct lmodel_tensor *p, *q;
	int r = LMODEL_OK;

	for (size_t i = 0; (p = lmodel_tensor_at(g->a.archive, i)) != NULL && r == LMODEL_OK; i++) {
		if (p->alias_of != NULL)
			continue;
		q = lmodel_tensor_find(g->b.archive, p->name);
		if (q == NULL || !same_kind(p, q))
			g->all->other++;
		else
			r = compare_pair(g, p, q, error);
		if (r == LMODEL_OK)
			r = lm_meter_add(&g->meter, p->bytes, error);
	}
	for (size_t i = 0; (q = lmodel_tensor_at(g->b.archive, i)) != NULL; i++)
		g->all->other += q->alias_of == NULL &&
				 lmodel_tensor_find(g->a.archive, q->name) == NULL;
	return r;
}

int lmodel_audit_against(const struct lmodel_archive *a, const struct lmodel_archive *b,
			 const struct lmodel_run *run,
			 void (*change)(void *context, const struct lmodel_audit_change *change),
			 struct lmodel_audit_comparison *comparison, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	LM_FREE uint8_t *space = malloc(2 * (PIECE + WINDOW));
	struct against g = { .change = change, .all = comparison };
	struct lmodel_info info;
	int r = LMODEL_EFAILED;

	error = error != NULL ? error : &local;
	*comparison = (struct lmodel_audit_comparison){ .exact_a = exact(a), .exact_b = exact(b) };
	if (space == NULL)
		return lm_fail_memory(error);
	g.context = run != NULL ? run->context : NULL;
	g.a = (struct side){ .archive = a, .reader = lm_reader_new(a, error), .bytes = space,
			     .labels = space + 2 * PIECE };
	g.b = (struct side){ .archive = b, .reader = lm_reader_new(b, error),
			     .bytes = space + PIECE, .labels = space + 2 * PIECE + WINDOW };
	lmodel_info(a, &info);
	lm_meter_begin(&g.meter, run, info.tensor_bytes);
	if (g.a.reader != NULL && g.b.reader != NULL)
		r = compare_all(&g, error);
	lm_reader_free(g.a.reader);
	lm_reader_free(g.b.reader);
	return r;
}
