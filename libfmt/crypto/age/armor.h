/* age's ASCII armor: strict PEM (RFC 7468, figure 3), label "AGE ENCRYPTED FILE". */
#ifndef LM_AGE_ARMOR_H
#define LM_AGE_ARMOR_H

#include "base/base.h"

/* Whether an armored file begins here, after white space. */
bool lm_armor_begins(const uint8_t *text, size_t len);

/* Lines end with LF or CR LF; white space is allowed before and after. `*out` is fresh memory of
 * `*out_len` bytes. ECORRUPT. */
int lm_armor_decode(const uint8_t *text, size_t len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error) LM_MUST_CHECK;

/* `*out` is fresh memory: `*out_len` characters, the last of them LF, and a NUL. */
int lm_armor_encode(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
