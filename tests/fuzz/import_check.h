/* What the rest of the library relies on, of any importer: the skeleton's records, one behind the
 * other, are the file, and tensors lie where it says. */
#ifndef IMPORT_CHECK_H
#define IMPORT_CHECK_H

#include <sys/mman.h>

#include "base/base.h"
#include "import/source.h"

/* Where tensors have a spool the file may be laid out anew: then check_layout() alone knows. */
static void check_tensor(const struct lm_model *model, const struct lm_source_tensor *t,
			 uint64_t place)
{
	uint64_t bytes;

	if ((model->spool_count == 0 && t->offset != place) || t->rank > LM_RANK_LIMIT ||
	    !lm_utf8_valid(t->name, strlen(t->name)) ||
	    !lm_dtype_bytes(t->dtype, t->rank, t->shape, NULL, &bytes) || bytes != t->bytes)
		abort();
}

/* `layout` gets the literals in their places. */
static void check_source(const struct lm_model *model, size_t index, int layout)
{
	const struct lm_source *source = &model->sources[index];
	uint64_t place = 0;
	size_t at = 0, next = 0;

	while (at < source->skeleton_len) {
		const uint8_t *record = source->skeleton + at;
		uint64_t n = lm_get_u64(record + 1);

		if (record[0] == 1) {
			if (n > source->skeleton_len - at - 9 ||
			    pwrite(layout, record + 9, n, (off_t)place) != (ssize_t)n)
				abort();
			at += 9 + (size_t)n;
			place += n;
			continue;
		}
		if (record[0] == 3) {
			if (n > lm_get_u64(record + 9) || lm_get_u64(record + 9) > source->size)
				abort();
			at += 17;
			place += 4;
			continue;
		}
		if (record[0] == 4) {
			const struct lm_source_tensor *t = &model->tensors[n];

			if (n < next || n >= model->tensor_count || t->axes == NULL ||
			    lm_get_u64(record + 9) != t->rank)
				abort();
			check_tensor(model, t, place);
			place += t->bytes;
			next = (size_t)n + 1;
			at += 17 + t->rank;
			continue;
		}
		if (record[0] != 2 || n < next)
			abort();
		next = (size_t)(n + lm_get_u64(record + 9));
		if (next > model->tensor_count)
			abort();
		for (size_t i = (size_t)n; i < next; i++) {
			check_tensor(model, &model->tensors[i], place);
			place += model->tensors[i].bytes;
		}
		at += 17;
	}
	if (at != source->skeleton_len || place != source->size)
		abort();
}

typedef int import_function(struct lm_model *model, int fd, uint64_t size, const char *name,
			    const char *label, struct lmodel_error *error);

/* The file with zeros for tensors and CRCs has the same tensors: so it can be written again. */
static void check_layout(import_function *import, const struct lm_model *model, int layout)
{
	const struct lm_source *source = &model->sources[0];
	struct lm_model again = { .layout_only = true };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	if (ftruncate(layout, (off_t)source->size) != 0 ||
	    import(&again, layout, source->size, source->name, "layout", &error) != LMODEL_OK ||
	    again.tensor_count != model->tensor_count ||
	    again.metadata_count != model->metadata_count || again.spool_count != 0)
		abort();
	for (size_t i = 0; i < model->tensor_count; i++) {
		const struct lm_source_tensor *a = &model->tensors[i], *b = &again.tensors[i];

		if (strcmp(a->name, b->name) != 0 || a->dtype != b->dtype || a->bytes != b->bytes ||
		    a->rank != b->rank || (a->axes == NULL) != (b->axes == NULL) ||
		    (a->rank > 0 && memcmp(a->shape, b->shape, 8 * a->rank) != 0))
			abort();
	}
	lm_model_free(&again);
}

/* Gives the bytes to an importer and checks what it made of them. */
static void check_import(import_function *import, const uint8_t *data, size_t size)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int fd = memfd_create("fuzz", MFD_CLOEXEC), layout = memfd_create("fuzz", MFD_CLOEXEC);
	int r;

	if (fd < 0 || layout < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	r = import(&model, fd, size, "model", "input", &error);
	if (r == LMODEL_OK) {
		check_source(&model, 0, layout);
		check_layout(import, &model, layout);
		r = lm_model_check(&model, &error);
	} else {
		close(layout);
	}
	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	lm_model_free(&model);
}

#endif
