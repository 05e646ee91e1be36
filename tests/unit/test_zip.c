/* container/zip*.c: what is written is read, and nothing that could be read in two ways. */
#include "container/zip.h"

#include <sys/mman.h>

#include "base/io.h"
#include "crypto/crc.h"
#include "crypto/crypto.h"
#include "lib/tap.h"

static const char *const names[] = { "a.npy", "dir/\xc3\xbc", "c" };
static const char *const texts[] = { "some data", "", "0123456789012345678901234567890123456789" };
static uint64_t crc_at[3], directory_crc_at[3];

static uint32_t crc_of(const char *text)
{
	struct lm_crc *crc = lm_crc_new(NULL);
	uint32_t value;

	lm_crc_add(crc, text, strlen(text));
	value = lm_crc_finish(crc);
	lm_crc_free(crc);
	return value;
}

/* A sound file of three members; its length. */
static size_t make(uint8_t *out)
{
	struct lm_zip_layout layout = { 0 };
	uint64_t begin;
	size_t len;

	for (size_t i = 0; i < 3; i++) {
		begin = layout.at;
		if (lm_zip_layout_add(&layout, names[i], strlen(texts[i]), out + begin, &len,
				      &crc_at[i], &directory_crc_at[i], NULL) != LMODEL_OK)
			abort();
		memcpy(out + begin + len, texts[i], strlen(texts[i]));
		lm_put_u32(out + crc_at[i], crc_of(texts[i]));
	}
	if (lm_zip_layout_end(&layout, NULL) != LMODEL_OK)
		abort();
	memcpy(out + layout.at, layout.directory, layout.directory_len);
	for (size_t i = 0; i < 3; i++)
		lm_put_u32(out + layout.at + directory_crc_at[i], crc_of(texts[i]));
	len = (size_t)layout.at + layout.directory_len;
	lm_zip_layout_free(&layout);
	return len;
}

/* Opens, checks and inflates all; the texts of deflated ones go to `inflated`. */
static int read_all(const uint8_t *bytes, size_t len, struct lm_zip *zip, char *inflated,
		    struct lmodel_error *error)
{
	int fd = memfd_create("test", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC), r;
	uint64_t offsets[16];

	if (fd < 0 || out < 0 || lm_write_at(fd, "t", bytes, len, 0, NULL) != LMODEL_OK)
		abort();
	r = lm_zip_open(zip, fd, len, "'z'", error);
	if (r == LMODEL_OK)
		r = lm_zip_check_stored(zip, error);
	if (r == LMODEL_OK)
		r = lm_zip_inflate(zip, out, offsets, error);
	if (r == LMODEL_OK && inflated != NULL) {
		ssize_t n = pread(out, inflated, 99, 0);

		inflated[n < 0 ? 0 : n] = '\0';
	}
	if (r != (int)error->code)
		ok(0, "the call returned %d, not %d", r, (int)error->code);
	close(fd);
	close(out);
	return r;
}

static void refuse(const uint8_t *bytes, size_t len, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_zip zip;

	read_all(bytes, len, &zip, NULL, &error);
	is_error(&error, code, part, what);
	lm_zip_free(&zip);
}

static void test_sound(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t file[2048];
	struct lm_zip zip;
	size_t len = make(file);

	is_int(read_all(file, len, &zip, NULL, &error), LMODEL_OK, "a file that was laid out");
	is_int((intmax_t)zip.count, 3, "members");
	for (size_t i = 0; i < zip.count; i++) {
		const struct lm_zip_member *m = &zip.members[i];

		is_str(m->name, names[i], "name");
		is_int((intmax_t)m->size, (intmax_t)strlen(texts[i]), "size");
		ok(memcmp(file + m->data, texts[i], m->size) == 0, "data");
		ok(m->crc_places == 2 && m->crc_at[0] == crc_at[i] &&
		   m->crc_at[1] == zip.directory + directory_crc_at[i], "places of the CRC");
	}
	is_int((intmax_t)lm_zip_find(&zip, "c"), 2, "found");
	ok(lm_zip_find(&zip, "d") == SIZE_MAX, "not found");
	lm_zip_free(&zip);
}

/* Where a change makes no other file: versions, times, attributes. */
static bool is_idle(const struct lm_zip *zip, size_t at, size_t len)
{
	for (size_t i = 0; i < zip->count; i++) {
		size_t local = (size_t)zip->members[i].header;
		size_t central = (size_t)(zip->directory + directory_crc_at[i]) - 16;

		if ((at >= local + 4 && at < local + 6) || (at >= local + 10 && at < local + 14) ||
		    (at >= central + 4 && at < central + 8) ||
		    (at >= central + 12 && at < central + 16) ||
		    (at >= central + 36 && at < central + 42))
			return true;
	}
	(void)len;
	return false;
}

static void test_damage(void)
{
	uint8_t file[2048];
	size_t len = make(file), taken = 0, wrong = 0;
	struct lmodel_error first = LMODEL_ERROR_INIT;
	struct lm_zip sound, zip;

	read_all(file, len, &sound, NULL, &first);
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct lmodel_error error = LMODEL_ERROR_INIT;
			int r;

			file[i] ^= (uint8_t)(1u << bit);
			r = read_all(file, len, &zip, NULL, &error);
			file[i] ^= (uint8_t)(1u << bit);
			taken += r == LMODEL_OK;
			/* Deflate's own bits of the flags mean nothing to what is stored. */
			if (r == LMODEL_OK && !is_idle(&sound, i, len) && bit != 1 && bit != 2 &&
			    !(file[i] == 0 && bit == 3) && wrong++ < 5)
				printf("# byte %zu, bit %u\n", i, bit);
			lm_zip_free(&zip);
		}
	ok(wrong == 0 && taken > 0, "each flipped bit that says something is noticed");
	wrong = 0;
	for (size_t n = 0; n < len; n++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;

		wrong += read_all(file, n, &zip, NULL, &error) != LMODEL_ECORRUPT;
		lm_zip_free(&zip);
	}
	is_int((intmax_t)wrong, 0, "every beginning of the file is refused");
	lm_zip_free(&sound);
}

static void test_hostile(void)
{
	uint8_t file[4096] = { 0 }, *end, *central;
	size_t len = make(file);

	file[len] = 'x';
	refuse(file, len + 1, LMODEL_ECORRUPT, "bytes behind its end", "a byte behind it");
	memmove(file + 1, file, len);
	refuse(file, len + 1, LMODEL_ECORRUPT, "not in front of its end", "a byte before it");
	len = make(file);
	end = file + len - 22;
	central = file + lm_get_u32(end + 16);
	file[6] = central[8] = 1;
	refuse(file, len, LMODEL_EUNSUPPORTED, "'a.npy': is encrypted", "encryption");
	len = make(file);
	file[8] = central[10] = 14;
	refuse(file, len, LMODEL_EUNSUPPORTED, "compression method 14", "another method");
	len = make(file);
	lm_put_u32(central + 42, lm_get_u32(central + 46 + 5 + 42));
	refuse(file, len, LMODEL_ECORRUPT, "ZIP", "two members in one place");
	len = make(file);
	memcpy(file + 30, "../ab", 5);
	memcpy(central + 46, "../ab", 5);
	refuse(file, len, LMODEL_ECORRUPT, "leads out", "a name that leads out");
	memcpy(file + 30, "/etc/", 5);
	memcpy(central + 46, "/etc/", 5);
	refuse(file, len, LMODEL_ECORRUPT, "leads out", "an absolute name");
	memcpy(file + 30, "b.npy", 5);
	memcpy(central + 46, "a.npy", 5);
	refuse(file, len, LMODEL_ECORRUPT, "another name than in the directory", "two names");
	memcpy(file + 30, "a.n\xc3\xbc", 5);
	memcpy(central + 46, "a.n\xc3\xbc", 5);
	refuse(file, len, LMODEL_EUNSUPPORTED, "not marked as UTF-8", "another code");
	file[32] = central[48] = 0;
	refuse(file, len, LMODEL_ECORRUPT, "is not text", "NUL in a name");
	len = make(file);
	end[4] = 1;
	refuse(file, len, LMODEL_EUNSUPPORTED, "several disks", "several disks");
	len = make(file);
	file[crc_at[0]] ^= 1;
	central[16] ^= 1;
	refuse(file, len, LMODEL_ECORRUPT, "its CRC is not that of its data", "a wrong CRC");
	len = make(file);
	lm_put_u32(central + 24, 100);
	refuse(file, len, LMODEL_ECORRUPT, "its two sizes differ", "two sizes");
	len = make(file);
	lm_put_u32(end + 12, 0xfffffff0);
	refuse(file, len, LMODEL_ECORRUPT, "not in front of its end", "a long directory");
}

/* One deflated member, of one stored block, that says to be `size` bytes; with a descriptor. */
static size_t make_deflated(uint8_t *out, const char *text, size_t size, bool descriptor)
{
	size_t n = strlen(text), len = 0, begin;
	uint32_t crc = crc_of(text);
	uint8_t *p = out;

	memset(out, 0, 512);
	memcpy(p, "PK\3\4", 4);
	p[6] = descriptor ? 8 : 0;
	p[8] = 8;
	if (!descriptor) {
		lm_put_u32(p + 14, crc);
		lm_put_u32(p + 18, (uint32_t)n + 5);
		lm_put_u32(p + 22, (uint32_t)size);
	}
	p[26] = 1;
	p[30] = 'x';
	p[31] = 1; /* the last block, stored */
	p[32] = (uint8_t)n;
	p[34] = (uint8_t)~n;
	p[35] = 0xff;
	memcpy(p + 36, text, n);
	len = 36 + n;
	if (descriptor) {
		memcpy(p + len, "PK\7\10", 4);
		lm_put_u32(p + len + 4, crc);
		lm_put_u32(p + len + 8, (uint32_t)n + 5);
		lm_put_u32(p + len + 12, (uint32_t)size);
		len += 16;
	}
	begin = len;
	memcpy(p + len, "PK\1\2", 4);
	p[len + 8] = p[6];
	p[len + 10] = 8;
	lm_put_u32(p + len + 16, crc);
	lm_put_u32(p + len + 20, (uint32_t)n + 5);
	lm_put_u32(p + len + 24, (uint32_t)size);
	p[len + 28] = 1;
	p[len + 46] = 'x';
	len += 47;
	memcpy(p + len, "PK\5\6", 4);
	p[len + 8] = p[len + 10] = 1;
	lm_put_u32(p + len + 12, 47);
	lm_put_u32(p + len + 16, (uint32_t)begin);
	return len + 22;
}

static void test_deflated(void)
{
	static const char text[] = "deflated text";
	const size_t n = sizeof(text) - 1;
	uint8_t file[512];
	char inflated[100];

	for (int descriptor = 0; descriptor < 2; descriptor++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		size_t len = make_deflated(file, text, n, descriptor);
		struct lm_zip zip;

		is_int(read_all(file, len, &zip, inflated, &error), LMODEL_OK, "deflated");
		is_str(inflated, text, "the text");
		is_int(zip.members[0].crc_places, 2, "two places of a CRC");
		is_int((intmax_t)zip.members[0].crc_at[0], descriptor ? 36 + (intmax_t)n + 4 : 14,
		       "of which the first is in the descriptor if there is one");
		lm_zip_free(&zip);
		len = make_deflated(file, text, n - 1, descriptor);
		refuse(file, len, LMODEL_ECORRUPT, "cannot be inflated: ", "a short size");
		len = make_deflated(file, text, n + 1, descriptor);
		refuse(file, len, LMODEL_ECORRUPT, "cannot be inflated: ", "a long size");
		len = make_deflated(file, text, n, descriptor);
		file[40]++;
		refuse(file, len, LMODEL_ECORRUPT, "cannot be inflated: ", "other data");
		len = make_deflated(file, text, 4000000, descriptor);
		refuse(file, len, LMODEL_ECORRUPT, "no compression makes its size", "a huge size");
	}
}

/* Numbers beyond 32 bits: laid out, not written. */
static void test_wide(void)
{
	struct lm_zip_layout l = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t header[LM_ZIP_HEADER_MAX + 8];
	uint64_t a, b;
	size_t len;

	is_int(lm_zip_layout_add(&l, "x", UINT64_C(5) << 30, header, &len, &a, &b, &error),
	       LMODEL_OK, "5 GiB");
	is_int((intmax_t)len, 30 + 1 + 20, "with a Zip64 field");
	ok(lm_get_u32(header + 18) == UINT32_MAX && lm_get_u64(header + 35) == UINT64_C(5) << 30,
	   "that has its size");
	is_int(lm_zip_layout_add(&l, "y", 7, header, &len, &a, &b, &error), LMODEL_OK, "another");
	is_int((intmax_t)a, (intmax_t)((UINT64_C(5) << 30) + 51 + 14), "far in the file");
	is_int(lm_zip_layout_end(&l, &error), LMODEL_OK, "the end");
	ok(lm_get_u32(l.directory + l.directory_len - 22 + 16) == UINT32_MAX &&
	   memcmp(l.directory + l.directory_len - 22 - 20, "PK\6\7", 4) == 0, "a Zip64 end");
	is_int(lm_zip_layout_add(&l, "z", INT64_MAX, header, &len, &a, &b, &error), LMODEL_ELIMIT,
	       "beyond any file");
	lm_zip_layout_free(&l);
}

int main(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;

	if (lm_crypto_init(&error) != LMODEL_OK)
		return 99;
	is_int((intmax_t)crc_of("123456789"), 0xcbf43926, "the check value of CRC-32");
	test_sound();
	test_damage();
	test_hostile();
	test_deflated();
	test_wide();
	return done();
}
