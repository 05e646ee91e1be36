#include "import/skeleton.h"

#include "base/io.h"

enum { LITERAL = 1, TENSORS = 2, CRC = 3, AXES = 4 };

/* Room for `len` bytes more; NULL when there is none. What is over the limit is not kept. */
static uint8_t *append(struct lm_skeleton *s, uint64_t len)
{
	struct lm_source *source = s->source;
	uint8_t *grown;
	size_t wanted;

	if (s->failed || len > LM_SKELETON_LIMIT ||
	    source->skeleton_len > LM_SKELETON_LIMIT - (size_t)len) {
		if (!s->failed)
			source->skeleton_len = LM_SKELETON_LIMIT + 1;
		s->failed = true;
		return NULL;
	}
	if (len > s->capacity - source->skeleton_len) {
		wanted = source->skeleton_len + source->skeleton_len / 2 + (size_t)len + 256;
		grown = realloc(source->skeleton, wanted);
		if (grown == NULL) {
			s->failed = true;
			return NULL;
		}
		source->skeleton = grown;
		s->capacity = wanted;
	}
	source->skeleton_len += (size_t)len;
	return source->skeleton + source->skeleton_len - len;
}

static void put_record(struct lm_skeleton *s, uint8_t kind, uint64_t a, uint64_t b)
{
	uint8_t *record = append(s, 17);

	s->literal = s->tensors = SIZE_MAX;
	if (record == NULL)
		return;
	record[0] = kind;
	lm_put_u64(record + 1, a);
	lm_put_u64(record + 9, b);
}

/* Room for more bytes of a literal, the last record. */
static uint8_t *grow_literal(struct lm_skeleton *s, uint64_t len)
{
	uint8_t *bytes;

	if (s->literal == SIZE_MAX) {
		size_t at = s->source->skeleton_len;
		uint8_t *record = append(s, 9);

		if (record == NULL)
			return NULL;
		record[0] = LITERAL;
		lm_put_u64(record + 1, 0);
		s->literal = at;
		s->tensors = SIZE_MAX;
	}
	bytes = append(s, len);
	if (bytes != NULL) {
		uint8_t *n = s->source->skeleton + s->literal + 1;

		lm_put_u64(n, lm_get_u64(n) + len);
	}
	return bytes;
}

void lm_skeleton_literal(struct lm_skeleton *s, const void *bytes, size_t len)
{
	uint8_t *to = len > 0 ? grow_literal(s, len) : NULL;

	if (to != NULL)
		memcpy(to, bytes, len);
}

int lm_skeleton_copy(struct lm_skeleton *s, uint64_t from, uint64_t len, struct lmodel_error *error)
{
	uint8_t *to = len > 0 ? grow_literal(s, len) : NULL;

	return to == NULL ? LMODEL_OK :
	       lm_read_at(s->source->fd, s->source->label, to, (size_t)len, from, error);
}

void lm_skeleton_tensors(struct lm_skeleton *s, uint64_t first, uint64_t count)
{
	if (count == 0)
		return;
	if (s->tensors != SIZE_MAX && !s->failed) {
		uint8_t *record = s->source->skeleton + s->tensors;

		if (lm_get_u64(record + 1) + lm_get_u64(record + 9) == first) {
			lm_put_u64(record + 9, lm_get_u64(record + 9) + count);
			return;
		}
	}
	put_record(s, TENSORS, first, count);
	if (!s->failed)
		s->tensors = s->source->skeleton_len - 17;
}

void lm_skeleton_crc(struct lm_skeleton *s, uint64_t begin, uint64_t end)
{
	put_record(s, CRC, begin, end);
}

void lm_skeleton_axes(struct lm_skeleton *s, uint64_t tensor, unsigned rank, const uint8_t *axes)
{
	uint8_t *to;

	put_record(s, AXES, tensor, rank);
	to = append(s, rank);
	if (to != NULL && rank > 0)
		memcpy(to, axes, rank);
}

int lm_skeleton_end(struct lm_skeleton *s, struct lmodel_error *error)
{
	if (!s->failed)
		return LMODEL_OK;
	if (s->source->skeleton_len <= LM_SKELETON_LIMIT)
		return lm_fail_memory(error);
	return lm_fail(error, LMODEL_ELIMIT, "%s: more than %u bytes besides tensors",
		       s->source->label, LM_SKELETON_LIMIT);
}
