/* Whether a skeleton and the rows of the manifest describe the same file (spec: 3.6). */
#include "archive/skeleton.h"

#include <sys/mman.h>

#include "archive/member.h"
#include "base/format.h"
#include "base/io.h"
#include "import/source.h"

enum { PIECE = 1 << 16 };

struct check {
	const struct lmodel_archive *archive;
	size_t source;
	const struct lm_plan *plan;
	const struct lm_plan_mark *mark;
	struct lmodel_error *error;
};

/* Where bytes of a tensor stand in the file. */
struct place {
	uint64_t at, len;
	size_t member;
	const uint8_t *axes; /* or NULL */
	bool used;
};

static int bad(const struct check *c, const char *what)
{
	return lm_fail(c->error, LMODEL_ECORRUPT, "%s: skeleton of %s: %s", c->archive->label,
		       LM_QUOTE(c->archive->manifest.sources[c->source].name), what);
}

static bool is_literal(const struct check *c, size_t item)
{
	return c->plan->items[item].member == c->archive->manifest.sources[c->source].skeleton;
}

static int write_literal(const struct check *c, struct lm_reader *reader, size_t item, int fd)
{
	const struct lm_scan_item *literal = &c->plan->items[item];
	uint8_t piece[PIECE];
	int r = LMODEL_OK;

	for (uint64_t at = 0; at < literal->len && r == LMODEL_OK; at += PIECE) {
		size_t n = (size_t)LM_MIN((uint64_t)PIECE, literal->len - at);

		r = lm_reader_range(reader, literal->member, literal->from + at, piece, n,
				    c->error);
		if (r == LMODEL_OK)
			r = lm_write_at(fd, "memory file", piece, n, c->plan->to[item] + at,
					c->error);
	}
	return r;
}

/* The file with literals in their places and zeros for all else, which take no memory. */
static int write_layout(const struct check *c, int *fd)
{
	struct lm_reader *reader = lm_reader_new(c->archive, c->error);
	uint64_t bytes = c->archive->manifest.sources[c->source].bytes;
	int r = reader == NULL ? LMODEL_EFAILED : LMODEL_OK;

	if (r == LMODEL_OK && (*fd = memfd_create("lmodel-layout", MFD_CLOEXEC)) < 0)
		r = lm_fail_errno(c->error, "memory file");
	if (r == LMODEL_OK && ftruncate(*fd, (off_t)bytes) != 0)
		r = lm_fail_errno(c->error, "memory file of %ju bytes", (uintmax_t)bytes);
	for (size_t i = c->mark->item; i < c->plan->count && r == LMODEL_OK; i++)
		if (is_literal(c, i))
			r = write_literal(c, reader, i, *fd);
	lm_reader_free(reader);
	return r;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* All places of tensor bytes, sorted; those without bytes have none. */
static int find_places(const struct check *c, struct place **places, size_t *count)
{
	const struct lm_plan *p = c->plan;
	struct place *found = calloc(p->count - c->mark->item + 1, sizeof(*found));
	size_t n = 0;

	if (found == NULL)
		return lm_fail_memory(c->error);
	for (size_t i = c->mark->item, axes = c->mark->axes; i < p->count; i++) {
		const struct lm_scan_item *item = &p->items[i];
		bool permuted = p->file[i] == LM_SCRATCH;

		if (!is_literal(c, i) && item->len > 0)
			found[n++] = (struct place){
				.at = permuted ? p->axes[axes].to : p->to[i], .len = item->len,
				.member = item->member, .axes = permuted ? p->axes[axes].axes : NULL,
			};
		axes += permuted;
	}
	qsort(found, n, sizeof(*found), by_place);
	*places = found;
	*count = n;
	return LMODEL_OK;
}

/* Several tensors of the file may be the same bytes of it. */
static bool is_placed(const struct check *c, const struct lm_source_tensor *t, size_t row,
		      struct place *places, size_t count)
{
	struct place key = { .at = t->offset }, *place;

	if (t->bytes == 0)
		return true;
	place = bsearch(&key, places, count, sizeof(*places), by_place);
	if (place == NULL || place->len != t->bytes ||
	    place->member != lm_manifest_member_of(&c->archive->manifest, row) ||
	    (place->axes == NULL) != (t->axes == NULL) ||
	    (t->axes != NULL && memcmp(place->axes, t->axes, t->rank) != 0))
		return false;
	place->used = true;
	return true;
}

static bool same_tensor(const struct lm_tensor_row *row, const struct lm_source_tensor *t)
{
	return strcmp(row->name, t->name) == 0 && row->dtype == t->dtype && row->rank == t->rank &&
	       (t->rank == 0 || memcmp(row->shape, t->shape, t->rank * sizeof(*t->shape)) == 0);
}

/* `file`: the source's number in the model. */
static int compare_tensors(const struct check *c, const struct lm_model *model, size_t file)
{
	static const char other[] = "its file has other tensors than the manifest";
	const struct lm_manifest *m = &c->archive->manifest;
	LM_FREE struct place *places = NULL;
	size_t tensor = 0, end, count = 0;
	int r = find_places(c, &places, &count);

	while (tensor < model->tensor_count && model->tensors[tensor].source < file)
		tensor++;
	for (end = tensor; end < model->tensor_count && model->tensors[end].source == file; end++)
		;
	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++) {
		if (m->tensors[i].source != c->source)
			continue;
		if (tensor == end || !same_tensor(&m->tensors[i], &model->tensors[tensor]))
			r = bad(c, other);
		else if (!is_placed(c, &model->tensors[tensor], i, places, count))
			r = bad(c, "its file has tensors in other places");
		tensor++;
	}
	if (r == LMODEL_OK && tensor != end)
		r = bad(c, other);
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		if (!places[i].used)
			r = bad(c, "it puts tensors where its file has none");
	return r;
}

static int compare_metadata(const struct check *c, const struct lm_model *model, size_t file)
{
	const struct lm_manifest *m = &c->archive->manifest;
	size_t pair = 0, end = file == 0 ? model->metadata_count : 0;
	bool same = true;

	for (size_t i = 0; i < m->metadata_count && same; i++) {
		if (m->metadata[i].source != c->source)
			continue;
		same = pair < end &&
		       strcmp(m->metadata[i].key, model->metadata[pair].key) == 0 &&
		       strcmp(m->metadata[i].value, model->metadata[pair].value) == 0;
		pair++;
	}
	return same && pair == end ?
	       LMODEL_OK : bad(c, "its file has other metadata than the manifest");
}

/* ---- external data ---- */

static bool is_data(const struct check *c, size_t source)
{
	return source < c->archive->manifest.source_count &&
	       strcmp(c->archive->manifest.sources[source].format, LM_FORMAT_ONNX_DATA) == 0;
}

/* The source whose file tells of the tensors: it itself, or the graph. */
static int find_graph(const struct check *c, size_t *graph)
{
	for (*graph = c->source; *graph > 0 && is_data(c, *graph); --*graph)
		;
	if (*graph != c->source &&
	    strcmp(c->archive->manifest.sources[*graph].format, LM_FORMAT_ONNX) != 0)
		return bad(c, "its file is external data of no graph");
	return LMODEL_OK;
}

static int compare_files(const struct check *c, const struct lm_model *model, size_t graph)
{
	const struct lm_manifest *m = &c->archive->manifest;

	for (size_t i = 1; i < model->source_count; i++)
		if (!is_data(c, graph + i) ||
		    strcmp(m->sources[graph + i].name, model->sources[i].name) != 0)
			return bad(c, "its graph names other files than the manifest");
	return is_data(c, graph + model->source_count) ?
	       bad(c, "its graph names fewer files than the manifest") : LMODEL_OK;
}

/* ---- the file ---- */

static int import_layout(const struct check *c, struct lm_model *model)
{
	const struct lm_source_row *row = &c->archive->manifest.sources[c->source];
	struct lmodel_error why = LMODEL_ERROR_INIT;
	int fd = -1, r = write_layout(c, &fd);

	if (r != LMODEL_OK) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	/* The importer takes the file, also when it fails. */
	r = lm_import_format(model, row->format, fd, row->bytes, row->name, "its file", &why);
	if (r == LMODEL_OK)
		return r;
	if (r == LMODEL_EFAILED)
		return lm_fail(c->error, LMODEL_EFAILED, "%s", why.message);
	return bad(c, why.message);
}

static void drop_layout(struct lm_plan *plan)
{
	if (plan->layout != NULL)
		lm_model_free(plan->layout);
	free(plan->layout);
	plan->layout = NULL;
}

/* The layout of source `graph`. */
static int read_layout(const struct check *c, struct lm_plan *keep, size_t graph)
{
	LM_CLEANUP(lm_plan_free) struct lm_plan plan = { 0 };
	const struct lm_plan_mark start = { 0, 0, 0 };
	struct check other = *c;
	int r;

	if (keep->layout != NULL && keep->layout_source == graph)
		return LMODEL_OK;
	drop_layout(keep);
	if (graph != c->source) {
		r = lm_skeleton_walk(c->archive, graph, 0, &plan, c->error);
		if (r != LMODEL_OK)
			return r;
		other.source = graph;
		other.plan = &plan;
		other.mark = &start;
	}
	keep->layout = calloc(1, sizeof(*keep->layout));
	if (keep->layout == NULL)
		return lm_fail_memory(c->error);
	keep->layout->layout_only = true;
	keep->layout_source = graph;
	r = import_layout(&other, keep->layout);
	if (r != LMODEL_OK)
		drop_layout(keep);
	return r;
}

int lm_skeleton_check(const struct lmodel_archive *a, size_t source, struct lm_plan *plan,
		      const struct lm_plan_mark *mark, struct lmodel_error *error)
{
	const struct check c = {
		.archive = a, .source = source, .plan = plan, .mark = mark, .error = error,
	};
	size_t graph;
	int r = find_graph(&c, &graph);

	if (r == LMODEL_OK && graph != source && plan->crc_count > mark->crc)
		r = bad(&c, "it puts CRCs where its file has none");
	if (r == LMODEL_OK)
		r = read_layout(&c, plan, graph);
	if (r == LMODEL_OK)
		r = compare_files(&c, plan->layout, graph);
	if (r == LMODEL_OK)
		r = compare_tensors(&c, plan->layout, source - graph);
	if (r == LMODEL_OK)
		r = compare_metadata(&c, plan->layout, source - graph);
	if (r != LMODEL_OK || (plan->layout->source_count == 1 && !plan->keep_layout))
		drop_layout(plan);
	return r;
}
