#include "import/skeleton.h"

#include "base/io.h"

enum { LITERAL = 1, TENSORS = 2, LITERAL_HEAD = 1 + 8, TENSORS_LEN = 1 + 8 + 8 };

/* Room for `more` bytes behind the skeleton. */
static uint8_t *extend(struct lm_source *source, size_t more, struct lmodel_error *error)
{
	uint8_t *p = realloc(source->skeleton, source->skeleton_len + more);

	if (p == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	source->skeleton = p;
	return p + source->skeleton_len;
}

int lm_skeleton_literal(struct lm_source *source, uint64_t offset, uint64_t len,
			struct lmodel_error *error)
{
	bool joined = source->skeleton_len > 0 && source->skeleton_open;
	uint64_t before = joined ? lm_get_u64(source->skeleton + source->skeleton_last + 1) : 0;
	size_t head = joined ? 0 : LITERAL_HEAD;
	uint8_t *at;
	int r;

	if (len == 0)
		return LMODEL_OK;
	if (len > LM_LITERAL_LIMIT || source->literal_bytes + len > LM_LITERAL_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: over %u bytes that belong to no tensor", source->label,
			       LM_LITERAL_LIMIT);
	at = extend(source, head + (size_t)len, error);
	if (at == NULL)
		return LMODEL_EFAILED;
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

int lm_skeleton_tensors(struct lm_source *source, uint64_t first, uint64_t count,
			struct lmodel_error *error)
{
	uint8_t *at;

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
	at = extend(source, TENSORS_LEN, error);
	if (at == NULL)
		return LMODEL_EFAILED;
	at[0] = TENSORS;
	lm_put_u64(at + 1, first);
	lm_put_u64(at + 9, count);
	source->skeleton_last = source->skeleton_len;
	source->skeleton_len += TENSORS_LEN;
	source->skeleton_open = false;
	return LMODEL_OK;
}
