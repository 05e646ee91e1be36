#include "net/ranges.h"

#include <pthread.h>
#include <stdatomic.h>

/* Requests at once, however many threads read: so memory is bounded. */
enum { REQUESTS = 4, AHEAD = LM_RANGES_AHEAD / LM_BLOCK };

/* Blocks that are being read: [first, last). */
struct reading {
	uint64_t first, last;
	struct reading *next;
};

struct lm_ranges {
	struct lm_ranges_source source;
	struct lm_store *store;
	uint64_t blocks;
	pthread_mutex_t lock;   /* for all that follows, and the store's map */
	pthread_cond_t moved;   /* a request has ended */
	unsigned requests;
	struct reading *readings;
	unsigned retreats;      /* of the store: what was there before is not */
	uint64_t doubted_at;    /* by the clock below, when a block was doubted last */
	uint64_t cached;
	uint8_t *wanted;        /* bits: will be read */
	uint8_t *busy;          /* a request for it is under way */
	uint8_t *known;         /* was fetched by us, or counted as cached */
	uint8_t *doubted;       /* was forgotten once, as its bytes were wrong */
};

/* Orders reads and doubts; and when the last read of a thread began, which is the one it doubts. */
static atomic_uint_fast64_t ticks;
static _Thread_local uint64_t read_at;

struct lm_ranges *lm_ranges_new(const struct lm_ranges_source *source, struct lm_store *store,
				struct lmodel_error *error)
{
	struct lm_ranges *r = calloc(1, sizeof(*r));
	size_t bits = lm_bits_len(lm_block_count(source->size)) + 1;

	if (r == NULL) {
		lm_fail_memory(error);
		lm_store_close(store);
		return NULL;
	}
	r->source = *source;
	r->store = store;
	r->blocks = lm_block_count(source->size);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->moved, NULL);
	r->wanted = calloc(4, bits);
	if (r->wanted == NULL) {
		lm_fail_memory(error);
		lm_ranges_free(r);
		return NULL;
	}
	r->busy = r->wanted + bits;
	r->known = r->busy + bits;
	r->doubted = r->known + bits;
	return r;
}

void lm_ranges_free(struct lm_ranges *r)
{
	if (r == NULL)
		return;
	lm_store_close(r->store);
	pthread_cond_destroy(&r->moved);
	pthread_mutex_destroy(&r->lock);
	free(r->wanted);
	free(r);
}

/* Bytes of blocks [first, last): the last one of the file is short. */
static uint64_t bytes_of(const struct lm_ranges *r, uint64_t first, uint64_t last)
{
	return LM_MIN(last * LM_BLOCK, r->source.size) - first * LM_BLOCK;
}

/* ---- fetching; the lock is held, but for the request itself ---- */

static bool is_missing(const struct lm_ranges *r, uint64_t block)
{
	return !lm_store_has(r->store, block) && !lm_bit(r->busy, block);
}

/* What goes into one request: `block`, those behind it as far as they are read now (before `last`)
 * or later, and those in front of it that are wanted, too: lists of digests stand behind the chunks
 * and are read first. */
static void choose(const struct lm_ranges *r, uint64_t block, uint64_t last, uint64_t *from,
		   uint64_t *to)
{
	*from = block;
	*to = block + 1;
	while (*from > 0 && *to - *from < AHEAD && is_missing(r, *from - 1) &&
	       lm_bit(r->wanted, *from - 1))
		--*from;
	while (*to < r->blocks && *to - *from < AHEAD && is_missing(r, *to) &&
	       (*to < last || lm_bit(r->wanted, *to)))
		++*to;
}

static void mark(uint8_t *bits, uint64_t from, uint64_t to, bool value)
{
	for (uint64_t i = from; i < to; i++)
		lm_bit_put(bits, i, value);
}

static int request(struct lm_ranges *r, uint64_t from, uint64_t to, bool *kept,
		   struct lmodel_error *error)
{
	size_t len = (size_t)bytes_of(r, from, to);
	LM_FREE uint8_t *bytes = malloc(len);
	int code;

	if (bytes == NULL)
		return lm_fail_memory(error);
	code = r->source.fetch(r->source.context, from * LM_BLOCK, bytes, len, error);
	if (code != LMODEL_OK)
		return code;
	*kept = lm_store_write(r->store, bytes, len, from * LM_BLOCK);
	return LMODEL_OK;
}

static bool is_being_read(const void *context, uint64_t block)
{
	const struct lm_ranges *r = context;

	for (const struct reading *x = r->readings; x != NULL; x = x->next)
		if (block >= x->first && block < x->last)
			return true;
	return false;
}

/* The disk is full, say. All is fetched again from here on, into memory. */
static int retreat(struct lm_ranges *r, struct lmodel_error *error)
{
	if (r->retreats++ > 0)
		return lm_fail(error, LMODEL_EFAILED, "%s: there is no room for what was fetched",
			       r->source.label);
	return lm_store_retreat(r->store, error);
}

/* One request for `block` and what goes with it. */
static int fetch(struct lm_ranges *r, uint64_t block, uint64_t last, struct lmodel_error *error)
{
	unsigned retreats = r->retreats;
	uint64_t from, to;
	bool kept = false;
	int code;

	choose(r, block, last, &from, &to);
	mark(r->busy, from, to, true);
	r->requests++;
	pthread_mutex_unlock(&r->lock);
	code = request(r, from, to, &kept, error);
	pthread_mutex_lock(&r->lock);
	r->requests--;
	mark(r->busy, from, to, false);
	/* what was written before a retreat went to the file before */
	if (code == LMODEL_OK && kept && retreats == r->retreats) {
		mark(r->wanted, from, to, false);
		mark(r->known, from, to, true);
		lm_store_add(r->store, from, to, is_being_read, r);
	} else if (code == LMODEL_OK && retreats == r->retreats) {
		code = retreat(r, error);
	}
	pthread_cond_broadcast(&r->moved);
	return code;
}

/* While another thread waits for `block`: the next one that is wanted and for which nobody has
 * asked, if that is not far. */
static bool find_ahead(const struct lm_ranges *r, uint64_t block, uint64_t *next)
{
	for (uint64_t i = block; i < r->blocks && i < block + 2 * AHEAD; i++)
		if (lm_bit(r->wanted, i) && is_missing(r, i)) {
			*next = i;
			return true;
		}
	return false;
}

/* Sees to it that blocks [first, last) are in the store. */
static int ensure(struct lm_ranges *r, uint64_t first, uint64_t last, struct lmodel_error *error)
{
	int code = LMODEL_OK;

	for (uint64_t i = first, next; i < last && code == LMODEL_OK;) {
		if (lm_store_has(r->store, i)) {
			if (!lm_bit(r->known, i))
				r->cached += bytes_of(r, i, i + 1);
			lm_bit_put(r->known, i, true);
			lm_bit_put(r->wanted, i, false);
			i++;
		} else if (r->requests < REQUESTS && !lm_bit(r->busy, i)) {
			code = fetch(r, i, last, error);
		} else if (r->requests < REQUESTS && find_ahead(r, i, &next)) {
			code = fetch(r, next, next, error);
		} else {
			pthread_cond_wait(&r->moved, &r->lock);
		}
	}
	return code;
}

/* ---- the file ---- */

static void begin_reading(struct lm_ranges *r, struct reading *reading)
{
	pthread_mutex_lock(&r->lock);
	reading->next = r->readings;
	r->readings = reading;
}

static void end_reading(struct lm_ranges *r, struct reading *reading)
{
	struct reading **at = &r->readings;

	while (*at != reading)
		at = &(*at)->next;
	*at = reading->next;
	pthread_mutex_unlock(&r->lock);
}

/* The blocks stay where they are meanwhile, but for a retreat. */
static int read_blocks(struct lm_ranges *r, const struct reading *blocks, void *buffer, size_t len,
		       uint64_t offset, bool *read, struct lmodel_error *error)
{
	unsigned retreats;
	int code = ensure(r, blocks->first, blocks->last, error);

	if (code != LMODEL_OK)
		return code;
	retreats = r->retreats;
	pthread_mutex_unlock(&r->lock);
	*read = lm_store_read(r->store, buffer, len, offset);
	pthread_mutex_lock(&r->lock);
	if (retreats != r->retreats)
		*read = false;
	else if (!*read) /* somebody has cut the cache's file off */
		lm_store_forget(r->store, blocks->first, blocks->last);
	return LMODEL_OK;
}

int lm_ranges_read(struct lm_ranges *r, void *buffer, size_t len, uint64_t offset,
		   struct lmodel_error *error)
{
	struct reading reading = { .first = offset / LM_BLOCK };
	bool read = false;
	int code = LMODEL_OK;

	if (offset > r->source.size || len > r->source.size - offset)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: truncated: the file ends at %ju, %ju bytes short",
			       r->source.label, (uintmax_t)r->source.size,
			       (uintmax_t)(offset + len - r->source.size));
	if (len == 0)
		return LMODEL_OK;
	read_at = atomic_fetch_add(&ticks, 1);
	if (offset + len <= r->source.head_len) {
		memcpy(buffer, r->source.head + offset, len);
		return LMODEL_OK;
	}
	reading.last = (offset + len - 1) / LM_BLOCK + 1;
	begin_reading(r, &reading);
	for (int tries = 0; tries < 3 && code == LMODEL_OK && !read; tries++)
		code = read_blocks(r, &reading, buffer, len, offset, &read, error);
	end_reading(r, &reading);
	if (code != LMODEL_OK || read)
		return code;
	return lm_fail(error, LMODEL_EFAILED, "%s: what was fetched cannot be read back from the cache",
		       r->source.label);
}

void lm_ranges_will_need(struct lm_ranges *r, uint64_t offset, uint64_t len)
{
	if (offset >= r->source.size || len == 0)
		return;
	len = LM_MIN(len, r->source.size - offset);
	pthread_mutex_lock(&r->lock);
	mark(r->wanted, offset / LM_BLOCK, (offset + len - 1) / LM_BLOCK + 1, true);
	pthread_mutex_unlock(&r->lock);
}

/* Each block once: a source that goes on giving wrong bytes is wrong. But who has read before
 * somebody else doubted has not seen what came after. */
bool lm_ranges_doubt(struct lm_ranges *r, uint64_t offset, uint64_t len)
{
	bool again = false, fresh = false;

	if (offset >= r->source.size || len == 0)
		return false;
	len = LM_MIN(len, r->source.size - offset);
	pthread_mutex_lock(&r->lock);
	for (uint64_t i = offset / LM_BLOCK; i <= (offset + len - 1) / LM_BLOCK; i++) {
		if (lm_bit(r->doubted, i)) {
			again |= read_at < r->doubted_at;
			continue;
		}
		lm_bit_put(r->doubted, i, true);
		lm_store_forget(r->store, i, i + 1);
		again = fresh = true;
	}
	if (fresh)
		r->doubted_at = atomic_fetch_add(&ticks, 1);
	pthread_mutex_unlock(&r->lock);
	return again;
}

uint64_t lm_ranges_cached(struct lm_ranges *r)
{
	uint64_t cached;

	pthread_mutex_lock(&r->lock);
	cached = r->cached;
	pthread_mutex_unlock(&r->lock);
	return cached;
}
