/* The codec: one chunk of raw bytes to stored bytes and back (spec: 5).
 *
 * A chunk is coded alone. The result is never longer than the raw bytes. The method stands in
 * the chunk index of the member, not in the chunk, so a raw chunk is its bytes and nothing
 * else. Stored bytes are untrusted: decoding checks every length, never writes past the raw
 * length, and never allocates from what the input says. */
#ifndef LM_CODEC_H
#define LM_CODEC_H

#include "base/base.h"

#include <lmodel/pack.h> /* enum lmodel_level */

/* Method of a stored chunk. The numbers are in files: never change one. */
enum lm_method {
	LM_METHOD_RAW = 0,    /* the bytes */
	LM_METHOD_RUN = 1,    /* one word of the coding's width, repeated */
	LM_METHOD_ZSTD = 2,   /* one zstd frame over the bytes */
	LM_METHOD_PLANES = 3, /* byte planes, each: u8 method, u32 length; then their bytes */
	LM_METHOD_TURNED = 4, /* the same of floats, turned by one bit more */
};

/* Method of one plane within LM_METHOD_PLANES. */
enum lm_plane_method {
	LM_PLANE_RAW = 0,
	LM_PLANE_RUN = 1,     /* one byte, repeated */
	LM_PLANE_ZSTD = 2,    /* one zstd frame */
	LM_PLANE_RANS = 3,    /* a range asymmetric numeral system */
	LM_PLANE_EVEN = 4,    /* seven bits a byte: the lowest is 0 but in a list of places */
};

/* How words are cut into planes. */
struct lm_coding {
	unsigned width; /* bytes a word: 1, 2, 4, 8 */
	unsigned turn;  /* bits to rotate words left by first: 1 brings a float's sign to the low end */
};

/* Parses "w1" ... "f8"; false for anything else. */
bool lm_coding_parse(const char *text, struct lm_coding *coding);

/* Contexts and scratch space of one worker; not for two threads at once. */
struct lm_codec;
struct lm_codec *lm_codec_new(struct lmodel_error *error);
void lm_codec_free(struct lm_codec *codec);

/* Codes `raw_len` (1 .. LMODEL_CHUNK_MAX) bytes into `out`, which has room for `raw_len` bytes.
 * Sets the method and the length, which is at most `raw_len`. A length that is no multiple of
 * the width is coded as width 1. Deterministic for given input and level. */
int lm_chunk_encode(struct lm_codec *codec, struct lm_coding coding, enum lmodel_level level,
		    const void *raw, size_t raw_len, void *out, enum lm_method *method,
		    size_t *out_len, struct lmodel_error *error) LM_MUST_CHECK;

/* Decodes to exactly `raw_len` bytes. ECORRUPT on anything that does not. The message says
 * what is wrong with the chunk; the caller adds which chunk. */
int lm_chunk_decode(struct lm_codec *codec, struct lm_coding coding, enum lm_method method,
		    const void *stored, size_t stored_len, void *raw, size_t raw_len,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
