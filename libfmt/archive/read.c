/* Raw bytes into the caller's memory: lmodel_tensor_read(), and many ranges at once. */
#include "archive/archive.h"
#include "archive/deeplock.h"
#include "archive/member.h"
#include "archive/overlay.h"
#include "archive/scan.h"
#include "archive/shard.h"
#include "base/pool.h"

/* ---- one range ---- */

static int check_tensor(const struct lmodel_archive *a, const struct lmodel_tensor *tensor,
			uint64_t offset, size_t len, struct lmodel_error *error)
{
	if (lm_archive_tensor_index(a, tensor) == LM_NONE)
		return lm_fail(error, LMODEL_EUSAGE, "tensor of another archive");
	if (offset > tensor->bytes || len > tensor->bytes - offset)
		return lm_fail(error, LMODEL_EUSAGE,
			       "tensor %s: bytes %ju to %ju of %ju were asked for",
			       LM_QUOTE(tensor->name), (uintmax_t)offset, (uintmax_t)(offset + len),
			       (uintmax_t)tensor->bytes);
	return LMODEL_OK;
}

int lm_archive_read(struct lmodel_archive *a, size_t member, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error)
{
	int r = LMODEL_EFAILED;

	pthread_mutex_lock(&a->lock);
	if (a->reader == NULL)
		a->reader = lm_reader_new(a, error);
	if (a->reader != NULL)
		r = lm_reader_range(a->reader, member, offset, buffer, len, error);
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* `tensor` is no alias. */
static int read_range(struct lmodel_archive *a, size_t tensor, uint64_t offset, void *buffer,
		      size_t len, struct lmodel_error *error)
{
	int r = lm_archive_read(a, a->manifest.tensors[tensor].member, offset, buffer, len, error);

	return r == LMODEL_OK ? lm_patch_memory(a, tensor, offset, buffer, len, error) : r;
}

/* Locked tensors are unlocked by whole blocks: more may have to be read than was asked for. */
static int read_widened(struct lmodel_archive *a, size_t tensor, uint64_t offset, void *buffer,
			size_t len, struct lmodel_error *error)
{
	uint64_t from = offset, wide = len;
	LM_FREE uint8_t *whole = NULL;
	int r;

	lm_patch_range(a, tensor, &from, &wide);
	if (wide == len)
		return read_range(a, tensor, offset, buffer, len, error);
	whole = malloc(wide);
	if (whole == NULL)
		return lm_fail_memory(error);
	r = read_range(a, tensor, from, whole, wide, error);
	if (r == LMODEL_OK)
		memcpy(buffer, whole + (offset - from), len);
	return r;
}

int lmodel_tensor_read(struct lmodel_archive *a, const struct lmodel_tensor *tensor,
		       uint64_t offset, void *buffer, size_t len, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	size_t index = lm_archive_tensor_index(a, tensor);
	int r;

	error = error != NULL ? error : &local;
	r = check_tensor(a, tensor, offset, len, error);
	if (r == LMODEL_OK)
		r = lm_archive_check_level(a, error);
	return r != LMODEL_OK ? r :
	       read_widened(a, lm_manifest_original(&a->manifest, index), offset, buffer, len,
			    error);
}

/* ---- many ---- */

struct reading {
	struct lmodel_archive *archive;
	const struct lmodel_read *reads;
	size_t count;
	struct lm_scan_item *items;  /* one a read */
	size_t *order;               /* reads by tensor that holds the bytes, then by offset */
	size_t next;                 /* in `order`: where the next group of one tensor begins */
	/* Reads that get true values while they are decoded; NULL when there are none. */
	bool *on_the_way;
	struct lm_overlay *overlay;
};

/* Reads [begin, end) in `order`: all of one tensor. */
struct group {
	const struct reading *reading;
	size_t begin, end;
	size_t from;                 /* those before it end before what comes now */
};

static size_t original(const struct reading *r, size_t read)
{
	return lm_manifest_original(&r->archive->manifest,
				    lm_archive_tensor_index(r->archive, r->reads[read].tensor));
}

static int by_tensor(const void *a, const void *b, void *context)
{
	const struct reading *r = context;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	size_t x = original(r, i), y = original(r, k);

	if (x != y)
		return x < y ? -1 : 1;
	if (r->reads[i].offset != r->reads[k].offset)
		return r->reads[i].offset < r->reads[k].offset ? -1 : 1;
	return 0;
}

static int plan(struct reading *r, struct lmodel_error *error)
{
	r->items = calloc(r->count + 1, sizeof(*r->items));
	r->order = calloc(r->count + 1, sizeof(*r->order));
	if (r->items == NULL || r->order == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < r->count; i++) {
		const struct lmodel_read *read = &r->reads[i];
		int result = check_tensor(r->archive, read->tensor, read->offset, read->len, error);

		if (result != LMODEL_OK)
			return result;
		r->items[i] = (struct lm_scan_item){
			.member = lm_manifest_member_of(
				&r->archive->manifest,
				lm_archive_tensor_index(r->archive, read->tensor)),
			.from = read->offset, .len = read->len,
		};
		r->order[i] = i;
	}
	qsort_r(r->order, r->count, sizeof(*r->order), by_tensor, r);
	return LMODEL_OK;
}

static uint8_t *place(void *context, size_t item, uint64_t at, size_t len)
{
	const struct reading *r = context;

	(void)len;
	return (uint8_t *)r->reads[item].buffer + at;
}

/* What could not be decoded in its place is brought there. */
static int put(void *context, unsigned worker, const struct lm_scan_piece *piece,
	       struct lmodel_error *error)
{
	const struct reading *r = context;
	uint8_t *to = (uint8_t *)r->reads[piece->item].buffer + piece->at;

	(void)worker;
	if (to != piece->bytes)
		memcpy(to, piece->bytes, piece->len);
	if (r->on_the_way == NULL || !r->on_the_way[piece->item])
		return LMODEL_OK;
	return lm_overlay_put(r->overlay, piece->item, original(r, piece->item), piece->at, to,
			      piece->len, error);
}

static void lost(void *context, size_t item, uint64_t at)
{
	const struct reading *r = context;

	if (r->on_the_way[item])
		lm_overlay_lost(r->overlay, item, original(r, item), at);
}

/* Of a tensor that is read once, and whole, a shard can be read while chunks are decoded. */
static int plan_overlay(struct reading *r, struct lmodel_error *error)
{
	r->on_the_way = calloc(r->count + 1, sizeof(*r->on_the_way));
	if (r->on_the_way == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < r->count; i++) {
		size_t read = r->order[i], tensor = original(r, read);

		lm_patch_will_need(r->archive, tensor);
		r->on_the_way[read] =
			r->reads[read].len > 0 &&
			r->reads[read].len == r->archive->manifest.tensors[tensor].bytes &&
			(i == 0 || original(r, r->order[i - 1]) != tensor) &&
			(i + 1 == r->count || original(r, r->order[i + 1]) != tensor) &&
			lm_overlay_covers(r->archive, tensor);
	}
	r->overlay = lm_overlay_new(r->archive, error);
	return r->overlay != NULL ? LMODEL_OK : LMODEL_EFAILED;
}

/* ---- true values over the rest: each shard is walked once, however many ranges meet it ---- */

static int next_group(void *context, void *job, struct lmodel_error *error)
{
	struct reading *r = context;
	struct group *g = job;
	size_t tensor;

	(void)error;
	while (r->next < r->count && r->on_the_way[r->order[r->next]])
		r->next++;
	if (r->next == r->count)
		return LM_POOL_END;
	*g = (struct group){ .reading = r, .begin = r->next };
	tensor = original(r, r->order[r->next]);
	while (r->next < r->count && original(r, r->order[r->next]) == tensor)
		r->next++;
	g->end = r->next;
	return LMODEL_OK;
}

static int patch(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
		 struct lmodel_error *error)
{
	struct group *g = context;
	const struct reading *r = g->reading;

	(void)error;
	for (size_t i = g->from; i < g->end; i++) {
		const struct lmodel_read *read = &r->reads[r->order[i]];
		uint64_t from = LM_MAX(offset, read->offset);
		uint64_t to = LM_MIN(offset + len, read->offset + read->len);

		if (read->offset >= offset + len)
			break;
		if (from < to)
			memcpy((uint8_t *)read->buffer + (from - read->offset),
			       bytes + (from - offset), (size_t)(to - from));
		else if (i == g->from)
			g->from++; /* patches ascend */
	}
	return LMODEL_OK;
}

/* Whether a tier in force holds the key of a lock that is over the whole tensor (spec: 7.8). */
static bool is_locked(const struct lmodel_archive *a, size_t tensor)
{
	for (size_t tier = 0; tier < a->level; tier++)
		if (lm_tier_is_locked(&a->manifest.tiers[tier]) &&
		    lm_shard_find(&a->manifest, tier, tensor) != LM_NONE)
			return true;
	return false;
}

/* A lock is undone once: what is decoded in its place, when that is whole blocks, or read anew. */
static int unlock_group(const struct group *g, size_t tensor, struct lmodel_error *error)
{
	const struct reading *r = g->reading;
	int result = LMODEL_OK;

	for (size_t i = g->begin; i < g->end && result == LMODEL_OK; i++) {
		const struct lmodel_read *read = &r->reads[r->order[i]];
		uint64_t from = read->offset, wide = read->len;

		lm_patch_range(r->archive, tensor, &from, &wide);
		result = wide == read->len ?
				 lm_patch_memory(r->archive, tensor, read->offset, read->buffer,
						 read->len, error) :
				 read_widened(r->archive, tensor, read->offset, read->buffer,
					      read->len, error);
	}
	return result;
}

static int patch_group(void *context, unsigned worker, void *job, struct lmodel_error *error)
{
	const struct reading *r = context;
	struct lmodel_archive *a = r->archive;
	struct group *g = job;
	size_t tensor = original(r, r->order[g->begin]);
	uint64_t from = r->reads[r->order[g->begin]].offset, to = from;
	int result = LMODEL_OK;

	(void)worker;
	for (size_t i = g->begin; i < g->end; i++) {
		const struct lmodel_read *read = &r->reads[r->order[i]];

		to = LM_MAX(to, read->offset + read->len);
	}
	if (is_locked(a, tensor))
		return unlock_group(g, tensor, error);
	for (size_t tier = 0; tier < a->level && result == LMODEL_OK && from < to; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		g->from = g->begin;
		if (shard != LM_NONE)
			result = lm_shard_read(a, shard, from, to, patch, g, error);
	}
	return result;
}

static int patched(void *context, void *job, struct lmodel_error *error)
{
	(void)context;
	(void)job;
	(void)error;
	return LMODEL_OK;
}

static int run_all(struct reading *r, const struct lmodel_run *run, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(struct group), .next = next_group, .work = patch_group,
		.emit = patched,
	};
	struct lm_scan scan = {
		.archive = r->archive, .items = r->items, .item_count = r->count,
		.place = place, .work = put, .context = r,
	};
	int result = LMODEL_OK;

	if (r->archive->level > 0) {
		scan.lost = lost;
		result = plan_overlay(r, error);
	}
	if (result == LMODEL_OK)
		result = lm_scan_run(&scan, run, error);
	if (result != LMODEL_OK || r->archive->level == 0)
		return result;
	return lm_pool_run(lm_pool_workers(run != NULL ? run->jobs : 0), &ops, r, error);
}

int lmodel_read_tensors(struct lmodel_archive *archive, const struct lmodel_read *reads,
			size_t count, const struct lmodel_run *run, struct lmodel_error *error)
{
	struct reading r = { .archive = archive, .reads = reads, .count = count };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int result;

	error = error != NULL ? error : &local;
	result = plan(&r, error);
	if (result == LMODEL_OK)
		result = lm_archive_check_level(archive, error);
	if (result == LMODEL_OK)
		result = run_all(&r, run, error);
	lm_overlay_free(r.overlay);
	free(r.on_the_way);
	free(r.items);
	free(r.order);
	return result;
}
