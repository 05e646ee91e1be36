#include "archive/hidden.h"

static int bad(const struct lmodel_archive *a, size_t shard, const char *what,
	       struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s, tier %s: %s", a->label,
		       LM_QUOTE(m->tensors[m->shards[shard].tensor].name),
		       m->tiers[m->shards[shard].tier].name, what);
}

int lm_hidden_units(struct lm_units *units, const struct lmodel_archive *a, size_t shard,
		    struct lmodel_error *error)
{
	const struct lm_shard_row *s = &a->manifest.shards[shard];
	const struct lm_tensor_row *t = &a->manifest.tensors[s->tensor];
	enum lm_unit_kind kind;

	if (t->bytes == 0 || !lm_unit_parse(s->unit, &kind) ||
	    lm_units_make(units, kind, t->dtype, t->rank, t->shape, t->bytes, t->name, NULL) ||
	    units->kind != kind)
		return bad(a, shard, "its unit is not one that the tensor has", error);
	return LMODEL_OK;
}

static int read_positions(void *context, uint8_t *buffer, size_t len, size_t *got,
			  struct lmodel_error *error)
{
	return lm_stream_read(context, buffer, len, got, error);
}

static int advance(struct lm_hidden_tier *t, struct lmodel_error *error)
{
	return lm_positions_reader_next(t->reader, &t->first, &t->count, error);
}

static int open_tier(struct lm_hidden *h, size_t tier, struct lmodel_error *error)
{
	struct lm_hidden_tier *t = &h->tier[tier];
	int r = lm_stream_open(&t->stream, h->archive, t->shard, LM_POSITIONS, error);

	if (r != LMODEL_OK)
		return r;
	t->reader = lm_positions_reader_new(h->units.count, read_positions, &t->stream, error);
	if (t->reader == NULL)
		return error != NULL && error->code != LMODEL_OK ? (int)error->code :
								   LMODEL_ECORRUPT;
	return advance(t, error);
}

int lm_hidden_open(struct lm_hidden *h, const struct lmodel_archive *a, size_t tensor, size_t only,
		   struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	bool any = false;
	int r = LMODEL_OK;

	*h = (struct lm_hidden){ .archive = a, .tensor = tensor };
	for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++)
		h->tier[i].shard = LM_NONE;
	for (size_t i = 0; i < m->tier_count && r == LMODEL_OK; i++) {
		size_t shard = only == LM_NONE || only == i ? lm_shard_find(m, i, tensor) : LM_NONE;
		struct lm_units units;

		if (shard == LM_NONE)
			continue;
		r = lm_hidden_units(&units, a, shard, error);
		if (r == LMODEL_OK && any && units.kind != h->units.kind)
			r = bad(a, shard, "tiers divide the tensor into units of two kinds", error);
		if (r != LMODEL_OK)
			break;
		h->units = units;
		any = true;
		if (a->tiers[i].absent || !a->tiers[i].positions_open) {
			h->closed++;
			continue;
		}
		h->tier[i].shard = shard;
		r = open_tier(h, i, error);
	}
	return r;
}

/* Marks the part of the run in work that is below `end`; goes on to the next run behind it. */
static int take(struct lm_hidden *h, size_t tier, uint64_t first, uint64_t end, uint8_t *labels,
		struct lmodel_error *error)
{
	struct lm_hidden_tier *t = &h->tier[tier];
	uint64_t n = LM_MIN(t->count, end - t->first);

	for (uint64_t u = LM_MAX(t->first, first); u < t->first + n; u++) {
		uint8_t *label = &labels[u - first];

		t->shared += *label != LM_LABEL_PUBLIC;
		*label = *label != LM_LABEL_PUBLIC ? *label : (uint8_t)(tier + 1);
	}
	t->units += n;
	t->first += n;
	t->end = t->first;
	t->count -= n;
	return t->count == 0 ? advance(t, error) : LMODEL_OK;
}

int lm_hidden_labels(struct lm_hidden *h, uint64_t first, size_t n, uint8_t *labels,
		     struct lmodel_error *error)
{
	memset(labels, LM_LABEL_PUBLIC, n);
	for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++) {
		struct lm_hidden_tier *t = &h->tier[i];

		while (t->shard != LM_NONE && t->count > 0 && t->first < first + n) {
			int r = take(h, i, first, first + n, labels, error);

			if (r != LMODEL_OK)
				return r;
		}
	}
	return LMODEL_OK;
}

int lm_hidden_next(struct lm_hidden *h, size_t tier, uint64_t *first, uint64_t *count,
		   struct lmodel_error *error)
{
	struct lm_hidden_tier *t = &h->tier[tier];

	*first = t->first;
	*count = t->count;
	t->units += t->count;
	t->end = t->first + t->count;
	return t->count > 0 ? advance(t, error) : LMODEL_OK;
}

int lm_hidden_finish(struct lm_hidden *h, struct lmodel_error *error)
{
	enum { WINDOW = 1 << 16 };
	LM_FREE uint8_t *labels = malloc(WINDOW);
	int r = LMODEL_OK;

	if (labels == NULL)
		return lm_fail_memory(error);
	while (r == LMODEL_OK) {
		uint64_t next = UINT64_MAX;

		for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++)
			if (h->tier[i].shard != LM_NONE && h->tier[i].count > 0)
				next = LM_MIN(next, h->tier[i].first);
		if (next == UINT64_MAX)
			break;
		r = lm_hidden_labels(h, next, WINDOW, labels, error);
	}
	return r;
}

void lm_hidden_close(struct lm_hidden *h)
{
	for (size_t i = 0; i < LM_TIER_ROW_LIMIT; i++) {
		lm_positions_reader_free(h->tier[i].reader);
		lm_stream_close(&h->tier[i].stream);
	}
	*h = (struct lm_hidden){ 0 };
}
