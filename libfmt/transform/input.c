#include "transform/input.h"

#include <errno.h>

/* Behind what is there; `*ended` when there was no more. */
static int fill(struct lm_input *in, bool *ended, struct lmodel_error *error)
{
	ssize_t n;

	memmove(in->buffer, in->buffer + in->at, in->filled - in->at);
	in->filled -= in->at;
	in->at = 0;
	do
		n = read(in->fd, in->buffer + in->filled, sizeof(in->buffer) - in->filled);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return lm_fail_errno(error, "%s: read", in->label);
	in->filled += (size_t)n;
	*ended = n == 0;
	return LMODEL_OK;
}

int lm_input_read(struct lm_input *in, void *bytes, size_t len, struct lmodel_error *error)
{
	uint8_t *to = bytes;

	while (len > 0) {
		size_t n = LM_MIN(len, in->filled - in->at);
		bool ended = false;

		if (n == 0) {
			if (fill(in, &ended, error))
				return LMODEL_EFAILED;
			if (ended)
				return lm_fail(error, LMODEL_ECORRUPT, "%s: truncated", in->label);
			continue;
		}
		memcpy(to, in->buffer + in->at, n);
		in->at += n;
		to += n;
		len -= n;
	}
	return LMODEL_OK;
}

int lm_input_begins(struct lm_input *in, const void *bytes, size_t len, bool *begins,
		    struct lmodel_error *error)
{
	bool ended = false;

	while (in->filled - in->at < len && !ended)
		if (fill(in, &ended, error))
			return LMODEL_EFAILED;
	*begins = in->filled - in->at >= len && memcmp(in->buffer + in->at, bytes, len) == 0;
	return LMODEL_OK;
}

int lm_input_finish(struct lm_input *in, struct lmodel_error *error)
{
	bool ended = false;

	if (in->filled == in->at && fill(in, &ended, error))
		return LMODEL_EFAILED;
	if (!ended)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: goes on behind its data", in->label);
	return LMODEL_OK;
}
