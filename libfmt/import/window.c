#include "import/window.h"

#include "base/io.h"
#include "import/source.h"

void lm_window_start(struct lm_window *w, int fd, const char *label, uint64_t begin, uint64_t size)
{
	w->fd = fd;
	w->label = label;
	w->begin = w->at = w->window_at = begin;
	w->size = size;
	w->window_len = 0;
}

static int check_room(const struct lm_window *w, uint64_t len, struct lmodel_error *error)
{
	if (len > w->size - w->at)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: truncated: %ju bytes are wanted at %ju, but there are %ju "
			       "bytes", w->label, (uintmax_t)len, (uintmax_t)w->at,
			       (uintmax_t)w->size);
	if (len > LM_HEADER_LIMIT || w->at + len - w->begin > LM_HEADER_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: the header is over %u bytes", w->label,
			       LM_HEADER_LIMIT);
	return LMODEL_OK;
}

int lm_window_take(struct lm_window *w, void *out, size_t len, struct lmodel_error *error)
{
	uint8_t *to = out;
	int r = check_room(w, len, error);

	while (r == LMODEL_OK && len > 0) {
		uint64_t in = w->at - w->window_at;
		size_t n;

		if (w->at < w->window_at || in >= w->window_len) {
			size_t want = (size_t)LM_MIN((uint64_t)sizeof(w->window), w->size - w->at);

			r = lm_read_at(w->fd, w->label, w->window, want, w->at, error);
			if (r != LMODEL_OK)
				return r;
			w->window_at = w->at;
			w->window_len = want;
			in = 0;
		}
		n = LM_MIN(len, w->window_len - (size_t)in);
		memcpy(to, w->window + in, n);
		to += n;
		w->at += n;
		len -= n;
	}
	return r;
}

int lm_window_u8(struct lm_window *w, uint8_t *out, struct lmodel_error *error)
{
	*out = 0;
	return lm_window_take(w, out, 1, error);
}

int lm_window_u32(struct lm_window *w, uint32_t *out, struct lmodel_error *error)
{
	uint8_t bytes[4];
	int r = lm_window_take(w, bytes, sizeof(bytes), error);

	*out = r == LMODEL_OK ? lm_get_u32(bytes) : 0;
	return r;
}

int lm_window_u64(struct lm_window *w, uint64_t *out, struct lmodel_error *error)
{
	uint8_t bytes[8];
	int r = lm_window_take(w, bytes, sizeof(bytes), error);

	*out = r == LMODEL_OK ? lm_get_u64(bytes) : 0;
	return r;
}

int lm_window_skip(struct lm_window *w, uint64_t len, struct lmodel_error *error)
{
	int r = check_room(w, len, error);

	if (r == LMODEL_OK)
		w->at += len;
	return r;
}
