/* The layout of ZIP files with stored members, as NumPy's savez() writes them. */
#include "container/zip.h"

enum {
	LOCAL_LEN = 30, CENTRAL_LEN = 46, END_LEN = 22, END64_LEN = 56, LOCATOR64_LEN = 20,
	NEEDS = 20, NEEDS_64 = 45, MADE_BY_UNIX = 3 << 8, FLAG_UTF8 = 2048,
	DATE_1980 = 0x21, /* the first day that there is; 00:00 is 0 */
};

static uint8_t *put_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	return p + 2;
}

static uint8_t *put_u32(uint8_t *p, uint64_t v)
{
	lm_put_u32(p, (uint32_t)LM_MIN(v, (uint64_t)UINT32_MAX));
	return p + 4;
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
	lm_put_u64(p, v);
	return p + 8;
}

static uint8_t *extend(struct lm_zip_layout *l, size_t more, struct lmodel_error *error)
{
	if (more > l->directory_capacity - l->directory_len) {
		size_t wanted = l->directory_len + l->directory_len / 2 + more + 256;
		uint8_t *grown = realloc(l->directory, wanted);

		if (grown == NULL) {
			lm_fail_memory(error);
			return NULL;
		}
		l->directory = grown;
		l->directory_capacity = wanted;
	}
	l->directory_len += more;
	return l->directory + l->directory_len - more;
}

static unsigned flags_of(const char *name)
{
	for (; *name != '\0'; name++)
		if ((unsigned char)*name >= 0x80)
			return FLAG_UTF8;
	return 0;
}

/* What both headers share: from the version that is needed to the length of the name. The CRC is
 * at 10 in it. */
static uint8_t *put_common(uint8_t *p, bool wide, unsigned flags, uint64_t size, size_t name_len)
{
	p = put_u16(p, wide ? NEEDS_64 : NEEDS);
	p = put_u16(p, flags);
	p = put_u16(p, LM_ZIP_STORED);
	p = put_u16(p, 0);
	p = put_u16(p, DATE_1980);
	p = put_u32(p, 0);
	p = put_u32(p, wide ? UINT64_MAX : size);
	p = put_u32(p, wide ? UINT64_MAX : size);
	return put_u16(p, (unsigned)name_len);
}

/* The Zip64 field of the sizes, of the place, or of both. */
static size_t extra_len(bool sizes, bool place)
{
	return (sizes || place ? 4u : 0u) + (sizes ? 16u : 0u) + (place ? 8u : 0u);
}

static uint8_t *put_extra(uint8_t *p, bool sizes, uint64_t size, bool place, uint64_t at)
{
	if (!sizes && !place)
		return p;
	p = put_u16(p, 1);
	p = put_u16(p, (unsigned)extra_len(sizes, place) - 4);
	if (sizes)
		p = put_u64(put_u64(p, size), size);
	return place ? put_u64(p, at) : p;
}

static int put_central(struct lm_zip_layout *l, const char *name, size_t name_len, uint64_t size,
		       uint64_t *crc_at, struct lmodel_error *error)
{
	bool wide = size >= UINT32_MAX, far = l->at >= UINT32_MAX;
	size_t extra = extra_len(wide, far), at = l->directory_len;
	uint8_t *p = extend(l, CENTRAL_LEN + name_len + extra, error);

	if (p == NULL)
		return LMODEL_EFAILED;
	*crc_at = at + 16;
	memcpy(p, "PK\1\2", 4);
	p = put_u16(p + 4, MADE_BY_UNIX | NEEDS);
	p = put_common(p, wide, flags_of(name), size, name_len);
	if (far)
		put_u16(p - 24, NEEDS_64);
	p = put_u16(p, (unsigned)extra);
	p = put_u16(p, 0);                       /* comment */
	p = put_u16(p, 0);                       /* disk */
	p = put_u16(p, 0);                       /* internal attributes */
	p = put_u32(p, UINT32_C(0100600) << 16); /* external ones: the mode */
	p = put_u32(p, far ? UINT64_MAX : l->at);
	memcpy(p, name, name_len);
	put_extra(p + name_len, wide, size, far, l->at);
	l->count++;
	return LMODEL_OK;
}

int lm_zip_layout_add(struct lm_zip_layout *l, const char *name, uint64_t size, uint8_t *header,
		      size_t *len, uint64_t *crc_at, uint64_t *directory_crc_at,
		      struct lmodel_error *error)
{
	size_t name_len = strlen(name);
	bool wide = size >= UINT32_MAX;
	uint64_t end;
	uint8_t *p;
	int r;

	if (name_len > LM_ZIP_NAME_LIMIT)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "a ZIP file cannot have a member with a name of %zu bytes",
			       name_len);
	*len = LOCAL_LEN + name_len + extra_len(wide, false);
	if (!lm_add(l->at, *len, &end) || !lm_add(end, size, &end) || end > INT64_MAX / 2)
		return lm_fail(error, LMODEL_ELIMIT, "%s would end beyond any file",
			       LM_QUOTE(name));
	r = put_central(l, name, name_len, size, directory_crc_at, error);
	if (r != LMODEL_OK)
		return r;
	memcpy(header, "PK\3\4", 4);
	p = put_common(header + 4, wide, flags_of(name), size, name_len);
	p = put_u16(p, (unsigned)extra_len(wide, false));
	memcpy(p, name, name_len);
	put_extra(p + name_len, wide, size, false, 0);
	*crc_at = l->at + 14;
	l->at = end;
	return LMODEL_OK;
}

int lm_zip_layout_end(struct lm_zip_layout *l, struct lmodel_error *error)
{
	uint64_t length = l->directory_len, records = l->at + length;
	bool wide = l->count >= UINT16_MAX || length >= UINT32_MAX || l->at >= UINT32_MAX;
	uint8_t *p = extend(l, (wide ? END64_LEN + LOCATOR64_LEN : 0) + END_LEN, error);
	unsigned count = (unsigned)LM_MIN(l->count, (uint64_t)UINT16_MAX);

	if (p == NULL)
		return LMODEL_EFAILED;
	if (wide) {
		memcpy(p, "PK\6\6", 4);
		p = put_u64(p + 4, END64_LEN - 12);
		p = put_u16(p, MADE_BY_UNIX | NEEDS_64);
		p = put_u16(p, NEEDS_64);
		p = put_u64(p, 0); /* disks */
		p = put_u64(put_u64(p, l->count), l->count);
		p = put_u64(put_u64(p, length), l->at);
		memcpy(p, "PK\6\7", 4);
		p = put_u32(p + 4, 0);
		p = put_u64(p, records);
		p = put_u32(p, 1);
	}
	memcpy(p, "PK\5\6", 4);
	p = put_u32(p + 4, 0);
	p = put_u16(put_u16(p, count), count);
	p = put_u32(put_u32(p, length), l->at);
	put_u16(p, 0);
	return LMODEL_OK;
}

void lm_zip_layout_free(struct lm_zip_layout *l)
{
	free(l->directory);
	*l = (struct lm_zip_layout){ 0 };
}
