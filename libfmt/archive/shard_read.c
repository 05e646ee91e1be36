/* True values over a tensor in memory, or in a file. */
#include "archive/deeplock.h"
#include "archive/shard.h"
#include "archive/unlock.h"
#include "base/io.h"

/* ---- into memory ---- */

/* What has to be read so that [offset, offset + len) can be made of it: digests of a locked tensor
 * are of whole blocks. */
void lm_patch_range(const struct lmodel_archive *a, size_t tensor, uint64_t *offset, uint64_t *len)
{
	uint64_t end = *offset + *len, bytes = a->manifest.tensors[tensor].bytes;

	for (size_t tier = 0; tier < a->level && *len > 0; tier++) {
		if (!lm_tier_is_locked(&a->manifest.tiers[tier]) ||
		    lm_shard_find(&a->manifest, tier, tensor) == LM_NONE)
			continue;
		*offset -= *offset % LM_LOCK_BLOCK;
		if (end % LM_LOCK_BLOCK != 0)
			end = LM_MIN(bytes, end - end % LM_LOCK_BLOCK + LM_LOCK_BLOCK);
		*len = end - *offset;
	}
}

void lm_patch_will_need(const struct lmodel_archive *a, size_t tensor)
{
	for (size_t tier = 0; a->file.ops != NULL && tier < a->level; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		for (int kind = 0; shard != LM_NONE && kind <= LM_VALUES; kind++)
			lm_stream_will_need(a, tier, (enum lm_stream)kind,
					    &a->manifest.shards[shard].stream[kind]);
	}
}

static int patch_memory(const struct lmodel_archive *a, size_t shard, uint64_t offset, uint8_t *bytes,
			size_t len, struct lmodel_error *error)
{
	struct lm_shard_walk *w = NULL;
	int r = lm_shard_walk_open(&w, a, shard, NULL, error);

	if (r == LMODEL_OK)
		r = lm_shard_walk_over(w, offset, bytes, len, error);
	if (r == LMODEL_OK)
		r = lm_shard_walk_end(w, error);
	lm_shard_walk_free(w);
	return r;
}

int lm_patch_memory(const struct lmodel_archive *a, size_t tensor, uint64_t offset, void *buffer,
		    size_t len, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t tier = 0; tier < a->level && r == LMODEL_OK && len > 0; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		if (shard != LM_NONE && lm_tier_is_locked(&a->manifest.tiers[tier]))
			r = lm_lock_open(a, shard, offset, buffer, len, error);
		else if (shard != LM_NONE)
			r = patch_memory(a, shard, offset, buffer, len, error);
	}
	return r;
}

/* ---- into a file: through a window, so that scattered elements cost no system call each ---- */

struct window {
	int fd;
	const char *label;
	uint64_t to, size;       /* place of the tensor in the file, its bytes */
	uint64_t at;             /* of the window, in the tensor */
	size_t len;
	bool dirty;
	uint8_t *bytes;
};

enum { WINDOW = 1 << 20 };

static int flush(struct window *w, struct lmodel_error *error)
{
	if (!w->dirty)
		return LMODEL_OK;
	w->dirty = false;
	return lm_write_at(w->fd, w->label, w->bytes, w->len, w->to + w->at, error);
}

static int patch_window(void *context, uint64_t offset, const uint8_t *bytes, size_t len,
			struct lmodel_error *error)
{
	struct window *w = context;

	while (len > 0) {
		size_t n;

		if (offset < w->at || offset >= w->at + w->len) {
			int r = flush(w, error);

			w->at = offset & ~(uint64_t)(WINDOW - 1);
			w->len = (size_t)LM_MIN((uint64_t)WINDOW, w->size - w->at);
			if (r == LMODEL_OK)
				r = lm_read_at(w->fd, w->label, w->bytes, w->len, w->to + w->at,
					       error);
			if (r != LMODEL_OK)
				return r;
		}
		n = (size_t)LM_MIN((uint64_t)len, w->at + w->len - offset);
		memcpy(w->bytes + (offset - w->at), bytes, n);
		w->dirty = true;
		offset += n;
		bytes += n;
		len -= n;
	}
	return LMODEL_OK;
}

int lm_patch_file(const struct lmodel_archive *a, size_t tensor, int fd, const char *label,
		  uint64_t to, struct lmodel_error *error)
{
	LM_FREE uint8_t *bytes = malloc(WINDOW);
	struct window w = { .fd = fd, .label = label, .to = to, .bytes = bytes,
			    .size = a->manifest.tensors[tensor].bytes };
	int r = LMODEL_OK;

	if (bytes == NULL)
		return lm_fail_memory(error);
	for (size_t tier = 0; tier < a->level && r == LMODEL_OK; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		if (shard != LM_NONE && lm_tier_is_locked(&a->manifest.tiers[tier]))
			r = lm_lock_open_file(a, shard, fd, label, to, error);
		else if (shard != LM_NONE)
			r = lm_shard_read(a, shard, 0, w.size, patch_window, &w, error);
		if (r == LMODEL_OK)
			r = flush(&w, error);
	}
	return r;
}
