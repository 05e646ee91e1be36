#include "protect/picks.h"

#include <pthread.h>

#include "base/io.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

enum {
	IN_MEMORY = 12 << 20, /* bytes, of all tensors; pages that are not used are not there */
	HEAD = 8,
	ALIGN = 8,
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

void lm_picked_free(struct lm_picked *picked)
{
	free(picked->bytes);
	*picked = (struct lm_picked){ 0 };
}

/* ---- records: u32 units, u32 keys; keys, places, tiers, as they are in memory ---- */

static size_t record_len(size_t count, size_t keys)
{
	const size_t len = HEAD + sizeof(uint64_t) * keys + (sizeof(uint16_t) + 1) * count;

	return (len + ALIGN - 1) / ALIGN * ALIGN;
}

static int reserve(uint8_t **bytes, size_t *capacity, size_t len, struct lmodel_error *error)
{
	if (len <= *capacity)
		return LMODEL_OK;
	free(*bytes);
	*capacity = 0;
	*bytes = malloc(len);
	if (*bytes == NULL)
		return lm_fail_memory(error);
	*capacity = len;
	return LMODEL_OK;
}

static void pack(const struct lm_pick_list *list, uint8_t *p, size_t len)
{
	uint8_t *const end = p + len;

	lm_put_u32(p, (uint32_t)list->count);
	lm_put_u32(p + 4, (uint32_t)list->key_count);
	p += HEAD;
	if (list->key_count > 0)
		memcpy(p, list->keys, list->key_count * sizeof(*list->keys));
	p += list->key_count * sizeof(*list->keys);
	memcpy(p, list->at, list->count * sizeof(*list->at));
	p += list->count * sizeof(*list->at);
	memcpy(p, list->tier, list->count);
	p += list->count;
	memset(p, 0, (size_t)(end - p));
}

static int unpack(struct lm_picked *picked, const uint8_t *p, size_t len,
		  struct lmodel_error *error)
{
	const size_t count = lm_get_u32(p), keys = lm_get_u32(p + 4);

	if (count > LM_PICKS_WINDOW || keys > count || record_len(count, keys) != len)
		return lm_fail(error, LMODEL_EFAILED, "%s: was changed while it was used", label);
	picked->count = count;
	picked->key_count = keys;
	p += HEAD;
	picked->keys = (const void *)p;
	p += keys * sizeof(*picked->keys);
	picked->at = (const void *)p;
	picked->tier = p + count * sizeof(*picked->at);
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
	len = record_len(list->count, list->key_count);
	r = take_room(picks, len, place, error);
	if (r != LMODEL_OK)
		return r;
	if (place->offset < IN_MEMORY) {
		pack(list, picks->memory + place->offset, len);
		return LMODEL_OK;
	}
	r = reserve(&list->packed, &list->packed_capacity, len, error);
	if (r != LMODEL_OK)
		return r;
	pack(list, list->packed, len);
	r = crypt_at(picks, place->offset - IN_MEMORY, list->packed, len, error);
	return r == LMODEL_OK ? lm_write_at(picks->fd, label, list->packed, len,
					    place->offset - IN_MEMORY, error) : r;
}

int lm_picks_get(const struct lm_picks *picks, size_t tensor, uint64_t window,
		 struct lm_picked *picked, struct lmodel_error *error)
{
	const struct place *place = &picks->tensors[tensor].places[window];
	int r;

	picked->count = picked->key_count = 0;
	if (place->len == 0)
		return LMODEL_OK;
	if (place->offset < IN_MEMORY)
		return unpack(picked, picks->memory + place->offset, place->len, error);
	r = reserve(&picked->bytes, &picked->capacity, place->len, error);
	if (r == LMODEL_OK)
		r = lm_read_at(picks->fd, label, picked->bytes, place->len,
			       place->offset - IN_MEMORY, error);
	if (r == LMODEL_OK)
		r = crypt_at(picks, place->offset - IN_MEMORY, picked->bytes, place->len, error);
	return r == LMODEL_OK ? unpack(picked, picked->bytes, place->len, error) : r;
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
