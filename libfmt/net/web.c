#include "net/web.h"

#include <stdio.h>

#include "net/curl.h"
#include "net/fields.h"
#include "net/url.h"

/* Of the first request: what says where the manifest is. */
enum { PROBE = 4096 };

/* ---- one request ---- */

struct sink {
	const struct lm_web *web;
	uint8_t *bytes;
	size_t len, room;
};

static int begin(void *context)
{
	((struct sink *)context)->len = 0;
	return 0;
}

static int take(void *context, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct sink *s = context;

	if (len > s->room - s->len)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: the server sends more than was asked for: it cannot be read by "
			       "ranges; download the file", s->web->label);
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
	return LMODEL_OK;
}

static char *target_of(struct lm_web *web, bool *redirected, struct lmodel_error *error)
{
	char *url;

	pthread_mutex_lock(&web->lock);
	*redirected = web->target != NULL;
	url = lm_strdup(*redirected ? web->target : web->address, error);
	pthread_mutex_unlock(&web->lock);
	return url;
}

/* NULL: the address itself. */
static void set_target(struct lm_web *web, const char *url)
{
	char *copy = url != NULL && strcmp(url, web->address) != 0 ? lm_strdup(url, NULL) : NULL;

	pthread_mutex_lock(&web->lock);
	free(web->target);
	web->target = copy;
	pthread_mutex_unlock(&web->lock);
}

static bool is_strong(const char *etag)
{
	return etag != NULL && etag[0] == '"';
}

static int ask(struct lm_web *web, const char *url, uint64_t offset, struct sink *sink, size_t len,
	       struct lm_http_response *response, struct lmodel_error *error)
{
	LM_FREE char *range = lm_format(error, "Range: bytes=%ju-%ju", (uintmax_t)offset,
					(uintmax_t)(offset + len - 1));
	LM_FREE char *match = is_strong(web->etag) ?
				      lm_format(error, "If-Match: %s", web->etag) : NULL;
	const char *headers[] = { range, match, NULL };
	const struct lm_http_request request = {
		.method = "GET", .url = url, .headers = headers, .sink = take,
		.sink_context = sink, .begin = begin, .sink_limit = UINT64_MAX,
	};

	if (range == NULL || (match == NULL && is_strong(web->etag)))
		return LMODEL_EFAILED;
	return lm_http_perform(web->http, &request, response, error);
}

/* Redirects often lead to an address that is good for a while: that is asked at once, until it is
 * not answered any more. */
static int get(struct lm_web *web, uint64_t offset, struct sink *sink, size_t len,
	       struct lm_http_response *response, struct lmodel_error *error)
{
	bool redirected = false;
	LM_FREE char *url = target_of(web, &redirected, error);
	int r = url == NULL ? LMODEL_EFAILED : ask(web, url, offset, sink, len, response, error);

	if (r != LMODEL_OK)
		return r;
	if (redirected && response->status / 100 == 4 && response->status != 412 &&
	    response->status != 416) {
		lm_http_response_free(response);
		set_target(web, NULL);
		r = ask(web, web->address, offset, sink, len, response, error);
		if (r != LMODEL_OK)
			return r;
		redirected = false;
	}
	if (!redirected && response->status == 206)
		set_target(web, response->url);
	return LMODEL_OK;
}

static int refused(const struct lm_web *web, const struct lm_http_response *response,
		   struct lmodel_error *error)
{
	const char *what = response->status == 404 || response->status == 410 ?
				   "there is no such file" :
			   response->status == 401 || response->status == 403 ?
				   "the server refuses access" :
			   response->status == 416 ? "the server has no such bytes" :
						     "the server does not give it";

	return lm_fail(error, LMODEL_EFAILED, "%s: %s (HTTP status %ld)", web->label, what,
		       response->status);
}

/* ---- the first one ---- */

static int keep(char **field, const char *value, struct lmodel_error *error)
{
	if (value == NULL)
		return LMODEL_OK;
	*field = lm_strdup(value, error);
	return *field == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int learn(struct lm_web *web, const struct sink *sink,
		 const struct lm_http_response *response, struct lmodel_error *error)
{
	const char *range = response->header[LM_HTTP_CONTENT_RANGE];
	uint64_t first, last;

	web->head_len = sink->len;
	if (response->status == 200) {
		web->size = sink->len; /* that was all of it */
	} else if (response->status == 416 && range != NULL && strcmp(range, "bytes */0") == 0) {
		web->size = 0;
	} else if (response->status != 206) {
		return refused(web, response, error);
	} else if (range == NULL || !lm_content_range_parse(range, &first, &last, &web->size) ||
		   first != 0 || last + 1 != sink->len || (last != PROBE - 1 && last + 1 != web->size)) {
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: the server answers with other bytes than were asked for",
			       web->label);
	}
	if (web->size == UINT64_MAX)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: the server does not say how long the file is; download it",
			       web->label);
	if (web->size > LM_BLOCKMAP_SIZE_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: has %ju bytes; at most %ju are read from "
			       "elsewhere", web->label, (uintmax_t)web->size,
			       (uintmax_t)LM_BLOCKMAP_SIZE_LIMIT);
	if (keep(&web->etag, response->header[LM_HTTP_ETAG], error) ||
	    keep(&web->modified, response->header[LM_HTTP_LAST_MODIFIED], error))
		return LMODEL_EFAILED;
	return LMODEL_OK;
}

static int probe(struct lm_web *web, struct lmodel_error *error)
{
	struct sink sink = { .web = web, .room = LM_WEB_SMALL };
	struct lm_http_response response = { 0 };
	uint8_t *fitting;
	int r;

	web->head = sink.bytes = malloc(sink.room);
	if (sink.bytes == NULL)
		return lm_fail_memory(error);
	r = get(web, 0, &sink, PROBE, &response, error);
	if (r == LMODEL_OK)
		r = learn(web, &sink, &response, error);
	lm_http_response_free(&response);
	if (r != LMODEL_OK)
		return r;
	fitting = realloc(web->head, web->head_len + 1);
	web->head = fitting != NULL ? fitting : web->head;
	return LMODEL_OK;
}

int lm_web_open(struct lm_web *web, struct lm_http *http, const char *address,
		struct lmodel_error *error)
{
	const struct lm_curl *curl = lm_curl_load(error);
	struct lm_url url = { 0 };
	int r;

	*web = (struct lm_web){ .http = http };
	pthread_mutex_init(&web->lock, NULL);
	if (curl == NULL)
		return LMODEL_EFAILED;
	r = lm_url_parse(&url, curl, address, error);
	if (r != LMODEL_OK)
		return r;
	web->address = lm_strdup(url.text, error);
	web->label = lm_strdup(url.label, error);
	lm_url_free(&url);
	if (web->address == NULL || web->label == NULL)
		return LMODEL_EFAILED;
	return probe(web, error);
}

void lm_web_close(struct lm_web *web)
{
	pthread_mutex_destroy(&web->lock);
	free(web->address);
	free(web->label);
	free(web->etag);
	free(web->modified);
	free(web->head);
	free(web->target);
	*web = (struct lm_web){ 0 };
}

/* ---- all that follow ---- */

static const char *opaque(const char *etag)
{
	return etag + (strncmp(etag, "W/", 2) == 0 ? 2 : 0);
}

/* By the weak comparison: a file that is a second old has a weak tag, and the same one strong
 * later. One that is missing says nothing. */
static bool differs(const char *before, const char *now)
{
	if (before == NULL || now == NULL)
		return false;
	return strcmp(opaque(before), opaque(now)) != 0;
}

static int changed(const struct lm_web *web, struct lmodel_error *error)
{
	return lm_fail(error, LMODEL_EFAILED, "%s: changed while it was read; try again", web->label);
}

static int check(const struct lm_web *web, uint64_t offset, size_t len, const struct sink *sink,
		 const struct lm_http_response *response, struct lmodel_error *error)
{
	uint64_t first, last, size;
	const char *range;

	if (response->status == 412 || response->status == 416 ||
	    (response->status / 100 == 2 &&
	     (differs(web->etag, response->header[LM_HTTP_ETAG]) ||
	      differs(web->modified, response->header[LM_HTTP_LAST_MODIFIED]))))
		return changed(web, error);
	if (response->status == 200)
		return lm_fail(error, LMODEL_EUNSUPPORTED,
			       "%s: the server no longer gives ranges; download the file",
			       web->label);
	if (response->status != 206)
		return refused(web, response, error);
	range = response->header[LM_HTTP_CONTENT_RANGE];
	if (range == NULL || !lm_content_range_parse(range, &first, &last, &size))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the server's Content-Range is none",
			       web->label);
	if (size != UINT64_MAX && size != web->size)
		return changed(web, error);
	if (first != offset || last != offset + len - 1 || sink->len != len)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: the server answers with other bytes than were asked for",
			       web->label);
	return LMODEL_OK;
}

int lm_web_fetch(void *context, uint64_t offset, void *buffer, size_t len,
		 struct lmodel_error *error)
{
	struct lm_web *web = context;
	struct sink sink = { .web = web, .bytes = buffer, .room = len };
	struct lm_http_response response = { 0 };
	int r;

	if (web->head_len == web->size) { /* came whole */
		memcpy(buffer, web->head + offset, len);
		return LMODEL_OK;
	}
	r = get(web, offset, &sink, len, &response, error);
	if (r == LMODEL_OK)
		r = check(web, offset, len, &sink, &response, error);
	lm_http_response_free(&response);
	return r;
}

/* ---- identity ---- */

static void add(struct lm_hash *hash, const char *text, size_t len)
{
	uint8_t head[8];

	lm_put_u64(head, len);
	lm_hash_add(hash, head, sizeof(head));
	lm_hash_add(hash, text, len);
}

bool lm_web_identity(const struct lm_web *web, uint8_t key[LM_SHA256_SIZE])
{
	const char *etag = web->etag != NULL ? opaque(web->etag) : "";
	const char *modified = web->modified != NULL ? web->modified : "";
	struct lm_hash *hash;
	uint8_t size[8];

	if (etag[0] == '\0' && modified[0] == '\0')
		return false;
	hash = lm_hash_new(NULL);
	if (hash == NULL)
		return false;
	add(hash, "lmodel web", 10);
	add(hash, web->address, strcspn(web->address, "?"));
	add(hash, etag, strlen(etag));
	add(hash, modified, strlen(modified));
	lm_put_u64(size, web->size);
	lm_hash_add(hash, size, sizeof(size));
	lm_hash_finish(hash, key);
	lm_hash_free(hash);
	return true;
}
