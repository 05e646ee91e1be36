#include "codec/context.h"

static const struct {
	const char *text;
	struct lm_coding coding;
} codings[] = {
	{ "w1", { 1, 0 } }, { "w2", { 2, 0 } }, { "w4", { 4, 0 } },
	{ "w8", { 8, 0 } }, { "f2", { 2, 1 } },  { "f4", { 4, 1 } },
	{ "f8", { 8, 1 } },
};

bool lm_coding_parse(const char *text, struct lm_coding *coding)
{
	for (size_t i = 0; i < LM_COUNT(codings); i++) {
		if (strcmp(codings[i].text, text) == 0) {
			*coding = codings[i].coding;
			return true;
		}
	}
	return false;
}

struct lm_coding lm_coding_for(struct lm_coding coding, size_t raw_len)
{
	if (coding.width == 1 || raw_len % coding.width != 0)
		return (struct lm_coding){ .width = 1 };
	return coding;
}

int lm_scratch_reserve(struct lm_scratch *scratch, size_t size, struct lmodel_error *error)
{
	if (size <= scratch->size)
		return LMODEL_OK;
	free(scratch->bytes);
	scratch->size = 0;
	scratch->bytes = malloc(size);
	if (scratch->bytes == NULL)
		return lm_fail_memory(error);
	scratch->size = size;
	return LMODEL_OK;
}

static bool set_parameter(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value)
{
	return !ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value));
}

/* zstd's own defaults make frames as spec 5 has them: with the content size, without
 * checksum or dictionary. */
static bool set_up(struct lm_codec *codec)
{
	if (codec->entropy == NULL || codec->match == NULL || codec->decode == NULL)
		return false;
#ifdef HAVE_ZSTD_LITERAL_MODE
	/* The most negative level steps over the input too fast to find a match; left alone it
	 * would store literals raw. */
	return set_parameter(codec->entropy, ZSTD_c_compressionLevel, ZSTD_minCLevel()) &&
	       set_parameter(codec->entropy, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
#else
	return set_parameter(codec->entropy, ZSTD_c_compressionLevel, 1);
#endif
}

struct lm_codec *lm_codec_new(struct lmodel_error *error)
{
	struct lm_codec *codec = calloc(1, sizeof(*codec));

	if (codec != NULL) {
		codec->entropy = ZSTD_createCCtx();
		codec->match = ZSTD_createCCtx();
		codec->decode = ZSTD_createDCtx();
		if (set_up(codec))
			return codec;
		lm_codec_free(codec);
	}
	lm_fail_memory(error);
	return NULL;
}

void lm_codec_free(struct lm_codec *codec)
{
	if (codec == NULL)
		return;
	ZSTD_freeCCtx(codec->entropy);
	ZSTD_freeCCtx(codec->match);
	ZSTD_freeDCtx(codec->decode);
	free(codec->planes.bytes);
	free(codec->frame.bytes);
	free(codec->stream.bytes);
	free(codec->list.bytes);
	free(codec->classes.bytes);
	free(codec);
}
