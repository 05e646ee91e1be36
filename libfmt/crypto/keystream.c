#include "crypto/aead.h"

#include <gcrypt.h>

#include "crypto/secret.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#endif

/* Short reads in a row are served from a window: to begin anywhere costs more than they do. */
enum { WINDOW = 1024, BLOCK = 16, ROUNDS = 14 };

struct lm_keystream {
	uint8_t round_keys[ROUNDS + 1][BLOCK];
	gcry_cipher_hd_t cipher;  /* where the processor has no AES: instead of those */
	uint64_t number;          /* of the window that is held */
	uint8_t window[WINDOW];
};

/* ---- by libgcrypt ---- */

static const uint8_t zeros[4 * WINDOW];

static void by_library(struct lm_keystream *stream, uint64_t block, uint8_t *out, size_t len)
{
	uint8_t counter[BLOCK] = { 0 };

	for (int i = 0; i < 8; i++)
		counter[BLOCK - 1 - i] = (uint8_t)(block >> (8 * i));
	gcry_cipher_setctr(stream->cipher, counter, sizeof(counter));
	for (size_t n; len > 0; out += n, len -= n) {
		n = LM_MIN(len, sizeof(zeros));
		gcry_cipher_encrypt(stream->cipher, out, n, zeros, n);
	}
}

static int begin_library(struct lm_keystream *stream, const uint8_t key[32],
			 struct lmodel_error *error)
{
	/* Not from the secure pool: there may be one a tensor and worker, and closing wipes. */
	if (gcry_cipher_open(&stream->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) != 0 ||
	    gcry_cipher_setkey(stream->cipher, key, 32) != 0)
		return lm_fail(error, LMODEL_EFAILED, "cannot set up AES-256");
	return LMODEL_OK;
}

#if defined(__x86_64__)

/* ---- by the processor: a fraction of the time, and nothing to be set up ---- */

enum aes { LIBRARY, BLOCKS, VECTORS };

/* Numbers of a loop stay in registers when there is no loop. */
#define UNROLL _Pragma("GCC unroll 16")

#define TARGET_AES __attribute__((target("aes,ssse3,sse4.1")))
#define TARGET_VAES __attribute__((target("aes,vaes,avx512f,avx512bw")))

/* clang's __builtin_cpu_supports() does not know "vaes" before version 15. A virtual machine's CPUID
 * is slow: asked once. */
static enum aes detect(void)
{
	unsigned a, b, c = 0, d;

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("sse4.1"))
		return LIBRARY;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) != 0)
		return VECTORS;
	return BLOCKS;
}

static _Atomic(int) held = -1;

static enum aes aes(void)
{
	int level = atomic_load_explicit(&held, memory_order_relaxed);

	if (level < 0) {
		level = (int)detect();
		atomic_store_explicit(&held, level, memory_order_relaxed);
	}
	return (enum aes)level;
}

unsigned lm_keystream_limit(unsigned limit)
{
	const unsigned level = LM_MIN(limit, (unsigned)detect());

	atomic_store_explicit(&held, (int)level, memory_order_relaxed);
	return level;
}

static TARGET_AES inline __m128i spread(__m128i key)
{
	key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
	return _mm_xor_si128(key, _mm_slli_si128(key, 8));
}

/* The key schedule of AES-256 (FIPS 197, 5.2): two round keys from the two before. */
static TARGET_AES void begin_rounds(struct lm_keystream *stream, const uint8_t key[32])
{
	__m128i a = _mm_loadu_si128((const void *)key);
	__m128i b = _mm_loadu_si128((const void *)(key + BLOCK));

#define STORE(i, x) _mm_storeu_si128((void *)stream->round_keys[i], x)
#define EVEN(i, constant)                                                                      \
	a = _mm_xor_si128(spread(a), _mm_shuffle_epi32(_mm_aeskeygenassist_si128(b, constant), \
						       0xff));                                 \
	STORE(i, a)
#define ODD(i)                                                                                  \
	b = _mm_xor_si128(spread(b), _mm_shuffle_epi32(_mm_aeskeygenassist_si128(a, 0), 0xaa)); \
	STORE(i, b)
	STORE(0, a);
	STORE(1, b);
	EVEN(2, 0x01);
	ODD(3);
	EVEN(4, 0x02);
	ODD(5);
	EVEN(6, 0x04);
	ODD(7);
	EVEN(8, 0x08);
	ODD(9);
	EVEN(10, 0x10);
	ODD(11);
	EVEN(12, 0x20);
	ODD(13);
	EVEN(14, 0x40);
#undef STORE
#undef EVEN
#undef ODD
}

/* `len` is a multiple of WINDOW in both. */
static TARGET_AES void by_blocks(const struct lm_keystream *stream, uint64_t block, uint8_t *out,
				 size_t len)
{
	enum { LANES = 8 };
	__m128i key[ROUNDS + 1];

	for (size_t i = 0; i <= ROUNDS; i++)
		key[i] = _mm_loadu_si128((const void *)stream->round_keys[i]);
	for (size_t at = 0; at < len; at += LANES * BLOCK, block += LANES) {
		__m128i x[LANES];

		UNROLL
		for (size_t k = 0; k < LANES; k++)
			x[k] = _mm_xor_si128(_mm_set_epi64x((long long)__builtin_bswap64(block + k),
							    0), key[0]);
		UNROLL
		for (size_t i = 1; i < ROUNDS; i++) {
			UNROLL
			for (size_t k = 0; k < LANES; k++)
				x[k] = _mm_aesenc_si128(x[k], key[i]);
		}
		UNROLL
		for (size_t k = 0; k < LANES; k++)
			_mm_storeu_si128((void *)(out + at + k * BLOCK),
					 _mm_aesenclast_si128(x[k], key[ROUNDS]));
	}
}

static TARGET_VAES void by_vectors(const struct lm_keystream *stream, uint64_t block, uint8_t *out,
				   size_t len)
{
	enum { LANES = 8, VECTOR = 4 * BLOCK };
	const __m512i four = _mm512_setr_epi64(0, 4, 0, 4, 0, 4, 0, 4);
	const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14,
								   13, 12, 11, 10, 9, 8));
	__m512i key[ROUNDS + 1];
	__m512i number = _mm512_setr_epi64(0, (long long)block, 0, (long long)(block + 1), 0,
					   (long long)(block + 2), 0, (long long)(block + 3));

	for (size_t i = 0; i <= ROUNDS; i++)
		key[i] = _mm512_broadcast_i32x4(
			_mm_loadu_si128((const void *)stream->round_keys[i]));
	for (size_t at = 0; at < len; at += LANES * VECTOR) {
		__m512i x[LANES];

		UNROLL
		for (size_t k = 0; k < LANES; k++) {
			x[k] = _mm512_xor_si512(_mm512_shuffle_epi8(number, swap), key[0]);
			number = _mm512_add_epi64(number, four);
		}
		UNROLL
		for (size_t i = 1; i < ROUNDS; i++) {
			UNROLL
			for (size_t k = 0; k < LANES; k++)
				x[k] = _mm512_aesenc_epi128(x[k], key[i]);
		}
		UNROLL
		for (size_t k = 0; k < LANES; k++)
			_mm512_storeu_si512(out + at + k * VECTOR,
					    _mm512_aesenclast_epi128(x[k], key[ROUNDS]));
	}
}

static int begin(struct lm_keystream *stream, const uint8_t key[32], struct lmodel_error *error)
{
	if (aes() == LIBRARY)
		return begin_library(stream, key, error);
	begin_rounds(stream, key);
	return LMODEL_OK;
}

/* `len` bytes from block `block` on, a multiple of WINDOW. */
static void generate(struct lm_keystream *stream, uint64_t block, uint8_t *out, size_t len)
{
	if (stream->cipher != NULL)
		by_library(stream, block, out, len);
	else if (aes() == VECTORS)
		by_vectors(stream, block, out, len);
	else
		by_blocks(stream, block, out, len);
}

#else

unsigned lm_keystream_limit(unsigned limit)
{
	(void)limit;
	return 0;
}

static int begin(struct lm_keystream *stream, const uint8_t key[32], struct lmodel_error *error)
{
	return begin_library(stream, key, error);
}

static void generate(struct lm_keystream *stream, uint64_t block, uint8_t *out, size_t len)
{
	by_library(stream, block, out, len);
}

#endif

/* ---- from any place ---- */

/* No secret memory: there may be one a tensor and worker, and it is wiped. */
struct lm_keystream *lm_keystream_new(const uint8_t key[32], struct lmodel_error *error)
{
	struct lm_keystream *stream = malloc(sizeof(*stream));

	if (stream == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	stream->cipher = NULL;
	stream->number = UINT64_MAX; /* behind the last */
	if (begin(stream, key, error) == LMODEL_OK)
		return stream;
	lm_keystream_free(stream);
	return NULL;
}

void lm_keystream_read(struct lm_keystream *stream, uint64_t offset, void *out, size_t len)
{
	uint8_t *to = out;

	while (len > 0) {
		uint64_t number = offset / WINDOW;
		size_t skip = offset % WINDOW, n = LM_MIN(len, WINDOW - skip);

		if (n == WINDOW) {
			n = len - len % WINDOW;
			generate(stream, number * (WINDOW / BLOCK), to, n);
		} else {
			if (number != stream->number)
				generate(stream, number * (WINDOW / BLOCK), stream->window, WINDOW);
			stream->number = number;
			memcpy(to, stream->window + skip, n);
		}
		to += n;
		offset += n;
		len -= n;
	}
}

void lm_keystream_free(struct lm_keystream *stream)
{
	if (stream == NULL)
		return;
	gcry_cipher_close(stream->cipher);
	lm_wipe(stream, sizeof(*stream));
	free(stream);
}
