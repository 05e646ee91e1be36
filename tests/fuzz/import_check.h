/* What the rest of the library relies on, of any importer: the skeleton's records, one behind the
 * other, are the file, and tensors lie where it says. */
#ifndef IMPORT_CHECK_H
#define IMPORT_CHECK_H

#include <sys/mman.h>

#include "base/base.h"
#include "import/source.h"

static void check_tensor(const struct lm_source_tensor *t, uint64_t place)
{
	uint64_t bytes;

	if ((t->spool < 0 && t->offset != place) || t->rank > LM_RANK_LIMIT ||
	    !lm_utf8_valid(t->name, strlen(t->name)) ||
	    !lm_dtype_bytes(t->dtype, t->rank, t->shape, NULL, &bytes) || bytes != t->bytes)
		abort();
}

static void check_source(const struct lm_model *model, size_t index)
{
	const struct lm_source *source = &model->sources[index];
	uint64_t place = 0;
	size_t at = 0, next = 0;

	while (at < source->skeleton_len) {
		const uint8_t *record = source->skeleton + at;
		uint64_t n = lm_get_u64(record + 1);

		if (record[0] == 1) {
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
			check_tensor(t, place);
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
			check_tensor(&model->tensors[i], place);
			place += model->tensors[i].bytes;
		}
		at += 17;
	}
	if (at != source->skeleton_len || place != source->size)
		abort();
}

typedef int import_function(struct lm_model *model, int fd, uint64_t size, const char *name,
			    const char *label, struct lmodel_error *error);

/* Gives the bytes to an importer and checks what it made of them. */
static void check_import(import_function *import, const uint8_t *data, size_t size)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	int r;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	r = import(&model, fd, size, "model", "input", &error);
	if (r == LMODEL_OK) {
		check_source(&model, 0);
		r = lm_model_check(&model, &error);
	}
	if (r != (int)error.code || (r != LMODEL_OK) != (error.message[0] != '\0'))
		abort();
	lm_model_free(&model);
}

#endif
