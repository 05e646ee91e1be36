#include "protect/units.h"

#include <float.h>
#include <math.h>

enum { BLOCK_ELEMENTS = 64 };

/* ---- names ---- */

static const char *const names[] = {
	[LM_UNIT_ELEMENT] = "element", [LM_UNIT_SLICE] = "slice", [LM_UNIT_ROW] = "row",
	[LM_UNIT_COLUMN] = "column", [LM_UNIT_BLOCK] = "block", [LM_UNIT_TENSOR] = "tensor",
};

const char *lm_unit_name(enum lm_unit_kind kind)
{
	return (size_t)kind < LM_COUNT(names) ? names[kind] : NULL;
}

bool lm_unit_parse(const char *name, enum lm_unit_kind *kind)
{
	for (size_t i = 0; i < LM_COUNT(names); i++)
		if (strcmp(names[i], name) == 0) {
			*kind = (enum lm_unit_kind)i;
			return true;
		}
	return false;
}

/* ---- geometry ---- */

enum lm_unit_kind lm_unit_default(const struct lm_dtype *dtype, unsigned rank)
{
	if (dtype->block != 1)
		return LM_UNIT_BLOCK;
	return rank <= 2 ? LM_UNIT_ELEMENT : LM_UNIT_SLICE;
}

/* Bytes of one index of the first `dimensions` dimensions; 0 when that is no whole number. */
static uint64_t part_bytes(const struct lm_dtype *dtype, unsigned dimensions, unsigned rank,
			   const uint64_t *shape)
{
	uint64_t bytes;

	if (!lm_dtype_bytes(dtype, rank - dimensions, shape + dimensions, NULL, &bytes))
		return 0;
	return bytes;
}

/* The kind that a tensor of this rank has instead of the one asked for, and its unit's bytes.
 * Elements below one byte may leave a row or a slice with an odd half byte: those have blocks. */
static enum lm_unit_kind fall_back(enum lm_unit_kind kind, const struct lm_dtype *dtype,
				   unsigned rank, const uint64_t *shape, uint64_t bytes,
				   uint64_t *unit_bytes)
{
	const uint64_t block = lm_dtype_is_quantised(dtype) ? dtype->block_bytes :
							      BLOCK_ELEMENTS * dtype->bits / 8;

	if (kind == LM_UNIT_ELEMENT) {
		*unit_bytes = dtype->bits / 8;
		return kind;
	}
	if (kind == LM_UNIT_COLUMN && rank >= 2) {
		*unit_bytes = bytes / shape[rank - 1];
		return kind;
	}
	if (kind == LM_UNIT_SLICE && rank >= 3) {
		*unit_bytes = part_bytes(dtype, 2, rank, shape);
		if (*unit_bytes != 0)
			return kind;
	}
	if ((kind == LM_UNIT_SLICE || kind == LM_UNIT_ROW) && rank >= 2) {
		*unit_bytes = part_bytes(dtype, 1, rank, shape);
		if (*unit_bytes != 0)
			return LM_UNIT_ROW;
	}
	*unit_bytes = block;
	if (kind != LM_UNIT_TENSOR && bytes >= block)
		return LM_UNIT_BLOCK;
	*unit_bytes = bytes;
	return LM_UNIT_TENSOR;
}

int lm_units_make(struct lm_units *units, enum lm_unit_kind kind, const struct lm_dtype *dtype,
		  unsigned rank, const uint64_t *shape, uint64_t bytes, const char *name,
		  struct lmodel_error *error)
{
	struct lm_units u = { .dtype = dtype, .rank = rank, .shape = shape, .bytes = bytes };
	uint64_t expected;

	if (!lm_dtype_bytes(dtype, rank, shape, NULL, &expected) || expected != bytes || bytes == 0)
		return lm_fail(error, LMODEL_EFAILED,
			       "tensor %s: %ju bytes cannot be divided into units", LM_QUOTE(name),
			       (uintmax_t)bytes);
	if (dtype->block != 1 && (kind == LM_UNIT_ELEMENT || kind == LM_UNIT_COLUMN))
		return lm_fail(error, LMODEL_EUSAGE,
			       "tensor %s: elements of type %s have no bytes of their own: no "
			       "units of kind %s, only slice, row and block", LM_QUOTE(name),
			       dtype->name, names[kind]);
	u.kind = fall_back(kind, dtype, rank, shape, bytes, &u.unit_bytes);
	u.element_bytes = dtype->block == 1 ? dtype->block_bytes : 0;
	if (u.kind == LM_UNIT_COLUMN)
		u.columns = u.count = shape[rank - 1];
	else
		u.count = bytes / u.unit_bytes + (bytes % u.unit_bytes != 0);
	*units = u;
	return LMODEL_OK;
}

uint64_t lm_unit_len(const struct lm_units *units, uint64_t unit)
{
	if (units->kind == LM_UNIT_COLUMN || unit + 1 < units->count)
		return units->unit_bytes;
	return units->bytes - unit * units->unit_bytes;
}

/* ---- numbers ---- */

enum number {
	NUMBER_BOOL, NUMBER_U8, NUMBER_I8, NUMBER_U16, NUMBER_I16, NUMBER_U32, NUMBER_I32,
	NUMBER_U64, NUMBER_I64, NUMBER_F32, NUMBER_F64, NUMBER_C64, NUMBER_E8M0, NUMBER_SMALL,
	NUMBER_SCALE, /* of a quantised block */
	NUMBER_NONE,
};

/* What the codes at the top of a float's range mean. */
enum specials {
	IEEE,   /* the highest exponent: infinities and NaNs */
	LAST,   /* only all ones is NaN, of either sign (OCP E4M3) */
	ZERO,   /* only negative zero is NaN (FNUZ) */
	FINITE, /* every code is a number (OCP FP6, FP4) */
};

/* A float of at most 16 bits: sign, exponent, mantissa from the top. */
struct small {
	unsigned exponent, mantissa; /* bits */
	int bias;
	enum specials specials;
};

static const struct small f16 = { 5, 10, 15, IEEE }, bf16 = { 8, 7, 127, IEEE },
			  e4m3 = { 4, 3, 7, LAST }, e5m2 = { 5, 2, 15, IEEE },
			  e4m3fnuz = { 4, 3, 8, ZERO }, e5m2fnuz = { 5, 2, 16, ZERO },
			  e2m3 = { 2, 3, 1, FINITE }, e3m2 = { 3, 2, 3, FINITE },
			  e2m1 = { 2, 1, 1, FINITE };

static enum number small(const struct small **format, const struct small *s)
{
	*format = s;
	return NUMBER_SMALL;
}

/* Called for every few elements, so without comparing all the names of base/dtype.c. */
static enum number number_of(const struct lm_dtype *d, const struct small **format)
{
	bool isunsigned = d->name[0] == 'U';

	if (d->bits == 0)
		return d->scale < 0 ? NUMBER_NONE : NUMBER_SCALE;
	if (d->name[0] == 'V')
		return NUMBER_NONE;
	if (d->name[0] == 'U' || d->name[0] == 'I')
		switch (d->bits) {
		case 8: return isunsigned ? NUMBER_U8 : NUMBER_I8;
		case 16: return isunsigned ? NUMBER_U16 : NUMBER_I16;
		case 32: return isunsigned ? NUMBER_U32 : NUMBER_I32;
		default: return isunsigned ? NUMBER_U64 : NUMBER_I64;
		}
	if (d->name[0] == 'B')
		return d->bits == 8 ? NUMBER_BOOL : small(format, &bf16);
	if (d->name[0] == 'C')
		return NUMBER_C64;
	switch (d->bits) {
	case 4: return small(format, &e2m1);
	case 6: return small(format, d->name[4] == '2' ? &e2m3 : &e3m2);
	case 16: return small(format, &f16);
	case 32: return NUMBER_F32;
	case 64: return NUMBER_F64;
	default: break;
	}
	if (d->name[4] == '8')
		return NUMBER_E8M0;
	if (d->name[4] == '4')
		return small(format, d->name[7] == '\0' ? &e4m3 : &e4m3fnuz);
	return small(format, d->name[7] == '\0' ? &e5m2 : &e5m2fnuz);
}

bool lm_dtype_is_float(const struct lm_dtype *dtype)
{
	const struct small *format;
	enum number n = number_of(dtype, &format);

	return lm_dtype_is_quantised(dtype) || n == NUMBER_F32 || n == NUMBER_F64 ||
	       n == NUMBER_C64 || n == NUMBER_E8M0 || n == NUMBER_SMALL;
}

static inline uint16_t load2(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline double load_f32(const uint8_t *p)
{
	float v;

	memcpy(&v, p, sizeof(v));
	return (double)v;
}

static inline double load_f64(const uint8_t *p)
{
	double v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline double from_bits(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline uint64_t to_bits(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

/* 2^n, for a normal double. */
static inline double power_of_two(int n)
{
	return from_bits((uint64_t)(n + 1023) << 52);
}

/* ---- reading ---- */

static inline double decode_small(const struct small *s, unsigned code)
{
	const unsigned body = code & ((1u << (s->exponent + s->mantissa)) - 1);
	const unsigned negative = code >> (s->exponent + s->mantissa);
	const unsigned exponent = body >> s->mantissa, top = (1u << s->exponent) - 1;
	uint64_t bits;

	if (s->specials == IEEE && exponent == top)
		bits = (uint64_t)0x7ff << 52 | (uint64_t)(body & ((1u << s->mantissa) - 1)) << 42;
	else if ((s->specials == LAST && body == (1u << (s->exponent + s->mantissa)) - 1) ||
		 (s->specials == ZERO && negative && body == 0))
		bits = (uint64_t)0x7ff8 << 48;
	else if (exponent == 0)
		bits = to_bits(body * power_of_two(1 - s->bias - (int)s->mantissa));
	else
		bits = ((uint64_t)body << (52 - s->mantissa)) + ((uint64_t)(1023 - s->bias) << 52);
	return from_bits(bits | (uint64_t)negative << 63);
}

/* Bits of element `i` where elements are smaller than a byte: packed from the low bits up. */
static inline unsigned packed(const uint8_t *bytes, unsigned bits, uint64_t i)
{
	uint64_t at = i * bits;
	unsigned shift = at % 8, v = bytes[at / 8];

	if (shift + bits > 8)
		v |= (unsigned)bytes[at / 8 + 1] << 8;
	return v >> shift & ((1u << bits) - 1);
}

static void values_small(const struct small *s, unsigned bits, const uint8_t *bytes, uint64_t first,
			 size_t n, double *out)
{
	const struct small format = *s;

	if (bits == 16)
		for (size_t i = 0; i < n; i++)
			out[i] = decode_small(&format, load2(bytes + 2 * (first + i)));
	else if (bits == 8)
		for (size_t i = 0; i < n; i++)
			out[i] = decode_small(&format, bytes[first + i]);
	else
		for (size_t i = 0; i < n; i++)
			out[i] = decode_small(&format, packed(bytes, bits, first + i));
}

static double load_e8m0(uint8_t code)
{
	return code == 0xff ? (double)NAN : power_of_two(code - 127);
}

size_t lm_dtype_values(const struct lm_dtype *dtype, const uint8_t *bytes, uint64_t first, size_t n,
		       double *out)
{
	const struct small *format = NULL;
	const enum number number = number_of(dtype, &format);

	if (number == NUMBER_SMALL) {
		values_small(format, dtype->bits, bytes, first, n, out);
		return n;
	}
	bytes += first * (lm_dtype_number_bits(dtype) / 8);
	if (number == NUMBER_C64)
		n *= 2;
#define EACH(expression)                       \
	for (size_t i = 0; i < n; i++)         \
		out[i] = (double)(expression); \
	break
	switch (number) {
	case NUMBER_BOOL: EACH(bytes[i] != 0);
	case NUMBER_U8: EACH(bytes[i]);
	case NUMBER_I8: EACH((int8_t)bytes[i]);
	case NUMBER_U16: EACH(load2(bytes + 2 * i));
	case NUMBER_I16: EACH((int16_t)load2(bytes + 2 * i));
	case NUMBER_U32: EACH(lm_get_u32(bytes + 4 * i));
	case NUMBER_I32: EACH((int32_t)lm_get_u32(bytes + 4 * i));
	case NUMBER_U64: EACH(lm_get_u64(bytes + 8 * i));
	case NUMBER_I64: EACH((int64_t)lm_get_u64(bytes + 8 * i));
	case NUMBER_F64: EACH(load_f64(bytes + 8 * i));
	case NUMBER_E8M0: EACH(load_e8m0(bytes[i]));
	case NUMBER_F32:
	case NUMBER_C64: EACH(load_f32(bytes + 4 * i));
	case NUMBER_SCALE:
		EACH(decode_small(&f16, load2(bytes + i * dtype->block_bytes +
					      (size_t)dtype->scale)));
	case NUMBER_NONE: EACH(0);
	case NUMBER_SMALL: break;
	}
#undef EACH
	return n;
}

void lm_dtype_magnitudes(const struct lm_dtype *dtype, const uint8_t *bytes, uint64_t first,
			 size_t n, double *out)
{
	enum { PIECE = 128 };

	if (dtype->name[0] != 'C') {
		lm_dtype_values(dtype, bytes, first, n, out);
		for (size_t i = 0; i < n; i++)
			out[i] = isnan(out[i]) ? (double)INFINITY : fabs(out[i]);
		return;
	}
	for (size_t done = 0; done < n;) {
		size_t piece = LM_MIN(n - done, (size_t)PIECE);
		double parts[2 * PIECE];

		lm_dtype_values(dtype, bytes, first + done, piece, parts);
		/* Floats: their squares neither overflow nor vanish as doubles. */
		for (size_t i = 0; i < piece; i++) {
			double re = parts[2 * i], im = parts[2 * i + 1];
			double v = sqrt(re * re + im * im);

			out[done + i] = isnan(v) ? (double)INFINITY : v;
		}
		done += piece;
	}
}

/* ---- writing ---- */

/* v / 2^shift, to nearest even; shift 1 to 63. */
static inline uint64_t round_shift(uint64_t v, unsigned shift)
{
	return (v + ((uint64_t)1 << (shift - 1)) - 1 + (v >> shift & 1)) >> shift;
}

static unsigned encode_small(const struct small *s, double v)
{
	const uint64_t bits = to_bits(v), body = bits & (UINT64_MAX >> 1);
	const unsigned all = (1u << (s->exponent + s->mantissa)) - 1;
	const unsigned largest = s->specials == IEEE ? all - (1u << s->mantissa) :
				 s->specials == LAST ? all - 1 : all;
	const int exponent = (int)(body >> 52) - 1023;
	const unsigned width = 52 - s->mantissa;
	uint64_t code;

	if (exponent >= 1 - s->bias) {
		code = round_shift(body, width) - ((uint64_t)(1023 - s->bias) << s->mantissa);
	} else {
		uint64_t mantissa = (body & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
		unsigned shift = width + (unsigned)(1 - s->bias - exponent);

		/* From 54 on it is less than half of the smallest number. */
		code = shift >= 54 ? 0 : round_shift(mantissa, shift);
	}
	if (code > largest)
		code = largest;
	if (code == 0 && s->specials == ZERO)
		return 0;
	return (unsigned)code | (unsigned)(bits >> 63) << (s->exponent + s->mantissa);
}

/* Powers of two from 2^-127 to 2^127: zero and what is negative has no other neighbour than the
 * smallest. */
static uint8_t encode_e8m0(double v)
{
	uint64_t code;

	if (v < power_of_two(-127))
		return 0;
	code = round_shift(to_bits(v), 52) - (1023 - 127);
	return (uint8_t)LM_MIN(code, (uint64_t)254);
}

static float encode_f32(double v)
{
	if (fabs(v) >= (double)FLT_MAX)
		return v < 0 ? -FLT_MAX : FLT_MAX;
	return (float)v;
}

static uint64_t encode_signed(double v, unsigned bits)
{
	const double end = power_of_two((int)bits - 1);

	v = rint(v);
	if (v >= end)
		return ((uint64_t)1 << (bits - 1)) - 1;
	return (uint64_t)(int64_t)LM_MAX(v, -end);
}

static uint64_t encode_unsigned(double v, unsigned bits)
{
	v = rint(v);
	if (v >= power_of_two((int)bits))
		return UINT64_MAX >> (64 - bits);
	return v <= 0 ? 0 : (uint64_t)v;
}

static uint64_t encode(enum number number, const struct small *format, unsigned bits, double v)
{
	uint32_t word;
	float single;

	switch (number) {
	case NUMBER_BOOL:
		return rint(v) > 0;
	case NUMBER_SMALL:
		return encode_small(format, v);
	case NUMBER_E8M0:
		return encode_e8m0(v);
	case NUMBER_F64:
		return to_bits(v);
	case NUMBER_F32:
	case NUMBER_C64:
		single = encode_f32(v);
		memcpy(&word, &single, sizeof(word));
		return word;
	case NUMBER_I8:
	case NUMBER_I16:
	case NUMBER_I32:
	case NUMBER_I64:
		return encode_signed(v, bits);
	default:
		return encode_unsigned(v, bits);
	}
}

void lm_dtype_store(const struct lm_dtype *dtype, const double *values, size_t n, uint8_t *bytes)
{
	const struct small *format = NULL;
	const enum number number = number_of(dtype, &format);
	const unsigned bits = number == NUMBER_C64 ? 32 : dtype->bits;

	if (bits % 8 != 0 || number == NUMBER_SCALE || number == NUMBER_NONE)
		return;
	for (size_t i = 0; i < n; i++) {
		double v = isnan(values[i]) ? 0 : values[i];
		uint8_t word[8];

		if (isinf(v))
			v = v < 0 ? -DBL_MAX : DBL_MAX;
		lm_put_u64(word, encode(number, format, bits, v));
		memcpy(bytes + i * (bits / 8), word, bits / 8);
	}
}
