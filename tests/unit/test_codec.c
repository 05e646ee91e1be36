/* The codec (spec: 5): round trips, sizes, choices. Strict decoding: test_chunk_decode.c. */
#include "codec/codec.h"
#include "lib/tap.h"

#define MIB ((size_t)1 << 20)

static struct lm_codec *codec;
static uint64_t state;

static uint64_t next_random(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (state ^ state >> 33) * UINT64_C(0xff51afd7ed558ccd) >> 11;
}

/* Normal within the accuracy that sizes need: a sum of twelve uniforms. */
static float next_weight(void)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += (double)next_random() / 9007199254740992.0;
	return (float)(0.02 * sum);
}

static uint16_t to_bf16(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void fill_random(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)next_random();
}

static void fill_bf16(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 2 <= len; i += 2) {
		uint16_t word = to_bf16(next_weight());

		memcpy(out + i, &word, 2);
	}
}

static void fill_f32(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		float word = next_weight();

		memcpy(out + i, &word, 4);
	}
}

static void fill_widened(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4)
		lm_put_u32(out + i, (uint32_t)to_bf16(next_weight()) << 16);
}

/* Some of them over 2 in magnitude: the top bit of their exponents is set. */
static void fill_outliers(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 2 <= len; i += 2) {
		uint16_t word = to_bf16(next_weight() * (next_random() % 2000 == 0 ? 200 : 1));

		memcpy(out + i, &word, 2);
	}
}

static void fill_f64(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		double word = (double)next_weight() * (1 + (double)next_random() * 1e-20);

		memcpy(out + i, &word, 8);
	}
}

static void fill_ids(uint8_t *out, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8)
		lm_put_u64(out + i, next_random() % 32000);
}

static void fill_constant(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(0x11 * (1 + i % 8));
}

/* Sixteen different rows of 4 KiB of noise, in no order. */
static void fill_rows(uint8_t *out, size_t len)
{
	static uint8_t rows[16][4096];

	fill_random(rows[0], sizeof(rows));
	for (size_t at = 0; at < len; at += sizeof(rows[0]))
		memcpy(out + at, rows[next_random() % 16], LM_MIN(sizeof(rows[0]), len - at));
}

static void fill_text(uint8_t *out, size_t len)
{
	static const char *const parts[] = { "model.layers.", "weight", "self_attn.", "bias ", "12",
					     "the quick ", "brown fox\n", "mlp.down_proj" };
	size_t at = 0;

	while (at < len) {
		const char *part = parts[next_random() % LM_COUNT(parts)];
		size_t n = LM_MIN(strlen(part), len - at);

		memcpy(out + at, part, n);
		at += n;
	}
}

static void fill_sparse(uint8_t *out, size_t len)
{
	fill_bf16(out, len);
	for (size_t i = 0; i + 2 <= len; i += 2)
		if (next_random() % 100 < 95)
			memset(out + i, 0, 2);
}

/* Words of a small codebook, whose planes say nothing of one another. */
static void fill_codebook(uint8_t *out, size_t len)
{
	static uint8_t book[16][4];

	fill_random(book[0], sizeof(book));
	for (size_t i = 0; i + 4 <= len; i += 4)
		memcpy(out + i, book[next_random() % 16], 4);
}

static const struct kind {
	const char *name;
	const char *coding; /* what such data has */
	void (*fill)(uint8_t *out, size_t len);
} kinds[] = {
	{ "noise", "w1", fill_random },      { "bf16 weights", "f2", fill_bf16 },
	{ "f32 weights", "f4", fill_f32 },   { "widened bf16", "f4", fill_widened },
	{ "f64 weights", "f8", fill_f64 },   { "small I64", "w8", fill_ids },
	{ "constant", "w8", fill_constant }, { "repeated rows", "f2", fill_rows },
	{ "text", "w1", fill_text },         { "sparse bf16", "f2", fill_sparse },
	{ "codebook", "w4", fill_codebook }, { "outliers", "f2", fill_outliers },
};

static const char *const coding_names[] = { "w1", "w2", "w4", "w8", "f2", "f4", "f8" };
static const char *const level_names[] = { "default", "fast", "small" };

static struct lm_coding coding_of(const char *text)
{
	struct lm_coding coding = { 0 };

	if (!lm_coding_parse(text, &coding))
		exit(99);
	return coding;
}

/* Data of a kind, the same for the same arguments; to be freed. */
static uint8_t *make(const struct kind *kind, size_t len, uint64_t seed)
{
	uint8_t *bytes = calloc(1, len);

	if (bytes == NULL)
		exit(99);
	state = seed;
	kind->fill(bytes, len);
	return bytes;
}

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	exit(99);
}

/* Encodes into memory of exactly the stored size, so that ASan sees a read past it. */
static uint8_t *encode(struct lm_coding coding, enum lmodel_level level, const uint8_t *raw,
		       size_t raw_len, enum lm_method *method, size_t *len)
{
	uint8_t *out = malloc(raw_len), *exact;

	*len = SIZE_MAX;
	*method = (enum lm_method)77;
	if (out == NULL || lm_chunk_encode(codec, coding, level, raw, raw_len, out, method, len,
					   NULL) != LMODEL_OK || *len > raw_len) {
		free(out);
		return NULL;
	}
	exact = realloc(out, *len);
	return exact != NULL ? exact : out;
}

static bool round_trip(struct lm_coding coding, enum lmodel_level level, const uint8_t *raw,
		       size_t raw_len)
{
	enum lm_method method;
	size_t len;
	LM_FREE uint8_t *stored = encode(coding, level, raw, raw_len, &method, &len);
	LM_FREE uint8_t *back = malloc(raw_len);

	if (stored == NULL || back == NULL)
		return false;
	memset(back, 0xa5, raw_len);
	return lm_chunk_decode(codec, coding, method, stored, len, back, raw_len, NULL) ==
	       LMODEL_OK && memcmp(raw, back, raw_len) == 0;
}

static void test_parse(void)
{
	struct lm_coding coding = { 77, false };

	ok(lm_coding_parse("f4", &coding) && coding.width == 4 && coding.turn == 1, "parse f4");
	ok(lm_coding_parse("w8", &coding) && coding.width == 8 && coding.turn == 0, "parse w8");
	ok(lm_coding_parse("w1", &coding) && coding.width == 1 && coding.turn == 0, "parse w1");
	ok(!lm_coding_parse("f1", &coding), "no f1");
	ok(!lm_coding_parse("w3", &coding), "no w3");
	ok(!lm_coding_parse("w16", &coding), "no w16");
	ok(!lm_coding_parse("", &coding), "no empty coding");
}

/* Every coding, level and kind at every small length: words that fit and words that do not. */
static void test_short_chunks(const char *name, enum lmodel_level level)
{
	struct lm_coding coding = coding_of(name);
	unsigned bad = 0;

	for (size_t k = 0; k < LM_COUNT(kinds); k++) {
		for (size_t len = 1; len <= 70; len++) {
			LM_FREE uint8_t *raw = make(&kinds[k], len, len);

			if (!round_trip(coding, level, raw, len) && bad++ == 0)
				printf("#   first failure: %s, %zu bytes\n", kinds[k].name, len);
		}
	}
	ok(bad == 0, "%s %s: chunks of 1 to 70 bytes come back", name, level_names[level]);
}

static void test_long_chunks(const struct kind *kind)
{
	static const size_t sizes[] = { 255, 1000, 4096, 65536, 65544, 131079, 300000, 1048576 };
	unsigned bad = 0;

	for (size_t i = 0; i < LM_COUNT(sizes); i++) {
		LM_FREE uint8_t *raw = make(kind, sizes[i], i);

		for (size_t c = 0; c < LM_COUNT(coding_names); c++) {
			/* The slow level on the coding that the data has, at a bearable size. */
			bool slow = strcmp(coding_names[c], kind->coding) == 0 && sizes[i] < 200000;

			for (int level = 0; level <= (slow ? 2 : 1); level++)
				if (!round_trip(coding_of(coding_names[c]),
						(enum lmodel_level)level, raw, sizes[i]) &&
				    bad++ == 0)
					printf("#   first failure: %s %s, %zu bytes\n",
					       coding_names[c], level_names[level], sizes[i]);
		}
	}
	ok(bad == 0, "%s: long chunks come back in every coding", kind->name);
}

/* Size as a part of a million of the raw bytes, and the method. */
static long share(const char *kind_name, enum lmodel_level level, size_t raw_len,
		  enum lm_method *method)
{
	const struct kind *kind = kind_of(kind_name);
	LM_FREE uint8_t *raw = make(kind, raw_len, 1);
	size_t len;
	LM_FREE uint8_t *stored = encode(coding_of(kind->coding), level, raw, raw_len, method,
					 &len);

	return stored == NULL ? -1 : (long)(len * 1000000 / raw_len);
}

static void is_share(const char *kind, enum lmodel_level level, size_t raw_len,
		     enum lm_method wanted, long low, long high)
{
	enum lm_method method;
	long got = share(kind, level, raw_len, &method);

	if (!ok(got >= low && got <= high && method == wanted,
		"%s, %zu bytes, %s: method %d, at most %ld millionths", kind, raw_len,
		level_names[level], (int)wanted, high))
		printf("#   got method %d, %ld millionths\n", (int)method, got);
}

static void test_sizes(void)
{
	enum lm_method method;
	long fast, normal, small;

	is_share("bf16 weights", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_TURNED, 650000, 656500);
	is_share("bf16 weights", LMODEL_LEVEL_FAST, MIB, LM_METHOD_TURNED, 650000, 656500);
	is_share("f32 weights", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_TURNED, 820000, 828500);
	is_share("widened bf16", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_TURNED, 325000, 328600);
	is_share("outliers", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_TURNED, 650000, 658000);
	is_share("small I64", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_PLANES, 200000, 250000);
	is_share("noise", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_RAW, 1000000, 1000000);
	is_share("noise", LMODEL_LEVEL_SMALL, 65536, LM_METHOD_RAW, 1000000, 1000000);
	is_share("text", LMODEL_LEVEL_DEFAULT, 300000, LM_METHOD_ZSTD, 1, 300000);
	is_share("text", LMODEL_LEVEL_DEFAULT, 10000, LM_METHOD_ZSTD, 1, 300000);

	/* Four bits a word and plane: matching of whole words needs less. */
	is_share("codebook", LMODEL_LEVEL_DEFAULT, MIB, LM_METHOD_ZSTD, 125000, 450000);

	/* Noise that repeats 64 times or so takes one sixteenth with matching, no less without. */
	normal = share("repeated rows", LMODEL_LEVEL_DEFAULT, MIB, &method);
	ok(normal > 0 && normal < 80000, "default: rows repeated far apart are matched");
#ifdef HAVE_ZSTD_LITERAL_MODE
	ok(share("repeated rows", LMODEL_LEVEL_FAST, MIB, &method) > 900000, "fast: no matching");
#endif
	for (size_t i = 0; i < LM_COUNT(kinds); i++) {
		fast = share(kinds[i].name, LMODEL_LEVEL_FAST, 50000, &method);
		normal = share(kinds[i].name, LMODEL_LEVEL_DEFAULT, 50000, &method);
		small = share(kinds[i].name, LMODEL_LEVEL_SMALL, 50000, &method);
		ok(0 < small && small <= normal && normal <= fast,
		   "%s: small is no larger than default, nor default than fast", kinds[i].name);
	}
}

static void test_runs(void)
{
	for (size_t c = 0; c < LM_COUNT(coding_names); c++) {
		struct lm_coding coding = coding_of(coding_names[c]);
		size_t raw_len = 1000 * (size_t)coding.width, len;
		enum lm_method method;
		LM_FREE uint8_t *raw = malloc(raw_len), *stored = NULL, *other = NULL;

		for (size_t i = 0; i < raw_len; i++)
			raw[i] = (uint8_t)(3 + i % coding.width);
		stored = encode(coding, LMODEL_LEVEL_DEFAULT, raw, raw_len, &method, &len);
		ok(stored != NULL && method == LM_METHOD_RUN && len == coding.width &&
		   memcmp(stored, raw, len) == 0, "%s: one word repeated is a run",
		   coding_names[c]);
		raw[raw_len - 1] ^= 1;
		other = encode(coding, LMODEL_LEVEL_DEFAULT, raw, raw_len, &method, &len);
		ok(other != NULL && method != LM_METHOD_RUN, "%s: all but the last byte is none",
		   coding_names[c]);
	}
}

/* Same bytes, same result: whatever the codec did before. */
static void test_deterministic(void)
{
	struct lm_codec *used = codec, *fresh;
	unsigned bad = 0;

	for (size_t k = 0; k < LM_COUNT(kinds); k++) {
		LM_FREE uint8_t *raw = make(&kinds[k], 150000, k);
		struct lm_coding coding = coding_of(kinds[k].coding);

		for (int i = 0; i <= 2; i++) {
			enum lmodel_level level = (enum lmodel_level)i;
			LM_FREE uint8_t *a = NULL, *b = NULL;
			size_t a_len, b_len;
			enum lm_method a_method, b_method;

			a = encode(coding, level, raw, 150000, &a_method, &a_len);
			fresh = lm_codec_new(NULL);
			codec = fresh;
			b = encode(coding, level, raw, 150000, &b_method, &b_len);
			codec = used;
			lm_codec_free(fresh);
			bad += a == NULL || b == NULL || a_method != b_method || a_len != b_len ||
			       memcmp(a, b, a_len) != 0;
		}
	}
	is_int(bad, 0, "a used codec and a fresh one write the same bytes");
}

static void test_limits(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_coding coding = coding_of("w1");
	uint8_t byte = 1, out[8];
	enum lm_method method;
	size_t len;

	ok(lm_chunk_encode(codec, coding, LMODEL_LEVEL_DEFAULT, &byte, 0, out, &method, &len,
			   &error) == LMODEL_EUSAGE, "no chunk of no bytes");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	ok(lm_chunk_encode(codec, coding, LMODEL_LEVEL_DEFAULT, &byte, LMODEL_CHUNK_MAX + 1, out,
			   &method, &len, &error) == LMODEL_EUSAGE, "no chunk over the limit");
	is_error(&error, LMODEL_EUSAGE, "67108865", "the message names the length");
}

/* Digests catch damage before decoding does; decoding alone must still stay within bounds
 * (run under sanitizers). */
static void test_flips(void)
{
	for (size_t k = 0; k < LM_COUNT(kinds); k++) {
		struct lm_coding coding = coding_of(kinds[k].coding);
		LM_FREE uint8_t *raw = make(&kinds[k], 4096, k), *back = malloc(4096);
		enum lm_method method;
		size_t len, bad = 0;
		LM_FREE uint8_t *stored = encode(coding, LMODEL_LEVEL_DEFAULT, raw, 4096, &method,
						 &len);

		for (size_t bit = 0; stored != NULL && bit < 8 * len; bit += bit < 800 ? 1 : 11) {
			int rc;

			stored[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rc = lm_chunk_decode(codec, coding, method, stored, len, back, 4096, NULL);
			bad += rc != LMODEL_OK && rc != LMODEL_ECORRUPT;
			stored[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		ok(stored != NULL && bad == 0, "%s: any bit flipped stays within bounds",
		   kinds[k].name);
	}
}

int main(void)
{
	codec = lm_codec_new(NULL);
	if (codec == NULL)
		return 99;
	test_parse();
	for (size_t c = 0; c < LM_COUNT(coding_names); c++)
		for (int level = 0; level <= 2; level++)
			test_short_chunks(coding_names[c], (enum lmodel_level)level);
	for (size_t k = 0; k < LM_COUNT(kinds); k++)
		test_long_chunks(&kinds[k]);
	test_sizes();
	test_runs();
	test_deterministic();
	test_limits();
	test_flips();
	lm_codec_free(codec);
	return done();
}
