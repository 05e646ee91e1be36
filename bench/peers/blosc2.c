/* c-blosc2: byte shuffle, then zstd at level 1, blocks of 256 KiB. */
#include <stdio.h>
#include <stdlib.h>

#include "blosc2.h"
#include "driver.h"

const size_t codec_chunk = 1 << 20;

struct codec {
	blosc2_context *pack, *unpack;
};

void *codec_new(unsigned width)
{
	struct codec *c = calloc(1, sizeof(*c));
	blosc2_cparams pack = BLOSC2_CPARAMS_DEFAULTS;
	blosc2_dparams unpack = BLOSC2_DPARAMS_DEFAULTS;

	pack.typesize = (int32_t)width;
	pack.compcode = BLOSC_ZSTD;
	pack.clevel = 1;
	pack.nthreads = unpack.nthreads = 1;
	pack.blocksize = 256 << 10;
	pack.filters[BLOSC2_MAX_FILTERS - 1] = BLOSC_SHUFFLE;
	if (c != NULL) {
		c->pack = blosc2_create_cctx(pack);
		c->unpack = blosc2_create_dctx(unpack);
	}
	if (c == NULL || c->pack == NULL || c->unpack == NULL) {
		fprintf(stderr, "blosc2: no context\n");
		exit(1);
	}
	return c;
}

size_t codec_bound(size_t raw)
{
	return raw + BLOSC2_MAX_OVERHEAD;
}

size_t codec_pack(void *codec, const void *raw, size_t raw_len, void *out, size_t room)
{
	struct codec *c = codec;
	int r = blosc2_compress_ctx(c->pack, raw, (int32_t)raw_len, out, (int32_t)room);

	return r > 0 ? (size_t)r : 0;
}

size_t codec_unpack(void *codec, const void *packed, size_t packed_len, void *raw, size_t raw_len)
{
	struct codec *c = codec;
	int r = blosc2_decompress_ctx(c->unpack, packed, (int32_t)packed_len, raw, (int32_t)raw_len);

	return r > 0 ? (size_t)r : 0;
}
