/* Uploads of blobs (distribution-spec 1.1, "Pushing blobs"): in chunks, each answered with how much
 * has arrived and where to go on, which is believed only when it is what was sent. */
#include "net/fields.h"
#include "net/repository.h"
#include "net/upload_session.h"

#include <stdio.h>

#define CHUNK (UINT64_C(16) << 20)
#define CHUNK_LIMIT (UINT64_C(1) << 32) /* what a registry may ask for */
#define WHOLE (UINT64_C(1) << 20)       /* less goes in one request: nothing to go on with */
#define PROGRESS (UINT64_C(1) << 20)    /* less between two failures makes them a row */

enum { RESTARTS = 3 };

struct upload {
	struct lm_registry *registry;
	const char *digest;
	const struct lm_http_body *body;
	const struct lm_upload_options *options;
	struct lm_upload_session session;
	uint64_t chunk, minimum;
	uint64_t arrived;         /* what the registry has */
	uint64_t failed_at;       /* the most of `arrived` at a failure */
	unsigned failures, restarts;
	bool resumed;             /* some of it was sent before something broke */
	bool done;
};

static struct lm_http_body slice(const struct lm_http_body *body, uint64_t offset, uint64_t length)
{
	struct lm_http_body part = *body;

	if (part.bytes != NULL)
		part.bytes = (const uint8_t *)part.bytes + offset;
	part.offset += offset;
	part.length = length;
	return part;
}

static int ask(struct upload *u, struct lm_http_request *request,
	       struct lm_http_response *response, struct lmodel_error *error)
{
	return lm_registry_perform(u->registry, request, LM_ACCESS_PUSH, NULL, response, error);
}

/* Where the answer says to go on. An answer without it leaves the place as it was. */
static int move(struct upload *u, const struct lm_http_response *response,
		struct lmodel_error *error)
{
	char *location;

	if (response->header[LM_HTTP_LOCATION] == NULL)
		return LMODEL_OK;
	if (lm_http_resolve(u->registry->http, response->url, response->header[LM_HTTP_LOCATION],
			    &location, NULL, error))
		return LMODEL_ECORRUPT;
	return lm_upload_session_move(&u->session, location, error);
}

static int report(struct upload *u, struct lmodel_error *error)
{
	if (u->options->progress != NULL &&
	    u->options->progress(u->options->context, u->arrived) != 0)
		return lm_fail(error, LMODEL_EFAILED, "interrupted");
	return LMODEL_OK;
}

/* ---- where it stands ---- */

/* Forgets the session; the next one starts from nothing. */
static int restart(struct upload *u, const char *why, struct lmodel_error *error)
{
	if (u->restarts++ == RESTARTS)
		return lm_fail(error, LMODEL_EFAILED, "%s: blob %s: upload given up: %s",
			       u->registry->label, u->digest, why);
	u->arrived = 0;
	u->resumed = false;
	return lm_upload_session_move(&u->session, NULL, error);
}

static int start(struct upload *u, struct lmodel_error *error)
{
	LM_FREE char *url = lm_registry_url(u->registry, "blobs/uploads/", error);
	struct lm_http_request request = { .method = "POST", .url = url };
	struct lm_http_response response;
	const char *least;
	int r;

	if (url == NULL)
		return LMODEL_EFAILED;
	r = ask(u, &request, &response, error);
	if (r != LMODEL_OK)
		return r;
	least = response.header[LM_HTTP_CHUNK_MIN];
	u->minimum = 0;
	if (response.status != 202)
		r = lm_registry_unexpected(u->registry, "upload", &response, error);
	else if (response.header[LM_HTTP_LOCATION] == NULL)
		r = lm_fail(error, LMODEL_ECORRUPT, "%s: an upload without a location",
			    u->registry->label);
	else if (least != NULL && (!lm_decimal_parse(least, strlen(least), &u->minimum) ||
				   u->minimum > CHUNK_LIMIT))
		r = lm_fail(error, LMODEL_EUNSUPPORTED, "%s: wants chunks of at least %s bytes",
			    u->registry->label, LM_QUOTE(least));
	else
		r = move(u, &response, error);
	u->arrived = 0;
	lm_http_response_free(&response);
	return r;
}

/* Asks the registry how much of the session it has. */
static int look(struct upload *u, struct lmodel_error *error)
{
	struct lm_http_request request = { .method = "GET", .url = u->session.location };
	struct lm_http_response response;
	const char *range;
	uint64_t arrived = 0;
	int r = ask(u, &request, &response, error);

	if (r != LMODEL_OK)
		return r;
	range = response.header[LM_HTTP_RANGE];
	if (response.status == 204 && (range == NULL || lm_upload_range_parse(range, &arrived)) &&
	    arrived <= u->body->length) {
		u->arrived = arrived;
		u->resumed = true;
		r = move(u, &response, error);
	} else if (response.broken || response.status == 401 || response.status == 403) {
		r = lm_registry_unexpected(u->registry, "upload", &response, error);
	} else {
		r = restart(u, "the registry has forgotten it", error);
	}
	lm_http_response_free(&response);
	return r;
}

/* After something went wrong that may pass: waits, and finds out where things stand. */
static int recover(struct upload *u, const struct lm_http_response *response,
		   const struct lmodel_error *why, struct lmodel_error *error)
{
	u->failures = u->arrived >= u->failed_at + PROGRESS ? 1 : u->failures + 1;
	u->failed_at = LM_MAX(u->failed_at, u->arrived); /* what is lost and sent again is no gain */
	if (lm_http_pause(u->registry->http, u->failures, response, NULL) != LMODEL_OK)
		return lm_fail(error, why->code, u->failures > 1 ? "%s (tried %u times)" : "%s",
			       why->message, u->failures);
	return look(u, error);
}

/* ---- sending ---- */

/* How much the registry says that it has. Some say nothing. */
static bool echoes(const struct lm_http_response *response, uint64_t arrived)
{
	const char *range = response->header[LM_HTTP_RANGE];
	uint64_t said;

	return range == NULL || (lm_upload_range_parse(range, &said) &&
				 (said == arrived || (said == 0 && arrived == 1)));
}

static int send_chunk(struct upload *u, struct lmodel_error *error)
{
	uint64_t most = LM_MAX(u->chunk, u->minimum), left = u->body->length - u->arrived;
	struct lm_http_body part = slice(u->body, u->arrived, LM_MIN(most, left));
	char range[64];
	const char *const headers[] = { "Content-Type: application/octet-stream", range, NULL };
	struct lm_http_request request = {
		.method = "PATCH", .url = u->session.location, .headers = headers, .body = &part,
		.once = true,
	};
	struct lm_http_response response;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	snprintf(range, sizeof(range), "Content-Range: %ju-%ju", (uintmax_t)u->arrived,
		 (uintmax_t)(u->arrived + part.length - 1));
	r = ask(u, &request, &response, &local);
	if (r == LMODEL_OK && (response.status == 202 || response.status == 204)) {
		if (!echoes(&response, u->arrived + part.length)) {
			r = restart(u, "the registry has other bytes than were sent", error);
		} else {
			u->arrived += part.length;
			r = move(u, &response, error);
			if (r == LMODEL_OK)
				r = report(u, error);
		}
	} else if (r == LMODEL_OK && response.broken) {
		lm_registry_unexpected(u->registry, "upload", &response, &local);
		r = recover(u, &response, &local, error);
	} else if (r == LMODEL_OK && (response.status == 404 || response.status == 416)) {
		lm_registry_unexpected(u->registry, "upload", &response, &local);
		r = recover(u, NULL, &local, error);
	} else if (r == LMODEL_OK) {
		r = lm_registry_unexpected(u->registry, "upload", &response, error);
	} else if (response.broken) {
		r = recover(u, NULL, &local, error);
	} else {
		r = lm_fail(error, local.code, "%s", local.message);
	}
	lm_http_response_free(&response);
	return r;
}

/* 201, or what the registry makes of it. */
static int confirm(struct upload *u, const struct lm_http_response *response,
		   struct lmodel_error *error)
{
	int r = lm_registry_check_digest(u->registry, response, u->digest, error);

	if (r == LMODEL_OK && response->header[LM_HTTP_DIGEST] != NULL) {
		u->done = true;
	} else if (r == LMODEL_OK) {
		r = lm_registry_has_blob(u->registry, u->digest, u->body->length, &u->done, error);
		if (r == LMODEL_OK && !u->done)
			r = lm_fail(error, LMODEL_EFAILED,
				    "%s: blob %s was uploaded and is not there", u->registry->label,
				    u->digest);
	}
	return r;
}

/* The request may have got through where its answer did not. */
static int finish_again(struct upload *u, const struct lm_http_response *response,
			const struct lmodel_error *why, struct lmodel_error *error)
{
	int r = lm_registry_has_blob(u->registry, u->digest, u->body->length, &u->done, error);

	return r != LMODEL_OK || u->done ? r : recover(u, response, why, error);
}

/* Ends the upload with its digest, and with all bytes that have not gone yet (a short blob's). */
static int finish(struct upload *u, struct lmodel_error *error)
{
	struct lm_http_body rest = slice(u->body, u->arrived, u->body->length - u->arrived);
	static const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
	LM_FREE char *url = lm_format(error, "%s%cdigest=%s", u->session.location,
				      strchr(u->session.location, '?') == NULL ? '?' : '&',
				      u->digest);
	struct lm_http_request request = {
		.method = "PUT", .url = url, .headers = headers, .body = &rest, .once = true,
	};
	struct lm_http_response response;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int r;

	if (url == NULL)
		return LMODEL_EFAILED;
	r = ask(u, &request, &response, &local);
	if (r == LMODEL_OK && (response.status == 201 || response.status == 204)) {
		r = confirm(u, &response, error);
	} else if (r == LMODEL_OK && (response.broken || response.status == 404)) {
		lm_registry_unexpected(u->registry, "upload", &response, &local);
		r = finish_again(u, response.broken ? &response : NULL, &local, error);
	} else if (r == LMODEL_OK && response.status == 400) {
		r = u->resumed ? restart(u, "the registry finds another digest", error) :
		    lm_fail(error, LMODEL_ECORRUPT,
			    "%s: the registry finds another digest than %s in what was sent",
			    u->registry->label, u->digest);
	} else if (r == LMODEL_OK && response.status == 416) {
		lm_registry_unexpected(u->registry, "upload", &response, &local);
		r = recover(u, NULL, &local, error);
	} else if (r == LMODEL_OK) {
		r = lm_registry_unexpected(u->registry, "upload", &response, error);
	} else if (response.broken) {
		r = finish_again(u, NULL, &local, error);
	} else {
		r = lm_fail(error, local.code, "%s", local.message);
	}
	lm_http_response_free(&response);
	return r;
}

static int run(struct upload *u, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (u->session.location != NULL) {
		r = look(u, error);
		if (r == LMODEL_OK && u->arrived > 0)
			r = report(u, error);
	}
	while (r == LMODEL_OK && !u->done) {
		if (u->session.location == NULL)
			r = start(u, error);
		else if (u->arrived == u->body->length ||
			 (u->arrived == 0 && u->body->length <= LM_MIN(u->chunk, WHOLE)))
			r = finish(u, error);
		else
			r = send_chunk(u, error);
	}
	return r;
}

int lm_registry_put_blob(struct lm_registry *registry, const char *digest,
			 const struct lm_http_body *body, const struct lm_upload_options *options,
			 struct lmodel_error *error)
{
	static const struct lm_upload_options defaults = { 0 };
	struct upload u = {
		.registry = registry, .digest = digest, .body = body,
		.options = options != NULL ? options : &defaults,
		.session = LM_UPLOAD_SESSION_INIT,
	};
	int r;

	if (!lm_digest_check(digest))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a SHA-256 digest: %s",
			       registry->label, LM_QUOTE(digest));
	u.chunk = u.options->chunk != 0 ? u.options->chunk : CHUNK;
	r = lm_upload_session_open(&u.session, u.options->state, registry->base,
				   registry->reference->name, digest, body->length, error);
	if (r == LMODEL_OK)
		r = run(&u, error);
	if (r == LMODEL_OK) {
		lm_upload_session_remove(&u.session);
		u.arrived = body->length;
		r = report(&u, error);
	}
	lm_upload_session_close(&u.session);
	return r;
}
