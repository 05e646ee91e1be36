/* Archives that are read where they are. */
#include <lmodel/remote.h>

#include <fcntl.h>
#include <strings.h>

#include "archive/archive.h"
#include "archive/options.h"
#include "net/cache.h"
#include "net/ranges.h"
#include "net/reference.h"
#include "net/web.h"
#include "registry/grants.h"
#include "registry/remote_image.h"

struct remote {
	struct lm_http *http;
	struct lm_web web;             /* one of these is in use */
	struct lm_remote_image image;
	bool is_image;
	struct lm_ranges *ranges;
};

bool lmodel_is_remote(const char *text)
{
	return lm_reference_is_remote(text);
}

static void free_remote(struct remote *r)
{
	if (r == NULL)
		return;
	lm_ranges_free(r->ranges);
	if (r->is_image)
		lm_remote_image_close(&r->image);
	else
		lm_web_close(&r->web);
	lm_http_free(r->http);
	free(r);
}

/* ---- as a file ---- */

static int read_remote(void *source, void *buffer, size_t len, uint64_t offset,
		       struct lmodel_error *error)
{
	return lm_ranges_read(((struct remote *)source)->ranges, buffer, len, offset, error);
}

static void will_need(void *source, uint64_t offset, uint64_t len)
{
	lm_ranges_will_need(((struct remote *)source)->ranges, offset, len);
}

static bool doubt(void *source, uint64_t offset, uint64_t len)
{
	return lm_ranges_doubt(((struct remote *)source)->ranges, offset, len);
}

static void close_remote(void *source)
{
	free_remote(source);
}

static const struct lm_file_ops operations = {
	.read = read_remote, .will_need = will_need, .doubt = doubt, .close = close_remote,
};

/* ---- opening ---- */

static int open_store(const struct lmodel_remote_options *options, const uint8_t *key,
		      uint64_t size, struct lm_store **store, struct lmodel_error *error)
{
	static const uint8_t none[LM_SHA256_SIZE];
	uint64_t limit = options->cache_bytes;
	int directory = -1;

	if (limit == 0 && lm_cache_limit(&limit, error) != LMODEL_OK)
		return LMODEL_EUSAGE;
	if (key != NULL && !options->no_cache && limit > 0)
		directory = lm_cache_open(options->cache);
	*store = lm_store_open(directory, key != NULL ? key : none, size, limit, error);
	return *store == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int open_ranges(struct remote *r, const struct lmodel_remote_options *options,
		       struct lm_ranges_source *source, struct lmodel_error *error)
{
	struct lm_store *store = NULL;
	uint8_t key[LM_SHA256_SIZE];
	bool named = r->is_image;
	int code;

	if (r->is_image) {
		memcpy(key, r->image.key, sizeof(key));
		*source = (struct lm_ranges_source){
			.label = r->image.label, .size = r->image.image.layers.size,
			.fetch = lm_remote_image_fetch, .context = &r->image,
		};
	} else {
		named = lm_web_identity(&r->web, key);
		*source = (struct lm_ranges_source){
			.label = r->web.label, .size = r->web.size, .fetch = lm_web_fetch,
			.context = &r->web, .head = r->web.head, .head_len = r->web.head_len,
		};
	}
	code = open_store(options, named ? key : NULL, source->size, &store, error);
	if (code != LMODEL_OK)
		return code;
	r->ranges = lm_ranges_new(source, store, error);
	return r->ranges == NULL ? LMODEL_EFAILED : LMODEL_OK;
}

static int find_grant(struct lmodel_archive *archive, const struct lmodel_keyring *ring,
		      uint8_t **file, size_t *len, struct lmodel_error *error)
{
	const struct lm_remote_image *image = &((struct remote *)archive->file.source)->image;
	struct lm_grant_found found;
	int r = lm_grants_find(image->registry, archive, ring, image->digest, NULL, &found, error);

	*file = found.file;
	*len = found.len;
	return r;
}

/* Damage may be that of the cache: then all of it is fetched anew, once. */
static int open_archive(struct lmodel_archive **out, struct remote *r,
			const struct lm_ranges_source *source, struct lmodel_error *error)
{
	struct lm_file file = { .fd = -1, .label = source->label, .ops = &operations, .source = r };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	int code = lm_archive_open_file(out, &file, source->size, &local);

	if (code == LMODEL_OK)
		return code;
	if (code != LMODEL_ECORRUPT || lm_ranges_cached(r->ranges) == 0 ||
	    !lm_ranges_doubt(r->ranges, 0, source->size))
		return lm_fail(error, local.code, "%s", local.message);
	return lm_archive_open_file(out, &file, source->size, error);
}

static int open_remote(struct lmodel_archive **out, struct remote *r, const char *address,
		       const struct lmodel_remote_options *options, struct lmodel_error *error)
{
	const struct lm_http_options http = { .plain_http = options->plain_http,
					      .stopped = options->stopped,
					      .context = options->context };
	struct lm_ranges_source source;
	int code = lm_crypto_init(error);

	if (code != LMODEL_OK)
		return code;
	r->is_image = strncasecmp(address, "oci://", 6) == 0;
	r->http = lm_http_new(&http, error);
	if (r->http == NULL)
		return LMODEL_EFAILED;
	code = r->is_image ? lm_remote_image_open(&r->image, r->http, address, error) :
			     lm_web_open(&r->web, r->http, address, error);
	if (code == LMODEL_OK)
		code = open_ranges(r, options, &source, error);
	if (code == LMODEL_OK && r->is_image)
		code = lm_remote_image_check(&r->image, r->ranges, error);
	if (code == LMODEL_OK)
		code = open_archive(out, r, &source, error);
	if (code == LMODEL_OK && r->is_image) {
		code = lm_remote_image_matches(&r->image, *out, error);
		if (code != LMODEL_OK) {
			(*out)->file = (struct lm_file){ .fd = -1 }; /* the caller frees it */
			lmodel_close(*out);
			*out = NULL;
			return code;
		}
		(*out)->find_grant = find_grant;
	}
	return code;
}

int lmodel_open_remote(struct lmodel_archive **out, const char *address,
		       const struct lmodel_remote_options *given, struct lmodel_error *error)
{
	struct lmodel_remote_options options = LMODEL_REMOTE_OPTIONS_INIT;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct remote *r = calloc(1, sizeof(*r));
	int code;

	*out = NULL;
	error = error != NULL ? error : &local;
	if (r == NULL)
		return lm_fail_memory(error);
	if (given != NULL)
		LM_OPTIONS_COPY(&options, given);
	code = lmodel_is_remote(address) ?
		       open_remote(out, r, address, &options, error) :
		       lm_fail(error, LMODEL_EUSAGE, "%s: begins with neither https:// nor oci://",
			       LM_QUOTE(address));
	if (code != LMODEL_OK)
		free_remote(r);
	return code;
}

void lmodel_remote_usage(const struct lmodel_archive *archive, struct lmodel_remote_usage *usage)
{
	const struct remote *r = archive->file.source;
	struct lm_http_usage http;

	*usage = (struct lmodel_remote_usage){ 0 };
	if (archive->file.ops != &operations)
		return;
	lm_http_usage(r->http, &http);
	usage->fetched = http.received;
	usage->requests = http.requests;
	usage->cached = lm_ranges_cached(r->ranges);
}
