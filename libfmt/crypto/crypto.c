#include "crypto/crypto.h"

#include <gcrypt.h>
#include <pthread.h>
#include <sys/mman.h>

enum { SECURE_POOL = 256 << 10 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

/* libgcrypt locks its pool, but does not keep it out of core dumps. */
static void hide_pool(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *probe = gcry_malloc_secure(1), *from, *to;

	if (probe == NULL)
		return;
	from = to = probe - (uintptr_t)probe % page;
	while (gcry_is_secure(to) && gcry_is_secure(to + page - 1))
		to += page;
	madvise(from, (size_t)(to - from), MADV_DONTDUMP);
	gcry_free(probe);
}

/* Where the pool cannot be locked, libgcrypt would say so on standard error at its first use:
 * a library does not print. */
static void initialise(void)
{
	if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		if (gcry_check_version(GCRYPT_VERSION) == NULL)
			return;
		gcry_control(GCRYCTL_SUSPEND_SECMEM_WARN);
		gcry_control(GCRYCTL_INIT_SECMEM, SECURE_POOL, 0);
		gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
		gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
		hide_pool();
	}
	ready = true;
}

int lm_crypto_init(struct lmodel_error *error)
{
	pthread_once(&once, initialise);
	if (!ready)
		return lm_fail(error, LMODEL_EFAILED, "libgcrypt is older than %s", GCRYPT_VERSION);
	return LMODEL_OK;
}

void lm_sha256(uint8_t digest[LM_SHA256_SIZE], const void *bytes, size_t len)
{
	gcry_md_hash_buffer(GCRY_MD_SHA256, digest, bytes, len);
}

/* struct lm_hash is libgcrypt's own handle. */
struct lm_hash *lm_hash_new(struct lmodel_error *error)
{
	gcry_md_hd_t md;

	if (gcry_md_open(&md, GCRY_MD_SHA256, 0) != 0) {
		lm_fail_memory(error);
		return NULL;
	}
	return (struct lm_hash *)md;
}

void lm_hash_add(struct lm_hash *hash, const void *bytes, size_t len)
{
	gcry_md_write((gcry_md_hd_t)hash, bytes, len);
}

void lm_hash_finish(struct lm_hash *hash, uint8_t digest[LM_SHA256_SIZE])
{
	memcpy(digest, gcry_md_read((gcry_md_hd_t)hash, GCRY_MD_SHA256), LM_SHA256_SIZE);
}

void lm_hash_free(struct lm_hash *hash)
{
	gcry_md_close((gcry_md_hd_t)hash);
}

void lm_random(void *bytes, size_t len)
{
	gcry_randomize(bytes, len, GCRY_STRONG_RANDOM);
}
