#include "archive/skeleton.h"

#include "archive/member.h"

enum { OP_LITERAL = 1, OP_TENSORS = 2 };

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

void lm_plan_free(struct lm_plan *p)
{
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

int lm_skeleton_plan(const struct lmodel_archive *a, size_t source, size_t file,
		     struct lm_plan *plan, struct lmodel_error *error)
{
	struct walk w = {
		.archive = a, .source = source, .file = file, .plan = plan, .error = error,
	};
	size_t member = a->manifest.sources[source].skeleton;
	uint64_t len = a->manifest.members[member].bytes, at = 0;
	struct lm_reader *reader = lm_reader_new(a, error);
	int r = reader == NULL ? LMODEL_EFAILED : LMODEL_OK;

	while (r == LMODEL_OK && at < len) {
		uint8_t record[17];
		size_t head;

		r = lm_reader_range(reader, member, at, record, 1, error);
		if (r != LMODEL_OK)
			break;
		head = record[0] == OP_LITERAL ? 9 : 17;
		if ((record[0] != OP_LITERAL && record[0] != OP_TENSORS) || head > len - at) {
			r = bad(&w, at, "record is not defined or cut short");
			break;
		}
		r = lm_reader_range(reader, member, at, record, head, error);
		if (r != LMODEL_OK)
			break;
		at += head;
		if (record[0] == OP_TENSORS) {
			r = add_tensors(&w, at - head, lm_get_u64(record + 1),
					lm_get_u64(record + 9));
		} else {
			uint64_t n = lm_get_u64(record + 1);

			r = add_literal(&w, member, at, n);
			at += n;
		}
	}
	if (r == LMODEL_OK && w.to != a->manifest.sources[source].bytes)
		r = bad(&w, at, "does not add up to the size of the file");
	lm_reader_free(reader);
	if (r == LMODEL_OK)
		r = lm_skeleton_check(a, source, error);
	return r;
}
