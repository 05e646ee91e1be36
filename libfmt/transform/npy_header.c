/* The header of a .npy file: a dictionary in Python's syntax (NumPy NEP 1). */
#include "transform/picture.h"

struct text {
	const char *at, *end;
};

static void skip_space(struct text *text)
{
	while (text->at < text->end && (*text->at == ' ' || *text->at == '\n'))
		text->at++;
}

static bool take(struct text *text, char c)
{
	skip_space(text);
	if (text->at == text->end || *text->at != c)
		return false;
	text->at++;
	return true;
}

static bool take_word(struct text *text, const char *word)
{
	size_t len = strlen(word);

	skip_space(text);
	if ((size_t)(text->end - text->at) < len || memcmp(text->at, word, len) != 0)
		return false;
	text->at += len;
	return true;
}

/* Copied to `string`; what is too long for it is none that has a meaning here. */
static bool take_string(struct text *text, char *string, size_t size)
{
	char quote = take(text, '\'') ? '\'' : take(text, '"') ? '"' : '\0';
	size_t len = 0;

	if (quote == '\0')
		return false;
	while (text->at < text->end && *text->at != quote) {
		if (*text->at < ' ' || *text->at > '~' || *text->at == '\\' || len + 1 == size)
			return false;
		string[len++] = *text->at++;
	}
	string[len] = '\0';
	return take(text, quote);
}

static bool take_number(struct text *text, uint64_t *number)
{
	uint64_t n = 0;
	const char *first;

	skip_space(text);
	first = text->at;
	for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++)
		if (!lm_mul(n, 10, &n) || !lm_add(n, (uint64_t)(*text->at - '0'), &n))
			return false;
	*number = n;
	return text->at > first;
}

static bool take_shape(struct text *text, struct lm_npy *npy)
{
	npy->rank = 0;
	if (!take(text, '('))
		return false;
	while (!take(text, ')')) {
		if (npy->rank == LM_NPY_RANK_LIMIT || !take_number(text, &npy->shape[npy->rank++]))
			return false;
		if (!take(text, ',') && (npy->rank < 2 || text->at == text->end ||
					 *text->at != ')'))
			return false;
	}
	return true;
}

struct dictionary {
	char descr[32];
	bool structured, fortran;
	bool has_descr, has_order, has_shape;
};

static bool take_member(struct text *text, struct dictionary *d, struct lm_npy *npy)
{
	char name[32];

	if (!take_string(text, name, sizeof(name)) || !take(text, ':'))
		return false;
	if (strcmp(name, "descr") == 0 && !d->has_descr) {
		d->has_descr = true;
		d->structured = take(text, '[');
		return d->structured || take_string(text, d->descr, sizeof(d->descr));
	}
	if (strcmp(name, "fortran_order") == 0 && !d->has_order) {
		d->has_order = true;
		d->fortran = take_word(text, "True");
		return d->fortran || take_word(text, "False");
	}
	if (strcmp(name, "shape") == 0 && !d->has_shape) {
		d->has_shape = true;
		return take_shape(text, npy);
	}
	return false;
}

static bool take_dictionary(struct text *text, struct dictionary *d, struct lm_npy *npy)
{
	if (!take(text, '{'))
		return false;
	while (!take(text, '}')) {
		if (!take_member(text, d, npy))
			return false;
		if (d->structured)
			return true;
		if (!take(text, ',')) {
			if (!take(text, '}'))
				return false;
			break;
		}
	}
	skip_space(text);
	return text->at == text->end && d->has_descr && d->has_order && d->has_shape;
}

int lm_npy_parse(struct lm_npy *npy, const char *bytes, size_t len, const char *label,
		 struct lmodel_error *error)
{
	static const struct { const char *descr; enum lmodel_sample sample; } types[] = {
		{ "|u1", LMODEL_SAMPLE_U8 },
		{ "<u1", LMODEL_SAMPLE_U8 },
		{ "<u2", LMODEL_SAMPLE_U16 },
		{ "<f4", LMODEL_SAMPLE_F32 },
	};
	struct text text = { bytes, bytes + len };
	struct dictionary d = { .structured = false };
	size_t i = 0;

	if (!take_dictionary(&text, &d, npy))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: a malformed .npy header", label);
	while (i < LM_COUNT(types) && (d.structured || strcmp(d.descr, types[i].descr) != 0))
		i++;
	if (i == LM_COUNT(types))
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: an array of %s; images are uint8, uint16 or float32, "
			       "little-endian", label,
			       d.structured ? "structures" : LM_QUOTE(d.descr));
	if (d.fortran)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: an array in Fortran order", label);
	npy->sample = types[i].sample;
	return LMODEL_OK;
}

/* ---- layouts ---- */

/* Which dimension is which; -1: there is none. */
struct form {
	const char *name;
	enum lmodel_layout layout;
	unsigned rank;
	int count, height, width, channel;
};

static const struct form forms[] = {
	{ "hw", LMODEL_LAYOUT_HW, 2, -1, 0, 1, -1 },
	{ "hwc", LMODEL_LAYOUT_HWC, 3, -1, 0, 1, 2 },
	{ "chw", LMODEL_LAYOUT_CHW, 3, -1, 1, 2, 0 },
	{ "nhw", LMODEL_LAYOUT_NHW, 3, 0, 1, 2, -1 },
	{ "nhwc", LMODEL_LAYOUT_NHWC, 4, 0, 1, 2, 3 },
	{ "nchw", LMODEL_LAYOUT_NCHW, 4, 0, 2, 3, 1 },
};

static bool fits(const struct form *form, const struct lm_npy *npy, size_t channels)
{
	return form->rank == npy->rank &&
	       (form->channel < 0 ? 1 : npy->shape[form->channel]) == channels;
}

/* Grey images without a dimension of channels are the last to be thought of: (28, 28, 1) is one. */
static const struct form *find_form(const struct lm_npy *npy, size_t channels, size_t *count)
{
	const struct form *found = NULL;

	*count = 0;
	for (size_t i = 0; i < LM_COUNT(forms); i++) {
		if (!fits(&forms[i], npy, channels) ||
		    (found != NULL && forms[i].layout == LMODEL_LAYOUT_NHW))
			continue;
		found = &forms[i];
		++*count;
	}
	return found;
}

static int choose_form(const struct form **form, const struct lm_npy *npy, size_t channels,
		       enum lmodel_layout layout, const char *label, struct lmodel_error *error)
{
	size_t count;

	if (npy->rank < 2 || npy->rank > 4)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: an array of %u dimensions; images have 2 to 4", label,
			       npy->rank);
	*form = find_form(npy, channels, &count);
	if (layout != LMODEL_LAYOUT_AUTO) {
		*form = NULL;
		for (size_t i = 0; i < LM_COUNT(forms); i++)
			if (forms[i].layout == layout && fits(&forms[i], npy, channels))
				*form = &forms[i];
		count = 1;
	}
	if (*form == NULL)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: no dimension of its %u is the %zu channel%s of the key", label,
			       npy->rank, channels, channels == 1 ? "" : "s");
	if (count > 1)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: more than one dimension could be the %zu channel%s: "
			       "--layout tells", label, channels, channels == 1 ? "" : "s");
	return LMODEL_OK;
}

static uint64_t stride_of(const struct lm_npy *npy, int dimension)
{
	uint64_t stride = 1;

	for (unsigned i = npy->rank; dimension >= 0 && i > (unsigned)dimension + 1; i--)
		stride *= npy->shape[i - 1];
	return dimension < 0 ? 0 : stride;
}

int lm_npy_images(struct lmodel_images *images, const struct lm_npy *npy, size_t channels,
		  enum lmodel_layout layout, const char *label, struct lmodel_error *error)
{
	const struct form *form = NULL;
	uint64_t samples = channels, count, bytes;
	int r = choose_form(&form, npy, channels, layout, label, error);

	if (r != LMODEL_OK)
		return r;
	if (!lm_mul(samples, npy->shape[form->height], &samples) ||
	    !lm_mul(samples, npy->shape[form->width], &samples) ||
	    samples > LMODEL_TRANSFORM_IMAGE_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%s: an image of over %d samples", label,
			       LMODEL_TRANSFORM_IMAGE_MAX);
	count = form->count < 0 ? 1 : npy->shape[form->count];
	if (!lm_mul(samples, count, &bytes) || !lm_mul(bytes, 4, &bytes) || bytes > INT64_MAX)
		return lm_fail(error, LMODEL_ELIMIT, "%s: over 2^63 bytes of images", label);
	*images = (struct lmodel_images){
		.sample = npy->sample,
		.count = (size_t)count,
		.height = (size_t)npy->shape[form->height],
		.width = (size_t)npy->shape[form->width],
		.image_stride = (size_t)samples,
		.row_stride = (size_t)stride_of(npy, form->height),
		.column_stride = (size_t)stride_of(npy, form->width),
		.channel_stride = (size_t)stride_of(npy, form->channel),
	};
	return LMODEL_OK;
}
