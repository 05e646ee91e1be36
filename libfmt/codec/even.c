#include "codec/even.h"

#include "codec/simd.h"

#define HEAD 4  /* u32: how many bytes are odd */
#define PLACE 4 /* u32 each, behind the packed bytes */
#define GROUP 64
#define PACKED 56 /* bytes of a group */

#define ODD_SHARE 256

static size_t packed_len(size_t count)
{
	return count / 8 * 7 + (count % 8 * 7 + 7) / 8;
}

size_t lm_even_bound(size_t count)
{
	return HEAD + packed_len(count) + PLACE * (count / ODD_SHARE + 1);
}

/* Bytes without their lowest bit, eight in 56 bits. */
static uint64_t pack8(uint64_t v)
{
	v = v >> 1 & UINT64_C(0x7f7f7f7f7f7f7f7f);
	v = (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x7f007f007f007f00)) >> 1;
	v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x3fff00003fff0000)) >> 2;
	return (v & UINT64_C(0x0fffffff)) | (v & UINT64_C(0x0fffffff00000000)) >> 4;
}

static uint64_t unpack8(uint64_t v)
{
	v = (v & UINT64_C(0x0fffffff)) | (v << 4 & UINT64_C(0x0fffffff00000000));
	v = (v & UINT64_C(0x00003fff00003fff)) | (v << 2 & UINT64_C(0x3fff00003fff0000));
	v = (v & UINT64_C(0x007f007f007f007f)) | (v << 1 & UINT64_C(0x7f007f007f007f00));
	return v << 1;
}

/* True when one of the bytes is odd. */
static bool pack(const uint8_t *bytes, size_t count, uint8_t *out)
{
	uint64_t any = 0, v;
	size_t i;

	for (i = 0; i + 8 <= count; i += 8, out += 7) {
		uint8_t eight[8];

		v = lm_get_u64(bytes + i);
		any |= v;
		lm_put_u64(eight, pack8(v));
		memcpy(out, eight, 7);
	}
	if (i < count) {
		uint8_t eight[8] = { 0 };

		memcpy(eight, bytes + i, count - i);
		v = lm_get_u64(eight);
		any |= v;
		lm_put_u64(eight, pack8(v));
		memcpy(out, eight, packed_len(count - i));
	}
	return (any & UINT64_C(0x0101010101010101)) != 0;
}

size_t lm_even_encode(const uint8_t *bytes, size_t count, uint8_t *out)
{
	size_t packed = packed_len(count), whole = 0, odd = 0;
	uint8_t *places = out + HEAD + packed;
	bool any = false;

#if defined(__x86_64__)
	/* The last group is left: what is behind it is not to be overwritten. */
	if (lm_simd() >= LM_SIMD_AVX512 && count >= 2 * GROUP) {
		whole = count / GROUP - 1;
		any = lm_even_pack_avx512(bytes, whole, out + HEAD);
	}
#endif
	any |= pack(bytes + whole * GROUP, count - whole * GROUP, out + HEAD + whole * PACKED);
	for (size_t i = 0; any && i < count; i++) {
		if (bytes[i] % 2 == 0)
			continue;
		if (odd == count / ODD_SHARE)
			return 0;
		lm_put_u32(places + PLACE * odd++, (uint32_t)i);
	}
	lm_put_u32(out, (uint32_t)odd);
	return HEAD + packed + PLACE * odd;
}

static void unpack(const uint8_t *packed, size_t len, uint8_t *bytes, size_t count)
{
	size_t i, at = 0;

	for (i = 0; i + 8 <= count && at + 8 <= len; i += 8, at += 7)
		lm_put_u64(bytes + i, unpack8(lm_get_u64(packed + at)));
	while (i < count) {
		size_t n = LM_MIN(count - i, (size_t)8);
		uint8_t eight[8] = { 0 };

		memcpy(eight, packed + at, LM_MIN(len - at, (size_t)7));
		lm_put_u64(eight, unpack8(lm_get_u64(eight)));
		memcpy(bytes + i, eight, n);
		i += n;
		at += LM_MIN(len - at, (size_t)7);
	}
}

int lm_even_decode(const uint8_t *stored, size_t len, uint8_t *bytes, size_t count,
		   struct lmodel_error *error)
{
	size_t packed = packed_len(count), whole = 0, odd;
	unsigned spare = (unsigned)(8 * packed - 7 * count);
	const uint8_t *places;
	uint64_t last = 0;

	if (len < HEAD + packed)
		return lm_fail(error, LMODEL_ECORRUPT, "even plane is cut short");
	odd = lm_get_u32(stored);
	places = stored + HEAD + packed;
	if (odd > count || len - HEAD - packed != PLACE * odd)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "even plane with %zu bytes for %zu odd places",
			       len - HEAD - packed, odd);
	if (spare > 0 && stored[HEAD + packed - 1] >> (8 - spare) != 0)
		return lm_fail(error, LMODEL_ECORRUPT, "even plane with bits behind its end");
#if defined(__x86_64__)
	if (lm_simd() >= LM_SIMD_AVX512 && count >= 2 * GROUP) {
		whole = count / GROUP - 1;
		lm_even_unpack_avx512(stored + HEAD, whole, bytes);
	}
#endif
	unpack(stored + HEAD + whole * PACKED, packed - whole * PACKED, bytes + whole * GROUP,
	       count - whole * GROUP);
	for (size_t i = 0; i < odd; i++) {
		uint32_t place = lm_get_u32(places + PLACE * i);

		if (place < last || place >= count)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "odd places of an even plane are not in order");
		bytes[place] |= 1;
		last = (uint64_t)place + 1;
	}
	return LMODEL_OK;
}
