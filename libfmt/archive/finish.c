#include "archive/finish.h"

#include "base/io.h"
#include "crypto/crc.h"

static int place_tensor(const struct lmodel_archive *a, const struct lm_plan_axes *p, int scratch,
			int fd, const char *label, struct lmodel_error *error)
{
	const struct lm_tensor_row *row = &a->manifest.tensors[p->tensor];
	const struct lm_permutation permutation = {
		.rank = row->rank, .shape = row->shape, .axes = p->axes,
		.width = row->dtype->block_bytes,
	};

	return lm_permute_file(&permutation, scratch, "temporary file", p->from, fd, label, p->to,
			       error);
}

int lm_plan_finish(const struct lmodel_archive *a, const struct lm_plan *plan, int scratch,
		   lm_plan_file_fn *file, void *context, struct lmodel_error *error)
{
	const struct lm_plan_crc *before = NULL;
	const char *label;
	uint32_t crc = 0;
	int r = LMODEL_OK;

	for (size_t i = 0; i < plan->axes_count && r == LMODEL_OK; i++) {
		int fd = file(context, plan->axes[i].file, &label);

		r = place_tensor(a, &plan->axes[i], scratch, fd, label, error);
	}
	for (size_t i = 0; i < plan->crc_count && r == LMODEL_OK; i++) {
		const struct lm_plan_crc *c = &plan->crcs[i];
		int fd = file(context, c->file, &label);
		uint8_t bytes[4];

		/* Equal ranges lie side by side. */
		if (before == NULL || before->file != c->file || before->begin != c->begin ||
		    before->end != c->end)
			r = lm_crc_file(fd, label, c->begin, c->end - c->begin, &crc, error);
		before = c;
		lm_put_u32(bytes, crc);
		if (r == LMODEL_OK)
			r = lm_write_at(fd, label, bytes, sizeof(bytes), c->to, error);
	}
	return r;
}
