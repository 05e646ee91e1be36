/* Keystreams of many tensors, for several threads: one belongs to one thread at a time, and to
 * set one up costs more than what is often read of it. */
#ifndef LM_STREAMS_H
#define LM_STREAMS_H

#include <pthread.h>

#include "crypto/aead.h"

enum { LM_STREAMS = 64 }; /* idle ones that are kept */

struct lm_streams {
	pthread_mutex_t lock;
	struct {
		size_t tensor;
		struct lm_keystream *keystream;
	} idle[LM_STREAMS];
	size_t count;
};

void lm_streams_init(struct lm_streams *streams);
void lm_streams_destroy(struct lm_streams *streams);

/* The tensor's, which has that key; NULL on failure. To be given back. */
struct lm_keystream *lm_streams_take(struct lm_streams *streams, size_t tensor,
				     const uint8_t key[32], struct lmodel_error *error);
void lm_streams_give(struct lm_streams *streams, size_t tensor, struct lm_keystream *keystream);

#endif
