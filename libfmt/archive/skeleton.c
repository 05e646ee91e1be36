#include "archive/skeleton.h"

#include "archive/member.h"
#include "import/source.h"

enum { OP_LITERAL = 1, OP_TENSORS = 2, OP_CRC = 3, OP_AXES = 4, CRC_SIZE = 4 };

int lm_plan_add(struct lm_plan *p, size_t member, uint64_t from, uint64_t len, size_t file,
		uint64_t to, struct lmodel_error *error)
{
	if (p->count == p->capacity) {
		size_t wanted = p->capacity * 2 + 16;
		struct lm_scan_item *items = realloc(p->items, wanted * sizeof(*items));
		uint64_t *tos;
		size_t *files;

		if (items == NULL)
			return lm_fail_memory(error);
		p->items = items;
		tos = realloc(p->to, wanted * sizeof(*tos));
		if (tos == NULL)
			return lm_fail_memory(error);
		p->to = tos;
		files = realloc(p->file, wanted * sizeof(*files));
		if (files == NULL)
			return lm_fail_memory(error);
		p->file = files;
		p->capacity = wanted;
	}
	p->items[p->count] = (struct lm_scan_item){ .member = member, .from = from, .len = len };
	p->to[p->count] = to;
	p->file[p->count++] = file;
	return LMODEL_OK;
}

int lm_plan_add_crc(struct lm_plan *p, size_t file, uint64_t to, uint64_t begin, uint64_t end,
		    struct lmodel_error *error)
{
	if (lm_grow(&p->crcs, p->crc_count, &p->crc_capacity, sizeof(*p->crcs), error))
		return LMODEL_EFAILED;
	p->crcs[p->crc_count++] =
		(struct lm_plan_crc){ .file = file, .to = to, .begin = begin, .end = end };
	return LMODEL_OK;
}

void lm_plan_clear(struct lm_plan *p)
{
	p->count = p->axes_count = p->crc_count = 0;
	p->scratch = 0;
}

void lm_plan_free(struct lm_plan *p)
{
	if (p->layout != NULL)
		lm_model_free(p->layout);
	free(p->layout);
	free(p->axes);
	free(p->crcs);
	free(p->items);
	free(p->to);
	free(p->file);
	*p = (struct lm_plan){ 0 };
}

struct walk {
	const struct lmodel_archive *archive;
	size_t source, file;
	struct lm_plan *plan;
	size_t next_tensor;   /* tensors come in order, so none comes twice */
	bool after_literal;   /* the record before was one */
	uint64_t tensors;     /* of the source */
	uint64_t crcs;        /* so far */
	uint64_t to;          /* bytes of the file so far */
	struct lmodel_error *error;
};

static int bad(const struct walk *w, uint64_t at, const char *what)
{
	return lm_fail(w->error, LMODEL_ECORRUPT, "%s: skeleton of %s, at %ju: %s",
		       w->archive->label, LM_QUOTE(w->archive->manifest.sources[w->source].name),
		       (uintmax_t)at, what);
}

/* Adds `len` bytes to the file; false when it grows beyond what it should be. */
static bool grow(struct walk *w, uint64_t len)
{
	return lm_add(w->to, len, &w->to) &&
	       w->to <= w->archive->manifest.sources[w->source].bytes;
}

static int add_tensors(struct walk *w, uint64_t at, uint64_t first, uint64_t count)
{
	const struct lm_manifest *m = &w->archive->manifest;

	if (count == 0 || first < w->next_tensor || first > m->tensor_count ||
	    count > m->tensor_count - first)
		return bad(w, at, "tensor numbers are out of range");
	for (size_t t = (size_t)first; t < first + count; t++) {
		uint64_t to = w->to;

		if (m->tensors[t].source != w->source)
			return bad(w, at, "names a tensor of another file");
		if (!grow(w, m->tensors[t].bytes))
			return bad(w, at, "is longer than the file");
		if (lm_plan_add(w->plan, lm_manifest_member_of(m, t), 0, m->tensors[t].bytes,
				w->file, to, w->error))
			return LMODEL_EFAILED;
	}
	w->next_tensor = (size_t)(first + count);
	w->after_literal = false;
	return LMODEL_OK;
}

/* Empty literals, and literals side by side, would be records without end: refused, there are
 * at most twice as many records as tensors, and one. */
static int add_literal(struct walk *w, size_t member, uint64_t at, uint64_t len)
{
	uint64_t left = w->archive->manifest.members[member].bytes - at, to = w->to;

	if (len == 0 || w->after_literal)
		return bad(w, at, "literal is empty or follows another");
	if (len > left || !grow(w, len))
		return bad(w, at, "literal is too long");
	w->after_literal = true;
	return lm_plan_add(w->plan, member, at, len, w->file, to, w->error);
}

static int add_crc(struct walk *w, uint64_t at, uint64_t begin, uint64_t end)
{
	uint64_t to = w->to;

	if (begin > end || end > w->archive->manifest.sources[w->source].bytes ||
	    !grow(w, CRC_SIZE))
		return bad(w, at, "CRC is of bytes outside of the file");
	if (w->crcs++ / 2 >= w->tensors)
		return bad(w, at, "more than two CRCs a tensor");
	w->after_literal = false;
	return lm_plan_add_crc(w->plan, w->file, to, begin, end, w->error);
}

static int add_axes(struct walk *w, uint64_t at, uint64_t tensor, unsigned rank,
		    const uint8_t *axes)
{
	const struct lm_manifest *m = &w->archive->manifest;
	const struct lm_tensor_row *row;
	struct lm_plan *p = w->plan;
	uint64_t to = w->to, bytes;

	if (tensor < w->next_tensor || tensor >= m->tensor_count ||
	    m->tensors[tensor].source != w->source)
		return bad(w, at, "tensor number is out of range");
	row = &m->tensors[tensor];
	if (rank != row->rank || row->dtype->block != 1 || !lm_permutation_valid(rank, axes))
		return bad(w, at, "axes are not those of the tensor");
	if (!grow(w, row->bytes))
		return bad(w, at, "is longer than the file");
	if (!lm_add(p->scratch, row->bytes, &bytes) || bytes > INT64_MAX)
		return bad(w, at, "tensors are too large");
	if (lm_plan_add(p, lm_manifest_member_of(m, (size_t)tensor), 0, row->bytes, LM_SCRATCH,
			p->scratch, w->error) ||
	    lm_grow(&p->axes, p->axes_count, &p->axes_capacity, sizeof(*p->axes), w->error))
		return LMODEL_EFAILED;
	p->axes[p->axes_count] = (struct lm_plan_axes){ .tensor = (size_t)tensor,
							.from = p->scratch, .file = w->file,
							.to = to };
	memcpy(p->axes[p->axes_count++].axes, axes, rank);
	p->scratch = bytes;
	w->next_tensor = (size_t)tensor + 1;
	w->after_literal = false;
	return LMODEL_OK;
}

static int by_begin(const void *a, const void *b)
{
	const struct lm_plan_crc *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int by_place(const void *a, const void *b)
{
	const struct lm_plan_crc *x = a, *y = b;

	return x->to < y->to ? -1 : x->to > y->to;
}

/* Ranges are equal or apart, so that computing them all takes one pass; and none holds a CRC, so
 * that the order does not matter. The plan's come to be sorted by range. */
static int check_crcs(const struct walk *w, struct lm_plan_crc *crcs, size_t count)
{
	LM_FREE struct lm_plan_crc *places = calloc(count + 1, sizeof(*places));
	const struct lm_plan_crc *before = NULL;
	size_t next = 0;

	if (places == NULL)
		return lm_fail_memory(w->error);
	if (count == 0)
		return LMODEL_OK;
	memcpy(places, crcs, count * sizeof(*places));
	qsort(places, count, sizeof(*places), by_place);
	qsort(crcs, count, sizeof(*crcs), by_begin);
	for (size_t i = 0; i < count; i++) {
		const struct lm_plan_crc *c = &crcs[i];

		if (c->begin == c->end)
			continue;
		if (before != NULL && c->begin < before->end &&
		    (c->begin != before->begin || c->end != before->end))
			return bad(w, 0, "CRCs are of ranges that overlap");
		before = c;
		while (next < count && places[next].to + CRC_SIZE <= c->begin)
			next++;
		if (next < count && places[next].to < c->end)
			return bad(w, 0, "a CRC is of a CRC");
	}
	return LMODEL_OK;
}

/* Reads the record at `*at` and goes behind it. */
static int add_record(struct walk *w, struct lm_reader *reader, size_t member, uint64_t *at)
{
	uint64_t left = w->archive->manifest.members[member].bytes - *at, begin = *at, n, size;
	uint8_t record[17 + LM_PERMUTE_RANK];
	int r = lm_reader_range(reader, member, begin, record, 1, w->error);

	if (r != LMODEL_OK)
		return r;
	size = record[0] == OP_LITERAL ? 9 : 17;
	if (record[0] < OP_LITERAL || record[0] > OP_AXES || size > left)
		return bad(w, begin, "record is not defined or cut short");
	r = lm_reader_range(reader, member, begin, record, (size_t)size, w->error);
	if (r != LMODEL_OK)
		return r;
	n = lm_get_u64(record + 1);
	*at += size;
	if (record[0] == OP_LITERAL) {
		r = add_literal(w, member, *at, n);
		*at += n;
		return r;
	}
	size = lm_get_u64(record + 9);
	if (record[0] == OP_TENSORS)
		return add_tensors(w, begin, n, size);
	if (record[0] == OP_CRC)
		return add_crc(w, begin, n, size);
	if (size > LM_PERMUTE_RANK || size > left - 17)
		return bad(w, begin, "axes are too many or cut short");
	r = lm_reader_range(reader, member, *at, record, (size_t)size, w->error);
	*at += size;
	return r != LMODEL_OK ? r : add_axes(w, begin, n, (unsigned)size, record);
}

int lm_skeleton_walk(const struct lmodel_archive *a, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error)
{
	struct walk w = {
		.archive = a, .source = source, .file = file, .plan = plan, .error = error,
	};
	size_t first_crc = plan->crc_count;
	size_t member = a->manifest.sources[source].skeleton;
	uint64_t len = a->manifest.members[member].bytes, at = 0;
	struct lm_reader *reader = lm_reader_new(a, error);
	int r = reader == NULL ? LMODEL_EFAILED : LMODEL_OK;

	for (size_t i = 0; i < a->manifest.tensor_count; i++)
		w.tensors += a->manifest.tensors[i].source == source;
	if (r == LMODEL_OK && len > LM_SKELETON_LIMIT)
		r = lm_fail(error, LMODEL_ELIMIT, "%s: skeleton of %s has %ju bytes; the limit is "
			    "%u", a->label, LM_QUOTE(a->manifest.sources[source].name),
			    (uintmax_t)len, LM_SKELETON_LIMIT);
	while (r == LMODEL_OK && at < len)
		r = add_record(&w, reader, member, &at);
	if (r == LMODEL_OK && w.to != a->manifest.sources[source].bytes)
		r = bad(&w, at, "does not add up to the size of the file");
	lm_reader_free(reader);
	if (r == LMODEL_OK && plan->crc_count > first_crc)
		r = check_crcs(&w, plan->crcs + first_crc, plan->crc_count - first_crc);
	return r;
}

int lm_skeleton_plan(const struct lmodel_archive *a, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error)
{
	const struct lm_plan_mark mark = { plan->count, plan->axes_count, plan->crc_count };
	int r = lm_skeleton_walk(a, source, file, plan, error);

	return r == LMODEL_OK ? lm_skeleton_check(a, source, plan, &mark, error) : r;
}

int lm_skeleton_read(const struct lmodel_archive *a, size_t source, struct lm_model *model,
		     struct lmodel_error *error)
{
	LM_CLEANUP(lm_plan_free) struct lm_plan plan = { .keep_layout = true };
	int r = lm_skeleton_plan(a, source, 0, &plan, error);

	if (r != LMODEL_OK)
		return r;
	*model = *plan.layout;
	free(plan.layout);
	plan.layout = NULL;
	return LMODEL_OK;
}
