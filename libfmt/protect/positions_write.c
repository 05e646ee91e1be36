#include "protect/golomb.h"

enum { BUFFER = 16 << 10, SLACK = 8 };

struct lm_positions_writer {
	struct lm_positions_form form;
	struct lm_golomb gap, run;
	lm_positions_write_fn *write;
	void *context;
	uint64_t given;      /* bytes written through `write` */
	uint64_t count;      /* numbers so far */
	uint64_t start, end; /* the run that may still grow; gaps: `end` alone */
	uint64_t runs;
	uint64_t pending;    /* bits that are no whole byte yet, from the low end; less than 8 */
	unsigned fill;
	bool failed;
	size_t used;
	uint8_t buffer[BUFFER + SLACK];
};

struct lm_positions_writer *lm_positions_writer_new(const struct lm_positions_form *form,
						    lm_positions_write_fn *write, void *context,
						    struct lmodel_error *error)
{
	struct lm_positions_writer *w;

	if (form->form >= LM_POSITIONS_INVALID) {
		lm_fail(error, LMODEL_EFAILED, "positions: no ascending numbers below %ju",
			(uintmax_t)form->universe);
		return NULL;
	}
	w = malloc(sizeof(*w));
	if (w == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	memset(w, 0, offsetof(struct lm_positions_writer, buffer));
	w->form = *form;
	w->write = write;
	w->context = context;
	if (form->gap != 0)
		w->gap = lm_golomb(form->gap);
	if (form->run != 0)
		w->run = lm_golomb(form->run);
	w->used = lm_positions_head(form, w->buffer);
	return w;
}

static int not_measured(struct lm_positions_writer *w, struct lmodel_error *error)
{
	w->failed = true;
	return lm_fail(error, LMODEL_EFAILED,
		       "positions: the numbers are not those that were measured");
}

static int flush(struct lm_positions_writer *w, struct lmodel_error *error)
{
	int r;

	if (w->used > w->form.len - w->given)
		return not_measured(w, error);
	r = w->used == 0 ? LMODEL_OK : w->write(w->context, w->buffer, w->used, error);
	w->failed = r != LMODEL_OK;
	w->given += w->used;
	w->used = 0;
	return r;
}

/* `n` bits, at most 56; there is room for 8 bytes. */
static inline void put(struct lm_positions_writer *w, uint64_t v, unsigned n)
{
	w->pending |= v << w->fill;
	w->fill += n;
	memcpy(w->buffer + w->used, &w->pending, 8); /* little-endian: configure sees to it */
	w->used += w->fill / 8;
	w->pending >>= w->fill & ~7u;
	w->fill &= 7;
}

/* The bits of a remainder, `more` telling of the last one. */
static inline uint64_t remainder_bits(const struct lm_golomb *g, uint64_t x, unsigned *more)
{
	const uint64_t sum = x + g->longer, coded = sum >> 1 | (sum & 1) << g->bits;

	/* Without a jump, for which way is mere chance. */
	*more = x >= g->longer;
	return x ^ (-(uint64_t)*more & (x ^ coded));
}

static int put_long(struct lm_positions_writer *w, const struct lm_golomb *g, uint64_t quotient,
		    uint64_t x, struct lmodel_error *error)
{
	unsigned more, n;
	int r;

	for (; quotient > 0; quotient -= n) {
		n = (unsigned)LM_MIN(quotient, (uint64_t)56);
		if (w->used >= BUFFER && (r = flush(w, error)) != LMODEL_OK)
			return r;
		put(w, 0, n);
	}
	x = remainder_bits(g, x, &more);
	n = g->bits + more;
	if (w->used >= BUFFER - 24 && (r = flush(w, error)) != LMODEL_OK)
		return r;
	put(w, 1, 1);
	if (n > 32) {
		put(w, x & UINT32_MAX, 32);
		x >>= 32;
		n -= 32;
	}
	put(w, x, n);
	return LMODEL_OK;
}

static inline int put_golomb(struct lm_positions_writer *w, const struct lm_golomb *g, uint64_t v,
			     struct lmodel_error *error)
{
	uint64_t quotient = lm_golomb_quotient(g, v), x = v - quotient * g->m;
	unsigned more;
	int r;

	if (quotient + g->bits > 54)
		return put_long(w, g, quotient, x, error);
	if (w->used >= BUFFER && (r = flush(w, error)) != LMODEL_OK)
		return r;
	x = remainder_bits(g, x, &more);
	put(w, (x << 1 | 1) << quotient, (unsigned)quotient + 1 + g->bits + more);
	return LMODEL_OK;
}

/* A gap and `zeros` gaps of nothing behind it. */
static int put_gaps(struct lm_positions_writer *w, uint64_t gap, uint64_t zeros,
		    struct lmodel_error *error)
{
	int r = put_golomb(w, &w->gap, gap, error);

	for (; zeros > 0 && r == LMODEL_OK; zeros--)
		r = put_golomb(w, &w->gap, 0, error);
	return r;
}

/* The run that ends where `next` begins another one, or the end of the universe. */
static int put_run(struct lm_positions_writer *w, uint64_t next, struct lmodel_error *error)
{
	return w->form.form == LM_POSITIONS_COMPLEMENT ?
		put_gaps(w, w->end - w->start, next - w->end - 1, error) :
		put_golomb(w, &w->run, w->end - w->start - 1, error);
}

/* Runs must be whole before they are coded: `first` may go on where the last one ended. */
static int add_run(struct lm_positions_writer *w, uint64_t first, struct lmodel_error *error)
{
	bool runs = w->form.form == LM_POSITIONS_RUNS;
	int r = LMODEL_OK;

	if (first == w->end && (!runs || w->count > 0))
		return LMODEL_OK;
	/* The complement's first stretch may have a run of nothing before it. */
	if (w->count > 0 || !runs)
		r = put_run(w, first, error);
	if (r == LMODEL_OK && runs)
		r = put_golomb(w, &w->gap, first - w->end - (w->count > 0), error);
	w->start = first;
	w->runs++;
	return r;
}

int lm_positions_writer_add(struct lm_positions_writer *w, uint64_t first, uint64_t count,
			    struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (w->failed)
		return not_measured(w, error);
	if (count == 0)
		return LMODEL_OK;
	if (first < w->end || first >= w->form.universe || count > w->form.universe - first ||
	    count > w->form.count - w->count)
		return not_measured(w, error);
	if (w->form.form == LM_POSITIONS_GAPS)
		r = put_gaps(w, first - w->end, count - 1, error);
	else if (w->form.form != LM_POSITIONS_ALL)
		r = add_run(w, first, error);
	w->count += count;
	w->end = first + count;
	w->failed |= r != LMODEL_OK;
	return r;
}

/* Gaps of one number each, with what is written held in registers. Gives how many were coded: less
 * where one is long, or there is no room. */
static size_t put_numbers(struct lm_positions_writer *w, uint64_t first, const uint32_t *at,
			  size_t count)
{
	const struct lm_golomb g = w->gap;
	uint64_t pending = w->pending, end = w->end;
	unsigned fill = w->fill, more;
	uint8_t *p = w->buffer + w->used;
	size_t i;

	for (i = 0; i < count && p < w->buffer + BUFFER; i++) {
		const uint64_t number = first + at[i], gap = number - end;
		const uint64_t quotient = lm_golomb_quotient(&g, gap);
		uint64_t x;

		if (number < end || number >= w->form.universe || quotient + g.bits > 54)
			break;
		x = remainder_bits(&g, gap - quotient * g.m, &more);
		pending |= ((x << 1 | 1) << quotient) << fill;
		fill += (unsigned)quotient + 1 + g.bits + more;
		memcpy(p, &pending, 8);
		p += fill / 8;
		pending >>= fill & ~7u;
		fill &= 7;
		end = number + 1;
	}
	w->pending = pending;
	w->fill = fill;
	w->used = (size_t)(p - w->buffer);
	w->end = end;
	w->count += i;
	return i;
}

int lm_positions_writer_numbers(struct lm_positions_writer *w, uint64_t first, const uint32_t *at,
				size_t count, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	for (size_t i = 0; i < count && r == LMODEL_OK; i++) {
		if (w->form.form == LM_POSITIONS_GAPS && !w->failed &&
		    count - i <= w->form.count - w->count)
			i += put_numbers(w, first, at + i, count - i);
		if (i < count)
			r = lm_positions_writer_add(w, first + at[i], 1, error);
	}
	return r;
}

int lm_positions_writer_finish(struct lm_positions_writer *w, struct lmodel_error *error)
{
	unsigned form = w->form.form;
	int r = LMODEL_OK;

	if (w->failed || w->count != w->form.count ||
	    (form == LM_POSITIONS_RUNS && w->runs != w->form.runs))
		return not_measured(w, error);
	if (form == LM_POSITIONS_RUNS ||
	    (form == LM_POSITIONS_COMPLEMENT && w->end < w->form.universe))
		r = put_run(w, w->form.universe, error);
	if (r == LMODEL_OK && w->used >= BUFFER)
		r = flush(w, error);
	if (r == LMODEL_OK && w->fill > 0)
		put(w, 0, 8 - w->fill);
	if (r == LMODEL_OK)
		r = flush(w, error);
	if (r == LMODEL_OK && w->given != w->form.len)
		return not_measured(w, error);
	w->failed = true; /* nothing may follow */
	return r;
}

void lm_positions_writer_free(struct lm_positions_writer *writer)
{
	free(writer);
}
