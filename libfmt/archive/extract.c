/* lmodel_extract(): one scan that puts bytes where the plan wants them, and the true values of open
 * tiers over them. */
#include <lmodel/extract.h>

#include <sys/stat.h>

#include "archive/attachments.h"
#include "archive/extraction.h"
#include "archive/finish.h"
#include "archive/options.h"
#include "archive/scan.h"
#include "archive/shard.h"
#include "base/io.h"
#include "base/pool.h"

/* ---- writing ---- */

/* The file that a part of the plan goes to. */
static int file_of(void *context, size_t file, const char **label)
{
	const struct extraction *x = context;

	*label = "temporary file";
	if (file == LM_SCRATCH)
		return x->scratch;
	if (x->spool >= 0)
		return x->spool;
	*label = x->outputs.files[file].label;
	return x->outputs.files[file].output.fd;
}

static int write_piece(struct extraction *x, const struct lm_scan_piece *piece,
		       struct lmodel_error *error)
{
	size_t file = x->plan.file[piece->item];
	const char *label;
	int fd = file_of(x, file, &label);
	int r = lm_write_at(fd, label, piece->bytes, piece->len,
			    x->plan.to[piece->item] + piece->at, error);

	if (file != LM_SCRATCH && x->spool < 0)
		lm_write_behind(fd, &x->outputs.files[file].output.behind, piece->len);
	return r;
}

static int put(void *context, unsigned worker, const struct lm_scan_piece *piece,
	       struct lmodel_error *error)
{
	(void)worker;
	return write_piece(context, piece, error);
}

/* True values come over a chunk before it is put. */
static int patch_piece(void *context, unsigned worker, const struct lm_scan_piece *piece,
		       struct lmodel_error *error)
{
	struct extraction *x = context;
	const struct lm_scan_item *item = &x->plan.items[piece->item];

	(void)worker;
	if (!x->on_the_way[piece->item])
		return LMODEL_OK;
	return lm_overlay_put(x->overlay, piece->item, x->tensor_of[item->member], piece->at,
			      piece->bytes, piece->len, error);
}

static void lost(void *context, size_t item, uint64_t at)
{
	struct extraction *x = context;

	if (x->on_the_way[item])
		lm_overlay_lost(x->overlay, item, x->tensor_of[x->plan.items[item].member], at);
}

static int put_in_order(void *context, const struct lm_scan_piece *piece,
			struct lmodel_error *error)
{
	(void)context;
	return lm_write_all(STDOUT_FILENO, "standard output", piece->bytes, piece->len, error);
}

/* ---- true values over the base, when keys have opened tiers ---- */

/* Which items have them, and where they can be put. Plans hold whole tensors. */
static int plan_patches(struct extraction *x, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;

	if (x->archive->level == 0)
		return LMODEL_OK;
	x->tensor_of = malloc((m->member_count + 1) * sizeof(*x->tensor_of));
	x->on_the_way = calloc(x->plan.count + 1, sizeof(*x->on_the_way));
	if (x->tensor_of == NULL || x->on_the_way == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->member_count; i++)
		x->tensor_of[i] = LM_NONE;
	for (size_t i = 0; i < m->tensor_count; i++)
		if (m->tensors[i].member != LM_NONE)
			x->tensor_of[m->tensors[i].member] = i;
	for (size_t i = 0; i < x->plan.count; i++) {
		const struct lm_scan_item *item = &x->plan.items[i];
		size_t tensor = x->tensor_of[item->member];

		if (tensor != LM_NONE)
			lm_patch_will_need(x->archive, tensor);
		x->on_the_way[i] = tensor != LM_NONE && item->from == 0 && item->len > 0 &&
				   item->len == m->tensors[tensor].bytes &&
				   lm_overlay_covers(x->archive, tensor);
	}
	x->overlay = lm_overlay_new(x->archive, error);
	return x->overlay != NULL ? LMODEL_OK : LMODEL_EFAILED;
}

struct patching {
	struct extraction *x;
	size_t next;
};

static int next_patch(void *context, void *job, struct lmodel_error *error)
{
	struct patching *p = context;
	const struct extraction *x = p->x;

	(void)error;
	while (p->next < x->plan.count &&
	       (x->on_the_way[p->next] || x->tensor_of[x->plan.items[p->next].member] == LM_NONE))
		p->next++;
	if (p->next == x->plan.count)
		return LM_POOL_END;
	*(size_t *)job = p->next++;
	return LMODEL_OK;
}

static int patch(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct patching *p = context;
	const struct extraction *x = p->x;
	size_t item = *(size_t *)job;
	const char *label;
	int fd = file_of(p->x, x->plan.file[item], &label);

	(void)worker;
	return lm_patch_file(x->archive, x->tensor_of[x->plan.items[item].member], fd, label,
			     x->plan.to[item], error);
}

static int patched(void *context, void *job, struct lmodel_error *error)
{
	(void)context;
	(void)job;
	(void)error;
	return LMODEL_OK;
}

/* What could not be put on the way: tensors with a lock. */
static int patch_outputs(struct extraction *x, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(size_t), .next = next_patch, .work = patch, .emit = patched,
	};
	struct patching p = { .x = x };

	if (x->archive->level == 0)
		return LMODEL_OK;
	return lm_pool_run(lm_pool_workers(x->options->run.jobs), &ops, &p, error);
}

/* Tensors may be planned in another order than their place in the file: a stream needs that. */
static int by_place(const void *a, const void *b, void *context)
{
	const struct lm_plan *p = context;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;

	if (p->to[i] != p->to[k])
		return p->to[i] < p->to[k] ? -1 : 1;
	return i < k ? -1 : i > k;
}

static int sort_plan(struct lm_plan *plan, struct lmodel_error *error)
{
	LM_FREE size_t *order = calloc(plan->count + 1, sizeof(*order));
	struct lm_plan sorted = { 0 };
	int r = LMODEL_OK;

	if (order == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < plan->count; i++)
		order[i] = i;
	qsort_r(order, plan->count, sizeof(*order), by_place, plan);
	for (size_t i = 0; i < plan->count && r == LMODEL_OK; i++) {
		const struct lm_scan_item *item = &plan->items[order[i]];

		r = lm_plan_add(&sorted, item->member, item->from, item->len, 0, plan->to[order[i]],
				error);
	}
	lm_plan_free(plan);
	*plan = sorted;
	return r;
}

static int open_scratch(struct extraction *x, const char *directory, struct lmodel_error *error)
{
	return x->plan.axes_count == 0 ? LMODEL_OK : lm_unnamed_file(directory, &x->scratch, error);
}

/* Reads all that is planned, then does what can only be done behind. */
static int write_planned(struct extraction *x, struct lmodel_error *error)
{
	struct lm_scan scan = {
		.archive = x->archive, .context = x, .put = put,
		.items = x->plan.items, .item_count = x->plan.count,
	};
	int r = plan_patches(x, error);

	if (x->on_the_way != NULL) {
		scan.work = patch_piece;
		scan.lost = lost;
	}
	if (r == LMODEL_OK)
		r = lm_scan_run(&scan, &x->options->run, error);
	if (r == LMODEL_OK)
		r = patch_outputs(x, error);
	return r != LMODEL_OK ? r :
	       lm_plan_finish(x->archive, &x->plan, x->scratch, file_of, x, error);
}

/* True values and all that is computed from them need a file first: one without a name. */
static int write_spooled(struct extraction *x, struct lmodel_error *error)
{
	int r = lm_unnamed_file(NULL, &x->spool, error);

	if (r == LMODEL_OK)
		r = open_scratch(x, NULL, error);
	if (r == LMODEL_OK && ftruncate(x->spool, (off_t)x->outputs.files[0].size) != 0)
		r = lm_fail_errno(error, "temporary file");
	if (r == LMODEL_OK)
		r = lm_outputs_head(&x->outputs.files[0], x->spool, "temporary file", error);
	if (r == LMODEL_OK)
		r = write_planned(x, error);
	return r != LMODEL_OK ? r : lm_copy_out(x->spool, "temporary file", STDOUT_FILENO,
						"standard output", error);
}

/* Whether nothing is planned for some bytes, which are zeros then. */
static bool has_holes(const struct extraction *x)
{
	uint64_t planned = x->outputs.files[0].head_len;

	for (size_t i = 0; i < x->plan.count; i++)
		planned += x->plan.items[i].len;
	return planned != x->outputs.files[0].size;
}

/* The base alone goes out as it is read. */
static int write_stream(struct extraction *x, struct lmodel_error *error)
{
	const struct lm_output_file *file = &x->outputs.files[0];
	struct lm_scan scan = { .archive = x->archive, .context = x, .emit = put_in_order };
	int r;

	if (x->archive->level > 0 || x->plan.axes_count > 0 || x->plan.crc_count > 0 ||
	    has_holes(x))
		return write_spooled(x, error);
	r = sort_plan(&x->plan, error);
	scan.items = x->plan.items;
	scan.item_count = x->plan.count;
	if (r == LMODEL_OK)
		r = lm_write_all(STDOUT_FILENO, "standard output", file->head, file->head_len,
				 error);
	return r != LMODEL_OK ? r : lm_scan_run(&scan, &x->options->run, error);
}

static int write_outputs(struct extraction *x, struct lmodel_error *error)
{
	LM_FREE char *directory = NULL;
	int r;

	for (size_t i = 0; i < x->plan.count; i++)
		if (x->plan.file[i] != LM_SCRATCH)
			x->outputs.files[x->plan.file[i]].planned += x->plan.items[i].len;
	r = lm_outputs_begin(&x->outputs, error);
	if (r == LMODEL_OK)
		directory = lm_outputs_place(&x->outputs, error);
	if (r == LMODEL_OK)
		r = directory == NULL ? LMODEL_EFAILED : open_scratch(x, directory, error);
	if (r == LMODEL_OK)
		r = write_planned(x, error);
	if (r == LMODEL_OK)
		r = lm_sealed_write(x->archive, &x->outputs, x->sealed_file, error);
	if (r == LMODEL_OK)
		r = lm_outputs_publish(&x->outputs, error);
	return r;
}

static bool is_directory(const char *path)
{
	struct stat st;
	size_t n = strlen(path);

	return (n > 0 && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int run(struct extraction *x, const char *output, struct lmodel_error *error)
{
	bool stream = strcmp(output, "-") == 0, directory = !stream && is_directory(output);
	bool whole = x->options->pattern_count == 0 && x->options->exclude_count == 0;
	int r;

	if ((unsigned)x->options->format > LMODEL_FORMAT_GGUF)
		return lm_fail(error, LMODEL_EUSAGE, "format %d is not defined",
			       (int)x->options->format);
	if (x->options->format == LMODEL_FORMAT_NATIVE && !whole)
		return lm_fail(error, LMODEL_EUSAGE,
			       "native format gives whole files: no patterns");
	if (x->options->max_shard_bytes > 0 && x->options->format != LMODEL_FORMAT_SAFETENSORS &&
	    x->options->format != LMODEL_FORMAT_NATIVE)
		return lm_fail(error, LMODEL_EUSAGE, "only safetensors is split into shards");
	r = lm_extraction_choose(x, error);
	if (r == LMODEL_OK)
		r = lm_outputs_open(&x->outputs, directory ? output : NULL, x->options->overwrite,
				    error);
	if (r == LMODEL_OK)
		r = directory ? lm_extraction_plan_directory(x, whole, error) :
				lm_extraction_plan_file(x, output, whole, error);
	if (r == LMODEL_OK)
		r = stream ? write_stream(x, error) : write_outputs(x, error);
	return r;
}

int lmodel_extract(struct lmodel_archive *archive, const char *output,
		   const struct lmodel_extract_options *given, struct lmodel_error *error)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct extraction x = { .archive = archive, .options = &options, .spool = -1,
				.scratch = -1 };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	error = error != NULL ? error : &local;
	r = lm_archive_check_level(archive, error);
	if (r == LMODEL_OK)
		r = run(&x, output, error);
	lm_close_cleanup(&x.spool);
	lm_close_cleanup(&x.scratch);
	lm_outputs_release(&x.outputs);
	lm_plan_free(&x.plan);
	free(x.chosen);
	free(x.sealed_file);
	free(x.on_the_way);
	free(x.tensor_of);
	lm_overlay_free(x.overlay);
	return r;
}
