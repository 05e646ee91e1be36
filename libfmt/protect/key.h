/* Ranking keys: what units are ordered by (spec: 7.3). The high half is the score, as a float whose
 * bits sort like numbers; the low half is a keyed pseudo-random number, so that equal scores are
 * ranked in an order that nobody knows without the key, and never by position. */
#ifndef LM_KEY_H
#define LM_KEY_H

#include "base/base.h"

/* As many units are ranked at a time. The arrays below have this length, whatever `n` is, and
 * are aligned; what lies behind `n` is not looked at. */
#define LM_KEY_BATCH 1024u
#define LM_KEY_ALIGNED __attribute__((aligned(64)))
enum {
	LM_KEY_LANES = 16, /* looked at together, at most */
	LM_KEY_NOISE = 4,  /* random bytes of a unit */
};

/* Units that may not be selected; below every key. UINT64_MAX is above every key. */
#define LM_KEY_NONE UINT64_C(0)

/* All of them make keys of a random word a unit. */
void lm_key_by_score(const float *scores, const uint32_t *noise, uint64_t *keys, size_t n);

/* Samples: the key is score / e with e from the exponential distribution, so that ranking by key
 * is drawing without replacement, each time in proportion to the scores that are left (Efraimidis
 * and Spirakis 2006). It is log(score) plus Gumbel noise, without logarithms of scores. Scores
 * are not negative; 0 ranks below all that is positive, infinity above. */
void lm_key_by_sampling(const float *scores, const uint32_t *noise, uint64_t *keys, size_t n);

void lm_key_at_random(const uint32_t *noise, uint64_t *keys, size_t n);

#endif
