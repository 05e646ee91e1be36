/* Which vector instructions the codec uses: what this processor has, asked once. Every vector
 * path does what the plain one does, to the byte. */
#ifndef LM_SIMD_H
#define LM_SIMD_H

#include "base/base.h"

enum lm_simd {
	LM_SIMD_PLAIN,
	LM_SIMD_AVX2,
	LM_SIMD_AVX512, /* with BW, VL, VBMI and VBMI2 */
};

enum lm_simd lm_simd(void);

/* For tests: from now on no more than `limit`. Not while another thread codes. */
void lm_simd_limit(enum lm_simd limit);

#endif
