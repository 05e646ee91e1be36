#include "protect/picks.h"

#include <pthread.h>

#include "base/io.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

enum {
	IN_MEMORY = 8 << 20, /* bytes, of all tensors; pages that are not used are not there */
	LONG = 255,          /* a byte of a gap that goes on in the next one */
	HEAD = 12,
};

static const char label[] = "temporary file";

/* Where a window's record is. */
struct place {
	uint64_t offset;
	uint32_t len;
};

struct kept {
	size_t window;         /* units; 0: not kept */
	struct place *places;
	size_t count;
};

struct lm_picks {
	size_t tensor_count;
	struct kept *tensors;
	const char *directory;
	uint8_t *key;          /* of the file; secret memory */
	uint8_t *memory;       /* the first IN_MEMORY bytes */
	pthread_mutex_t lock;  /* of: */
	uint64_t end;
	int fd;                /* the bytes behind those; -1: none yet */
};

/* ---- lists ---- */

int lm_pick_list_begin(struct lm_pick_list *list, size_t units, struct lmodel_error *error)
{
	list->count = list->key_count = 0;
	if (units <= list->capacity)
		return LMODEL_OK;
	free(list->at);
	free(list->tier);
	list->capacity = 0;
	list->at = malloc(units * sizeof(*list->at));
	list->tier = malloc(units);
	if (list->at == NULL || list->tier == NULL)
		return lm_fail_memory(error);
	list->capacity = units;
	return LMODEL_OK;
}

int lm_pick_list_add_key(struct lm_pick_list *list, uint64_t key, struct lmodel_error *error)
{
	if (lm_grow(&list->keys, list->key_count, &list->key_capacity, sizeof(*list->keys), error))
		return LMODEL_EFAILED;
	list->keys[list->key_count++] = key;
	return LMODEL_OK;
}

void lm_pick_list_free(struct lm_pick_list *list)
{
	free(list->at);
	free(list->tier);
	free(list->keys);
	free(list->packed);
	*list = (struct lm_pick_list){ 0 };
}

/* ---- records: u32 units, u32 keys, u32 bytes of gaps; gaps, tiers, keys ---- */

static size_t record_limit(const struct lm_pick_list *list)
{
	return HEAD + 2 * list->count + LM_PICKS_WINDOW / LONG + 1 + 8 * list->key_count;
}

static int reserve(struct lm_pick_list *list, size_t len, struct lmodel_error *error)
{
	if (len <= list->packed_capacity)
		return LMODEL_OK;
	free(list->packed);
	list->packed_capacity = 0;
	list->packed = malloc(len);
	if (list->packed == NULL)
		return lm_fail_memory(error);
	list->packed_capacity = len;
	return LMODEL_OK;
}

static size_t pack(struct lm_pick_list *list)
{
	uint8_t *p = list->packed + HEAD;
	size_t next = 0;

	for (size_t i = 0; i < list->count; i++) {
		size_t gap = list->at[i] - next;

		for (; gap >= LONG; gap -= LONG)
			*p++ = LONG;
		*p++ = (uint8_t)gap;
		next = list->at[i] + 1u;
	}
	lm_put_u32(list->packed, (uint32_t)list->count);
	lm_put_u32(list->packed + 4, (uint32_t)list->key_count);
	lm_put_u32(list->packed + 8, (uint32_t)(p - list->packed) - HEAD);
	if (list->count > 0)
		memcpy(p, list->tier, list->count);
	p += list->count;
	if (list->key_count > 0)
		memcpy(p, list->keys, list->key_count * sizeof(*list->keys));
	return (size_t)(p - list->packed) + list->key_count * sizeof(*list->keys);
}

static int unpack(struct lm_pick_list *list, struct lmodel_error *error)
{
	const uint8_t *p = list->packed + HEAD;
	size_t count = lm_get_u32(list->packed), keys = lm_get_u32(list->packed + 4), next = 0;

	if (count > LM_PICKS_WINDOW || keys > count)
		return lm_fail(error, LMODEL_EFAILED, "%s: was changed while it was used", label);
	if (keys > list->key_capacity) {
		free(list->keys);
		list->key_capacity = 0;
		list->keys = malloc(keys * sizeof(*list->keys));
		if (list->keys == NULL)
			return lm_fail_memory(error);
		list->key_capacity = keys;
	}
	for (size_t i = 0; i < count; i++) {
		for (; *p == LONG; p++)
			next += LONG;
		next += *p++;
		list->at[i] = (uint16_t)next++;
	}
	p = list->packed + HEAD + lm_get_u32(list->packed + 8);
	list->count = count;
	list->key_count = keys;
	if (count > 0)
		memcpy(list->tier, p, count);
	if (keys > 0)
		memcpy(list->keys, p + count, keys * sizeof(*list->keys));
	return LMODEL_OK;
}

/* ---- where records are ---- */

/* Every place is written once, so no byte of the keystream serves twice. */
static int crypt_at(const struct lm_picks *picks, uint64_t offset, uint8_t *bytes, size_t len,
		    struct lmodel_error *error)
{
	struct lm_keystream *stream = lm_keystream_new(picks->key, error);
	uint8_t pad[4096];

	if (stream == NULL)
		return LMODEL_EFAILED;
	for (size_t at = 0, n; at < len; at += n) {
		/* The keystream has windows of its own: pieces end where these do. */
		n = LM_MIN(len - at, sizeof(pad) - (size_t)((offset + at) % sizeof(pad)));
		lm_keystream_read(stream, offset + at, pad, n);
		for (size_t i = 0; i < n; i++)
			bytes[at + i] ^= pad[i];
	}
	lm_wipe(pad, sizeof(pad));
	lm_keystream_free(stream);
	return LMODEL_OK;
}

/* Room for a record: all in memory, or all in the file. */
static int take_room(struct lm_picks *picks, size_t len, struct place *place,
		     struct lmodel_error *error)
{
	int r = LMODEL_OK;

	pthread_mutex_lock(&picks->lock);
	if (picks->end < IN_MEMORY && len > IN_MEMORY - picks->end)
		picks->end = IN_MEMORY;
	if (picks->end == 0)
		picks->memory = malloc(IN_MEMORY);
	if (picks->end == 0 && picks->memory == NULL)
		r = lm_fail_memory(error);
	if (r == LMODEL_OK && picks->end >= IN_MEMORY && picks->fd < 0)
		r = lm_unnamed_file(picks->directory, &picks->fd, error);
	if (r == LMODEL_OK) {
		*place = (struct place){ picks->end, (uint32_t)len };
		picks->end += len;
	}
	pthread_mutex_unlock(&picks->lock);
	return r;
}

int lm_picks_put(struct lm_picks *picks, size_t tensor, uint64_t window, struct lm_pick_list *list,
		 struct lmodel_error *error)
{
	struct place *place = &picks->tensors[tensor].places[window];
	size_t len;
	int r;

	*place = (struct place){ 0 };
	if (list->count == 0)
		return LMODEL_OK;
	r = reserve(list, record_limit(list), error);
	if (r != LMODEL_OK)
		return r;
	len = pack(list);
	r = take_room(picks, len, place, error);
	if (r != LMODEL_OK)
		return r;
	if (place->offset < IN_MEMORY) {
		memcpy(picks->memory + place->offset, list->packed, len);
		return LMODEL_OK;
	}
	r = crypt_at(picks, place->offset - IN_MEMORY, list->packed, len, error);
	return r == LMODEL_OK ? lm_write_at(picks->fd, label, list->packed, len,
					    place->offset - IN_MEMORY, error) : r;
}

int lm_picks_get(const struct lm_picks *picks, size_t tensor, uint64_t window,
		 struct lm_pick_list *list, struct lmodel_error *error)
{
	const struct kept *kept = &picks->tensors[tensor];
	const struct place *place = &kept->places[window];
	int r = lm_pick_list_begin(list, kept->window, error);

	if (r != LMODEL_OK || place->len == 0)
		return r;
	r = reserve(list, place->len, error);
	if (r != LMODEL_OK)
		return r;
	if (place->offset < IN_MEMORY) {
		memcpy(list->packed, picks->memory + place->offset, place->len);
		return unpack(list, error);
	}
	r = lm_read_at(picks->fd, label, list->packed, place->len, place->offset - IN_MEMORY,
		       error);
	if (r == LMODEL_OK)
		r = crypt_at(picks, place->offset - IN_MEMORY, list->packed, place->len, error);
	return r == LMODEL_OK ? unpack(list, error) : r;
}

/* ---- tensors ---- */

struct lm_picks *lm_picks_new(size_t tensors, const char *directory, struct lmodel_error *error)
{
	struct lm_picks *picks = calloc(1, sizeof(*picks));

	if (picks == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	picks->fd = -1;
	picks->tensor_count = tensors;
	picks->directory = directory;
	pthread_mutex_init(&picks->lock, NULL);
	picks->tensors = calloc(tensors + 1, sizeof(*picks->tensors));
	picks->key = lm_secret_alloc(32, error);
	if (picks->tensors == NULL)
		lm_fail_memory(error);
	if (picks->tensors == NULL || picks->key == NULL) {
		lm_picks_free(picks);
		return NULL;
	}
	lm_random(picks->key, 32);
	return picks;
}

int lm_picks_begin(struct lm_picks *picks, size_t tensor, uint64_t units, size_t window,
		   struct lmodel_error *error)
{
	struct kept *kept = &picks->tensors[tensor];

	kept->count = (size_t)(units / window + (units % window != 0));
	kept->places = calloc(kept->count + 1, sizeof(*kept->places));
	if (kept->places == NULL)
		return lm_fail_memory(error);
	kept->window = window;
	return LMODEL_OK;
}

void lm_picks_drop(struct lm_picks *picks, size_t tensor)
{
	free(picks->tensors[tensor].places);
	picks->tensors[tensor] = (struct kept){ 0 };
}

size_t lm_picks_window(const struct lm_picks *picks, size_t tensor)
{
	return picks->tensors[tensor].window;
}

void lm_picks_free(struct lm_picks *picks)
{
	if (picks == NULL)
		return;
	for (size_t i = 0; picks->tensors != NULL && i < picks->tensor_count; i++)
		free(picks->tensors[i].places);
	free(picks->tensors);
	if (picks->memory != NULL)
		lm_wipe(picks->memory, (size_t)LM_MIN(picks->end, (uint64_t)IN_MEMORY));
	free(picks->memory);
	lm_secret_free(picks->key);
	lm_close_cleanup(&picks->fd);
	pthread_mutex_destroy(&picks->lock);
	free(picks);
}
