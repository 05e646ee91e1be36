/* protect/units.c: dividing tensors, and the numbers in them. */
#include "protect/units.h"

#include <float.h>
#include <math.h>

#include "lib/tap.h"

static const struct lm_dtype *type(const char *name)
{
	const struct lm_dtype *d = lm_dtype_find(name);

	if (d == NULL)
		abort();
	return d;
}

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* ---- geometry ---- */

static void test_names(void)
{
	static const char *const names[] = {
		"element", "slice", "row", "column", "block", "tensor",
	};
	enum lm_unit_kind kind;
	unsigned bad = 0;

	for (size_t i = 0; i < LM_COUNT(names); i++) {
		bad += strcmp(lm_unit_name((enum lm_unit_kind)i), names[i]) != 0;
		bad += !lm_unit_parse(names[i], &kind) || (size_t)kind != i;
	}
	is_int(bad, 0, "names: there and back");
	ok(!lm_unit_parse("", &kind) && !lm_unit_parse("rows", &kind) &&
	   !lm_unit_parse("Row", &kind), "names: no others");
	ok(lm_unit_name((enum lm_unit_kind)6) == NULL, "names: no kind, no name");
}

static void test_default(void)
{
	is_int(lm_unit_default(type("F16"), 0), LM_UNIT_ELEMENT, "default: scalar");
	is_int(lm_unit_default(type("F16"), 2), LM_UNIT_ELEMENT, "default: matrix");
	is_int(lm_unit_default(type("F16"), 3), LM_UNIT_SLICE, "default: rank 3");
	is_int(lm_unit_default(type("F4"), 2), LM_UNIT_BLOCK, "default: below one byte");
	is_int(lm_unit_default(type("F6_E2M3"), 4), LM_UNIT_BLOCK,
	       "default: below one byte, rank 4");
}

struct geometry {
	enum lm_unit_kind asked;
	const char *dtype;
	unsigned rank;
	uint64_t shape[5];
	enum lm_unit_kind kind;
	uint64_t count, unit_bytes, last;
};

static const struct geometry geometries[] = {
	{ LM_UNIT_ELEMENT, "F32", 0, { 0 }, LM_UNIT_ELEMENT, 1, 4, 4 },
	{ LM_UNIT_ELEMENT, "C64", 3, { 2, 3, 4 }, LM_UNIT_ELEMENT, 24, 8, 8 },
	{ LM_UNIT_SLICE, "F16", 4, { 8, 3, 3, 5 }, LM_UNIT_SLICE, 24, 30, 30 },
	{ LM_UNIT_SLICE, "F16", 4, { 8, 3, 1, 1 }, LM_UNIT_SLICE, 24, 2, 2 },
	{ LM_UNIT_SLICE, "F16", 3, { 1, 1, 3 }, LM_UNIT_SLICE, 1, 6, 6 },
	{ LM_UNIT_SLICE, "F16", 2, { 8, 30 }, LM_UNIT_ROW, 8, 60, 60 },
	{ LM_UNIT_SLICE, "F16", 1, { 130 }, LM_UNIT_BLOCK, 3, 128, 4 },
	{ LM_UNIT_SLICE, "F16", 1, { 63 }, LM_UNIT_TENSOR, 1, 126, 126 },
	{ LM_UNIT_ROW, "F64", 2, { 1, 3 }, LM_UNIT_ROW, 1, 24, 24 },
	{ LM_UNIT_ROW, "U8", 4, { 5, 2, 3, 4 }, LM_UNIT_ROW, 5, 24, 24 },
	{ LM_UNIT_ROW, "U8", 1, { 64 }, LM_UNIT_BLOCK, 1, 64, 64 },
	{ LM_UNIT_ROW, "U8", 0, { 0 }, LM_UNIT_TENSOR, 1, 1, 1 },
	{ LM_UNIT_COLUMN, "BF16", 2, { 4, 6 }, LM_UNIT_COLUMN, 6, 8, 8 },
	{ LM_UNIT_COLUMN, "BF16", 2, { 1, 6 }, LM_UNIT_COLUMN, 6, 2, 2 },
	{ LM_UNIT_COLUMN, "BF16", 3, { 4, 5, 6 }, LM_UNIT_COLUMN, 6, 40, 40 },
	{ LM_UNIT_COLUMN, "BF16", 1, { 65 }, LM_UNIT_BLOCK, 2, 128, 2 },
	{ LM_UNIT_BLOCK, "F32", 2, { 10, 10 }, LM_UNIT_BLOCK, 2, 256, 144 },
	{ LM_UNIT_BLOCK, "F32", 0, { 0 }, LM_UNIT_TENSOR, 1, 4, 4 },
	{ LM_UNIT_BLOCK, "F4", 1, { 66 }, LM_UNIT_BLOCK, 2, 32, 1 },
	{ LM_UNIT_BLOCK, "F6_E3M2", 1, { 132 }, LM_UNIT_BLOCK, 3, 48, 3 },
	{ LM_UNIT_BLOCK, "F6_E3M2", 1, { 60 }, LM_UNIT_TENSOR, 1, 45, 45 },
	{ LM_UNIT_ROW, "F4", 2, { 4, 8 }, LM_UNIT_ROW, 4, 4, 4 },
	{ LM_UNIT_ROW, "F4", 2, { 40, 5 }, LM_UNIT_BLOCK, 4, 32, 4 },
	{ LM_UNIT_ROW, "F4", 2, { 4, 5 }, LM_UNIT_TENSOR, 1, 10, 10 },
	{ LM_UNIT_SLICE, "F4", 3, { 4, 2, 3 }, LM_UNIT_ROW, 4, 3, 3 },
	{ LM_UNIT_SLICE, "F6_E2M3", 3, { 4, 2, 4 }, LM_UNIT_SLICE, 8, 3, 3 },
	{ LM_UNIT_TENSOR, "F32", 2, { 100, 100 }, LM_UNIT_TENSOR, 1, 40000, 40000 },
};

static void test_geometry(void)
{
	for (size_t i = 0; i < LM_COUNT(geometries); i++) {
		const struct geometry *g = &geometries[i];
		const struct lm_dtype *d = type(g->dtype);
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_units u = { 0 };
		uint64_t bytes, sum = 0;

		if (!lm_dtype_bytes(d, g->rank, g->shape, NULL, &bytes))
			abort();
		if (!ok(lm_units_make(&u, g->asked, d, g->rank, g->shape, bytes, "t", &error) ==
			LMODEL_OK && u.kind == g->kind && u.count == g->count &&
			u.unit_bytes == g->unit_bytes && lm_unit_len(&u, u.count - 1) == g->last &&
			u.element_bytes == (d->bits % 8 ? 0 : d->bits / 8) && u.bytes == bytes &&
			u.dtype == d && u.rank == g->rank && u.shape == g->shape &&
			u.columns == (g->kind == LM_UNIT_COLUMN ? g->count : 0) &&
			lm_units_contiguous(&u) == (g->kind != LM_UNIT_COLUMN),
			"units of %s, rank %u: %s gives %s", g->dtype, g->rank,
			lm_unit_name(g->asked), lm_unit_name(g->kind)))
			printf("#   %s %ju x %ju\n", lm_unit_name(u.kind), (uintmax_t)u.count,
			       (uintmax_t)u.unit_bytes);
		for (uint64_t unit = 0; unit < u.count; unit++)
			sum += lm_unit_len(&u, unit);
		is_int((intmax_t)sum, (intmax_t)bytes, "... its units hold all bytes");
	}
}

static void refused(enum lm_unit_kind kind, const char *dtype, uint64_t length, uint64_t bytes,
		    enum lmodel_code code, const char *part)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_units u;

	is_int(lm_units_make(&u, kind, type(dtype), 1, &length, bytes, "a\nb", &error), code, part);
	is_error(&error, code, part, "... says so");
}

static void test_refused(void)
{
	refused(LM_UNIT_ELEMENT, "F4", 100, 50, LMODEL_EUSAGE, "no bytes of their own");
	refused(LM_UNIT_COLUMN, "F6_E2M3", 100, 75, LMODEL_EUSAGE, "units of kind column");
	refused(LM_UNIT_ELEMENT, "F32", 100, 396, LMODEL_EFAILED, "cannot be divided");
	refused(LM_UNIT_ELEMENT, "F32", 0, 0, LMODEL_EFAILED, "cannot be divided");
	refused(LM_UNIT_ELEMENT, "F32", UINT64_MAX, 4, LMODEL_EFAILED, "tensor 'a\\nb':");
}

/* ---- numbers ---- */

static const char *const all_types[] = {
	"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64",
	"C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2",
	"F4",
};

/* A code's value by the definitions of the formats, with nothing in common with the code under
 * test: sign * 2^(exponent - bias) * (hidden + mantissa / 2^bits). */
static double defined(const char *name, unsigned code)
{
	static const struct {
		const char *name;
		int exponent, mantissa, bias;
	} formats[] = {
		{ "F16", 5, 10, 15 }, { "BF16", 8, 7, 127 }, { "F8_E4M3", 4, 3, 7 },
		{ "F8_E5M2", 5, 2, 15 }, { "F8_E4M3FNUZ", 4, 3, 8 }, { "F8_E5M2FNUZ", 5, 2, 16 },
		{ "F6_E2M3", 2, 3, 1 }, { "F6_E3M2", 3, 2, 3 }, { "F4", 2, 1, 1 },
	};

	if (strcmp(name, "F8_E8M0") == 0)
		return code == 255 ? (double)NAN : ldexp(1, (int)code - 127);
	for (size_t i = 0; i < LM_COUNT(formats); i++) {
		int e = formats[i].exponent, m = formats[i].mantissa;
		int exponent = (int)(code >> m) % (1 << e), mantissa = (int)code % (1 << m);
		double sign = code >> (e + m) ? -1 : 1;
		double fraction = mantissa / pow(2, m);

		if (strcmp(formats[i].name, name) != 0)
			continue;
		if (strcmp(name, "F8_E4M3") == 0 && (code == 0x7f || code == 0xff))
			return (double)NAN;
		if (strstr(name, "FNUZ") != NULL && code == 0x80)
			return (double)NAN;
		if ((e == 5 || e == 8) && strstr(name, "FNUZ") == NULL && exponent == (1 << e) - 1)
			return mantissa ? (double)NAN : sign * (double)INFINITY;
		if (exponent == 0)
			return sign * fraction * pow(2, 1 - formats[i].bias);
		return sign * (1 + fraction) * pow(2, exponent - formats[i].bias);
	}
	abort();
}

static bool same(double a, double b)
{
	return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* Every code of a type of at most 16 bits: its value, its magnitude, and back. */
static void test_codes(const char *name)
{
	const struct lm_dtype *d = type(name);
	unsigned codes = 1u << d->bits, values = 0, magnitudes = 0, stored = 0;

	for (unsigned code = 0; code < codes; code++) {
		uint8_t bytes[4] = { 0xee, 0xee, (uint8_t)code, (uint8_t)(code >> 8) };
		uint8_t back[2] = { 0 };
		double want = defined(name, code), value = -77, magnitude = -77;
		uint64_t first = d->bits == 16 ? 1 : 2;

		values += lm_dtype_values(d, bytes, first, 1, &value) != 1 || !same(value, want);
		lm_dtype_magnitudes(d, bytes, first, 1, &magnitude);
		magnitudes += !same(magnitude, isnan(want) ? (double)INFINITY : fabs(want));
		lm_dtype_store(d, &value, 1, back);
		if (isfinite(want)) {
			stored += memcmp(back, bytes + 2, d->bits / 8) != 0;
		} else {
			lm_dtype_values(d, back, 0, 1, &value);
			/* NaN becomes 0, or what is nearest to it */
			stored += !isfinite(value) || (isnan(want) && value > 0x1p-127);
		}
	}
	is_int(values, 0, name);
	is_int(magnitudes, 0, "... magnitudes");
	is_int(stored, 0, "... stored again: the same bits, and never what is not finite");
}

static void test_packed(const char *name)
{
	const struct lm_dtype *d = type(name);
	enum { N = 256 };
	uint8_t bytes[N] = { 0 };
	uint8_t codes[N];
	unsigned bad = 0, size = N * d->bits / 8;
	LM_FREE uint8_t *exact = malloc(size);
	double got[N];

	for (unsigned i = 0; i < N; i++) {
		codes[i] = (uint8_t)((i < 64 ? i : next_random()) % (1u << d->bits));
		for (unsigned b = 0; b < d->bits; b++)
			if (codes[i] >> b & 1)
				bytes[(i * d->bits + b) / 8] |=
					(uint8_t)(1 << (i * d->bits + b) % 8);
	}
	if (exact == NULL)
		abort();
	memcpy(exact, bytes, size);
	for (unsigned first = 0; first < N; first++) {
		bad += lm_dtype_values(d, exact, first, N - first, got) != N - first;
		for (unsigned i = first; i < N; i++)
			bad += !same(got[i - first], defined(name, codes[i]));
		lm_dtype_magnitudes(d, exact, first, N - first, got);
		for (unsigned i = first; i < N; i++)
			bad += !same(got[i - first], fabs(defined(name, codes[i])));
	}
	is_int(bad, 0, name);
	memset(bytes, 0x5a, sizeof(bytes));
	lm_dtype_store(d, got, 8, bytes);
	is_int(bytes[0], 0x5a, "... is not stored");
}

/* Against the nearest of all finite values, ties to the even code. */
static unsigned nearest(const char *name, unsigned codes, double v)
{
	unsigned best = 0;
	double distance = (double)INFINITY;

	for (unsigned code = 0; code < codes; code++) {
		double value = defined(name, code);

		if (!isfinite(value) || (signbit(value) != signbit(v) && value != 0))
			continue;
		if (value == 0 && signbit(value) != signbit(v) && strstr(name, "FNUZ") == NULL)
			continue;
		if (fabs(v - value) < distance || (fabs(v - value) == distance && code % 2 == 0)) {
			distance = fabs(v - value);
			best = code;
		}
	}
	return best;
}

static void test_rounding(const char *name, double scale)
{
	const struct lm_dtype *d = type(name);
	unsigned codes = 1u << d->bits, bad = 0;
	bool minus = strcmp(name, "F8_E8M0") != 0;

	for (unsigned i = 0; i < 5000; i++) {
		double v = ldexp((double)(next_random() >> 40), -(int)(next_random() % 60)) * scale;
		uint8_t code;

		if (i % 2) {
			/* just between two neighbours, and a little off */
			unsigned c = (unsigned)next_random() % (codes / 2 - 1);

			v = (defined(name, c) + defined(name, c + 1)) / 2;
			if (!isfinite(v))
				continue;
			v = i % 8 == 1 ? nextafter(v, 0) : i % 8 == 3 ? nextafter(v, 1e300) : v;
		}
		if (minus && next_random() % 2)
			v = -v;
		lm_dtype_store(d, &v, 1, &code);
		if (code != nearest(name, codes, v) && bad++ == 0)
			printf("#   %s: %a gives %#x, not %#x\n", name, v, code,
			       nearest(name, codes, v));
	}
	is_int(bad, 0, name);
}

/* 16 bits: a tie between neighbours goes to the even code, anything else to the nearer one. */
static void test_rounding16(const char *name)
{
	const struct lm_dtype *d = type(name);
	unsigned bad = 0;

	for (unsigned c = 0; c < 0x7fff && isfinite(defined(name, c + 1)); c++) {
		double tie = (defined(name, c) + defined(name, c + 1)) / 2;
		double v[3] = { tie, nextafter(tie, 0), -nextafter(tie, 1e300) };
		uint8_t out[6];

		lm_dtype_store(d, v, 3, out);
		bad += (unsigned)(out[0] | out[1] << 8) != c + c % 2;
		bad += (unsigned)(out[2] | out[3] << 8) != c;
		bad += (unsigned)(out[4] | out[5] << 8) != ((c + 1) | 0x8000u);
	}
	is_int(bad, 0, name);
}

/* Whatever is stored can be read, is finite and keeps to the side of zero it was on. */
static void test_saturation(void)
{
	static const double hard[] = {
		(double)INFINITY, -(double)INFINITY, (double)NAN, -(double)NAN, DBL_MAX, -DBL_MAX,
		1e39, -1e39, 65520, -65520, 5e-324, -5e-324, 0.0, -0.0, 18446744073709551616.0,
		9223372036854775808.0, -9223372036854775808.0, 3.4028235677973366e38, 1e-300,
		-1e-300, 255.5, 127.5, -128.5, 464, 465, 57344.5, 61440,
	};
	enum { N = LM_COUNT(hard) };

	for (size_t t = 0; t < LM_COUNT(all_types); t++) {
		const struct lm_dtype *d = type(all_types[t]);
		uint8_t bytes[8 * N];
		double back[2 * N];
		unsigned bad = 0, n = N;

		if (d->bits % 8 != 0)
			continue;
		lm_dtype_store(d, hard, N, bytes);
		if (strcmp(d->name, "C64") == 0)
			n--; /* of an odd number of parts the last is no complex number */
		lm_dtype_values(d, bytes, 0, n == N ? N : n / 2, back);
		for (unsigned i = 0; i < n; i++)
			bad += !isfinite(back[i]) || (hard[i] > 0 && back[i] < 0) ||
			       (hard[i] < 0 && back[i] > 0 && strcmp(d->name, "F8_E8M0") != 0);
		is_int(bad, 0, d->name);
	}
}

static void stores(const char *name, double v, uint64_t want)
{
	uint8_t bytes[8] = { 0 };

	lm_dtype_store(type(name), &v, 1, bytes);
	if (!ok(lm_get_u64(bytes) == want, "%s: %g is stored as %#jx", name, v, (uintmax_t)want))
		printf("#   got %#jx\n", (uintmax_t)lm_get_u64(bytes));
}

static void test_stores(void)
{
	stores("F16", 1e6, 0x7bff);
	stores("F16", 65519, 0x7bff);
	stores("F16", 65520, 0x7bff);
	stores("BF16", -1e300, 0xff7f);
	stores("BF16", 1, 0x3f80);
	stores("F8_E4M3", 1e9, 0x7e);
	stores("F8_E5M2", (double)-INFINITY, 0xfb);
	stores("F8_E4M3FNUZ", -1e-20, 0);
	stores("F8_E4M3FNUZ", -1e9, 0xff);
	stores("F8_E5M2FNUZ", -0.0, 0);
	stores("F8_E8M0", 0, 0);
	stores("F8_E8M0", -4, 0);
	stores("F8_E8M0", 4, 129);
	stores("F8_E8M0", 1e300, 254);
	stores("F32", 1e300, 0x7f7fffff);
	stores("F32", (double)NAN, 0);
	stores("F32", 1 + 0x1p-24, 0x3f800000);
	stores("F32", 1 + 0x3p-24, 0x3f800002);
	stores("F64", (double)INFINITY, 0x7fefffffffffffff);
	stores("F64", -1, 0xbff0000000000000);
	stores("I8", 127.6, 0x7f);
	stores("I8", -1000, 0x80);
	stores("I8", 2.5, 2);
	stores("I8", -3.5, 0xfc);
	stores("U8", -3, 0);
	stores("U8", 255.5, 0xff);
	stores("I16", 40000, 0x7fff);
	stores("U16", 65534.6, 0xffff);
	stores("I32", -3e9, 0x80000000);
	stores("U32", 4294967295.0, 0xffffffff);
	stores("I64", 1e19, 0x7fffffffffffffff);
	stores("I64", -1e19, 0x8000000000000000);
	stores("U64", 1e20, UINT64_MAX);
	stores("U64", 9223372036854775808.0, 0x8000000000000000);
	stores("BOOL", 0.4, 0);
	stores("BOOL", 7, 1);
}

static void reads(const char *name, uint64_t code, double want)
{
	uint8_t bytes[16];
	double v = -77;

	lm_put_u64(bytes + 8, code);
	lm_dtype_values(type(name), bytes, 64 / type(name)->bits, 1, &v);
	ok(same(v, want), "%s: %#jx is %g", name, (uintmax_t)code, want);
}

static void test_reads(void)
{
	reads("BOOL", 2, 1);
	reads("BOOL", 0, 0);
	reads("U8", 0xff, 255);
	reads("I8", 0xff, -1);
	reads("U16", 0x8000, 32768);
	reads("I16", 0x8000, -32768);
	reads("U32", 0x80000001, 2147483649.0);
	reads("I32", 0x80000000, -2147483648.0);
	reads("U64", (uint64_t)1 << 63, 9223372036854775808.0);
	reads("I64", (uint64_t)1 << 63, -9223372036854775808.0);
	reads("F32", 0x40490fdb, (double)0x1.921fb6p1f);
	reads("F32", 1, 0x1p-149);
	reads("F64", 0x3ff8000000000000, 1.5);
	reads("F32", 0x7fc00000, (double)NAN);
}

static void test_complex(void)
{
	enum { N = 300 };
	double parts[2 * N], back[2 * N], magnitudes[N];
	uint8_t bytes[8 * N];
	unsigned bad = 0;

	for (int i = 0; i < N; i++) {
		parts[2 * i] = 3 * (i - 100);
		parts[2 * i + 1] = -4 * (i - 100);
	}
	lm_dtype_store(type("C64"), parts, LM_COUNT(parts), bytes);
	is_int((intmax_t)lm_dtype_values(type("C64"), bytes, 1, N - 1, back), 2 * (N - 1),
	       "complex: two components an element");
	for (int i = 0; i < 2 * (N - 1); i++)
		bad += back[i] != parts[i + 2];
	lm_dtype_magnitudes(type("C64"), bytes, 1, N - 1, magnitudes);
	for (int i = 1; i < N; i++)
		bad += magnitudes[i - 1] != 5 * abs(i - 100);
	is_int(bad, 0, "complex: components and moduli");
	lm_put_u32(bytes + 4, 0x7fc00000);
	lm_dtype_magnitudes(type("C64"), bytes, 0, 1, magnitudes);
	ok(isinf(magnitudes[0]) && magnitudes[0] > 0, "complex: NaN has magnitude +Inf");
}

static void test_is_float(void)
{
	unsigned bad = 0;

	for (size_t i = 0; i < LM_COUNT(all_types); i++)
		bad += lm_dtype_is_float(type(all_types[i])) != (i >= 9);
	is_int(bad, 0, "which types are floating");
}

int main(void)
{
	static const char *const eight[] = { "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ",
					     "F8_E5M2FNUZ" };

	test_names();
	test_default();
	test_geometry();
	test_refused();
	test_codes("F16");
	test_codes("BF16");
	for (size_t i = 0; i < LM_COUNT(eight); i++) {
		test_codes(eight[i]);
		test_rounding(eight[i], 0x1p-10);
	}
	test_rounding16("F16");
	test_rounding16("BF16");
	test_packed("F6_E2M3");
	test_packed("F6_E3M2");
	test_packed("F4");
	test_saturation();
	test_stores();
	test_reads();
	test_complex();
	test_is_float();
	return done();
}
