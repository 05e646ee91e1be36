#include "net/transfer.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include <lmodel/archive.h>
#include <lmodel/version.h>

#include "base/io.h"
#include "crypto/secret.h"

enum {
	HEADERS_LIMIT = 64 << 10,
	ERROR_BODY_LIMIT = 64 << 10, /* of a registry's explanation */
	CONNECT_SECONDS = 30,
	ANSWER_FACTOR = 10, /* who has all of a request may think that much longer */
	POLL_MS = 250, STOPPED_MS = 100, BUFFER = 256 << 10,
};

struct transfer {
	struct lm_http *http;
	const struct lm_http_request *request;
	const struct lm_url *url;
	struct lm_http_response *response;
	uint64_t header_bytes, sent, taken;
	uint64_t moved;        /* bytes in either direction */
	uint64_t window_moved; /* what that was at */
	int64_t window_ms;     /* this time */
	int64_t asked_ms;      /* when `stopped` was asked */
	size_t capacity;       /* of the response's body */
	bool begun;
	bool enough;           /* stopped by us, with all that is wanted */
	struct lmodel_error error;
};

int64_t lm_http_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_success(const struct transfer *t)
{
	return t->response->status / 100 == 2;
}

/* ---- what comes ---- */

static const struct {
	const char *name;
	bool list; /* may come more than once: joined by commas (RFC 9110, section 5.3) */
} headers[LM_HTTP_HEADERS] = {
	[LM_HTTP_LOCATION] = { "location" },
	[LM_HTTP_AUTHENTICATE] = { "www-authenticate", true },
	[LM_HTTP_DIGEST] = { "docker-content-digest" },
	[LM_HTTP_CONTENT_TYPE] = { "content-type" },
	[LM_HTTP_CONTENT_RANGE] = { "content-range" },
	[LM_HTTP_RANGE] = { "range" },
	[LM_HTTP_ETAG] = { "etag" },
	[LM_HTTP_LAST_MODIFIED] = { "last-modified" },
	[LM_HTTP_ACCEPT_RANGES] = { "accept-ranges" },
	[LM_HTTP_LINK] = { "link", true },
	[LM_HTTP_OCI_SUBJECT] = { "oci-subject" },
	[LM_HTTP_CHUNK_MIN] = { "oci-chunk-min-length" },
	[LM_HTTP_RETRY_AFTER] = { "retry-after" },
};

static void clear_headers(struct lm_http_response *response)
{
	for (int i = 0; i < LM_HTTP_HEADERS; i++) {
		free(response->header[i]);
		response->header[i] = NULL;
	}
}

/* Keeps the value: the first one, or all of a list. */
static int keep_header(struct transfer *t, int which, const char *value, size_t len)
{
	char **kept = &t->response->header[which];
	char *made;

	if (*kept != NULL && !headers[which].list)
		return LMODEL_OK;
	made = *kept == NULL ? lm_format(&t->error, "%.*s", (int)len, value) :
	       lm_format(&t->error, "%s, %.*s", *kept, (int)len, value);
	if (made == NULL)
		return LMODEL_EFAILED;
	free(*kept);
	*kept = made;
	return LMODEL_OK;
}

static int take_header(struct transfer *t, const char *line, size_t len)
{
	const char *colon, *value, *end = line + len;

	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
		const char *space = memchr(line, ' ', len);

		/* also of a "100 Continue" before: the last one counts */
		clear_headers(t->response);
		t->response->status = 0;
		for (const char *d = space; d != NULL && ++d < end && isdigit((unsigned char)*d) &&
					    t->response->status < 100;)
			t->response->status = t->response->status * 10 + (*d - '0');
		return LMODEL_OK;
	}
	colon = memchr(line, ':', len);
	if (colon == NULL)
		return LMODEL_OK;
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t');)
		value++;
	while (end > value && isspace((unsigned char)end[-1]))
		end--;
	for (const char *c = value; c < end; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return LMODEL_OK;
	for (int i = 0; i < LM_HTTP_HEADERS; i++)
		if (strlen(headers[i].name) == (size_t)(colon - line) &&
		    strncasecmp(line, headers[i].name, (size_t)(colon - line)) == 0)
			return keep_header(t, i, value, (size_t)(end - value));
	return LMODEL_OK;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	struct transfer *t = context;
	size_t len = size * count;

	t->moved += len;
	t->header_bytes += len;
	if (t->header_bytes > HEADERS_LIMIT) {
		lm_fail(&t->error, LMODEL_ECORRUPT, "%s: more than %d KiB of headers",
			t->url->label,
			HEADERS_LIMIT >> 10);
		return 0;
	}
	return take_header(t, line, len) == LMODEL_OK ? len : 0;
}

static int begin(struct transfer *t)
{
	if (t->begun)
		return LMODEL_OK;
	t->begun = true;
	if (t->request->begin != NULL && t->request->begin(t->request->sink_context) != 0)
		return lm_fail(&t->error, LMODEL_EFAILED, "%s: the body cannot be taken again",
			       t->url->label);
	return LMODEL_OK;
}

static int to_sink(struct transfer *t, const char *bytes, size_t len)
{
	int r = begin(t);

	if (r != LMODEL_OK)
		return r;
	if (len > t->request->sink_limit - t->taken)
		return lm_fail(&t->error, LMODEL_ECORRUPT, "%s: sends more than %ju bytes",
			       t->url->label, (uintmax_t)t->request->sink_limit);
	t->taken += len;
	return t->request->sink(t->request->sink_context, bytes, len, &t->error);
}

static int keep_body(struct transfer *t, const char *bytes, size_t len)
{
	struct lm_http_response *response = t->response;
	size_t limit = is_success(t) ? LM_HTTP_BODY_LIMIT : ERROR_BODY_LIMIT;

	if (len > limit - response->body_len) {
		if (is_success(t))
			return lm_fail(&t->error, LMODEL_ELIMIT,
				       "%s: sends more than %zu bytes of what should be short",
				       t->url->label, limit);
		len = limit - response->body_len;
		t->enough = true;
	}
	if (response->body_len + len >= t->capacity) {
		size_t capacity = LM_MIN(2 * (response->body_len + len) + 1, limit + 1);
		char *grown = realloc(response->body, capacity);

		if (grown == NULL)
			return lm_fail_memory(&t->error);
		response->body = grown;
		t->capacity = capacity;
	}
	memcpy(response->body + response->body_len, bytes, len);
	response->body_len += len;
	response->body[response->body_len] = '\0';
	return LMODEL_OK;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct transfer *t = context;
	size_t len = size * count;
	int r;

	t->moved += len;
	__atomic_add_fetch(&t->http->usage.received, len, __ATOMIC_RELAXED);
	r = is_success(t) && t->request->sink != NULL ? to_sink(t, bytes, len) :
	    keep_body(t, bytes, len);
	if (r != LMODEL_OK) /* a sink may say so in its code alone */
		lm_fail(&t->error, (enum lmodel_code)r, "%s: not wanted any more", t->url->label);
	return r == LMODEL_OK && !t->enough ? len : 0;
}

/* ---- what goes ---- */

static size_t on_read(char *buffer, size_t size, size_t count, void *context)
{
	struct transfer *t = context;
	const struct lm_http_body *body = t->request->body;
	size_t len = (size_t)LM_MIN((uint64_t)(size * count), body->length - t->sent);

	if (body->bytes != NULL)
		memcpy(buffer, (const char *)body->bytes + t->sent, len);
	else if (len > 0 && lm_read_at(body->fd, body->label, buffer, len, body->offset + t->sent,
				       &t->error))
		return CURL_READFUNC_ABORT;
	t->sent += len;
	t->moved += len;
	__atomic_add_fetch(&t->http->usage.sent, len, __ATOMIC_RELAXED);
	return len;
}

/* libcurl starts the body anew when a connection that it kept turns out to be closed: not that of a
 * request that must not be repeated, of which a part may have arrived. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
	struct transfer *t = context;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->request->body->length)
		return CURL_SEEKFUNC_CANTSEEK;
	t->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static bool append(const struct lm_curl *curl, struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl->slist_append(*list, text);

	if (longer != NULL)
		*list = longer;
	return longer != NULL;
}

static bool make_headers(struct transfer *t, bool authorize, struct curl_slist **list)
{
	const struct lm_curl *curl = t->http->curl;
	const char *const *more = t->request->headers;
	bool ok = append(curl, list, "Expect:");

	for (; ok && more != NULL && *more != NULL; more++)
		ok = append(curl, list, *more);
	if (ok && authorize) {
		char *line = lm_format(&t->error, "Authorization: %s", t->request->authorization);

		ok = line != NULL && append(curl, list, line);
		if (line != NULL)
			lm_wipe(line, strlen(line));
		free(line);
	}
	return ok;
}

static void free_headers(const struct lm_curl *curl, struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		lm_wipe(l->data, strlen(l->data));
	curl->slist_free_all(list);
}

#define SET(option, value) (code = code != CURLE_OK ? code : \
			    curl->easy_setopt(easy, (option), (value)))

/* Where the certificates of authorities are, when not where libcurl was told at its building: the
 * same variables as curl(1) has. */
static CURLcode set_authorities(const struct lm_curl *curl, CURL *easy)
{
	const char *file = getenv("CURL_CA_BUNDLE"), *directory = getenv("SSL_CERT_DIR");
	CURLcode code = CURLE_OK;

	if (file == NULL)
		file = getenv("SSL_CERT_FILE");
	if (file != NULL)
		SET(CURLOPT_CAINFO, file);
	if (directory != NULL)
		SET(CURLOPT_CAPATH, directory);
	return code;
}

static CURLcode set_method(struct transfer *t, const struct lm_curl *curl, CURL *easy)
{
	const struct lm_http_request *request = t->request;
	bool upload = request->body != NULL || strcmp(request->method, "POST") == 0 ||
		      strcmp(request->method, "PUT") == 0 || strcmp(request->method, "PATCH") == 0;
	CURLcode code = CURLE_OK;

	if (strcmp(request->method, "HEAD") == 0)
		return SET(CURLOPT_NOBODY, 1L);
	if (!upload)
		return SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_INFILESIZE_LARGE,
	    request->body == NULL ? (curl_off_t)0 : (curl_off_t)request->body->length);
	if (request->body != NULL) {
		SET(CURLOPT_READFUNCTION, on_read);
		SET(CURLOPT_READDATA, t);
	}
	if (request->body != NULL && !request->once) {
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, t);
	}
	return code;
}

static CURLcode set_options(struct transfer *t, const struct lm_curl *curl, CURL *easy,
			    struct curl_slist *list, char *problem)
{
	CURLcode code = CURLE_OK;

	SET(CURLOPT_URL, t->url->text);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_HTTPHEADER, list);
	SET(CURLOPT_USERAGENT, "lmodel/" LMODEL_VERSION_STRING);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_ERRORBUFFER, problem);
	SET(CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_BUFFERSIZE, (long)BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (t->url->loopback) /* a proxy's own loopback is not this machine's */
		SET(CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = set_authorities(curl, easy);
	return code != CURLE_OK ? code : set_method(t, curl, easy);
}

/* ---- while it goes ---- */

/* Whether to go on: nobody wants it to stop, and it has not come to a standstill. */
static int watch(struct transfer *t)
{
	const struct lm_http_options *options = &t->http->options;
	const struct lm_http_body *body = t->request->body;
	int64_t now = lm_http_clock(), seconds = options->slow_seconds;

	if (options->stopped != NULL && now - t->asked_ms >= STOPPED_MS) {
		t->asked_ms = now;
		if (options->stopped(options->context) != 0)
			return lm_fail(&t->error, LMODEL_EFAILED, "interrupted");
	}
	if (body != NULL && t->sent == body->length && t->header_bytes == 0)
		seconds *= ANSWER_FACTOR;
	if (now - t->window_ms < seconds * 1000)
		return LMODEL_OK;
	if (t->moved - t->window_moved < (uint64_t)seconds * LM_HTTP_SLOW_BYTES) {
		t->response->broken = true;
		return lm_fail(&t->error, LMODEL_EFAILED,
			       "%s: given up: less than %d bytes a second for %d seconds",
			       t->url->label, LM_HTTP_SLOW_BYTES, (int)seconds);
	}
	t->window_ms = now;
	t->window_moved = t->moved;
	return LMODEL_OK;
}

static int drive(struct transfer *t, struct lm_connection *connection, CURLcode *result)
{
	const struct lm_curl *curl = t->http->curl;
	int running = 1, left;
	CURLMcode m = CURLM_OK;
	CURLMsg *message;

	while (m == CURLM_OK && running) {
		m = curl->multi_perform(connection->multi, &running);
		if (m == CURLM_OK && running && watch(t) != LMODEL_OK)
			return (int)t->error.code;
		if (m == CURLM_OK && running)
			m = curl->multi_poll(connection->multi, NULL, 0, POLL_MS, NULL);
	}
	if (m != CURLM_OK)
		return lm_fail(&t->error, LMODEL_EFAILED, "%s: %s", t->url->label,
			       curl->multi_strerror(m));
	while ((message = curl->multi_info_read(connection->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
			*result = message->data.result;
	return LMODEL_OK;
}

static const struct {
	CURLcode code;
	bool passing; /* trying again can help */
	const char *text;
} failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, false, "there is no such host" },
	{ CURLE_COULDNT_RESOLVE_PROXY, false, "there is no such proxy" },
	{ CURLE_PEER_FAILED_VERIFICATION, false, "its certificate is not trusted" },
	{ CURLE_COULDNT_CONNECT, true, "cannot connect" },
	{ CURLE_OPERATION_TIMEDOUT, true, "cannot connect in time" },
	{ CURLE_SSL_CONNECT_ERROR, true, "TLS cannot be set up" },
	{ CURLE_GOT_NOTHING, true, "the connection broke" },
	{ CURLE_HTTP2, true, "the connection broke" },
	{ CURLE_HTTP2_STREAM, true, "the connection broke" },
	{ CURLE_PARTIAL_FILE, true, "the connection broke" },
	{ CURLE_RECV_ERROR, true, "the connection broke" },
	{ CURLE_SEND_ERROR, true, "the connection broke" },
	{ CURLE_SEND_FAIL_REWIND, true, "the connection broke" },
};

static int judge(struct transfer *t, CURLcode result, const char *problem)
{
	const char *text = t->http->curl->easy_strerror(result);
	char detail[LM_QUOTE_SIZE] = "";

	if (result == CURLE_OK || (t->enough && t->error.code == LMODEL_OK)) {
		if (t->response->status < 100 || t->response->status > 599)
			return lm_fail(&t->error, LMODEL_ECORRUPT, "%s: status %ld", t->url->label,
				       t->response->status);
		return is_success(t) && t->request->sink != NULL ? begin(t) : LMODEL_OK;
	}
	/* only TLS has more to say than its code does; of the rest, some has addresses in it */
	if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CONNECT_ERROR)
		lmodel_escape(detail, sizeof(detail), problem);
	for (size_t i = 0; i < LM_COUNT(failures); i++)
		if (failures[i].code == result) {
			text = failures[i].text;
			t->response->broken = t->error.code == LMODEL_OK && failures[i].passing;
		}
	return lm_fail(&t->error, LMODEL_EFAILED, "%s: %s%s%s", t->url->label, text,
		       detail[0] != '\0' ? ": " : "", detail);
}

static int run(struct transfer *t, struct lm_connection *connection, bool authorize)
{
	const struct lm_curl *curl = t->http->curl;
	char problem[CURL_ERROR_SIZE] = "";
	struct curl_slist *list = NULL;
	CURLcode result = CURLE_OK;
	curl_off_t length = -1;
	int r;

	curl->easy_reset(connection->easy);
	if (!make_headers(t, authorize, &list) ||
	    set_options(t, curl, connection->easy, list, problem) != CURLE_OK ||
	    curl->multi_add_handle(connection->multi, connection->easy) != CURLM_OK) {
		r = lm_fail(&t->error, LMODEL_EFAILED, "%s: the request cannot be made",
			    t->url->label);
	} else {
		r = drive(t, connection, &result);
		curl->multi_remove_handle(connection->multi, connection->easy);
		if (r == LMODEL_OK)
			r = judge(t, result, problem);
		curl->easy_getinfo(connection->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
		t->response->content_length = length < 0 ? UINT64_MAX : (uint64_t)length;
	}
	curl->easy_reset(connection->easy); /* which has pointers to what ends here */
	free_headers(curl, list);
	return r;
}

int lm_transfer(struct lm_http *http, struct lm_connection *connection,
		const struct lm_http_request *request, const struct lm_url *url, bool authorize,
		struct lm_http_response *response, struct lmodel_error *error)
{
	int64_t now = lm_http_clock();
	struct transfer t = {
		.http = http, .request = request, .url = url, .response = response,
		.window_ms = now, .error = LMODEL_ERROR_INIT,
	};
	int r;

	__atomic_add_fetch(&http->usage.requests, 1, __ATOMIC_RELAXED);
	r = run(&t, connection, authorize);
	if (r == LMODEL_OK)
		return r;
	/* what a callback found comes before what libcurl makes of it */
	return lm_fail(error, t.error.code, "%s", t.error.message);
}
