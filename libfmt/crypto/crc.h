/* CRC-32 as ZIP, gzip and PNG have it (ISO-HDLC). No protection against anybody. */
#ifndef LM_CRC_H
#define LM_CRC_H

#include "base/base.h"

struct lm_crc;

struct lm_crc *lm_crc_new(struct lmodel_error *error);
void lm_crc_add(struct lm_crc *crc, const void *bytes, size_t len);

/* The CRC of all that was added; then it begins anew. */
uint32_t lm_crc_finish(struct lm_crc *crc);
void lm_crc_free(struct lm_crc *crc);

/* Of bytes [from, from + len) of a file. */
int lm_crc_file(int fd, const char *label, uint64_t from, uint64_t len, uint32_t *crc,
		struct lmodel_error *error) LM_MUST_CHECK;

#endif
