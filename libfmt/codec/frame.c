#include "codec/frame.h"

/* A frame header begins with this; skippable and legacy frames do not (RFC 8878, 3.1.1). */
#define FRAME_MAGIC 0xfd2fb528u
#define FRAME_HEADER_MIN 6 /* magic, descriptor, one byte of size */

/* Frame_Header_Descriptor without the width of the size field: single segment, no checksum,
 * no dictionary, reserved bits zero (spec: 5). */
#define DESCRIPTOR_MASK 0x3f
#define DESCRIPTOR 0x20

int lm_frame_decode(struct lm_codec *codec, const uint8_t *frame, size_t len, void *raw,
		    size_t raw_len, struct lmodel_error *error)
{
	unsigned long long content;
	size_t n;

	if (len < FRAME_HEADER_MIN || lm_get_u32(frame) != FRAME_MAGIC)
		return lm_fail(error, LMODEL_ECORRUPT, "no zstd frame where one must be");
	if ((frame[4] & DESCRIPTOR_MASK) != DESCRIPTOR)
		return lm_fail(error, LMODEL_ECORRUPT, "zstd frame of a kind not allowed (0x%02x)",
			       frame[4]);
	content = ZSTD_getFrameContentSize(frame, len);
	if (content != raw_len)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "zstd frame says other than the %zu bytes that belong here",
			       raw_len);
	n = ZSTD_findFrameCompressedSize(frame, len);
	if (ZSTD_isError(n))
		return lm_fail(error, LMODEL_ECORRUPT, "zstd frame is cut short or damaged: %s",
			       ZSTD_getErrorName(n));
	if (n != len)
		return lm_fail(error, LMODEL_ECORRUPT, "%zu bytes after the zstd frame", len - n);
	n = ZSTD_decompressDCtx(codec->decode, raw, raw_len, frame, len);
	if (ZSTD_isError(n))
		return lm_fail(error, LMODEL_ECORRUPT, "zstd frame is damaged: %s",
			       ZSTD_getErrorName(n));
	if (n != raw_len)
		return lm_fail(error, LMODEL_ECORRUPT, "zstd frame ends after %zu of %zu bytes", n,
			       raw_len);
	return LMODEL_OK;
}

int lm_frame_encode(ZSTD_CCtx *context, const uint8_t *bytes, size_t count, uint8_t *out,
		    size_t room, size_t *len, struct lmodel_error *error)
{
	int window = 10; /* the least that zstd takes */
	size_t n;

	/* A window that holds the input makes zstd write a single-segment frame. */
	while ((size_t)1 << window < count)
		window++;
	n = ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
	if (!ZSTD_isError(n))
		n = ZSTD_compress2(context, out, room, bytes, count);
	if (ZSTD_isError(n))
		return lm_fail(error, LMODEL_EFAILED, "zstd: %s", ZSTD_getErrorName(n));
	*len = n;
	return LMODEL_OK;
}

int lm_frame_match(struct lm_codec *codec, int level, const uint8_t *bytes, size_t count,
		   size_t *len, struct lmodel_error *error)
{
	size_t n = ZSTD_CCtx_setParameter(codec->match, ZSTD_c_compressionLevel, level);

	if (ZSTD_isError(n))
		return lm_fail(error, LMODEL_EFAILED, "zstd: %s", ZSTD_getErrorName(n));
	return lm_frame_encode(codec->match, bytes, count, codec->frame.bytes, codec->frame.size,
			       len, error);
}
