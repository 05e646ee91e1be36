#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "net/transfer.h"

enum { DEFAULT_TRIES = 5, BACKOFF_MS = 500, BACKOFF_MOST_MS = 30000, SLICE_MS = 100 };

struct lm_http *lm_http_new(const struct lm_http_options *options, struct lmodel_error *error)
{
	struct lm_http *http = calloc(1, sizeof(*http));

	if (http == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	if (options != NULL)
		http->options = *options;
	if (http->options.tries == 0)
		http->options.tries = DEFAULT_TRIES;
	if (http->options.backoff_ms == 0)
		http->options.backoff_ms = BACKOFF_MS;
	if (http->options.slow_seconds == 0)
		http->options.slow_seconds = LM_HTTP_SLOW_SECONDS;
	pthread_mutex_init(&http->lock, NULL);
	return http;
}

/* ---- connections ---- */

static void drop(const struct lm_curl *curl, struct lm_connection *connection)
{
	if (connection->easy != NULL)
		curl->easy_cleanup(connection->easy);
	if (connection->multi != NULL)
		curl->multi_cleanup(connection->multi);
	free(connection);
}

void lm_http_free(struct lm_http *http)
{
	if (http == NULL)
		return;
	for (struct lm_connection *c = http->idle, *next; c != NULL; c = next) {
		next = c->next;
		drop(http->curl, c);
	}
	pthread_mutex_destroy(&http->lock);
	free(http);
}

/* An idle one, or a fresh one: there are as many as threads that ask at once. */
static struct lm_connection *take(struct lm_http *http, struct lmodel_error *error)
{
	struct lm_connection *c;

	pthread_mutex_lock(&http->lock);
	c = http->idle;
	if (c != NULL)
		http->idle = c->next;
	pthread_mutex_unlock(&http->lock);
	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c != NULL) {
		c->easy = http->curl->easy_init();
		c->multi = http->curl->multi_init();
	}
	if (c == NULL || c->easy == NULL || c->multi == NULL) {
		if (c != NULL)
			drop(http->curl, c);
		lm_fail_memory(error);
		return NULL;
	}
	return c;
}

static void give(struct lm_http *http, struct lm_connection *connection)
{
	pthread_mutex_lock(&http->lock);
	connection->next = http->idle;
	http->idle = connection;
	pthread_mutex_unlock(&http->lock);
}

void lm_http_response_free(struct lm_http_response *response)
{
	for (int i = 0; i < LM_HTTP_HEADERS; i++)
		free(response->header[i]);
	free(response->url);
	free(response->body);
	*response = (struct lm_http_response){ 0 };
}

void lm_http_usage(struct lm_http *http, struct lm_http_usage *usage)
{
	usage->sent = __atomic_load_n(&http->usage.sent, __ATOMIC_RELAXED);
	usage->received = __atomic_load_n(&http->usage.received, __ATOMIC_RELAXED);
	usage->requests = __atomic_load_n(&http->usage.requests, __ATOMIC_RELAXED);
}

/* ---- redirects ---- */

/* One request and where it has been. */
struct route {
	struct lm_http *http;
	const struct lm_http_request *request;
	struct lm_url url[LM_HTTP_REDIRECTS + 1]; /* url[0] is what was asked for */
	unsigned hops;
	bool authorize;
};

static void free_route(struct route *route)
{
	for (unsigned i = 0; i <= route->hops; i++)
		lm_url_free(&route->url[i]);
}

static int allow(const struct lm_http *http, const struct lm_url *url, enum lmodel_code code,
		 struct lmodel_error *error)
{
	if (url->secure || url->loopback || http->options.plain_http)
		return LMODEL_OK;
	return lm_fail(error, code,
		       "%s: plain http is for this machine only (--plain-http allows it)",
		       url->label);
}

/* Whether an answer from one address may send a client to another one. */
static int may_lead(const struct lm_http *http, const struct lm_url *from, const struct lm_url *to,
		    struct lmodel_error *error)
{
	if (from->secure && !to->secure)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: leads from https to http: %s",
			       from->label, to->label);
	if (to->here && !from->here) /* whose services trust who asks from there */
		return lm_fail(error, LMODEL_ECORRUPT, "%s: leads to this machine itself: %s",
			       from->label, to->label);
	return allow(http, to, LMODEL_ECORRUPT, error);
}

static bool is_redirect(const struct route *route, const struct lm_http_response *response)
{
	const char *method = route->request->method;
	long status = response->status;

	if (response->header[LM_HTTP_LOCATION] == NULL)
		return false;
	if (status == 307 || status == 308)
		return true;
	/* these may make another method of it, which would be another request */
	return (status == 301 || status == 302 || status == 303) &&
	       (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

/* Where the answer says to go on; what of it is allowed. */
static int follow(struct route *route, const char *location, struct lmodel_error *error)
{
	const struct lm_url *from = &route->url[route->hops];
	struct lm_url *to = &route->url[route->hops + 1];
	struct lmodel_error local = LMODEL_ERROR_INIT;

	if (route->hops == LM_HTTP_REDIRECTS)
		return lm_fail(error, LMODEL_EFAILED, "%s: more than %d redirects",
			       route->url[0].label, LM_HTTP_REDIRECTS);
	if (lm_url_resolve(to, route->http->curl, from, location, &local))
		return lm_fail(error, local.code, "%s: redirected to %s", from->label,
			       local.message);
	route->hops++;
	for (unsigned i = 0; i < route->hops; i++)
		if (strcmp(route->url[i].text, to->text) == 0)
			return lm_fail(error, LMODEL_EFAILED, "%s: redirected in a circle",
				       route->url[0].label);
	if (may_lead(route->http, from, to, error))
		return LMODEL_ECORRUPT;
	if (strcmp(route->url[0].origin, to->origin) != 0) {
		if (route->request->stay)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: redirected to another host: %s", from->label,
				       to->label);
		/* for good: who comes back comes with an address that the other host chose */
		route->authorize = false;
	}
	return LMODEL_OK;
}

static int walk(struct route *route, struct lm_connection *connection,
		struct lm_http_response *response, struct lmodel_error *error)
{
	int r;

	for (;;) {
		struct lm_url *url = &route->url[route->hops];

		r = lm_transfer(route->http, connection, route->request, url, route->authorize,
				response, error);
		if (r != LMODEL_OK)
			return r;
		if (!is_redirect(route, response)) {
			response->url = lm_strdup(url->text, error);
			return response->url == NULL ? LMODEL_EFAILED : LMODEL_OK;
		}
		r = follow(route, response->header[LM_HTTP_LOCATION], error);
		if (r != LMODEL_OK)
			return r;
		lm_http_response_free(response);
	}
}

/* ---- tries ---- */

/* Milliseconds that an answer asks to wait (RFC 9110, section 10.2.3); 0: none. */
static int64_t retry_after(const struct lm_http *http, const struct lm_http_response *response)
{
	const char *text = response == NULL ? NULL : response->header[LM_HTTP_RETRY_AFTER];
	int64_t seconds = 0;
	size_t digits;

	if (text == NULL)
		return 0;
	digits = strspn(text, "0123456789");
	if (digits > 0 && text[digits] == '\0') {
		for (size_t i = 0; i < digits && seconds < INT32_MAX / 10; i++)
			seconds = seconds * 10 + (text[i] - '0');
	} else {
		time_t when = http->curl->getdate(text, NULL);

		if (when != (time_t)-1)
			seconds = (int64_t)when - (int64_t)time(NULL);
	}
	return LM_MIN(LM_MAX(seconds, 0), (int64_t)INT32_MAX) * 1000;
}

static bool may_do_better(const struct lm_http *http, const struct lm_http_response *response)
{
	long status = response->status;

	return (status == 429 || status == 408 ||
		(status / 100 == 5 && status != 501 && status != 505)) &&
	       retry_after(http, response) <= LM_HTTP_WAIT_SECONDS * 1000;
}

static int64_t backoff(const struct lm_http *http, unsigned failures)
{
	int64_t ms = (int64_t)http->options.backoff_ms << LM_MIN(failures - 1, 10u);
	uint16_t jitter = 0;

	ms = LM_MIN(ms, (int64_t)BACKOFF_MOST_MS);
	/* so that clients that failed together do not come back together; weak numbers do */
	(void)!getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK);
	return ms / 2 + ms * jitter / 2 / UINT16_MAX;
}

static int wait_ms(struct lm_http *http, int64_t ms, struct lmodel_error *error)
{
	int64_t until = lm_http_clock() + ms;

	for (;;) {
		int64_t left = until - lm_http_clock();
		struct timespec slice = { .tv_nsec = LM_MIN(left, (int64_t)SLICE_MS) * 1000000 };

		if (http->options.stopped != NULL &&
		    http->options.stopped(http->options.context) != 0)
			return lm_fail(error, LMODEL_EFAILED, "interrupted");
		if (left <= 0)
			return LMODEL_OK;
		nanosleep(&slice, NULL);
	}
}

int lm_http_wait(struct lm_http *http, unsigned ms, struct lmodel_error *error)
{
	return wait_ms(http, ms, error);
}

int lm_http_pause(struct lm_http *http, unsigned failures, const struct lm_http_response *response,
		  struct lmodel_error *error)
{
	int64_t asked;

	if (failures >= http->options.tries)
		return lm_fail(error, LMODEL_EFAILED, "tried %u times", failures);
	asked = LM_MIN(retry_after(http, response), (int64_t)LM_HTTP_WAIT_SECONDS * 1000);
	return wait_ms(http, LM_MAX(backoff(http, failures), asked), error);
}

static int attempt(struct lm_http *http, const struct lm_http_request *request,
		   struct lm_http_response *response, struct lmodel_error *error)
{
	struct route route = {
		.http = http, .request = request, .authorize = request->authorization != NULL,
	};
	struct lm_connection *connection = NULL;
	int r = lm_url_parse(&route.url[0], http->curl, request->url, error);

	if (r == LMODEL_OK)
		r = allow(http, &route.url[0], LMODEL_EUSAGE, error);
	if (r == LMODEL_OK && (connection = take(http, error)) == NULL)
		r = LMODEL_EFAILED;
	if (r == LMODEL_OK)
		r = walk(&route, connection, response, error);
	if (r == LMODEL_OK)
		response->broken = may_do_better(http, response);
	if (connection != NULL)
		give(http, connection);
	free_route(&route);
	return r;
}

static int load(struct lm_http *http, struct lmodel_error *error)
{
	const struct lm_curl *curl;

	pthread_mutex_lock(&http->lock);
	if (http->curl == NULL)
		http->curl = lm_curl_load(error);
	curl = http->curl;
	pthread_mutex_unlock(&http->lock);
	return curl == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

int lm_http_resolve(struct lm_http *http, const char *from, const char *location, char **url,
		    bool *same, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_url base = { 0 }, to = { 0 };
	int r = load(http, error);

	*url = NULL;
	if (r == LMODEL_OK)
		r = lm_url_parse(&base, http->curl, from, error);
	if (r == LMODEL_OK && lm_url_resolve(&to, http->curl, &base, location, &local))
		r = lm_fail(error, local.code, "%s: leads to %s", base.label, local.message);
	if (r == LMODEL_OK)
		r = may_lead(http, &base, &to, error);
	if (r == LMODEL_OK) {
		if (same != NULL)
			*same = strcmp(base.origin, to.origin) == 0;
		*url = to.text;
		to.text = NULL;
	}
	lm_url_free(&base);
	lm_url_free(&to);
	return r;
}

int lm_http_perform(struct lm_http *http, const struct lm_http_request *request,
		    struct lm_http_response *response, struct lmodel_error *error)
{
	*response = (struct lm_http_response){ 0 };
	if (load(http, error))
		return LMODEL_EFAILED;
	for (unsigned failures = 1;; failures++) {
		struct lmodel_error local = LMODEL_ERROR_INIT;
		bool broken;
		int r = attempt(http, request, response, &local);

		if (!response->broken || request->once || failures >= http->options.tries) {
			if (r == LMODEL_OK)
				return r;
			broken = response->broken;
			lm_http_response_free(response);
			response->broken = broken;
			return lm_fail(error, local.code,
				       broken && failures > 1 ? "%s (tried %u times)" : "%s",
				       local.message, failures);
		}
		r = lm_http_pause(http, failures, r == LMODEL_OK ? response : NULL, error);
		lm_http_response_free(response);
		if (r != LMODEL_OK)
			return r;
	}
}
