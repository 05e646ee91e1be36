/* Where the tensors of an ONNX model lie: in the file of its graph, and in files of external data
 * beside it. */
#include "import/onnx.h"

#include <errno.h>
#include <fcntl.h>

#include "base/format.h"
#include "base/io.h"
#include "import/skeleton.h"

static int compare_tensors(const void *a, const void *b)
{
	const struct lm_onnx_tensor *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Tensors of one file are apart, or the same bytes. */
static int check_apart(const struct lm_onnx *o, const struct lm_onnx_tensor *tensors, size_t count,
		       struct lmodel_error *error)
{
	const struct lm_onnx_tensor *before = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct lm_onnx_tensor *t = &tensors[i];

		if (t->begin == t->end)
			continue;
		if (before != NULL && t->begin < before->end &&
		    (t->begin != before->begin || t->end != before->end ||
		     t->dtype != before->dtype))
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "%s: tensors %s and %s share a part of their bytes", o->label,
				       LM_QUOTE(before->name), LM_QUOTE(t->name));
		before = t;
	}
	return LMODEL_OK;
}

static int add_tensor(struct lm_model *model, struct lm_onnx_tensor *from, size_t source,
		      struct lmodel_error *error)
{
	struct lm_source_tensor *t = lm_model_add_tensor(model, error);

	if (t == NULL)
		return LMODEL_EFAILED;
	t->source = source;
	t->name = from->name;
	t->dtype = from->dtype;
	t->rank = from->rank;
	t->shape = from->shape;
	t->offset = from->begin;
	t->bytes = from->end - from->begin;
	from->name = NULL;
	from->shape = NULL;
	return LMODEL_OK;
}

/* The tensors of the last source, and its skeleton. */
static int place_in(struct lm_onnx *o, struct lm_onnx_tensor *tensors, size_t count,
		    struct lmodel_error *error)
{
	struct lm_model *model = o->model;
	size_t source = model->source_count - 1, first = model->tensor_count;
	struct lm_source *s = &model->sources[source];
	uint64_t at = 0;
	int r = check_apart(o, tensors, count, error);

	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = add_tensor(model, &tensors[i], source, error);
	/* Files of external data are not there when an archive is checked. */
	if (r != LMODEL_OK || s->fd < 0)
		return r;
	for (size_t i = 0; i < count && r == LMODEL_OK; i++) {
		const struct lm_onnx_tensor *t = &tensors[i];

		if (t->end > s->size)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s: %ju bytes at %ju of %s, which has %ju",
				       o->label, LM_QUOTE(model->tensors[first + i].name),
				       (uintmax_t)(t->end - t->begin), (uintmax_t)t->begin, s->label,
				       (uintmax_t)s->size);
		if (t->begin == t->end || t->begin < at)
			continue; /* none, or the same bytes as the one before */
		r = lm_skeleton_literal(s, at, t->begin - at, error);
		if (r == LMODEL_OK)
			r = lm_skeleton_tensors(s, first + i, 1, error);
		at = t->end;
	}
	return r == LMODEL_OK ? lm_skeleton_literal(s, at, s->size - at, error) : r;
}

static int open_file(struct lm_onnx *o, const char *location, int *fd, uint64_t *size,
		     char **label, struct lmodel_error *error)
{
	LM_FREE char *path = NULL;

	*fd = -1;
	*size = 0;
	if (o->model->layout_only)
		return (*label = lm_strdup("its file", error)) == NULL ? LMODEL_EFAILED : LMODEL_OK;
	if (o->model->directory == NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: has its tensors in %s beside it, which standard input does not "
			       "bring: give the path of the model", o->label, LM_QUOTE(location));
	path = lm_format(error, "%s/%s", o->model->directory, location);
	if (path == NULL)
		return LMODEL_EFAILED;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: its file of external data %s is missing",
			       o->label, LM_QUOTE(path));
	*label = lm_strdup(LM_QUOTE(path), error);
	if (*label == NULL)
		return LMODEL_EFAILED;
	return lm_open_regular(path, O_RDONLY, fd, size, error);
}

static int add_file(struct lm_onnx *o, const char *location, struct lmodel_error *error)
{
	const char *graph = o->model->sources[o->source].name, *slash = strrchr(graph, '/');
	LM_FREE char *label = NULL;
	LM_FREE char *name = NULL;
	uint64_t size;
	int fd, r = open_file(o, location, &fd, &size, &label, error);

	if (r != LMODEL_OK)
		return r;
	name = lm_format(error, "%.*s%s", slash == NULL ? 0 : (int)(slash + 1 - graph), graph,
			 location);
	if (name == NULL || !lm_path_is_safe(name) || strcmp(name, graph) == 0) {
		if (fd >= 0)
			close(fd);
		return name == NULL ? LMODEL_EFAILED :
		       lm_fail(error, LMODEL_EUNSUPPORTED, "%s: external data in %s, which is not a "
			       "file of its own that an archive may hold", o->label, LM_QUOTE(name));
	}
	return lm_model_open_source(o->model, LM_FORMAT_ONNX_DATA, fd, size, name, label, error) == NULL ?
	       LMODEL_EFAILED : LMODEL_OK;
}

int lm_onnx_place(struct lm_onnx *o, struct lmodel_error *error)
{
	size_t begin = 0, end = 0;
	int r = LMODEL_OK;

	/* Room also where there is no tensor: pointers to none have no neighbours. */
	if (lm_grow(&o->tensors, o->tensor_count, &o->tensor_capacity, sizeof(*o->tensors), error))
		return LMODEL_EFAILED;
	qsort(o->tensors, o->tensor_count, sizeof(*o->tensors), compare_tensors);
	for (size_t file = 0; file <= o->file_count && r == LMODEL_OK; file++) {
		for (begin = end; end < o->tensor_count && o->tensors[end].file == file; end++)
			;
		if (file > 0)
			r = add_file(o, o->files[file - 1], error);
		if (r == LMODEL_OK)
			r = place_in(o, o->tensors + begin, end - begin, error);
	}
	return r;
}
