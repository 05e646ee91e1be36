/* Addresses, taken apart once: whether one may be asked, and by which name to speak of it. */
#ifndef LM_URL_H
#define LM_URL_H

#include "net/curl.h"

struct lm_url {
	char *text;     /* without a fragment */
	char *origin;   /* scheme://host:port, the host in lower case */
	char *label;    /* for messages: no query, no credentials, escaped */
	bool secure;    /* https */
	bool loopback;  /* the host is this machine */
	bool here;      /* ... or may be, by a name or address that is unusual */
};

#define LM_URL_LIMIT (16u << 10)

/* http or https, with a host and without user and password. EUSAGE else; ELIMIT for more than
 * LM_URL_LIMIT bytes. */
int lm_url_parse(struct lm_url *url, const struct lm_curl *curl, const char *text,
		 struct lmodel_error *error) LM_MUST_CHECK;

/* What `location`, relative or not, means in an answer from `base`. ECORRUPT for what is no
 * address. */
int lm_url_resolve(struct lm_url *url, const struct lm_curl *curl, const struct lm_url *base,
		   const char *location, struct lmodel_error *error) LM_MUST_CHECK;

void lm_url_free(struct lm_url *url);

#endif
