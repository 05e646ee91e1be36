#include "protect/golomb.h"

#define CORRUPT "position stream: "

enum {
	BUFFER = 16 << 10,
	SLACK = 8,   /* zeros behind the last byte, so that 8 bytes can be loaded anywhere */
	LOW = 64,    /* refilled when fewer bytes than this are left; more than a head */
	VALID = 57,  /* bits that one load gives at least */
	GROUP = 4,   /* codes from one load, as far as they are in it */
};

struct lm_positions_reader {
	struct lm_positions_form form;
	struct lm_golomb gap, run;
	uint64_t gap_most, run_most; /* quotients that stay within the universe */
	lm_positions_read_fn *read;
	void *context;
	uint64_t left;       /* codes to come: numbers, or pairs of them for runs */
	uint64_t given;      /* numbers handed out */
	uint64_t next;       /* one behind the last number read */
	bool tail;           /* complement: the numbers behind the last gap are still to come */
	bool ended, failed, eof;
	size_t have;         /* bytes in the buffer */
	size_t at;           /* the next bit */
	uint8_t buffer[BUFFER + SLACK];
};

static int corrupt(struct lm_positions_reader *r, const char *what, struct lmodel_error *error)
{
	r->failed = true;
	return lm_fail(error, LMODEL_ECORRUPT, CORRUPT "%s", what);
}

/* ---- bits ---- */

static int refill(struct lm_positions_reader *r, struct lmodel_error *error)
{
	size_t done = r->at / 8;

	if (done > r->have)
		return corrupt(r, "is cut short", error);
	memmove(r->buffer, r->buffer + done, r->have - done);
	r->have -= done;
	r->at %= 8;
	while (!r->eof && r->have < LOW) {
		size_t got = 0;
		int rc = r->read(r->context, r->buffer + r->have, BUFFER - r->have, &got, error);

		if (rc != LMODEL_OK) {
			r->failed = true;
			return rc;
		}
		if (got > BUFFER - r->have)
			return corrupt(r, "more bytes than asked for", error);
		r->eof = got == 0;
		r->have += got;
	}
	memset(r->buffer + r->have, 0, SLACK);
	return LMODEL_OK;
}

/* Makes the next 64 bits loadable, zeros behind the end. */
static inline int need(struct lm_positions_reader *r, struct lmodel_error *error)
{
	if (r->at / 8 + LOW / 2 <= r->have)
		return LMODEL_OK;
	if (r->eof)
		return r->at <= r->have * 8 ? LMODEL_OK : corrupt(r, "is cut short", error);
	return refill(r, error);
}

static inline uint64_t peek(const struct lm_positions_reader *r)
{
	uint64_t v;

	memcpy(&v, r->buffer + r->at / 8, sizeof(v));
	return v >> r->at % 8;
}

/* `n` bits, at most 63. */
static int get_bits(struct lm_positions_reader *r, unsigned n, uint64_t *v,
		    struct lmodel_error *error)
{
	int rc;

	*v = 0;
	for (unsigned done = 0; done < n;) {
		unsigned piece = LM_MIN(n - done, 32u);

		if ((rc = need(r, error)) != LMODEL_OK)
			return rc;
		*v |= (peek(r) & (((uint64_t)1 << piece) - 1)) << done;
		r->at += piece;
		done += piece;
	}
	return LMODEL_OK;
}

/* A code that one load may not hold. Zeros are counted no further than the stream has them. */
static int get_long(struct lm_positions_reader *r, const struct lm_golomb *g, uint64_t most,
		    uint64_t *value, struct lmodel_error *error)
{
	uint64_t quotient = 0, x, bit, word;
	int rc;

	for (;;) {
		if ((rc = need(r, error)) != LMODEL_OK)
			return rc;
		word = peek(r) & (((uint64_t)1 << VALID) - 1);
		if (word != 0)
			break;
		quotient += VALID;
		r->at += VALID;
		if (quotient > most)
			return corrupt(r, "a gap reaches beyond the tensor", error);
	}
	quotient += (unsigned)__builtin_ctzll(word);
	r->at += (unsigned)__builtin_ctzll(word) + 1;
	if ((rc = get_bits(r, g->bits, &x, error)) != LMODEL_OK)
		return rc;
	if (x >= g->longer) {
		if ((rc = get_bits(r, 1, &bit, error)) != LMODEL_OK)
			return rc;
		x = 2 * x + bit - g->longer;
	}
	if (quotient > most)
		return corrupt(r, "a gap reaches beyond the tensor", error);
	*value = quotient * g->m + x;
	return LMODEL_OK;
}

static inline int get_golomb(struct lm_positions_reader *r, const struct lm_golomb *g,
			     uint64_t most, uint64_t *value, struct lmodel_error *error)
{
	uint64_t word, quotient, x;
	unsigned bits, more;
	int rc;

	if ((rc = need(r, error)) != LMODEL_OK)
		return rc;
	word = peek(r);
	if (word == 0)
		return get_long(r, g, most, value, error);
	quotient = (unsigned)__builtin_ctzll(word);
	bits = (unsigned)quotient + 1 + g->bits;
	if (bits >= VALID || quotient > most)
		return get_long(r, g, most, value, error);
	x = word >> (quotient + 1) & (((uint64_t)1 << g->bits) - 1);
	/* Without a jump, for which way is mere chance. */
	more = x >= g->longer;
	x += -(uint64_t)more & (x + (word >> bits & 1) - g->longer);
	r->at += bits + more;
	*value = quotient * g->m + x;
	return LMODEL_OK;
}

/* ---- the head ---- */

static int get_integer(struct lm_positions_reader *r, uint64_t *v, struct lmodel_error *error)
{
	uint64_t byte;
	int rc;

	*v = 0;
	for (unsigned shift = 0; shift < 63; shift += 7) {
		if ((rc = get_bits(r, 8, &byte, error)) != LMODEL_OK)
			return rc;
		*v |= (byte & 0x7f) << shift;
		if (byte == 0 && shift > 0)
			return corrupt(r, "a number is not in short form", error);
		if (byte < 0x80)
			return LMODEL_OK;
	}
	return corrupt(r, "a number is too large", error);
}

static int get_power(struct lm_positions_reader *r, uint64_t *v, struct lmodel_error *error)
{
	uint64_t byte;
	int rc = get_bits(r, 8, &byte, error);

	if (rc == LMODEL_OK && byte > 62)
		return corrupt(r, "a parameter is too large", error);
	*v = rc == LMODEL_OK ? (uint64_t)1 << byte : 0;
	return rc;
}

static int get_head(struct lm_positions_reader *r, uint64_t universe, struct lmodel_error *error)
{
	struct lm_positions_form *f = &r->form;
	uint64_t form;
	int rc = get_bits(r, 8, &form, error);

	if (rc == LMODEL_OK && form > LM_POSITIONS_RUNS)
		return corrupt(r, "unknown form", error);
	if (rc == LMODEL_OK)
		rc = get_integer(r, &f->universe, error);
	if (rc == LMODEL_OK && f->universe != universe)
		return corrupt(r, "is for a tensor of another size", error);
	if (rc != LMODEL_OK)
		return rc;
	f->form = (unsigned)form;
	if (form == LM_POSITIONS_NONE)
		return LMODEL_OK;
	f->count = universe;
	if (form == LM_POSITIONS_ALL)
		return universe > 0 ? LMODEL_OK : corrupt(r, "all of nothing", error);
	rc = get_integer(r, &f->count, error);
	if (rc == LMODEL_OK && form == LM_POSITIONS_RUNS) {
		rc = get_integer(r, &f->runs, error);
		if (rc == LMODEL_OK)
			rc = get_power(r, &f->gap, error);
		if (rc == LMODEL_OK)
			rc = get_power(r, &f->run, error);
	} else if (rc == LMODEL_OK) {
		rc = get_integer(r, &f->gap, error);
		f->run = f->runs = 1;
	}
	if (rc != LMODEL_OK)
		return rc;
	if (f->count == 0 || f->count >= universe)
		return corrupt(r, "wrong count", error);
	if (f->runs == 0 || f->runs > f->count || f->runs > universe - f->count + 1)
		return corrupt(r, "wrong number of runs", error);
	if (f->gap == 0 || f->gap > universe || f->run > universe)
		return corrupt(r, "wrong parameter", error);
	return LMODEL_OK;
}

static int begin(struct lm_positions_reader *r, uint64_t universe, struct lmodel_error *error)
{
	int rc = get_head(r, universe, error);

	if (rc == LMODEL_OK)
		rc = need(r, error);
	if (rc != LMODEL_OK)
		return rc;
	if (r->form.gap != 0) {
		r->gap = lm_golomb(r->form.gap);
		r->run = lm_golomb(r->form.run);
		r->gap_most = universe / r->gap.m;
		r->run_most = universe / r->run.m;
	}
	r->left = r->form.form == LM_POSITIONS_GAPS ? r->form.count :
		  r->form.form == LM_POSITIONS_COMPLEMENT ? universe - r->form.count : r->form.runs;
	r->tail = r->form.form == LM_POSITIONS_COMPLEMENT || r->form.form == LM_POSITIONS_ALL;
	return LMODEL_OK;
}

int lm_positions_reader_open(struct lm_positions_reader **reader, uint64_t universe,
			     lm_positions_read_fn *read, void *context, struct lmodel_error *error)
{
	struct lm_positions_reader *r = *reader;

	if (r == NULL)
		r = *reader = malloc(sizeof(*r));
	if (r == NULL)
		return lm_fail_memory(error);
	memset(r, 0, offsetof(struct lm_positions_reader, buffer));
	r->read = read;
	r->context = context;
	return begin(r, universe, error);
}

struct lm_positions_reader *lm_positions_reader_new(uint64_t universe, lm_positions_read_fn *read,
						    void *context, struct lmodel_error *error)
{
	struct lm_positions_reader *r = NULL;

	if (lm_positions_reader_open(&r, universe, read, context, error) != LMODEL_OK) {
		lm_positions_reader_free(r);
		return NULL;
	}
	return r;
}

uint64_t lm_positions_reader_count(const struct lm_positions_reader *reader)
{
	return reader->form.count;
}

/* ---- numbers ---- */

static int check_end(struct lm_positions_reader *r, struct lmodel_error *error)
{
	int rc = need(r, error);

	if (rc != LMODEL_OK)
		return rc;
	if (r->given != r->form.count)
		return corrupt(r, "runs do not add up to the count", error);
	if (r->at % 8 != 0 && r->buffer[r->at / 8] >> r->at % 8 != 0)
		return corrupt(r, "bits behind the last number", error);
	if (!r->eof || (r->at + 7) / 8 != r->have)
		return corrupt(r, "bytes behind the last number", error);
	r->ended = true;
	return LMODEL_OK;
}

/* The number that a gap leads to. */
static inline int get_number(struct lm_positions_reader *r, uint64_t *number,
			     struct lmodel_error *error)
{
	uint64_t gap = 0;
	int rc = get_golomb(r, &r->gap, r->gap_most, &gap, error);

	if (rc != LMODEL_OK)
		return rc;
	/* `next` may be one behind the universe, after a run that ends it. */
	if (r->next >= r->form.universe || gap >= r->form.universe - r->next)
		return corrupt(r, "a number beyond the tensor", error);
	*number = r->next + gap;
	return LMODEL_OK;
}

static int next_run(struct lm_positions_reader *r, uint64_t *first, uint64_t *count,
		    struct lmodel_error *error)
{
	uint64_t more = 0;
	int rc = get_number(r, first, error);

	if (rc == LMODEL_OK)
		rc = get_golomb(r, &r->run, r->run_most, &more, error);
	if (rc != LMODEL_OK)
		return rc;
	r->left--;
	if (more >= r->form.universe - *first || more >= r->form.count - r->given - r->left)
		return corrupt(r, "a run beyond the tensor or the count", error);
	*count = more + 1;
	r->next = *first + *count + 1;
	return LMODEL_OK;
}

/* The members before the next number that is not one; those that follow each other have none. */
static int next_between(struct lm_positions_reader *r, uint64_t *first, uint64_t *count,
			struct lmodel_error *error)
{
	while (r->left > 0) {
		uint64_t number = 0;
		int rc = get_number(r, &number, error);

		if (rc != LMODEL_OK)
			return rc;
		*first = r->next;
		*count = number - r->next;
		if (*count > r->form.count - r->given)
			return corrupt(r, "more numbers than the count", error);
		r->left--;
		r->next = number + 1;
		if (*count > 0)
			return LMODEL_OK;
	}
	*first = r->next;
	*count = r->form.universe - r->next;
	r->tail = false;
	return LMODEL_OK;
}

int lm_positions_reader_next(struct lm_positions_reader *r, uint64_t *first, uint64_t *count,
			     struct lmodel_error *error)
{
	int rc = LMODEL_OK;

	*first = *count = 0;
	if (r->failed)
		return corrupt(r, "has failed before", error);
	if (r->form.form == LM_POSITIONS_GAPS && r->left > 0) {
		rc = get_number(r, first, error);
		*count = 1;
		r->left--;
		r->next = *first + 1;
	} else if (r->form.form == LM_POSITIONS_RUNS && r->left > 0) {
		rc = next_run(r, first, count, error);
	} else if (r->tail) {
		rc = next_between(r, first, count, error);
	}
	if (rc != LMODEL_OK)
		*count = 0;
	r->given += *count;
	if (rc == LMODEL_OK && *count == 0 && !r->ended)
		rc = check_end(r, error);
	return rc;
}

/* Numbers in groups, without asking of each code whether all of it was loaded: that shows in where
 * the group ends. The chain from code to code is short: it is what this takes its time for. Stops
 * before a group that has to be read code by code. */
static inline size_t get_groups(struct lm_positions_reader *r, uint64_t *numbers, size_t most,
				bool power)
{
	const struct lm_golomb g = r->gap;
	const uint64_t mask = ((uint64_t)1 << g.bits) - 1;
	uint64_t next = r->next;
	size_t n = 0, at = r->at;

	while (n + GROUP <= most && at / 8 + SLACK <= r->have) {
		uint64_t word, behind = next;
		unsigned used = 0;

		memcpy(&word, r->buffer + at / 8, sizeof(word));
		word >>= at % 8;
#pragma GCC unroll 4
		for (unsigned i = 0; i < GROUP; i++) {
			unsigned quotient = (unsigned)__builtin_ctzll(word | (uint64_t)1 << 63);
			uint64_t rest = word >> 1 >> quotient, x = rest & mask;

			word = rest >> g.bits;
			used += quotient + 1 + g.bits;
			if (!power) {
				unsigned more = x >= g.longer;

				x += -(uint64_t)more & (x + (word & 1) - g.longer);
				word >>= more;
				used += more;
			}
			behind += (power ? (uint64_t)quotient << g.bits : quotient * g.m) + x + 1;
			numbers[n + i] = behind - 1;
		}
		if (used > VALID || behind > r->form.universe)
			break;
		next = behind;
		at += used;
		n += GROUP;
	}
	r->next = next;
	r->at = at;
	return n;
}

int lm_positions_reader_numbers(struct lm_positions_reader *r, uint64_t *numbers, size_t most,
				size_t *got, struct lmodel_error *error)
{
	size_t n = (size_t)LM_MIN((uint64_t)most, r->left), i = 0;

	*got = 0;
	if (r->failed)
		return corrupt(r, "has failed before", error);
	if (r->form.form != LM_POSITIONS_GAPS)
		return LMODEL_OK;
	while (i < n) {
		int rc;

		i += r->gap.inverse == 0 ? get_groups(r, numbers + i, n - i, true) :
					   get_groups(r, numbers + i, n - i, false);
		if (i == n)
			break;
		rc = get_number(r, &numbers[i], error);
		if (rc != LMODEL_OK)
			return rc;
		r->next = numbers[i++] + 1;
	}
	r->left -= n;
	r->given += n;
	*got = n;
	return LMODEL_OK;
}

void lm_positions_reader_free(struct lm_positions_reader *reader)
{
	free(reader);
}
