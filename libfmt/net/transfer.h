/* One request and its answer over one connection: no redirects, no second try. */
#ifndef LM_TRANSFER_H
#define LM_TRANSFER_H

#include <pthread.h>

#include "net/http.h"
#include "net/url.h"

/* Handles keep their connections open between requests. One serves one request at a time. */
struct lm_connection {
	CURLM *multi;
	CURL *easy;
	struct lm_connection *next;
};

struct lm_http {
	const struct lm_curl *curl;     /* NULL until the first request */
	struct lm_http_options options; /* without zeros */
	pthread_mutex_t lock;           /* for the connections */
	struct lm_connection *idle;
	struct lm_http_usage usage;     /* atomic */
};

/* Asks; `authorize`: with the request's Authorization. LMODEL_OK when an answer has come, of
 * whatever status. */
int lm_transfer(struct lm_http *http, struct lm_connection *connection,
		const struct lm_http_request *request, const struct lm_url *url, bool authorize,
		struct lm_http_response *response, struct lmodel_error *error) LM_MUST_CHECK;

#endif
