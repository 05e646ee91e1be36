/* The network layer on the command line, for tests. Each command exits with the code of its
 * failure, and the message on standard error.
 *
 *     net_tool [OPTION...] ref TEXT                    its parts
 *     net_tool [OPTION...] http METHOD URL [HEADER...] status, headers, URL; then the body
 *     net_tool [OPTION...] REFERENCE has DIGEST SIZE   prints yes or no
 *                                    mount DIGEST NAME
 *                                    put FILE [DIGEST] prints its digest, and progress as it goes
 *                                    get DIGEST SIZE   to --output
 *                                    parallel N DIGEST SIZE   by as many threads, to nowhere
 *                                    range DIGEST OFFSET LENGTH
 *                                    manifest [WHICH]  its bytes; digest and type go to stderr
 *                                    put-manifest TAG TYPE FILE       TAG "-": by digest
 *                                    referrers DIGEST [TYPE]
 *                                    put-referrer SUBJECT TYPE FILE
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/io.h"
#include "crypto/crypto.h"
#include "net/registry.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct lm_http_options options = { .backoff_ms = 20 };
static const char *authorization, *body_file, *output, *state;
static uint64_t chunk, limit = UINT64_MAX, stop_ms, stop_bytes = UINT64_MAX;
static bool once, stay;
static struct lmodel_error error = LMODEL_ERROR_INIT;

static int stopped(void *context)
{
	static int64_t end;
	struct timespec now;
	int64_t ms;

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (end == 0)
		end = ms + (int64_t)stop_ms;
	return ms >= end;
}

static int sink(void *context, const void *bytes, size_t len, struct lmodel_error *e)
{
	return lm_write_all(*(int *)context, output, bytes, len, e);
}

static int begin(void *context)
{
	return ftruncate(*(int *)context, 0) != 0 || lseek(*(int *)context, 0, SEEK_SET) != 0;
}

static int open_output(void)
{
	int fd = open(output, O_CREAT | O_RDWR | O_TRUNC, 0666);

	if (fd < 0)
		exit(99);
	return fd;
}

static void open_body(const char *path, struct lm_http_body *body)
{
	*body = (struct lm_http_body){ .label = path };
	if (lm_open_regular(path, O_RDONLY, &body->fd, &body->length, &error))
		exit(99);
}

static int http_command(struct lm_http *http, int argc, char **argv)
{
	static const char *const names[LM_HTTP_HEADERS] = {
		"location", "authenticate", "digest", "type", "content-range", "range", "etag",
		"modified", "accept-ranges", "link", "subject", "chunk-min", "retry-after",
	};
	struct lm_http_response response;
	struct lm_http_body body;
	struct lm_http_usage usage;
	int fd = -1;
	struct lm_http_request request = {
		.method = argv[1], .url = argv[2], .authorization = authorization,
		.headers = argc > 3 ? (const char *const *)argv + 3 : NULL, .once = once,
		.stay = stay, .sink_limit = limit,
	};
	int r;

	if (body_file != NULL) {
		open_body(body_file, &body);
		request.body = &body;
	}
	if (output != NULL) {
		fd = open_output();
		request.sink = sink;
		request.begin = begin;
		request.sink_context = &fd;
	}
	r = lm_http_perform(http, &request, &response, &error);
	lm_http_usage(http, &usage);
	fprintf(stderr, "requests %ju sent %ju received %ju%s\n", (uintmax_t)usage.requests,
		(uintmax_t)usage.sent, (uintmax_t)usage.received,
		response.broken ? " broken" : "");
	if (r != LMODEL_OK)
		return r;
	printf("status %ld\nurl %s\n", response.status, response.url);
	if (response.content_length != UINT64_MAX)
		printf("length %ju\n", (uintmax_t)response.content_length);
	for (int i = 0; i < LM_HTTP_HEADERS; i++)
		if (response.header[i] != NULL)
			printf("%s %s\n", names[i], response.header[i]);
	if (response.body_len > 0)
		printf("%s\n", response.body);
	lm_http_response_free(&response);
	return LMODEL_OK;
}

static int ref_command(const char *text)
{
	struct lm_reference ref;

	if (lm_reference_parse(&ref, text, &error))
		return (int)error.code;
	printf("%s %s %s %s %s %s\n", ref.secure ? "https" : "http", ref.host, ref.name,
	       ref.tag != NULL ? ref.tag : "-", ref.digest != NULL ? ref.digest : "-", ref.text);
	lm_reference_free(&ref);
	return LMODEL_OK;
}

static int progress(void *context, uint64_t sent)
{
	(void)context;
	printf("sent %ju\n", (uintmax_t)sent);
	fflush(stdout);
	return sent >= stop_bytes;
}

static char *read_all(const char *path, size_t *len)
{
	struct lm_http_body body;
	char *bytes;

	open_body(path, &body);
	bytes = malloc(body.length + 1);
	if (bytes == NULL || lm_read_at(body.fd, path, bytes, body.length, 0, &error))
		exit(99);
	close(body.fd);
	*len = body.length;
	return bytes;
}

static void digest_of_file(const char *path, char digest[LM_DIGEST_SIZE])
{
	size_t len;
	char *bytes = read_all(path, &len);

	lm_digest_of(digest, bytes, len);
	free(bytes);
}

static int put(struct lm_registry *registry, int count, char **words)
{
	struct lm_upload_options upload = { .chunk = chunk, .state = state, .progress = progress };
	char digest[LM_DIGEST_SIZE];
	struct lm_http_body body;
	int r;

	if (count > 2)
		snprintf(digest, sizeof(digest), "%s", words[2]);
	else
		digest_of_file(words[1], digest);
	open_body(words[1], &body);
	r = lm_registry_put_blob(registry, digest, &body, &upload, &error);
	close(body.fd);
	if (r == LMODEL_OK)
		printf("%s\n", digest);
	return r;
}

static int get(struct lm_registry *registry, char **words)
{
	int fd = open_output();
	int r = lm_registry_get_blob(registry, words[1], strtoull(words[2], NULL, 10), sink, &fd,
				     &error);

	close(fd);
	return r;
}

/* A thread of many that share a client and a repository. */
struct worker {
	pthread_t thread;
	struct lm_registry *registry;
	char **words;
	uint64_t got;
	int result;
	struct lmodel_error error;
};

static int count_bytes(void *context, const void *bytes, size_t len, struct lmodel_error *e)
{
	(void)bytes;
	(void)e;
	*(uint64_t *)context += len;
	return LMODEL_OK;
}

static void *work(void *context)
{
	struct worker *w = context;
	uint64_t size = strtoull(w->words[3], NULL, 10);
	char byte;
	bool has;

	w->result = lm_registry_has_blob(w->registry, w->words[2], size, &has, &w->error);
	if (w->result == LMODEL_OK)
		w->result = lm_registry_get_blob(w->registry, w->words[2], size, count_bytes, &w->got,
						 &w->error);
	if (w->result == LMODEL_OK)
		w->result = lm_registry_get_range(w->registry, w->words[2], 0, &byte, 1, &w->error);
	if (w->result == LMODEL_OK && w->got != size)
		w->result = 95;
	return NULL;
}

static int parallel(struct lm_registry *registry, char **words)
{
	size_t count = strtoul(words[1], NULL, 10);
	struct worker *workers = calloc(count, sizeof(*workers));
	int r = workers == NULL ? 99 : LMODEL_OK;

	for (size_t i = 0; r == LMODEL_OK && i < count; i++) {
		workers[i].registry = registry;
		workers[i].words = words;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			exit(99);
	}
	for (size_t i = 0; workers != NULL && i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].result != LMODEL_OK && r == LMODEL_OK) {
			r = workers[i].result;
			error = workers[i].error;
		}
	}
	free(workers);
	return r;
}

static int range(struct lm_registry *registry, char **words)
{
	size_t len = strtoull(words[3], NULL, 10);
	char *buffer = malloc(len + 1);
	int r = buffer == NULL ? 99 :
		lm_registry_get_range(registry, words[1], strtoull(words[2], NULL, 10), buffer, len,
				      &error);

	if (r == LMODEL_OK)
		fwrite(buffer, 1, len, stdout);
	free(buffer);
	return r;
}

static int manifest(struct lm_registry *registry, const char *which)
{
	struct lm_registry_manifest m;
	bool found;
	int r = lm_registry_get_manifest(registry, which, &m, &found, &error);

	if (!found)
		fprintf(stderr, "not found\n");
	if (r != LMODEL_OK)
		return r;
	fwrite(m.bytes, 1, m.len, stdout);
	fprintf(stderr, "%s %s\n", m.digest, m.media_type);
	lm_registry_manifest_free(&m);
	return r;
}

static int put_manifest(struct lm_registry *registry, char **words, bool referrer)
{
	char digest[LM_DIGEST_SIZE];
	bool known = false;
	size_t len;
	char *bytes = read_all(words[3], &len);
	int r = referrer ? lm_registry_put_referrer(registry, words[1], words[2], bytes, len,
						    digest,
						    &error) :
		lm_registry_put_manifest(registry, strcmp(words[1], "-") == 0 ? NULL : words[1],
					 words[2], bytes, len, &known, &error);

	lm_digest_of(digest, bytes, len);
	free(bytes);
	if (r == LMODEL_OK)
		printf("%s%s\n", digest, known ? " subject" : "");
	return r;
}

static int referrers(struct lm_registry *registry, const char *digest, const char *type)
{
	struct lm_referrer *list;
	size_t count;
	int r = lm_registry_referrers(registry, digest, type, &list, &count, &error);

	for (size_t i = 0; r == LMODEL_OK && i < count; i++)
		printf("%s %ju %s\n", list[i].digest, (uintmax_t)list[i].size,
		       list[i].artifact_type);
	if (r == LMODEL_OK)
		lm_referrers_free(list, count);
	return r;
}

static int registry_command(struct lm_registry *registry, int count, char **words)
{
	bool yes = false;
	int r = 97;

	if (strcmp(words[0], "has") == 0 && count == 3) {
		r = lm_registry_has_blob(registry, words[1], strtoull(words[2], NULL, 10), &yes,
					 &error);
		printf("%s\n", yes ? "yes" : "no");
	} else if (strcmp(words[0], "mount") == 0 && count == 3) {
		r = lm_registry_mount(registry, words[1], words[2], &yes, &error);
		printf("%s\n", yes ? "yes" : "no");
	} else if (strcmp(words[0], "put") == 0 && count >= 2) {
		r = put(registry, count, words);
	} else if (strcmp(words[0], "get") == 0 && count == 3) {
		r = get(registry, words);
	} else if (strcmp(words[0], "parallel") == 0 && count == 4) {
		r = parallel(registry, words);
	} else if (strcmp(words[0], "range") == 0 && count == 4) {
		r = range(registry, words);
	} else if (strcmp(words[0], "manifest") == 0) {
		r = manifest(registry, count > 1 ? words[1] : NULL);
	} else if (strcmp(words[0], "put-manifest") == 0 && count == 4) {
		r = put_manifest(registry, words, false);
	} else if (strcmp(words[0], "put-referrer") == 0 && count == 4) {
		r = put_manifest(registry, words, true);
	} else if (strcmp(words[0], "referrers") == 0 && count >= 2) {
		r = referrers(registry, words[1], count > 2 ? words[2] : NULL);
	}
	return r;
}

static int on_registry(struct lm_http *http, int count, char **words)
{
	struct lm_reference reference;
	struct lm_registry *registry;
	int r = 96;

	if (lm_reference_parse(&reference, words[0], &error))
		return (int)error.code;
	registry = lm_registry_new(http, &reference, &error);
	if (registry != NULL)
		r = registry_command(registry, count - 1, words + 1);
	lm_registry_free(registry);
	lm_reference_free(&reference);
	return r;
}

static char **take_options(char **argv)
{
	for (argv++; *argv != NULL && strncmp(*argv, "--", 2) == 0; argv++) {
		const char *name = *argv + 2;

		if (strcmp(name, "plain-http") == 0)
			options.plain_http = true;
		else if (strcmp(name, "once") == 0)
			once = true;
		else if (strcmp(name, "stay") == 0)
			stay = true;
		else if (strcmp(name, "tries") == 0)
			options.tries = (unsigned)strtoul(*++argv, NULL, 10);
		else if (strcmp(name, "slow") == 0)
			options.slow_seconds = (unsigned)strtoul(*++argv, NULL, 10);
		else if (strcmp(name, "backoff") == 0)
			options.backoff_ms = (unsigned)strtoul(*++argv, NULL, 10);
		else if (strcmp(name, "authorization") == 0)
			authorization = *++argv;
		else if (strcmp(name, "body") == 0)
			body_file = *++argv;
		else if (strcmp(name, "output") == 0)
			output = *++argv;
		else if (strcmp(name, "state") == 0)
			state = *++argv;
		else if (strcmp(name, "limit") == 0)
			limit = strtoull(*++argv, NULL, 10);
		else if (strcmp(name, "chunk") == 0)
			chunk = strtoull(*++argv, NULL, 10);
		else if (strcmp(name, "stop-bytes") == 0)
			stop_bytes = strtoull(*++argv, NULL, 10);
		else if (strcmp(name, "stop-ms") == 0)
			stop_ms = strtoull(*++argv, NULL, 10), options.stopped = stopped;
		else
			exit(98);
	}
	return argv;
}

int main(int argc, char **argv)
{
	char **words = take_options(argv);
	int count = argc - (int)(words - argv), r = 97;
	struct lm_http *http = lm_http_new(&options, &error);

	if (http == NULL || lm_crypto_init(&error))
		return 96;
	if (count == 2 && strcmp(words[0], "ref") == 0)
		r = ref_command(words[1]);
	else if (count >= 3 && strcmp(words[0], "http") == 0)
		r = http_command(http, count, words);
	else if (count >= 2)
		r = on_registry(http, count, words);
	lm_http_free(http);
	if (r != LMODEL_OK)
		fprintf(stderr, "%s\n", error.message);
	return r;
}
