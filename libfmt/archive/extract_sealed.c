/* Side files of tiers among the outputs of an extraction. */
#include "archive/attachments.h"
#include "base/io.h"

int lm_sealed_plan(const struct lmodel_archive *a, const struct lmodel_run *run,
		   bool (*skip)(const char *name), struct lm_outputs *outputs, size_t **files,
		   struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	size_t *to = calloc(m->sealed_count + 1, sizeof(*to));

	*files = to;
	if (to == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->sealed_count; i++) {
		const struct lm_sealed_row *row = &m->sealed[i];
		struct lm_output_file *file;

		to[i] = LM_NONE;
		if (skip != NULL && skip(row->name))
			continue;
		if (row->tier >= a->level) {
			lm_notice(run, "%s is of tier %s: left out", LM_QUOTE(row->name),
				  m->tiers[row->tier].name);
			continue;
		}
		file = lm_outputs_add(outputs, row->name, &to[i], error);
		if (file == NULL)
			return LMODEL_EFAILED;
		/* As it states itself; when it is written it has to be just that. */
		file->size = a->attachments[m->attachment_count + i].bytes;
	}
	return LMODEL_OK;
}

static int put(void *context, uint64_t at, const uint8_t *bytes, size_t len,
	       struct lmodel_error *error)
{
	const struct lm_output_file *file = context;

	return lm_write_at(file->output.fd, file->label, bytes, len, at, error);
}

int lm_sealed_write(const struct lmodel_archive *a, struct lm_outputs *outputs, const size_t *files,
		    struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; files != NULL && i < a->manifest.sealed_count && r == LMODEL_OK; i++)
		if (files[i] != LM_NONE)
			r = lm_sealed_read(a, i, put, &outputs->files[files[i]], error);
	return r;
}
