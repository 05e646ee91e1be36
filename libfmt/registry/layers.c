#include "registry/layers.h"

#include "container/layout.h"

static const char *const kinds[] = {
	[LM_LAYER_MANIFEST] = "manifest", [LM_LAYER_BASE] = "base", [LM_LAYER_TIER] = "tier",
	[LM_LAYER_END] = "end",
};

const char *lm_layer_kind_name(enum lm_layer_kind kind)
{
	return kinds[kind];
}

bool lm_layer_kind_parse(const char *name, enum lm_layer_kind *kind)
{
	for (size_t i = 0; i < LM_COUNT(kinds); i++)
		if (strcmp(kinds[i], name) == 0) {
			*kind = (enum lm_layer_kind)i;
			return true;
		}
	return false;
}

/* What is behind a tar header, alive or dead. */
struct item {
	uint64_t offset, length;
	size_t tier;             /* LM_NONE: none */
	bool dead;
};

struct plan {
	struct lm_layers *out;
	size_t layer_capacity, dead_capacity;
	const struct lm_manifest *manifest;
	const char *label;
	struct lmodel_error *error;
};

static int by_offset(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* All of them in file order. */
static int gather(const struct lm_manifest *m, struct item **items, size_t *count,
		  struct lmodel_error *error)
{
	LM_FREE struct lm_extent *live = NULL;
	struct item *list;
	size_t n;

	if (lm_manifest_extents(m, &live, &n, error))
		return LMODEL_EFAILED;
	list = calloc(n + m->dead_count + 1, sizeof(*list));
	if (list == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct item){ .offset = live[i].offset, .length = live[i].length,
					 .tier = live[i].tier };
	for (size_t i = 0; i < m->dead_count; i++)
		list[n + i] = (struct item){ .offset = m->dead[i].offset,
					     .length = m->dead[i].length, .tier = LM_NONE,
					     .dead = true };
	*count = n + m->dead_count;
	qsort(list, *count, sizeof(*list), by_offset);
	*items = list;
	return LMODEL_OK;
}

static int add_layer(struct plan *p, enum lm_layer_kind kind, uint64_t from, uint64_t to,
		     size_t tier)
{
	struct lm_layers *o = p->out;

	if (o->count == LM_LAYERS)
		return lm_fail(p->error, LMODEL_ELIMIT,
			       "%s: has over %d layers, the limit: repack makes them fewer",
			       p->label, LM_LAYERS);
	if (lm_grow(&o->layers, o->count, &p->layer_capacity, sizeof(*o->layers), p->error))
		return LMODEL_EFAILED;
	o->layers[o->count++] = (struct lm_layer){ .kind = kind, .offset = from,
						   .length = to - from, .tier = tier };
	return LMODEL_OK;
}

static int add_base(struct plan *p, uint64_t from, uint64_t to)
{
	int r = LMODEL_OK;

	while (from < to && r == LMODEL_OK) {
		uint64_t piece = LM_MIN(to - from, LM_LAYER_MOST);

		r = add_layer(p, LM_LAYER_BASE, from, from + piece, LM_NONE);
		from += piece;
	}
	return r;
}

static int add_dead(struct plan *p, uint64_t from, uint64_t to)
{
	struct lm_layers *o = p->out;

	if (from == to)
		return LMODEL_OK;
	if (o->dead_count == LM_LAYERS)
		return lm_fail(p->error, LMODEL_ELIMIT,
			       "%s: has over %d dead ranges, the limit: repack takes them out",
			       p->label, LM_LAYERS);
	if (lm_grow(&o->dead, o->dead_count, &p->dead_capacity, sizeof(*o->dead), p->error))
		return LMODEL_EFAILED;
	o->dead[o->dead_count++] = (struct lm_range){ .offset = from, .length = to - from };
	return LMODEL_OK;
}

/* One run of items that stay together: members of the base, a tier, or one dead item. */
static size_t run_of(const struct item *items, size_t count)
{
	size_t n = 1;

	while (n < count && !items[0].dead && !items[n].dead && items[n].tier == items[0].tier)
		n++;
	return n;
}

static int add_run(struct plan *p, const struct item *items, size_t count, uint64_t from)
{
	const struct item *last = &items[count - 1];
	uint64_t to = lm_align(last->offset + last->length, LM_TAR_BLOCK);
	int r;

	if (items[0].dead) {
		r = add_base(p, from, items[0].offset);
		return r == LMODEL_OK ? add_dead(p, items[0].offset, to) : r;
	}
	if (items[0].tier == LM_NONE)
		return add_base(p, from, to);
	if (count != 2)
		return lm_fail(p->error, LMODEL_EUNSUPPORTED,
			       "%s: the data of tier %s are not in one place: repack puts them so",
			       p->label, p->manifest->tiers[items[0].tier].name);
	return add_layer(p, LM_LAYER_TIER, from, to, items[0].tier);
}

/* Between two items there is a tar header and nothing else. */
static int check_headers(const struct plan *p, const struct item *items, size_t count,
			 uint64_t from, uint64_t committed_len)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t header = items[i].offset - from;

		if (header != LM_TAR_BLOCK && header != LM_TAR_HEADER_MAX)
			break;
		from = lm_align(items[i].offset + items[i].length, LM_TAR_BLOCK);
		if (i + 1 == count && from == committed_len)
			return LMODEL_OK;
	}
	if (count == 0 && from == committed_len)
		return LMODEL_OK;
	return lm_fail(p->error, LMODEL_ECORRUPT,
		       "%s: holds data at %ju that its manifest does not name (verify tells more)",
		       p->label, (uintmax_t)from);
}

static int make(struct plan *p, const struct item *items, size_t count, uint64_t begin,
		uint64_t committed_len)
{
	uint64_t from = begin;
	int r = check_headers(p, items, count, begin, committed_len);

	if (r == LMODEL_OK)
		r = add_layer(p, LM_LAYER_MANIFEST, 0, begin, LM_NONE);
	for (size_t i = 0, n; i < count && r == LMODEL_OK; i += n) {
		const struct item *last;

		n = run_of(&items[i], count - i);
		r = add_run(p, &items[i], n, from);
		last = &items[i + n - 1];
		from = lm_align(last->offset + last->length, LM_TAR_BLOCK);
	}
	if (r == LMODEL_OK)
		r = add_layer(p, LM_LAYER_END, committed_len, committed_len + LM_TAR_END, LM_NONE);
	p->out->size = committed_len + LM_TAR_END;
	return r;
}

int lm_layers_plan(struct lm_layers *layers, const struct lm_manifest *manifest,
		   uint64_t slot_size, uint64_t committed_len, const char *label,
		   struct lmodel_error *error)
{
	LM_FREE struct item *items = NULL;
	struct lm_layers made = { 0 };
	struct plan p = { .out = &made, .manifest = manifest, .label = label, .error = error };
	size_t count = 0;
	int r;

	*layers = (struct lm_layers){ 0 };
	if (committed_len > INT64_MAX - LM_TAR_END)
		return lm_fail(error, LMODEL_ELIMIT, "%s: is too long", label);
	r = gather(manifest, &items, &count, error);
	if (r == LMODEL_OK)
		r = make(&p, items, count, lm_slots_end(slot_size), committed_len);
	if (r != LMODEL_OK)
		lm_layers_free(&made);
	else
		*layers = made;
	return r;
}

void lm_layers_free(struct lm_layers *layers)
{
	free(layers->layers);
	free(layers->dead);
	*layers = (struct lm_layers){ 0 };
}
