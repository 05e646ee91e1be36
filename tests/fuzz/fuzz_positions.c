/* Position streams of any bytes: what is read is an ascending set within the universe, of the count
 * that the head says, and it comes back when written again.
 *
 * Input: u64 universe, little-endian; byte 8: most bytes that one read gives, 0 for all; the rest
 * is the stream. */
#include "protect/positions.h"

#define HEAD 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
	const uint8_t *bytes;
	uint8_t *out;
	size_t len, at, piece;
};

static int read_bytes(void *context, uint8_t *buffer, size_t len, size_t *got,
		      struct lmodel_error *error)
{
	struct stream *s = context;

	(void)error;
	*got = LM_MIN(s->len - s->at, LM_MIN(len, s->piece));
	memcpy(buffer, s->bytes + s->at, *got);
	s->at += *got;
	return LMODEL_OK;
}

static int write_bytes(void *context, const uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	struct stream *s = context;

	(void)error;
	if (len > s->len - s->at)
		abort();
	memcpy(s->out + s->at, bytes, len);
	s->at += len;
	return LMODEL_OK;
}

/* One pass over the stream, its runs given to a meter or a writer. The error's code. */
static int pass(struct stream *s, uint64_t universe, struct lm_positions_meter *meter,
		struct lm_positions_writer *writer, uint64_t *sum)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_positions_reader *r;
	uint64_t first, count, end = 0;
	int rc;

	s->at = 0;
	*sum = 0;
	r = lm_positions_reader_new(universe, read_bytes, s, &error);
	if (r == NULL)
		return (int)error.code;
	while ((rc = lm_positions_reader_next(r, &first, &count, &error)) == LMODEL_OK &&
	       count > 0) {
		if (first < end || first >= universe || count > universe - first)
			abort();
		end = first + count;
		*sum += count;
		if (meter != NULL)
			lm_positions_meter_add(meter, first, count);
		if (writer != NULL &&
		    lm_positions_writer_add(writer, first, count, NULL) != LMODEL_OK)
			abort();
	}
	if (rc != (int)error.code || *sum > lm_positions_reader_count(r) ||
	    (rc == LMODEL_OK && *sum != lm_positions_reader_count(r)))
		abort();
	lm_positions_reader_free(r);
	return rc;
}

/* The same by batches, as shards are read: numbers that ascend, as many, and the same end. */
static void in_batches(struct stream *s, uint64_t universe, int wanted, uint64_t wanted_sum)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_positions_reader *r;
	uint64_t numbers[37], first, count = 1, end = 0, sum = 0;
	int rc = LMODEL_OK;

	s->at = 0;
	r = lm_positions_reader_new(universe, read_bytes, s, &error);
	if (r == NULL) {
		if ((int)error.code != wanted)
			abort();
		return;
	}
	while (rc == LMODEL_OK && count > 0) {
		size_t got = 0;

		rc = lm_positions_reader_numbers(r, numbers, LM_COUNT(numbers), &got, &error);
		if (rc == LMODEL_OK && got == 0)
			rc = lm_positions_reader_next(r, &first, &count, &error);
		for (size_t i = 0; i < got; i++) {
			if (numbers[i] < end || numbers[i] >= universe)
				abort();
			end = numbers[i] + 1;
		}
		sum += got > 0 ? got : count;
	}
	if (rc != wanted || (rc == LMODEL_OK && sum != wanted_sum))
		abort();
	lm_positions_reader_free(r);
}

static void write_again(struct stream *in, uint64_t universe,
			const struct lm_positions_form *form, uint64_t wanted)
{
	struct stream out = { .len = form->len, .piece = SIZE_MAX };
	struct lm_positions_writer *writer;
	uint64_t sum;

	out.out = malloc(form->len);
	writer = lm_positions_writer_new(form, write_bytes, &out, NULL);
	if (out.out == NULL || writer == NULL)
		abort();
	if (pass(in, universe, NULL, writer, &sum) != LMODEL_OK ||
	    lm_positions_writer_finish(writer, NULL) != LMODEL_OK || out.at != form->len)
		abort();
	out.bytes = out.out;
	if (pass(&out, universe, NULL, NULL, &sum) != LMODEL_OK || sum != wanted)
		abort();
	lm_positions_writer_free(writer);
	free(out.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream in = { 0 };
	struct lm_positions_meter *meter;
	struct lm_positions_form form;
	uint64_t universe, sum;
	int rc;

	if (size < HEAD)
		return 0;
	universe = lm_get_u64(data) & INT64_MAX;
	in.piece = data[8] == 0 ? SIZE_MAX : data[8];
	in.bytes = data + HEAD;
	in.len = size - HEAD;
	meter = lm_positions_meter_new(universe, size, NULL);
	if (meter == NULL)
		abort();
	rc = pass(&in, universe, meter, NULL, &sum);
	if (rc != LMODEL_OK && rc != LMODEL_ECORRUPT)
		abort();
	in_batches(&in, universe, rc, sum);
	lm_positions_meter_finish(meter, &form);
	lm_positions_meter_free(meter);
	if (rc != LMODEL_OK)
		return 0;
	if (form.count != sum)
		abort();
	/* The input's parameter need not be a candidate, but the power of two below it is, and at
	 * most doubles the bits. */
	if (form.len > 2 * (uint64_t)in.len + LM_POSITIONS_HEAD_MAX)
		abort();
	write_again(&in, universe, &form, sum);
	return 0;
}
