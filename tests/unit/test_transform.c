/* Input transforms: the vectors of tests/vectors/transform.json, key files, what is refused
 * (spec: 15). */
#include "crypto/crypto.h"
#include "lib/vectors.h"
#include "transform/picture.h"

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEAD "{\"lmodel\": \"input-transform\", \"version\": 1, "
#define KEY(method, block, channels) HEAD "\"method\": \"" method "\", \"block\": " #block \
	", \"channels\": " #channels ", \"key\": \"" DIGITS "\"}\n"

static struct lmodel_transform *parsed(const char *key_text)
{
	struct lmodel_transform *t = NULL;

	if (lmodel_transform_parse(&t, key_text, strlen(key_text), "key", NULL) != LMODEL_OK)
		abort();
	return t;
}

/* ---- vectors ---- */

static enum lmodel_sample sample_of(const char *name)
{
	return strcmp(name, "u8") == 0 ? LMODEL_SAMPLE_U8 :
	       strcmp(name, "u16") == 0 ? LMODEL_SAMPLE_U16 : LMODEL_SAMPLE_F32;
}

/* As check.py makes them. */
static void *samples_of(const json_t *in, enum lmodel_sample sample, size_t count)
{
	uint32_t x = (uint32_t)number(in, "seed");
	size_t size = sample == LMODEL_SAMPLE_U8 ? 1 : sample == LMODEL_SAMPLE_U16 ? 2 : 3;
	void *made = make(count, 4);

	for (size_t i = 0; i < count; i++) {
		uint32_t v = 0;

		for (size_t k = 0; k < size; k++) {
			x = 1664525 * x + 1013904223;
			v |= (x >> 24) << (8 * k);
		}
		if (sample == LMODEL_SAMPLE_U8)
			((uint8_t *)made)[i] = (uint8_t)v;
		else if (sample == LMODEL_SAMPLE_U16)
			((uint16_t *)made)[i] = (uint16_t)v;
		else
			((float *)made)[i] = (float)v / (1 << 24);
	}
	return made;
}

static bool is_digest(const void *made, size_t len, const json_t *out, const char *name)
{
	uint8_t digest[LM_SHA256_SIZE];

	lm_sha256(digest, made, len);
	return is_hex(digest, sizeof(digest), out, name);
}

static void check_table(const struct lmodel_transform *t, const json_t *out)
{
	const json_t *table = json_object_get(out, "table");
	size_t equal = 0;

	for (size_t v = 0; v < LM_FFX_PLAIN; v++)
		equal += t->cipher[v] == number_at(table, v) &&
			 t->plain[t->cipher[v]] == (int16_t)v;
	is_int((intmax_t)equal, LM_FFX_PLAIN, "... table and its inverse");
}

static size_t differences(const void *a, const void *b, enum lmodel_sample sample, size_t count,
			  bool rounded)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (sample == LMODEL_SAMPLE_F32 && rounded) {
			float d = ((const float *)a)[i] - ((const float *)b)[i];

			n += !(d < 0.00000012f && d > -0.00000012f);
		} else {
			size_t width = lm_sample_bytes(sample);

			n += memcmp((const uint8_t *)a + i * width, (const uint8_t *)b + i * width,
				    width) != 0;
		}
	}
	return n;
}

/* The same image with the channels in front has the same samples. */
static void check_planes(const struct lmodel_transform *t, struct lmodel_images images,
			 const uint8_t *samples, const uint8_t *made, enum lmodel_sample type)
{
	size_t pixels = images.height * images.width, c = t->info.channels, bad = 0;
	size_t in_size = lm_sample_bytes(images.sample), out_size = lm_sample_bytes(type);
	LM_FREE uint8_t *in = make(pixels * c, 4);
	LM_FREE uint8_t *out = make(pixels * c, 4);

	for (size_t i = 0; i < pixels * c; i++)
		memcpy(in + (i % c * pixels + i / c) * in_size, samples + i * in_size, in_size);
	images.row_stride = images.width;
	images.column_stride = 1;
	images.channel_stride = pixels;
	ok(lmodel_transform_apply(t, false, &images, in, out, NULL) == LMODEL_OK, "... CHW");
	for (size_t i = 0; i < pixels * c; i++)
		bad += memcmp(out + (i % c * pixels + i / c) * out_size, made + i * out_size,
			      out_size) != 0;
	is_int((intmax_t)bad, 0, "... gives the same samples");
}

static void check_vector(const char *name, const json_t *in, const json_t *out)
{
	struct lmodel_transform *t;
	enum lmodel_sample sample = sample_of(text(in, "samples")), made = sample;
	struct lmodel_images images = {
		.sample = sample, .count = 1, .height = number(in, "height"),
		.width = number(in, "width"), .column_stride = number(in, "channels"),
		.row_stride = number(in, "width") * number(in, "channels"), .channel_stride = 1,
	};
	size_t count = images.height * images.row_stride;
	LM_FREE void *samples = samples_of(in, sample, count);
	LM_FREE void *image = make(count, 4);
	LM_FREE void *back = make(count, 4);
	LM_FREE char *method = copy(in, "method");
	uint8_t bytes_of_key[LM_TRANSFORM_KEY];
	char digits[2 * LM_TRANSFORM_KEY + 1];
	LM_FREE char *key_text = NULL;
	bool ffx = strcmp(method, "ffx") == 0;
	bool rounded = sample == LMODEL_SAMPLE_F32 && strcmp(method, "np") == 0;

	key(in, "key", bytes_of_key);
	lm_hex(digits, bytes_of_key, sizeof(bytes_of_key));
	key_text = lm_format(NULL,  "{\"key\":\"%s\",\"lmodel\":\"input-transform\"\n,"
			     "\"method\":\"%s\" ,\"version\":1,\t\"block\": %ju,\"channels\":%ju}",
			     digits, method, (uintmax_t)number(in, "block"),
			     (uintmax_t)number(in, "channels"));
	t = parsed(key_text);
	ok(is_digest(t->order, t->positions * 4, out, "permutation"), "%s: permutation", name);
	is_int(lmodel_transform_sample(t, false, sample, &made, NULL), LMODEL_OK, "... type");
	is_int(lmodel_transform_apply(t, false, &images, samples, image, NULL), LMODEL_OK,
	       "... applied");
	ok(is_digest(image, count * lm_sample_bytes(made), out, "sha256"), "... image");
	check_planes(t, images, samples, image, made);
	if (ffx)
		check_table(t, out);
	images.sample = made;
	is_int(lmodel_transform_apply(t, true, &images, image, back, NULL), LMODEL_OK,
	       "... inverse");
	if (ffx && sample == LMODEL_SAMPLE_F32) {
		/* to the nearest of 256 */
		for (size_t i = 0; i < count; i++)
			((float *)samples)[i] = (float)(unsigned)(((float *)samples)[i] * 255 +
								  0.5f) / 255;
	}
	is_int((intmax_t)differences(samples, back, sample, count, rounded), 0,
	       "... gives the image");
	lmodel_transform_free(t);
}

/* ---- key files ---- */

static void check_refused(const char *key_text, enum lmodel_code code, const char *part,
			  const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_transform *t = NULL;

	lmodel_transform_parse(&t, key_text, strlen(key_text), "key", &error);
	is_error(&error, code, part, what);
	ok(t == NULL && strstr(error.message, "0001") == NULL, "... and tells nothing of it");
	lmodel_transform_free(t);
}

static void check_key_files(void)
{
	static const char *const malformed[] = {
		"", "{", "{}", "[]", "null", KEY("shf", 4, 3) "x", HEAD "\"block\": 4}",
		KEY("shf", 04, 3), KEY("shf", -4, 3), KEY("shf", 4.0, 3), KEY("shf", "4", 3),
		KEY("shf", 4, [3]), KEY("s\\u0068f", 4, 3),
		"{\"lmodel\": \"other\", \"version\": 1, \"method\": \"shf\", \"block\": 4, "
		"\"channels\": 3, \"key\": \"" DIGITS "\"}",
		HEAD "\"version\": 1, \"method\": \"shf\", \"block\": 4, \"channels\": 3, \"key\": \"" DIGITS
		"\"}",
		HEAD "\"method\": \"shf\", \"block\": 4, \"channels\": 3, \"key\": \"" DIGITS "0\"}",
		HEAD "\"method\": \"shf\", \"block\": 4, \"channels\": 3, \"key\": \"0001\"}",
		HEAD "\"method\": \"shf\", \"block\": 4, \"channels\": 3, \"key\": \"" DIGITS "\",}",
		HEAD "\"method\": \"shf\", \"block\": 4, \"channels\": 3, \"key\": \""
		     "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\"}",
	};
	char long_text[LM_TRANSFORM_TEXT_LIMIT + 2];

	for (size_t i = 0; i < LM_COUNT(malformed); i++)
		check_refused(malformed[i], LMODEL_ECORRUPT, "key: is not the key file",
			      "a malformed key file");
	check_refused(KEY("rot13", 4, 3), LMODEL_EUNSUPPORTED, "rot13", "another method");
	check_refused("{\"lmodel\": \"input-transform\", \"more\": 1}", LMODEL_EUNSUPPORTED,
		      "a member", "another member");
	check_refused("{\"lmodel\": \"input-transform\", \"version\": 2, \"method\": \"shf\", "
		      "\"block\": 4, \"channels\": 3, \"key\": \"" DIGITS "\"}",
		      LMODEL_EUNSUPPORTED, "version 2", "another version");
	check_refused(KEY("shf", 0, 3), LMODEL_ECORRUPT, "0 pixels", "no block");
	check_refused(KEY("shf", 257, 3), LMODEL_ECORRUPT, "257 pixels", "a large block");
	check_refused(KEY("shf", 4, 65), LMODEL_ECORRUPT, "65 channels", "many channels");
	check_refused(KEY("shf", 4, 0), LMODEL_ECORRUPT, "0 channels", "no channel");
	check_refused(KEY("np", 1, 1), LMODEL_ECORRUPT, "one sample", "nothing to hide");
	check_refused(KEY("shf", 256, 17), LMODEL_ECORRUPT, "samples", "a block too large");
	memset(long_text, ' ', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	check_refused(long_text, LMODEL_ELIMIT, "4096", "a long text");
}

static void check_info(void)
{
	static const struct { const char *key_text; double bits; } keys[] = {
		{ KEY("shf", 2, 3), 28.835 }, { KEY("shf", 4, 3), 202.950 },
		{ KEY("shf", 8, 3), 256 }, { KEY("np", 2, 3), 9.852 }, { KEY("np", 4, 3), 44.874 },
		{ KEY("np", 3, 1), 6.977 }, { KEY("ffx", 2, 1), 256 },
	};

	for (size_t i = 0; i < LM_COUNT(keys); i++) {
		struct lmodel_transform *t = parsed(keys[i].key_text);
		double off = lmodel_transform_info(t)->bits - keys[i].bits;

		ok(off < 0.001 && off > -0.001, "%s of %u x %u: 2^%g keys", t->info.method,
		   t->info.block, t->info.block, keys[i].bits);
		lmodel_transform_free(t);
	}
}

static void check_new(void)
{
	struct lmodel_transform *a = NULL, *b = NULL;
	struct lmodel_error error = LMODEL_ERROR_INIT;

	is_int(lmodel_transform_new(&a, "shf", 4, 3, &error), LMODEL_OK, "a fresh key");
	is_int(lmodel_transform_new(&b, "shf", 4, 3, &error), LMODEL_OK, "another one");
	ok(memcmp(a->order, b->order, a->positions * sizeof(*a->order)) != 0, "... differs");
	lmodel_transform_free(a);
	lmodel_transform_free(b);
	lmodel_transform_new(&a, "rot13", 4, 3, &error);
	is_error(&error, LMODEL_EUSAGE, "rot13", "a method that is not there");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	lmodel_transform_new(&a, "np", 1, 1, &error);
	is_error(&error, LMODEL_EUSAGE, "one sample", "numbers that do not go");
}

/* ---- images ---- */

static void check_image(const char *key_text, bool inverse, enum lmodel_sample sample, size_t side,
			const void *in, enum lmodel_code code, const char *part, const char *what)
{
	struct lmodel_images images = { .sample = sample, .count = 1, .height = side, .width = side,
					.row_stride = side, .column_stride = 1 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lmodel_transform *t = parsed(key_text);
	float out[64];

	lmodel_transform_apply(t, inverse, &images, in, out, &error);
	is_error(&error, code, part, what);
	lmodel_transform_free(t);
}

static void check_images(void)
{
	static const uint16_t foreign[64] = { [5] = 1000 }, large[64] = { [0] = 65535 };
	static const float bright[64] = { 1.5f };
	float in[64] = { [9] = 1.5f };

	check_image(KEY("shf", 4, 1), false, LMODEL_SAMPLE_U8, 6, in, LMODEL_EUSAGE,
		    "6 x 6 pixels cannot be cut into blocks of 4 x 4", "a block that does not fit");
	check_image(KEY("shf", 4, 1), false, LMODEL_SAMPLE_U8, 0, in, LMODEL_EUSAGE, "0 x 0",
		    "an image of nothing");
	check_image(KEY("np", 4, 1), false, LMODEL_SAMPLE_F32, 8, in, LMODEL_EUSAGE,
		    "image 0: sample 9 is not from 0 to 1", "a value out of range");
	check_image(KEY("ffx", 4, 1), false, LMODEL_SAMPLE_F32, 8, in, LMODEL_EUSAGE, "sample 9",
		    "ffx: a value out of range");
	check_image(KEY("ffx", 4, 1), true, LMODEL_SAMPLE_F32, 8, bright, LMODEL_EUSAGE, "sample 0",
		    "ffx: a value out of range, inverse");
	in[9] = __builtin_nanf("");
	check_image(KEY("np", 4, 1), false, LMODEL_SAMPLE_F32, 8, in, LMODEL_EUSAGE, "sample 9",
		    "no number");
	check_image(KEY("ffx", 4, 1), true, LMODEL_SAMPLE_U16, 8, foreign, LMODEL_ECORRUPT,
		    "no value that this key makes", "ffx: a value of no key");
	check_image(KEY("ffx", 4, 1), true, LMODEL_SAMPLE_U16, 8, large, LMODEL_ECORRUPT,
		    "no value that this key makes", "ffx: a value out of its domain");
	check_image(KEY("ffx", 4, 1), false, LMODEL_SAMPLE_U16, 8, large, LMODEL_EUNSUPPORTED,
		    "8 bits", "ffx of 16 bits");
	check_image(KEY("ffx", 4, 1), true, LMODEL_SAMPLE_U8, 8, large, LMODEL_EUNSUPPORTED,
		    "16 bits", "inverse ffx of 8 bits");
	check_image(KEY("shf", 4, 1), true, (enum lmodel_sample)3, 8, large, LMODEL_EUSAGE, "type",
		    "samples of no type");
}

/* ---- arrays ---- */

static int parse_npy(struct lm_array *npy, const char *header, struct lmodel_error *error)
{
	*npy = (struct lm_array){ .rank = 0 };
	*error = (struct lmodel_error)LMODEL_ERROR_INIT;
	return lm_array_parse(npy, header, strlen(header), true, "array", error);
}

static void check_headers(void)
{
	static const char *const malformed[] = {
		"", "{", "{}", "{'descr': '|u1'}", "{'descr': '|u1', 'fortran_order': False}",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (1 2), }",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (1), }",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (18446744073709551616,), }",
		"{'descr': '|u1', 'fortran_order': Maybe, 'shape': (1,), }",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), } x",
		"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1,), }",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': 1}",
		"{'descr': '|u1' 'fortran_order': False, 'shape': (1,)}",
	};
	struct lmodel_error error;
	struct lm_array npy;

	for (size_t i = 0; i < LM_COUNT(malformed); i++) {
		parse_npy(&npy, malformed[i], &error);
		is_error(&error, LMODEL_ECORRUPT, "array: ", malformed[i]);
	}
	parse_npy(&npy, "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }", &error);
	is_error(&error, LMODEL_EUNSUPPORTED, "an array of '[(", "an array of structures");
	parse_npy(&npy, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", &error);
	is_error(&error, LMODEL_EUNSUPPORTED, ">f4", "the other byte order");
	parse_npy(&npy, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", &error);
	is_error(&error, LMODEL_EUNSUPPORTED, "Fortran", "Fortran order");
	is_int(parse_npy(&npy, "{\"shape\":(2,3),'fortran_order':False,\"descr\":\"<u2\"} \n",
			 &error), LMODEL_OK, "other quotes and another order");
	ok(npy.rank == 2 && npy.shape[0] == 2 && npy.shape[1] == 3 &&
	   npy.sample == LMODEL_SAMPLE_U16, "... as it is said");
	is_int(parse_npy(&npy, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", &error),
	       LMODEL_OK, "no dimension");
}

struct layout_case {
	const char *shape;
	size_t channels;
	enum lmodel_layout layout;
	enum lmodel_code code;
	const char *part;
	struct lmodel_images images;
};

static void check_layout(const struct layout_case *c)
{
	LM_FREE char *header = lm_format(NULL, "{'descr': '|u1', 'fortran_order': False, "
					 "'shape': (%s), }", c->shape);
	struct lmodel_error error;
	struct lmodel_images images = { .count = 0 };
	const struct lmodel_images *wanted = &c->images;
	struct lm_array npy;

	if (parse_npy(&npy, header, &error) != LMODEL_OK ||
	    lm_array_images(&images, &npy, c->channels, c->layout, "array", &error) != LMODEL_OK ||
	    c->code != LMODEL_OK) {
		is_error(&error, c->code, c->part, c->shape);
		return;
	}
	ok(error.code == LMODEL_OK && images.count == wanted->count &&
	   images.height == wanted->height && images.width == wanted->width &&
	   images.image_stride == wanted->image_stride && images.row_stride == wanted->row_stride &&
	   images.column_stride == wanted->column_stride &&
	   images.channel_stride == wanted->channel_stride, "(%s) with %zu channels", c->shape,
	   c->channels);
}

static void check_layouts(void)
{
	static const struct layout_case cases[] = {
		{ "4, 6", 1, 0, 0, NULL, { 0, 1, 4, 6, 24, 6, 1, 0 } },
		{ "5, 4, 6", 1, 0, 0, NULL, { 0, 5, 4, 6, 24, 6, 1, 0 } },
		{ "1, 4, 6", 1, 0, 0, NULL, { 0, 1, 4, 6, 24, 6, 1, 24 } },
		{ "4, 6, 1", 1, 0, 0, NULL, { 0, 1, 4, 6, 24, 6, 1, 1 } },
		{ "4, 6, 3", 3, 0, 0, NULL, { 0, 1, 4, 6, 72, 18, 3, 1 } },
		{ "3, 4, 6", 3, 0, 0, NULL, { 0, 1, 4, 6, 72, 6, 1, 24 } },
		{ "3, 6, 3", 3, LMODEL_LAYOUT_HWC, 0, NULL, { 0, 1, 3, 6, 54, 18, 3, 1 } },
		{ "9, 4, 6, 3", 3, 0, 0, NULL, { 0, 9, 4, 6, 72, 18, 3, 1 } },
		{ "9, 3, 4, 6", 3, 0, 0, NULL, { 0, 9, 4, 6, 72, 6, 1, 24 } },
		{ "0, 3, 4, 6", 3, 0, 0, NULL, { 0, 0, 4, 6, 72, 6, 1, 24 } },
		{ "9, 3, 4, 3", 3, LMODEL_LAYOUT_NCHW, 0, NULL, { 0, 9, 4, 3, 36, 3, 1, 12 } },
		{ "9, 3, 4, 3", 3, 0, LMODEL_EUSAGE, "--layout", { 0 } },
		{ "3, 4, 3", 3, 0, LMODEL_EUSAGE, "--layout", { 0 } },
		{ "4, 6", 3, 0, LMODEL_EUSAGE, "no dimension", { 0 } },
		{ "5, 4, 6", 3, LMODEL_LAYOUT_CHW, LMODEL_EUSAGE, "no dimension", { 0 } },
		{ "5,", 1, 0, LMODEL_EUSAGE, "1 dimensions", { 0 } },
		{ "1, 1, 4, 6, 3", 3, 0, LMODEL_EUSAGE, "5 dimensions", { 0 } },
		{ "65536, 65536", 1, 0, LMODEL_ELIMIT, "67108864", { 0 } },
		{ "18446744073709551615, 18446744073709551615, 3", 3, 0, LMODEL_ECORRUPT, "overflows",
		  { 0 } },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++)
		check_layout(&cases[i]);
}

int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	vectors("transform.json", 16, check_vector);
	check_key_files();
	check_info();
	check_new();
	check_images();
	check_headers();
	check_layouts();
	return done();
}
