/* Reading the structure of ZIP files. */
#include "container/zip.h"

#include "base/io.h"

/* Record signatures and lengths (APPNOTE 4.3). */
#define LOCAL UINT32_C(0x04034b50)
#define CENTRAL UINT32_C(0x02014b50)
#define DESCRIPTOR UINT32_C(0x08074b50)
#define END UINT32_C(0x06054b50)
#define END64 UINT32_C(0x06064b50)
#define LOCATOR64 UINT32_C(0x07064b50)
enum { LOCAL_LEN = 30, CENTRAL_LEN = 46, END_LEN = 22, END64_LEN = 56, LOCATOR64_LEN = 20 };

enum {
	FLAG_ENCRYPTED = 1, FLAG_DESCRIPTOR = 8, FLAG_UTF8 = 2048,
	FLAGS_KNOWN = FLAG_DESCRIPTOR | FLAG_UTF8 | 6 /* how hard deflate tried */,
};

#define DIRECTORY_LIMIT 100000000u
#define BOMB_FREE (UINT64_C(1) << 30)
#define DEFLATE_RATIO 1032u /* no deflate stream can do more */

/* What a central or local header says. */
struct said {
	unsigned flags, method;
	uint32_t crc;
	uint64_t stored, size, header;
	const uint8_t *name, *extra;
	size_t name_len, extra_len;
};

static unsigned get_u16(const uint8_t *p)
{
	return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static int bad(const struct lm_zip *z, struct lmodel_error *error, const char *what)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: ZIP: %s", z->label, what);
}

static int bad_member(const struct lm_zip *z, const struct lm_zip_member *m,
		      struct lmodel_error *error, const char *what)
{
	return lm_fail(error, LMODEL_ECORRUPT, "%s: ZIP member %s: %s", z->label,
		       LM_QUOTE(m->name), what);
}

/* ---- the end records ---- */

struct end {
	uint64_t count, length, offset; /* of the central directory */
	uint64_t records;               /* where the first end record is */
};

/* Fields that do not fit are all ones; then, and only then, may the other record differ. */
static bool agrees(uint64_t narrow, uint64_t all_ones, uint64_t wide)
{
	return narrow == all_ones || narrow == wide;
}

static int read_end64(const struct lm_zip *z, uint64_t at, const struct end *narrow,
		      struct end *wide, struct lmodel_error *error)
{
	uint8_t b[END64_LEN];
	int r;

	if (at < END64_LEN)
		return bad(z, error, "its Zip64 end record is missing");
	at -= END64_LEN;
	r = lm_read_at(z->fd, z->label, b, sizeof(b), at, error);
	if (r != LMODEL_OK)
		return r;
	if (lm_get_u32(b) != END64 || lm_get_u64(b + 4) != END64_LEN - 12 ||
	    lm_get_u32(b + 16) != 0 || lm_get_u32(b + 20) != 0 ||
	    lm_get_u64(b + 24) != lm_get_u64(b + 32))
		return bad(z, error, "its Zip64 end record is not sound");
	*wide = (struct end){ .count = lm_get_u64(b + 32), .length = lm_get_u64(b + 40),
			      .offset = lm_get_u64(b + 48), .records = at };
	if (!agrees(narrow->count, UINT16_MAX, wide->count) ||
	    !agrees(narrow->length, UINT32_MAX, wide->length) ||
	    !agrees(narrow->offset, UINT32_MAX, wide->offset))
		return bad(z, error, "its two end records differ");
	return LMODEL_OK;
}

/* The last end record in the file, with a comment that ends where the file does. */
static int find_end(const struct lm_zip *z, uint8_t record[END_LEN], uint64_t *at,
		    struct lmodel_error *error)
{
	size_t n = (size_t)LM_MIN(z->size, (uint64_t)END_LEN + UINT16_MAX);
	LM_FREE uint8_t *tail = malloc(n + 1);
	int r;

	if (tail == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(z->fd, z->label, tail, n, z->size - n, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = n < END_LEN ? 0 : n - END_LEN + 1; i-- > 0;) {
		if (lm_get_u32(tail + i) != END)
			continue;
		if (get_u16(tail + i + 20) != n - END_LEN - i)
			return bad(z, error, "truncated, or bytes behind its end");
		memcpy(record, tail + i, END_LEN);
		*at = z->size - n + i;
		return LMODEL_OK;
	}
	return bad(z, error, "truncated: it has no end record");
}

static int read_end(const struct lm_zip *z, struct end *end, struct lmodel_error *error)
{
	uint8_t b[END_LEN] = { 0 }, locator[LOCATOR64_LEN] = { 0 };
	uint64_t at = 0;
	int r = find_end(z, b, &at, error);

	if (r != LMODEL_OK)
		return r;
	*end = (struct end){ .count = get_u16(b + 10), .length = lm_get_u32(b + 12),
			     .offset = lm_get_u32(b + 16), .records = at };
	if (get_u16(b + 4) != 0 || get_u16(b + 6) != 0 || get_u16(b + 8) != get_u16(b + 10))
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: ZIP: is on several disks",
			       z->label);
	if (at >= LOCATOR64_LEN) {
		r = lm_read_at(z->fd, z->label, locator, sizeof(locator), at - LOCATOR64_LEN,
			       error);
		if (r != LMODEL_OK)
			return r;
	}
	if (lm_get_u32(locator) == LOCATOR64) {
		struct end narrow = *end;

		r = read_end64(z, at - LOCATOR64_LEN, &narrow, end, error);
		if (r != LMODEL_OK)
			return r;
		if (lm_get_u32(locator + 4) != 0 || lm_get_u32(locator + 16) != 1 ||
		    lm_get_u64(locator + 8) != end->records)
			return bad(z, error, "its Zip64 locator points elsewhere");
	}
	if (end->offset > end->records || end->length != end->records - end->offset)
		return bad(z, error, "its central directory is not in front of its end");
	if (end->length > DIRECTORY_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: ZIP: central directory of %ju bytes; the limit is %u", z->label,
			       (uintmax_t)end->length, DIRECTORY_LIMIT);
	if (end->count > end->length / CENTRAL_LEN)
		return bad(z, error, "its central directory is too short for its members");
	return LMODEL_OK;
}

/* ---- headers of members ---- */

/* The Zip64 field holds, in this order, those of the numbers that are all ones in the header. A
 * local one has both sizes whenever it has one. */
static bool widen(struct said *s, bool local)
{
	const uint8_t *p = s->extra, *field = NULL;
	size_t left = s->extra_len, len = 0;
	bool found = false;

	while (left >= 4) {
		size_t n = get_u16(p + 2);

		if (n > left - 4)
			return false;
		if (get_u16(p) == 1) {
			if (found)
				return false;
			found = true;
			field = p + 4;
			len = n;
		}
		p += 4 + n;
		left -= 4 + n;
	}
	/* What is left may be padding of fewer than four bytes. */
	for (int i = 0; i < 3; i++) {
		uint64_t *value = i == 0 ? &s->size : i == 1 ? &s->stored : &s->header;

		if ((i == 2 && local) || *value != UINT32_MAX || !found)
			continue;
		if (len < 8)
			return false;
		*value = lm_get_u64(field);
		field += 8;
		len -= 8;
	}
	return true;
}

static int check_flags(const struct lm_zip *z, const struct lm_zip_member *m, const struct said *s,
		       struct lmodel_error *error)
{
	if ((s->flags & FLAG_ENCRYPTED) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: ZIP member %s: is encrypted",
			       z->label, LM_QUOTE(m->name));
	if ((s->flags & ~(unsigned)FLAGS_KNOWN) != 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: ZIP member %s: flags 0x%04x",
			       z->label, LM_QUOTE(m->name), s->flags);
	if (s->method != LM_ZIP_STORED && s->method != LM_ZIP_DEFLATED)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: ZIP member %s: compression method %u", z->label,
			       LM_QUOTE(m->name), s->method);
	return LMODEL_OK;
}

static int check_name(const struct lm_zip *z, const struct lm_zip_member *m, const struct said *s,
		      struct lmodel_error *error)
{
	const char *part = m->name;
	bool ascii = true;

	for (size_t i = 0; i < s->name_len; i++)
		ascii &= s->name[i] < 0x80;
	if (memchr(s->name, 0, s->name_len) != NULL || s->name_len == 0 ||
	    !lm_utf8_valid(m->name, s->name_len))
		return bad_member(z, m, error, "its name is not text");
	if (!ascii && (s->flags & FLAG_UTF8) == 0)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: ZIP member %s: its name is not marked as UTF-8", z->label,
			       LM_QUOTE(m->name));
	for (;;) {
		size_t n = strcspn(part, "/");

		if ((n == 2 && memcmp(part, "..", 2) == 0) || m->name[0] == '/')
			return bad_member(z, m, error, "its name leads out of the file");
		if (part[n] == '\0')
			return LMODEL_OK;
		part += n + 1;
	}
}

static int check_sizes(const struct lm_zip *z, const struct lm_zip_member *m,
		       struct lmodel_error *error)
{
	if (m->header > z->directory || m->stored > z->directory - m->header)
		return bad_member(z, m, error, "is beyond the members of the file");
	if (m->method == LM_ZIP_STORED && m->stored != m->size)
		return bad_member(z, m, error, "is stored, but its two sizes differ");
	if (m->size > INT64_MAX ||
	    (m->method == LM_ZIP_DEFLATED && m->size / DEFLATE_RATIO > m->stored))
		return bad_member(z, m, error, "no compression makes its size of its data");
	return LMODEL_OK;
}

/* The entry at `at` of the central directory. */
static int read_central(const struct lm_zip *z, struct lm_zip_member *m, const uint8_t *b,
			size_t left, size_t *len, struct lmodel_error *error)
{
	struct said s;
	size_t comment;
	int r;

	if (left < CENTRAL_LEN || lm_get_u32(b) != CENTRAL)
		return bad(z, error, "its central directory is not sound");
	s = (struct said){ .flags = get_u16(b + 8), .method = get_u16(b + 10),
			   .crc = lm_get_u32(b + 16), .stored = lm_get_u32(b + 20),
			   .size = lm_get_u32(b + 24), .header = lm_get_u32(b + 42),
			   .name = b + CENTRAL_LEN, .name_len = get_u16(b + 28),
			   .extra_len = get_u16(b + 30) };
	comment = get_u16(b + 32);
	*len = CENTRAL_LEN + s.name_len + s.extra_len + comment;
	if (*len > left)
		return bad(z, error, "its central directory is cut short");
	s.extra = s.name + s.name_len;
	m->name = malloc(s.name_len + 1);
	if (m->name == NULL)
		return lm_fail_memory(error);
	memcpy(m->name, s.name, s.name_len);
	m->name[s.name_len] = '\0';
	r = check_name(z, m, &s, error);
	if (r == LMODEL_OK)
		r = check_flags(z, m, &s, error);
	if (r != LMODEL_OK)
		return r;
	if (get_u16(b + 34) != 0 || !widen(&s, false))
		return bad_member(z, m, error, "its entry in the directory is not sound");
	m->method = s.method;
	m->crc = s.crc;
	m->stored = s.stored;
	m->size = s.size;
	m->header = s.header;
	return check_sizes(z, m, error);
}

/* With a data descriptor the local header may leave to it what was not known in time. */
static bool same_or_left(uint64_t local, uint64_t central, bool may_be_left)
{
	return local == central || (may_be_left && local == 0);
}

static int read_local(const struct lm_zip *z, struct lm_zip_member *m, bool *descriptor,
		      struct lmodel_error *error)
{
	size_t name_len = strlen(m->name);
	uint8_t b[LOCAL_LEN];
	LM_FREE uint8_t *tail = NULL;
	struct said s;
	int r = lm_read_at(z->fd, z->label, b, sizeof(b), m->header, error);

	if (r != LMODEL_OK)
		return r;
	if (lm_get_u32(b) != LOCAL)
		return bad_member(z, m, error, "is not where the directory says");
	s = (struct said){ .flags = get_u16(b + 6), .method = get_u16(b + 8),
			   .crc = lm_get_u32(b + 14), .stored = lm_get_u32(b + 18),
			   .size = lm_get_u32(b + 22), .name_len = get_u16(b + 26),
			   .extra_len = get_u16(b + 28) };
	m->data = m->header + LOCAL_LEN + s.name_len + s.extra_len;
	*descriptor = (s.flags & FLAG_DESCRIPTOR) != 0;
	tail = malloc(s.name_len + s.extra_len + 1);
	if (tail == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(z->fd, z->label, tail, s.name_len + s.extra_len, m->header + LOCAL_LEN,
		       error);
	if (r != LMODEL_OK)
		return r;
	s.name = tail;
	s.extra = tail + s.name_len;
	r = check_flags(z, m, &s, error);
	if (r != LMODEL_OK)
		return r;
	if (s.name_len != name_len || memcmp(s.name, m->name, name_len) != 0)
		return bad_member(z, m, error, "has another name than in the directory");
	r = check_name(z, m, &s, error);
	if (r != LMODEL_OK)
		return r;
	if (!widen(&s, true) || s.method != m->method ||
	    !same_or_left(s.crc, m->crc, *descriptor) ||
	    !same_or_left(s.size, m->size, *descriptor) ||
	    !same_or_left(s.stored, m->stored, *descriptor))
		return bad_member(z, m, error, "its header says other than the directory");
	/* A CRC that was left is a zero of the header, not one of the data's. */
	if (s.crc == m->crc && (s.crc != 0 || !*descriptor || s.size == m->size))
		m->crc_at[m->crc_places++] = m->header + 14;
	return LMODEL_OK;
}

/* Behind the data: the CRC and both sizes, of four or of eight bytes, with or without a
 * signature. How long it is, is told by where the next member begins. */
static int read_descriptor(const struct lm_zip *z, struct lm_zip_member *m, uint64_t next,
			   struct lmodel_error *error)
{
	uint64_t at = m->data + m->stored, len = next - at;
	uint8_t b[24];
	const uint8_t *p = b;
	int r;

	if (len != 12 && len != 16 && len != 20 && len != 24)
		return bad_member(z, m, error, "its data descriptor is missing");
	r = lm_read_at(z->fd, z->label, b, (size_t)len, at, error);
	if (r != LMODEL_OK)
		return r;
	if (len == 16 || len == 24) {
		if (lm_get_u32(p) != DESCRIPTOR)
			return bad_member(z, m, error, "its data descriptor is not sound");
		p += 4;
	}
	if (lm_get_u32(p) != m->crc ||
	    (len <= 16 ? lm_get_u32(p + 4) != m->stored || lm_get_u32(p + 8) != m->size :
			 lm_get_u64(p + 4) != m->stored || lm_get_u64(p + 12) != m->size))
		return bad_member(z, m, error,
				  "its data descriptor says other than the directory");
	m->crc_at[m->crc_places++] = at + (uint64_t)(p - b);
	return LMODEL_OK;
}

static int by_place(const void *a, const void *b)
{
	const struct lm_zip_member *x = a, *y = b;

	return x->header < y->header ? -1 : x->header > y->header;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const struct lm_zip *z, struct lmodel_error *error)
{
	LM_FREE const char **names = calloc(z->count + 1, sizeof(*names));

	if (names == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < z->count; i++)
		names[i] = z->members[i].name;
	qsort(names, z->count, sizeof(*names), by_name);
	for (size_t i = 1; i < z->count; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: ZIP: has member %s twice",
				       z->label, LM_QUOTE(names[i]));
	return LMODEL_OK;
}

/* From byte 0 on, each where the one before it ends. `central` is where a member's entry in the
 * directory has its CRC, until that is put behind those of the member itself. */
static int check_places(struct lm_zip *z, struct lmodel_error *error)
{
	uint64_t end = 0, inflated = 0;

	qsort(z->members, z->count, sizeof(*z->members), by_place);
	for (size_t i = 0; i < z->count; i++) {
		struct lm_zip_member *m = &z->members[i];
		uint64_t next = i + 1 < z->count ? z->members[i + 1].header : z->directory;
		uint64_t central = m->crc_at[0];
		bool descriptor = false;
		int r;

		if (m->header != end)
			return bad_member(z, m, error, m->header < end ?
					  "overlaps another" : "has bytes before it of no member");
		m->crc_places = 0;
		r = read_local(z, m, &descriptor, error);
		if (r != LMODEL_OK)
			return r;
		if (m->data > next || m->stored > next - m->data)
			return bad_member(z, m, error, "overlaps what follows");
		if (descriptor)
			r = read_descriptor(z, m, next, error);
		else if (m->data + m->stored != next)
			r = bad_member(z, m, error, "has bytes behind it of no member");
		if (r != LMODEL_OK)
			return r;
		m->crc_at[m->crc_places++] = central;
		m->end = end = next;
		if (!lm_add(inflated, m->size, &inflated))
			return bad_member(z, m, error, "is too large");
	}
	if (end != z->directory)
		return bad(z, error, "bytes before its directory belong to no member");
	if (inflated > BOMB_FREE && inflated / LM_ZIP_RATIO > z->size)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: ZIP: would be %ju bytes, over %u times its size: a bomb?",
			       z->label, (uintmax_t)inflated, LM_ZIP_RATIO);
	return LMODEL_OK;
}

int lm_zip_open(struct lm_zip *z, int fd, uint64_t size, const char *label,
		struct lmodel_error *error)
{
	LM_FREE uint8_t *directory = NULL;
	struct end end;
	size_t at = 0;
	int r;

	*z = (struct lm_zip){ .fd = fd, .size = size, .label = label };
	r = read_end(z, &end, error);
	if (r != LMODEL_OK)
		return r;
	z->directory = end.offset;
	directory = malloc((size_t)end.length + 1);
	z->members = calloc((size_t)end.count + 1, sizeof(*z->members));
	if (directory == NULL || z->members == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(fd, label, directory, (size_t)end.length, end.offset, error);
	while (r == LMODEL_OK && z->count < end.count) {
		struct lm_zip_member *m = &z->members[z->count++];
		size_t len = 0;

		m->crc_at[0] = end.offset + at + 16;
		r = read_central(z, m, directory + at, (size_t)end.length - at, &len, error);
		at += len;
	}
	if (r == LMODEL_OK && at != end.length)
		r = bad(z, error, "its central directory is longer than its members");
	if (r == LMODEL_OK)
		r = check_names(z, error);
	return r != LMODEL_OK ? r : check_places(z, error);
}

void lm_zip_free(struct lm_zip *z)
{
	for (size_t i = 0; i < z->count; i++)
		free(z->members[i].name);
	free(z->members);
	*z = (struct lm_zip){ .fd = -1 };
}

bool lm_zip_is_like(const uint8_t *head, size_t head_len)
{
	return head_len >= 4 && (lm_get_u32(head) == LOCAL || lm_get_u32(head) == END);
}

size_t lm_zip_find(const struct lm_zip *z, const char *name)
{
	for (size_t i = 0; i < z->count; i++)
		if (strcmp(z->members[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}
