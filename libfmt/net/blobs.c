#include "net/repository.h"

#include <stdio.h>

#include "crypto/crypto.h"
#include "net/fields.h"

enum {
	PROGRESS = 1 << 20, /* a try that brings less counts as one more failure */
	SPARE = 1 << 20,    /* of an answer that is no range, what may be read in vain */
};

static char *blob_url(const struct lm_registry *registry, const char *digest,
		      struct lmodel_error *error)
{
	char rest[16 + LM_DIGEST_SIZE];

	if (!lm_digest_check(digest)) {
		lm_fail(error, LMODEL_ECORRUPT, "%s: not a SHA-256 digest: %s", registry->label,
			LM_QUOTE(digest));
		return NULL;
	}
	snprintf(rest, sizeof(rest), "blobs/%s", digest);
	return lm_registry_url(registry, rest, error);
}

int lm_registry_has_blob(struct lm_registry *registry, const char *digest, uint64_t size,
			 bool *has, struct lmodel_error *error)
{
	LM_FREE char *url = blob_url(registry, digest, error);
	struct lm_http_request request = { .method = "HEAD", .url = url };
	struct lm_http_response response;
	int r;

	*has = false;
	if (url == NULL)
		return lm_digest_check(digest) ? LMODEL_EFAILED : LMODEL_ECORRUPT;
	r = lm_registry_perform(registry, &request, LM_ACCESS_PULL, NULL, &response, error);
	if (r != LMODEL_OK)
		return r;
	if (response.status == 200) {
		r = lm_registry_check_digest(registry, &response, digest, error);
		if (r == LMODEL_OK && response.content_length != UINT64_MAX &&
		    response.content_length != size)
			r = lm_fail(error, LMODEL_ECORRUPT,
				    "%s: blob %s has %ju bytes in the registry, not %ju",
				    registry->label, digest, (uintmax_t)response.content_length,
				    (uintmax_t)size);
		*has = r == LMODEL_OK;
	} else if (response.status != 404) {
		r = lm_registry_unexpected(registry, digest, &response, error);
	}
	lm_http_response_free(&response);
	return r;
}

/* A session that a mount has opened instead, and nobody uses; whether that works is all the
 * same. */
static void cancel(struct lm_registry *registry, const struct lm_http_response *mount)
{
	LM_FREE char *url = NULL;
	struct lm_http_request request = { .method = "DELETE", .once = true };
	struct lm_http_response response;

	if (mount->header[LM_HTTP_LOCATION] == NULL ||
	    lm_http_resolve(registry->http, mount->url, mount->header[LM_HTTP_LOCATION], &url, NULL,
			    NULL))
		return;
	request.url = url;
	if (lm_registry_perform(registry, &request, LM_ACCESS_PUSH, NULL, &response, NULL) ==
	    LMODEL_OK)
		lm_http_response_free(&response);
}

int lm_registry_mount(struct lm_registry *registry, const char *digest, const char *from,
		      bool *mounted, struct lmodel_error *error)
{
	char rest[64 + LM_DIGEST_SIZE + 256];
	LM_FREE char *url = NULL;
	struct lm_http_request request = { .method = "POST" };
	struct lm_http_response response;
	int r;

	*mounted = false;
	if (!lm_digest_check(digest) || !lm_reference_is_name(from) || strlen(from) > 255)
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a blob of a repository: %s, %s",
			       registry->label, LM_QUOTE(digest), LM_QUOTE(from));
	snprintf(rest, sizeof(rest), "blobs/uploads/?mount=%s&from=%s", digest, from);
	url = lm_registry_url(registry, rest, error);
	if (url == NULL)
		return LMODEL_EFAILED;
	request.url = url;
	r = lm_registry_perform(registry, &request, LM_ACCESS_PUSH, from, &response, error);
	if (r != LMODEL_OK)
		return r;
	if (response.status == 201) {
		r = lm_registry_check_digest(registry, &response, digest, error);
		*mounted = r == LMODEL_OK;
	} else if (response.status == 202) {
		cancel(registry, &response);
	} else if (response.status / 100 != 4) {
		r = lm_registry_unexpected(registry, "mount", &response, error);
	}
	lm_http_response_free(&response);
	return r;
}

/* ---- all of one ---- */

struct fetch {
	struct lm_registry *registry;
	const char *digest;
	uint64_t size, done;    /* of the blob; done has been hashed and given on */
	uint64_t at;            /* where the next byte of this answer belongs */
	bool started;           /* the answer's headers have been looked at */
	struct lm_hash *hash;
	lm_http_sink *sink;
	void *context;
	struct lm_http_response response;
};

/* Where the body of an answer begins: a 206 says so, a 200 starts over. */
static int start_body(struct fetch *f, struct lmodel_error *error)
{
	const char *range = f->response.header[LM_HTTP_CONTENT_RANGE];
	uint64_t first, last, size;

	f->started = true;
	f->at = 0;
	if (f->response.status != 206)
		return LMODEL_OK;
	if (range == NULL || !lm_content_range_parse(range, &first, &last, &size) ||
	    first != f->done || last != f->size - 1 || (size != UINT64_MAX && size != f->size))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: another part of blob %s than was asked for: %s",
			       f->registry->label, f->digest, LM_QUOTE(range != NULL ? range : ""));
	f->at = first;
	return LMODEL_OK;
}

static int begin_fetch(void *context)
{
	((struct fetch *)context)->started = false;
	return 0;
}

static int take(void *context, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct fetch *f = context;
	const uint8_t *p = bytes;
	int r = f->started ? LMODEL_OK : start_body(f, error);

	if (r != LMODEL_OK)
		return r;
	if (len > f->size - f->at)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: blob %s has more than %ju bytes",
			       f->registry->label, f->digest, (uintmax_t)f->size);
	f->at += len;
	if (f->at <= f->done) /* again what an earlier try brought */
		return LMODEL_OK;
	if (f->at - f->done < len) {
		p += len - (f->at - f->done);
		len = (size_t)(f->at - f->done);
	}
	lm_hash_add(f->hash, p, len);
	f->done += len;
	return f->sink(f->context, p, len, error);
}

static int try_fetch(struct fetch *f, const char *url, struct lmodel_error *error)
{
	char range[64];
	const char *const headers[] = { range, NULL };
	struct lm_http_request request = {
		.method = "GET", .url = url, .headers = f->done > 0 ? headers : NULL, .sink = take,
		.begin = begin_fetch, .sink_context = f, .sink_limit = f->size, .once = true,
	};

	snprintf(range, sizeof(range), "Range: bytes=%ju-%ju", (uintmax_t)f->done,
		 (uintmax_t)(f->size - 1));
	return lm_registry_perform(f->registry, &request, LM_ACCESS_PULL, NULL, &f->response,
				   error);
}

/* Tries until all is there, or too many tries in a row brought next to nothing. */
static int fetch(struct fetch *f, const char *url, struct lmodel_error *error)
{
	for (unsigned failures = 0;;) {
		struct lmodel_error local = LMODEL_ERROR_INIT;
		uint64_t before = f->done;
		int r = try_fetch(f, url, &local);

		if (r == LMODEL_OK && !f->response.broken) {
			if (f->response.status != 200 && f->response.status != 206)
				return lm_registry_unexpected(f->registry, f->digest, &f->response,
							      error);
			if (f->done < f->size)
				return lm_fail(error, LMODEL_ECORRUPT,
					       "%s: blob %s ends after %ju of %ju bytes",
					       f->registry->label, f->digest, (uintmax_t)f->done,
					       (uintmax_t)f->size);
			return LMODEL_OK;
		}
		/* all is there: the digest says whether it counts */
		if (f->done == f->size && f->response.broken)
			return LMODEL_OK;
		if (r == LMODEL_OK)
			lm_registry_unexpected(f->registry, f->digest, &f->response, &local);
		if (!f->response.broken)
			return lm_fail(error, local.code, "%s", local.message);
		failures = f->done - before >= PROGRESS ? 1 : failures + 1;
		if (lm_http_pause(f->registry->http, failures, r == LMODEL_OK ? &f->response : NULL,
				  NULL) != LMODEL_OK)
			return lm_fail(error, local.code,
				       failures > 1 ? "%s (tried %u times)" : "%s", local.message,
				       failures);
		lm_http_response_free(&f->response);
	}
}

int lm_registry_get_blob(struct lm_registry *registry, const char *digest, uint64_t size,
			 lm_http_sink *sink, void *context, struct lmodel_error *error)
{
	LM_FREE char *url = blob_url(registry, digest, error);
	struct fetch f = {
		.registry = registry, .digest = digest, .size = size, .sink = sink,
		.context = context,
	};
	uint8_t sha256[LM_SHA256_SIZE];
	char got[LM_DIGEST_SIZE];
	int r;

	if (url == NULL)
		return lm_digest_check(digest) ? LMODEL_EFAILED : LMODEL_ECORRUPT;
	f.hash = lm_hash_new(error);
	if (f.hash == NULL)
		return LMODEL_EFAILED;
	r = fetch(&f, url, error);
	lm_http_response_free(&f.response);
	if (r == LMODEL_OK) {
		lm_hash_finish(f.hash, sha256);
		lm_digest_text(got, sha256);
		if (strcmp(got, digest) != 0)
			r = lm_fail(error, LMODEL_ECORRUPT,
				    "%s: blob %s is another one: its digest is %s", registry->label,
				    digest, got);
	}
	lm_hash_free(f.hash);
	return r;
}

/* ---- a part of one ---- */

struct part {
	struct lm_registry *registry;
	const char *digest;
	uint64_t offset;
	uint8_t *buffer;
	size_t len;
	uint64_t at;   /* where the next byte of the answer belongs */
	bool started, complete;
	struct lm_http_response response;
};

static int start_part(struct part *p, struct lmodel_error *error)
{
	const char *range = p->response.header[LM_HTTP_CONTENT_RANGE];
	uint64_t first, last, size;

	p->started = true;
	p->at = 0;
	if (p->response.status != 206) {
		if (p->offset > SPARE)
			return lm_fail(error, LMODEL_EUNSUPPORTED,
				       "%s: the registry gives no parts of blobs",
				       p->registry->label);
		return LMODEL_OK;
	}
	if (range == NULL || !lm_content_range_parse(range, &first, &last, &size) ||
	    first != p->offset || last != p->offset + p->len - 1)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: another part of blob %s than was asked for: %s",
			       p->registry->label, p->digest, LM_QUOTE(range != NULL ? range : ""));
	p->at = p->offset;
	return LMODEL_OK;
}

static int begin_part(void *context)
{
	((struct part *)context)->started = false;
	return 0;
}

static int take_part(void *context, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct part *p = context;
	const uint8_t *b = bytes;
	uint64_t end = p->offset + p->len;
	int r = p->started ? LMODEL_OK : start_part(p, error);

	if (r != LMODEL_OK)
		return r;
	if (p->at < p->offset) {
		size_t skip = (size_t)LM_MIN(p->offset - p->at, (uint64_t)len);

		b += skip;
		len -= skip;
		p->at += skip;
	}
	if (p->response.status == 206 && len > end - p->at) {
		p->complete = false;
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: more of blob %s than was asked for", p->registry->label,
			       p->digest);
	}
	if (len > 0 && p->at < end) {
		size_t n = (size_t)LM_MIN((uint64_t)len, end - p->at);

		memcpy(p->buffer + (p->at - p->offset), b, n);
		p->at += n;
	}
	p->complete = p->at == end;
	/* the rest of what was not asked for need not come */
	return p->complete && p->response.status != 206 ?
	       lm_fail(error, LMODEL_EFAILED, "enough") : LMODEL_OK;
}

int lm_registry_get_range(struct lm_registry *registry, const char *digest, uint64_t offset,
			  void *buffer, size_t len, struct lmodel_error *error)
{
	LM_FREE char *url = blob_url(registry, digest, error);
	struct part p = {
		.registry = registry, .digest = digest, .offset = offset, .buffer = buffer,
		.len = len,
	};
	char range[64];
	const char *const headers[] = { range, NULL };
	struct lm_http_request request = {
		.method = "GET", .url = url, .headers = headers, .sink = take_part,
		.begin = begin_part, .sink_context = &p, .sink_limit = UINT64_MAX,
	};
	struct lmodel_error local = LMODEL_ERROR_INIT;
	uint64_t end;
	int r;

	if (url == NULL)
		return lm_digest_check(digest) ? LMODEL_EFAILED : LMODEL_ECORRUPT;
	if (len == 0)
		return LMODEL_OK;
	if (!lm_add(offset, len, &end))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: a part of a blob beyond all ends",
			       registry->label);
	snprintf(range, sizeof(range), "Range: bytes=%ju-%ju", (uintmax_t)offset,
		 (uintmax_t)(end - 1));
	r = lm_registry_perform(registry, &request, LM_ACCESS_PULL, NULL, &p.response, &local);
	if (r == LMODEL_OK && p.response.status != 206 && p.response.status != 200)
		r = lm_registry_unexpected(registry, digest, &p.response, error);
	else if (!p.complete)
		r = r != LMODEL_OK ? lm_fail(error, local.code, "%s", local.message) :
		    lm_fail(error, LMODEL_ECORRUPT, "%s: blob %s ends before byte %ju",
			    registry->label, digest, (uintmax_t)end);
	else
		r = LMODEL_OK;
	lm_http_response_free(&p.response);
	return r;
}
