/* Values of headers, from registries: all hostile. */
#ifndef LM_FIELDS_H
#define LM_FIELDS_H

#include "base/base.h"

enum lm_challenge_kind { LM_CHALLENGE_BASIC, LM_CHALLENGE_BEARER };

/* WWW-Authenticate (RFC 9110, section 11.6.1): the first Bearer challenge with a realm, or else the
 * first Basic one. */
struct lm_challenge {
	enum lm_challenge_kind kind;
	char *realm;    /* of Bearer: an address */
	char *service;  /* NULL without one */
};

/* ECORRUPT for what does not follow the grammar; EUNSUPPORTED when there is neither kind. */
int lm_challenge_parse(struct lm_challenge *challenge, const char *text,
		       struct lmodel_error *error) LM_MUST_CHECK;
void lm_challenge_free(struct lm_challenge *challenge);

/* Content-Range of a 206, "bytes FIRST-LAST/SIZE"; `*size` is UINT64_MAX for "*". False for
 * anything else, also for a range that is empty or outside. */
bool lm_content_range_parse(const char *text, uint64_t *first, uint64_t *last, uint64_t *size);

/* Range of an upload's answer, "0-LAST", "bytes=0-LAST" too: how many bytes have arrived.
 * Registries say "0-0" for none and for one: it counts as none. */
bool lm_upload_range_parse(const char *text, uint64_t *arrived);

/* Link (RFC 8288): the target of the first link with rel=next, in fresh memory. None: LMODEL_OK and
 * NULL. ECORRUPT for what does not follow the grammar. */
int lm_link_next(const char *text, char **target, struct lmodel_error *error) LM_MUST_CHECK;

/* Digits alone. */
bool lm_decimal_parse(const char *text, size_t len, uint64_t *value);

#endif
