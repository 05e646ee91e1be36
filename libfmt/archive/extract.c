/* lmodel_extract(): planning which bytes go where, one scan that puts them there, and the true
 * values of open tiers over them. */
#include <lmodel/extract.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "archive/attachments.h"
#include "archive/options.h"
#include "archive/outputs.h"
#include "archive/scan.h"
#include "archive/shard.h"
#include "archive/skeleton.h"
#include "base/io.h"
#include "base/pool.h"
#include "export/export.h"

struct extraction {
	struct lmodel_archive *archive;
	const struct lmodel_extract_options *options;
	size_t *chosen;              /* tensor indices, in order */
	size_t chosen_count;
	struct lm_outputs outputs;
	struct lm_plan plan;
	int spool;                   /* of a stream with open tiers, or -1 */
	size_t *sealed_file;         /* output of each side file of a tier, or LM_NONE */
};

/* ---- choosing ---- */

static bool any_matches(const char *const *patterns, size_t count, const char *name, bool *hit)
{
	bool any = false;

	for (size_t i = 0; i < count; i++)
		if (lmodel_match(patterns[i], name)) {
			any = true;
			if (hit != NULL)
				hit[i] = true;
		}
	return any;
}

static int choose(struct extraction *x, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	const struct lmodel_extract_options *o = x->options;
	LM_FREE bool *hit = calloc(o->pattern_count + 1, sizeof(*hit));

	x->chosen = calloc(m->tensor_count + 1, sizeof(*x->chosen));
	if (hit == NULL || x->chosen == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tensor_count; i++)
		if ((o->pattern_count == 0 ||
		     any_matches(o->patterns, o->pattern_count, m->tensors[i].name, hit)) &&
		    !any_matches(o->excludes, o->exclude_count, m->tensors[i].name, NULL))
			x->chosen[x->chosen_count++] = i;
	for (size_t i = 0; i < o->pattern_count; i++)
		if (!hit[i])
			return lm_fail(error, LMODEL_EUSAGE, "%s: no tensor matches %s",
				       x->archive->label, LM_QUOTE(o->patterns[i]));
	if (x->chosen_count == 0 && m->tensor_count > 0)
		return lm_fail(error, LMODEL_EUSAGE, "%s: every tensor is excluded",
			       x->archive->label);
	return LMODEL_OK;
}

/* ---- planning ---- */

/* The metadata of all sources, the first of equal keys: what a file made anew carries. */
static int plan_safetensors(struct extraction *x, const char *name, size_t first, size_t count,
			    struct lm_export_tensor *placed, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE struct lm_export_pair *pairs = calloc(m->metadata_count + 1, sizeof(*pairs));
	struct lm_output_file *file;
	size_t index;
	int r;

	if (pairs == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->metadata_count; i++)
		pairs[i] = (struct lm_export_pair){ m->metadata[i].key, m->metadata[i].value };
	for (size_t i = 0; i < count; i++) {
		const struct lm_tensor_row *t = &m->tensors[x->chosen[first + i]];

		placed[i] = (struct lm_export_tensor){
			.name = t->name, .dtype = t->dtype, .rank = t->rank, .shape = t->shape,
			.bytes = t->bytes,
		};
	}
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = lm_export_safetensors(placed, count, pairs, m->metadata_count, &file->head,
				  &file->head_len, &file->size, error);
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = lm_plan_add(&x->plan, lm_manifest_member_of(m, x->chosen[first + i]), 0,
				placed[i].bytes, index, placed[i].offset, error);
	return r;
}

static int plan_source(struct extraction *x, size_t source, const char *name,
		       struct lmodel_error *error)
{
	struct lm_output_file *file;
	size_t index;

	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	file->size = x->archive->manifest.sources[source].bytes;
	return lm_skeleton_plan(x->archive, source, index, &x->plan, error);
}

static bool is_index(const char *name)
{
	static const char suffix[] = ".safetensors.index.json";
	size_t n = strlen(name), k = sizeof(suffix) - 1;

	return n >= k && strcmp(name + n - k, suffix) == 0;
}

/* An index of shards is left out where other shards are written. */
static int plan_attachments(struct extraction *x, bool native, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;

	for (size_t i = 0; i < m->attachment_count; i++) {
		const struct lm_member *member = &m->members[m->attachments[i].member];
		struct lm_output_file *file;
		size_t index;

		if (!native && is_index(m->attachments[i].name))
			continue;
		file = lm_outputs_add(&x->outputs, m->attachments[i].name, &index, error);
		if (file == NULL)
			return LMODEL_EFAILED;
		file->size = member->bytes;
		if (lm_plan_add(&x->plan, m->attachments[i].member, 0, member->bytes, index, 0,
				error))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

/* How many of the chosen tensors from `first` on go into one shard: at least one. */
static size_t shard_length(const struct extraction *x, size_t first)
{
	const struct lm_manifest *m = &x->archive->manifest;
	uint64_t most = x->options->max_shard_bytes > 0 ? x->options->max_shard_bytes : UINT64_MAX;
	uint64_t sum = 0;
	size_t n = 0;

	while (first + n < x->chosen_count) {
		uint64_t bytes = m->tensors[x->chosen[first + n]].bytes;

		if (n > 0 && (!lm_add(sum, bytes, &sum) || sum > most))
			break;
		if (n == 0)
			sum = bytes;
		n++;
	}
	return n;
}

static int plan_shards(struct extraction *x, struct lmodel_error *error)
{
	LM_FREE struct lm_export_tensor *placed = calloc(x->chosen_count + 1, sizeof(*placed));
	LM_FREE const char **file_of = calloc(x->chosen_count + 1, sizeof(*file_of));
	struct lm_output_file *file;
	size_t shards = 0, index, done = 0;
	char *text;
	int r = LMODEL_OK;

	if (placed == NULL || file_of == NULL)
		return lm_fail_memory(error);
	for (size_t at = 0; at < x->chosen_count; at += shard_length(x, at))
		shards++;
	if (shards <= 1)
		return plan_safetensors(x, "model.safetensors", 0, x->chosen_count, placed, error);
	for (size_t s = 0; s < shards && r == LMODEL_OK; s++) {
		size_t n = shard_length(x, done);
		char name[64];

		snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", s + 1, shards);
		r = plan_safetensors(x, name, done, n, placed + done, error);
		for (size_t i = 0; i < n && r == LMODEL_OK; i++)
			file_of[done + i] = lm_outputs_name(&x->outputs, x->outputs.count - 1);
		done += n;
	}
	if (r != LMODEL_OK)
		return r;
	file = lm_outputs_add(&x->outputs, "model.safetensors.index.json", &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = lm_export_index(placed, x->chosen_count, file_of, &text, &file->head_len, error);
	if (r == LMODEL_OK) {
		file->head = (uint8_t *)text;
		file->size = file->head_len;
	}
	return r;
}

static int plan_directory(struct extraction *x, bool whole, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	bool native = x->options->format == LMODEL_FORMAT_NATIVE;
	int r = LMODEL_OK;

	if (native)
		for (size_t i = 0; i < m->source_count && r == LMODEL_OK; i++)
			r = plan_source(x, i, m->sources[i].name, error);
	else if (whole && m->source_count == 1 && x->options->max_shard_bytes == 0)
		r = plan_source(x, 0, "model.safetensors", error);
	else
		r = plan_shards(x, error);
	if (r == LMODEL_OK && x->options->pattern_count == 0)
		r = plan_attachments(x, native, error);
	if (r == LMODEL_OK && x->options->pattern_count == 0)
		r = lm_sealed_plan(x->archive, &x->options->run, native ? NULL : is_index,
				   &x->outputs, &x->sealed_file, error);
	return r;
}

static int plan_file(struct extraction *x, const char *name, bool whole, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE struct lm_export_tensor *placed = NULL;

	if (x->options->max_shard_bytes > 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "shards are written into a directory: -o DIR/");
	if (whole && m->source_count == 1)
		return plan_source(x, 0, name, error);
	if (x->options->format == LMODEL_FORMAT_NATIVE)
		return lm_fail(
			error, LMODEL_EUSAGE,
			"%s: native format of %zu files is written into a directory: -o DIR/",
			x->archive->label, m->source_count);
	placed = calloc(x->chosen_count + 1, sizeof(*placed));
	if (placed == NULL)
		return lm_fail_memory(error);
	return plan_safetensors(x, name, 0, x->chosen_count, placed, error);
}

/* ---- writing ---- */

static int put(void *context, unsigned worker, const struct lm_scan_piece *piece,
	       struct lmodel_error *error)
{
	struct extraction *x = context;
	const struct lm_output_file *file = &x->outputs.files[x->plan.file[piece->item]];

	(void)worker;
	return lm_write_at(file->output.fd, file->label, piece->bytes, piece->len,
			   x->plan.to[piece->item] + piece->at, error);
}

static int put_in_order(void *context, const struct lm_scan_piece *piece,
			struct lmodel_error *error)
{
	(void)context;
	return lm_write_all(STDOUT_FILENO, "standard output", piece->bytes, piece->len, error);
}

/* ---- true values over the base, when keys have opened tiers ---- */

struct patching {
	struct extraction *x;
	const size_t *tensor_of;  /* member -> tensor, LM_NONE: not a tensor's */
	int fd;                   /* a stream's spool, or -1: the planned files */
	size_t next;
};

static int next_patch(void *context, void *job, struct lmodel_error *error)
{
	struct patching *p = context;

	(void)error;
	while (p->next < p->x->plan.count &&
	       p->tensor_of[p->x->plan.items[p->next].member] == LM_NONE)
		p->next++;
	if (p->next == p->x->plan.count)
		return LM_POOL_END;
	*(size_t *)job = p->next++;
	return LMODEL_OK;
}

static int patch(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct patching *p = context;
	const struct lm_plan *plan = &p->x->plan;
	size_t item = *(size_t *)job, tensor = p->tensor_of[plan->items[item].member];
	const struct lm_output_file *file = &p->x->outputs.files[plan->file[item]];

	(void)worker;
	return p->fd >= 0 ? lm_patch_file(p->x->archive, tensor, p->fd, "temporary file",
					  plan->to[item], error) :
			    lm_patch_file(p->x->archive, tensor, file->output.fd, file->label,
					  plan->to[item], error);
}

static int patched(void *context, void *job, struct lmodel_error *error)
{
	(void)context;
	(void)job;
	(void)error;
	return LMODEL_OK;
}

/* Plans hold whole tensors. */
static int patch_outputs(struct extraction *x, int fd, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(size_t), .next = next_patch, .work = patch, .emit = patched,
	};
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE size_t *tensor_of = NULL;
	struct patching p = { .x = x, .fd = fd };

	if (x->archive->level == 0)
		return LMODEL_OK;
	tensor_of = malloc((m->member_count + 1) * sizeof(*tensor_of));
	if (tensor_of == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->member_count; i++)
		tensor_of[i] = LM_NONE;
	for (size_t i = 0; i < m->tensor_count; i++)
		if (m->tensors[i].member != LM_NONE)
			tensor_of[m->tensors[i].member] = i;
	p.tensor_of = tensor_of;
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

static int put_spooled(void *context, unsigned worker, const struct lm_scan_piece *piece,
		       struct lmodel_error *error)
{
	struct extraction *x = context;

	(void)worker;
	return lm_write_at(x->spool, "temporary file", piece->bytes, piece->len,
			   x->plan.to[piece->item] + piece->at, error);
}

/* The base alone goes out as it is read. True values have to be put over it first, so then there
 * is a temporary file without a name. */
static int write_stream(struct extraction *x, struct lmodel_error *error)
{
	const struct lm_output_file *file = &x->outputs.files[0];
	bool spool = x->archive->level > 0;
	struct lm_scan scan = {
		.archive = x->archive, .context = x,
		.work = spool ? put_spooled : NULL, .emit = spool ? NULL : put_in_order,
	};
	int r = sort_plan(&x->plan, error);

	scan.items = x->plan.items;
	scan.item_count = x->plan.count;
	if (r == LMODEL_OK && spool)
		r = lm_unnamed_file(NULL, &x->spool, error);
	if (r == LMODEL_OK)
		r = spool ? lm_write_at(x->spool, "temporary file", file->head, file->head_len, 0,
					error) :
			    lm_write_all(STDOUT_FILENO, "standard output", file->head,
					 file->head_len, error);
	if (r == LMODEL_OK)
		r = lm_scan_run(&scan, &x->options->run, error);
	if (r == LMODEL_OK && spool)
		r = patch_outputs(x, x->spool, error);
	if (r == LMODEL_OK && spool)
		r = lm_copy_out(x->spool, "temporary file", STDOUT_FILENO, "standard output",
				error);
	return r;
}

static int write_outputs(struct extraction *x, struct lmodel_error *error)
{
	struct lm_scan scan = { .archive = x->archive, .context = x, .work = put };
	int r = lm_outputs_begin(&x->outputs, error);

	scan.items = x->plan.items;
	scan.item_count = x->plan.count;
	if (r == LMODEL_OK)
		r = lm_scan_run(&scan, &x->options->run, error);
	if (r == LMODEL_OK)
		r = patch_outputs(x, -1, error);
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

	if (x->options->format != LMODEL_FORMAT_SAFETENSORS &&
	    x->options->format != LMODEL_FORMAT_NATIVE)
		return lm_fail(error, LMODEL_EUSAGE, "format %d is not defined",
			       (int)x->options->format);
	if (x->options->format == LMODEL_FORMAT_NATIVE && !whole)
		return lm_fail(error, LMODEL_EUSAGE,
			       "native format gives whole files: no patterns");
	r = choose(x, error);
	if (r == LMODEL_OK)
		r = lm_outputs_open(&x->outputs, directory ? output : NULL, x->options->overwrite,
				    error);
	if (r == LMODEL_OK)
		r = directory ? plan_directory(x, whole, error) :
				plan_file(x, output, whole, error);
	if (r == LMODEL_OK)
		r = stream ? write_stream(x, error) : write_outputs(x, error);
	return r;
}

int lmodel_extract(struct lmodel_archive *archive, const char *output,
		   const struct lmodel_extract_options *given, struct lmodel_error *error)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct extraction x = { .archive = archive, .options = &options, .spool = -1 };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	error = error != NULL ? error : &local;
	r = lm_archive_check_level(archive, error);
	if (r == LMODEL_OK)
		r = run(&x, output, error);
	if (x.spool >= 0)
		close(x.spool);
	lm_outputs_release(&x.outputs);
	lm_plan_free(&x.plan);
	free(x.chosen);
	free(x.sealed_file);
	return r;
}
