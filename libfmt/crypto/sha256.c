#include "crypto/sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

#define TARGET __attribute__((target("sha,sse4.1,ssse3")))

enum { BLOCK = 64 };

/* FIPS 180-4, 4.2.2 and 5.3.3. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static const uint32_t initial[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
	0x5be0cd19,
};

/* The working variables as the instructions have them: ABEF and CDGH, A and C highest. */
struct state {
	__m128i abef, cdgh;
};

struct lane {
	struct state state;
	const uint8_t *at;
	__m128i w[4];
};

static TARGET struct state start(void)
{
	return (struct state){
		_mm_set_epi32((int)initial[0], (int)initial[1], (int)initial[4], (int)initial[5]),
		_mm_set_epi32((int)initial[2], (int)initial[3], (int)initial[6], (int)initial[7]),
	};
}

static inline TARGET __attribute__((always_inline)) void load_words(struct lane *l)
{
	const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

	for (size_t i = 0; i < 4; i++)
		l->w[i] = _mm_shuffle_epi8(
			_mm_loadu_si128((const __m128i *)(const void *)(l->at + 16 * i)), swap);
}

/* Rounds 4 * r to 4 * r + 3, and what the message schedule needs for later ones. */
static inline TARGET __attribute__((always_inline)) void four_rounds(struct lane *l, size_t r)
{
	__m128i *w = l->w, now = w[r % 4];
	__m128i k = _mm_loadu_si128((const __m128i *)(const void *)(constants + 4 * r));
	__m128i x = _mm_add_epi32(now, k);

	l->state.cdgh = _mm_sha256rnds2_epu32(l->state.cdgh, l->state.abef, x);
	if (r >= 3 && r < 15)
		w[(r + 1) % 4] = _mm_sha256msg2_epu32(
			_mm_add_epi32(w[(r + 1) % 4], _mm_alignr_epi8(now, w[(r + 3) % 4], 4)),
			now);
	x = _mm_shuffle_epi32(x, 0x0e);
	l->state.abef = _mm_sha256rnds2_epu32(l->state.abef, l->state.cdgh, x);
	if (r >= 1 && r < 13)
		w[(r + 3) % 4] = _mm_sha256msg1_epu32(w[(r + 3) % 4], now);
}

/* The lanes' instructions alternate, so that one lane's run while the other's are waited for. */
static inline TARGET __attribute__((always_inline)) void run(struct lane *lanes, size_t count,
							     size_t blocks)
{
	for (; blocks > 0; blocks--) {
		struct state before[2];

		for (size_t i = 0; i < count; i++) {
			before[i] = lanes[i].state;
			load_words(&lanes[i]);
		}
#pragma GCC unroll 16
		for (size_t r = 0; r < 16; r++) {
#pragma GCC unroll 2
			for (size_t i = 0; i < count; i++)
				four_rounds(&lanes[i], r);
		}
		for (size_t i = 0; i < count; i++) {
			struct state *s = &lanes[i].state;

			s->abef = _mm_add_epi32(s->abef, before[i].abef);
			s->cdgh = _mm_add_epi32(s->cdgh, before[i].cdgh);
			lanes[i].at += BLOCK;
		}
	}
}

static TARGET void run_one(struct lane *lane, size_t blocks)
{
	run(lane, 1, blocks);
}

static TARGET void run_two(struct lane lanes[2], size_t blocks)
{
	struct lane l[2] = { lanes[0], lanes[1] };

	run(l, 2, blocks);
	lanes[0] = l[0];
	lanes[1] = l[1];
}

/* The rest, a bit, zeros, and the length in bits (FIPS 180-4, 5.1.1). */
static TARGET void finish(struct lane *l, size_t len, uint8_t digest[LM_SHA256_SIZE])
{
	uint8_t last[2 * BLOCK] = { 0 };
	size_t rest = len % BLOCK, blocks = rest < BLOCK - 8 ? 1 : 2;
	uint64_t bits = (uint64_t)len * 8;
	uint32_t words[8];

	if (rest > 0)
		memcpy(last, l->at, rest);
	last[rest] = 0x80;
	for (size_t i = 0; i < 8; i++)
		last[blocks * BLOCK - 1 - i] = (uint8_t)(bits >> (8 * i));
	l->at = last;
	run_one(l, blocks);
	words[0] = (uint32_t)_mm_extract_epi32(l->state.abef, 3);
	words[1] = (uint32_t)_mm_extract_epi32(l->state.abef, 2);
	words[2] = (uint32_t)_mm_extract_epi32(l->state.cdgh, 3);
	words[3] = (uint32_t)_mm_extract_epi32(l->state.cdgh, 2);
	words[4] = (uint32_t)_mm_extract_epi32(l->state.abef, 1);
	words[5] = (uint32_t)_mm_extract_epi32(l->state.abef, 0);
	words[6] = (uint32_t)_mm_extract_epi32(l->state.cdgh, 1);
	words[7] = (uint32_t)_mm_extract_epi32(l->state.cdgh, 0);
	for (size_t i = 0; i < 8; i++)
		for (size_t k = 0; k < 4; k++)
			digest[4 * i + k] = (uint8_t)(words[i] >> (24 - 8 * k));
}

static TARGET void hash_pair(uint8_t digest[2][LM_SHA256_SIZE], const struct lm_message m[2])
{
	struct lane lanes[2] = { { start(), m[0].bytes, { { 0 } } },
				 { start(), m[1].bytes, { { 0 } } } };
	size_t blocks[2] = { m[0].len / BLOCK, m[1].len / BLOCK };
	size_t both = LM_MIN(blocks[0], blocks[1]);

	run_two(lanes, both);
	for (size_t i = 0; i < 2; i++) {
		run_one(&lanes[i], blocks[i] - both);
		finish(&lanes[i], m[i].len, digest[i]);
	}
}

/* gcc's __builtin_cpu_supports() does not know "sha" before version 14. A virtual machine's CPUID is
 * slow: asked once. */
static bool has_sha(void)
{
	static _Atomic(int) held = -1;
	int has = atomic_load_explicit(&held, memory_order_relaxed);
	unsigned a, b = 0, c, d;

	if (has < 0) {
		has = __builtin_cpu_supports("sse4.1") &&
		      __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) != 0;
		atomic_store_explicit(&held, has, memory_order_relaxed);
	}
	return has != 0;
}

#endif

void lm_sha256_pair(uint8_t digest[2][LM_SHA256_SIZE], const struct lm_message message[2])
{
#if defined(__x86_64__)
	if (has_sha()) {
		hash_pair(digest, message);
		return;
	}
#endif
	for (size_t i = 0; i < 2; i++)
		lm_sha256(digest[i], message[i].bytes, message[i].len);
}
