/* The output is made slab by slab, each contiguous and no larger than the memory allowed. A slab
 * is a box of the input: fixed in some axes, a range in one, whole in the others. Its elements lie
 * in the input in runs; those that lie close are read together. */
#include "base/permute.h"

#include "base/io.h"

enum { MEMORY = 1 << 25, WINDOW = 1 << 20, NEAR = 1 << 15 };

bool lm_permutation_valid(unsigned rank, const uint8_t *axes)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < rank; i++) {
		if (axes[i] >= rank || (seen >> axes[i] & 1) != 0)
			return false;
		seen |= UINT64_C(1) << axes[i];
	}
	return true;
}

bool lm_permutation_idle(unsigned rank, const uint64_t *shape, const uint8_t *axes)
{
	unsigned last = 0;

	for (unsigned i = 0; i < rank; i++)
		if (shape[i] == 0)
			return true;
	for (unsigned i = 0; i < rank; i++) {
		if (shape[axes[i]] == 1)
			continue;
		if (axes[i] < last)
			return false;
		last = axes[i];
	}
	return true;
}

void lm_permutation_inverse(unsigned rank, const uint8_t *axes, uint8_t *inverse)
{
	for (unsigned i = 0; i < rank; i++)
		inverse[axes[i]] = (uint8_t)i;
}

struct permuting {
	const struct lm_permutation *p;
	int in, out;
	const char *in_label, *out_label;
	uint64_t from, to;
	uint64_t in_stride[LM_PERMUTE_RANK];     /* of input axes, in elements */
	uint64_t size[LM_PERMUTE_RANK];          /* elements below an output axis */
	uint8_t *slab, *window;
	size_t window_capacity;
	uint64_t window_at, window_len, end;     /* what of the array the window holds */
	size_t ahead;                            /* how much to read at once */
	/* The slab at work, by input axes. */
	uint64_t low[LM_PERMUTE_RANK], high[LM_PERMUTE_RANK];
	uint64_t slab_stride[LM_PERMUTE_RANK];
};

/* How much to read where a run of the slab begins: that run, or also what is between it and those
 * behind it. */
static size_t choose_ahead(const struct permuting *s)
{
	const uint64_t *shape = s->p->shape;
	unsigned axis = s->p->rank - 1;
	uint64_t run, pitch;

	while (axis > 0 && s->high[axis] - s->low[axis] == shape[axis])
		axis--;
	run = (s->high[axis] - s->low[axis]) * s->in_stride[axis] * s->p->width;
	pitch = shape[axis] * s->in_stride[axis] * s->p->width;
	return pitch < NEAR || pitch / 4 < run ? s->window_capacity :
	       (size_t)LM_MIN(run, (uint64_t)s->window_capacity);
}

/* `*bytes` are `len` bytes of the array at `at`. */
static int look(struct permuting *s, uint64_t at, size_t len, const uint8_t **bytes,
		struct lmodel_error *error)
{
	if (at < s->window_at || at + len > s->window_at + s->window_len) {
		size_t n = (size_t)LM_MIN((uint64_t)LM_MAX(len, s->ahead), s->end - at);
		int r;

		r = lm_read_at(s->in, s->in_label, s->window, n, s->from + at, error);
		if (r != LMODEL_OK)
			return r;
		s->window_at = at;
		s->window_len = n;
	}
	*bytes = s->window + (at - s->window_at);
	return LMODEL_OK;
}

/* Moves to the next index within the box, in axes [0, axes); false behind the last. */
static bool step(const struct permuting *s, uint64_t *index, unsigned axes)
{
	for (unsigned i = axes; i-- > 0;) {
		if (++index[i] < s->high[i])
			return true;
		index[i] = s->low[i];
	}
	return false;
}

static void copy_strided(uint8_t *to, size_t step_bytes, const uint8_t *from, uint64_t count,
			 size_t width)
{
	switch (width) {
	case 1:
		for (uint64_t i = 0; i < count; i++, to += step_bytes)
			*to = from[i];
		break;
	case 2:
		for (uint64_t i = 0; i < count; i++, to += step_bytes)
			memcpy(to, from + 2 * i, 2);
		break;
	case 4:
		for (uint64_t i = 0; i < count; i++, to += step_bytes)
			memcpy(to, from + 4 * i, 4);
		break;
	case 8:
		for (uint64_t i = 0; i < count; i++, to += step_bytes)
			memcpy(to, from + 8 * i, 8);
		break;
	default:
		for (uint64_t i = 0; i < count; i++, to += step_bytes)
			memcpy(to, from + width * i, width);
	}
}

/* Fills the slab: rows of the last axis, each from within a piece that was read. A row longer than
 * the window comes in several. */
static int fill_slab(struct permuting *s, struct lmodel_error *error)
{
	const unsigned last = s->p->rank - 1;
	const size_t width = s->p->width;
	const uint64_t most = s->window_capacity / width;
	uint64_t index[LM_PERMUTE_RANK];

	memcpy(index, s->low, s->p->rank * sizeof(*index));
	do {
		uint64_t at = 0, to = 0;

		for (unsigned i = 0; i < last; i++) {
			at += index[i] * s->in_stride[i];
			to += (index[i] - s->low[i]) * s->slab_stride[i];
		}
		for (uint64_t k = s->low[last]; k < s->high[last];) {
			uint64_t n = LM_MIN(most, s->high[last] - k);
			const uint8_t *bytes;
			int r = look(s, (at + k) * width, (size_t)(n * width), &bytes, error);

			if (r != LMODEL_OK)
				return r;
			copy_strided(s->slab + (to + (k - s->low[last]) * s->slab_stride[last]) *
				     width, (size_t)s->slab_stride[last] * width, bytes, n, width);
			k += n;
		}
	} while (step(s, index, last));
	return LMODEL_OK;
}

/* `count` elements of the output from element `begin` on: `axis` is the output axis that is a
 * range in them, those before it are fixed. */
static int make_slab(struct permuting *s, unsigned axis, uint64_t begin, uint64_t count,
		     struct lmodel_error *error)
{
	const struct lm_permutation *p = s->p;
	uint64_t rest = begin;
	int r;

	for (unsigned i = 0; i < p->rank; i++) {
		unsigned in = p->axes[i];

		s->slab_stride[in] = s->size[i];
		if (i <= axis) {
			s->low[in] = rest / s->size[i];
			s->high[in] = s->low[in] + (i < axis ? 1 : count / s->size[i]);
			rest %= s->size[i];
		} else {
			s->low[in] = 0;
			s->high[in] = p->shape[in];
		}
	}
	s->ahead = choose_ahead(s);
	r = fill_slab(s, error);
	return r != LMODEL_OK ? r :
	       lm_write_at(s->out, s->out_label, s->slab, (size_t)count * p->width,
			   s->to + begin * p->width, error);
}

static int permute(struct permuting *s, uint64_t elements, size_t memory,
		   struct lmodel_error *error)
{
	const struct lm_permutation *p = s->p;
	const uint64_t room = LM_MAX(memory / p->width, (size_t)1);
	unsigned axis = 0;

	/* The first axis below which a slab holds at least one index. */
	while (axis + 1 < p->rank && s->size[axis] > room)
		axis++;
	for (uint64_t at = 0; at < elements;) {
		uint64_t length = p->shape[p->axes[axis]];
		uint64_t index = at / s->size[axis] % length;
		uint64_t n = LM_MIN(LM_MAX(room / s->size[axis], UINT64_C(1)), length - index);
		int r = make_slab(s, axis, at, n * s->size[axis], error);

		if (r != LMODEL_OK)
			return r;
		at += n * s->size[axis];
	}
	return LMODEL_OK;
}

int lm_permute_file(const struct lm_permutation *p, int in, const char *in_label, uint64_t from,
		    int out, const char *out_label, uint64_t to, struct lmodel_error *error)
{
	static const uint64_t one = 1;
	static const uint8_t none = 0;
	struct lm_permutation scalar = *p;
	struct permuting s = {
		.p = p, .in = in, .out = out, .in_label = in_label, .out_label = out_label,
		.from = from, .to = to,
	};
	size_t memory = p->memory > 0 ? p->memory : MEMORY;
	uint64_t elements = 1, below = 1;
	LM_FREE uint8_t *slab = NULL;
	LM_FREE uint8_t *window = NULL;

	if (p->rank == 0) {
		scalar.rank = 1;
		scalar.shape = &one;
		scalar.axes = &none;
		s.p = p = &scalar;
	}
	for (unsigned i = 0; i < p->rank; i++)
		elements *= p->shape[i];
	if (elements == 0 || p->width == 0)
		return LMODEL_OK;
	for (unsigned i = p->rank; i-- > 0; below *= p->shape[i])
		s.in_stride[i] = below;
	below = 1;
	for (unsigned i = p->rank; i-- > 0; below *= p->shape[p->axes[i]])
		s.size[i] = below;
	s.end = elements * p->width;
	s.window_capacity = LM_MAX((size_t)WINDOW, p->width);
	s.slab = slab = malloc(LM_MAX((size_t)LM_MIN((uint64_t)memory, s.end), p->width));
	s.window = window = malloc(s.window_capacity);
	if (slab == NULL || window == NULL)
		return lm_fail_memory(error);
	return permute(&s, elements, memory, error);
}
