#include "crypto/crc.h"

#include <gcrypt.h>

#include "base/io.h"

enum { PIECE = 1 << 18 };

/* struct lm_crc is libgcrypt's own handle. */
struct lm_crc *lm_crc_new(struct lmodel_error *error)
{
	gcry_md_hd_t md;

	if (gcry_md_open(&md, GCRY_MD_CRC32, 0) != 0) {
		lm_fail_memory(error);
		return NULL;
	}
	return (struct lm_crc *)md;
}

void lm_crc_add(struct lm_crc *crc, const void *bytes, size_t len)
{
	gcry_md_write((gcry_md_hd_t)crc, bytes, len);
}

uint32_t lm_crc_finish(struct lm_crc *crc)
{
	const uint8_t *d = gcry_md_read((gcry_md_hd_t)crc, GCRY_MD_CRC32);
	uint32_t value = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];

	gcry_md_reset((gcry_md_hd_t)crc);
	return value;
}

void lm_crc_free(struct lm_crc *crc)
{
	gcry_md_close((gcry_md_hd_t)crc);
}

int lm_crc_file(int fd, const char *label, uint64_t from, uint64_t len, uint32_t *value,
		struct lmodel_error *error)
{
	LM_FREE uint8_t *buffer = malloc(PIECE);
	struct lm_crc *crc = lm_crc_new(error);
	int r = LMODEL_OK;

	if (crc == NULL || buffer == NULL)
		r = lm_fail_memory(error);
	while (len > 0 && r == LMODEL_OK) {
		size_t n = (size_t)LM_MIN(len, (uint64_t)PIECE);

		r = lm_read_at(fd, label, buffer, n, from, error);
		if (r == LMODEL_OK)
			lm_crc_add(crc, buffer, n);
		from += n;
		len -= n;
	}
	if (r == LMODEL_OK)
		*value = lm_crc_finish(crc);
	if (crc != NULL)
		lm_crc_free(crc);
	return r;
}
