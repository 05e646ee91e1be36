#include "import/wire.h"

#include "base/io.h"

enum { VARINT_LIMIT = 10, FIELD_LIMIT = 536870911 };

void lm_wire_start(struct lm_wire *w, int fd, const char *label, uint64_t size)
{
	w->fd = fd;
	w->label = label;
	w->size = size;
	w->window_at = 0;
	w->window_len = 0;
}

static int cut(const struct lm_wire *w, uint64_t at, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: truncated: the field at %ju goes on behind the "
		       "end of its message", w->label, (uintmax_t)at);
}

/* The next byte of the range. */
static int next_byte(struct lm_wire *w, struct lm_wire_range *range, uint8_t *byte,
		     struct lmodel_error *error)
{
	uint64_t at = range->begin;

	if (at >= range->end || at >= w->size)
		return cut(w, at, error);
	if (at < w->window_at || at - w->window_at >= w->window_len) {
		size_t want = (size_t)LM_MIN((uint64_t)sizeof(w->window), w->size - at);
		int r;

		w->window_len = 0;
		r = lm_read_at(w->fd, w->label, w->window, want, at, error);
		if (r != LMODEL_OK)
			return r;
		w->window_at = at;
		w->window_len = want;
	}
	*byte = w->window[at - w->window_at];
	range->begin++;
	return LMODEL_OK;
}

int lm_wire_varint(struct lm_wire *w, struct lm_wire_range *range, uint64_t *value,
		   struct lmodel_error *error)
{
	uint64_t at = range->begin, n = 0;

	for (unsigned i = 0; i < VARINT_LIMIT; i++) {
		uint8_t byte;
		int r = next_byte(w, range, &byte, error);

		if (r != LMODEL_OK)
			return r;
		if (i == VARINT_LIMIT - 1 && byte > 1)
			break;
		n |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) == 0) {
			*value = n;
			return LMODEL_OK;
		}
	}
	return lm_fail(error, LMODEL_ECORRUPT, "%s: the varint at %ju is over 64 bits", w->label,
		       (uintmax_t)at);
}

static int next_fixed(struct lm_wire *w, struct lm_wire_range *message, unsigned bytes,
		      uint64_t *value, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	*value = 0;
	for (unsigned i = 0; i < bytes && r == LMODEL_OK; i++) {
		uint8_t byte = 0;

		r = next_byte(w, message, &byte, error);
		*value |= (uint64_t)byte << (8 * i);
	}
	return r;
}

static int read_body(struct lm_wire *w, struct lm_wire_range *message, unsigned type,
		     struct lm_wire_field *f, struct lmodel_error *error)
{
	uint64_t len;
	int r;

	f->body.begin = message->begin;
	switch (type) {
	case LM_WIRE_VARINT:
		r = lm_wire_varint(w, message, &f->value, error);
		break;
	case LM_WIRE_64:
		r = next_fixed(w, message, 8, &f->value, error);
		break;
	case LM_WIRE_32:
		r = next_fixed(w, message, 4, &f->value, error);
		break;
	case LM_WIRE_BYTES:
		r = lm_wire_varint(w, message, &len, error);
		if (r != LMODEL_OK)
			return r;
		if (len > message->end - message->begin)
			return cut(w, f->at, error);
		f->body.begin = message->begin;
		message->begin += len;
		break;
	case 3:
	case 4:
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: the field at %ju is a group, which "
			       "lmodel does not read", w->label, (uintmax_t)f->at);
	default:
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the field at %ju has undefined type %u",
			       w->label, (uintmax_t)f->at, type);
	}
	f->body.end = message->begin;
	return r;
}

int lm_wire_next(struct lm_wire *w, struct lm_wire_range *message, struct lm_wire_field *f,
		 struct lmodel_error *error)
{
	uint64_t tag;
	int r;

	*f = (struct lm_wire_field){ .at = message->begin };
	r = lm_wire_varint(w, message, &tag, error);
	if (r != LMODEL_OK)
		return r;
	if (tag >> 3 == 0 || tag >> 3 > FIELD_LIMIT)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the field at %ju has number %ju",
			       w->label, (uintmax_t)f->at, (uintmax_t)(tag >> 3));
	f->number = (uint32_t)(tag >> 3);
	f->type = (enum lm_wire_type)(tag & 7);
	return read_body(w, message, (unsigned)(tag & 7), f, error);
}

int lm_wire_text(struct lm_wire *w, struct lm_wire_range range, size_t most, const char *what,
		 char **out, struct lmodel_error *error)
{
	uint64_t len = range.end - range.begin;
	LM_FREE char *text = NULL;
	int r;

	if (len > most)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %s at %ju of %ju bytes; the limit is %zu",
			       w->label, what, (uintmax_t)range.begin, (uintmax_t)len, most);
	text = malloc((size_t)len + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	r = len > 0 ? lm_read_at(w->fd, w->label, text, (size_t)len, range.begin, error) :
		      LMODEL_OK;
	if (r != LMODEL_OK)
		return r;
	text[len] = '\0';
	if (strlen(text) != len || !lm_utf8_valid(text, (size_t)len))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: %s at %ju is not UTF-8 without NUL",
			       w->label, what, (uintmax_t)range.begin);
	*out = text;
	text = NULL;
	return LMODEL_OK;
}
