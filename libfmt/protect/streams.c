#include "protect/streams.h"

void lm_streams_init(struct lm_streams *s)
{
	pthread_mutex_init(&s->lock, NULL);
	s->count = 0;
}

void lm_streams_destroy(struct lm_streams *s)
{
	while (s->count > 0)
		lm_keystream_free(s->idle[--s->count].keystream);
	pthread_mutex_destroy(&s->lock);
}

struct lm_keystream *lm_streams_take(struct lm_streams *s, size_t tensor, const uint8_t key[32],
				     struct lmodel_error *error)
{
	struct lm_keystream *found = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = s->count; i-- > 0;)
		if (s->idle[i].tensor == tensor) {
			found = s->idle[i].keystream;
			s->count--;
			memmove(&s->idle[i], &s->idle[i + 1],
				(s->count - i) * sizeof(s->idle[0]));
			break;
		}
	pthread_mutex_unlock(&s->lock);
	return found != NULL ? found : lm_keystream_new(key, error);
}

void lm_streams_give(struct lm_streams *s, size_t tensor, struct lm_keystream *keystream)
{
	struct lm_keystream *oldest = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->count == LM_STREAMS) {
		oldest = s->idle[0].keystream;
		s->count--;
		memmove(&s->idle[0], &s->idle[1], s->count * sizeof(s->idle[0]));
	}
	s->idle[s->count].tensor = tensor;
	s->idle[s->count++].keystream = keystream;
	pthread_mutex_unlock(&s->lock);
	lm_keystream_free(oldest);
}
