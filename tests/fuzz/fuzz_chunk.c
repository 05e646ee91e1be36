/* Chunks of any bytes: decoding never leaves its buffers, and what was encoded comes back.
 *
 * Input: byte 0: bits 0-2 the coding, bits 3-5 the method or level, bit 7 set to encode;
 * bytes 1-3: raw length, little-endian; the rest is the stored chunk, or what to encode. */
#include "codec/codec.h"

#define HEAD 4
#define RAW_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly `size` bytes (at least one), so that ASan sees the first byte too far. */
static void *exact(const void *bytes, size_t size)
{
	void *copy = malloc(LM_MAX(size, (size_t)1));

	if (copy == NULL)
		abort();
	if (bytes != NULL && size != 0)
		memcpy(copy, bytes, size);
	return copy;
}

static void encode(struct lm_codec *codec, struct lm_coding coding, unsigned level,
		   const uint8_t *bytes, size_t len)
{
	LM_FREE uint8_t *raw = exact(bytes, len), *out = exact(NULL, len), *back = exact(NULL, len);
	LM_FREE uint8_t *stored = NULL;
	enum lm_method method;
	size_t stored_len;

	if (len == 0)
		return;
	if (lm_chunk_encode(codec, coding, (enum lmodel_level)(level % 3), raw, len, out, &method,
			    &stored_len, NULL) != LMODEL_OK || stored_len > len)
		abort();
	stored = exact(out, stored_len);
	if (lm_chunk_decode(codec, coding, method, stored, stored_len, back, len, NULL) !=
	    LMODEL_OK || memcmp(raw, back, len) != 0)
		abort();
}

static void decode(struct lm_codec *codec, struct lm_coding coding, unsigned method,
		   const uint8_t *bytes, size_t len, size_t raw_len)
{
	LM_FREE uint8_t *stored = exact(bytes, len), *raw = exact(NULL, raw_len);
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int rc = lm_chunk_decode(codec, coding, (enum lm_method)method, stored, len, raw, raw_len,
				 &error);

	if (rc != (int)error.code || (rc != LMODEL_OK && rc != LMODEL_ECORRUPT))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = { "w1", "w2", "w4", "w8", "f2", "f4", "f8" };
	static struct lm_codec *codec;
	struct lm_coding coding;
	unsigned choice;

	if (size < HEAD)
		return 0;
	if (codec == NULL)
		codec = lm_codec_new(NULL);
	if (codec == NULL || !lm_coding_parse(codings[(data[0] & 7u) % LM_COUNT(codings)], &coding))
		abort();
	choice = data[0] >> 3 & 7u;
	if (data[0] & 0x80)
		encode(codec, coding, choice, data + HEAD, LM_MIN(size - HEAD, RAW_MAX));
	else
		decode(codec, coding, choice, data + HEAD, size - HEAD,
		       (lm_get_u32(data) >> 8) % (RAW_MAX + 1));
	return 0;
}
