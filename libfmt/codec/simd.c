#include "codec/simd.h"

#include <stdatomic.h>

static _Atomic(int) held = -1;

static enum lm_simd detect(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2"))
		return LM_SIMD_AVX512;
	if (__builtin_cpu_supports("avx2"))
		return LM_SIMD_AVX2;
#endif
	return LM_SIMD_PLAIN;
}

enum lm_simd lm_simd(void)
{
	int level = atomic_load_explicit(&held, memory_order_relaxed);

	if (level < 0) {
		level = (int)detect();
		atomic_store_explicit(&held, level, memory_order_relaxed);
	}
	return (enum lm_simd)level;
}

void lm_simd_limit(enum lm_simd limit)
{
	atomic_store_explicit(&held, (int)LM_MIN(limit, detect()), memory_order_relaxed);
}
