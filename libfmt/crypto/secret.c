#include "crypto/secret.h"

#include <gcrypt.h>
#include <sys/mman.h>

/* Keys come from libgcrypt's pool, which is small. What is longer (an opened key file, a book of
 * customers), or no longer fits there, gets pages of its own. */
enum { FROM_POOL = 4096, HEADER = 16 };

/* In front of what the caller sees. */
struct header {
	uint64_t len;
	uint64_t mapped; /* bytes to unmap; 0: from libgcrypt */
};

_Static_assert(sizeof(struct header) == HEADER, "header of secret memory");

/* Anonymous pages are zero. Locking fails over RLIMIT_MEMLOCK; the secret is then as safe as
 * any other memory, and still wiped. */
static struct header *map_pages(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (len + page - 1) / page * page;
	struct header *h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (h == MAP_FAILED)
		return NULL;
	(void)mlock(h, size);
	(void)madvise(h, size, MADV_DONTDUMP);
	h->mapped = size;
	return h;
}

void *lm_secret_alloc(size_t len, struct lmodel_error *error)
{
	struct header *h = NULL;

	if (len < PTRDIFF_MAX / 2) {
		if (len <= FROM_POOL)
			h = gcry_calloc_secure(1, HEADER + len);
		if (h == NULL)
			h = map_pages(HEADER + len);
	}
	if (h == NULL) {
		lm_fail(error, LMODEL_EFAILED, "out of memory for secrets");
		return NULL;
	}
	h->len = len;
	return (uint8_t *)h + HEADER;
}

void lm_secret_free(void *secret)
{
	struct header *h;
	size_t mapped;

	if (secret == NULL)
		return;
	h = (struct header *)(void *)((uint8_t *)secret - HEADER);
	mapped = h->mapped;
	lm_wipe(secret, h->len);
	if (mapped != 0)
		munmap(h, mapped);
	else
		gcry_free(h);
}

void lm_wipe(void *bytes, size_t len)
{
	if (len > 0)
		explicit_bzero(bytes, len);
}

bool lm_secret_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b; /* volatile: no early end by the compiler */
	uint8_t difference = 0;

	for (size_t i = 0; i < len; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}
