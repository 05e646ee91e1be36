#include "net/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/io.h"
#include "net/cache.h"

/* New bytes between two looks at the size of the cache. */
#define SAVE_EVERY (UINT64_C(64) << 20)

struct lm_store {
	int fd, directory;             /* -1: in memory */
	uint8_t key[LM_SHA256_SIZE];
	uint64_t size, blocks;
	uint64_t limit, most;          /* bytes to stay, blocks to hold meanwhile */
	uint64_t held, fresh;          /* blocks; bytes since the map was saved */
	uint64_t hand;                 /* where the next block to give up is looked for */
	uint8_t *here, *added, *gone;  /* bits: there; by us; taken away by us */
};

static int in_memory(uint64_t size, struct lmodel_error *error)
{
	int fd = memfd_create("lmodel-blocks", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		return fd;
	lm_fail_errno(error, "memory for blocks");
	if (fd >= 0)
		close(fd);
	return -1;
}

struct lm_store *lm_store_open(int directory, const uint8_t key[LM_SHA256_SIZE], uint64_t size,
			       uint64_t limit, struct lmodel_error *error)
{
	struct lm_store *s = calloc(1, sizeof(*s));
	size_t bits = lm_bits_len(lm_block_count(size)) + 1;

	if (s == NULL) {
		lm_fail_memory(error);
		if (directory >= 0)
			close(directory);
		return NULL;
	}
	*s = (struct lm_store){ .fd = -1, .directory = directory, .size = size,
				.blocks = lm_block_count(size), .limit = limit };
	memcpy(s->key, key, sizeof(s->key));
	s->here = calloc(1, bits);
	s->added = calloc(1, bits);
	s->gone = calloc(1, bits);
	if (s->here == NULL || s->added == NULL || s->gone == NULL) {
		lm_fail_memory(error);
		lm_store_close(s);
		return NULL;
	}
	if (directory >= 0)
		s->fd = lm_cache_file(directory, key, size, s->here);
	if (s->fd < 0 && lm_store_retreat(s, error) != LMODEL_OK) {
		lm_store_close(s);
		return NULL;
	}
	s->most = (s->directory < 0 ? LM_STORE_LEAST : LM_MAX(limit, LM_STORE_LEAST)) / LM_BLOCK;
	for (uint64_t i = 0; i < s->blocks; i++)
		s->held += lm_bit(s->here, i);
	return s;
}

static void save(struct lm_store *s)
{
	if (s->directory >= 0)
		lm_cache_save(s->directory, s->key, s->fd, s->size, s->added, s->gone, s->limit);
	s->fresh = 0;
}

/* Gives up blocks in the order of the file, round and round; none that is in use. */
static void give_up(struct lm_store *s, uint64_t most, lm_store_in_use *in_use, const void *context)
{
	for (uint64_t looked = 0; s->held > most && looked < s->blocks; looked++) {
		uint64_t i = s->hand;

		s->hand = (s->hand + 1) % s->blocks;
		if (!lm_bit(s->here, i) || (in_use != NULL && in_use(context, i)))
			continue;
		lm_store_forget(s, i, i + 1);
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(i * LM_BLOCK), LM_BLOCK);
	}
}

void lm_store_close(struct lm_store *s)
{
	if (s == NULL)
		return;
	if (s->directory >= 0 && s->fd >= 0) {
		give_up(s, (s->limit - s->limit / 16) / LM_BLOCK, NULL, NULL); /* file systems add to it */
		save(s);
	}
	if (s->fd >= 0)
		close(s->fd);
	if (s->directory >= 0)
		close(s->directory);
	free(s->here);
	free(s->added);
	free(s->gone);
	free(s);
}

bool lm_store_read(const struct lm_store *s, void *buffer, size_t len, uint64_t offset)
{
	return lm_read_at(s->fd, "cache", buffer, len, offset, NULL) == LMODEL_OK;
}

bool lm_store_write(const struct lm_store *s, const void *bytes, size_t len, uint64_t offset)
{
	return lm_write_at(s->fd, "cache", bytes, len, offset, NULL) == LMODEL_OK;
}

bool lm_store_has(const struct lm_store *s, uint64_t block)
{
	return lm_bit(s->here, block);
}

void lm_store_add(struct lm_store *s, uint64_t first, uint64_t last, lm_store_in_use *in_use,
		  const void *context)
{
	for (uint64_t i = first; i < last; i++) {
		s->held += !lm_bit(s->here, i);
		lm_bit_put(s->here, i, true);
		lm_bit_put(s->added, i, true);
		lm_bit_put(s->gone, i, false);
	}
	give_up(s, s->most, in_use, context);
	s->fresh += (last - first) * LM_BLOCK;
	if (s->fresh >= SAVE_EVERY)
		save(s);
}

void lm_store_forget(struct lm_store *s, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i < last; i++) {
		s->held -= lm_bit(s->here, i);
		lm_bit_put(s->here, i, false);
		lm_bit_put(s->added, i, false);
		lm_bit_put(s->gone, i, true);
	}
}

/* Threads may be reading by the descriptor: it stays, and becomes another file. */
int lm_store_retreat(struct lm_store *s, struct lmodel_error *error)
{
	int fd = in_memory(s->size, error);

	if (fd < 0)
		return LMODEL_EFAILED;
	if (s->fd < 0) {
		s->fd = fd;
	} else {
		if (dup3(fd, s->fd, O_CLOEXEC) < 0) {
			lm_fail_errno(error, "memory for blocks");
			close(fd);
			return LMODEL_EFAILED;
		}
		close(fd);
	}
	if (s->directory >= 0)
		close(s->directory);
	s->directory = -1;
	s->most = LM_STORE_LEAST / LM_BLOCK;
	memset(s->here, 0, lm_bits_len(s->blocks));
	s->held = 0;
	return LMODEL_OK;
}
