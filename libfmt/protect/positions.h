/* Sets of unit numbers as bytes: what a shard's position stream holds (spec: 7.4). Golomb-coded
 * gaps, of the set or of its complement, or of runs; whichever is shorter. Written and read as
 * streams in memory that does not grow with the set.
 *
 * A stream is a head of whole bytes, then codes as bits, then zero bits up to a whole byte.
 *
 * Head: u8 form; then integers in LEB128 (7 bits a byte from the low end, the top bit says that
 * more follow), each below 2^63 and as short as can be:
 *
 *   0 none        universe
 *   1 all         universe
 *   2 gaps        universe, count, M
 *   3 complement  universe, count, M
 *   4 runs        universe, count, runs, then u8 g and u8 r
 *
 * `universe`: numbers are below it. `count`: numbers in the set; in forms 2 to 4 at least 1 and
 * less than the universe (an empty or a full set has form 0 or 1 and no bits; a universe of 0 has
 * form 0). 1 <= M, 2^g, 2^r <= universe. `runs`: 1 <= runs <= count, runs <= universe - count + 1.
 *
 * Bits fill each byte from the low end on. G(M, v), the Golomb code of v >= 0: v / M zero bits, a
 * one bit, then x = v % M in truncated binary: b = floor(log2 M), u = 2^(b+1) - M; x below u takes
 * b bits; other x: (x + u) / 2 in b bits and then one bit, (x + u) % 2. Fields of b bits come low
 * bit first. So for M = 2^b the remainder is just b bits.
 *
 *   gaps        for each number n of the set, ascending: G(M, n - p), p one behind the number
 *               before it, 0 at first
 *   complement  the same for the universe - count numbers that are not in the set
 *   runs        for each maximal run of consecutive numbers, first to last, ascending:
 *               G(2^g, first - p), p two behind the last number of the run before it, 0 at first;
 *               then G(2^r, last - first)
 *
 * A reader refuses a head that breaks a rule above, a number that reaches the universe, runs that
 * do not add up to the count, bits other than zero behind the last code, and bytes behind those.
 * A head has at most 30 bytes. */
#ifndef LM_POSITIONS_H
#define LM_POSITIONS_H

#include "base/base.h"

enum lm_positions_kind {
	LM_POSITIONS_NONE,
	LM_POSITIONS_ALL,
	LM_POSITIONS_GAPS,
	LM_POSITIONS_COMPLEMENT,
	LM_POSITIONS_RUNS,
	LM_POSITIONS_INVALID, /* in memory only: what was measured was no ascending set */
};

#define LM_POSITIONS_HEAD_MAX 30

/* How a set is coded; found by measuring, told in the stream's head. */
struct lm_positions_form {
	uint64_t universe;   /* numbers are below this */
	uint64_t count;      /* numbers in the set */
	uint64_t runs;       /* maximal runs of consecutive numbers */
	uint64_t last_plus;  /* one behind the last number */
	unsigned form;       /* LM_POSITIONS_* */
	uint64_t gap, run;   /* Golomb parameters */
	uint64_t len;        /* bytes in all, head included */
};

/* First pass: ascending numbers, one by one or as runs; gives the cheapest form and its exact
 * length. Lengths for all candidate parameters are counted at once. `expected_count` steers which
 * these are, and only costs length when it is wrong. Numbers that do not ascend or reach the
 * universe give the form LM_POSITIONS_INVALID, which no writer takes. */
struct lm_positions_meter;
struct lm_positions_meter *lm_positions_meter_new(uint64_t universe, uint64_t expected_count,
						  struct lmodel_error *error);
void lm_positions_meter_add(struct lm_positions_meter *meter, uint64_t first, uint64_t count);
/* Numbers first + at[0], first + at[1], ... */
void lm_positions_meter_numbers(struct lm_positions_meter *meter, uint64_t first, const uint32_t *at,
				size_t count);
void lm_positions_meter_finish(struct lm_positions_meter *meter, struct lm_positions_form *form);
void lm_positions_meter_free(struct lm_positions_meter *meter);

/* Second pass: the same numbers again. Bytes come out through `write` in pieces. Nothing but
 * `form->len` bytes in all (EFAILED when the numbers are not those that were measured). */
typedef int lm_positions_write_fn(void *context, const uint8_t *bytes, size_t len,
				  struct lmodel_error *error);
struct lm_positions_writer;
struct lm_positions_writer *lm_positions_writer_new(const struct lm_positions_form *form,
						    lm_positions_write_fn *write, void *context,
						    struct lmodel_error *error);
int lm_positions_writer_add(struct lm_positions_writer *writer, uint64_t first, uint64_t count,
			    struct lmodel_error *error) LM_MUST_CHECK;
int lm_positions_writer_numbers(struct lm_positions_writer *writer, uint64_t first,
				const uint32_t *at, size_t count, struct lmodel_error *error)
	LM_MUST_CHECK;
int lm_positions_writer_finish(struct lm_positions_writer *writer,
			       struct lmodel_error *error) LM_MUST_CHECK;
void lm_positions_writer_free(struct lm_positions_writer *writer);

/* Reading: `read` gives the next bytes of the stream, at most `len`, `*got` 0 at its end. Every
 * number is checked: ascending, below the universe, as many as the head says, nothing behind.
 * ECORRUPT. */
typedef int lm_positions_read_fn(void *context, uint8_t *buffer, size_t len, size_t *got,
				 struct lmodel_error *error);
struct lm_positions_reader;
/* `universe` as the tensor has it; a stream for another one is ECORRUPT. */
struct lm_positions_reader *lm_positions_reader_new(uint64_t universe, lm_positions_read_fn *read,
						    void *context, struct lmodel_error *error);
/* The same; `*reader` is NULL, or a reader whose memory is to be used again, and is to be freed after
 * a failure, too. */
int lm_positions_reader_open(struct lm_positions_reader **reader, uint64_t universe,
			     lm_positions_read_fn *read, void *context,
			     struct lmodel_error *error) LM_MUST_CHECK;
uint64_t lm_positions_reader_count(const struct lm_positions_reader *reader);
/* The next run of consecutive numbers (as long as the form gives them, not necessarily maximal);
 * `*count` 0 at the end, after which the end of the stream has been checked. */
int lm_positions_reader_next(struct lm_positions_reader *reader, uint64_t *first, uint64_t *count,
			     struct lmodel_error *error) LM_MUST_CHECK;
/* The same for a set whose numbers are coded one by one: the next `most` of them at once. `*got` 0
 * where they are not, and when there are none left: lm_positions_reader_next() goes on from there. */
int lm_positions_reader_numbers(struct lm_positions_reader *reader, uint64_t *numbers, size_t most,
				size_t *got, struct lmodel_error *error) LM_MUST_CHECK;
void lm_positions_reader_free(struct lm_positions_reader *reader);

#endif
