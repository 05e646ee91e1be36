#include "archive/overlay.h"

#include <pthread.h>

#include "archive/content.h"
#include "archive/deeplock.h"

/* A tensor of which some has come. Of each tier, who has the bytes from `next` on goes on; the
 * tiers of one piece are put one after the other, those of different pieces side by side. */
struct covered {
	struct covered *link;
	size_t item, tensor;
	uint64_t stop;           /* from here on nothing can be put any more */
	uint8_t base_digest[LM_SHA256_SIZE];
	size_t count;
	struct {
		size_t shard;
		struct lm_shard_walk *walk; /* its memory is used again for the next tensor */
		uint64_t next;
	} tier[LM_TIER_ROW_LIMIT];
};

struct lm_overlay {
	const struct lmodel_archive *archive;
	pthread_mutex_t lock;
	pthread_cond_t moved;    /* some `next`, `stop` or `no_memory` */
	bool no_memory;          /* to say where a tensor stops */
	struct covered *open;    /* as many as there are chunks at work, at most */
	struct covered *idle;
};

struct lm_overlay *lm_overlay_new(const struct lmodel_archive *archive, struct lmodel_error *error)
{
	struct lm_overlay *o = calloc(1, sizeof(*o));

	if (o == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	o->archive = archive;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->moved, NULL);
	return o;
}

static void free_list(struct covered *c)
{
	while (c != NULL) {
		struct covered *link = c->link;

		for (size_t i = 0; i < LM_COUNT(c->tier); i++)
			lm_shard_walk_free(c->tier[i].walk);
		free(c);
		c = link;
	}
}

void lm_overlay_free(struct lm_overlay *o)
{
	if (o == NULL)
		return;
	free_list(o->open);
	free_list(o->idle);
	pthread_cond_destroy(&o->moved);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

bool lm_overlay_covers(const struct lmodel_archive *a, size_t tensor)
{
	bool any = false;

	for (size_t tier = 0; tier < a->level; tier++) {
		if (lm_shard_find(&a->manifest, tier, tensor) == LM_NONE)
			continue;
		if (lm_tier_is_locked(&a->manifest.tiers[tier]))
			return false;
		any = true;
	}
	return any;
}

/* ---- with the lock held, but begin() ---- */

static struct covered *find(const struct lm_overlay *o, size_t item)
{
	struct covered *c = o->open;

	while (c != NULL && c->item != item)
		c = c->link;
	return c;
}

static struct covered *take_idle(struct lm_overlay *o, struct lmodel_error *error)
{
	struct covered *c = o->idle;

	if (c != NULL)
		o->idle = c->link;
	else
		c = calloc(1, sizeof(*c));
	if (c == NULL) {
		o->no_memory = true;
		pthread_cond_broadcast(&o->moved);
		lm_fail_memory(error);
	}
	return c;
}

static void give_idle(struct lm_overlay *o, struct covered *c)
{
	c->link = o->idle;
	o->idle = c;
}

static void begin(struct covered *c, const struct lmodel_archive *a, size_t item, size_t tensor)
{
	c->item = item;
	c->tensor = tensor;
	c->stop = UINT64_MAX;
	c->count = 0;
	for (size_t tier = 0; tier < a->level; tier++) {
		size_t shard = lm_shard_find(&a->manifest, tier, tensor);

		if (shard == LM_NONE)
			continue;
		c->tier[c->count].shard = shard;
		c->tier[c->count++].next = 0;
	}
}

static struct covered *find_or_begin(struct lm_overlay *o, size_t item, size_t tensor,
				     struct lmodel_error *error)
{
	struct covered *c = find(o, item);

	if (c != NULL)
		return c;
	c = take_idle(o, error);
	if (c == NULL)
		return NULL;
	begin(c, o->archive, item, tensor);
	c->link = o->open;
	o->open = c;
	return c;
}

static void end(struct lm_overlay *o, struct covered *c)
{
	struct covered **at = &o->open;

	while (*at != c)
		at = &(*at)->link;
	*at = c->link;
	give_idle(o, c);
}

/* ---- without it: nobody else has this tier of this tensor now ---- */

static int put_tier(const struct lm_overlay *o, struct covered *c, size_t tier, uint64_t at,
		    uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	struct lm_shard_walk **walk = &c->tier[tier].walk;
	int r = LMODEL_OK;

	if (at == 0 && tier == 0)
		r = lm_content_base_digest(&o->archive->manifest, c->tensor, c->base_digest, error);
	if (at == 0 && r == LMODEL_OK)
		r = lm_shard_walk_open(walk, o->archive, c->tier[tier].shard, c->base_digest,
				       error);
	if (r == LMODEL_OK)
		r = lm_shard_walk_over(*walk, at, bytes, len, error);
	if (r == LMODEL_OK && at + len == o->archive->manifest.tensors[c->tensor].bytes)
		r = lm_shard_walk_end(*walk, error);
	return r;
}

/* ---- a piece ---- */

/* Until it is this piece's turn. What stopped the tensor is told by the piece that did, and comes
 * before; pieces before that one go on. */
static int wait_for(struct lm_overlay *o, const struct covered *c, size_t tier, uint64_t at,
		    struct lmodel_error *error)
{
	while (at < c->stop && !o->no_memory && c->tier[tier].next != at)
		pthread_cond_wait(&o->moved, &o->lock);
	if (o->no_memory)
		return lm_fail_memory(error);
	return at < c->stop ? LMODEL_OK :
			      lm_fail(error, LMODEL_EFAILED, "what comes before it cannot be read");
}

static void stop(struct lm_overlay *o, struct covered *c, uint64_t at)
{
	c->stop = LM_MIN(c->stop, at);
	pthread_cond_broadcast(&o->moved);
}

static int put_tiers(struct lm_overlay *o, struct covered *c, uint64_t at, uint8_t *bytes,
		     size_t len, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < c->count && r == LMODEL_OK; i++) {
		r = wait_for(o, c, i, at, error);
		if (r != LMODEL_OK)
			return r;
		pthread_mutex_unlock(&o->lock);
		r = put_tier(o, c, i, at, bytes, len, error);
		pthread_mutex_lock(&o->lock);
		c->tier[i].next = at + len;
		pthread_cond_broadcast(&o->moved);
	}
	if (r != LMODEL_OK)
		stop(o, c, at);
	return r;
}

/* A piece that is all of its tensor, as those of small ones are: nobody waits for it. */
static int put_whole(struct lm_overlay *o, size_t tensor, uint8_t *bytes, size_t len,
		     struct lmodel_error *error)
{
	struct covered *c;
	int r = LMODEL_OK;

	pthread_mutex_lock(&o->lock);
	c = take_idle(o, error);
	pthread_mutex_unlock(&o->lock);
	if (c == NULL)
		return LMODEL_EFAILED;
	begin(c, o->archive, 0, tensor);
	for (size_t i = 0; i < c->count && r == LMODEL_OK; i++)
		r = put_tier(o, c, i, 0, bytes, len, error);
	pthread_mutex_lock(&o->lock);
	give_idle(o, c);
	pthread_mutex_unlock(&o->lock);
	return r;
}

int lm_overlay_put(struct lm_overlay *o, size_t item, size_t tensor, uint64_t at, uint8_t *bytes,
		   size_t len, struct lmodel_error *error)
{
	const uint64_t all = o->archive->manifest.tensors[tensor].bytes;
	struct covered *c;
	int r = LMODEL_EFAILED;

	if (len == all)
		return put_whole(o, tensor, bytes, len, error);
	pthread_mutex_lock(&o->lock);
	c = find_or_begin(o, item, tensor, error);
	if (c != NULL)
		r = put_tiers(o, c, at, bytes, len, error);
	if (r == LMODEL_OK && at + len == all)
		end(o, c);
	pthread_mutex_unlock(&o->lock);
	return r;
}

void lm_overlay_lost(struct lm_overlay *o, size_t item, size_t tensor, uint64_t at)
{
	struct covered *c;

	pthread_mutex_lock(&o->lock);
	c = find_or_begin(o, item, tensor, NULL);
	if (c != NULL)
		stop(o, c, at);
	pthread_mutex_unlock(&o->lock);
}
