/* HTTP over libcurl, which is loaded when the first request is made: commands that touch no
 * network do not pay for it. http and https only, TLS verified, proxies as curl's environment
 * says.
 *
 * Every request is bounded: a response whose body nobody streams is at most LM_HTTP_BODY_LIMIT
 * bytes, a connection that gives less than LM_HTTP_SLOW_BYTES a second for LM_HTTP_SLOW_SECONDS
 * is given up, at most LM_HTTP_REDIRECTS redirects are followed. 429 and 5xx, refused and broken
 * connections are tried again with back-off where the request can be repeated. Retry-After is
 * honoured up to LM_HTTP_WAIT_SECONDS; an answer that asks for more is given to the caller at
 * once. */
#ifndef LM_HTTP_H
#define LM_HTTP_H

#include "base/base.h"

#define LM_HTTP_BODY_LIMIT (4u << 20)   /* what a registry's manifest may have */
#define LM_HTTP_REDIRECTS 8
#define LM_HTTP_SLOW_BYTES 512
#define LM_HTTP_SLOW_SECONDS 30
#define LM_HTTP_WAIT_SECONDS 60

struct lm_http; /* one client: its connections, its counters. Any number of threads may use it. */

struct lm_http_options {
	bool plain_http;  /* http:// to other hosts than this machine is allowed */
	unsigned tries;   /* of one request; 0: 5 */
	unsigned backoff_ms;   /* before the second try, twice that before the third; 0: 500 */
	unsigned slow_seconds; /* 0: LM_HTTP_SLOW_SECONDS */
	/* Asked a few times a second, on the thread of the request; not 0 stops it with EFAILED
	 * "interrupted". */
	int (*stopped)(void *context);
	void *context;
};

/* What went over the wire, bodies alone: for -v, and for tests that count. */
struct lm_http_usage {
	uint64_t sent, received; /* bytes of bodies */
	uint64_t requests;       /* repeated ones too */
};

/* Where the body of a request comes from. */
struct lm_http_body {
	const void *bytes;     /* in memory, or NULL: */
	int fd;                /* `length` bytes of this file from `offset` */
	const char *label;
	uint64_t offset, length;
};

/* Takes a piece of a body as it arrives. The response that was given to lm_http_perform() has its
 * status and headers by then. */
typedef int lm_http_sink(void *context, const void *bytes, size_t len, struct lmodel_error *error);

struct lm_http_request {
	const char *method;           /* "GET" "HEAD" "POST" "PUT" "PATCH" "DELETE" */
	const char *url;
	const char *const *headers;   /* "Name: value", NULL-terminated; or NULL */
	const char *authorization;    /* value of that header, or NULL. Goes to the origin of `url`
	                               * alone, never along a redirect to another one */
	const struct lm_http_body *body;
	lm_http_sink *sink;           /* NULL: the body is kept in the response */
	void *sink_context;           /* a repeated request starts the body anew: see `begin` */
	int (*begin)(void *context);  /* before each try's first byte goes to the sink (or at its
	                               * end, when there is none), or NULL; not 0 is a failure */
	uint64_t sink_limit;          /* bytes a sink takes; more is ECORRUPT */
	bool once;                    /* never repeat: a chunk, after which the state is asked */
	bool stay;                    /* refuse redirects to another origin: the body is a secret */
};

enum lm_http_header {
	LM_HTTP_LOCATION, LM_HTTP_AUTHENTICATE, LM_HTTP_DIGEST /* Docker-Content-Digest */,
	LM_HTTP_CONTENT_TYPE, LM_HTTP_CONTENT_RANGE, LM_HTTP_RANGE, LM_HTTP_ETAG,
	LM_HTTP_LAST_MODIFIED, LM_HTTP_ACCEPT_RANGES, LM_HTTP_LINK, LM_HTTP_OCI_SUBJECT,
	LM_HTTP_CHUNK_MIN /* OCI-Chunk-Min-Length */, LM_HTTP_RETRY_AFTER,
	LM_HTTP_HEADERS
};

struct lm_http_response {
	long status;
	char *header[LM_HTTP_HEADERS]; /* NULL where it was not sent */
	char *url;                     /* after redirects; Location is relative to it */
	uint64_t content_length;       /* UINT64_MAX: unknown */
	char *body;                    /* NUL behind `body_len`; NULL when it went to a sink */
	size_t body_len;
	bool broken;                   /* set, also after a failure, where a later try may do
	                                * better: 429, most of 5xx, no connection, a broken one */
};

struct lm_http *lm_http_new(const struct lm_http_options *options, struct lmodel_error *error);
void lm_http_free(struct lm_http *http);

/* Any status is success: the caller knows which ones it expects. A sink gets bodies of 2xx alone;
 * those of other answers (a registry's error document) are kept. EFAILED for what the network did,
 * ECORRUPT for what cannot be an answer, EUSAGE for an address that is not allowed. Messages never
 * hold credentials, nor the query of an address. */
int lm_http_perform(struct lm_http *http, const struct lm_http_request *request,
		    struct lm_http_response *response, struct lmodel_error *error) LM_MUST_CHECK;
void lm_http_response_free(struct lm_http_response *response);

/* Back-off for who repeats requests himself (`once`): waits after the `failures`th failure in a
 * row, as long as `response` (may be NULL) asks for, LM_HTTP_WAIT_SECONDS at most. EFAILED when that
 * was too often, or "interrupted"; ask `response->broken` first. */
int lm_http_pause(struct lm_http *http, unsigned failures, const struct lm_http_response *response,
		  struct lmodel_error *error) LM_MUST_CHECK;

/* Waits. EFAILED "interrupted" when `stopped` says so. */
int lm_http_wait(struct lm_http *http, unsigned ms, struct lmodel_error *error) LM_MUST_CHECK;

/* What `location` means in an answer from the address `from`, in fresh memory, under the rules of
 * redirects: from https to https alone, nobody else's answer leads to this machine. `*same` (may be
 * NULL): it has the origin of `from`. ECORRUPT for what is not allowed. */
int lm_http_resolve(struct lm_http *http, const char *from, const char *location, char **url,
		    bool *same, struct lmodel_error *error) LM_MUST_CHECK;

void lm_http_usage(struct lm_http *http, struct lm_http_usage *usage);

/* Host (without port) is this machine: localhost, 127.0.0.0/8, ::1 (in brackets or not). */
bool lm_http_is_loopback(const char *host);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t lm_http_clock(void);

#endif
