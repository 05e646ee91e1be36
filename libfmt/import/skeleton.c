#include "import/skeleton.h"

#include "base/io.h"

enum { LITERAL = 1, TENSORS = 2, CRC = 3, AXES = 4, LITERAL_HEAD = 1 + 8, PAIR_LEN = 1 + 8 + 8 };

/* Room for `more` bytes behind the skeleton. */
static uint8_t *extend(struct lm_source *source, size_t more, struct lmodel_error *error)
{
	size_t room = source->skeleton_capacity - source->skeleton_len;

	if (more > LM_SKELETON_LIMIT - source->skeleton_len) {
		lm_fail(error, LMODEL_ELIMIT, "%s: over %u bytes besides its tensors",
			source->label, LM_SKELETON_LIMIT);
		return NULL;
	}
	if (more > room) {
		size_t wanted = source->skeleton_len + source->skeleton_len / 2 + more;
		uint8_t *grown = realloc(source->skeleton, wanted);

		if (grown == NULL) {
			lm_fail_memory(error);
			return NULL;
		}
		source->skeleton = grown;
		source->skeleton_capacity = wanted;
	}
	return source->skeleton + source->skeleton_len;
}

static int failure(const struct lmodel_error *error)
{
	return error != NULL ? (int)error->code : LMODEL_EFAILED;
}

/* Appends `len` bytes, those in memory or, when there are none, those of the file. */
static int add_literal(struct lm_source *source, const void *bytes, uint64_t offset, uint64_t len,
		       struct lmodel_error *error)
{
	bool joined = source->skeleton_len > 0 && source->skeleton_open;
	uint64_t before = joined ? lm_get_u64(source->skeleton + source->skeleton_last + 1) : 0;
	size_t head = joined ? 0 : LITERAL_HEAD;
	uint8_t *at;
	int r = LMODEL_OK;

	if (len == 0)
		return LMODEL_OK;
	if (len > LM_LITERAL_LIMIT || source->literal_bytes + len > LM_LITERAL_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: over %u bytes that belong to no tensor", source->label,
			       LM_LITERAL_LIMIT);
	at = extend(source, head + (size_t)len, error);
	if (at == NULL)
		return failure(error);
	if (bytes != NULL)
		memcpy(at + head, bytes, (size_t)len);
	else
		r = lm_read_at(source->fd, source->label, at + head, (size_t)len, offset, error);
	if (r != LMODEL_OK)
		return r;
	if (!joined) {
		source->skeleton_last = source->skeleton_len;
		at[0] = LITERAL;
	}
	source->skeleton_len += head + (size_t)len;
	source->literal_bytes += len;
	source->skeleton_open = true;
	lm_put_u64(source->skeleton + source->skeleton_last + 1, before + len);
	return LMODEL_OK;
}

int lm_skeleton_literal(struct lm_source *source, uint64_t offset, uint64_t len,
			struct lmodel_error *error)
{
	return add_literal(source, NULL, offset, len, error);
}

int lm_skeleton_bytes(struct lm_source *source, const void *bytes, size_t len,
		      struct lmodel_error *error)
{
	return add_literal(source, bytes, 0, len, error);
}

/* A record of two numbers, and `tail` bytes behind them. */
static int add_pair(struct lm_source *source, uint8_t kind, uint64_t a, uint64_t b,
		    const uint8_t *tail, size_t tail_len, struct lmodel_error *error)
{
	uint8_t *at = extend(source, PAIR_LEN + tail_len, error);

	if (at == NULL)
		return failure(error);
	at[0] = kind;
	lm_put_u64(at + 1, a);
	lm_put_u64(at + 9, b);
	if (tail_len > 0)
		memcpy(at + PAIR_LEN, tail, tail_len);
	source->skeleton_last = source->skeleton_len;
	source->skeleton_len += PAIR_LEN + tail_len;
	source->skeleton_open = false;
	return LMODEL_OK;
}

int lm_skeleton_tensors(struct lm_source *source, uint64_t first, uint64_t count,
			struct lmodel_error *error)
{
	if (count == 0)
		return LMODEL_OK;
	if (source->skeleton_len > 0 && !source->skeleton_open) {
		uint8_t *last = source->skeleton + source->skeleton_last;
		uint64_t had = lm_get_u64(last + 9);

		if (last[0] == TENSORS && lm_get_u64(last + 1) + had == first) {
			lm_put_u64(last + 9, had + count);
			return LMODEL_OK;
		}
	}
	return add_pair(source, TENSORS, first, count, NULL, 0, error);
}

int lm_skeleton_axes(struct lm_source *source, uint64_t tensor, unsigned rank, const uint8_t *axes,
		     struct lmodel_error *error)
{
	return add_pair(source, AXES, tensor, rank, axes, rank, error);
}

int lm_skeleton_crc(struct lm_source *source, uint64_t begin, uint64_t end,
		    struct lmodel_error *error)
{
	return add_pair(source, CRC, begin, end, NULL, 0, error);
}
