#include "archive/audit_view.h"

#include <math.h>

enum { GROUPS = 16, PIECE = 1 << 18 };

struct filler {
	struct lm_detect_view *view;
	struct lm_hidden *hidden;
	struct lm_reader *reader;
	size_t member;
	uint64_t elements;       /* of a unit that are taken */
	size_t parts;            /* values of an element: 2 of a complex one */
	uint8_t *bytes;          /* PIECE */
};

/* No value of a decoy is infinite or NaN; what is has no say. */
static void clean(double *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		values[i] = isfinite(values[i]) ? fmax(-LM_DETECT_VALUE_MOST,
						       fmin(LM_DETECT_VALUE_MOST, values[i])) : 0;
}

static int allocate(struct lm_detect_view *v, struct lmodel_error *error)
{
	v->values = malloc((v->rows * v->columns * v->inner + 1) * sizeof(*v->values));
	v->labels = malloc(v->rows * v->columns + 1);
	return v->values == NULL || v->labels == NULL ? lm_fail_memory(error) : LMODEL_OK;
}

/* ---- units one behind the other ---- */

/* Units that lie side by side in the second dimension; 1: there is none. */
static uint64_t second_dimension(const struct lm_units *u)
{
	uint64_t columns = 1;

	if (u->kind == LM_UNIT_SLICE)
		return u->shape[1];
	if (u->kind == LM_UNIT_ELEMENT)
		for (unsigned i = 1; i < u->rank; i++)
			columns *= u->shape[i];
	return columns;
}

/* Units [first, first + n) to place `at` of the view. */
static int fill_units(const struct filler *f, uint64_t first, size_t n, size_t at,
		      struct lmodel_error *error)
{
	const struct lm_units *u = &f->hidden->units;
	const size_t taken = (size_t)(f->elements * lm_dtype_number_bits(u->dtype) / 8);
	const bool whole = taken == u->unit_bytes;
	const size_t piece = whole ? LM_MAX((size_t)PIECE / taken, (size_t)1) : 1;
	int r = lm_hidden_labels(f->hidden, first, n, f->view->labels + at, error);

	for (size_t i = 0, k; i < n && r == LMODEL_OK; i += k) {
		double *to = f->view->values + (at + i) * f->view->inner;

		k = LM_MIN(piece, n - i);
		r = lm_reader_range(f->reader, f->member, (first + i) * u->unit_bytes, f->bytes,
				    k * taken, error);
		if (r == LMODEL_OK)
			clean(to, lm_dtype_values(u->dtype, f->bytes, 0,
						  k * (size_t)f->elements, to));
	}
	return r;
}

/* All rows, or some evenly spaced groups of neighbours. A last unit that is cut is left out: it is
 * another one by its length alone. */
static int fill_rows(struct filler *f, struct lmodel_error *error)
{
	const struct lm_units *u = &f->hidden->units;
	struct lm_detect_view *v = f->view;
	uint64_t columns = second_dimension(u), rows, units = u->bytes / u->unit_bytes;
	size_t group, at = 0;
	int r;

	f->elements = LM_MIN(u->unit_bytes * 8 / lm_dtype_number_bits(u->dtype),
			     (uint64_t)LM_VIEW_INNER);
	v->inner = (size_t)f->elements * f->parts;
	if (columns > (uint64_t)LM_VIEW_VALUES / GROUPS / v->inner)
		columns = 1;
	rows = units / columns;
	v->columns = (size_t)columns;
	v->rows = (size_t)LM_MIN(rows, (uint64_t)LM_VIEW_VALUES / (v->columns * v->inner));
	group = v->rows;
	if (v->rows < rows) {
		group = LM_MAX(v->rows / GROUPS, (size_t)1);
		v->rows -= v->rows % group;
	}
	r = allocate(v, error);
	for (size_t done = 0; done < v->rows && r == LMODEL_OK; done += group) {
		uint64_t row = group == v->rows ? 0 : rows / (v->rows / group) * (done / group);

		r = fill_units(f, row * columns, group * v->columns, at, error);
		at += group * v->columns;
	}
	return r;
}

/* ---- columns: each is a row of the view ---- */

static int fill_columns(struct filler *f, struct lmodel_error *error)
{
	const struct lm_units *u = &f->hidden->units;
	struct lm_detect_view *v = f->view;
	const uint64_t all = u->bytes / (u->columns * u->element_bytes);
	double values[2 * 512];
	size_t lines;
	int r;

	v->columns = 1;
	v->rows = (size_t)LM_MIN(u->columns, (uint64_t)LM_VIEW_VALUES / LM_DETECT_LEAST / f->parts);
	lines = (size_t)LM_MIN(LM_MIN(all, (uint64_t)LM_VIEW_INNER),
			       (uint64_t)LM_VIEW_VALUES / (v->rows * f->parts));
	v->inner = lines * f->parts;
	r = allocate(v, error);
	if (r == LMODEL_OK)
		r = lm_hidden_labels(f->hidden, 0, v->rows, v->labels, error);
	for (size_t l = 0; l < lines && r == LMODEL_OK; l++)
		for (size_t i = 0, n; i < v->rows && r == LMODEL_OK; i += n) {
			uint64_t from = (all / lines * l * u->columns + i) * u->element_bytes;

			n = LM_MIN((size_t)512, v->rows - i);
			r = lm_reader_range(f->reader, f->member, from, f->bytes,
					    n * (size_t)u->element_bytes, error);
			if (r != LMODEL_OK)
				break;
			clean(values, lm_dtype_values(u->dtype, f->bytes, 0, n, values));
			for (size_t k = 0; k < n; k++)
				memcpy(v->values + (i + k) * v->inner + l * f->parts,
				       values + k * f->parts, f->parts * sizeof(double));
		}
	return r;
}

int lm_audit_view(struct lm_detect_view *view, struct lm_hidden *hidden, struct lm_reader *reader,
		  struct lmodel_error *error)
{
	const struct lm_units *u = &hidden->units;
	LM_FREE uint8_t *bytes = malloc(PIECE);
	struct filler f = { .view = view, .hidden = hidden, .reader = reader, .bytes = bytes };

	*view = (struct lm_detect_view){ 0 };
	if (bytes == NULL)
		return lm_fail_memory(error);
	f.member = lm_manifest_member_of(&hidden->archive->manifest, hidden->tensor);
	f.parts = u->dtype->name[0] == 'C' ? 2 : 1;
	return u->kind == LM_UNIT_COLUMN ? fill_columns(&f, error) : fill_rows(&f, error);
}

void lm_audit_view_free(struct lm_detect_view *view)
{
	free(view->values);
	free(view->labels);
	*view = (struct lm_detect_view){ 0 };
}
