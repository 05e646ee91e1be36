#include "protect/decoy.h"

#include "protect/draw.h"

enum {
	BATCH = 512,           /* cells that a batch may be apart, too */
	WORD = 4,              /* keystream bytes of a cell */
	PAIR = 8,              /* of a complex cell: modulus, phase */
	MIX = 16,              /* directions in a mix */
	DRAW = 8 * MIX + 8,    /* keystream bytes of a slice: picks and weights, norm, spare */
	ATTEMPTS = 8,
	NEIGHBOURS = 4,        /* slices that a row must have to be drawn from by itself */
	NO_COPY_ELEMENTS = 8,  /* the rule against copies begins here */
};

/* How much of its neighbours' mean direction a decoy has. They are a sample: all of it would make
 * decoys more like them than true slices are (measured on three nets). */
#define MEAN_SHARE 0.7

/* Draws that follow a copy come from the upper half of the keystream. */
#define REDRAWS (UINT64_C(1) << 62)

/* Between two neighbours of an ascending table: a smooth distribution with the table's quantiles,
 * in which ties stay ties (zeros of a pruned tensor). */
static double quantile(const float *table, uint32_t count, uint32_t word)
{
	uint64_t at = (uint64_t)word * (count - 1);
	uint32_t i = (uint32_t)(at >> 32);
	double low = (double)table[i], high = (double)table[i + 1];

	return low + (high - low) * ((double)(uint32_t)at * 0x1p-32);
}

/* ---- cells ---- */

/* A place that moves through a tensor, with its scale. */
struct place {
	const struct lm_donors *donors;
	uint64_t in, column;   /* index below the column; column */
	uint64_t row;
	double row_scale;
};

static void place_set_row(struct place *p)
{
	p->row_scale = (double)p->donors->row[p->row / p->donors->row_group];
}

static void place_begin(struct place *p, const struct lm_donors *donors, uint64_t element)
{
	*p = (struct place){ .donors = donors };
	if (donors->row == NULL)
		return;
	p->in = element % donors->inner;
	p->column = element / donors->inner % donors->columns;
	p->row = element / donors->inner / donors->columns;
	place_set_row(p);
}

static inline double place_scale(const struct place *p)
{
	const struct lm_donors *d = p->donors;
	uint64_t column = p->column;

	if (d->column_group != 1)
		column /= d->column_group;
	return p->row_scale * (double)d->column[column];
}

/* Goes `step` cells on. */
static inline void place_step(struct place *p, uint64_t step)
{
	p->in += step;
	if (p->in < p->donors->inner)
		return;
	p->column += p->in / p->donors->inner;
	p->in %= p->donors->inner;
	if (p->column < p->donors->columns)
		return;
	p->row += p->column / p->donors->columns;
	p->column %= p->donors->columns;
	place_set_row(p);
}

/* Numbers of a batch: those drawn, and which cell each is for, from the first of them on. */
struct batch {
	double values[2 * BATCH];
	uint16_t cells[BATCH];
	size_t count;
	uint8_t random[PAIR * BATCH]; /* of all cells that lie between */
};

static double limit(const struct lm_donors *donors, double value, uint32_t word)
{
	if (!(fabs(value) <= donors->bound))
		value = copysign(donors->bound * lm_draw_upper_half(word), value);
	return lm_draw_trim(value, donors->keep);
}

static void draw_complex(const struct lm_donors *donors, struct batch *batch, size_t i,
			 double scale)
{
	const uint8_t *random = batch->random + PAIR * (size_t)batch->cells[i];
	uint32_t word = lm_get_u32(random);
	uint32_t phase = lm_draw_index(lm_get_u32(random + 4), donors->count);
	double size = quantile(donors->table, donors->count, word) * scale;

	for (size_t c = 0; c < 2; c++)
		batch->values[2 * i + c] =
			limit(donors, size * (double)donors->phases[2 * phase + c], word);
}

static void draw_values(const struct lm_donors *donors, struct batch *batch, uint64_t first)
{
	struct place place;
	bool scaled = donors->row != NULL;
	double scale = 1;

	place_begin(&place, donors, first);
	for (size_t i = 0; i < batch->count; i++) {
		const size_t cell = batch->cells[i];

		if (scaled) {
			if (i > 0)
				place_step(&place, cell - batch->cells[i - 1]);
			scale = place_scale(&place);
		}
		if (donors->components == 2) {
			draw_complex(donors, batch, i, scale);
		} else {
			uint32_t word = lm_get_u32(batch->random + WORD * cell);
			double value = quantile(donors->table, donors->count, word);

			batch->values[i] = limit(donors, value * scale, word);
		}
	}
}

static void store(const struct lm_donors *donors, const struct batch *batch, uint8_t *bytes)
{
	size_t cell = (size_t)donors->cell;
	uint8_t stored[8 * BATCH];

	lm_dtype_store(donors->dtype, batch->values, batch->count * donors->components, stored);
	for (size_t i = 0; i < batch->count; i++)
		memcpy(bytes + cell * batch->cells[i], stored + cell * i, cell);
}

/* A quantised block, byte by byte from public ones: whole, it would be a copy. Each of its formats
 * keeps exponents in bytes of their own, so that scales stay finite. */
static void mix_block(const struct lm_donors *donors, uint64_t state, uint8_t *bytes)
{
	for (size_t i = 0; i < donors->cell; i++) {
		/* SplitMix64 (Steele, Lea, Flood 2014) spreads one draw over the bytes. */
		uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		bytes[i] = donors->cells[donors->cell * lm_draw_index((uint32_t)(z >> 32),
								      donors->count) + i];
	}
}

static void copy_cells(const struct lm_donors *donors, const struct batch *batch, uint8_t *bytes)
{
	size_t cell = (size_t)donors->cell;

	for (size_t i = 0; i < batch->count; i++) {
		uint32_t word = lm_get_u32(batch->random + WORD * (size_t)batch->cells[i]);
		uint8_t *to = bytes + cell * batch->cells[i];

		if (lm_dtype_is_quantised(donors->dtype))
			mix_block(donors, word, to);
		else
			memcpy(to, donors->cells + cell * lm_draw_index(word, donors->count), cell);
	}
}

/* ---- cells of the common kind: the same numbers, and nothing else in the way ---- */

enum { SPAN = 1024, STEP = 256 }; /* cells of a batch; of what a keystream makes at once */

static bool is_plain(const struct lm_donors *d)
{
	return d->form == LM_DONORS_VALUES && d->components == 1 &&
	       (strcmp(d->dtype->name, "BF16") == 0 || strcmp(d->dtype->name, "F32") == 0) &&
	       (d->row == NULL || (d->inner == 1 && d->row_group == 1 && d->column_group == 1));
}

struct plain {
	const struct lm_donors *donors;
	bool wide;                  /* F32 */
	uint64_t row_end;
	double row_scale;
	uint8_t random[WORD * SPAN];
};

static void find_row(struct plain *p, uint64_t cell)
{
	const struct lm_donors *d = p->donors;
	const uint64_t row = cell / d->columns;

	p->row_scale = (double)d->row[row];
	p->row_end = (row + 1) * d->columns;
}

/* To nearest even; values are finite and within the range of public ones. */
static inline void put_plain(bool wide, double value, uint8_t *to)
{
	float single = (float)value;
	uint32_t bits;
	uint16_t half;

	if (wide) {
		memcpy(to, &single, sizeof(single));
		return;
	}
	memcpy(&bits, &single, sizeof(bits));
	half = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
	memcpy(to, &half, sizeof(half));
}

/* Cells first + at[0], ... (at NULL: first, ...), all in the batch whose first is `base`. */
static void draw_plain(struct plain *p, uint64_t base, uint64_t first, const uint32_t *at,
		       size_t count, uint8_t *bytes)
{
	const struct lm_donors *d = p->donors;
	const bool wide = p->wide, scaled = d->row != NULL;
	const unsigned drop = 53 - d->keep;
	const uint64_t half = drop == 0 ? 0 : UINT64_C(1) << (drop - 1);
	const uint64_t mask = ~((UINT64_C(1) << drop) - 1);
	const double bound = d->bound;

	for (size_t k = 0; k < count; k++) {
		const size_t i = at == NULL ? k : at[k];
		const uint64_t cell = first + i;
		const uint32_t word = lm_get_u32(p->random + WORD * (cell - base));
		double value = quantile(d->table, d->count, word);
		uint64_t bits;

		if (scaled) {
			if (cell >= p->row_end)
				find_row(p, cell);
			value *= p->row_scale * (double)d->column[cell + d->columns - p->row_end];
		}
		if (!(fabs(value) <= bound))
			value = copysign(bound * lm_draw_upper_half(word), value);
		memcpy(&bits, &value, sizeof(bits));
		bits = (bits + half) & mask;
		memcpy(&value, &bits, sizeof(value));
		put_plain(wide, value, bytes + (wide ? 4 : 2) * i);
	}
}

static void draw_all_plain(const struct lm_donors *donors, struct lm_keystream *random,
			   uint64_t first, const uint32_t *at, size_t count, uint8_t *bytes)
{
	struct plain p;

	p.donors = donors;
	p.wide = donors->dtype->bits == 32;
	p.row_end = 0;
	for (size_t i = 0, end; i < count; i = end) {
		const uint64_t from = first + (at == NULL ? i : at[i]), base = from - from % SPAN;
		uint64_t begin = from, last = from;

		for (end = i; end < count; end++) {
			const uint64_t cell = first + (at == NULL ? end : at[end]);

			if (cell - base >= SPAN)
				break;
			last = cell;
		}
		/* Whole steps are made in place. A few cells may be followed by more of the same
		 * step, which is held then. */
		if (last / STEP != begin / STEP) {
			begin -= begin % STEP;
			last = last - last % STEP + STEP - 1;
		}
		lm_keystream_read(random, begin * WORD, p.random + (begin - base) * WORD,
				  (size_t)(last - begin + 1) * WORD);
		draw_plain(&p, base, at == NULL ? first + i : first, at == NULL ? NULL : at + i,
			   end - i, at == NULL ? bytes + (size_t)donors->cell * i : bytes);
	}
}

/* ---- all cells ---- */

void lm_decoy_cells(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		    const uint32_t *at, size_t count, uint8_t *bytes)
{
	bool values = donors->form == LM_DONORS_VALUES;
	size_t each = values && donors->components == 2 ? PAIR : WORD;
	struct batch batch;

	if (is_plain(donors)) {
		draw_all_plain(donors, random, first, at, count, bytes);
		return;
	}
	for (size_t i = 0; i < count;) {
		const size_t from = at == NULL ? i : at[i];

		for (batch.count = 0; i < count; i++) {
			const size_t cell = at == NULL ? i : at[i];

			if (cell - from >= BATCH)
				break;
			batch.cells[batch.count++] = (uint16_t)(cell - from);
		}
		lm_keystream_read(random, (first + from) * each, batch.random,
				  (batch.cells[batch.count - 1] + (size_t)1) * each);
		if (values) {
			draw_values(donors, &batch, first + from);
			store(donors, &batch, bytes + from * donors->cell);
		} else {
			copy_cells(donors, &batch, bytes + from * donors->cell);
		}
	}
}

/* ---- slices ---- */

/* A public slice of the same row or column, half and half; of any place where those have few. */
static const float *pick(const struct lm_donors *donors, uint64_t unit, uint32_t word)
{
	uint32_t from, count, i;

	if (word & 1) {
		uint64_t group = unit / donors->columns / donors->row_group;

		from = donors->row_first[group];
		count = donors->row_first[group + 1] - from;
		i = from + lm_draw_index(word, count);
	} else {
		uint64_t group = unit % donors->columns / donors->column_group;

		from = donors->column_first[group];
		count = donors->column_first[group + 1] - from;
		i = count == 0 ? 0 : donors->by_column[from + lm_draw_index(word, count)];
	}
	if (count < NEIGHBOURS)
		i = lm_draw_index(word, donors->direction_count);
	return donors->directions + (size_t)i * donors->length;
}

/* Most of the mean of the picked directions, and a random combination, N(0, 1)/4 each, of what they
 * are beyond it: the mean and the covariance of the neighbourhood are kept, about. */
static void mix(const struct lm_donors *donors, uint64_t unit, const uint8_t *random,
		double *values)
{
	uint32_t norm_word = lm_get_u32(random + 8 * MIX), spare = lm_get_u32(random + 8 * MIX + 4);
	double square = 0, largest = 0, mean = 0, norm, scale = 1;

	for (uint32_t k = 0; k < donors->length; k++)
		values[k] = 0;
	for (unsigned m = 0; m < MIX; m++)
		mean += lm_draw_weight(lm_get_u32(random + 8 * m + 4)) / MIX;
	for (unsigned m = 0; m < MIX; m++) {
		const float *direction = pick(donors, unit, lm_get_u32(random + 8 * m));
		double w = lm_draw_weight(lm_get_u32(random + 8 * m + 4));

		w = (w - mean) / 4 + MEAN_SHARE / MIX;
		for (uint32_t k = 0; k < donors->length; k++)
			values[k] += w * (double)direction[k];
	}
	for (uint32_t k = 0; k < donors->length; k++)
		square += values[k] * values[k];
	norm = quantile(donors->table, donors->count, norm_word);
	if (donors->row != NULL)
		scale = (double)donors->row[unit / donors->columns / donors->row_group] *
			(double)donors->column[unit % donors->columns / donors->column_group];
	norm = square > 0 ? norm * scale / sqrt(square) : 0;
	for (uint32_t k = 0; k < donors->length; k++) {
		values[k] = norm > 0 ? values[k] * norm : 0; /* no -0 for a pruned slice */
		largest = fmax(largest, fabs(values[k]));
	}
	norm = largest > donors->bound ? donors->bound * lm_draw_upper_half(spare) / largest : 1;
	for (uint32_t k = 0; k < donors->length; k++)
		values[k] = lm_draw_trim(values[k] * norm, donors->keep);
}

/* Whether the bytes are those of a donor. Zeros and other constants are nobody's copy: pruned
 * slices are alike, and the hidden ones must not be the only ones that are not. */
static bool is_copy(const struct lm_donors *donors, const uint8_t *bytes, size_t len)
{
	size_t cell = (size_t)donors->cell;
	uint64_t digest;
	size_t low = 0, high = donors->digest_count;

	if (len / cell < NO_COPY_ELEMENTS || donors->dtype->bits < 16 ||
	    memcmp(bytes, bytes + cell, len - cell) == 0)
		return false;
	digest = lm_donors_digest(bytes, len);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (donors->digests[middle] < digest)
			low = middle + 1;
		else
			high = middle;
	}
	return low < donors->digest_count && donors->digests[low] == digest;
}

static void draw_slice(const struct lm_donors *donors, struct lm_keystream *random, uint64_t unit,
		       const uint8_t *words, double *values, uint8_t *bytes)
{
	size_t len = (size_t)(donors->length / donors->components * donors->cell);
	uint8_t again[DRAW];

	mix(donors, unit, words, values);
	lm_dtype_store(donors->dtype, values, donors->length, bytes);
	for (unsigned i = 0; i < ATTEMPTS && is_copy(donors, bytes, len); i++) {
		lm_keystream_read(random, REDRAWS + (unit * ATTEMPTS + i) * DRAW, again, DRAW);
		mix(donors, unit, again, values);
		lm_dtype_store(donors->dtype, values, donors->length, bytes);
	}
}

void lm_decoy_slices(const struct lm_donors *donors, struct lm_keystream *random, uint64_t first,
		     const uint32_t *at, size_t count, double *scratch, uint8_t *bytes)
{
	size_t len = (size_t)(donors->length / donors->components * donors->cell);
	uint8_t words[DRAW];

	for (size_t k = 0; k < count; k++) {
		const size_t i = at == NULL ? k : at[k];

		lm_keystream_read(random, (first + i) * DRAW, words, DRAW);
		draw_slice(donors, random, first + i, words, scratch, bytes + i * len);
	}
}
