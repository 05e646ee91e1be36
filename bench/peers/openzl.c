/* OpenZL's float profile: exponents apart and entropy-coded, signs and fractions stored. */
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"
#include "openzl/codecs/zl_entropy.h"
#include "openzl/codecs/zl_float_deconstruct.h"
#include "openzl/codecs/zl_store.h"
#include "openzl/openzl.h"

const size_t codec_chunk = 1 << 20;

struct codec {
	unsigned width;
	ZL_Compressor *compressor;
	ZL_CCtx *pack;
	ZL_DCtx *unpack;
};

static void must(int fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "openzl: %s\n", what);
	exit(1);
}

void *codec_new(unsigned width)
{
	struct codec *c = calloc(1, sizeof(*c));
	ZL_GraphID ends[2] = { ZL_GRAPH_STORE, ZL_GRAPH_FSE }, graph;

	must(c != NULL, "memory");
	c->width = width;
	c->compressor = ZL_Compressor_create();
	c->pack = ZL_CCtx_create();
	c->unpack = ZL_DCtx_create();
	must(c->compressor != NULL && c->pack != NULL && c->unpack != NULL, "create");
	must(!ZL_isError(ZL_Compressor_setParameter(c->compressor, ZL_CParam_formatVersion,
						    ZL_MAX_FORMAT_VERSION)), "format version");
	graph = ZL_Compressor_registerStaticGraph_fromNode(
		c->compressor,
		width == 2 ? ZL_NODE_BFLOAT16_DECONSTRUCT : ZL_NODE_FLOAT32_DECONSTRUCT, ends, 2);
	must(!ZL_isError(ZL_Compressor_selectStartingGraphID(c->compressor, graph)), "graph");
	return c;
}

size_t codec_bound(size_t raw)
{
	return ZL_compressBound(raw);
}

size_t codec_pack(void *codec, const void *raw, size_t raw_len, void *out, size_t room)
{
	struct codec *c = codec;
	ZL_TypedRef *input = ZL_TypedRef_createNumeric(raw, c->width, raw_len / c->width);
	ZL_Report r;

	must(input != NULL && !ZL_isError(ZL_CCtx_refCompressor(c->pack, c->compressor)), "input");
	r = ZL_CCtx_compressTypedRef(c->pack, out, room, input);
	ZL_TypedRef_free(input);
	return ZL_isError(r) ? 0 : ZL_validResult(r);
}

size_t codec_unpack(void *codec, const void *packed, size_t packed_len, void *raw, size_t raw_len)
{
	struct codec *c = codec;
	ZL_OutputInfo info;
	ZL_Report r = ZL_DCtx_decompressTyped(c->unpack, &info, raw, raw_len, packed, packed_len);

	return ZL_isError(r) ? 0 : ZL_validResult(r);
}
