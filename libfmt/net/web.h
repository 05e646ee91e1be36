/* A file behind an http or https address, read by ranged requests (RFC 9110, section 14): one and the
 * same file from the first byte to the last, or a failure (spec: 17.1). */
#ifndef LM_WEB_H
#define LM_WEB_H

#include <pthread.h>

#include "crypto/crypto.h"
#include "net/http.h"
#include "net/ranges.h"

/* What a server that knows no ranges may send whole. */
#define LM_WEB_SMALL ((uint64_t)LM_HTTP_BODY_LIMIT)

struct lm_web {
	struct lm_http *http;    /* borrowed */
	char *address;
	char *label;             /* for messages, without the query, which may be a secret */
	char *etag, *modified;   /* as the server gave them, or NULL */
	uint64_t size;
	uint8_t *head;           /* the first bytes of the file, or all of it */
	size_t head_len;
	pthread_mutex_t lock;
	char *target;            /* where redirects led to; NULL: nowhere */
};

/* Asks for the first bytes: size and identity. EUNSUPPORTED for a server that gives no ranges of a
 * file that is not small; EUSAGE for an address that is none. */
int lm_web_open(struct lm_web *web, struct lm_http *http, const char *address,
		struct lmodel_error *error) LM_MUST_CHECK;
void lm_web_close(struct lm_web *web);

/* For lm_ranges_new(); `context` is the struct. EFAILED "changed while it was read". */
lm_ranges_fetch lm_web_fetch;

/* What this very file, in this state, is kept under. False when the server says nothing that would
 * change with it. */
bool lm_web_identity(const struct lm_web *web, uint8_t key[LM_SHA256_SIZE]) LM_MUST_CHECK;

#endif
