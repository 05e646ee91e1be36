/* The network layer on the command line, for tests. Each command exits with the code of its
 * failure, and the message on standard error.
 *
 *     net_tool [OPTION...] ref TEXT                    its parts
 *     net_tool [OPTION...] http METHOD URL [HEADER...] status, headers, URL; then the body
 *     net_tool [OPTION...] REFERENCE COMMAND ...       see registry_commands below
 */
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
	lm_http_free(http);
	if (r != LMODEL_OK)
		fprintf(stderr, "%s\n", error.message);
	return r;
}
